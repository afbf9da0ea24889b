"""Commands whose work is done by Airflow's interpreter: ``pod render`` and ``resume``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from stepbridge.failures import StepbridgeError

_HAS_AIRFLOW = """
import importlib.util, sys
missing = [name for name in ("airflow", "stepbridge_airflow") if importlib.util.find_spec(name) is None]
sys.exit(f"it has no {missing[0]}" if missing else 0)
"""


def add_python(parser: argparse.ArgumentParser) -> None:
    """Add ``--airflow-python``."""
    parser.add_argument(
        "--airflow-python", default=sys.executable, help="the interpreter that has Airflow; default: this one"
    )


def add_resume(commands: Any) -> None:
    """Add ``resume`` to the subparsers *commands*."""
    resume = commands.add_parser(
        "resume", help="run again what failed in a DAG run; what succeeded stays; needs Airflow's database"
    )
    resume.add_argument("dag_id", metavar="DAG")
    resume.add_argument("run_id", metavar="RUN")
    resume.add_argument(
        "--all",
        action="store_true",
        help="the whole run; steps take what they gave before where code and inputs are the same",
    )
    resume.add_argument("--dry-run", action="store_true", help="show what would become of each task")
    add_python(resume)
    resume.set_defaults(command=_resume)


def run(python: str, module: str, arguments: Sequence[str], *, what: str) -> int:
    """Run *module* with the interpreter *python*; its exit code.

    :param what: what it is to do, for the error.
    :raises StepbridgeError: SB502 where that interpreter is not there or has no Airflow.
    """
    try:
        asked = subprocess.run([python, "-c", _HAS_AIRFLOW], stderr=subprocess.PIPE, text=True, check=False)
        missing = asked.stderr.strip() if asked.returncode else ""
    except OSError as error:
        missing = str(error)
    if missing:
        raise StepbridgeError(
            "SB502",
            f"{python} cannot {what}: {missing}",
            place="--airflow-python",
            hint="name the interpreter that Airflow runs with, where stepbridge[airflow] is installed",
        )
    return subprocess.run([python, "-m", module, *arguments], check=False).returncode


def _resume(arguments: argparse.Namespace) -> int:
    given = [arguments.dag_id, arguments.run_id]
    given += ["--all"] if arguments.all else []
    given += ["--dry-run"] if arguments.dry_run else []
    return run(arguments.airflow_python, "stepbridge_airflow.resume", given, what="resume a run")
