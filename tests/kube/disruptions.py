"""What strikes a running pod from outside: eviction, preemption, a lost node, a deletion."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from kube import faults, statuses
from kube.errors import ApiError, Json
from kube.kubelet import Kubelet
from kube.pods import Ended, PodGone, PodRun

_TAINT = "Taint manager: deleting due to NoExecute taint"
_PREEMPTION = "default-scheduler: preempting to accommodate a higher priority pod"


async def wait_and_strike(fault: faults.TimedFault, run: PodRun, kubelet: Kubelet) -> None:
    """Wait until the fault is due, then strike."""
    if isinstance(fault, faults.Vanish) and fault.when == "before_start":
        pass
    elif isinstance(fault, faults.Vanish) and fault.when == "finished":
        await run.finished.wait()
    else:
        await run.started.wait()
    await asyncio.sleep(fault.after)
    while fault.after_file is not None and not fault.after_file.exists():
        await asyncio.sleep(0.02)
    with contextlib.suppress(PodGone, ApiError):
        strike(fault, run, kubelet)
        if isinstance(fault, faults.NodeLost) and fault.evict_after is not None:
            await asyncio.sleep(fault.evict_after)
            _disrupt(run, kubelet, "DeletionByTaintManager", _TAINT)
            kubelet.delete(run.namespace, run.name, None)


def strike(fault: faults.TimedFault, run: PodRun, kubelet: Kubelet) -> None:
    """Strike now; a pod that ended already is only deleted, never changed.

    :raises PodGone: when there is no such pod any more. :raises ApiError: 404 likewise.
    """
    if isinstance(fault, faults.Vanish):
        kubelet.store.remove("pods", run.namespace, run.name)
    elif isinstance(fault, faults.DeletedOutside):
        kubelet.delete(run.namespace, run.name, fault.grace)
    elif run.finished.is_set():
        return
    else:
        _strike_running(fault, run, kubelet)


def _strike_running(fault: faults.TimedFault, run: PodRun, kubelet: Kubelet) -> None:
    grace = float(run.spec.get("terminationGracePeriodSeconds", 30))
    match fault:
        case faults.OomKilled():
            run.kill_container(fault.container, fault.exit_code)
        case faults.Evicted():
            _disrupt(run, kubelet, "TerminationByKubelet", fault.message)
            run.event("Evicted", fault.message, warning=True)
            run.stop(0, Ended("Evicted", fault.message))
        case faults.NodeShutdown():
            _disrupt(run, kubelet, "TerminationByKubelet", fault.message)
            run.stop(grace, Ended("Terminated", fault.message))
        case faults.Preempted():
            _disrupt(run, kubelet, "PreemptionByScheduler", _PREEMPTION)
            told = f"Preempted by pod 6f1c1c3e-0000-4000-8000-000000000000 on node {run.spec.get('nodeName')}"
            kubelet.recorder.record(run.pod, "Preempted", told, source="default-scheduler")
            kubelet.delete(run.namespace, run.name, None)
        case faults.SpotTaint():
            _disrupt(run, kubelet, "DeletionByTaintManager", _TAINT)
            told = f"Marking for deletion Pod {run.namespace}/{run.name}"
            kubelet.recorder.record(run.pod, "TaintManagerEviction", told, source="taint-eviction-controller")
            kubelet.delete(run.namespace, run.name, None)
        case faults.NodeLost():
            _lose(fault, run, kubelet)
        case other:
            raise TypeError(f"{other} strikes no running pod")


def _disrupt(run: PodRun, kubelet: Kubelet, reason: str, message: str) -> None:
    def change(pod: Json) -> None:
        stamp = kubelet.store.clock.stamp()
        statuses.condition(pod, "DisruptionTarget", True, stamp, reason=reason, message=message)

    _ = run.pod
    kubelet.store.change("pods", run.namespace, run.name, change)


def _lose(fault: faults.NodeLost, run: PodRun, kubelet: Kubelet) -> None:
    run.event("NodeNotReady", "Node is not ready", warning=True)

    def change(pod: Json) -> None:
        statuses.condition(pod, "Ready", False, kubelet.store.clock.stamp(), reason="NodeNotReady")

    run.edit(change)
    run.fall_silent()
    lost = kubelet.scheduler.nodes[run.spec["nodeName"]]
    kubelet.scheduler.lose(lost.name)
    kubelet.show_node(lost.name)
    if fault.replaced:
        kubelet.add_node(replace(lost, name=f"{lost.name}-{kubelet.next_number()}"))
