"""Commands that look and change nothing: ``scan``, ``plan``, ``status``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from stepbridge_migrate.commands.editing import preview
from stepbridge_migrate.commands.running import Run, reporting
from stepbridge_migrate.commands.targets import find, given_needs, need_options, task_argument
from stepbridge_migrate.model import MOVABLE, Disposition, Finding, Place
from stepbridge_migrate.needs import WRONG
from stepbridge_migrate.problems import Exit
from stepbridge_migrate.report import Outcome, Planned, Report
from stepbridge_migrate.rules import judge
from stepbridge_migrate.settings import FILE, unmatched
from stepbridge_migrate.standing import correct, standing


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATHS]...", type=click.Path())
@click.option("--check", is_flag=True, help="End with 1 where a task could be moved.")
@reporting
def scan(run: Run, paths: tuple[str, ...], check: bool) -> Report:
    """List every task of every DAG, and what it would take to move it.

    PATHS are files or folders; the default is `dags` of [tool.stepbridge], the folder dags, or the project.
    """
    project = run.project(paths)
    inventory = project.scan(run)
    movable = any(
        one.disposition in {Disposition.AUTO, Disposition.WARN} and one.site.kind in MOVABLE
        for one in inventory.sites
    )
    remarks = () if paths else _unused(unmatched(project.settings, [one.site for one in inventory.sites]))
    pending = check and movable
    return Report(
        command="scan",
        outcome=Outcome.PENDING if pending else Outcome.SHOWN,
        exit=Exit.PENDING if pending else Exit.DONE,
        root=str(project.root),
        inventory=inventory,
        remarks=remarks,
    )


@click.command()
@task_argument
@need_options
@reporting
def plan(run: Run, task: str, **needs: Any) -> Report:
    """Show what a move of one task would change, what is missing for it, and who reads its result."""
    given = given_needs(needs)
    target = find(run, task)
    wanted = target.project.settings.needs_of(target.judged.site, given)
    edits = tuple(preview(target, action, wanted) for action in ("shadow", "cutover"))
    refused = all(one.outcome is Outcome.REFUSED for one in edits)
    return Report(
        command="plan",
        outcome=Outcome.REFUSED if refused else Outcome.SHOWN,
        exit=Exit.REFUSED if refused else Exit.DONE,
        root=str(target.project.root),
        planned=Planned(judge(target.judged.site, wanted), wanted, edits),
    )


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATHS]...", type=click.Path())
@click.option("--check", is_flag=True, help="End with 1 where sources and ledger disagree.")
@click.option("--write", is_flag=True, help="Make the ledger forget moves that the sources do not have.")
@reporting
def status(run: Run, paths: tuple[str, ...], check: bool, write: bool) -> Report:
    """Show how far each task has moved, from the sources, and where the ledger disagrees."""
    project = run.project(paths)
    inventory = project.scan(run)
    found = standing(project.root, inventory, whole=not paths)
    if write and found.drift:
        correct(project.root, found, datetime.now(UTC))
        found = standing(project.root, inventory, whole=not paths)
    pending = check and bool(found.drift)
    return Report(
        command="status",
        outcome=Outcome.PENDING if pending else Outcome.SHOWN,
        exit=Exit.PENDING if pending else Exit.DONE,
        root=str(project.root),
        status=found,
    )


def _unused(unmatched_names: tuple[str, ...]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            WRONG,
            f'[tool.stepbridge.tasks."{name}"] fits no task',
            Place(FILE, 1),
            hint="correct its name; migrate scan shows the tasks",
        )
        for name in unmatched_names
    )
