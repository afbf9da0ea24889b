"""``stepbridge cache list`` and ``drop``: which entries the cache holds, and deleting some."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stepbridge import documents
from stepbridge.cache.explain import DIGITS, describe, moment
from stepbridge.commands.options import add_format, add_store, open_root
from stepbridge.contract import CacheEntry, CacheTarget, Stored
from stepbridge.failures import CacheProblem, StoreProblem
from stepbridge.leaves import stored
from stepbridge.store.base import ObjectInfo, Store
from stepbridge.store.parallel import for_each

_ENTRY = re.compile(r"cache/[^/]+/[0-9a-f]{64}\.json")
_AGE = re.compile(r"(\d+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class _Held:
    """One entry.

    :param size: bytes of the artifacts it points to.
    :param seconds: what a hit saves.
    """

    step: str
    key: str
    created: str
    size: int
    seconds: float
    source: str


def add(cache: Any) -> None:
    """Add the commands to the subparsers of ``cache``."""
    listing = cache.add_parser("list", help="the cache's entries, newest first")
    listing.add_argument("step", nargs="?", default="", metavar="STEP", help="only of this step")
    add_store(listing)
    add_format(listing)
    listing.set_defaults(command=_list)

    drop = cache.add_parser("drop", help="delete entries, not their artifacts; without --yes only say which")
    drop.add_argument(
        "what", metavar="KEY|STEP", help="a key or at least 6 of its first digits, or a step's id"
    )
    drop.add_argument("--older-than", type=_age, default=None, metavar="30d", help="s, m, h, d or w")
    drop.add_argument("--yes", action="store_true", help="delete them")
    add_store(drop)
    drop.set_defaults(command=_drop)


def _age(text: str) -> int:
    found = _AGE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: a number and s, m, h, d or w")
    return int(found[1]) * _SECONDS[found[2]]


def _infos(store: Store, prefix: str) -> Iterator[ObjectInfo]:
    return (info for info in store.list(prefix) if _ENTRY.fullmatch(info.key))


def _list(arguments: argparse.Namespace) -> int:
    store = open_root(arguments.store)
    prefix = CacheTarget(arguments.step, "").folder if arguments.step else "cache/"
    found: list[_Held] = []
    unread: list[str] = []

    def read(info: ObjectInfo) -> None:
        try:
            entry = documents.read(CacheEntry, store, info.key)
        except StoreProblem as problem:
            unread.append(f"{info.key}: {problem.cause}")
            return
        leaves = [leaf for value in (entry.output, *entry.xcoms.values()) for leaf in stored(value)]
        size = sum(leaf.artifact.size for leaf in leaves if isinstance(leaf, Stored))
        found.append(_Held(entry.step, entry.key, entry.created, size, entry.seconds, entry.source))

    for_each(list(_infos(store, prefix)), read, 16)
    found.sort(key=lambda one: (one.created, one.key), reverse=True)
    if arguments.format == "json":
        print(json.dumps([documents.to_json(one) for one in found], indent=1))
    else:
        for one in found:
            print(
                f"{one.key[:DIGITS]}  {moment(one.created)}  {_bytes(one.size):>10}  "
                f"saves {one.seconds:.1f} s  {one.step}  by {describe(one.source)}"
            )
        print(f"{len(found)} entries, {_bytes(sum(one.size for one in found))} of artifacts")
    for line in sorted(unread):
        print(f"stepbridge: cannot be read: {line}", file=sys.stderr)
    return 0 if found else 1


def _drop(arguments: argparse.Namespace) -> int:
    store = open_root(arguments.store)
    chosen = [info for info in _chosen(store, arguments.what) if _old(info, arguments.older_than)]
    for info in chosen:
        if arguments.yes:
            store.delete(info.key)
        print(f"{'deleted' if arguments.yes else 'would delete'} {store.uri(info.key)}")
    if arguments.yes:
        _drop_latest(store, [info.key for info in chosen])
    elif chosen:
        print(f"{len(chosen)} entries; nothing was deleted, --yes deletes them")
    if not chosen:
        raise _nothing(arguments.what, held=bool(_chosen(store, arguments.what)))
    return 0


def _nothing(what: str, *, held: bool) -> CacheProblem:
    cause = (
        "none of its entries is as old as --older-than says" if held else "no step and no key of the cache"
    )
    hint = "give a lower --older-than" if held else "`stepbridge cache list` shows keys and steps"
    return CacheProblem("SB602", cause, place=what, hint=hint)


def _chosen(store: Store, what: str) -> list[ObjectInfo]:
    of_step = list(_infos(store, CacheTarget(what, "").folder))
    if of_step or not re.fullmatch(r"[0-9a-f]{6,64}", what):
        return of_step
    found = [info for info in _infos(store, "cache/") if info.key.rpartition("/")[2].startswith(what)]
    if len(found) > 1:
        raise CacheProblem(
            "SB603",
            f"{len(found)} keys begin so",
            place=what,
            hint="give more digits; `stepbridge cache list`",
        )
    return found


def _old(info: ObjectInfo, seconds: int | None) -> bool:
    """Whether the store's clock says that the entry is older; without a time it is not."""
    return seconds is None or (info.modified is not None and time.time() - info.modified > seconds)


def _drop_latest(store: Store, dropped: list[str]) -> None:
    """Remove the copies of deleted entries: they hold results too."""
    for folder in sorted({key.rpartition("/")[0] for key in dropped}):
        latest = f"{folder}/latest.json"
        try:
            entry = documents.read(CacheEntry, store, latest)
        except StoreProblem as problem:
            if problem.code.id in {"SB302", "SB309"}:
                continue
            raise
        if f"{folder}/{entry.key}.json" in dropped:
            store.delete(latest)


def _bytes(size: float) -> str:
    for unit in _UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {_UNITS[-1]}"
