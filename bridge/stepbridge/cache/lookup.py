"""The look-up: an entry counts only while every artifact in it is still there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from stepbridge import documents
from stepbridge.cache.entry import CacheEntry, CacheTarget
from stepbridge.carried import Stored, Value
from stepbridge.failures import ObjectMissing, StoreProblem
from stepbridge.leaves import stored
from stepbridge.presence import missing

if TYPE_CHECKING:
    from stepbridge.store.base import Store

_SKEW = timedelta(hours=1)
"""By how much the clocks of two machines may differ where an entry's age counts."""
_UNREADABLE = frozenset({"SB301", "SB304", "SB309", "SB310"})
"""What a document that was cut or changed in the store leads to."""
NO_ENTRY = "no run with this key is recorded"


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
        return Miss(NO_ENTRY)
    except StoreProblem as error:
        if error.code.id in _UNREADABLE:
            return Miss(f"the entry cannot be read: {error.cause}", dead=True)
        return Miss(f"the look-up failed, so the step runs: {error}", failed=True)
    except (OverflowError, RecursionError) as error:
        return Miss(f"the entry cannot be read: {error}", dead=True)


def _look_up(store: Store, target: CacheTarget, max_age: timedelta | None, now: datetime) -> Hit | Miss:
    entry = documents.read(CacheEntry, store, target.path)
    if entry.check != entry.digest():
        return Miss("the entry is not what was written: its check does not hold", dead=True)
    if (entry.key, entry.step) != (target.key, target.step):
        return Miss(f"the entry is for key {entry.key[:12]} of {entry.step}", dead=True)
    if max_age is not None:
        too_old = _too_old(entry, max_age, now)
        if too_old:
            return Miss(too_old, dead=True)
    for value in (entry.output, *entry.xcoms.values()):
        gone = _gone(store, value)
        if gone:
            return Miss(gone, dead=True)
    return Hit(entry)


def _too_old(entry: CacheEntry, max_age: timedelta, now: datetime) -> str:
    try:
        created = datetime.fromisoformat(entry.created)
        age = now - created
    except (ValueError, TypeError):
        return f"the entry does not say when it was made: {entry.created[:40]!r}"
    if age > max_age:
        return f"the entry is {age} old, older than max_age {max_age}"
    if age < -_SKEW:
        return f"the entry is dated {created}, which is not yet: its age is not known"
    return ""


def _gone(store: Store, value: Value) -> str:
    for leaf in stored(value):
        if isinstance(leaf, Stored):
            reason = missing(store, leaf.artifact)
            if reason:
                return reason
    return ""
