"""``migrate report``: a verdict over the reports of shadow runs, its exit codes and formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Answer, Migrate

from stepbridge import documents
from stepbridge.compare.kept import report_key
from stepbridge.compare.model import Report, Subject, Verdict
from stepbridge.store.opening import store_at
from stepbridge_migrate import cli


@pytest.fixture
def migrate(capfd: pytest.CaptureFixture[str]) -> Migrate:
    def run(*arguments: str) -> Answer:
        capfd.readouterr()
        code = cli.main(arguments)
        return Answer(code, *capfd.readouterr())

    return run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("AIRFLOW__STEPBRIDGE__STORE", raising=False)
    return f"file://{tmp_path}/store"


def compared(root: str, dag_id: str, task_id: str, *verdicts: Verdict) -> None:
    """Keep a report for each verdict, a day apart."""
    store = store_at(root)
    for day, verdict in enumerate(verdicts, start=1):
        subject = Subject(
            task_id,
            f"{task_id}__shadow",
            dag_id,
            f"scheduled__2026-10-{day:02}",
            f"2026-10-{day:02}T00:00:00+00:00",
            code="c0de",
        )
        report = Report(subject, verdict, f"it was {verdict}", (), created=f"2026-10-{day:02}T02:00:00+00:00")
        store.put(report_key(dag_id, task_id, subject.run_id), documents.dump(report))


SAME, OTHER = Verdict.IDENTICAL, Verdict.DIFFERENT


def test_ready_ends_with_0(root: str, migrate: Migrate) -> None:
    compared(root, "shop", "train", *[SAME] * 5)
    answer = migrate("report", "shop.train", "--store", root)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("shop.train: READY  the newest 5 runs gave the same; 5 are needed\n")
    assert answer.err.endswith("  next: migrate cutover shop.train\n")


def test_all_else_ends_with_1(root: str, migrate: Migrate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__STORE", root)
    compared(root, "shop", "train", SAME, SAME, OTHER)
    answer = migrate("report", "shop.train", "--runs", "2")
    assert answer.code == 1
    assert "REGRESSED" in answer.err
    assert "read what differs: file://" in answer.err
    compared(root, "shop", "price", SAME)
    answer = migrate("report", "shop.price")
    assert (answer.code, "INSUFFICIENT" in answer.err) == (1, True)


def test_the_bar(root: str, migrate: Migrate) -> None:
    compared(root, "shop", "train", SAME, SAME, SAME)
    given = ("report", "shop.train", "--store", root)
    assert migrate(*given, "--runs", "3").code == 0
    assert migrate(*given, "--runs", "4").code == 1
    assert migrate(*given, "--runs", "3", "--days", "2").code == 0
    assert migrate(*given, "--runs", "3", "--days", "2.1").code == 1


@pytest.mark.parametrize("form", ["json", "md", "html"])
def test_formats_go_to_standard_output_or_a_file(
    form: str, root: str, migrate: Migrate, tmp_path: Path
) -> None:
    compared(root, "shop", "train", *[SAME] * 5)
    answer = migrate("report", "shop.train", "--store", root, "--format", form)
    assert (answer.code, answer.err) == (0, "")
    assert "READY" in answer.out
    if form == "json":
        assert json.loads(answer.out)["verdict"] == "READY"
    file = tmp_path / "report"
    written = migrate("report", "shop.train", "--store", root, "--format", form, "--output", str(file))
    assert written == Answer(0, "", "")
    assert file.read_text() == answer.out


def test_ids_with_dots(root: str, migrate: Migrate) -> None:
    compared(root, "team.shop", "group.train", *[SAME] * 5)
    assert migrate("report", "team.shop.group.train", "--store", root).code == 0
    compared(root, "team", "shop.group.train", SAME)
    answer = migrate("report", "team.shop.group.train", "--store", root)
    assert answer.code == 2
    assert "'shop.group.train' of DAG 'team' and task 'group.train' of DAG 'team.shop'" in answer.err


def test_a_name_without_reports(root: str, migrate: Migrate) -> None:
    compared(root, "shop", "train", SAME)
    answer = migrate("report", "shop.trian", "--store", root)
    assert answer == Answer(
        2,
        "",
        f"migrate: there is no report of shop.trian below {root}/shadow/ Next: did you mean shop.train?\n",
    )
    answer = migrate("report", "other.task", "--store", root)
    assert (answer.code, "give it a shadow" in answer.err) == (2, True)
    assert "is no DAG.TASK" in migrate("report", "train", "--store", root).err


def test_no_store(root: str, migrate: Migrate) -> None:
    answer = migrate("report", "shop.train")
    assert answer.code == 2
    assert "SB311" in answer.err
    assert len(answer.err.splitlines()) == 1
    del root


def test_a_file_that_cannot_be_written(root: str, migrate: Migrate, tmp_path: Path) -> None:
    compared(root, "shop", "train", SAME)
    answer = migrate("report", "shop.train", "--store", root, "--output", str(tmp_path / "no" / "file"))
    assert answer.code == 2
    assert "cannot be written" in answer.err
