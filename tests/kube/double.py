"""The cluster that a test talks to: starts the server, injects faults, shows what happened."""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from kube import disruptions, faults
from kube.access import Access
from kube.api import Api
from kube.clock import Clock
from kube.errors import Json
from kube.events import Recorder
from kube.images import Images
from kube.kubelet import Kubelet
from kube.launching import Settings
from kube.logs import LogOptions
from kube.objects import Change, ObjectStore
from kube.processes import marked
from kube.scheduling import Node, Scheduler
from kube.wire import Answer, HttpRequest, serve

T = TypeVar("T")
CHECKOUT = Path(__file__).resolve().parents[2]


def default_environment() -> dict[str, str]:
    """What an image would hold: a PATH, and the bridge of this checkout."""
    return {
        "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "PYTHONPATH": str(CHECKOUT / "bridge"),
        "LANG": "C.UTF-8",
    }


@dataclass(frozen=True)
class Request:
    """One request that was answered.

    :param time: seconds since the epoch, at its arrival. :param status: 0 while it is not answered yet.
    """

    time: float
    method: str
    path: str
    query: Mapping[str, str]
    status: int
    user_agent: str


@dataclass(frozen=True)
class Created:
    """A pod that was created, as it was kept at first."""

    time: float
    pod: Json

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])


