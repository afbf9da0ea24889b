"""Commands that read no project: ``explain``, ``rules``, ``completion``."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

from stepbridge_migrate.codes import CODES
from stepbridge_migrate.commands.running import Run, reporting
from stepbridge_migrate.near import nearest
from stepbridge_migrate.problems import Exit, MigrateProblem
from stepbridge_migrate.report import Outcome, Report
from stepbridge_migrate.rule_pages import rule_pages

SHELLS = ("bash", "zsh", "fish")


def _codes(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(code.id, help=code.title)
        for code in CODES.values()
        if code.id.startswith(incomplete.upper())
    ]


def _rules(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(rule.name) for rule in rule_pages() if rule.name.startswith(incomplete)]


@click.command()
@click.argument("codes", nargs=-1, metavar="[CODE]...", shell_complete=_codes)
@reporting
def explain(run: Run, codes: tuple[str, ...]) -> Report:
    """Show a code's page: what it means, why, and what to do. Without CODE: all of them."""
    wanted = [code.upper() for code in codes] or sorted(CODES)
    for code in wanted:
        if code not in CODES:
            near = nearest(code, CODES)
            raise MigrateProblem(
                "",
                f"there is no code {code!r}",
                hint=f"did you mean {' or '.join(near)}?" if near else "see docs/migrate-codes.md",
                candidates=near,
            )
    return Report(
        command=run.command,
        outcome=Outcome.SHOWN,
        exit=Exit.DONE,
        pages=tuple(CODES[code] for code in wanted),
    )


@click.command()
@click.argument("names", nargs=-1, metavar="[RULE]...", shell_complete=_rules)
@reporting
def rules(run: Run, names: tuple[str, ...]) -> Report:
    """List the rules that edit: what each changes, an example, and what it refuses."""
    known = {page.name: page for page in rule_pages()}
    short = {name.partition("/")[0]: name for name in known}
    wanted = [short.get(name, name) for name in names] or list(known)
    for name in wanted:
        if name not in known:
            near = nearest(name, known)
            raise MigrateProblem(
                "",
                f"there is no rule {name!r}",
                hint=f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}",
                candidates=near,
            )
    return Report(
        command=run.command,
        outcome=Outcome.SHOWN,
        exit=Exit.DONE,
        rules=tuple(known[name] for name in wanted),
    )


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and DAG.TASK.

    bash: eval "$(migrate completion bash)" in ~/.bashrc, and likewise for the others.
    """
    made = get_completion_class(shell)
    root = context.find_root()
    assert made is not None, f"click knows no {shell}"
    click.echo(made(root.command, {}, "migrate", "_MIGRATE_COMPLETE").source())
