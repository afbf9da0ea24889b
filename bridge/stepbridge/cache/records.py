"""What the store knows of one attempt's cache key: found by run, by key or by URI, for people who ask."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal, TypeVar

from stepbridge import documents
from stepbridge.artifact import safe_segment
from stepbridge.backends.base import outcome
from stepbridge.cache.explain import attempt_at, describe, explain_between, key_of, moment
from stepbridge.cache.lookup import NO_ENTRY, Hit, look_up
from stepbridge.contract import Attempt, CacheEntry, CacheTarget, ErrorDocument, InputsRecord, Result
from stepbridge.failures import CacheProblem, ObjectMissing, StoreProblem
from stepbridge.store.base import ObjectInfo, Store

T = TypeVar("T")
State = Literal["hit", "miss", "failed", "unfinished", "entry"]

_KEY = re.compile(r"[0-9a-fA-F]{6,64}")
_ENTRY_URI = re.compile(r"(.*)/(cache/[^/]+/[^/]+\.json)")
_RUN_URI = re.compile(r"(.*)/(runs/[^/]+/[^/]+/[^/]+(?:/-?\d+(?:/\d+)?)?)(?:/|/[a-z.]+)?")
_LISTED = 5


@dataclass(frozen=True)
class Recorded:
    """One attempt, or one cache entry, and its key.

    :param name: for people.
    :param place: its key in the store.
    :param state: how the attempt got its result; ``entry`` where a cache entry was asked for.
    :param key: empty where it is not known any more.
    :param record: the key's record; empty where it is not kept any more.
    :param source: run prefix of the attempt that did the work.
    :param reason: why it missed, as its log says.
    :param finished: ISO 8601; empty where it is not known.
    :param entry: what lies under the key now.
    """

    name: str
    place: str
    state: State
    step: str
    key: str
    record: Mapping[str, Any]
    source: str = ""
    reason: str = ""
    finished: str = ""
    entry: CacheEntry | None = None
    attempt: Attempt | None = None

    @property
    def target(self) -> CacheTarget:
        """Where its entry lies."""
        return CacheTarget(self.step, self.key, self.record)


@dataclass(frozen=True)
class _Wanted:
    """One way to read ``DAG/RUN/TASK[/MAP_INDEX[/TRY]]``."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None = None
    try_number: int | None = None

    @property
    def lead(self) -> str:
        return "/".join(["runs", *map(safe_segment, (self.dag_id, self.run_id, self.task_id)), ""])

    def __str__(self) -> str:
        index = "" if self.map_index is None else f"/{self.map_index}"
        return f"{self.dag_id}/{self.run_id}/{self.task_id}{index}"


@dataclass
class _Found:
    """The attempts of one task instance, or of all of a mapped task."""

    wanted: _Wanted
    attempts: dict[tuple[int, int], set[str]] = field(default_factory=dict)


def split_root(what: str) -> tuple[str, str]:
    """The store's root and the rest, where *what* is a URI; else no root.

    :raises CacheProblem: SB602 for a URI of something else.
    """
    if "://" not in what:
        return "", what
    found = _ENTRY_URI.fullmatch(what) or _RUN_URI.fullmatch(what)
    if found is None:
        raise CacheProblem(
            "SB602",
            "this is the URI of neither a run's record nor a cache entry",
            place=what,
            hint="give .../runs/DAG/RUN/TASK/MAP_INDEX/TRY/ or .../cache/STEP/KEY.json",
        )
    return found[1], found[2]


def find(store: Store, what: str) -> Recorded:
    """The record that *what* names.

    :param what: ``DAG/RUN/TASK[/MAP_INDEX[/TRY]]``, where RUN may be ``latest``; a key or its first digits;
        or what follows the root in the URI of a run's record or a cache entry.
    :raises CacheProblem: SB602 where there is none, SB603 where there are several, SB604 where the run has no
        key.
    """
    if _KEY.fullmatch(what):
        return _by_key(store, what.lower())
    rest = what.strip("/")
    if rest.startswith("cache/") and rest.endswith(".json"):
        return _of_entry(store, rest)
    wanted = list(dict.fromkeys([*_escaped(rest), *_readings(rest)]))
    if not wanted:
        raise CacheProblem(
            "SB602",
            "this is neither a run nor a key",
            place=what,
            hint="give DAG/RUN/TASK[/MAP_INDEX[/TRY]], at least 6 hex digits of a key, or a record's URI",
        )
    found = [one for one in (_attempts(store, reading) for reading in wanted) if one.attempts]
    if not found:
        raise _no_run(store, wanted[0], what)
    if len(found) > 1:
        raise _several([f"{store.root}/{one.wanted.lead}" for one in found], what)
    return _of_attempt(store, *_chosen(found[0], what))


def image(store: Store, found: Recorded) -> str:
    """Which image the pod ran that made the result; empty where it was no pod, or is not recorded."""
    entry = found.entry
    place = found.source or (found.place if entry is None or found.state != "entry" else entry.source)
    try:
        record = json.loads(store.get(f"{place.rstrip('/')}/pod.json"))
    except (StoreProblem, ValueError):
        return ""
    seen = record.get("image_id") if isinstance(record, dict) else None
    return seen if isinstance(seen, str) else ""


