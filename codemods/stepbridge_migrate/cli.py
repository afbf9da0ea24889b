"""The ``migrate`` console script: hands over to the commands, or says what is missing to run them."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence

from stepbridge import __version__

NEEDED = ("libcst", "click", "rich")
USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``migrate`` and give its exit code, see docs/exit-codes.md."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return _without(missing, argv)
    from stepbridge_migrate.commands.app import run

    return run(argv)


def _without(missing: Sequence[str], argv: Sequence[str] | None) -> int:
    """What can be said where the extra is not installed: help, the version, and what to install."""
    answer = f"it needs {', '.join(missing)}: pip install 'stepbridge[migrate]'"
    parser = argparse.ArgumentParser(
        prog="migrate",
        description="Move an Airflow DAG to stepbridge steps, one task at a time.",
        epilog=f"No command works here: {answer}.",
    )
    parser.add_argument("--version", action="version", version=f"stepbridge {__version__}")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="any command of migrate")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.parse_args(argv)
    print(f"migrate: {answer}", file=sys.stderr)
    return USAGE


if __name__ == "__main__":
    sys.exit(main())
