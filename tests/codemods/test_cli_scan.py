"""``migrate scan``, ``plan`` and ``status`` on a real project, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from command_line import DAILY, ROOT, Migrate, git, migrate, process, project, snapshot  # noqa: F401

SCHEMA = json.loads((ROOT / "docs/schemas/migrate-1.schema.json").read_text())


def valid(text: str) -> dict:
    document = json.loads(text)
    jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)
    return document


def test_scan_shows_a_table_to_people(project: Path, migrate: Migrate) -> None:
    answer = migrate("scan")
    assert (answer.code, answer.out) == (0, "")
    for word in ("daily  dags/daily.py", "extract", "load_", "loop", "gate", "KEEP", "xcom extract[rows]"):
        assert word in answer.err
    assert "5 task sites in 1 DAG" in answer.err
    assert "2 files looked at, 1 with DAGs" in answer.err


def test_scan_as_json_is_what_the_schema_says(project: Path, migrate: Migrate) -> None:
    answer = migrate("scan", "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    document = valid(answer.out)
    sites = {one["id"]: one for one in document["sites"]}
    assert sites["daily.train"]["callable"]["reads"]["variables"] == ["limit"]
    assert sites["daily.gate"]["disposition"] == "KEEP"
    assert sites["daily.shout"]["disposition"] == "REFUSE"
    assert sites["daily.load_*"]["task"]["ids"] == ["load_eu", "load_us"]
    assert [one["task"] for one in sites["daily.extract"]["readers"]] == ["daily.train"]
    assert document["root"] == str(project)


def test_scan_for_machines(project: Path, migrate: Migrate) -> None:
    sarif = json.loads(migrate("scan", "--format", "sarif").out)
    found = {one["ruleId"] for one in sarif["runs"][0]["results"]}
    document = valid(migrate("scan", "--format", "json").out)
    assert found == {one["code"] for site in document["sites"] for one in site["findings"]} != set()
    github = migrate("scan", "--format", "github").out.splitlines()
    assert any(line.startswith("::warning file=dags/daily.py,line=") for line in github)
    assert "| `train` | PythonOperator |" in migrate("scan", "--format", "md").out


def test_scan_writes_nothing(project: Path, migrate: Migrate) -> None:
    before = snapshot(project)
    for form in ("text", "json", "sarif", "github", "md"):
        migrate("scan", "--format", form)
    migrate("status")
    migrate("plan", "daily.train")
    assert snapshot(project) == before


def test_scan_is_the_same_for_any_number_of_processes(project: Path, migrate: Migrate) -> None:
    for number in range(45):
        (project / f"dags/copy_{number}.py").write_text(DAILY.replace('"daily"', f'"daily_{number}"'))
    assert migrate("scan", "--format", "json").out == migrate("scan", "--format", "json", "-j", "2").out


def test_check_asks_whether_something_could_be_moved(project: Path, migrate: Migrate) -> None:
    assert migrate("scan", "--check").code == 1
    assert migrate("scan", "--check", "dags/features.py").code == 0


def test_scan_from_a_folder_within(project: Path, migrate: Migrate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "dags")
    document = valid(migrate("scan", "daily.py", "--format", "json").out)
    assert {one["place"]["path"] for one in document["sites"]} == {"dags/daily.py"}


def test_output_goes_to_a_file(project: Path, migrate: Migrate) -> None:
    for form in ("json", "md", "text"):
        answer = migrate("scan", "--format", form, "--output", f"report.{form}")
        assert (answer.out, answer.err) == ("", "")
        assert "train" in Path(f"report.{form}").read_text()
    answer = migrate("scan", "--format", "json", "--output", "nowhere/report.json")
    assert answer.code == 2
    assert "--output" in answer.err


def test_settings_say_where_dags_are_and_what_to_leave_out(project: Path, migrate: Migrate) -> None:
    (project / "old").mkdir()
    (project / "old/daily.py").write_text(DAILY.replace('"daily"', '"old"'))
    (project / "pyproject.toml").write_text(
        '[tool.stepbridge]\ndags = ["old", "dags"]\nexclude = ["dags/*"]\n'
    )
    document = valid(migrate("scan", "--format", "json").out)
    assert {one["dag"] for one in document["sites"]} == {"old"}
    assert valid(migrate("scan", "--format", "json", "--exclude", "old").out)["sites"] == []


def test_a_table_that_fits_no_task_is_said(project: Path, migrate: Migrate) -> None:
    (project / "pyproject.toml").write_text('[tool.stepbridge.tasks."daily.trian"]\ngpu = 1\n')
    answer = migrate("scan")
    assert answer.code == 0
    assert '[tool.stepbridge.tasks."daily.trian"] fits no task' in " ".join(answer.err.split())


def test_a_wrong_setting_stops_every_command(project: Path, migrate: Migrate) -> None:
    (project / "pyproject.toml").write_text("[tool.stepbridge]\nexcluded = []\n")
    for arguments in (("scan",), ("plan", "daily.train"), ("cutover", "daily.train"), ("status",)):
        answer = migrate(*arguments)
        assert answer.code == 2
        assert "SM520" in answer.err
        assert "'exclude'" in answer.err


def test_a_file_that_cannot_be_read_is_said_and_the_rest_is_shown(project: Path, migrate: Migrate) -> None:
    (project / "dags/broken.py").write_text("from airflow import DAG\nPythonOperator(\n")
    answer = migrate("scan")
    assert answer.code == 0
    assert "dags/broken.py:2" in answer.err
    assert "daily  dags/daily.py" in answer.err


@pytest.mark.parametrize("path", ["nowhere.py", "dags/nowhere"])
def test_a_path_that_is_not_there_is_wrong_usage(path: str, project: Path, migrate: Migrate) -> None:
    answer = migrate("scan", path)
    assert answer.code == 2
    assert path in answer.err


def test_a_path_outside_of_the_root_is_wrong_usage(project: Path, migrate: Migrate, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    answer = migrate("scan", str(tmp_path / "other"), "--root", str(project))
    assert answer.code == 2
    assert "--root" in answer.err


def test_a_project_without_dags_has_nothing(tmp_path: Path, migrate: Migrate) -> None:
    document = valid(migrate("scan", str(tmp_path), "--format", "json").out)
    assert (document["sites"], document["files"]) == ([], 0)
    assert "0 task sites in 0 DAGs" in migrate("scan", str(tmp_path)).err


def test_plan_shows_what_a_move_takes(project: Path, migrate: Migrate) -> None:
    (project / "pyproject.toml").write_text('[tool.stepbridge.tasks."daily.train"]\nmemory = "16Gi"\n')
    answer = migrate("plan", "daily.train", "--gpu", "1")
    assert (answer.code, answer.out) == (0, "")
    for word in (
        "memory=16Gi",
        "gpu=1",
        "variable limit",
        "xcom extract[rows]",
        "+from stepbridge_airflow import",
    ):
        assert word in answer.err
    assert "shadow: would change:" in answer.err
    assert "cutover: would change:" in answer.err


def test_plan_as_json(project: Path, migrate: Migrate) -> None:
    document = valid(migrate("plan", "daily.extract", "--format", "json", "--gpu", "A10G:1").out)
    assert document["plan"]["needs"]["gpu"] == "A10G:1"
    assert [one["action"] for one in document["plan"]["edits"]] == ["shadow", "cutover"]
    assert document["plan"]["site"]["readers"][0]["task"] == "daily.train"
    for edit in document["plan"]["edits"]:
        (change,) = edit["changes"]
        text = (project / change["path"]).read_text()
        for one in change["edits"]:
            assert text[one["start"] : one["start"] + len(one["old"])] == one["old"]


@pytest.mark.parametrize(("task", "word"), [("daily.gate", "KEEP"), ("daily.shout", "REFUSE")])
def test_plan_of_what_does_not_move_ends_with_3(
    task: str, word: str, project: Path, migrate: Migrate
) -> None:
    answer = migrate("plan", task)
    assert answer.code == 3
    assert word in answer.err


def test_an_unknown_task_gets_candidates(project: Path, migrate: Migrate) -> None:
    answer = migrate("plan", "daily.trian", "--format", "json")
    assert answer.code == 2
    problem = valid(answer.out)["problem"]
    assert (problem["code"], problem["candidates"][0]) == ("SM521", "daily.train")
    assert "daily.train" in answer.err


def test_status_of_a_project_that_has_not_begun(project: Path, migrate: Migrate) -> None:
    document = valid(migrate("status", "--format", "json").out)
    stages = {one["task"]: one["stage"] for one in document["status"]["tasks"]}
    assert stages["daily.train"] == "legacy"
    assert (stages["daily.gate"], stages["daily.shout"]) == ("kept", "refused")
    assert migrate("status", "--check").code == 0


def test_a_terminal_without_utf8_gets_the_report(project: Path) -> None:
    (project / "dags/daily.py").write_text(DAILY.replace('"daily"', '"größe"'), encoding="utf-8")
    answer = process(project, "scan", PYTHONUTF8="0", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert answer.code == 0
    assert answer.err.isascii()
    assert "gr\\xf6\\xdfe" in answer.err
