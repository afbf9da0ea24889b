"""Pods as the cluster keeps them: created, deleted with grace, and what belongs to them collected."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal

from kube import faults
from kube.environment import remove
from kube.errors import ApiError, Json, conflict
from kube.events import Recorder
from kube.launching import Settings
from kube.objects import Change, ObjectStore
from kube.pods import PodRun
from kube.processes import marked
from kube.scheduling import Node, Scheduler

_COLLECTED = ("secrets", "configmaps", "pods")


class Kubelet:
    """Every pod's run, by uid; lives in the server's loop."""

    def __init__(
        self, store: ObjectStore, recorder: Recorder, scheduler: Scheduler, settings: Settings
    ) -> None:
        self.store, self.recorder, self.scheduler, self.settings = store, recorder, scheduler, settings
        self.runs: dict[str, PodRun] = {}
        self.left: set[str] = set()
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Condition()
        self._numbers = itertools.count(2)
        for node in scheduler.nodes.values():
            store.create("nodes", node.object())
        store.listen(self._on_change)

    # -- pods

    def create(self, pod: Json, struck: tuple[faults.PodFault, ...]) -> Json:
        """:raises ApiError: 409 for a name that is taken."""
        from kube.disruptions import wait_and_strike

        pod = self.store.create("pods", pod)
        run = PodRun(
            pod,
            store=self.store,
            recorder=self.recorder,
            scheduler=self.scheduler,
            settings=self.settings,
            struck=struck,
            freed=self._freed,
        )
        self.runs[run.uid] = run
        tasks = [asyncio.create_task(run.live())]
        tasks += [
            asyncio.create_task(wait_and_strike(fault, run, self))
            for fault in struck
            if isinstance(fault, faults.TimedFault)
        ]
        self._tasks[run.uid] = tasks
        return pod

    def run_of(self, pod: Json) -> PodRun:
        return self.runs[pod["metadata"]["uid"]]

    def delete(
        self, namespace: str, name: str, grace: int | None, *, uid: str = "", version: str = ""
    ) -> Json:
        """Ask for a pod's deletion, as DELETE does.

        :param grace: seconds; None for the pod's own. :param uid: and :param version: preconditions.
        :raises ApiError: 404, or 409 for a precondition that does not hold.
        """
        pod = self.store.get("pods", namespace, name)
        meta = pod["metadata"]
        for told, asked, held in (
            ("UID", uid, meta["uid"]),
            ("ResourceVersion", version, meta["resourceVersion"]),
        ):
            if asked and asked != held:
                why = f"Precondition failed: {told} in precondition: {asked}, {told} in object meta: {held}"
                raise conflict("pods", name, why)
        run = self.run_of(pod)
        stays = run.silent or run.fault(faults.StuckDelete) is not None
        forced = grace == 0
        wanted = pod["spec"].get("terminationGracePeriodSeconds", 30) if grace is None else grace
        if not pod["spec"].get("nodeName") or pod["status"]["phase"] in ("Succeeded", "Failed"):
            wanted = 0
        if wanted == 0 and (forced or not stays):
            return self.store.remove("pods", namespace, name)
        if meta.get("deletionTimestamp") and meta.get("deletionGracePeriodSeconds", 0) <= wanted:
            return pod

        def mark(found: Json) -> None:
            found["metadata"]["deletionTimestamp"] = self.store.clock.stamp(wanted)
            found["metadata"]["deletionGracePeriodSeconds"] = wanted

        pod = self.store.change("pods", namespace, name, mark)
        if not run.silent:
            run.stop(wanted)
            if not stays:
                self._later(self._remove_when_stopped(run))
        return pod

    async def _remove_when_stopped(self, run: PodRun) -> None:
        await run.finished.wait()
        found = self.store.find("pods", run.namespace, run.name)
        if found is not None and found["metadata"]["uid"] == run.uid:
            self.store.remove("pods", run.namespace, run.name)

    def _later(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    # -- nodes

    def add_node(self, node: Node) -> None:
        self.scheduler.nodes[node.name] = node
        self.store.create("nodes", node.object())
        self._later(self._wake())

    def show_node(self, name: str) -> None:
        """Write the scheduler's view of a node into its object."""
        status = self.scheduler.nodes[name].object()

        def change(found: Json) -> None:
            found["spec"], found["status"] = status["spec"], status["status"]

        self.store.change("nodes", "", name, change)

    def next_number(self) -> int:
        return next(self._numbers)

    async def _wake(self) -> None:
        async with self._freed:
            self._freed.notify_all()

    # -- what changes bring

    def _on_change(self, change: Change) -> None:
        meta = change.found["metadata"]
        if change.plural == "pods" and change.type == "DELETED":
            self._later(self._forget(meta["uid"]))
            self._later(self._collect())
        elif change.type == "ADDED" and change.plural in _COLLECTED and meta.get("ownerReferences"):
            self._later(self._collect(0.3))

    async def _forget(self, uid: str) -> None:
        run = self.runs.pop(uid)
        for task in self._tasks.pop(uid):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.scheduler.free(uid)
        await run.forget()
        self.left |= run.marks
        if len(self.left) > 20:
            await self.sweep()
        await self._wake()

    async def sweep(self) -> list[int]:
        """Processes that outlived their containers, killed; they left their process group."""
        marks, self.left = self.left, set()
        if not marks:
            return []
        found = await asyncio.to_thread(marked, marks)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return found

    async def _collect(self, wait: float = 0.05) -> None:
        """The garbage collector: what had owners and has none left is deleted."""
        await asyncio.sleep(wait)
        living = {found["metadata"]["uid"] for plural in _COLLECTED for found in self.store.all(plural)}
        for plural in _COLLECTED:
            for found in list(self.store.all(plural)):
                meta = found["metadata"]
                owners = meta.get("ownerReferences") or []
                if not owners or any(owner["uid"] in living for owner in owners):
                    continue
                if any(owner["kind"] not in ("Pod", "Secret", "ConfigMap") for owner in owners):
                    continue
                with contextlib.suppress(ApiError):
                    if plural == "pods":
                        self.delete(meta["namespace"], meta["name"], None)
                    else:
                        self.store.remove(plural, meta["namespace"], meta["name"])

    async def close(self) -> None:
        """Kill every process and forget every pod."""
        for run in list(self.runs.values()):
            for process in run.processes.values():
                process.kill()
        await asyncio.gather(*(self._forget(uid) for uid in list(self.runs)))
        for task in list(self._others):
            task.cancel()
        await asyncio.gather(*self._others, return_exceptions=True)
        await self.sweep()
        await asyncio.to_thread(remove, self.settings.root / "pods")
