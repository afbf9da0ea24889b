"""The command group, and the outermost frame of a run: every error becomes one line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from stepbridge import __version__
from stepbridge.failures import StepbridgeError
from stepbridge_migrate.commands.editing import cutover, rollback, shadow
from stepbridge_migrate.commands.looking import plan, scan, status
from stepbridge_migrate.commands.readiness import report
from stepbridge_migrate.commands.reference import completion, explain, rules
from stepbridge_migrate.commands.running import Boundary
from stepbridge_migrate.problems import Exit, MigrateProblem

LATER = {
    "bind": "makes arguments of what a callable reads from context, XCom and Variables",
    "annotate": "writes the types that shadow runs observed",
}


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: migrate scan. Nothing is written without --write.",
)
@click.version_option(__version__, prog_name="stepbridge", message="%(prog)s %(version)s")
def cli() -> None:
    """Move an Airflow DAG to stepbridge steps, one task at a time, and take it back."""


for command in (scan, plan, shadow, report, cutover, rollback, status, explain, rules, completion):
    cli.add_command(command)


def _later(name: str, does: str) -> click.Command:
    def callback(rest: tuple[str, ...]) -> None:  # noqa: ARG001 - whatever was typed, the answer is the same
        raise click.UsageError(f"{name!r} is not in stepbridge {__version__}: it {does}, in a later version.")

    return click.Command(
        name,
        callback=callback,
        params=[click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        short_help="(not in this version)",
        help=f"Not in this version. In a later one it {does}.",
    )


for _name, _does in LATER.items():
    cli.add_command(_later(_name, _does))


def run(argv: Sequence[str] | None = None) -> int:
    """Run a command of *argv*, or of the process; give its exit code."""
    boundary = Boundary()
    try:
        code = cli.main(
            args=None if argv is None else list(argv),
            prog_name="migrate",
            standalone_mode=False,
            obj=boundary,
        )
        sys.stdout.flush()
        return int(code or Exit.DONE)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.USAGE
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        path = where.command_path if where is not None else "migrate"
        return _say(f"{error.format_message()} Try: {path} --help")
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted", Exit.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except MigrateProblem as error:
        return _say(error.describe(), error.exit_code)
    except StepbridgeError as error:
        return _say(error.describe())
    except Exception as error:  # noqa: BLE001 - the outermost frame: any defect becomes one line and exit 2
        return _internal(error, boundary)


def _say(text: str, code: Exit = Exit.USAGE) -> int:
    click.echo(f"migrate: {' '.join(text.split())}", err=True)
    return code


def _internal(error: Exception, boundary: Boundary) -> int:
    if boundary.traceback:
        traceback.print_exception(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return _say(
        f"internal error: {type(error).__name__}{where}: {error}. This is a defect of stepbridge"
        f" {__version__}: report it with what --traceback shows and the file that it was about"
    )
