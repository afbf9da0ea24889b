"""How control and candidate ran: times, tries, memory; shown beside the verdict and never part of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from stepbridge import documents
from stepbridge.compare.model import Phase, RunFacts, Skipped
from stepbridge.contract import Attempt, ErrorDocument, Request, Result, Usage
from stepbridge.failures import ObjectMissing, StepbridgeError
from stepbridge.store.base import Store
from stepbridge_airflow import compat, config, rest_api
from stepbridge_airflow.attempts import PodRecord

if TYPE_CHECKING:
    from stepbridge_airflow.shadow_candidate import Note
    from stepbridge_airflow.shadow_verdict import Ended

T = TypeVar("T")
_READ = 100
"""Elements of a mapped task whose records are read."""
_AT_ONCE = 8


@dataclass(frozen=True)
class Seen:
    """What the records of a candidate tell.

    :param code: the digest of its code. :param image: what its pods ran; empty for a local run.
    """

    facts: RunFacts
    code: str = ""
    image: str = ""


def of_control(task_id: str, context: Mapping[str, Any], ended: Mapping[int, Ended]) -> RunFacts:
    """What Airflow tells of the control."""
    states = _counted(one.control for one in ended.values())
    asked = sorted(ended)[:_READ]
    times = {**compat.task_times(context, task_id, asked), **_of_rest(task_id, context, asked)}
    found = [_of_times(task_id, times.get(index)) for index in asked]
    return replace(_merged(task_id, found, len(ended)), state=states)


def of_candidate(task_id: str, ended: Mapping[int, Ended], results: Store, image: str = "") -> Seen:
    """What the candidate's records tell of it.

    :param results: the store of candidates.
    :param image: as the task names it.
    """
    states = _counted(one.candidate for one in ended.values())
    notes = [ended[index].note for index in sorted(ended)[:_READ]]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda note: _of_record(task_id, note, results, image), notes))
    facts = _merged(task_id, [one.facts for one in found], len(ended))
    return Seen(
        replace(facts, state=states),
        ", ".join(dict.fromkeys(one.code for one in found if one.code)),
        ", ".join(dict.fromkeys(one.image for one in found if one.image)),
    )


def record_key(results: Store, uri: str) -> str:
    """The key prefix of an attempt's record from its URI."""
    return uri.removeprefix(results.uri("").rstrip("/") + "/")


def _of_rest(task_id: str, context: Mapping[str, Any], asked: Sequence[int]) -> dict[int, compat.Times]:
    """What Airflow's REST API tells beyond what tasks are told; nothing where it cannot be asked."""
    name = config.rest_connection() if compat.AIRFLOW_3 else ""
    if not name:
        return {}
    try:
        found = rest_api.instances(name, context, (task_id,), asked)[task_id]
    except rest_api.RestTrouble:
        return {}  # the report says why where it tells of the inputs
    return {index: one.times for index, one in found.items()}


def _of_times(task_id: str, times: compat.Times | None) -> RunFacts:
    if times is None:
        return RunFacts(
            task_id, "", missing=(Skipped("times", "Airflow tells no task the times of another"),)
        )
    unknown = [
        name
        for name, value in (("duration", times.seconds), ("tries", times.tries), ("queued", times.queued))
        if value is None
    ]
    return RunFacts(
        task_id,
        "",
        tries=times.tries or 0,
        started=times.started,
        seconds=times.seconds,
        phases=() if times.queued is None else (Phase("queued", round(times.queued, 3)),),
        missing=(Skipped(", ".join(unknown), compat.UNTOLD),) if unknown else (),
    )


def _of_record(task_id: str, note: Note | None, results: Store, image: str) -> Seen:
    """One instance of the candidate."""
    if note is None or not note.run:
        why = Skipped("times", "it left no record")
        return Seen(RunFacts(task_id, "", error=note.reason if note else "", missing=(why,)))
    reading = _Reading(results, record_key(results, note.run))
    attempt = Attempt.of_uri(f"{note.run.rstrip('/')}/request.json")
    result = reading.of(Result, "result.json") if note.end == "ran" else None
    error = reading.of(ErrorDocument, "error.json", needed=False) if result is None else None
    request = reading.of(Request, "request.json", needed=False)
    pod = reading.of(PodRecord, "pod.json", needed=False)
    ran = result is None or result.cache in ("off", "miss")
    usage = reading.of(Usage, "usage.json") if ran else None
    ended: Result | ErrorDocument | None = result or error
    missing = reading.missing
    if not ran and result is not None:
        missing = [*missing, Skipped("usage", f"nothing ran: the result of {result.source} was taken")]
    phases = [*_of_pod(pod, ended), *(usage.phases.items() if usage else ())]
    facts = RunFacts(
        task_id,
        "",
        tries=attempt.try_number,
        started=ended.started if ended else "",
        seconds=_between(ended.started, ended.finished) if ended else None,
        phases=tuple(Phase(name, round(seconds, 4)) for name, seconds in phases),
        cpu_seconds=usage.cpu_seconds if usage else None,
        peak_memory=usage.peak_rss if usage else None,
        gpu_model=usage.gpu_model if usage else "",
        gpu_seconds=_gpu_seconds(usage, request),
        peak_gpu_memory=usage.gpu_peak_memory if usage else None,
        cache=result.cache if result else "",
        place=_place(pod) if ran else "",
        error=note.reason if note.end == "failed" else "",
        record=note.run,
        missing=tuple(missing),
    )
    return Seen(facts, request.code.digest if request else "", _image(pod, image))


