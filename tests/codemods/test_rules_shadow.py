"""The shadow statement: where it stands, what it says, and how a cutover takes it away again."""

# ruff: noqa: E501 - calls stand in one line, as in DAG files

from __future__ import annotations

from pathlib import Path

import pytest
from rule_checks import check_noop, check_transformed, edit, site

from stepbridge_migrate import rules
from stepbridge_migrate.model import Needs

TOP = "from airflow import DAG\nfrom airflow.operators.python import PythonOperator\n"
WITH = TOP + "from stepbridge_airflow import shadow\n"
CALL = 'PythonOperator(task_id="train", python_callable=fit)'
DECORATED = "from airflow.decorators import dag, task\n"

CASES = {
    "last in the with block": (
        f'with DAG("d"):\n    train = {CALL}\n    train >> done\n',
        f'with DAG("d"):\n    train = {CALL}\n    train >> done\n    shadow("train")\n',
    ),
    "before what follows the block": (
        f'with DAG("d") as dag:\n    {CALL}  # here\n\n\nif __name__ == "__main__":\n    dag.test()\n',
        f'with DAG("d") as dag:\n    {CALL}  # here\n    shadow("train")\n\n\nif __name__ == "__main__":\n'
        "    dag.test()\n",
    ),
    "no line end at the end": (
        f'with DAG("d"):\n    {CALL}', f'with DAG("d"):\n    {CALL}\n    shadow("train")',
    ),
    "at the end of the module with dag=": (
        f'dag = DAG("d")\n{CALL[:-1]}, dag=dag)\nother >> train\n',
        f'dag = DAG("d")\n{CALL[:-1]}, dag=dag)\nother >> train\nshadow("train", dag=dag)\n',
    ),
    "before the program's own part": (
        f'dag = DAG("d")\n{CALL[:-1]}, dag=dag)\n\nif __name__ == "__main__":\n    dag.cli()\n',
        f'dag = DAG("d")\n{CALL[:-1]}, dag=dag)\nshadow("train", dag=dag)\n\nif __name__ == "__main__":\n'
        "    dag.cli()\n",
    ),
    "before the name means the next DAG": (
        f'dag = DAG("d")\n{CALL[:-1]}, dag=dag)\ndag = DAG("e")\n',
        f'dag = DAG("d")\n{CALL[:-1]}, dag=dag)\nshadow("train", dag=dag)\ndag = DAG("e")\n',
    ),
    "before a factory's return": (
        f'def make():\n    dag = DAG("d")\n    {CALL[:-1]}, dag=dag)\n    return dag\n\n\nmake()\n',
        f'def make():\n    dag = DAG("d")\n    {CALL[:-1]}, dag=dag)\n    shadow("train", dag=dag)\n'
        "    return dag\n\n\nmake()\n",
    ),
    "in a with block in a factory": (
        f'def make():\n    with DAG("d") as dag:\n        {CALL}\n    return dag\n\n\nmake()\n',
        f'def make():\n    with DAG("d") as dag:\n        {CALL}\n        shadow("train")\n    return dag\n\n\n'
        "make()\n",
    ),
    "a glob for a loop": (
        'with DAG("d"):\n    for n in NAMES:\n        PythonOperator(task_id=f"load_{n}", python_callable=fit)\n',
        'with DAG("d"):\n    for n in NAMES:\n        PythonOperator(task_id=f"load_{n}", python_callable=fit)\n'
        '    shadow("load_*")\n',
    ),
    "with its groups": (
        f'from airflow.utils.task_group import TaskGroup\n\nwith DAG("d"):\n    with TaskGroup("g"):\n        {CALL}\n',
        f'from airflow.utils.task_group import TaskGroup\n\nwith DAG("d"):\n    with TaskGroup("g"):\n        {CALL}\n'
        '    shadow("g.train")\n',
    ),
    "tabs": (f'with DAG("d"):\n\t{CALL}\n', f'with DAG("d"):\n\t{CALL}\n\tshadow("train")\n'),
}  # fmt: skip


def _text(body: str, imports: str) -> str:
    head = imports
    if body.startswith("from "):
        line, _, body = body.partition("\n")
        head = TOP + line + "\n" + imports.removeprefix(TOP)
    return f"{head}{body}"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", CASES)
def test_where_it_stands(name: str, newline: str, tmp_path: Path) -> None:
    before, after = (
        _text(body, imports).replace("\n", newline)
        for body, imports in zip(CASES[name], (TOP, WITH), strict=True)
    )
    task = "d.load_*" if "load_" in before else "d.g.train" if "TaskGroup" in before else "d.train"
    check_transformed(tmp_path, before, after, task, action="shadow")


