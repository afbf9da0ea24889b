"""``@task.external_python`` becomes ``@task.step`` with the same interpreter."""

from __future__ import annotations

from stepbridge_migrate.model import Kind
from stepbridge_migrate.rules import environments
from stepbridge_migrate.rules.external_python_operator import HANDLED, judge
from stepbridge_migrate.rules.rule import Example, Rule

_BEFORE = """\
from airflow.sdk import dag, task

@dag(dag_id="d")
def make():
"""
_AFTER = """\
    def train():
        import pandas

    train()

make()
"""

RULE = Rule(
    name="task_external_python",
    version=1,
    kinds=frozenset({Kind.TASK_EXTERNAL}),
    title="@task.external_python -> @task.step",
    docs="The decorator becomes ``@task.step``; ``python=`` means the same to a step. That interpreter needs "
    "stepbridge.",
    examples=(
        Example(
            "the interpreter stays",
            _BEFORE
            + '    @task.external_python(python="/opt/ml/bin/python", expect_airflow=False)\n'
            + _AFTER,
            _BEFORE + '    @task.step(python="/opt/ml/bin/python")\n' + _AFTER,
        ),
    ),
    judge=judge,
    rewrite=environments.rewrite,
    handled=HANDLED,
    refusals=("SM225", "SM227"),
)
