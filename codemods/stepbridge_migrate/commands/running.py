"""One run of a command: its common options, the project it is about, and how its report gets out."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import update_wrapper
from pathlib import Path
from typing import Any

import click

from stepbridge_migrate.model import Inventory
from stepbridge_migrate.problems import Exit, MigrateProblem
from stepbridge_migrate.render import DATA, FORMATS
from stepbridge_migrate.report import Outcome, Problem, Report
from stepbridge_migrate.settings import Settings, find_root, load

COLORS = ("auto", "always", "never")
_FILE_WIDTH = 100


@dataclass(frozen=True)
class Run:
    """The options that every command has.

    :param here: the folder that paths on the command line count from.
    :param root: what ``--root`` says, absolute; None where it is not given.
    :param output: the file that the report goes to; None for standard output and standard error.
    :param verbosity: -1 quiet, 0, 1 verbose.
    """

    command: str
    here: Path
    root: Path | None = None
    format: str = "text"
    output: Path | None = None
    jobs: int = 1
    exclude: tuple[str, ...] = ()
    verbosity: int = 0
    color: str = "auto"

    def project(self, paths: Sequence[str] = ()) -> Project:
        """The project that *paths* lie in, its settings and the paths to look at.

        :raises MigrateProblem: for a path that is not there or lies outside, and for wrong settings.
        """
        given = [self.here / path for path in paths]
        for path in given:
            if not path.exists():
                raise MigrateProblem("", f"there is no file or folder {path}", hint="check the path")
        root = (self.root or find_root(given[0].resolve() if given else self.here)).resolve()
        settings = load(root)
        wanted = [path.resolve() for path in given] or _defaults(settings)
        for path in wanted:
            if not path.is_relative_to(root):
                raise MigrateProblem(
                    "", f"{path} is not below {root}", hint="name the project's folder with --root"
                )
        return Project(root, settings, tuple(wanted))


@dataclass(frozen=True)
class Project:
    """A project on disk.

    :param paths: the files and folders to look at, absolute.
    """

    root: Path
    settings: Settings
    paths: tuple[Path, ...]

    def scan(self, run: Run, *, show_progress: bool = True) -> Inventory:
        """Everything found below the project's paths."""
        from stepbridge_migrate.scan import scan

        exclude = (*self.settings.exclude, *run.exclude)
        with _progress(run if show_progress else None) as progress:
            return scan(self.root, self.paths, jobs=run.jobs, exclude=exclude, progress=progress)


def _defaults(settings: Settings) -> list[Path]:
    """The folders of ``dags``; else the folder ``dags``; else the whole project."""
    named = [settings.root / name for name in settings.dags]
    for path in named:
        if not path.exists():
            raise MigrateProblem(
                "", f"there is no {path}", place="pyproject.toml [tool.stepbridge] dags", hint="correct it"
            )
    if named:
        return [path.resolve() for path in named]
    usual = settings.root / "dags"
    return [usual.resolve() if usual.is_dir() else settings.root]


