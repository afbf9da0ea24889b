"""The life of one pod: scheduled, admitted by its node, its containers run, its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from kube import environment, faults, images, launching, statuses
from kube.clock import Clock
from kube.environment import ConfigProblem, MountProblem, Resolver
from kube.errors import Json
from kube.events import Recorder
from kube.launching import Settings
from kube.logs import ContainerLog
from kube.objects import ObjectStore
from kube.processes import Process
from kube.scheduling import Scheduler

RETRY = 0.3
_F = TypeVar("_F", bound=faults.PodFault)


class PodGone(Exception):
    """The object is no longer in the store."""


@dataclass(frozen=True)
class Ended:
    """The reason for which a pod as a whole is stopped."""

    reason: str
    message: str
    phase: str = "Failed"


class PodRun:
    """One pod on its node; lives in the server's loop."""

    def __init__(
        self,
        pod: Json,
        *,
        store: ObjectStore,
        recorder: Recorder,
        scheduler: Scheduler,
        settings: Settings,
        struck: tuple[faults.PodFault, ...],
        freed: asyncio.Condition,
    ) -> None:
        meta = pod["metadata"]
        self.namespace, self.name, self.uid = meta["namespace"], meta["name"], meta["uid"]
        self.spec: Json = pod["spec"]
        self.store, self.recorder, self.scheduler, self.settings = store, recorder, scheduler, settings
        self.struck = struck
        self.workdir = settings.root / "pods" / self.uid
        self.logs: dict[str, list[ContainerLog]] = {}
        self.processes: dict[str, Process] = {}
        self.marks: set[str] = set()
        self.started, self.finished = asyncio.Event(), asyncio.Event()
        self.ended_by: Ended | None = None
        self.oom: dict[str, int] = {}
        self.silent = False
        self._stopping = self._closing = False
        self._freed = freed
        self._resolver = Resolver(store)
        self._stop_tasks: set[asyncio.Task[None]] = set()

    @property
    def clock(self) -> Clock:
        return self.store.clock

    @property
    def pod(self) -> Json:
        """:raises PodGone: when the object is no longer there, or another of its name is."""
        found = self.store.find("pods", self.namespace, self.name)
        if found is None or found["metadata"]["uid"] != self.uid:
            raise PodGone(self.name)
        return found

    def fault(self, kind: type[_F]) -> _F | None:
        return next((fault for fault in self.struck if isinstance(fault, kind)), None)

    def edit(self, change: Callable[[Json], Any]) -> None:
        """:raises PodGone: when the object is no longer there."""
        if self.silent:
            return
        _ = self.pod
        self.store.change("pods", self.namespace, self.name, change)

    def event(self, reason: str, message: str, *, warning: bool = False, container: str = "") -> None:
        if not self.silent:
            self.recorder.record(self.pod, reason, message, warning=warning, container=container)

    # -- life

    async def live(self) -> None:
        """From creation to the end of the last container."""
        try:
            await self._schedule()
            if not self._admitted():
                return
            deadline = self.spec.get("activeDeadlineSeconds")
            timer = asyncio.create_task(self._deadline(deadline)) if deadline else None
            try:
                await self._run()
            finally:
                if timer:
                    timer.cancel()
        except PodGone:
            pass
        finally:
            if not self.silent:
                await self._settle()

    async def _settle(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            await process.wait()
        self.scheduler.free(self.uid)
        self.finished.set()
        async with self._freed:
            self._freed.notify_all()

    async def _schedule(self) -> None:
        slow, never = self.fault(faults.SlowSchedule), self.fault(faults.Unschedulable)
        if slow:
            await asyncio.sleep(slow.seconds)
        if never:
            self._unschedulable(never.message)
            await asyncio.sleep(never.seconds if never.seconds is not None else 10**9)
        while True:
            node, why = self.scheduler.place(self.uid, self.spec)
            if node:
                break
            self._unschedulable(why)
            async with self._freed:
                await self._freed.wait()
            if self._stopping:
                raise PodGone(self.name)

        def bind(pod: Json) -> None:
            pod["spec"]["nodeName"] = node
            statuses.condition(pod, "PodScheduled", True, self.clock.stamp())

        self.edit(bind)
        self.spec = self.pod["spec"]
        told = f"Successfully assigned {self.namespace}/{self.name} to {node}"
        self.recorder.record(self.pod, "Scheduled", told, source="default-scheduler")

    def _unschedulable(self, message: str) -> None:
        def refuse(pod: Json) -> None:
            stamp = self.clock.stamp()
            statuses.condition(pod, "PodScheduled", False, stamp, reason="Unschedulable", message=message)

        self.edit(refuse)
        self.recorder.record(self.pod, "FailedScheduling", message, warning=True, source="default-scheduler")

    def _admitted(self) -> bool:
        rejected = self.fault(faults.NodeRejects)
        if rejected is None:
            return True

        def reject(pod: Json) -> None:
            pod["status"].update(
                phase="Failed",
                reason=rejected.reason,
                message=f"Pod was rejected: {rejected.message}",
                startTime=self.clock.stamp(),
            )

        self.edit(reject)
        self.event(rejected.reason, rejected.message, warning=True)
        return False

    async def _run(self) -> None:
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.edit(self._accept)
        inits, containers = self.spec.get("initContainers") or [], self.spec["containers"]
        await self._mounts()
        sidecars: list[asyncio.Task[int]] = []
        failed = False
        for init in inits:
            if self._stopping:
                break
            if init.get("restartPolicy") == "Always":
                begun = asyncio.Event()
                sidecars.append(asyncio.create_task(self._container(init, "Always", begun)))
                await begun.wait()
            elif await self._container(init, "OnFailure" if self._policy != "Never" else "Never"):
                failed = True
                break
        codes: list[int] = []
        if not failed and not self._stopping:
            self.edit(self._initialized)
            begun_by = {c["name"]: asyncio.Event() for c in containers}
            codes = await asyncio.gather(
                *(self._container(c, self._policy, begun_by[c["name"]]) for c in containers)
            )
        if sidecars:
            self._closing = True
            self._stop_processes(float(self.spec.get("terminationGracePeriodSeconds", 30)))
            await asyncio.gather(*sidecars)
        self._end(failed or not codes or any(codes))

    @property
    def _policy(self) -> str:
        return str(self.spec.get("restartPolicy", "Always"))

    def _end(self, failed: bool) -> None:
        ended = self.ended_by
        if self._stopping and ended is None and not self._all_terminated():
            return
        phase = ended.phase if ended else ("Failed" if failed else "Succeeded")

        def finish(pod: Json) -> None:
            reason, message = (ended.reason, ended.message) if ended else ("", "")
            statuses.finished(pod, phase, self.clock.stamp(), reason=reason, message=message)

        self.edit(finish)

    def _all_terminated(self) -> bool:
        held = self.pod["status"].get("containerStatuses") or []
        return bool(held) and all("terminated" in status["state"] for status in held)

    def _accept(self, pod: Json) -> None:
        status, stamp = pod["status"], self.clock.stamp()
        inits, containers = self.spec.get("initContainers") or [], self.spec["containers"]
        status["startTime"] = stamp
        status["hostIP"], status["hostIPs"] = "10.0.0.1", [{"ip": "10.0.0.1"}]
        status["containerStatuses"] = [statuses.container_status(c) for c in containers]
        if inits:
            status["initContainerStatuses"] = [statuses.container_status(c) for c in inits]
        for group in (containers, inits):
            for container in group:
                statuses.waiting(pod, container["name"], "PodInitializing" if inits else "ContainerCreating")
        statuses.condition(pod, "PodReadyToStartContainers", False, stamp)
        names = " ".join(c["name"] for c in inits)
        if inits:
            message = f"containers with incomplete status: [{names}]"
            statuses.condition(
                pod, "Initialized", False, stamp, reason="ContainersNotInitialized", message=message
            )
        else:
            statuses.condition(pod, "Initialized", True, stamp)
        statuses.unready(pod, stamp, [c["name"] for c in containers])
        statuses.condition(pod, "PodScheduled", True, stamp)

    def _initialized(self, pod: Json) -> None:
        statuses.condition(pod, "Initialized", True, self.clock.stamp())

    async def _mounts(self) -> None:
        while not self._stopping:
            try:
                for container in [*(self.spec.get("initContainers") or []), *self.spec["containers"]]:
                    self._resolver.mount(self.pod, container, self.settings.root, self.workdir)
                return
            except MountProblem as problem:
                self.event("FailedMount", str(problem), warning=True)
                await asyncio.sleep(RETRY)

    async def _deadline(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        message = "Pod was active on the node longer than the specified deadline"
        with contextlib.suppress(PodGone):
            self.event("DeadlineExceeded", message)
        self.stop(
            float(self.spec.get("terminationGracePeriodSeconds", 30)), Ended("DeadlineExceeded", message)
        )

    # -- containers

    async def _container(self, container: Json, policy: str, begun: asyncio.Event | None = None) -> int:
        """Run it until it will not run again; its last exit code."""
        begun = begun or asyncio.Event()
        name = container["name"]
        code = 1
        try:
            while not self._stopping and await self._prepared(container):
                code = await self._once(container, begun)
                if self._stopping or policy == "Never" or (policy == "OnFailure" and code == 0):
                    return code
                if self._closing:
                    return code
                self.edit(lambda pod: self._again(pod, name))
                self.event(
                    "BackOff",
                    f"Back-off restarting failed container {name} in pod {self._full_name}",
                    warning=True,
                    container=name,
                )
                await asyncio.sleep(RETRY)
        finally:
            begun.set()
        return code

    @property
    def _full_name(self) -> str:
        return f"{self.name}_{self.namespace}({self.uid})"

    def _is_init(self, name: str) -> bool:
        return any(c["name"] == name for c in self.spec.get("initContainers") or [])

    def _again(self, pod: Json, name: str) -> None:
        held = statuses.of_container(pod, name)
        held["lastState"], held["restartCount"] = held["state"], held["restartCount"] + 1
        message = f"back-off 10s restarting failed container={name} pod={self._full_name}"
        statuses.waiting(pod, name, "CrashLoopBackOff", message)

    async def _prepared(self, container: Json) -> bool:
        """Wait for the image and the configuration; False when the pod is stopped before."""
        name = container["name"]
        slow = self.fault(faults.SlowPull)
        async for wait in images.pull(
            self.settings.images, container, self.fault(faults.ImagePull), slow.seconds if slow else 0.0
        ):
            self._tell(name, wait)
            if not await self._pause(wait.seconds):
                return False
        for kind, reason in ((faults.ConfigError, "CreateContainerConfigError"), (faults.CreateError, "")):
            if fault := self.fault(kind):
                self._wait(name, reason or getattr(fault, "reason", ""), getattr(fault, "message", ""))
                seconds = getattr(fault, "seconds", None)
                if not await self._pause(seconds if seconds is not None else 10**9):
                    return False
        while not self._stopping:
            try:
                self._resolver.variables(self.pod, container)
                return True
            except ConfigProblem as problem:
                self._wait(name, "CreateContainerConfigError", str(problem))
                await self._pause(RETRY)
        return False

    def _tell(self, name: str, wait: images.Step) -> None:
        if wait.event:
            self.event(wait.event, wait.told, warning=bool(wait.reason), container=name)
        if wait.reason:
            self._wait(name, wait.reason, wait.message)

    def _wait(self, name: str, reason: str, message: str) -> None:
        self.edit(lambda pod: statuses.waiting(pod, name, reason, message))
        if reason.startswith("Create"):
            self.event("Failed", f"Error: {message}", warning=True, container=name)
        elif reason != "ContainerCreating":
            self.event("Failed", f"Error: {reason}", warning=True, container=name)

    async def _pause(self, seconds: float) -> bool:
        """Sleep unless the pod is stopped; whether it lives on."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not self._stopping and (left := end - loop.time()) > 0:
            _ = self.pod
            await asyncio.sleep(min(left, 0.1))
        return not self._stopping

    async def _once(self, container: Json, begun: asyncio.Event) -> int:
        name = container["name"]
        init = self.fault(faults.InitFailure)
        log = self._new_log(name)
        message_file = launching.message_file(container, self.workdir)
        message_file.write_bytes(b"")
        self.event("Created", f"Created container: {name}", container=name)
        given = {} if init else self._resolver.variables(self.pod, container)
        made = launching.call(self.pod, container, given, self.settings, self.workdir)
        if init and self._is_init(name) and self.spec["initContainers"][0]["name"] == name:
            script = f"echo initialization failed >&2; exit {init.exit_code}"
            made = replace(made, argv=["sh", "-c", script])
        self.marks.add(made.mark)
        try:
            process = launching.start(made, log)
        except OSError as error:
            log.close()
            return self._start_error(name, made.argv[0] if made.argv else "", error)
        self.processes[name] = process
        self.edit(lambda pod: self._begin(pod, name))
        self.event("Started", f"Started container {name}", container=name)
        begun.set()
        if not self._is_init(name):
            self.started.set()
        if self._stopping:
            process.terminate()
        code = await process.wait()
        if self.silent:
            await asyncio.Event().wait()
        if self.processes.get(name) is process:
            del self.processes[name]
        self._over(container, code, message_file, log)
        return self.oom.get(name, code)

    def _new_log(self, name: str) -> ContainerLog:
        held = self.logs.setdefault(name, [])
        path = self.settings.root / "logs" / f"{self.uid}.{name}.{len(held)}"
        held.append(ContainerLog(path, self.clock, self.settings.log_size))
        return held[-1]

    def _start_error(self, name: str, program: str, error: OSError) -> int:
        message = launching.start_error(program, error)
        self.event("Failed", f"Error: {message}", warning=True, container=name)
        stamp = self.clock.stamp()
        self.edit(lambda pod: statuses.terminated(pod, name, 128, "StartError", stamp, message=message))
        return 128

    def _begin(self, pod: Json, name: str) -> None:
        stamp = self.clock.stamp()
        init = self._is_init(name)
        statuses.running(pod, name, stamp, ready=not init)
        statuses.condition(pod, "PodReadyToStartContainers", True, stamp)
        last = self.uid.replace("-", "")[:4]
        ip = f"10.1.{int(last[:2], 16)}.{int(last[2:], 16)}"
        pod["status"]["podIP"], pod["status"]["podIPs"] = ip, [{"ip": ip}]
        if init:
            return
        pod["status"]["phase"] = "Running"
        if all(status["ready"] for status in pod["status"]["containerStatuses"]):
            for kind in statuses.READY:
                statuses.condition(pod, kind, True, stamp)

    def _over(self, container: Json, code: int, message_file: Path, log: ContainerLog) -> None:
        name = container["name"]
        oom = self.oom.get(name)
        reason = "OOMKilled" if oom is not None else ("Completed" if code == 0 else "Error")
        code = code if oom is None else oom
        with message_file.open("rb") as source:
            message = source.read(4096).decode(errors="replace")
        if not message and code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            message = log.tail(2048, 80)

        def over(pod: Json) -> None:
            stamp = self.clock.stamp()
            statuses.terminated(pod, name, code, reason, stamp, message=message)
            if not self._is_init(name):
                names = [s["name"] for s in pod["status"]["containerStatuses"] if not s["ready"]]
                statuses.unready(pod, stamp, names)

        self.edit(over)

    # -- stopping

    def stop(self, grace: float, ended: Ended | None = None) -> None:
        """SIGTERM now, SIGKILL after ``grace`` seconds; the life ends by itself after that."""
        if ended is not None and self.ended_by is None:
            self.ended_by = ended
        first, self._stopping = not self._stopping, True
        for name in self.processes if first else ():
            with contextlib.suppress(PodGone):
                self.event("Killing", f"Stopping container {name}", container=name)
        self._stop_processes(grace)

    def _stop_processes(self, grace: float) -> None:
        for process in self.processes.values():
            if grace > 0:
                process.terminate()
            else:
                process.kill()
        if grace > 0:
            task = asyncio.create_task(self._kill_after(grace))
            self._stop_tasks.add(task)
            task.add_done_callback(self._stop_tasks.discard)

    async def _kill_after(self, grace: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.finished.wait(), grace)
        for process in list(self.processes.values()):
            process.kill()

    def kill_container(self, name: str, exit_code: int) -> None:
        """The kernel's OOM killer."""
        name = name or self.spec["containers"][0]["name"]
        if process := self.processes.get(name):
            self.oom[name] = exit_code
            process.kill()

    def fall_silent(self) -> None:
        """The node is lost: nothing more is reported, the processes are gone."""
        self.silent = True
        for process in self.processes.values():
            process.kill()

    async def forget(self) -> None:
        """Remove what the pod left on the node."""
        for process in list(self.processes.values()):
            process.kill()
            await process.wait()
        for task in self._stop_tasks:
            task.cancel()
        for held in self.logs.values():
            for log in held:
                log.remove()
        await asyncio.to_thread(environment.remove, self.workdir)
