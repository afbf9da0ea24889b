"""``DAG.TASK`` and ``path.py:LINE`` choose one site, or say what is near."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_sites import PATH, inventory, judged, site

from stepbridge_migrate.model import Inventory, Making, Site
from stepbridge_migrate.near import did_you_mean, nearest
from stepbridge_migrate.problems import MigrateProblem
from stepbridge_migrate.select import Selector, choose, names, parse


def found(*sites: Site) -> Inventory:
    return inventory(*(judged(one) for one in sites))


LOOP = site("load_*", line=20, ids=("load_eu", "load_us"), making=(Making.LOOP,))
OPEN_LOOP = site("pull_*", line=25, ids=(), complete=False, making=(Making.LOOP,))
GROUPED = site("quality.evaluate", line=30, last_line=33)
DOTTED = site("train.v2", dag="team.daily", line=40)
EVERYTHING = found(site(), LOOP, OPEN_LOOP, GROUPED, DOTTED)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("daily.train", 12),
        ("daily.load_*", 20),
        ("daily.load_eu", 20),
        ("daily.lo*", 20),
        ("daily.pull_fr", 25),
        ("daily.quality.evaluate", 30),
        ("*.evaluate", 30),
        ("team.daily.train.v2", 40),
    ],
)
def test_a_name_chooses_its_site(text: str, line: int) -> None:
    assert choose(EVERYTHING, Selector(text)).site.place.line == line


@pytest.mark.parametrize(("line", "chosen"), [(12, 12), (30, 30), (32, 30), (33, 30)])
def test_a_line_within_the_call_chooses_its_site(line: int, chosen: int) -> None:
    assert choose(EVERYTHING, Selector(f"{PATH}:{line}", PATH, line)).site.place.line == chosen


def test_a_loop_whose_ids_are_all_known_has_no_others() -> None:
    with pytest.raises(MigrateProblem) as refused:
        choose(EVERYTHING, Selector("daily.load_fr"))
    assert refused.value.code == "SM521"
    assert refused.value.candidates[0].startswith("daily.load_")


def test_an_unknown_name_gets_the_nearest_first() -> None:
    with pytest.raises(MigrateProblem) as refused:
        choose(EVERYTHING, Selector("daily.trian"))
    assert refused.value.candidates[0] == "daily.train"
    assert "did you mean daily.train" in str(refused.value)


def test_a_task_without_its_dag_is_found_by_its_end() -> None:
    assert nearest("evaluate.x", ["daily.train", "daily.x"]) == ("daily.x",)


def test_the_same_name_in_two_files_is_ambiguous() -> None:
    twice = found(site(), site(path="dags/other.py", line=7))
    with pytest.raises(MigrateProblem) as refused:
        choose(twice, Selector("daily.train"))
    assert refused.value.code == "SM522"
    assert refused.value.candidates == (f"{PATH}:12", "dags/other.py:7")
    assert choose(twice, Selector("x", "dags/other.py", 7)).site.path == "dags/other.py"


def test_an_exact_name_goes_before_a_glob_that_fits_it() -> None:
    both = found(site("load_*", ids=(), complete=False), site("load_eu", line=30))
    assert choose(both, Selector("daily.load_eu")).site.place.line == 30


def test_a_line_with_no_site_names_the_lines_that_have_one() -> None:
    with pytest.raises(MigrateProblem) as refused:
        choose(EVERYTHING, Selector(f"{PATH}:11", PATH, 11))
    assert f"{PATH}:12" in refused.value.candidates


def test_two_sites_on_one_line_are_ambiguous() -> None:
    with pytest.raises(MigrateProblem) as refused:
        choose(found(site(), site("other")), Selector(f"{PATH}:12", PATH, 12))
    assert refused.value.code == "SM522"


def test_a_path_counts_from_here_then_from_the_root(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/a.py").touch()
    for here, text in (
        (tmp_path, "dags/a.py:3"),
        (tmp_path / "dags", "a.py:3"),
        (tmp_path / "dags", "dags/a.py:3"),
    ):
        assert parse(text, root=tmp_path, here=here) == Selector(text, "dags/a.py", 3)


@pytest.mark.parametrize("text", ["", "train", ".train", "dags/nowhere.py:3", "../outside.py:1"])
def test_what_names_nothing_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "outside.py").touch()
    root = tmp_path / "project"
    root.mkdir()
    with pytest.raises(MigrateProblem):
        parse(text, root=root, here=root)


def test_a_dag_without_an_id_goes_by_its_file() -> None:
    """By no line: an edit above it leaves its name."""
    assert names(site(dag="")) == (f"{PATH}.train",)


@given(st.text(max_size=30), st.lists(st.text(max_size=12), max_size=8))
def test_nearness_never_fails_and_only_says_known_names(wanted: str, known: list[str]) -> None:
    near = nearest(wanted, known)
    assert set(near) <= set(known)
    assert len(set(near)) == len(near) <= 5
    assert did_you_mean(wanted, known)


def code_for(text: str) -> str:
    """The code with which *text* is refused; empty where it chooses a site."""
    try:
        choose(EVERYTHING, parse(text, root=Path("/nowhere"), here=Path("/nowhere")))
    except MigrateProblem as problem:
        return problem.code
    return ""


@given(st.text(max_size=20).filter(lambda text: "\x00" not in text))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert code_for(text) in {"", "SM521", "SM522"}
    assert code_for(f"daily.{text}.py:3") in {"SM521", "SM522"}