@contextmanager
def _progress(run: Run | None) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, which comes after half a second and goes away at the end; nothing elsewhere."""
    if run is None or run.verbosity < 0 or not sys.stderr.isatty() or run.color == "never":
        yield None
        return
    import time

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from stepbridge_migrate.render.text import console

    began = time.monotonic()
    bar = Progress(
        TextColumn("reading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(stderr=True, color=run.color),
        transient=True,
    )
    row = bar.add_task("reading", total=None)

    def step(done: int, total: int) -> None:
        if not bar.live.is_started and time.monotonic() - began > 0.5:
            bar.start()
        bar.update(row, completed=done, total=total)

    try:
        yield step
    finally:
        if bar.live.is_started:
            bar.stop()


def reporting(function: Callable[..., Report]) -> Callable[..., None]:
    """Make a click callback of a function that takes a :class:`Run` and gives a report.

    Adds the common options, prints the report and ends with its exit code. A :class:`MigrateProblem` becomes
    a report of its own.
    """

    def callback(**given: Any) -> None:  # the options of the one command, named by its decorators
        context = click.get_current_context()
        run = _run(context, given)
        try:
            report = function(run, **given)
        except MigrateProblem as error:
            report = Report(
                command=run.command,
                outcome=Outcome.REFUSED if error.exit_code is Exit.REFUSED else Outcome.PROBLEM,
                exit=error.exit_code,
                problem=Problem.of(error),
            )
        emit(run, report)
        context.exit(int(report.exit))

    made: Callable[..., None] = update_wrapper(callback, function)
    for option in reversed(_COMMON):
        made = option(made)
    return made


_COMMON = (
    click.option(
        "--root",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="The project's folder. Default: the nearest one above with a pyproject.toml or a git checkout.",
    ),
    click.option("--exclude", multiple=True, metavar="GLOB", help="Leave files out; may be repeated."),
    click.option(
        "-j",
        "--jobs",
        type=click.IntRange(0),
        default=1,
        show_default=True,
        help="Processes; 0 for all cores.",
    ),
    click.option(
        "--format",
        "format_",
        type=click.Choice(FORMATS),
        default="text",
        show_default=True,
        help="text goes to standard error, the others to standard output.",
    ),
    click.option(
        "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the report to this file."
    ),
    click.option("-q", "--quiet", is_flag=True, help="Only the summary, refusals and problems."),
    click.option("-v", "--verbose", is_flag=True, help="Every finding and check in full."),
    click.option("--color", type=click.Choice(COLORS), default="auto", show_default=True, help="Colours."),
    click.option(
        "--traceback",
        is_flag=True,
        expose_value=False,
        callback=lambda context, _, value: _keep_traceback(context, value),
        help="Show where an internal error came from.",
    ),
)


@dataclass
class Boundary:
    """What the outermost frame has to know of a run that fails: the only thing options leave behind."""

    traceback: bool = False


def _keep_traceback(context: click.Context, value: bool) -> None:
    boundary = context.find_object(Boundary)
    if boundary is not None and value:
        boundary.traceback = True


def _run(context: click.Context, given: dict[str, Any]) -> Run:
    quiet, verbose = given.pop("quiet"), given.pop("verbose")
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other.")
    root, output = given.pop("root"), given.pop("output")
    jobs = given.pop("jobs")
    return Run(
        command=context.info_name or "",
        here=Path.cwd(),
        root=root.resolve() if root else None,
        format=given.pop("format_"),
        output=output,
        jobs=jobs or _cores(),
        exclude=tuple(given.pop("exclude")),
        verbosity=-1 if quiet else 1 if verbose else 0,
        color=given.pop("color"),
    )


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def show(run: Run, report: Report) -> None:
    """Show a report to the person at the terminal, whatever the format: before a question."""
    _emit_text(replace(run, output=None), report)


def emit(run: Run, report: Report) -> None:
    """Print the report where its format belongs.

    :raises MigrateProblem: the output file cannot be written.
    """
    if run.format == "text":
        _emit_text(run, report)
        return
    if report.problem is not None and run.output is None:
        _to_stderr(run, replace(report, inventory=None))
    write(run.output, DATA[run.format](report).encode())


def _emit_text(run: Run, report: Report) -> None:
    from stepbridge_migrate.render.text import put, render_text

    if run.output is not None:
        from rich.console import Console

        text = io.StringIO()
        into = Console(
            file=text, width=_FILE_WIDTH, no_color=True, highlight=False, markup=False, emoji=False
        )
        put(into, render_text(report, verbosity=run.verbosity))
        diff = report.edited.diff if report.edited else ""
        lines = "\n".join(line.rstrip() for line in text.getvalue().split("\n"))
        write(run.output, (diff + lines).encode())
        return
    if report.edited is not None and report.edited.diff:
        _show_diff(run, report.edited.diff)
    _to_stderr(run, report, to_stdout=bool(report.pages or report.rules))


def _to_stderr(run: Run, report: Report, *, to_stdout: bool = False) -> None:
    from stepbridge_migrate.render.text import console, put, render_text

    stream = sys.stdout if to_stdout else sys.stderr
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    into = console(stderr=not to_stdout, color=run.color)
    put(into, render_text(report, verbosity=run.verbosity))


def _show_diff(run: Run, diff: str) -> None:
    """The diff as it is for a file or pipe, in colour and with visible controls for a terminal."""
    if run.color == "always" or (run.color == "auto" and sys.stdout.isatty()):
        from stepbridge_migrate.render.diff import coloured
        from stepbridge_migrate.render.text import console

        console(stderr=False, color=run.color).print(coloured(diff), soft_wrap=True)
        sys.stdout.flush()
        return
    write(None, diff.encode())


def write(output: Path | None, data: bytes) -> None:
    """Write to *output*, or to standard output.

    :raises MigrateProblem: the file cannot be written.
    """
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise MigrateProblem("", f"{output} cannot be written: {error.strerror}", place="--output") from error
