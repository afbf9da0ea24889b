"""Does a store keep its promise on conditional writes? Found out by racing: one at a time, liars pass."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stepbridge import documents
from stepbridge.failures import ObjectExists, ObjectMissing, StoreProblem
from stepbridge.store.base import Store

ROUNDS = 12
WRITERS = 8
PATIENCE = 8.0
"""Seconds after which no further round begins: some servers let writers of one object wait for each other."""
VERDICT = "probe/verdict.json"
LASTS = timedelta(days=30)

Write = Callable[[bytes], None]


@dataclass(frozen=True)
class Verdict:
    """What a probe found, as it is remembered in the store.

    :param ok: whether of several writers exactly one wins, whenever they race.
    :param reason: why not, for people; empty where it is so.
    :param at: ISO 8601, when it was probed.
    """

    ok: bool
    reason: str
    at: str


def conditional_writes(store: Store, *, now: datetime | None = None) -> Verdict:
    """Whether conditional writes hold in *store*: as remembered in it, else by probing, once in 30 days.

    Raises nothing for a store that cannot be asked: that is no, for now, and is not remembered.

    :param now: the clock's where None.
    """
    at = now or datetime.now(UTC)
    try:
        remembered = _remembered(store, at)
        if remembered is not None:
            return remembered
        verdict = Verdict(not (reason := _lie(store, ROUNDS, WRITERS)), reason, at.isoformat())
    except (StoreProblem, threading.BrokenBarrierError) as error:
        reason = f"it could not be probed: {error or 'the writers did not start together'}"
        return Verdict(False, reason, at.isoformat())
    try:
        store.put(VERDICT, documents.dump(verdict))
    except StoreProblem:
        return verdict
    return verdict


def probe_conditional_writes(store: Store, *, rounds: int = ROUNDS, writers: int = WRITERS) -> bool:
    """Whether of several writers that create or replace one object at the same time exactly one wins.

    Writes below ``probe/`` and cleans up.

    :param rounds: how many races of each kind; a server whose check and write are two steps shows it in most.
    :raises StoreProblem: where the store cannot be written at all.
    """
    return not _lie(store, rounds, writers)


def _remembered(store: Store, now: datetime) -> Verdict | None:
    try:
        found = documents.read(Verdict, store, VERDICT)
        at = datetime.fromisoformat(found.at)
    except (ObjectMissing, ValueError):
        return None
    except StoreProblem as problem:
        if problem.code.id == "SB309":
            return None
        raise
    return found if at.tzinfo is not None and abs(now - at) < LASTS else None


def _lie(store: Store, rounds: int, writers: int) -> str:
    """How the store broke its promise; empty where it kept it in every round."""
    name = secrets.token_hex(8)
    with ThreadPoolExecutor(writers, thread_name_prefix="stepbridge-probe") as pool:
        began = time.monotonic()
        for number in range(rounds):
            if time.monotonic() - began > PATIENCE:
                break
            key = f"probe/{name}/{number}"
            try:
                lie = _create(store, key, pool, writers) or _replace(store, key, pool, writers)
            finally:
                store.delete(key)
            if lie:
                return lie
    return ""


def _create(store: Store, key: str, pool: ThreadPoolExecutor, writers: int) -> str:
    def create(body: bytes) -> None:
        store.put(key, body, create=True)

    return _race(store, key, create, pool, writers, "If-None-Match")


def _replace(store: Store, key: str, pool: ThreadPoolExecutor, writers: int) -> str:
    _, info = store.read(key)
    if not info.etag:
        return "it names no ETag"

    def replace(body: bytes) -> None:
        store.replace(key, body, etag=info.etag)

    return _race(store, key, replace, pool, writers, "If-Match")


def _race(store: Store, key: str, write: Write, pool: ThreadPoolExecutor, writers: int, what: str) -> str:
    barrier = threading.Barrier(writers)
    bodies = [secrets.token_bytes(24) for _ in range(writers)]

    def compete(body: bytes) -> bool:
        barrier.wait(timeout=60)
        try:
            write(body)
        except ObjectExists:
            return False
        return True

    outcomes = list(pool.map(compete, bodies))
    winners = [body for body, won in zip(bodies, outcomes, strict=True) if won]
    if len(winners) != 1:
        return f"of {writers} writers with {what} {len(winners)} won"
    return (
        "" if store.get(key) == winners[0] else f"what one of {writers} writers with {what} won is not there"
    )