def reason(store: Store, found: Recorded) -> str:
    """Why it hit or missed, in one line."""
    entry = found.entry
    match found.state:
        case "hit":
            saved = f", {entry.seconds:.1f} s saved" if entry is not None else ""
            made = f", {moment(entry.created)}" if entry is not None else ""
            return f"hit: the result of {describe(found.source)}{made}{saved}"
        case "entry":
            return f"recorded by {describe(found.source)}, {moment(found.finished)}"
    if found.reason and found.reason != NO_ENTRY:
        return found.reason if found.reason.startswith("missed") else f"missed: {found.reason}"
    before = _before(store, found)
    return explain_between(before, found.target) if before is not None else "missed: first run of this step"


def standing(store: Store, found: Recorded) -> str:
    """Whether a run with this key would be served now."""
    if not found.key:
        return "not known"
    now = look_up(store, found.target)
    return "there: a run with this key takes it" if isinstance(now, Hit) else f"none: {now.reason}"


# runs --------------------------------------------------------------------------------------------------


def _readings(rest: str) -> Iterator[_Wanted]:
    """Every way to read *rest*: names may hold slashes, and a closing number may be part of a name."""
    parts = rest.split("/")
    for numbers in (2, 1, 0):
        head, tail = parts[: len(parts) - numbers], parts[len(parts) - numbers :]
        if len(head) < 3 or not all(re.fullmatch(r"-?\d+", part) for part in tail):
            continue
        for first, second in combinations(range(1, len(head)), 2):
            names = ("/".join(head[:first]), "/".join(head[first:second]), "/".join(head[second:]))
            if all(names):
                yield _Wanted(*names, *map(int, tail))


def _escaped(rest: str) -> Iterator[_Wanted]:
    """The reading of a run prefix as the store and ``stepbridge runs`` spell it."""
    parts = rest.split("/")
    if parts[0] != "runs" or not 4 <= len(parts) <= 6:
        return
    attempt = attempt_at("/".join([*parts, *("-1", "1")[len(parts) - 4 :]]))
    if attempt is not None:
        numbers = (attempt.map_index, attempt.try_number)[: len(parts) - 4]
        yield _Wanted(attempt.dag_id, attempt.run_id, attempt.task_id, *numbers)


def _attempts(store: Store, wanted: _Wanted) -> _Found:
    if wanted.run_id == "latest":
        newest = _newest_run(store, wanted)
        if newest is None:
            return _Found(wanted)
        wanted = newest
    found = _Found(wanted)
    for info in store.list(wanted.lead):
        parts = info.key.removeprefix(wanted.lead).split("/")
        if len(parts) >= 3 and re.fullmatch(r"-?\d+", parts[0]) and parts[1].isdigit():
            found.attempts.setdefault((int(parts[0]), int(parts[1])), set()).add(parts[2])
    return found


def _newest_run(store: Store, wanted: _Wanted) -> _Wanted | None:
    """*wanted* with the run whose record of the task was written last, by the store's clock."""
    lead, task = f"runs/{safe_segment(wanted.dag_id)}/", safe_segment(wanted.task_id)
    records = (info for info in store.list(lead) if info.key.removeprefix(lead).split("/")[1:2] == [task])
    newest = max(records, key=lambda info: (info.modified or 0.0, info.key), default=None)
    attempt = attempt_at("/".join(newest.key.split("/")[:6])) if newest is not None else None
    if attempt is None:
        return None
    return _Wanted(wanted.dag_id, attempt.run_id, wanted.task_id, wanted.map_index, wanted.try_number)


def _chosen(found: _Found, what: str) -> tuple[Attempt, set[str]]:
    """The attempt that is asked for: the only map index, the newest try."""
    wanted = found.wanted
    indexes = sorted({index for index, _ in found.attempts})
    index = wanted.map_index
    if index is None:
        index = -1 if -1 in indexes else indexes[0]
        if len(indexes) > 1 and index != -1:
            raise _several([f"{wanted}/{one}" for one in indexes], what)
    tries = sorted(number for one, number in found.attempts if one == index)
    number = wanted.try_number if wanted.try_number is not None else max(tries, default=0)
    names = found.attempts.get((index, number))
    if names is None:
        there = ", ".join(str(one) for one in (tries or indexes)[:_LISTED])
        raise CacheProblem(
            "SB602",
            f"it has no {'try' if tries else 'map index'} {number if tries else index}; there is {there}",
            place=what,
            hint=f"ask for {wanted}",
        )
    return Attempt(wanted.dag_id, wanted.run_id, wanted.task_id, index, number), names


