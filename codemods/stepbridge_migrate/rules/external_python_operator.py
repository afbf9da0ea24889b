"""ExternalPythonOperator becomes StepOperator with the same interpreter."""

from __future__ import annotations

from stepbridge_migrate.model import Finding, Kind, Needs, Site
from stepbridge_migrate.rules import environments
from stepbridge_migrate.rules.judging import argument
from stepbridge_migrate.rules.rule import Example, Rule

HANDLED = environments.HANDLED | {"python"}


def judge(site: Site, needs: Needs) -> list[Finding]:
    """What there is to say of the interpreter and of what belonged to it."""
    found = environments.judge(site, needs)
    one = argument(site, "python")
    if one is not None and not any(item.place == one.place for item in found):
        found.append(Finding("SM316", f"the step runs in {' '.join(one.value.split())[:80]}", one.place))
    return found


RULE = Rule(
    name="external_python_operator",
    version=1,
    kinds=frozenset({Kind.EXTERNAL}),
    title="ExternalPythonOperator -> StepOperator",
    docs="The class becomes StepOperator; ``python=`` means the same to a step. That interpreter needs "
    "stepbridge. What told the old class how to carry values goes, each with a warning.",
    examples=(
        Example(
            "the interpreter stays",
            """\
from airflow import DAG
from airflow.operators.python import ExternalPythonOperator

with DAG("d"):
    ExternalPythonOperator(task_id="train", python="/opt/ml/bin/py", python_callable=fit, serializer="dill")
""",
            """\
from airflow import DAG
from stepbridge_airflow import StepOperator

with DAG("d"):
    StepOperator(task_id="train", python="/opt/ml/bin/py", python_callable=fit)
""",
        ),
    ),
    judge=judge,
    rewrite=environments.rewrite,
    handled=HANDLED,
    refusals=("SM225", "SM227"),
)
