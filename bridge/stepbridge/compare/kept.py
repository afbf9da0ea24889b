"""Where the reports of shadow runs lie in a store, and reading those of one task."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from stepbridge import documents
from stepbridge.artifact import safe_segment
from stepbridge.compare.model import Report
from stepbridge.failures import StoreProblem
from stepbridge.store.base import ObjectInfo, Store
from stepbridge.store.parallel import for_each

FOLDER = "shadow"
"""Below the store's root: what candidates give, and the reports."""
_FILE = "report.json"
_AT_ONCE = 16


@dataclass(frozen=True)
class KeptReport:
    """One report and its URI."""

    report: Report
    uri: str


@dataclass(frozen=True)
class Unread:
    """A report that is there and cannot be read: written by another version, or damaged."""

    uri: str
    why: str


@dataclass(frozen=True)
class KeptReports:
    """The reports of one task, the newest run first.

    :param earlier: how many runs with reports are older than those.
    """

    runs: tuple[tuple[KeptReport, ...], ...]
    unread: tuple[Unread, ...] = ()
    earlier: int = 0


def report_key(dag_id: str, task_id: str, run_id: str, map_index: int = -1) -> str:
    """Where the report of a control's run lies below the store's root."""
    element = [str(map_index)] if map_index >= 0 else []
    return "/".join([_folder(dag_id, task_id), safe_segment(run_id), *element, _FILE])


def _folder(dag_id: str, task_id: str) -> str:
    return "/".join([FOLDER, safe_segment(dag_id), safe_segment(task_id)])


def reports_of(store: Store, dag_id: str, task_id: str, *, newest: int) -> KeptReports:
    """The reports of the *newest* runs of a control.

    :raises StoreProblem: the store does not answer.
    """
    folder = _folder(dag_id, task_id) + "/"
    by_run: dict[str, list[ObjectInfo]] = defaultdict(list)
    for info in _reports(store, folder):
        by_run[info.key.removeprefix(folder).partition("/")[0]].append(info)
    order = sorted(
        by_run, key=lambda run: (max(info.modified or 0 for info in by_run[run]), run), reverse=True
    )
    chosen = {info.key: run for run in order[:newest] for info in by_run[run]}
    found: dict[str, list[KeptReport]] = defaultdict(list)
    unread: list[Unread] = []
    lock = threading.Lock()

    def read(key: str) -> None:
        try:
            report = documents.read(Report, store, key)
        except StoreProblem as problem:
            if problem.code.id not in {"SB302", "SB309"}:
                raise
            with lock:
                unread.append(Unread(store.uri(key), problem.cause))
            return
        with lock:
            found[chosen[key]].append(KeptReport(report, store.uri(key)))

    for_each(list(chosen), read, _AT_ONCE)
    runs = tuple(
        tuple(sorted(found[run], key=lambda kept: kept.report.subject.map_index))
        for run in order[:newest]
        if run in found
    )
    return KeptReports(runs, tuple(sorted(unread, key=lambda one: one.uri)), max(0, len(order) - newest))


def tasks_with_reports(store: Store, dag_id: str) -> list[str]:
    """The segments that stand for the tasks of a DAG that have reports, sorted."""
    prefix = f"{FOLDER}/{safe_segment(dag_id)}/"
    return sorted({info.key.removeprefix(prefix).partition("/")[0] for info in _reports(store, prefix)})


def _reports(store: Store, prefix: str) -> Iterator[ObjectInfo]:
    """Every report below a prefix, and nothing else that lies there."""
    return (info for info in store.list(prefix) if info.key.endswith("/" + _FILE) and _depth(info.key))


def _depth(key: str) -> bool:
    """``shadow/dag/task/run/[index/]report.json``."""
    parts = key.split("/")
    return len(parts) == 5 or (len(parts) == 6 and parts[4].isdecimal())
