"""Imports come where they are in scope, under a name that is free, and the old one goes only where it may."""

# ruff: noqa: E501 - calls stand in one line, as in DAG files

from __future__ import annotations

from pathlib import Path

import pytest
from rule_checks import check_transformed, edit

from stepbridge_migrate.model import Needs

OLD = "from airflow.operators.python import PythonOperator\n"
NEW = "from stepbridge_airflow import StepOperator\n"
BODY = """
with DAG("d"):
    {}(task_id="train", python_callable=fit)
"""
PLAIN = "from airflow import DAG\n" + OLD + BODY.format("PythonOperator")
MOVED = "from airflow import DAG\n" + NEW + BODY.format("StepOperator")


CASES = {
    "the old import goes": (PLAIN, MOVED),
    "below the last import, not below the old one": (
        PLAIN.replace(OLD, OLD + "from datetime import datetime\n"),
        MOVED.replace(NEW, "from datetime import datetime\n" + NEW),
    ),
    "not above the docstring and __future__": (
        '"""Trains."""\nfrom __future__ import annotations\n' + PLAIN.replace("DAG\n", "DAG\n", 1),
        '"""Trains."""\nfrom __future__ import annotations\n' + MOVED,
    ),
    "one of several names": (
        PLAIN.replace("import PythonOperator", "import BranchPythonOperator, PythonOperator"),
        MOVED.replace(NEW, "from airflow.operators.python import BranchPythonOperator\n" + NEW),
    ),
    "the first of several names": (
        PLAIN.replace("import PythonOperator", "import PythonOperator, get_current_context"),
        MOVED.replace(NEW, "from airflow.operators.python import get_current_context\n" + NEW),
    ),
    "a line of its own in brackets": (
        PLAIN.replace("import PythonOperator\n", "import (\n    PythonOperator,\n    ShortCircuitOperator,\n)\n"),
        MOVED.replace(NEW, "from airflow.operators.python import (\n    ShortCircuitOperator,\n)\n" + NEW),
    ),
    "an alias": (
        PLAIN.replace("import PythonOperator", "import PythonOperator as Py").replace("    PythonO", "    PythonO")
        .replace("    PythonOperator(", "    Py("),
        MOVED,
    ),
    "a module and its attribute": (
        PLAIN.replace(OLD, "import airflow.operators.python as ops\n").replace("    Python", "    ops.Python"),
        MOVED,
    ),
    "a path of Airflow 1.10": (PLAIN.replace("operators.python ", "operators.python_operator "), MOVED),
    "a path of Airflow 3": (
        PLAIN.replace("airflow.operators.python ", "airflow.providers.standard.operators.python "), MOVED,
    ),
    "used elsewhere, so it stays": (
        PLAIN + '    PythonOperator(task_id="other", python_callable=fit)\n',
        MOVED.replace(NEW, OLD + NEW) + '    PythonOperator(task_id="other", python_callable=fit)\n',
    ),
    "marked noqa, so it stays": (
        PLAIN.replace("PythonOperator\n", "PythonOperator  # noqa: F401\n", 1),
        MOVED.replace(NEW, OLD.replace("\n", "  # noqa: F401\n") + NEW),
    ),
    "exported, so it stays": (
        PLAIN.replace(OLD, OLD + '\n__all__ = ["PythonOperator"]\n'),
        MOVED.replace(NEW, OLD + NEW + '\n__all__ = ["PythonOperator"]\n'),
    ),
    "in try, so both stay": (
        PLAIN.replace(OLD, "try:\n    from airflow.providers.standard.operators.python import PythonOperator\n"
                      "except ImportError:\n    from airflow.operators.python import PythonOperator\n"),
        MOVED.replace(NEW, NEW + "try:\n    from airflow.providers.standard.operators.python import "
                      "PythonOperator\nexcept ImportError:\n    from airflow.operators.python import "
                      "PythonOperator\n"),
    ),
    "found by globals(), so it stays": (
        PLAIN + 'globals()["x"] = 1\n', MOVED.replace(NEW, OLD + NEW) + 'globals()["x"] = 1\n',
    ),
    "there already": (PLAIN.replace(OLD, OLD + NEW), MOVED),
    "there under another name": (
        PLAIN.replace(OLD, OLD + "from stepbridge_airflow import StepOperator as SO\n"),
        MOVED.replace(NEW, "from stepbridge_airflow import StepOperator as SO\n").replace("    StepO", "    SO")
        .replace("SOperator(", "SO("),
    ),
    "beside another name of the same module": (
        PLAIN.replace(OLD, OLD + "from stepbridge_airflow import from_xcom\n"),
        MOVED.replace(NEW, "from stepbridge_airflow import from_xcom, StepOperator\n"),
    ),
    "the name is taken": (
        PLAIN.replace(OLD, OLD + "StepOperator = None\n"),
        MOVED.replace(NEW, NEW.replace("StepOperator", "StepOperator as StepbridgeOperator")
                      + "StepOperator = None\n").replace("    StepO", "    StepbridgeO"),
    ),
    "an import after code": (
        PLAIN.replace(OLD, "import sys\n\nsys.path.append('.')\n" + OLD),
        MOVED.replace(NEW, "import sys\n\nsys.path.append('.')\n" + NEW),
    ),
    "inside the function": (
        'def make():\n    from airflow import DAG\n    from airflow.operators.python import PythonOperator\n\n'
        '    with DAG("d") as dag:\n        PythonOperator(task_id="train", python_callable=fit)\n    return dag\n'
        "\n\nmake()\n",
        'def make():\n    from airflow import DAG\n    from stepbridge_airflow import StepOperator\n\n'
        '    with DAG("d") as dag:\n        StepOperator(task_id="train", python_callable=fit)\n    return dag\n'
        "\n\nmake()\n",
    ),
    "two imports in one line": (
        PLAIN.replace("from airflow import DAG\n" + OLD, "from airflow import DAG; " + OLD),
        MOVED.replace("from airflow import DAG\n" + NEW, "from airflow import DAG; " + OLD + NEW),
    ),
    "a form feed and a cookie": (
        "# -*- coding: utf-8 -*-\n\x0c\n" + PLAIN + "# é\n", "# -*- coding: utf-8 -*-\n\x0c\n" + MOVED + "# "
        "é\n",
    ),
    "no line end at the end": (PLAIN.rstrip("\n"), MOVED.rstrip("\n")),
}  # fmt: skip


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", CASES)
def test_imports(name: str, newline: str, tmp_path: Path) -> None:
    before, after = CASES[name]
    check_transformed(tmp_path, before.replace("\n", newline), after.replace("\n", newline))


