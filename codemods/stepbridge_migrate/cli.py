"""The ``migrate`` console script: says what this version has, and what it does not have yet."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence

from stepbridge import __version__

PLANNED = ("scan", "plan", "shadow", "report", "cutover", "rollback", "bind", "annotate", "status")
NEEDED = ("libcst", "click", "rich")
TODAY = "move a task by hand with StepOperator: docs/step.md"
USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``migrate``; 2 for every command, as none is in this version."""
    parser = argparse.ArgumentParser(
        prog="migrate",
        description="Move an Airflow DAG to stepbridge steps, one task at a time.",
        epilog=f"No command is in version {__version__} yet. Planned: {', '.join(PLANNED)}. Today: {TODAY}.",
    )
    parser.add_argument("--version", action="version", version=f"stepbridge {__version__}")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="the command; none is here yet")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    wanted = parser.parse_args(argv)
    print(f"migrate: {_answer(wanted.command)}", file=sys.stderr)
    return USAGE


def _answer(command: str | None) -> str:
    if command is None:
        return f"no command is in stepbridge {__version__} yet; {TODAY}"
    if command not in PLANNED:
        return f"there is no command {command!r}; see migrate --help"
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        needs = f"needs {', '.join(missing)}: pip install 'stepbridge[migrate]'"
        return f"{command!r} is not in stepbridge {__version__}, and {needs}; {TODAY}"
    return f"{command!r} is not in stepbridge {__version__}; {TODAY}"
