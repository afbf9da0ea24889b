"""How far each site has moved: what the sources say, held against the ledger."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from stepbridge_migrate import ledger, placing
from stepbridge_migrate.ledger import Entry, Event, Ledger
from stepbridge_migrate.model import Disposition, Finding, Inventory, Judged, Kind, Place, State
from stepbridge_migrate.problems import MigrateProblem
from stepbridge_migrate.report import Stage, Standing, Status

DRIFT = "SM513"
"""The code of a site on which source and ledger disagree."""
_STATE = {Stage.SHADOW: State.SHADOW, Stage.CUTOVER: State.CUTOVER}


def standing(root: Path, inventory: Inventory, *, whole: bool) -> Status:
    """The stage of every site of *inventory*.

    :param whole: the inventory holds all of the project, so that what the ledger has besides is lost.
    :raises MigrateProblem: SM509 where the ledger cannot be read.
    """
    known = ledger.load(root)
    standings = tuple(_standing(one, known.entry(one.site.path, one.site.id)) for one in inventory.sites)
    seen = {(one.site.path, one.site.id) for one in inventory.sites}
    lost = [one for one in known.entries if one.moves and (one.path, one.task) not in seen]
    return Status(standings, tuple(_lost(root, one) for one in lost) if whole else ())


def stage_of(judged: Judged) -> Stage:
    """The stage that the source alone gives."""
    site = judged.site
    if site.kind in {Kind.STEP, Kind.TASK_STEP} or site.state is State.CUTOVER:
        return Stage.CUTOVER
    if site.state is State.SHADOW:
        return Stage.SHADOW
    return {Disposition.REFUSE: Stage.REFUSED, Disposition.KEEP: Stage.KEPT}.get(
        judged.disposition, Stage.LEGACY
    )


def correct(root: Path, status: Status, now: datetime) -> None:
    """Write the ledger that :func:`corrected` gives.

    :raises MigrateProblem: the ledger cannot be read or written, or another run is writing.
    """
    with placing.alone(root):
        known = corrected(ledger.load(root), status, at=ledger_time(now))
        try:
            placing.place({ledger.file_of(root): ledger.dumps(known).encode()}, lambda: None)
        except OSError as error:
            raise MigrateProblem(
                "SM515",
                f"the ledger cannot be written: {error.strerror or error}",
                place="migration/ledger.json",
            ) from error


def ledger_time(now: datetime) -> str:
    """*now* as the ledger has times: UTC, seconds."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def corrected(known: Ledger, status: Status, *, at: str) -> Ledger:
    """The ledger without the moves that the sources no longer have.

    A move that the sources have and the ledger has not cannot be added: its old text is not known.

    :param at: UTC, ISO 8601.
    """
    for one in status.standings:
        entry = known.entry(one.judged.site.path, one.judged.site.id)
        if entry is not None and one.drift:
            known = known.with_entry(_shortened(entry, _STATE.get(one.stage, State.LEGACY), at))
    gone = {(finding.place.path, finding.message) for finding in status.lost}
    for entry in known.entries:
        if entry.moves and (entry.path, _lost_message(entry)) in gone:
            known = known.with_entry(_shortened(entry, State.LEGACY, at))
    return known


def _standing(judged: Judged, entry: Entry | None) -> Standing:
    stage = stage_of(judged)
    if entry is None or not entry.moves:
        return Standing(judged, stage)
    recorded = entry.state
    drift: tuple[Finding, ...] = ()
    if _STATE.get(stage, State.LEGACY) is not recorded:
        message = f"the ledger says {recorded}, the source says {stage}"
        drift = (Finding(DRIFT, message, judged.site.place),)
    return Standing(judged, stage, str(recorded), entry.moves[-1].at, drift)


def _lost(root: Path, entry: Entry) -> Finding:
    there = (root / entry.path).is_file()
    hint = "" if there else "the file is gone"
    return Finding(DRIFT, _lost_message(entry), Place(entry.path, 1), hint)


def _lost_message(entry: Entry) -> str:
    return f"the ledger says that {entry.task} is at {entry.state}, and the file has no such task"


def _shortened(entry: Entry, wanted: State, at: str) -> Entry:
    """*entry* without its latest moves, down to the state that the source has, if it can get there."""
    moves = entry.moves
    while moves and Entry(entry.path, entry.task, moves).state is not wanted:
        moves = moves[:-1]
    reached = Entry(entry.path, entry.task, moves).state
    if reached is not wanted:
        return entry
    return Entry(
        entry.path, entry.task, moves, (*entry.history, Event("lost", at, note=f"the source says {wanted}"))
    )
