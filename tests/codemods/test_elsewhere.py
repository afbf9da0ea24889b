"""Tasks whose functions stand in another file than the DAGs that call them."""

from __future__ import annotations

from pathlib import Path

import pytest
from inventories import DAGS

from stepbridge_migrate import edits, moving
from stepbridge_migrate.model import Disposition, Finding, Judged, Making, Needs
from stepbridge_migrate.scan import scan

JOBS = "plugins/house/jobs.py"


@pytest.fixture(scope="module")
def found() -> dict[str, Judged]:
    """The sites of the functions' file, by the name of the function."""
    judged = scan(DAGS, [DAGS / JOBS]).sites
    return {one.site.callable.text: one for one in judged if one.site.callable is not None}


def codes(judged: Judged) -> set[str]:
    return {one.code for one in judged.findings}


def test_ids_and_dags_are_those_of_the_callers(found: dict[str, Judged]) -> None:
    pull = found["pull_rows"].site
    assert pull.dag.ids == ("house_daily", "house_weekly")
    assert pull.task.ids == ("pull_rows",)
    assert pull.mapped == "expand"
    assert [(one.path, one.line) for one in pull.elsewhere] == [
        ("dags/callers.py", 13),
        ("dags/callers_too.py", 6),
    ]
    assert "uncalled" not in pull.marks
    assert "SM416" in codes(found["pull_rows"])


def test_a_helper_that_calls_is_looked_through(found: dict[str, Judged]) -> None:
    """``weigh_twice`` stands beside the tasks, and a group of another file calls it."""
    weigh = found["weigh"].site
    assert weigh.dag.id == "house_daily"
    assert weigh.task.ids == ("weights.weigh", "weights.weigh_again")
    assert weigh.elsewhere == ()
    assert Making.FACTORY in weigh.making


def test_an_id_that_a_caller_overrides(found: dict[str, Judged]) -> None:
    assert set(found["say"].site.task.ids) == {"tell", "weights.tell_it", "weights.tell_it__1"}


def test_nobody_calls_it(found: dict[str, Judged]) -> None:
    alone = found["nobody_calls_it"].site
    assert "uncalled" in alone.marks
    assert alone.id == f"{JOBS}.nobody_calls_it"


@pytest.mark.parametrize("name", ["pull_rows", "weigh", "say", "nobody_calls_it"])
def test_a_cutover_is_stable_and_can_be_taken_back(found: dict[str, Judged], name: str) -> None:
    move = moving.plan_of("cutover", DAGS, found[name], Needs(memory="2Gi"))
    (change,) = move.plan.changes
    assert change.path == JOBS
    text = edits.apply(move.file.text, change.edits)
    assert move.again is not None
    again = move.again({JOBS: text})
    assert not again.changes
    assert [one.code for one in again.findings] == ["SM411"]
    assert move.undo({JOBS: text}) == {JOBS: move.file.text}


def test_a_shadow_is_for_a_person_to_write(found: dict[str, Judged]) -> None:
    move = moving.plan_of("shadow", DAGS, found["pull_rows"], Needs())
    assert move.plan.disposition is Disposition.REFUSE
    (said,) = [one for one in move.plan.findings if one.code == "SM234"]
    assert said.message == "the DAG of the task is made in dags/callers.py"
    assert said.hint == 'write shadow("pull_rows") by hand, last in the DAG that begins at dags/callers.py:11'


def test_what_calls_is_read_again_when_the_functions_file_changes(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(
        "from airflow.decorators import task\n\n\n@task\ndef one(x):\n    return x\n"
    )
    (tmp_path / "dag.py").write_text(
        "from airflow import DAG\nfrom jobs import one\n\nwith DAG('d'):\n    one(1)\n"
    )
    (judged,) = (one for one in scan(tmp_path).sites if one.site.path == "jobs.py")
    move = moving.plan_of("cutover", tmp_path, judged, Needs(gpu="1"))
    (change,) = move.plan.changes
    after = edits.apply(move.file.text, change.edits)
    assert after.splitlines()[1] == "from stepbridge import Resources"
    assert move.again is not None
    assert [one.code for one in move.again({"jobs.py": after}).findings] == ["SM411"]


def test_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"job_{number}.py").write_text(
            f"from airflow.decorators import task\n@task\ndef f{number}():\n    return 1\n"
        )
        (tmp_path / f"dag_{number}.py").write_text(
            f"from airflow import DAG\nfrom job_{number} import f{number}\n"
            f"with DAG('d{number}'):\n    f{number}()\n"
        )
    alone, together = scan(tmp_path), scan(tmp_path, jobs=2)
    assert alone == together
    assert {one.site.dag.id for one in alone.sites} == {f"d{number}" for number in range(50)}


def _finding(judged: Judged, code: str) -> Finding:
    return next(one for one in judged.findings if one.code == code)


def test_what_it_pushed_before_it_raised_is_lost(found: dict[str, Judged]) -> None:
    said = _finding(found["say"], "SM324")
    assert (said.place.path, said.place.line) == (JOBS, 16)


def test_modules_beside_a_dist_info_are_libraries(tmp_path: Path) -> None:
    """As in ``site-packages``: what they define is followed no further than any other library."""
    (tmp_path / "jobs-1.0.dist-info").mkdir()
    (tmp_path / "jobs.py").write_text("def run():\n    open('/tmp/x')\n")
    (tmp_path / "dag.py").write_text(
        "from airflow import DAG\nfrom airflow.operators.python import PythonOperator\nfrom jobs import run\n"
        "with DAG('d'):\n    PythonOperator(task_id='t', python_callable=run)\n"
    )
    (judged,) = scan(tmp_path).sites
    assert codes(judged) == {"SM307"}