def _of_attempt(store: Store, attempt: Attempt, names: set[str]) -> Recorded:
    end = outcome(store, attempt) if names & {"result.json", "error.json"} else None
    name, place = describe(attempt.prefix), attempt.prefix
    if isinstance(end, Result) and (end.cache == "off" or (end.cache == "resumed" and not end.key)):
        raise _no_key(name, "the cache was off")
    if isinstance(end, Result) and end.cache in {"hit", "resumed"}:
        inputs = _inputs(store, end.source)
        step = inputs.step if inputs else _step_of(store, end.key) or f"{attempt.dag_id}.{attempt.task_id}"
        entry = _entry(store, CacheTarget(step, end.key).path)
        record = inputs.key if inputs else entry.record if entry else {}
        return Recorded(
            name, place, "hit", step, end.key, record, end.source, "", end.finished, entry, attempt
        )
    inputs = _inputs(store, attempt.prefix)
    if inputs is None or not inputs.key:
        raise _no_key(name, "the cache was off" if inputs else "its inputs.json is not in the store")
    key = end.key if isinstance(end, Result) and end.key else key_of(inputs.key)
    entry = _entry(store, CacheTarget(inputs.step, key).path) if key else None
    states: tuple[State, State, State] = ("miss", "failed", "unfinished")
    state = states[0 if isinstance(end, Result) else 1 if isinstance(end, ErrorDocument) else 2]
    finished = end.finished if end is not None else ""
    return Recorded(
        name,
        place,
        state,
        inputs.step,
        key,
        inputs.key,
        attempt.prefix,
        inputs.reason,
        finished,
        entry,
        attempt,
    )


def _before(store: Store, found: Recorded) -> CacheEntry | None:
    """The step's newest entry of another key that was there when the attempt began."""
    began = None
    if found.attempt is not None:
        info = store.head(found.attempt.prefix + "inputs.json")
        began = info.modified if info is not None else None
    older = [
        info
        for info in _entries(store, found.target.folder)
        if info.key != found.target.path and (began is None or (info.modified or 0.0) <= began)
    ]
    for info in sorted(older, key=lambda one: one.modified or 0.0, reverse=True):
        entry = _entry(store, info.key)
        if entry is not None:
            return entry
    return None


# entries -----------------------------------------------------------------------------------------------


def _entries(store: Store, prefix: str) -> Iterator[ObjectInfo]:
    return (
        info
        for info in store.list(prefix)
        if re.fullmatch(r"[0-9a-f]{64}\.json", info.key.rpartition("/")[2])
    )


def _by_key(store: Store, digits: str) -> Recorded:
    found = [info.key for info in _entries(store, "cache/") if info.key.rpartition("/")[2].startswith(digits)]
    if not found:
        raise CacheProblem(
            "SB602",
            "no cache entry has a key that begins so",
            place=digits,
            hint="`stepbridge cache list` shows the entries; for a run give DAG/RUN/TASK",
        )
    if len(found) > 1:
        raise _several(found, digits)
    return _of_entry(store, found[0])


def _of_entry(store: Store, path: str) -> Recorded:
    try:
        entry = documents.read(CacheEntry, store, path)
    except ObjectMissing as error:
        raise CacheProblem(
            "SB602", "there is no such cache entry", place=store.uri(path), hint="see `stepbridge cache list`"
        ) from error
    return Recorded(
        f"{entry.step} {entry.key[:12]}",
        path,
        "entry",
        entry.step,
        entry.key,
        entry.record,
        entry.source,
        finished=entry.created,
        entry=entry,
        attempt=attempt_at(entry.source),
    )


def _step_of(store: Store, key: str) -> str:
    """The step that has an entry of this key, found by listing."""
    for info in _entries(store, "cache/"):
        if info.key.endswith(f"/{key}.json"):
            entry = _entry(store, info.key)
            if entry is not None:
                return entry.step
    return ""


def _entry(store: Store, path: str) -> CacheEntry | None:
    return _read(store, path, CacheEntry)


def _inputs(store: Store, prefix: str) -> InputsRecord | None:
    return _read(store, f"{prefix.rstrip('/')}/inputs.json", InputsRecord) if prefix else None


def _read(store: Store, path: str, cls: type[T]) -> T | None:
    """The document at *path*; None where there is none that this version reads."""
    try:
        return documents.read(cls, store, path)
    except StoreProblem as problem:
        if problem.code.id in {"SB302", "SB309"}:
            return None
        raise
    except (OverflowError, RecursionError):
        return None


# what is not there -------------------------------------------------------------------------------------


def _no_run(store: Store, wanted: _Wanted, what: str) -> CacheProblem:
    newest = _newest_run(store, _Wanted(wanted.dag_id, "latest", wanted.task_id))
    if newest is not None:
        hint = f"the newest run of this task is {newest}"
    elif any(True for _ in store.list(f"runs/{safe_segment(wanted.dag_id)}/")):
        hint = f"`stepbridge runs {wanted.dag_id}` lists the DAG's attempts"
    else:
        hint = "`stepbridge runs` lists what this store has; --store names another"
    return CacheProblem("SB602", f"{store.root} has no record of this run", place=what, hint=hint)


def _several(names: list[str], what: str) -> CacheProblem:
    shown = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    return CacheProblem(
        "SB603", f"it fits {len(names)} records: {shown}", place=what, hint="name one of them"
    )


def _no_key(name: str, cause: str) -> CacheProblem:
    return CacheProblem(
        "SB604", cause, place=name, hint="a step with cache='auto' or 'refresh' records its key"
    )
