"""Random projects, random edits: where a step computes something else, its digest is another."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from bundle_runs import Runs, forks
from code_project import Project, project
from code_random import EDITS, SAME_EDITS, edit, make, text
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

INPUTS = [[-2], [0], [3], [10]]
ALWAYS_SAME = frozenset({"comment", "docstring", "format", "unreached here"})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    with forks(tmp_path_factory.mktemp("runs")) as made:
        yield made


class Tally:
    """How often an edit that changes nothing made another digest."""

    def __init__(self) -> None:
        self.edits: Counter[str] = Counter()
        self.same: Counter[str] = Counter()
        self.needless: Counter[str] = Counter()

    def report(self) -> str:
        """One line for each kind of edit."""
        lines = [
            f"{kind:16} {self.edits[kind]:5} edits, {self.same[kind]:5} without effect, "
            f"{self.needless[kind]:4} needless misses"
            for kind in EDITS
        ]
        same, needless = sum(self.same.values()), sum(self.needless.values())
        lines.append(f"needless misses: {needless} of {same} ({needless / max(1, same):.1%})")
        return "\n".join(lines)


def check(number: int, directory: Path, runs: Runs, tally: Tally, edits: int) -> None:
    """Make the project *number*, edit it, and compare results and digests."""
    rnd = Random(number)
    made = make(rnd)
    with project(directory / str(number)) as here:
        here.root.mkdir(exist_ok=True)
        before = here.slice("train", text(made))
        first = runs.outcomes(before, INPUTS)
        assert "result" in first[0] or "Division" in first[0]["error"], (number, first[0])
        assert first == direct(here), number
        for _ in range(edits):
            kind = rnd.choice(EDITS)
            other = edit(made, kind, rnd)
            for path in here.root.rglob("*.py"):
                path.unlink()
            try:
                after = here.slice("train", text(other))
            except NameError:
                assert kind == "order"
                continue
            second = runs.outcomes(after, INPUTS)
            assert second == direct(here), (number, kind)
            tally.edits[kind] += 1
            if second != first:
                assert kind not in SAME_EDITS or kind == "order", (number, kind, text(made), text(other))
                assert after.digest != before.digest, (number, kind, text(made), text(other))
            else:
                tally.same[kind] += 1
                tally.needless[kind] += after.digest != before.digest
                assert after.digest == before.digest or kind not in ALWAYS_SAME, (number, kind)


def direct(here: Project) -> list[dict[str, object]]:
    """What the step computes where it stands, without any slice."""
    here.unload()
    function = here.load().train
    found: list[dict[str, object]] = []
    sys.path.insert(0, str(here.root))
    for args in INPUTS:
        try:
            found.append({"result": function(*args)})
        except Exception as error:  # noqa: BLE001
            found.append({"error": repr(error)})
    sys.path.remove(str(here.root))
    return found


@seed(4)
@settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.integers(0, 10**6))
def test_no_false_negative(tmp_path: Path, runs: Runs, number: int) -> None:
    check(number, tmp_path, runs, Tally(), edits=4)


@pytest.mark.slow
def test_no_false_negative_in_a_long_run(tmp_path: Path, runs: Runs) -> None:
    """``STEPBRIDGE_PROJECTS`` projects, 1,000 if not set; prints the needless misses."""
    tally = Tally()
    for number in range(int(os.environ.get("STEPBRIDGE_PROJECTS", "1000"))):
        check(number, tmp_path, runs, tally, edits=6)
    print(tally.report())
