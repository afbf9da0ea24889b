"""DAG files for the tests of verification: one file a case, the text before, and an edit of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stepbridge_migrate.model import (
    Change,
    DagScope,
    Disposition,
    Edit,
    Kind,
    Place,
    Plan,
    Site,
    Span,
    State,
    TaskName,
)

HEAD = """\
import random
from datetime import datetime, timedelta
try:
    from airflow.sdk import DAG, TaskGroup, task
except ImportError:
    from airflow import DAG
    from airflow.decorators import task
    from airflow.utils.task_group import TaskGroup
try:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.empty import EmptyOperator
    from airflow.operators.python import PythonOperator
STEP

def fit(lr=1, **context):
    return lr

def alarm(context):
    print(context)

"""
BODY = """\
with DAG("CASE", start_date=datetime(2024, 1, 1), default_args={"owner": "me", "retries": 1}) as dag:
    extract = PythonOperator(task_id="extract", python_callable=fit, op_kwargs={"lr": 2})
    with TaskGroup("g"):
        train = PythonOperator(
            task_id="train", python_callable=fit, op_kwargs={"lr": "{{ ds }}"}, pool="gpu", retries=5,
            trigger_rule="all_done", execution_timeout=timedelta(minutes=5), on_failure_callback=alarm,
            queue="big", priority_weight=3, params={"a": 1}, doc_md="trains",
        )
    report = PythonOperator(task_id="report", python_callable=fit)
    extract >> train >> report
"""
LOOP = """\
with DAG("CASE", start_date=datetime(2024, 1, 1)) as dag:
    end = EmptyOperator(task_id="end")
    for name in ("a", "b"):
        PythonOperator(task_id=f"load_{name}", python_callable=fit, pool="p") >> end
"""
MAPPED = """\
with DAG("CASE", start_date=datetime(2024, 1, 1)) as dag:
    train = PythonOperator.partial(task_id="train", python_callable=fit, retries=4, pool="p").expand(
        op_kwargs=[{"lr": 1}, {"lr": 2}]
    )
    train >> EmptyOperator(task_id="end")
"""
DECORATED = """\
@task(retries=3, pool="p")
def train(lr: int = 1) -> dict:
    "Trains."
    return {"lr": lr}

@task
def report(result):
    return result

with DAG("CASE", start_date=datetime(2024, 1, 1)) as dag:
    report(train(2))
"""
POD = """\
@task.kubernetes(image="registry/train:1", namespace="ml", retries=3)
def train(lr=1):
    return lr

with DAG("CASE", start_date=datetime(2024, 1, 1)) as dag:
    train(2)
"""
SHADOW = """\
    shadow = EmptyOperator(task_id="g.train__shadow")
    compare = EmptyOperator(task_id="g.train__compare")
    extract >> shadow
    [train, shadow] >> compare
"""
STEP = "from stepbridge_airflow import StepOperator"
MOVE = (("train = PythonOperator", "train = StepOperator"),)
EDGES = "    extract >> train >> report\n"
DOC = ' doc_md="trains",'
TRAIN = TaskName("'train'", ("g.train",), "g.train", True)


@dataclass(frozen=True)
class Case:
    """One DAG file and its edit; the DAG is named as the case.

    :param changes: what stands there, and what is put in its place, beside the import of StepOperator.
    :param fault: what the check has to say; empty for an edit that is right.
    """

    name: str
    changes: tuple[tuple[str, str], ...]
    fault: str = ""
    text: str = BODY
    task: TaskName = TRAIN
    kind: Kind = Kind.PYTHON
    action: str = "cutover"
    state: State = State.LEGACY
    imports: bool = True

    @property
    def before(self) -> str:
        """The file as it is."""
        return HEAD.replace("STEP", "") + self.text.replace("CASE", self.name)

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits, in order."""
        text, found = self.before, []
        for old, new in self.changes:
            old, new = old.replace("CASE", self.name), new.replace("CASE", self.name)
            start = text.index(old)
            found.append(Edit(start, old, new))
        if self.imports:
            found.append(Edit(text.index("\n\ndef fit"), "", STEP))
        return tuple(sorted(found, key=lambda one: one.start))

    def plan(self, path: str) -> Plan:
        """The plan for the file at *path*."""
        site = Site(
            path=path,
            dag=DagScope(self.name, "with"),
            task=self.task,
            kind=self.kind,
            operator="airflow.operators.python.PythonOperator",
            local="PythonOperator",
            place=Place(path, 1),
            name=Span(0, 0),
            call=Span(0, 0),
            open=None,
            arguments=(),
            state=self.state,
        )
        return Plan(self.action, site, Disposition.AUTO, (Change(path, self.edits),))


