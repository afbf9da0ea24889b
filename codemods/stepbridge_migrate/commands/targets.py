"""The one site that a command is about: its argument, its completion, and what its step needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from stepbridge_migrate.commands.running import Project, Run
from stepbridge_migrate.model import Inventory, Judged, Needs
from stepbridge_migrate.needs import TEXTS, checked, from_assignments
from stepbridge_migrate.problems import MigrateProblem
from stepbridge_migrate.select import choose, names, parse
from stepbridge_migrate.settings import find_root, load

Decorated = TypeVar("Decorated", bound=Callable[..., object])


@dataclass(frozen=True)
class Target:
    """The chosen site, and all that was found beside it."""

    project: Project
    inventory: Inventory
    judged: Judged


def find(run: Run, text: str) -> Target:
    """The site that ``DAG.TASK`` or ``path.py:LINE`` means.

    With a path only that file is read; else all of the project's.

    :raises MigrateProblem: SM521 or SM522 where it is not exactly one.
    """
    project = run.project()
    selector = parse(text, root=project.root, here=run.here)
    if selector.path:
        project = replace(project, paths=(project.root / selector.path,))
    inventory = project.scan(run)
    return Target(project, inventory, choose(inventory, selector))


def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ``DAG.TASK`` names that begin with what is typed; none where the project cannot be read.

    With a DAG's id typed in full, only the files that hold this text are read.
    """
    from stepbridge_migrate.scan import scan

    try:
        given = context.params.get("root")
        root = (given or find_root(Path.cwd())).resolve()
        project = Run("", Path.cwd(), root=root).project()
        dag = incomplete.partition(".")[0].encode() if "." in incomplete else b""
        paths = tuple(path for path in _files(project.paths) if dag in path.read_bytes()) if dag else ()
        inventory = scan(root, paths or project.paths, exclude=load(root).exclude)
    except (MigrateProblem, OSError):
        return []
    found = sorted({name for one in inventory.sites for name in names(one.site) if one.site.dag.id})
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def _files(paths: tuple[Path, ...]) -> list[Path]:
    return [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]


def task_argument(function: Decorated) -> Decorated:
    """Add the argument ``DAG.TASK``."""
    return click.argument("task", metavar="DAG.TASK|FILE.py:LINE", shell_complete=complete)(function)


def need_options(function: Decorated) -> Decorated:
    """Add the options that say what the step needs; :func:`given_needs` reads them."""
    for option in reversed(_NEEDS):
        function = option(function)
    return function


def given_needs(given: dict[str, Any]) -> Needs:
    """Take the needs out of a command's options, checked.

    :raises MigrateProblem: SM520 with the option that is wrong.
    """
    texts = {name: given.pop(name) for name in TEXTS}
    keys = given.pop("context_keys")
    needs = Needs(
        **texts,
        context_keys=None if keys is None else tuple(one.strip() for one in keys.split(",") if one.strip()),
        variables=given.pop("variable"),
        connections=given.pop("connection"),
        arguments=from_assignments(given.pop("set_")),
    )
    return checked(needs, place=_place(needs))


def _place(needs: Needs) -> str:
    """``option`` or ``options``, so that the message names where a value came from."""
    said = sum(getattr(needs, one.name) not in (None, (), {}) for one in fields(Needs))
    return "options" if said > 1 else "option"


_NEEDS = (
    click.option("--gpu", metavar="GPU", help="1, or a model: A10G:1."),
    click.option("--cpu", metavar="CORES", help="4, 500m."),
    click.option("--memory", metavar="BYTES", help="16Gi."),
    click.option("--image", metavar="IMAGE", help="Container image of the step."),
    click.option("--cache", metavar="off|auto|refresh", help="Whether an equal run's result is taken."),
    click.option("--timeout", metavar="DURATION", help="How long the function may run: 30s, 90m, 2h, 1d."),
    click.option("--backend", metavar="pod|local", help="Where the step runs."),
    click.option("--xcom", metavar="auto|value", help="Push large results by URI, or the loaded object."),
    click.option("--context-keys", metavar="KEY,KEY", help="The context keys that count for the cache."),
    click.option("--variable", multiple=True, metavar="NAME", help="A Variable read by a computed name."),
    click.option("--connection", multiple=True, metavar="ID", help="A connection read by a computed name."),
    click.option(
        "--set", "set_", multiple=True, metavar="NAME=EXPR", help="Any other argument of the step, as source."
    ),
)
