"""Commands that edit one site: ``shadow``, ``cutover``, ``rollback``; written only with ``--write``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from stepbridge_migrate.commands.running import Run, reporting, show
from stepbridge_migrate.commands.targets import (
    Decorated,
    Target,
    find,
    given_needs,
    need_options,
    task_argument,
)
from stepbridge_migrate.landing import land
from stepbridge_migrate.model import Disposition, Needs
from stepbridge_migrate.moving import Move, plan_of, rollback_of
from stepbridge_migrate.problems import Exit
from stepbridge_migrate.report import EXIT_OF, Edited, Outcome, Report

_MOST_USERS = 5
"""DAG files that are read to see what an edit of a file that makes no DAG does."""


@dataclass(frozen=True)
class Landing:
    """How an edit is to be checked and written.

    :param airflow_python: the interpreter that has the project's Airflow; None for this one, if it has one.
    """

    write: bool = False
    check: bool = False
    diff: bool = False
    yes: bool = False
    allow_dirty: bool = False
    airflow_python: str | None = None
    stand_ins: bool = False
    imports: tuple[Path, ...] = ()


def landing_options(function: Decorated) -> Decorated:
    """Add the options of :class:`Landing`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


_OPTIONS = (
    click.option("--write", is_flag=True, help="Write the edit, once every check has passed."),
    click.option("--check", is_flag=True, help="Only answer, by the exit code; no diff, nothing written."),
    click.option("--diff", is_flag=True, help="Show the diff; so it is without --write and --check."),
    click.option("-y", "--yes", is_flag=True, help="Write without a question."),
    click.option("--allow-dirty", is_flag=True, help="Edit a file with changes that git does not have."),
    click.option("--airflow-python", metavar="PATH", help="The Python that has the project's Airflow."),
    click.option("--stand-ins", is_flag=True, help="Replace modules that this Python lacks when importing."),
    click.option(
        "--import",
        "imports",
        multiple=True,
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A DAG file to import where the edited file makes no DAG by itself; may be repeated.",
    ),
)


@click.command()
@task_argument
@need_options
@landing_options
@reporting
def shadow(run: Run, task: str, **given: Any) -> Report:
    """Put a step beside the task: it gets the same inputs, and the results are compared."""
    return _move(run, "shadow", task, given)


@click.command()
@task_argument
@need_options
@landing_options
@reporting
def cutover(run: Run, task: str, **given: Any) -> Report:
    """Put the step in the task's place: same task id, same edges, same XCom for its readers."""
    return _move(run, "cutover", task, given)


@click.command()
@task_argument
@landing_options
@reporting
def rollback(run: Run, task: str, **given: Any) -> Report:
    """Take the latest edit of a task back, byte for byte, by the ledger."""
    how = _landing(given)
    target = find(run, task)
    return _land(run, target, rollback_of(target.project.root, target.judged), how)


def preview(target: Target, action: str, needs: Needs) -> Edited:
    """One edit as ``migrate plan`` shows it: neither verified nor written."""
    move = plan_of(action, target.project.root, target.judged, needs)
    return Edited(move.plan, _outcome(move), diff=move.diff())


def _outcome(move: Move) -> Outcome:
    if move.plan.changes:
        return Outcome.PENDING
    refused = move.plan.disposition in {Disposition.REFUSE, Disposition.KEEP}
    return Outcome.REFUSED if refused else Outcome.NOTHING


def _move(run: Run, action: str, task: str, given: dict[str, Any]) -> Report:
    how = _landing(given)
    wanted = given_needs(given)
    target = find(run, task)
    needs = target.project.settings.needs_of(target.judged.site, wanted)
    return _land(run, target, plan_of(action, target.project.root, target.judged, needs), how)


def _landing(given: dict[str, Any]) -> Landing:
    names = ("write", "check", "diff", "yes", "allow_dirty", "airflow_python", "stand_ins", "imports")
    how = Landing(**{name: given.pop(name) for name in names})
    if how.write and how.check:
        raise click.UsageError("--write and --check exclude each other.")
    return how


def _land(run: Run, target: Target, move: Move, how: Landing) -> Report:
    settings = target.project.settings
    if how.write and not how.yes and _asks(move):
        show(run, _report(run, target, Edited(move.plan, Outcome.SHOWN, diff=move.diff())))
        if not click.confirm("Write it?", err=True):
            return _report(run, target, Edited(move.plan, Outcome.PENDING))
    landed = land(
        target.project.root,
        move.plan,
        write=how.write,
        airflow_python=how.airflow_python or settings.airflow_python or None,
        stand_ins=how.stand_ins or settings.stand_ins,
        allow_dirty=how.allow_dirty,
        again=move.again,
        undo=move.undo,
        records=lambda checks: move.records(checks, datetime.now(UTC)),
        entries=tuple(path.resolve() for path in how.imports) or _users(target),
        asked=move.asked,
    )
    shown = how.diff or not (how.write or how.check) or run.format != "text"
    checks = tuple(one for one in landed.checks if move.again is not None or one.name != "stable")
    edited = Edited(move.plan, landed.outcome, landed.diff if shown else "", checks, landed.written)
    return _report(run, target, edited)


def _users(target: Target) -> tuple[Path, ...]:
    """The DAG files that use the site's file, where they make its tasks."""
    site = target.judged.site
    places = [*site.elsewhere, *([] if site.dag.place is None else [site.dag.place])]
    paths = dict.fromkeys(place.path for place in places if place.path != site.path)
    return tuple(target.project.root / path for path in paths)[:_MOST_USERS]


def _asks(move: Move) -> bool:
    """A person has to be asked: the edit has warnings, and there is one at the terminal."""
    if not move.plan.changes or move.plan.disposition is not Disposition.WARN:
        return False
    return sys.stdin.isatty() and sys.stderr.isatty()


def _report(run: Run, target: Target, edited: Edited) -> Report:
    return Report(
        command=run.command,
        outcome=edited.outcome,
        exit=Exit(EXIT_OF[edited.outcome]),
        root=str(target.project.root),
        edited=edited,
    )
