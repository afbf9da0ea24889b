"""The verdict over many shadow runs: what counts, what does not, and how it is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge import documents
from stepbridge.compare.kept import FOLDER, report_key, reports_of, tasks_with_reports
from stepbridge.compare.model import (
    Part,
    Relaxation,
    Report,
    RunFacts,
    Skipped,
    Subject,
    Verdict,
)
from stepbridge.compare.readiness import Bar, Readiness, TaskReadiness, judge
from stepbridge.compare.render.readiness import markdown, text
from stepbridge.compare.render.readiness_page import page
from stepbridge.compare.schema import readiness_schema
from stepbridge.store.base import Store
from stepbridge.store.opening import store_at

OK, E, X = Verdict.IDENTICAL, Verdict.EQUIVALENT, Verdict.EXPLAINED
D, N, C = Verdict.DIFFERENT, Verdict.INCOMPARABLE, Verdict.CANDIDATE_FAILED
FAILED, BOTH, SKIPPED, TOOL = Verdict.CONTROL_FAILED, Verdict.BOTH_FAILED, Verdict.SKIPPED, Verdict.TOOL_ERROR
GOLDEN = Path(__file__).parent / "golden_reports"
SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "readiness-1.schema.json"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_at(f"file://{tmp_path}/store")


def report(number: int, verdict: Verdict, **subject: object) -> Report:
    """The report of one run; runs are a day apart."""
    day = f"2026-10-{number + 1:02}"
    about = Subject(
        control="train",
        candidate="train__shadow",
        dag_id="shop",
        run_id=f"scheduled__{day}",
        logical_date=f"{day}T00:00:00+00:00",
        code="c0de" * 16,
        image="registry/train:1",
    )
    about = replace(about, **subject)  # type: ignore[arg-type]
    return Report(
        about,
        verdict,
        f"the rule of {verdict}",
        (),
        control=RunFacts("train", "success", tries=1, seconds=300.0 + number),
        candidate=RunFacts(
            "train__shadow",
            "success",
            tries=1,
            seconds=60.0,
            cpu_seconds=50.0,
            peak_memory=2**30 + number,
            cache="off",
        ),
        created=f"{day}T03:00:00+00:00",
        version="0.1.0",
    )


def keep(store: Store, *reports: Report) -> None:
    for one in reports:
        about = one.subject
        key = report_key(about.dag_id, about.control, about.run_id, about.map_index)
        store.put(key, documents.dump(one))


def judged(
    store: Store, *reports: Report, need: int = 3, days: float = 0, any_code: bool = False
) -> TaskReadiness:
    keep(store, *reports)
    return judge("shop", "train", reports_of(store, "shop", "train", newest=100), Bar(need, days, any_code))


def series(*verdicts: Verdict) -> list[Report]:
    return [report(number, verdict) for number, verdict in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("verdicts", "expected", "streak"),
    [
        ((), Readiness.INSUFFICIENT, 0),
        ((OK, OK), Readiness.INSUFFICIENT, 2),
        ((OK, OK, OK), Readiness.READY, 3),
        ((OK, E, X), Readiness.READY, 3),
        ((D, OK, OK, OK), Readiness.READY, 3),
        ((D, OK, OK), Readiness.NOT_READY, 2),
        ((OK, OK, D), Readiness.NOT_READY, 0),
        ((OK, OK, OK, D), Readiness.REGRESSED, 0),
        ((OK, OK, OK, N), Readiness.REGRESSED, 0),
        ((OK, OK, OK, C), Readiness.REGRESSED, 0),
        ((OK, OK, OK, D, OK, OK), Readiness.REGRESSED, 2),
        ((OK, OK, OK, D, OK, OK, OK), Readiness.READY, 3),
        ((OK, OK, OK, D, OK, D), Readiness.REGRESSED, 0),
        ((OK, FAILED, OK, BOTH, TOOL, SKIPPED, OK), Readiness.READY, 3),
        ((FAILED, BOTH, TOOL, SKIPPED), Readiness.INSUFFICIENT, 0),
        ((D, FAILED, SKIPPED), Readiness.NOT_READY, 0),
    ],
)
def test_the_verdict(store: Store, verdicts: tuple[Verdict, ...], expected: Readiness, streak: int) -> None:
    found = judged(store, *series(*verdicts))
    assert (found.verdict, found.streak) == (expected, streak)
    assert [run.verdict for run in found.runs] == list(reversed(verdicts))


@given(st.lists(st.sampled_from(list(Verdict)), max_size=12), st.integers(1, 4))
def test_ready_is_never_said_beside_a_difference(verdicts: list[Verdict], need: int) -> None:
    from stepbridge.compare.kept import KeptReport, KeptReports

    reports = tuple((KeptReport(one, one.subject.run_id),) for one in reversed(series(*verdicts)))
    found = judge("shop", "train", KeptReports(reports), Bar(need))
    said = [one for one in verdicts if one not in {FAILED, BOTH, SKIPPED, TOOL}]
    assert (found.verdict is Readiness.READY) == (len(said) >= need and all(one.same for one in said[-need:]))
    assert (found.verdict is Readiness.INSUFFICIENT) == (len(said) < need and all(one.same for one in said))
    ready_before = any(all(one.same for one in said[at : at + need]) for at in range(len(said) - need + 1))
    not_now = found.verdict in {Readiness.REGRESSED, Readiness.NOT_READY}
    assert (found.verdict is Readiness.REGRESSED) == (not_now and ready_before)


def test_runs_must_lie_apart(store: Store) -> None:
    found = judged(store, *series(OK, OK, OK), days=2.5)
    assert found.verdict is Readiness.INSUFFICIENT
    assert found.rule == "3 runs gave the same, but lie 2.0 days apart; 2.5 are needed"
    assert judged(store, days=2).verdict is Readiness.READY


def test_other_code_and_other_images_are_no_evidence(store: Store) -> None:
    old = [
        report(0, D, code="01d0" * 16),
        report(1, OK, code="01d0" * 16),
        report(2, OK, image="registry/train:0"),
    ]
    new = [report(3, OK), report(4, OK)]
    found = judged(store, *old, *new)
    assert (found.verdict, found.streak) == (Readiness.INSUFFICIENT, 2)
    assert [run.void for run in found.runs] == [
        "",
        "",
        "the candidate had another image",
        "the candidate had other code",
        "the candidate had other code",
    ]
    assert judged(store, any_code=True).verdict is Readiness.READY


def test_a_candidate_that_failed_before_its_code_was_known_counts(store: Store) -> None:
    found = judged(store, *series(OK, OK, OK), report(3, C, code="", image=""))
    assert found.verdict is Readiness.REGRESSED
    assert found.code == "c0de" * 16


def test_a_result_from_the_cache_is_no_evidence(store: Store) -> None:
    hits = [
        replace(one, candidate=RunFacts("train__shadow", "success", cache="hit"))
        for one in series(OK, OK, OK)
    ]
    found = judged(store, *hits)
    assert found.verdict is Readiness.INSUFFICIENT
    assert found.rule == "no run says anything of this candidate yet"


def test_elements_of_a_mapped_group_are_one_run(store: Store) -> None:
    elements = [replace(report(0, OK), subject=replace(report(0, OK).subject, map_index=n)) for n in range(3)]
    elements[1] = replace(elements[1], verdict=D)
    (run,) = judged(store, *elements).runs
    assert (run.reports, run.verdict) == (3, D)
    assert run.uri.endswith("/1/report.json")


@pytest.mark.parametrize("hiding", [FAILED, BOTH, SKIPPED, TOOL])
def test_an_element_that_failed_hides_no_difference(store: Store, hiding: Verdict) -> None:
    elements = [replace(report(0, D), subject=replace(report(0, D).subject, map_index=n)) for n in range(2)]
    found = judged(store, elements[0], replace(elements[1], verdict=hiding))
    assert (found.verdict, found.runs[0].verdict) == (Readiness.NOT_READY, D)


@pytest.mark.parametrize("hiding", [FAILED, BOTH])
def test_a_part_that_failed_hides_no_difference(store: Store, hiding: Verdict) -> None:
    parts = (Part("[0]", "value", hiding, "it failed"), Part("[1]", "value", D, "1 of 3 values differ"))
    found = judged(store, replace(report(0, hiding), parts=parts))
    assert (found.verdict, found.runs[0].verdict) == (Readiness.NOT_READY, D)


def test_what_rules_let_pass_is_told(store: Store) -> None:
    ignored = Relaxation("ignore:updated_at", "updated_at", 4, "the clock of the old task")
    part = Part(
        "return_value",
        "table",
        X,
        "4 differences are ignored",
        relaxations=(ignored, Relaxation("rtol", "0.001")),
        skipped=(Skipped("column 'blob'", "its type is not compared", 7),),
    )
    whole = Part("all", "tree", X, "", parts=(part,))
    found = judged(store, *(replace(one, parts=(whole,)) for one in series(X, X, D)))
    (let,) = found.let
    assert (let.name, let.reason, let.runs, let.allowed) == (
        "ignore:updated_at",
        "the clock of the old task",
        3,
        12,
    )
    (left,) = found.left
    assert (left.what, left.runs) == ("column 'blob'", 3)


def test_measures_are_medians_of_runs_that_gave_a_result(store: Store) -> None:
    failed = replace(report(3, C), candidate=RunFacts("train__shadow", "failed", seconds=1.0))
    found = judged(store, *series(OK, OK, OK), failed)
    by_name = {one.name: one for one in found.measured}
    assert (by_name["duration"].control, by_name["duration"].candidate) == (301.0, 60.0)
    assert by_name["peak memory"].highest == 2**30 + 2
    assert by_name["CPU"].control is None
    assert "GPU time" not in by_name


def test_only_the_newest_runs_are_read(store: Store, tmp_path: Path) -> None:
    import os

    for number, one in enumerate(series(D, OK, OK, OK)):
        keep(store, one)
        about = one.subject
        path = tmp_path / "store" / report_key(about.dag_id, about.control, about.run_id)
        os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))
    kept = reports_of(store, "shop", "train", newest=3)
    assert (len(kept.runs), kept.earlier) == (3, 1)
    found = judge("shop", "train", kept, Bar(3))
    assert (found.verdict, found.earlier) == (Readiness.READY, 1)
    assert "1 were not read" in text(found)


def test_what_cannot_be_read_is_told_and_does_not_count(store: Store) -> None:
    keep(store, *series(OK, OK, OK))
    store.put(report_key("shop", "train", "r1"), b'{"schema": 99}')
    store.put(report_key("shop", "train", "r2"), b"{")
    found = judged(store)
    assert found.verdict is Readiness.READY
    assert [one.uri.split("/")[-2] for one in found.unread] == ["r1", "r2"]
    for rendered in (text(found), markdown(found), page(found)):
        assert "not a JSON document" in rendered


def test_only_reports_are_taken_for_reports(store: Store) -> None:
    keep(store, *series(OK))
    for other in (
        "train/report.json",
        "train/a/b/report.json",
        "train/a/1/2/report.json",
        "train/a/other.json",
    ):
        store.put(f"{FOLDER}/shop/{other}", b"{}")
    kept = reports_of(store, "shop", "train", newest=9)
    assert (len(kept.runs), kept.unread) == (1, ())
    assert tasks_with_reports(store, "shop") == ["train"]
    assert tasks_with_reports(store, "other") == []


def test_names_that_a_key_cannot_have(store: Store) -> None:
    about = Subject("gruppe.lädt/ein", "c", dag_id="mon dag", run_id="manual__2026-10-01T00:00:00+00:00")
    keep(store, Report(about, OK, "", (), created="2026-10-01T00:00:00+00:00"))
    (run,) = judge(
        "mon dag", "gruppe.lädt/ein", reports_of(store, "mon dag", "gruppe.lädt/ein", newest=9), Bar(1)
    ).runs
    assert run.run_id == about.run_id


def shown(store: Store) -> TaskReadiness:
    part = Part(
        "return_value",
        "table",
        X,
        "ignored",
        relaxations=(Relaxation("ignore:updated_at", "updated_at", 4, "the clock | <of> the old task"),),
        skipped=(Skipped("column 'blob'", "its type is not compared"),),
    )
    reports = [*series(OK, D, X, FAILED, E), report(5, X)]
    found = judged(store, *(replace(one, parts=(part,)) if one.verdict is X else one for one in reports))
    runs = tuple(replace(run, uri=run.uri.replace(store.root, "s3://lake/steps")) for run in found.runs)
    return replace(found, runs=runs)


@pytest.mark.parametrize(
    ("name", "render"), [("readiness.txt", text), ("readiness.md", markdown), ("readiness.html", page)]
)
def test_rendered_as_before(store: Store, name: str, render: Callable[[TaskReadiness], str]) -> None:
    assert render(shown(store)) == (GOLDEN / name).read_text()


def test_text_in_colour(store: Store) -> None:
    plain, coloured = text(shown(store)), text(shown(store), colour=True)
    assert "\x1b[" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


class Tags(HTMLParser):
    """Opened and not closed tags, and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loads += [str(value) for name, value in attributes if name in {"src", "href"}]
        if tag in {"script", "link", "img", "iframe"}:
            self.loads.append(tag)
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        del tag, attributes

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_loads_nothing(store: Store) -> None:
    nasty = replace(report(0, D), rule="<script>alert('&')</script>", parts=())
    found = judged(store, nasty, *series(OK, OK)[1:])
    parser = Tags()
    parser.feed(page(found))
    assert parser.open == []
    assert parser.loads == []
    assert "&lt;script&gt;" in page(found)


def test_json_is_the_model(store: Store) -> None:
    found = shown(store)
    data = documents.dump(found)
    published = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.validate(json.loads(data), published)
    assert readiness_schema() == published, (
        f"write stepbridge.compare.schema.readiness_schema() to {SCHEMA.name}"
    )
    assert documents.load(TaskReadiness, data, place="test") == found
    assert json.loads(data)["schema"] == 1
