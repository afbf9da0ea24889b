"""``migration/ledger.json``: what was moved, the text that stood there before, and what was checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stepbridge_migrate.edits import ordered
from stepbridge_migrate.model import Change, Check, Needs, State
from stepbridge_migrate.problems import Exit, MigrateProblem

SCHEMA = 1
FOLDER = "migration"
NAME = "ledger.json"
UNREADABLE = "SM509"
_ANCHOR = 160
"""Characters kept of the text before and after an edit, by which it is found again."""


def digest(text: str) -> str:
    """The sha256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Segment:
    """One edited span.

    :param start: offset in the text after the move.
    :param line: of that offset, for people.
    :param old: what stood there, :param new: what stands there now.
    :param before: the text before it, :param after: and after it, in the text after the move.
    :param role: ``import`` for an edit that other tasks of the file share, ``call`` for all others.
    """

    start: int
    line: int
    old: str
    new: str
    before: str
    after: str
    role: str = "call"


@dataclass(frozen=True)
class Move:
    """One edit that is in the source.

    :param action: ``shadow`` or ``cutover``.
    :param rule: name and version of the rule that made it.
    :param at: UTC, ISO 8601.
    :param needs: what was asked for the step, by name.
    :param before: sha256 of the file's text before the move, :param after: and after it.
    """

    action: str
    rule: str
    at: str
    segments: tuple[Segment, ...]
    before: str
    after: str
    needs: Mapping[str, object] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Event:
    """Something that happened to a unit: ``shadow``, ``cutover``, ``rollback``, ``lost``."""

    action: str
    at: str
    rule: str = ""
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """One site that has been moved, or was.

    :param task: ``DAG.TASK``.
    :param moves: the edits that are in the source, the latest last.
    """

    path: str
    task: str
    moves: tuple[Move, ...] = ()
    history: tuple[Event, ...] = ()

    @property
    def state(self) -> State:
        """What the moves make of the site."""
        if not self.moves:
            return State.LEGACY
        return State.SHADOW if self.moves[-1].action == "shadow" else State.CUTOVER


@dataclass(frozen=True)
class Ledger:
    """All entries, by path and task."""

    entries: tuple[Entry, ...] = ()

    def entry(self, path: str, task: str) -> Entry | None:
        """The entry of one site."""
        return next((one for one in self.entries if (one.path, one.task) == (path, task)), None)

    def of_file(self, path: str) -> tuple[Entry, ...]:
        """The entries of one file."""
        return tuple(one for one in self.entries if one.path == path)

    def with_entry(self, entry: Entry) -> Ledger:
        """The ledger with *entry* in the place of the one of that site."""
        others = [one for one in self.entries if (one.path, one.task) != (entry.path, entry.task)]
        return Ledger(tuple(sorted([*others, entry], key=lambda one: (one.path, one.task))))

    def record(
        self,
        *,
        task: str,
        action: str,
        rule: str,
        change: Change,
        before: str,
        after: str,
        at: str,
        needs: Needs | None = None,
        checks: Iterable[Check] = (),
    ) -> Ledger:
        """The ledger after one more move.

        :param change: the edits that lead from *before* to *after*, both whole texts.
        :param at: UTC, ISO 8601, seconds.
        """
        found = self.entry(change.path, task) or Entry(change.path, task)
        move = Move(
            action=action,
            rule=rule,
            at=at,
            segments=segments(change, after),
            before=digest(before),
            after=digest(after),
            needs=_said(needs),
            checks=tuple(checks),
        )
        moved = replace(found, moves=(*found.moves, move), history=(*found.history, Event(action, at, rule)))
        return self.with_entry(moved)

    def undone(
        self, *, path: str, task: str, at: str, entries: Iterable[Entry] = (), note: str = ""
    ) -> Ledger:
        """The ledger after the latest move of a site was taken back.

        :param entries: those of the same file whose shared imports changed hands; see :mod:`.rollback`.
        """
        ledger = self
        for one in entries:
            ledger = ledger.with_entry(one)
        found = ledger.entry(path, task)
        if found is None or not found.moves:
            return ledger
        event = Event("rollback", at, found.moves[-1].rule, note)
        return ledger.with_entry(replace(found, moves=found.moves[:-1], history=(*found.history, event)))


def segments(change: Change, after: str) -> tuple[Segment, ...]:
    """The edited spans of *change* as they lie in *after*."""
    found = []
    shift = 0
    for one in ordered(change.edits):
        start = one.start + shift
        end = start + len(one.text)
        shift += len(one.text) - len(one.old)
        found.append(
            Segment(
                start=start,
                line=after.count("\n", 0, start) + 1,
                old=one.old,
                new=one.text,
                before=after[max(0, start - _ANCHOR) : start],
                after=after[end : end + _ANCHOR],
                role="import" if one.shared else "call",
            )
        )
    return tuple(found)


def _said(needs: Needs | None) -> dict[str, object]:
    if needs is None:
        return {}
    return {name: value for name, value in asdict(needs).items() if value not in (None, (), {})}


# the file --------------------------------------------------------------------------------------------------


def file_of(root: Path) -> Path:
    """Where the ledger of a project lies."""
    return root / FOLDER / NAME


def load(root: Path) -> Ledger:
    """The project's ledger; an empty one where there is none.

    :raises MigrateProblem: SM509 where it cannot be read.
    """
    path = file_of(root)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Ledger()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(str(error)) from error
    return loads(text)


def dumps(ledger: Ledger) -> str:
    """The ledger as text: the same text for the same entries."""
    document = {
        "schema": SCHEMA,
        "entries": [_entry_document(one) for one in ledger.entries],
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def loads(text: str) -> Ledger:
    """The ledger of a text.

    :raises MigrateProblem: SM509 where it is none.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise _unreadable(f"it is not of schema {SCHEMA}")
        entries = [_entry(one) for one in document["entries"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(f"{type(error).__name__}: {error}") from error
    return Ledger(tuple(sorted(entries, key=lambda one: (one.path, one.task))))


def _entry_document(entry: Entry) -> dict[str, object]:
    return {
        "path": entry.path,
        "task": entry.task,
        "state": entry.state.value,
        "moves": [
            {
                **{name: value for name, value in asdict(move).items() if name != "segments"},
                "segments": [
                    {**asdict(one), "digests": {"old": digest(one.old), "new": digest(one.new)}}
                    for one in move.segments
                ],
            }
            for move in entry.moves
        ],
        "history": [asdict(one) for one in entry.history],
    }


def _entry(document: dict[str, object]) -> Entry:
    match document:
        case {"path": str(path), "task": str(task), "moves": list(moves), "history": list(history)}:
            return Entry(path, task, tuple(map(_move, moves)), tuple(Event(**one) for one in history))
    raise _unreadable(f"an entry has not the right keys: {sorted(document)}")


def _move(document: dict[str, Any]) -> Move:
    given = dict(document)
    found, checks = given.pop("segments"), given.pop("checks")
    return Move(segments=tuple(map(_segment, found)), checks=tuple(Check(**one) for one in checks), **given)


def _segment(document: dict[str, Any]) -> Segment:
    given = dict(document)
    digests = given.pop("digests", None)
    found = Segment(**given)
    if digests != {"old": digest(found.old), "new": digest(found.new)}:
        raise _unreadable(f"the text of an edit near line {found.line} does not have its digest")
    return found


def _unreadable(why: str) -> MigrateProblem:
    return MigrateProblem(
        UNREADABLE,
        why,
        place=f"{FOLDER}/{NAME}",
        hint="restore it from version control",
        exit_code=Exit.USAGE,
    )
