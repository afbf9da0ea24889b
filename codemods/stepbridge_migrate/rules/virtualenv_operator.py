"""PythonVirtualenvOperator becomes StepOperator: the image has the packages that the old task installed."""

from __future__ import annotations

from stepbridge_migrate.model import Kind, Needs
from stepbridge_migrate.rules import environments
from stepbridge_migrate.rules.rule import Example, Rule

RULE = Rule(
    name="virtualenv_operator",
    version=1,
    kinds=frozenset({Kind.VIRTUALENV}),
    title="PythonVirtualenvOperator -> StepOperator",
    docs="The class becomes StepOperator. The requirements and all else that made the virtual environment "
    "go, each with a warning: the step's image must have the packages. ``env_vars`` are the step's "
    "``environment``.",
    examples=(
        Example(
            "requirements move to the image",
            """\
from airflow import DAG
from airflow.operators.python import PythonVirtualenvOperator

with DAG("d"):
    PythonVirtualenvOperator(
        task_id="train",
        python_callable=fit,
        requirements=["pandas==2.2.3", "scikit-learn"],
        system_site_packages=False,
        env_vars={"MODE": "full"},
        retries=2,
    )
""",
            """\
from airflow import DAG
from stepbridge_airflow import StepOperator

with DAG("d"):
    StepOperator(
        task_id="train",
        python_callable=fit,
        image="registry/train:3",
        environment={"MODE": "full"},
        retries=2,
    )
""",
            needs=Needs(image="registry/train:3"),
        ),
    ),
    judge=environments.judge,
    rewrite=environments.rewrite,
    handled=environments.HANDLED,
    refusals=("SM225", "SM227"),
)
