"""The checks of an edit that need nothing but its text."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from stepbridge_migrate.model import Check, Edit, Plan
from stepbridge_migrate.problems import MigrateProblem
from stepbridge_migrate.source import SourceFile

_COMPILE = "import sys; compile(sys.stdin.buffer.read(), sys.argv[1], 'exec', dont_inherit=True)"
_SECONDS = 60


def compose(text: str, edits: Sequence[Edit]) -> str:
    """The text with the edits made.

    :raises ValueError: they overlap or are out of order, or one does not find what it replaces.
    """
    parts, end = [], 0
    for one in edits:
        if one.start < end or one.start + len(one.old) > len(text):
            raise ValueError(f"the edit at offset {one.start} overlaps another or lies outside of the text")
        if not text.startswith(one.old, one.start):
            there = text[one.start : one.start + len(one.old)]
            raise ValueError(f"at offset {one.start} stands {there!r}, and not {one.old!r}")
        parts += [text[end : one.start], one.text]
        end = one.start + len(one.old)
    return "".join([*parts, text[end:]])


def parses(path: str, candidate: bytes, python: Path | None = None) -> Check:
    """The output is Python: of this interpreter, or of the project's where it is known."""
    if python is not None:
        return _compiled(path, candidate, python)
    try:
        ast.parse(candidate, filename=path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Check("parses", "failed", f"{path}: {error or type(error).__name__}")
    return Check("parses", "passed")


def _compiled(path: str, candidate: bytes, python: Path) -> Check:
    try:
        done = subprocess.run(
            [str(python), "-I", "-S", "-c", _COMPILE, path],
            input=candidate,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("parses", "skipped", f"{python} does not answer: {error}")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return Check("parses", "failed", f"{path}: {said[-1] if said else 'no reason given'} ({python})")
    return Check("parses", "passed")


def outside_unchanged(source: SourceFile, candidate: bytes, edits: Sequence[Edit]) -> Check:
    """Every byte outside of the edited spans is the one that was there, whoever made the candidate."""
    name = "outside-unchanged"
    try:
        expected = source.encode(compose(source.text, edits))
    except (ValueError, LookupError) as error:
        return Check(name, "failed", f"{source.path}: {error}")
    if expected != candidate:
        at = next(
            (
                number
                for number, pair in enumerate(zip(expected, candidate, strict=False))
                if pair[0] != pair[1]
            ),
            min(len(expected), len(candidate)),
        )
        line = expected[:at].count(b"\n") + 1
        return Check(name, "failed", f"{source.path}:{line}: byte {at} is not what the edits say")
    return Check(name, "passed")


def stable(again: Callable[[], Plan] | None) -> Check:
    """The same command on its own output has nothing to do.

    :param again: the plan of the same action for the edited text.
    """
    if again is None:
        return Check("stable", "skipped", "nothing was given that plans the edit again")
    try:
        plan = again()
    except MigrateProblem as error:
        return Check("stable", "failed", f"the edited text cannot be planned again: {error}")
    if plan.changes:
        places = ", ".join(
            f"{change.path} at offset {one.start}" for change in plan.changes for one in change.edits
        )
        return Check("stable", "failed", f"a second run would edit again: {places}")
    return Check("stable", "passed")


def inverse(source: SourceFile, undo: Callable[[], str] | None) -> Check:
    """Taking the edit back gives the input, byte for byte.

    :param undo: the text that taking it back gives.
    """
    if undo is None:
        return Check("inverse", "skipped", "nothing was given that takes the edit back")
    try:
        back = source.encode(undo())
    except (ValueError, MigrateProblem) as error:
        return Check("inverse", "failed", f"{source.path}: it cannot be taken back: {error}")
    if back != source.data:
        return Check(
            "inverse", "failed", f"{source.path}: taking it back does not give the file that was there"
        )
    return Check("inverse", "passed")
