"""The command ``report``: whether a shadowed task is ready for cutover, from the reports of its runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stepbridge_migrate.commands.running import COLORS, write
from stepbridge_migrate.near import nearest
from stepbridge_migrate.problems import Exit, MigrateProblem

if TYPE_CHECKING:
    from stepbridge.compare.kept import KeptReports
    from stepbridge.compare.readiness import TaskReadiness
    from stepbridge.store.base import Store

_STORE = "AIRFLOW__STEPBRIDGE__STORE"
_FORMATS = ("text", "json", "md", "html")


@click.command()
@click.argument("task", metavar="DAG.TASK")
@click.option(
    "--store",
    default=lambda: os.environ.get(_STORE, ""),
    metavar="URI",
    help=f"The store's root. Default: the environment variable {_STORE}.",
)
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="So many runs in a row must give the same.",
)
@click.option(
    "--days",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="So many days must lie between the first and the last of them.",
)
@click.option("--any-code", is_flag=True, help="Runs of other code and of other images count too.")
@click.option(
    "--newest",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Read so many runs, no older ones.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(_FORMATS),
    default="text",
    show_default=True,
    help="text goes to standard error, the others to standard output.",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the report to this file."
)
@click.option("--color", type=click.Choice(COLORS), default="auto", show_default=True, help="Colours.")
@click.pass_context
def report(
    context: click.Context,
    task: str,
    store: str,
    runs: int,
    days: float,
    any_code: bool,
    newest: int,
    format_: str,
    output: Path | None,
    color: str,
) -> None:
    """Say whether a shadowed task is ready for cutover: 0 READY, 1 not.

    Reads the reports of its shadow runs from the store. Only runs of the newest candidate count.
    """
    from stepbridge.commands.options import open_root
    from stepbridge.compare.readiness import Bar, Readiness, judge

    opened = open_root(store)
    dag_id, task_id, kept = _find(opened, task, max(newest, runs))
    found = judge(dag_id, task_id, kept, Bar(runs, days, any_code))
    colour = color == "always" or (color == "auto" and sys.stderr.isatty() and output is None)
    data = _rendered(found, format_, colour=colour and format_ == "text").encode()
    if format_ == "text" and output is None:
        sys.stderr.flush()
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
    else:
        write(output, data)
    context.exit(int(Exit.DONE if found.verdict is Readiness.READY else Exit.PENDING))


def _rendered(found: TaskReadiness, format_: str, *, colour: bool) -> str:
    from stepbridge import documents
    from stepbridge.compare.render.readiness import markdown, text
    from stepbridge.compare.render.readiness_page import page

    if format_ == "json":
        return documents.dump(found).decode()
    if format_ == "text":
        return text(found, colour=colour)
    return markdown(found) if format_ == "md" else page(found)


def _find(store: Store, name: str, newest: int) -> tuple[str, str, KeptReports]:
    """The DAG, the task and its reports; ids may have dots, so each dot may be the one between them.

    :raises MigrateProblem: where no report, or those of several tasks, are called so.
    """
    from stepbridge.compare.kept import reports_of, tasks_with_reports

    places = [at for at, sign in enumerate(name) if sign == "." and 0 < at < len(name) - 1]
    if not places:
        raise MigrateProblem(
            "", f"{name!r} is no DAG.TASK", hint="write the DAG's id, a dot and the task's id"
        )
    found = [
        (name[:at], name[at + 1 :], kept)
        for at in places
        if (kept := reports_of(store, name[:at], name[at + 1 :], newest=newest)).runs or kept.unread
    ]
    if len(found) == 1:
        return found[0]
    if found:
        tasks = " and ".join(f"task {task!r} of DAG {dag!r}" for dag, task, _ in found)
        raise MigrateProblem("", f"{name!r} names {tasks}", hint="rename one; both have reports in the store")
    known = [f"{name[:at]}.{task}" for at in places for task in tasks_with_reports(store, name[:at])]
    near = nearest(name, known)
    raise MigrateProblem(
        "",
        f"there is no report of {name} below {store.root}/shadow/",
        hint=f"did you mean {' or '.join(near)}?"
        if near
        else "give it a shadow, `migrate shadow`, and run its DAG; or name another store, --store",
        candidates=near,
    )
