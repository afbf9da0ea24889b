"""Takes the latest move of a site back: exactly, and also when other parts of the file changed since."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from stepbridge_migrate.codes import worst
from stepbridge_migrate.edits import apply, ordered
from stepbridge_migrate.ledger import Entry, Ledger, Move, Segment, digest
from stepbridge_migrate.model import Change, Disposition, Edit, Finding, Place, Plan, Site
from stepbridge_migrate.rules.view import View

_CHANGED = "SM510"
_NOT_FOUND = "SM511"
_UNKNOWN = "SM512"


@dataclass(frozen=True)
class Rollback:
    """What a rollback does.

    :param plan: with the edits, or with the refusal.
    :param entries: entries of other sites of the file that take over, or give up, a shared import; for
        :meth:`stepbridge_migrate.ledger.Ledger.undone`.
    """

    plan: Plan
    entries: tuple[Entry, ...] = ()


def rollback(ledger: Ledger, site: Site, text: str) -> Rollback:
    """The way back from the latest move of *site*.

    :param text: of the site's file as it is now.
    """
    entry = ledger.entry(site.path, site.id)
    if entry is None or not entry.moves:
        finding = Finding(_UNKNOWN, f"the ledger has no move of {site.id}", site.place)
        return Rollback(_plan(site, (), (finding,)))
    move = entry.moves[-1]
    if digest(text) == move.after:
        edits = ordered(
            Edit(one.start, one.new, one.old, one.role == "import") for one in _in_order(move.segments)
        )
        if digest(apply(text, edits)) == move.before:
            return Rollback(_plan(site, edits, (), move.rule))
    return _found_again(site, ledger, entry, move, text)


def _in_order(segments: Iterable[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda one: one.start)


def _plan(site: Site, edits: Sequence[Edit], findings: Sequence[Finding], rule: str = "") -> Plan:
    disposition = worst(findings) if findings else Disposition.AUTO
    changes = (Change(site.path, tuple(edits)),) if edits else ()
    return Plan("rollback", site, disposition, changes, tuple(findings), (), rule)


# a file that changed since ---------------------------------------------------------------------------------


def _found_again(site: Site, ledger: Ledger, entry: Entry, move: Move, text: str) -> Rollback:
    view = View(site.path, text)
    own = [one for one in move.segments if one.role != "import"]
    edits: list[Edit] = []
    for segment in own:
        at = _place(view, site, segment)
        if isinstance(at, Finding):
            return Rollback(_plan(site, (), (at,)))
        edits.append(Edit(at, segment.new, segment.old))
    shared, entries = _imports(site, ledger, entry, view, ordered(edits))
    return Rollback(_plan(site, ordered([*edits, *shared]), (), move.rule), entries)


def _place(view: View, site: Site, segment: Segment) -> int | Finding:
    """Where the text of an edit stands today: the one place, or the one that its neighbourhood tells."""
    text = view.text
    places = _occurrences(text, segment.new) if segment.new else []
    if segment.new and not places:
        there = _today(view, site)
        return Finding(
            _CHANGED,
            f"the text was {_shown(segment.old)}, the move made it {_shown(segment.new)}, and today there is "
            f"{_shown(there)}",
            _at(view, site),
        )
    if not segment.new:
        places = [
            at + len(segment.before) for at in _occurrences(text, segment.before + segment.after)
        ] or _near(text, segment)
    scored = sorted(((_score(text, at, segment), at) for at in places), reverse=True)
    if not scored or scored[0][0] == 0 or (len(scored) > 1 and scored[0][0] == scored[1][0]):
        if len(places) == 1 and segment.new:
            return places[0]
        what = "nowhere" if not places else f"in {len(places)} places that look the same"
        shown = segment.new or segment.old
        return Finding(_NOT_FOUND, f"{_shown(shown)} of the move stands {what}", _at(view, site))
    return scored[0][1]


def _occurrences(text: str, wanted: str) -> list[int]:
    found, at = [], text.find(wanted)
    while at >= 0 and wanted:
        found.append(at)
        at = text.find(wanted, at + 1)
    return found


def _near(text: str, segment: Segment) -> list[int]:
    """Places between the last line before and the first line after a deletion."""
    before = segment.before[-40:]
    return [at + len(before) for at in _occurrences(text, before)]


def _score(text: str, at: int, segment: Segment) -> int:
    """How many characters of the neighbourhood are as they were, from the edit outwards."""
    end = at + len(segment.new)
    before, after = text[:at], text[end : end + len(segment.after)]
    same = 0
    for one, other in zip(reversed(before[-len(segment.before) :]), reversed(segment.before), strict=False):
        if one != other:
            break
        same += 1
    for one, other in zip(after, segment.after, strict=False):
        if one != other:
            break
        same += 1
    return same


def _today(view: View, site: Site) -> str:
    span = site.call
    return view.text[span.start : span.end]


def _at(view: View, site: Site) -> Place:
    return site.place if view.text else Place(site.path, 1)


def _shown(text: str, limit: int = 400) -> str:
    return repr(text if len(text) <= limit else text[:limit] + "...")


# shared imports --------------------------------------------------------------------------------------------


def _imports(
    site: Site, ledger: Ledger, entry: Entry, view: View, edits: Sequence[Edit]
) -> tuple[list[Edit], tuple[Entry, ...]]:
    """The imports that are to go or to come back, of whichever move of the file made the change.

    An import that a move brought goes when nothing uses it any more; one that a move took out comes back when
    something uses it again. So the order of rollbacks does not matter.
    """
    after = View(site.path, apply(view.text, edits))
    found: list[Edit] = []
    changed: dict[str, Entry] = {}
    for other in ledger.of_file(site.path):
        for move in other.moves:
            mine = other is entry and move is entry.moves[-1]
            for segment in move.segments:
                if segment.role != "import" or segment not in _live(changed.get(other.task, other)):
                    continue
                undo = _needed_back(after, segment) if segment.old else _not_needed(after, segment)
                if undo:
                    at = _place(view, site, segment)
                    if not isinstance(at, Finding):
                        found.append(Edit(at, segment.new, segment.old, shared=True))
                        changed = _given_up(changed, other, segment)
                elif mine:
                    changed = _handed_over(changed, ledger, entry, segment)
    entries = tuple(one for one in changed.values() if one.task != entry.task)
    return found, entries


def _live(entry: Entry) -> list[Segment]:
    return [segment for move in entry.moves for segment in move.segments]


def _given_up(changed: dict[str, Entry], entry: Entry, segment: Segment) -> dict[str, Entry]:
    now = changed.get(entry.task, entry)
    moves = tuple(
        replace(move, segments=tuple(one for one in move.segments if one is not segment))
        for move in now.moves
    )
    return {**changed, entry.task: replace(now, moves=moves)}


def _handed_over(
    changed: dict[str, Entry], ledger: Ledger, entry: Entry, segment: Segment
) -> dict[str, Entry]:
    """Another moved site of the file answers for the import from now on."""
    for other in ledger.of_file(entry.path):
        now = changed.get(other.task, other)
        if other.task != entry.task and now.moves:
            last = replace(now.moves[-1], segments=(*now.moves[-1].segments, segment), after="")
            return {**changed, other.task: replace(now, moves=(*now.moves[:-1], last))}
    return changed


def _names(text: str) -> list[str]:
    """The names that an import statement, or a part of one, binds."""
    stripped = text.strip().strip(",").strip()
    for form in (stripped, f"from m import {stripped}"):
        try:
            tree = ast.parse(form)
        except SyntaxError:
            continue
        return [
            alias.asname or alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        ]
    return []


def _not_needed(after: View, segment: Segment) -> bool:
    return not any(after.uses[name] for name in _names(segment.new))


def _needed_back(after: View, segment: Segment) -> bool:
    return any(after.uses[name] for name in _names(segment.old))
