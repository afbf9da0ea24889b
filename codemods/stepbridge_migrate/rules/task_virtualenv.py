"""``@task.virtualenv`` becomes ``@task.step``: the image has the packages that the old task installed."""

from __future__ import annotations

from stepbridge_migrate.model import Kind, Needs
from stepbridge_migrate.rules import environments
from stepbridge_migrate.rules.rule import Example, Rule

_AFTER = """\
    def train():
        import pandas

    train()

make()
"""
_BEFORE = """\
from airflow.decorators import dag, task

@dag(dag_id="d")
def make():
"""

RULE = Rule(
    name="task_virtualenv",
    version=1,
    kinds=frozenset({Kind.TASK_VIRTUALENV}),
    title="@task.virtualenv -> @task.step",
    docs="The decorator becomes ``@task.step``. The requirements and all else that made the virtual "
    "environment go, each with a warning: the step's image must have the packages.",
    examples=(
        Example(
            "requirements move to the image",
            _BEFORE
            + '    @task.virtualenv(requirements=["pandas"], system_site_packages=False, retries=1)\n'
            + _AFTER,
            _BEFORE + '    @task.step(image="registry/train:3", retries=1)\n' + _AFTER,
            needs=Needs(image="registry/train:3"),
        ),
    ),
    judge=environments.judge,
    rewrite=environments.rewrite,
    handled=environments.HANDLED,
    refusals=("SM225", "SM227"),
)
