"""PythonOperator becomes StepOperator: the class at the call and the import; all else stays."""

from __future__ import annotations

from stepbridge_migrate.model import Finding, Kind, Needs, Site
from stepbridge_migrate.rules.environments import no_ops
from stepbridge_migrate.rules.rule import Example, Rewrite, Rule


def judge(site: Site, needs: Needs) -> list[Finding]:  # noqa: ARG001 - a rule's signature
    """A PythonOperator has no argument that needs a word of its own."""
    return []


def rewrite(site: Site) -> Rewrite:
    """Only what has had no meaning since Airflow 2 goes."""
    return Rewrite(drop=tuple(no_ops(site)))


_BEFORE = """\
from airflow import DAG
from airflow.operators.python import PythonOperator

with DAG("d") as dag:
    train = PythonOperator(
        task_id="train",
        python_callable=fit,
        op_kwargs={"epochs": 3},  # enough
        provide_context=True,
    )
"""

RULE = Rule(
    name="python_operator",
    version=1,
    kinds=frozenset({Kind.PYTHON}),
    title="PythonOperator -> StepOperator",
    docs="The class at the call becomes StepOperator, which takes the same arguments; what the step needs "
    "beyond them is added in the layout of the call. The callable, the task id, the variable and the edges "
    "stay. ``provide_context`` goes, which has meant nothing since Airflow 2.",
    examples=(
        Example(
            "the class and the import",
            _BEFORE,
            """\
from airflow import DAG
from stepbridge_airflow import StepOperator

with DAG("d") as dag:
    train = StepOperator(
        task_id="train",
        python_callable=fit,
        op_kwargs={"epochs": 3},  # enough
    )
""",
        ),
        Example(
            "with what the step needs",
            _BEFORE,
            """\
from airflow import DAG
from stepbridge import Resources
from stepbridge_airflow import StepOperator

with DAG("d") as dag:
    train = StepOperator(
        task_id="train",
        python_callable=fit,
        op_kwargs={"epochs": 3},  # enough
        resources=Resources(gpu=1, memory="16Gi"),
        cache="auto",
    )
""",
            needs=Needs(gpu="1", memory="16Gi", cache="auto"),
        ),
        Example(
            "a step beside the task",
            _BEFORE,
            """\
from airflow import DAG
from airflow.operators.python import PythonOperator
from stepbridge import Resources
from stepbridge_airflow import shadow

with DAG("d") as dag:
    train = PythonOperator(
        task_id="train",
        python_callable=fit,
        op_kwargs={"epochs": 3},  # enough
        provide_context=True,
    )
    shadow("train", resources=Resources(gpu=1))
""",
            action="shadow",
            needs=Needs(gpu="1"),
        ),
    ),
    judge=judge,
    rewrite=rewrite,
)
