"""``stepbridge cache``: why a run hit or missed, what differs between two, what the cache holds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from typing import Any

from stepbridge import documents
from stepbridge.cache import explain, records
from stepbridge.cache.explain import Difference, Row
from stepbridge.cache.records import Recorded
from stepbridge.commands import holdings
from stepbridge.commands.options import add_format, add_store, open_root
from stepbridge.failures import CacheProblem
from stepbridge.store.base import Store

_WHAT = "DAG/RUN/TASK[/MAP_INDEX[/TRY]] (RUN may be `latest`), a key's first digits, or a record's URI"
_WIDEST = 100


def add(commands: Any) -> None:
    """Add the command to the subparsers *commands*."""
    cache = commands.add_parser("cache", help="why runs hit or missed the cache").add_subparsers(
        required=True, metavar="COMMAND"
    )
    explained = cache.add_parser("explain", help="why a run hit or missed, and the fields of its key")
    explained.add_argument("what", metavar="WHAT", help=_WHAT)
    add_store(explained)
    add_format(explained)
    explained.set_defaults(command=_explain)

    diff = cache.add_parser("diff", help="what differs between two keys: 0 same, 1 differs, 2 error")
    diff.add_argument("a", metavar="A", help=_WHAT)
    diff.add_argument("b", metavar="B", help="as A")
    add_store(diff)
    add_format(diff)
    diff.set_defaults(command=_diff, missing=2)
    holdings.add(cache)


def _find(what: str, root: str) -> tuple[Store, Recorded]:
    own, rest = records.split_root(what)
    store = open_root(own or root)
    return store, records.find(store, rest)


def _explain(arguments: argparse.Namespace) -> int:
    store, found = _find(arguments.what, arguments.store)
    head = {
        "step": found.step,
        "key": found.key,
        "state": found.state,
        "why": records.reason(store, found),
        "entry": records.standing(store, found),
        "record": store.uri(found.place),
        "image": records.image(store, found),
    }
    fields, parts = explain.rows(found.record), explain.part_rows(found.record)
    if arguments.format == "json":
        saved = found.entry.seconds if found.entry is not None else None
        more = {"name": found.name, "source": found.source, "seconds": saved, "finished": found.finished}
        print(_json({**more, **head, "fields": _listed(fields), "parts": _listed(parts)}))
        return 0
    print(found.name)
    for name, value in head.items():
        if value or name != "image":
            print(f"  {name:<8} {value}")
    _print_rows("fields", fields)
    _print_rows("code", parts)
    if not fields:
        print("  the fields of this key are not kept any more")
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    sides = {side: _find(what, arguments.store)[1] for side, what in (("a", arguments.a), ("b", arguments.b))}
    for one in sides.values():
        if not explain.rows(one.record):
            raise CacheProblem(
                "SB604",
                "the fields of its key are not kept any more",
                place=one.name,
                hint="name another run",
            )
    old, new = sides["a"].record, sides["b"].record
    found = explain.differences(old, new)
    equal = explain.equal_fields(old, new)
    unseen = _unseen(sides["a"], sides["b"], found)
    if arguments.format == "json":
        shown = {
            **{side: {"name": one.name, "step": one.step, "key": one.key} for side, one in sides.items()},
            "same": not found,
            "differences": [_difference(one) for one in found],
            "unseen": [_difference(one) for one in unseen],
            "equal": _listed(equal),
        }
        print(_json(shown))
        return 1 if found else 0
    for side, one in sides.items():
        print(f"{side.upper()}  {one.name}  key {one.key[:12] or '(unknown)'}")
    _print_differences("differs" if found else "same key", found)
    if unseen:
        _print_differences("differs, but the key does not count it (cache_version)", unseen)
    _print_rows("equal", equal)
    return 1 if found else 0


def _print_differences(title: str, found: Iterable[Difference]) -> None:
    print(title)
    for one in found:
        print(f"  {one.text(longest=_WIDEST)}")


def _unseen(old: Recorded, new: Recorded, found: Iterable[Difference]) -> list[Difference]:
    """What differs in the code though the key does not say so: a pin stands for the code."""
    told = set(found)
    return [one for one in explain.code_differences(old.record, new.record) if one not in told]


def _difference(one: Difference) -> dict[str, str]:
    return {**documents.to_json(one), "text": one.text()}


def _listed(rows: Iterable[Row]) -> list[dict[str, str]]:
    return [documents.to_json(row) for row in rows]


def _print_rows(title: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    print(title)
    width = min(40, max(len(row.field) for row in rows))
    for row in rows:
        value = " ".join(row.value.split())
        shown = value if len(value) <= _WIDEST else value[: _WIDEST - 1] + "…"
        print(f"  {row.field:<{width}}  {row.digest}  {shown}".rstrip())


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