def task(name: str) -> TaskName:
    """One id."""
    return TaskName(repr(name), (name,), name, True)


def _moved(*more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (*MOVE, *more)


RIGHT = (
    Case("right", MOVE),
    Case(
        "resources",
        _moved((DOC, DOC + ' cache="auto", timeout=timedelta(hours=1),')),
    ),
    Case(
        "random_neighbour",
        MOVE,
        text=BODY.replace('{"lr": 2}', '{"lr": random.random(), "at": datetime.now().isoformat()}'),
    ),
    Case(
        "loop",
        (("PythonOperator(task_id=f", "StepOperator(task_id=f"),),
        text=LOOP,
        task=TaskName('f"load_{name}"', (), "load_*", False),
    ),
    Case("mapped", (("PythonOperator.partial", "StepOperator.partial"),), text=MAPPED, task=task("train")),
    Case(
        "shadow",
        ((EDGES, EDGES + SHADOW),),
        action="shadow",
        imports=False,
    ),
    Case(
        "back",
        (("train = StepOperator", "train = PythonOperator"),),
        text=BODY.replace("train = Python", f"{STEP}\n        train = Step"),
        action="rollback",
        state=State.CUTOVER,
        imports=False,
    ),
    Case(
        "from_shadow",
        (*MOVE, (SHADOW, "")),
        text=BODY + SHADOW,
        state=State.SHADOW,
    ),
    Case(
        "decorated",
        (("@task(retries=3", "@task.step(retries=3"),),
        text=DECORATED,
        task=task("train"),
        kind=Kind.TASK,
        imports=False,
    ),
    Case(
        "pod",
        (
            ("@task.kubernetes(", "@task.step("),
            ("retries=3)", 'retries=3, backend="pod", do_xcom_push=False)'),
        ),
        text=POD,
        task=task("train"),
        kind=Kind.TASK_KUBERNETES,
        imports=False,
    ),
    Case(
        "real_shadow",
        (
            (EDGES, EDGES + '    shadow("g.train", cache="auto")\n'),
            ("\n\ndef fit", "from stepbridge_airflow import shadow\n\ndef fit"),
        ),
        action="shadow",
        imports=False,
    ),
    Case(
        "real_shadow_of_loop",
        (
            ("\n\ndef fit", "from stepbridge_airflow import shadow\n\ndef fit"),
            ('pool="p") >> end\n', 'pool="p") >> end\n    shadow("load_*")\n'),
        ),
        text=LOOP,
        task=TaskName('f"load_{name}"', (), "load_*", False),
        action="shadow",
        imports=False,
    ),
)
WRONG = (
    Case("dropped_pool", _moved((' pool="gpu",', "")), "task 'g.train': pool was 'gpu'"),
    Case("changed_retries", _moved(("retries=5", "retries=4")), "task 'g.train': retries was 5, is 4"),
    Case(
        "lost_edge",
        _moved(("extract >> train >> report", "extract >> train")),
        "task 'g.train': downstream_task_ids",
    ),
    Case("renamed", _moved(('task_id="train"', 'task_id="trian"')), "task 'g.train' is gone"),
    Case(
        "extra",
        _moved(("    extract >>", '    EmptyOperator(task_id="more")\n    extract >>')),
        "task 'more' is new",
    ),
    Case("rule", _moved(('trigger_rule="all_done", ', "")), "trigger_rule"),
    Case("limit", _moved(("minutes=5", "minutes=6")), "execution_timeout was 300.0, is 360.0"),
    Case("callback", _moved((" on_failure_callback=alarm,", "")), "on_failure_callback"),
    Case("queue", _moved((' queue="big",', "")), "queue was 'big'"),
    Case("weight", _moved((" priority_weight=3,", "")), "priority_weight was 3"),
    Case("params", _moved((' params={"a": 1},', "")), "params"),
    Case("values", _moved(('"{{ ds }}"', '"{{ ts }}"')), "op_kwargs"),
    Case("doc", _moved((' doc_md="trains",', "")), "doc_md was 'trains'"),
    Case("other_moved", _moved(("report = PythonOperator", "report = StepOperator")), "task 'report': "),
    Case(
        "other_changed",
        _moved(('"report", python', '"report", retries=9, python')),
        "task 'report': retries was 1, is 9",
    ),
    Case("other_dag", _moved(('DAG("CASE"', 'DAG("CASE_2"')), "DAG 'other_dag' is gone"),
    Case("dag_changed", _moved(("start_date=datetime(2024, 1", "start_date=datetime(2024, 2")), "start_date"),
    Case("group_left", _moved(('with TaskGroup("g"):', 'with TaskGroup("h"):')), "group 'g' is gone"),
    Case(
        "added_step",
        ((EDGES, EDGES + '    StepOperator(task_id="x", python_callable=fit)\n'),),
        "task 'x' is new",
    ),
    Case(
        "mapped_pool",
        (("PythonOperator.partial", "StepOperator.partial"), (', pool="p"', "")),
        "partial_kwargs.pool",
        text=MAPPED,
        task=task("train"),
    ),
    Case(
        "mapped_values",
        (("PythonOperator.partial", "StepOperator.partial"), ('{"lr": 2}', '{"lr": 3}')),
        "expand_input",
        text=MAPPED,
        task=task("train"),
    ),
    Case(
        "pod_image",
        (('@task.kubernetes(image="registry/train:1", ', "@task.step("),),
        "image was 'registry/train:1', is absent",
        text=POD,
        task=task("train"),
        imports=False,
    ),
    Case(
        "shadow_extra",
        ((EDGES, EDGES + SHADOW + '    EmptyOperator(task_id="more")\n'),),
        "task 'more' is new",
        action="shadow",
        imports=False,
    ),
    Case(
        "shadow_half",
        ((EDGES, EDGES + '    extract >> EmptyOperator(task_id="g.train__shadow")\n'),),
        "task 'g.train__compare' of the shadow is missing",
        action="shadow",
        imports=False,
    ),
    Case(
        "shadow_touches",
        ((EDGES, EDGES + SHADOW), (' pool="gpu",', "")),
        "task 'g.train': pool",
        action="shadow",
        imports=False,
    ),
    Case("shadow_stays", MOVE, "task 'g.train__shadow' is new", text=BODY + SHADOW, state=State.SHADOW),
)


def write(folder: Path, cases: tuple[Case, ...]) -> dict[Path, bytes]:
    """Put the cases' files in a folder.

    :returns: each file's path with its candidate's bytes.
    """
    from stepbridge_migrate.verify.texts import compose

    folder.mkdir(parents=True, exist_ok=True)
    candidates = {}
    for case in cases:
        path = folder / f"{case.name}.py"
        path.write_text(case.before)
        candidates[path] = compose(case.before, case.edits).encode()
    return candidates


def named(name: str) -> Case:
    """The case of that name."""
    return next(case for case in (*RIGHT, *WRONG) if case.name == name)