class Cluster:
    """A Kubernetes API double with containers that are processes of this machine.

    :param root: a folder of its own; volumes are written where their mount path lies below it.
    :param environment: what every container's image would hold, instead of :func:`default_environment`.
    :param images: names of the images that exist, or a predicate; None for all.
    :param nodes: None for one huge node with GPUs.
    :param log_size: bytes after which a container's log rotates.
    :param history: changes that a watch can resume from.
    """

    def __init__(
        self,
        root: Path,
        *,
        environment: Mapping[str, str] | None = None,
        images: Images = None,
        nodes: Iterable[Node] | None = None,
        namespaces: Iterable[str] = ("default", "kube-system"),
        entrypoints: Mapping[str, list[str]] | None = None,
        log_size: int = 10 * 1024 * 1024,
        history: int = 20000,
        port: int = 0,
    ) -> None:
        self.root = root.resolve()
        (self.root / "logs").mkdir(parents=True, exist_ok=True)
        self.kubeconfig = self.root / "kubeconfig"
        self.clock = Clock()
        self._settings = Settings(
            self.root,
            dict(default_environment() if environment is None else environment),
            images,
            log_size,
            dict(entrypoints or {}),
        )
        self._first_nodes = list(nodes) if nodes is not None else [Node()]
        self._namespaces, self._history, self._port = list(namespaces), history, port
        self._requests: list[Request] = []
        self._created: list[Created] = []
        self._marks: set[str] = set()
        self._faults = faults.Faults()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kube-double", daemon=True)
        self._thread.start()
        self._closed = False
        self._call(self._open())

    async def _open(self) -> None:
        self._store = ObjectStore(self.clock, self._history)
        self._store.listen(self._on_change)
        for name in self._namespaces:
            self._store.create("namespaces", _namespace(name))
        self._scheduler = Scheduler(self._first_nodes)
        self._recorder = Recorder(self._store)
        self._kubelet = Kubelet(self._store, self._recorder, self._scheduler, self._settings)
        self._server = await serve(self._answer, self._port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._access = Access(self.kubeconfig, self.url)
        self._access.renew()
        self._api = Api(self._store, self._kubelet, self._access, self._faults)

    async def _answer(self, request: HttpRequest) -> Answer:
        began = time.time()
        answer = await self._api.answer(request)
        agent = request.headers.get("user-agent", "")
        self._requests.append(
            Request(began, request.method, request.path, request.query, answer.status, agent)
        )
        return answer

    def _on_change(self, change: Change) -> None:
        if change.plural == "pods" and change.type == "ADDED":
            self._created.append(Created(time.time(), change.found))
            uid = change.found["metadata"]["uid"]
            spec = change.found["spec"]
            names = [c["name"] for c in [*(spec.get("initContainers") or []), *spec["containers"]]]
            self._marks |= {f"{uid}/{name}" for name in names}

    def _call(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(60)

    def _do(self, work: Callable[[], T]) -> T:
        async def run() -> T:
            return work()

        return self._call(run())

    # -- life

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill every container, close the server; the cluster cannot be opened again."""
        if self._closed:
            return
        self._closed = True
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _shut(self) -> None:
        self._server.close()
        await self._kubelet.close()
        talks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()

    # -- what there is

    def pods(self, namespace: str | None = None) -> list[Json]:
        """Pods that are there now."""
        return self._do(lambda: list(self._store.all("pods", namespace)))

    def pod(self, name: str, namespace: str = "default") -> Json | None:
        return self._do(lambda: self._store.find("pods", namespace, name))

    def secrets(self, namespace: str | None = None) -> list[Json]:
        return self._do(lambda: list(self._store.all("secrets", namespace)))

    def events(self, name: str = "", namespace: str | None = None) -> list[Json]:
        """Events of one pod, or of all."""
        found = self._do(lambda: list(self._store.all("events", namespace)))
        found.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [event for event in found if name in ("", event["involvedObject"]["name"])]

    def logs(self, name: str, container: str = "base", namespace: str = "default") -> bytes:
        """A container's newest log, without timestamps; empty before it started."""

        async def read() -> bytes:
            run = self._kubelet.run_of(self._store.get("pods", namespace, name))
            held = run.logs.get(container)
            return b"".join([piece async for piece in held[-1].read(LogOptions())]) if held else b""

        return self._call(read())

    @property
    def created(self) -> list[Created]:
        """Every pod that was ever created."""
        return self._do(lambda: list(self._created))

    @property
    def requests(self) -> list[Request]:
        """Every request that was answered; a stream counts when it begins."""
        return self._do(lambda: list(self._requests))

    def forget_requests(self) -> None:
        self._do(self._requests.clear)

    def processes(self) -> list[int]:
        """Live processes of containers that ever ran here, children and detached ones included."""
        return marked(set(self._marks))

    def wait_for(self, predicate: Callable[[], T], seconds: float = 10.0) -> T:
        """What the predicate gives, once it is true.

        :raises TimeoutError: with the pods' phases.
        """
        end = time.monotonic() + seconds
        while not (found := predicate()):
            if time.monotonic() > end:
                phases = {p["metadata"]["name"]: p["status"].get("phase") for p in self.pods()}
                raise TimeoutError(f"not so after {seconds} s; pods: {phases}")
            time.sleep(0.02)
        return found

    # -- what a test does

    def inject(self, fault: faults.Fault) -> faults.Armed:
        """Arm a fault; ``fired`` of the handle counts, ``stop()`` disarms."""
        if isinstance(fault, faults.ClockSkew):
            self.clock.skew = fault.seconds
            return faults.Armed(fault, fired=1)
        return self._do(lambda: self._faults.arm(fault))

    def heal(self) -> None:
        """Disarm every fault; pods that are struck already stay so."""
        self.clock.skew = 0.0
        self._do(self._faults.heal)

    def strike(self, name: str, fault: faults.TimedFault, namespace: str = "default") -> None:
        """Strike a pod with a timed fault now, whatever its ``after`` says."""

        def now() -> None:
            run = self._kubelet.run_of(self._store.get("pods", namespace, name))
            disruptions.strike(fault, run, self._kubelet)

        self._do(now)

    def evict(self, name: str, namespace: str = "default") -> None:
        self.strike(name, faults.Evicted(), namespace)

    def preempt(self, name: str, namespace: str = "default") -> None:
        self.strike(name, faults.Preempted(), namespace)

    def lose_node_of(self, name: str, namespace: str = "default") -> None:
        self.strike(name, faults.NodeLost(), namespace)

    def vanish(self, name: str, namespace: str = "default") -> None:
        """Remove a pod's object at once."""
        self.strike(name, faults.Vanish(), namespace)

    def delete_pod(self, name: str, grace: int | None = None, namespace: str = "default") -> None:
        """As another client's DELETE. :raises ApiError: 404."""
        self._do(lambda: self._kubelet.delete(namespace, name, grace))

    def add_secret(self, name: str, data: Mapping[str, str], namespace: str = "default") -> None:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        found = {"metadata": {"name": name, "namespace": namespace}, "data": encoded, "type": "Opaque"}
        self._do(lambda: self._store.create("secrets", found))

    def add_config_map(self, name: str, data: Mapping[str, str], namespace: str = "default") -> None:
        found = {"metadata": {"name": name, "namespace": namespace}, "data": dict(data)}
        self._do(lambda: self._store.create("configmaps", found))

    def add_namespace(self, name: str) -> None:
        self._do(lambda: self._store.create("namespaces", _namespace(name)))

    def add_node(self, node: Node) -> None:
        """Pods that wait for a node are tried again."""
        self._do(lambda: self._kubelet.add_node(node))

    def expire_token(self) -> None:
        """The token is no longer taken (401); the kubeconfig holds the new one."""
        self._do(self._access.renew)

    def forbid(self, verb: str, resource: str, namespace: str = "") -> None:
        """403 for this verb; ``*`` for every verb or resource, namespace "" for all."""
        self._do(lambda: self._access.forbid(verb, resource, namespace))

    def allow(self, verb: str, resource: str, namespace: str = "") -> None:
        """Take a ``forbid`` back."""
        self._do(lambda: self._access.allow(verb, resource, namespace))

    def forget_history(self) -> None:
        """Every older resourceVersion is too old for a watch (410)."""
        self._do(self._store.forget_history)


def _namespace(name: str) -> dict[str, Any]:
    labels = {"kubernetes.io/metadata.name": name}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def main() -> None:
    """Run a cluster until SIGINT or SIGTERM; prints the kubeconfig's path."""
    parser = argparse.ArgumentParser(prog="kube.double", description="A Kubernetes API double.")
    parser.add_argument("--root", type=Path, required=True, help="a folder of its own")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    asked = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Cluster(asked.root, port=asked.port) as cluster:
        sys.stdout.write(f"{cluster.kubeconfig}\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
