"""How control and candidate ran: times, tries, memory; shown beside the verdict and never part of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stepbridge import documents
from stepbridge.compare.model import Phase, RunFacts, Skipped
from stepbridge.contract import Result, Usage
from stepbridge.failures import StepbridgeError
from stepbridge.store.base import Store
from stepbridge_airflow import compat

if TYPE_CHECKING:
    from stepbridge_airflow.shadow_verdict import Ended

_TIMES = "duration"
_QUIET = "Airflow tells no task the times of another"
_MAPPED = "the task is mapped: its elements are not added up"


def of_control(task_id: str, context: Mapping[str, Any], ended: Mapping[int, Ended]) -> RunFacts:
    """What Airflow tells of the control."""
    state = _states(one.control for one in ended.values())
    durations = compat.task_durations(context, task_id)
    if len(ended) != 1:
        return RunFacts(task_id, state, missing=(Skipped(_TIMES, _MAPPED),))
    (index,) = ended
    seconds = None if durations is None else durations.get(index)
    return RunFacts(
        task_id,
        state,
        seconds=seconds,
        missing=()
        if seconds is not None
        else (Skipped(_TIMES, _QUIET if durations is None else "Airflow kept none"),),
    )


def of_candidate(task_id: str, ended: Mapping[int, Ended], results: Store) -> RunFacts:
    """What the candidate's record tells of it.

    :param results: the store of candidates.
    """
    state = _states(one.candidate for one in ended.values())
    if len(ended) != 1:
        return RunFacts(task_id, state, missing=(Skipped(_TIMES, _MAPPED),))
    (one,) = ended.values()
    note = one.note
    if note is None or not note.run:
        return RunFacts(
            task_id, state, error=note.reason if note else "", missing=(Skipped(_TIMES, "no record"),)
        )
    lead = record_key(results, note.run)
    missing = []
    result = usage = None
    try:
        usage = documents.read(Usage, results, f"{lead}usage.json")
    except StepbridgeError as error:
        missing.append(Skipped("usage", str(error)))
    if note.end == "ran":
        try:
            result = documents.read(Result, results, f"{lead}result.json")
        except StepbridgeError as error:
            missing.append(Skipped(_TIMES, str(error)))
    return RunFacts(
        task_id,
        state,
        tries=result.attempt.try_number if result else 0,
        started=result.started if result else "",
        seconds=_between(result.started, result.finished) if result else None,
        phases=tuple(Phase(name, seconds) for name, seconds in usage.phases.items()) if usage else (),
        cpu_seconds=usage.cpu_seconds if usage else None,
        peak_memory=usage.peak_rss if usage else None,
        peak_gpu_memory=usage.gpu_peak_memory if usage else None,
        cache=result.cache if result else "",
        error=note.reason if note.end == "failed" else "",
        record=note.run,
        missing=tuple(missing),
    )


def record_key(results: Store, uri: str) -> str:
    """The key prefix of an attempt's record from its URI."""
    return uri.removeprefix(results.uri("").rstrip("/") + "/")


def _between(started: str, finished: str) -> float | None:
    if not started or not finished:
        return None
    return (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()


def _states(found: Iterable[str]) -> str:
    """One state, or how often there is each: ``3 success, 1 failed``."""
    states = list(found)
    if len(set(states)) <= 1:
        return states[0] if states else ""
    return ", ".join(f"{states.count(one)} {one}" for one in sorted(set(states)))
