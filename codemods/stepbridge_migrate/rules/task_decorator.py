"""``@task`` becomes ``@task.step``: bare, with brackets, with arguments, and as ``task(function)``."""

from __future__ import annotations

from stepbridge_migrate.model import Kind, Needs
from stepbridge_migrate.rules.python_operator import judge, rewrite
from stepbridge_migrate.rules.rule import Example, Rule

_HEAD = """\
from airflow.decorators import dag, task
{more}
@dag(dag_id="d")
def make():
"""

RULE = Rule(
    name="task_decorator",
    version=1,
    kinds=frozenset({Kind.TASK}),
    title="@task -> @task.step",
    docs="The decorator becomes ``@task.step``, its arguments stay. The function and its calls, with "
    "``.override``, ``.partial`` and ``.expand``, are not touched. A decorator that is not Airflow's "
    "``task`` by name becomes ``@step`` of stepbridge_airflow.",
    examples=(
        Example(
            "a bare decorator",
            _HEAD.format(more="")
            + """\
    @task
    def train(rows):
        return len(rows)

    train([1])

make()
""",
            _HEAD.format(more="")
            + """\
    @task.step
    def train(rows):
        return len(rows)

    train([1])

make()
""",
        ),
        Example(
            "with arguments",
            _HEAD.format(more="")
            + """\
    @task(retries=2)
    def train(rows):
        return len(rows)

    train([1])

make()
""",
            _HEAD.format(more="from stepbridge import Resources\n")
            + """\
    @task.step(retries=2, resources=Resources(memory="4Gi"))
    def train(rows):
        return len(rows)

    train([1])

make()
""",
            needs=Needs(memory="4Gi"),
        ),
    ),
    judge=judge,
    rewrite=rewrite,
)
