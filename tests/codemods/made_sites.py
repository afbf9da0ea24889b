"""Sites, inventories and reports made by hand, for tests of what chooses and renders them."""

from __future__ import annotations

from stepbridge_migrate.landing import unified
from stepbridge_migrate.model import (
    Argument,
    CallableFacts,
    Change,
    Check,
    DagScope,
    Disposition,
    Edit,
    Effect,
    Finding,
    Form,
    Inventory,
    Judged,
    Kind,
    Making,
    Needs,
    Parameter,
    Place,
    Plan,
    Pull,
    Reader,
    Site,
    Span,
    TaskName,
)
from stepbridge_migrate.problems import Exit
from stepbridge_migrate.report import Edited, Outcome, Planned, Problem, Report, Stage, Standing, Status

PATH = "dags/daily.py"
BEFORE = 'train = PythonOperator(\n    task_id="train", python_callable=fit\n)\n'
AFTER = 'train = StepOperator(\n    task_id="train", python_callable=fit\n)\n'


def site(
    task: str = "train",
    *,
    dag: str = "daily",
    line: int = 12,
    path: str = PATH,
    kind: Kind = Kind.PYTHON,
    ids: tuple[str, ...] | None = None,
    complete: bool = True,
    making: tuple[Making, ...] = (Making.PLAIN,),
    facts: CallableFacts | None = None,
    readers: tuple[Reader, ...] = (),
    last_line: int | None = None,
) -> Site:
    place = Place(path, line, 5)
    return Site(
        path=path,
        dag=DagScope(dag, "with"),
        task=TaskName(repr(task), (task,) if ids is None else ids, task, complete),
        kind=kind,
        operator="airflow.operators.python.PythonOperator",
        local="PythonOperator",
        place=place,
        name=Span(0, 14),
        call=Span(0, 60),
        open=15,
        arguments=(
            Argument("task_id", repr(task), Span(20, 30), Place(path, last_line or line, 9), literal=True),
        ),
        making=making,
        callable=facts,
        readers=readers,
    )


FACTS = CallableFacts(
    text="fit",
    form=Form.FUNCTION,
    name="daily:fit",
    definition=Place(PATH, 3),
    parameters=(Parameter("rows", "POSITIONAL_OR_KEYWORD"), Parameter("context", "VAR_KEYWORD")),
    returns=True,
    context_keys=("ds", "ti"),
    pulls=(Pull(("extract",), "rows", Place(PATH, 5), producers=("daily.extract",)),),
    pushes=("auc",),
    variables=("limit",),
    connections=("lake",),
    modules=("features.clean",),
    files=(Effect("/tmp/rows.csv", Place(PATH, 6)),),
    environment=("HOME",),
)
READERS = (Reader("daily.report", "xcom_pull", "return_value", Place(PATH, 40)),)


def judged(one: Site, disposition: Disposition = Disposition.AUTO, *findings: Finding) -> Judged:
    return Judged(one, disposition, findings)


def inventory(*sites: Judged, skipped: tuple[Finding, ...] = ()) -> Inventory:
    return Inventory("/project", sites, files=9, dag_files=2, skipped=skipped)


def all_kinds(refuse: str, warn: str, keep: str, unreadable: str) -> Inventory:
    """A site of each disposition, in two DAGs, and a file that was not read; the codes are the caller's."""
    return inventory(
        judged(site(facts=FACTS, readers=READERS)),
        judged(
            site("load_*", line=20, ids=("load_eu", "load_us"), making=(Making.LOOP,), facts=FACTS),
            Disposition.WARN,
            Finding(warn, "requests.post sends to the outside", Place(PATH, 7, 9), "keep it out of a shadow"),
        ),
        judged(
            site("gate", line=30, kind=Kind.BRANCH),
            Disposition.KEEP,
            Finding(keep, "it decides which tasks run", Place(PATH, 30, 5)),
        ),
        judged(
            site("clean|up", dag="größer", line=4, path="dags/b,c:d.py", kind=Kind.TASK),
            Disposition.REFUSE,
            Finding(
                refuse, "the callable is a lambda: 100% of it", Place("dags/b,c:d.py", 4, 1), "write a def"
            ),
        ),
        judged(site("done", line=50, kind=Kind.STEP)),
        skipped=(Finding(unreadable, "line 2: invalid syntax", Place("dags/broken.py", 2)),),
    )


def plan_of(one: Site, action: str = "cutover", *findings: Finding) -> Plan:
    edit = Edit(BEFORE.index("Python"), "PythonOperator", "StepOperator")
    return Plan(
        action,
        one,
        Disposition.AUTO,
        (Change(one.path, (edit,)),),
        findings,
        missing=("image",),
        rule="python_operator/1",
    )


def edited(action: str = "cutover", outcome: Outcome = Outcome.PENDING) -> Edited:
    return Edited(
        plan_of(site(facts=FACTS), action),
        outcome,
        diff=unified(PATH, BEFORE, AFTER),
        checks=(
            Check("parses", "passed"),
            Check("structure", "skipped", "no Airflow in this interpreter"),
        ),
    )


def edit_report(outcome: Outcome = Outcome.PENDING) -> Report:
    return Report("cutover", outcome, Exit.PENDING, "/project", edited=edited(outcome=outcome))


def plan_report() -> Report:
    chosen = judged(site(facts=FACTS, readers=READERS))
    needs = Needs(gpu="1", memory="16Gi", arguments={"pool": "'gpu'"})
    edits = (edited("shadow"), edited("cutover"))
    return Report("plan", Outcome.SHOWN, Exit.DONE, "/project", planned=Planned(chosen, needs, edits))


def status_report(drift: str) -> Report:
    found = Finding(drift, "the ledger says cutover, the source says legacy", Place(PATH, 12))
    standings = (
        Standing(judged(site()), Stage.LEGACY, "cutover", "2026-01-02T03:04:05Z", (found,)),
        Standing(judged(site("gate", line=30, kind=Kind.BRANCH), Disposition.KEEP), Stage.KEPT),
    )
    gone = Finding(drift, "daily.gone is in no file", Place(PATH, 1))
    return Report("status", Outcome.SHOWN, Exit.DONE, "/project", status=Status(standings, (gone,)))


def problem_report() -> Report:
    problem = Problem(
        "SM521", "no task fits 'daily.trian'", "", "did you mean daily.train?", ("daily.train",)
    )
    return Report("cutover", Outcome.PROBLEM, Exit.USAGE, problem=problem)
