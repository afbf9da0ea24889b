"""The look-up: an entry counts only while every artifact in it is still there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stepbridge import documents, publishing
from stepbridge.contract import CacheEntry, CacheTarget, Stored, Value
from stepbridge.failures import ObjectMissing, StoreProblem
from stepbridge.leaves import stored
from stepbridge.store.base import Store


@dataclass(frozen=True)
class Hit:
    """A result that may stand for this run."""

    entry: CacheEntry


@dataclass(frozen=True)
class Miss:
    """Why none may.

    :param dead: True where an entry is there that can never hit again and is to be replaced.
    :param failed: True where the store did not answer: the step runs, nothing is known of the entry.
    """

    reason: str
    dead: bool = False
    failed: bool = False


def look_up(
    store: Store, target: CacheTarget, *, max_age: timedelta | None = None, now: datetime | None = None
) -> Hit | Miss:
    """The entry under *target*, in one request and one more per artifact; store failures are misses.

    :param max_age: how old an entry may be; None for any age.
    :param now: the time to measure age by; the clock's where None.
    """
    try:
        return _look_up(store, target, max_age, now or datetime.now(UTC))
    except ObjectMissing:
        return Miss("no run with this key is recorded")
    except StoreProblem as error:
        if error.code.id == "SB309":
            return Miss(f"the entry cannot be read: {error.cause}", dead=True)
        return Miss(f"the look-up failed, so the step runs: {error}", failed=True)


def _look_up(store: Store, target: CacheTarget, max_age: timedelta | None, now: datetime) -> Hit | Miss:
    entry = documents.load(CacheEntry, store.get(target.path), place=store.uri(target.path))
    if (entry.key, entry.step) != (target.key, target.step):
        return Miss(f"the entry is for key {entry.key[:12]} of {entry.step}", dead=True)
    if max_age is not None:
        age = now - datetime.fromisoformat(entry.created)
        if age > max_age:
            return Miss(f"the entry is {age} old, older than max_age {max_age}", dead=True)
    for value in (entry.output, *entry.xcoms.values()):
        gone = _gone(store, value)
        if gone:
            return Miss(gone, dead=True)
    return Hit(entry)


def _gone(store: Store, value: Value) -> str:
    for leaf in stored(value):
        if isinstance(leaf, Stored):
            reason = publishing.missing(store, leaf.artifact)
            if reason:
                return reason
    return ""