def test_in_a_dag_function_before_its_return(tmp_path: Path) -> None:
    body = "\n\n@dag(dag_id='d')\ndef make():\n    @task\n    def train():\n        return 1\n\n    train()\n"
    more = "from stepbridge_airflow import shadow\n"
    check_transformed(
        tmp_path,
        f"{DECORATED}{body}    return 1\n",
        f'{DECORATED}{more}{body}    shadow("train")\n    return 1\n',
        action="shadow",
    )
    check_transformed(
        tmp_path, f"{DECORATED}{body}", f'{DECORATED}{more}{body}    shadow("train")\n', action="shadow"
    )


def test_what_the_step_needs_is_said_in_lines_where_it_is_long(tmp_path: Path) -> None:
    needs = Needs(gpu="1", memory="16Gi", image="registry.example.com/team/train:2026.11", cache="auto")
    done = edit(
        tmp_path, TOP + CASES["tabs"][0].replace("\t", "    "), "d.train", action="shadow", needs=needs
    )
    assert done.after.endswith(
        '    shadow(\n        "train",\n        image="registry.example.com/team/train:2026.11",\n'
        '        resources=Resources(gpu=1, memory="16Gi"),\n        cache="auto",\n    )\n'
    )


NEEDS = {
    "nothing": Needs(),
    "resources": Needs(gpu="1", memory="16Gi"),
    "all": Needs(
        gpu="T4:2", image="i:1", cache="auto", timeout="2h", backend="pod", xcom="value", variables=("v",)
    ),
}


@pytest.mark.parametrize("needs", NEEDS)
@pytest.mark.parametrize("name", CASES)
def test_shadow_then_cutover_is_cutover(name: str, needs: str, tmp_path: Path) -> None:
    text = _text(CASES[name][0], TOP)
    task = "d.load_*" if "load_" in text else "d.g.train" if "TaskGroup" in text else "d.train"
    at_once = edit(tmp_path, text, task, needs=NEEDS[needs]).after
    beside = edit(tmp_path, text, task, action="shadow", needs=NEEDS[needs]).after
    assert edit(tmp_path, beside, task, needs=NEEDS[needs]).after == at_once


def test_a_cutover_keeps_what_the_shadow_said_of_the_step(tmp_path: Path) -> None:
    text = _text(CASES["last in the with block"][0], TOP)
    beside = edit(tmp_path, text, "d.train", action="shadow", needs=Needs(gpu="1", timeout="2h")).after
    done = edit(tmp_path, beside, "d.train").after
    assert done == edit(tmp_path, text, "d.train", needs=Needs(gpu="1", timeout="2h")).after
    other = edit(tmp_path, beside, "d.train", needs=Needs(gpu="2")).after
    assert "resources=Resources(gpu=2), timeout=timedelta(hours=2)" in other


def test_a_neighbour_keeps_its_shadow_and_the_import(tmp_path: Path) -> None:
    text = TOP + f'with DAG("d"):\n    {CALL}\n    PythonOperator(task_id="load", python_callable=fit)\n'
    one = edit(tmp_path, text, "d.train", action="shadow", needs=Needs(gpu="1")).after
    two = edit(tmp_path, one, "d.load", action="shadow", needs=Needs(gpu="1")).after
    assert two.count("import shadow") == 1
    assert two.endswith(
        '    shadow("train", resources=Resources(gpu=1))\n    shadow("load", resources=Resources(gpu=1))\n'
    )
    moved = edit(tmp_path, two, "d.train").after
    assert 'shadow("load", resources=Resources(gpu=1))' in moved
    assert 'shadow("train"' not in moved
    both = edit(tmp_path, moved, "d.load").after
    assert "shadow" not in both
    assert "PythonOperator" not in both


def test_a_shadow_beside_it_already_is_nothing_to_do(tmp_path: Path) -> None:
    text = _text(CASES["last in the with block"][1], WITH)
    found = site(tmp_path, text, "d.train")
    plan = rules.plan("shadow", found, Needs(), text)
    assert [one.code for one in plan.findings] == ["SM411"]
    assert not plan.changes


def test_sm236_a_shadow_that_migrate_cannot_take_out(tmp_path: Path) -> None:
    text = _text(CASES["last in the with block"][1], WITH).replace(
        'shadow("train")', 'shadow("train", **more)'
    )
    check_noop(tmp_path, text, "SM236")


def test_nothing_is_shadowed_where_the_dag_has_no_name(tmp_path: Path) -> None:
    text = TOP + f'{CALL[:-1]}, dag=DAG("d"))\n'
    check_noop(tmp_path, text, "SM234", action="shadow")


def test_a_shadow_of_another_candidate_is_not_cut_over(tmp_path: Path) -> None:
    text = f'{WITH}with DAG("d"):\n    {CALL}\n    shadow("train", candidate=other)\n'
    plan = edit(tmp_path, text, "train", action="cutover").plan
    assert not plan.changes
    assert [one.code for one in plan.findings if one.code == "SM236"] == ["SM236"]
    assert "other" in next(one.message for one in plan.findings if one.code == "SM236")
