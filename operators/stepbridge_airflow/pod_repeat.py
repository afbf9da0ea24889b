"""Whether a try goes on with another pod after one that ended, and what that pod is to be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from stepbridge.contract import ErrorDocument
from stepbridge_airflow import outcomes
from stepbridge_airflow.attempts import EarlierEnd, PodRecord
from stepbridge_airflow.pod_facts import PodFacts
from stepbridge_airflow.work import Site

_LONGEST = 120.0


def following(site: Site, record: PodRecord, ended: ErrorDocument, seen: PodFacts) -> PodRecord | None:
    """The record that the next pod begins with, or None where *ended* stands.

    More memory after ``oom`` where ``on_oom`` asks for it; the same again, up to ``infra_retries`` times,
    where the infrastructure is to blame, the last time off spot.

    :param seen: the pod that ended.
    """
    step = site.step
    earlier = (*record.earlier, EarlierEnd(ended.kind, ended.code, ended.message[:500], record.name))
    if ended.kind == "oom" and step.on_oom is not None:
        limit = record.memory or step.resources.amounts().limits.get("memory", "") or seen.memory_limit
        more = step.on_oom.next(limit) if limit else ""
        if not more:
            return None
        site.log.warning("%s: %s; the step is repeated with memory=%r", ended.code, ended.message, more)
        return replace(record, memory=more, earlier=earlier)
    if not outcomes.repeats(ended) or record.repeats >= step.infra_retries:
        return None
    repeats = record.repeats + 1
    off_spot = repeats == step.infra_retries and step.placement.capacity != "on-demand"
    site.log.warning(
        "%s: %s; repetition %d of %d%s",
        ended.code,
        ended.message,
        repeats,
        step.infra_retries,
        ", off spot" if off_spot else "",
    )
    return replace(record, repeats=repeats, on_demand=record.on_demand or off_spot, earlier=earlier)


def wait_before(site: Site, record: PodRecord, then: PodRecord, *, stop: Callable[[], bool]) -> None:
    """Wait before a repetition, longer each time; not before one with more memory.

    :param stop: whether the wait is to end at once.
    """
    if then.repeats == record.repeats:
        return
    delay = min(_LONGEST, site.settings.repeat_delay * 2 ** (then.repeats - 1))
    limit = time.monotonic() + delay
    while time.monotonic() < limit and not stop():
        time.sleep(min(0.2, delay))