def test_all_that_is_needed_is_imported_in_the_order_of_the_modules(tmp_path: Path) -> None:
    done = edit(tmp_path, PLAIN, "d.train", needs=Needs(gpu="A10G:1", timeout="90m"))
    assert (
        "from airflow import DAG\n"
        "from datetime import timedelta\n"
        "from stepbridge import Resources\n"
        "from stepbridge_airflow import StepOperator\n"
    ) in done.after
    assert 'resources=Resources(gpu="A10G:1"), timeout=timedelta(minutes=90)' in done.after


def test_a_name_that_a_value_uses_is_imported(tmp_path: Path) -> None:
    needs = Needs(arguments={"secrets": '[Secret("db", "password", env="PW")]'})
    done = edit(tmp_path, PLAIN, "d.train", needs=needs)
    assert "from stepbridge import Secret\n" in done.after


DECORATORS = {
    "an alias of task": ("from airflow.decorators import dag, task as t", "@t", "@t.step"),
    "a module and its attribute": ("from airflow import decorators as ad\nfrom airflow.decorators import dag",
                                   "@ad.task(retries=1)", "@ad.task.step(retries=1)"),
    "empty brackets": ("from airflow.sdk import dag, task", "@task()", "@task.step()"),
    "task.python": ("from airflow.sdk import dag, task", "@task.python", "@task.step"),
    "a comment behind it": ("from airflow.sdk import dag, task", "@task  # cheap", "@task.step  # cheap"),
    "another decorator below": ("from airflow.sdk import dag, task\nfrom functools import cache",
                                "@task\n    @cache", "@task.step\n    @cache"),
}  # fmt: skip


@pytest.mark.parametrize("name", DECORATORS)
def test_decorators(name: str, tmp_path: Path) -> None:
    imports, before, after = DECORATORS[name]
    text = f"{imports}\n\n\n@dag(dag_id='d')\ndef make():\n    {{}}\n    def train():\n        return 1\n\n    train()\n"
    check_transformed(tmp_path, text.format(before), text.format(after))


def test_a_function_that_is_given_to_task(tmp_path: Path) -> None:
    text = (
        "from airflow import DAG\nfrom airflow.decorators import task\n\n\ndef train():\n    return 1\n\n\n"
    )
    text += 'with DAG("d"):\n    task(train, retries=2)()\n'
    check_transformed(
        tmp_path,
        text,
        text.replace("task(train, retries=2)", 'task.step(train, retries=2, image="i:1")'),
        needs=Needs(image="i:1"),
    )