class _Reading:
    """Documents of one attempt; what cannot be read is noted."""

    def __init__(self, results: Store, lead: str) -> None:
        self._results, self._lead = results, lead
        self.missing: list[Skipped] = []

    def of(self, kind: type[T], name: str, *, needed: bool = True) -> T | None:
        try:
            return documents.read(kind, self._results, self._lead + name)
        except ObjectMissing as error:
            if needed:
                self.missing.append(Skipped(name, str(error)))
        except StepbridgeError as error:
            self.missing.append(Skipped(name, str(error)))
        return None


def _of_pod(pod: PodRecord | None, ended: Result | ErrorDocument | None) -> list[tuple[str, float]]:
    """What came before the runner: pods that the infrastructure lost, then scheduling, image and start.

    Kubernetes keeps no more than that of a pod that is gone.
    """
    if pod is None:
        return []
    before = _between(pod.first, pod.created)
    phases = [("earlier pods", before)] if before and pod.repeats else []
    start = _between(pod.created, ended.started) if ended and ended.started else None
    return phases + ([("queue, pull, start", max(start, 0.0))] if start is not None else [])


def _place(pod: PodRecord | None) -> str:
    return f"pod {pod.namespace}/{pod.name}" if pod is not None else "local"


def _image(pod: PodRecord | None, named: str) -> str:
    if pod is None:
        return ""
    return f"{named} ({pod.image_id})" if pod.image_id and pod.image_id != named else named


def _gpu_seconds(usage: Usage | None, request: Request | None) -> float | None:
    """How long GPUs were busy: their mean utilisation over the function's time, times their number."""
    if usage is None or usage.gpu_utilisation is None or request is None or "run" not in usage.phases:
        return None
    return round(usage.gpu_utilisation / 100 * usage.phases["run"] * request.gpus, 3)


# several instances ------------------------------------------------------------------------------------


def _merged(task_id: str, found: Sequence[RunFacts], of: int) -> RunFacts:
    """One instance as it is; of several sums, the largest and the longest."""
    if len(found) == 1 and of == 1:
        return found[0]
    known = [one.seconds for one in found if one.seconds is not None]
    phases: dict[str, float] = {}
    for phase in (phase for one in found for phase in one.phases):
        phases[phase.name] = phases.get(phase.name, 0.0) + phase.seconds
    longest = [Phase("longest element", max(known))] if known else []
    missing: dict[tuple[str, str], int] = {}
    for gap in (gap for one in found for gap in one.missing):
        missing[gap.what, gap.why] = missing.get((gap.what, gap.why), 0) + 1
    unread = [Skipped("elements", f"only the first {_READ} are read", of - len(found))] * (of > len(found))
    gaps = [Skipped(f"{what} of {count:,} of {of:,}", why, count) for (what, why), count in missing.items()]
    return RunFacts(
        task_id,
        "",
        tries=max((one.tries for one in found), default=0),
        started=min((one.started for one in found if one.started), default=""),
        seconds=round(sum(known), 3) if known else None,
        phases=(*longest, *(Phase(name, round(seconds, 4)) for name, seconds in phases.items())),
        cpu_seconds=_sum(one.cpu_seconds for one in found),
        peak_memory=max((one.peak_memory for one in found if one.peak_memory is not None), default=None),
        gpu_model=", ".join(dict.fromkeys(one.gpu_model for one in found if one.gpu_model)),
        gpu_seconds=_sum(one.gpu_seconds for one in found),
        peak_gpu_memory=max(
            (one.peak_gpu_memory for one in found if one.peak_gpu_memory is not None), default=None
        ),
        cache=_counted(one.cache for one in found if one.cache),
        place=_places([one.place for one in found if one.place]),
        error=next((one.error for one in found if one.error), ""),
        record=next((one.record for one in found if one.record), "").rpartition(f"/{task_id}/")[0],
        missing=(*unread, *gaps[:5]),
    )


def _sum(found: Iterable[float | None]) -> float | None:
    known = [one for one in found if one is not None]
    return round(sum(known), 3) if known else None


def _places(found: Sequence[str]) -> str:
    pods = sum(one.startswith("pod ") for one in found)
    return _counted(found) if pods <= 1 else f"{pods} pods"


def _between(started: str, finished: str) -> float | None:
    if not started or not finished:
        return None
    return (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()


def _counted(found: Iterable[str]) -> str:
    """One text, or how often there is each: ``3 success, 1 failed``."""
    texts = list(found)
    if len(set(texts)) <= 1:
        return texts[0] if texts else ""
    return ", ".join(f"{texts.count(one)} {one}" for one in sorted(set(texts)))
