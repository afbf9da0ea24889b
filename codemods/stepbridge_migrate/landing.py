"""Land an edit: check it on a candidate text, then put it in the file, or leave everything as it is."""

from __future__ import annotations

import difflib
import os
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stepbridge_migrate import edits, placing, source
from stepbridge_migrate.model import Change, Check, Disposition, Plan
from stepbridge_migrate.problems import Exit, MigrateProblem
from stepbridge_migrate.report import EXIT_OF, Outcome
from stepbridge_migrate.source import SourceFile, Unreadable
from stepbridge_migrate.verify import project, texts
from stepbridge_migrate.verify.checks import in_airflow

Texts = Mapping[str, str]
"""Path relative to the project's root, to the text of the file."""


@dataclass(frozen=True)
class Landing:
    """What came of an edit.

    :param diff: unified, newlines as the files have them; empty where nothing changes.
    :param written: the edit is in the file, and so is its record.
    """

    plan: Plan
    outcome: Outcome
    diff: str = ""
    checks: tuple[Check, ...] = ()
    written: bool = False

    @property
    def exit(self) -> Exit:
        """What the command ends with."""
        return EXIT_OF[self.outcome]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not hold."""
        return tuple(check for check in self.checks if check.status == "failed")


@dataclass(frozen=True)
class _Candidate:
    """One file, and what it is to be."""

    path: Path
    source: SourceFile
    change: Change
    text: str
    data: bytes


def land(
    root: Path,
    plan: Plan,
    *,
    write: bool,
    airflow_python: str | None = None,
    stand_ins: bool = False,
    allow_dirty: bool = False,
    again: Callable[[Texts], Plan] | None = None,
    undo: Callable[[Texts], Texts] | None = None,
    records: Callable[[Sequence[Check]], Mapping[Path, bytes]] | None = None,
    entries: Sequence[Path] = (),
    asked: Collection[str] = (),
) -> Landing:
    """Check *plan* on candidate texts; with *write* put them in place, and their record with them.

    Nothing below *root* is touched before all checks are done and none failed, and never without *write*.
    What was skipped is said, and does not stop the edit. At any failure or signal while it is written every
    file, the record included, is as it was.

    :param airflow_python: the Python that has the project's Airflow; None for this one, if it has one.
    :param stand_ins: replace what that Python has not by objects that stand for anything.
    :param allow_dirty: edit a file that has changes git does not have.
    :param again: plans the same action for the edited texts; has nothing to do if the edit is stable.
    :param undo: gives the old texts back for the edited ones.
    :param records: the files that record the edit (the ledger) and their new bytes, for what was checked.
    :param entries: DAG files to read where the edited file makes no DAG by itself.
    :param asked: names of arguments that the user set for the step; they may differ from the old call's.
    :raises MigrateProblem: the file is not what was planned for, git has not its changes, another ``migrate``
        writes, or it cannot be written.
    """
    if not plan.changes:
        refused = plan.disposition in (Disposition.REFUSE, Disposition.KEEP)
        return Landing(plan, Outcome.REFUSED if refused else Outcome.NOTHING)
    candidates = [_candidate(root, change) for change in plan.changes]
    if write and not allow_dirty and plan.action != "rollback":
        for one in candidates:
            _clean(one)
    diff = "".join(unified(one.source.path, one.source.text, one.text) for one in candidates)
    checks = _text_checks(candidates, airflow_python, again, undo)
    if not _failed(checks):
        checks += in_airflow(
            root,
            {one.path: one.data for one in candidates},
            plan,
            airflow_python=airflow_python,
            stand_ins=stand_ins,
            entries=entries,
            asked=asked,
        )
    if _failed(checks):
        return Landing(plan, Outcome.UNVERIFIED, diff, tuple(checks))
    if not write:
        return Landing(plan, Outcome.PENDING, diff, tuple(checks))
    _write(root, candidates, records, checks)
    return Landing(plan, Outcome.DONE, diff, tuple(checks), written=True)


def _failed(checks: Sequence[Check]) -> bool:
    return any(check.status == "failed" for check in checks)


def _candidate(root: Path, change: Change) -> _Candidate:
    path = root / change.path
    try:
        file = source.read(path, root)
        text = edits.apply(file.text, change.edits, path=change.path)
        return _Candidate(path, file, change, text, file.encode(text))
    except Unreadable as error:
        finding = error.finding
        raise MigrateProblem(
            finding.code, finding.message, place=str(finding.place), hint=finding.hint, exit_code=Exit.REFUSED
        ) from error
    except UnicodeEncodeError as error:
        raise MigrateProblem(
            "SM501",
            f"the edit has {error.object[error.start : error.end]!r}, which {error.encoding} cannot hold",
            place=change.path,
            hint="save the file as UTF-8 first",
            exit_code=Exit.REFUSED,
        ) from error


def _text_checks(
    candidates: Sequence[_Candidate],
    airflow_python: str | None,
    again: Callable[[Texts], Plan] | None,
    undo: Callable[[Texts], Texts] | None,
) -> list[Check]:
    python = project.interpreter(airflow_python) if airflow_python is not None else None
    after = {one.change.path: one.text for one in candidates}
    back: list[Texts] = []

    def undone(path: str) -> Callable[[], str] | None:
        if undo is None:
            return None

        def text() -> str:
            if not back:
                back.append(undo(after))
            return back[0][path]

        return text

    checks = [
        _all([texts.parses(one.change.path, one.data, python) for one in candidates]),
        _all(
            [
                texts.outside_unchanged(one.source, one.data, edits.ordered(one.change.edits))
                for one in candidates
            ]
        ),
    ]
    if _failed(checks):
        return checks
    checks.append(texts.stable(None if again is None else lambda: again(after)))
    checks.append(_all([texts.inverse(one.source, undone(one.change.path)) for one in candidates]))
    return checks


def _all(checks: Sequence[Check]) -> Check:
    """The worst of the same check on several files."""
    worst = {"failed": 0, "skipped": 1, "passed": 2}
    return min(checks, key=lambda check: worst[check.status])


def _clean(one: _Candidate) -> None:
    """Refuse a file with changes that git has not: they and the edit could not be told apart."""
    path = Path(os.path.realpath(one.path))
    try:
        said = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no", "--", path.name],
            cwd=path.parent,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return
    if said.stdout.strip():
        raise MigrateProblem(
            "SM507",
            "the file has changes that are not committed",
            place=one.change.path,
            hint="commit them, or use --allow-dirty",
            exit_code=Exit.REFUSED,
        )


def _write(
    root: Path,
    candidates: Sequence[_Candidate],
    records: Callable[[Sequence[Check]], Mapping[Path, bytes]] | None,
    checks: Sequence[Check],
) -> None:
    with placing.alone(root):
        for one in candidates:
            if one.path.read_bytes() != one.source.data:
                raise MigrateProblem(
                    "SM514",
                    "the file changed while it was checked",
                    place=one.change.path,
                    hint="run it again",
                )
        files = dict(records(checks)) if records is not None else {}
        files.update({one.path: one.data for one in candidates})

        def confirm() -> None:
            for path, data in files.items():
                if path.read_bytes() != data:
                    raise MigrateProblem(
                        "SM515",
                        "what was written is not what lies there",
                        place=str(path),
                        hint="run it again",
                    )

        try:
            placing.place(files, confirm)
        except OSError as error:
            raise MigrateProblem(
                "SM515",
                f"the edit cannot be written: {error.strerror or error}; every file is as it was",
                place=str(error.filename or root),
                hint="make the folder writable for you",
            ) from error


def unified(path: str, before: str, after: str) -> str:
    """The difference as ``git apply`` takes it; only ``\\n`` ends a line."""
    lines = difflib.unified_diff(_lines(before), _lines(after), f"a/{path}", f"b/{path}")
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(text: str) -> list[str]:
    parts = text.split("\n")
    return [*(f"{part}\n" for part in parts[:-1]), *([parts[-1]] if parts[-1] else [])]
