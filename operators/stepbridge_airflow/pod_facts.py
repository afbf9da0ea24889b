"""What Kubernetes says of a pod, as one frozen value: nothing here decides anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

NEVER_RAN = frozenset({"StartError", "ContainerCannotRun"})
"""Reasons of a container that is terminated though none of its instructions ran."""

IMAGE_TROUBLE = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
"""Reasons of a waiting container that does not get its image."""

_BEFORE_THE_IMAGE = IMAGE_TROUBLE | {"", "ContainerCreating", "PodInitializing", "Pulling"}
"""Reasons of a waiting container whose image may not be on the node yet."""


@dataclass(frozen=True)
class Event:
    """One event of a pod.

    :param count: how often it was seen, as counted in the event or in its series.
    """

    type: str
    reason: str
    message: str
    count: int = 1


@dataclass(frozen=True)
class Condition:
    """One condition of a pod: ``PodScheduled``, ``DisruptionTarget``, ..."""

    status: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Container:
    """One container's state.

    :param exit_code: None until it has ended.
    :param sidecar: an init container that runs beside the others and is started again when it ends.
    :param image_id: which image it runs, by digest as a rule; empty until the node has it.
    """

    name: str
    state: Literal["unknown", "waiting", "running", "terminated"] = "unknown"
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None
    restarts: int = 0
    sidecar: bool = False
    image_id: str = ""


@dataclass(frozen=True)
class PodFacts:
    """A pod as it was last seen.

    :param there: False where the API server answered 404.
    :param deleting: somebody asked for its deletion.
    :param base: the step's own container; :param others: the other containers; :param init: in their order.
    :param events: the oldest first.
    :param memory_limit: of the step's container, as its spec says; empty for none.
    """

    there: bool = False
    name: str = ""
    namespace: str = ""
    uid: str = ""
    node: str = ""
    phase: str = ""
    reason: str = ""
    message: str = ""
    deleting: bool = False
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    base: Container = field(default_factory=lambda: Container("base"))
    init: tuple[Container, ...] = ()
    others: tuple[Container, ...] = ()
    events: tuple[Event, ...] = ()
    memory_limit: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pod: Any, events: Sequence[Any] = (), *, container: str = "base") -> PodFacts:
        """The facts of a ``V1Pod`` and its ``CoreV1Event`` s, or of None where there is no pod.

        The objects may be those of ``kubernetes`` or of ``kubernetes_asyncio``, and any part may be missing.

        :param container: name of the step's container.
        """
        if pod is None:
            return cls(base=Container(container), events=_events(events, ""))
        meta, spec, status = _part(pod, "metadata"), _part(pod, "spec"), _part(pod, "status")
        uid = _text(meta, "uid")
        sidecars = {
            _text(one, "name")
            for one in _parts(spec, "init_containers")
            if _text(one, "restart_policy") == "Always"
        }
        inits = _containers(status, "init_container_statuses", sidecars)
        all_of_them = _containers(status, "container_statuses", set())
        return cls(
            there=True,
            name=_text(meta, "name"),
            namespace=_text(meta, "namespace"),
            uid=uid,
            node=_text(spec, "node_name"),
            phase=_text(status, "phase"),
            reason=_text(status, "reason"),
            message=_text(status, "message"),
            deleting=_part(meta, "deletion_timestamp") is not None,
            conditions=_conditions(status),
            base=next((one for one in all_of_them if one.name == container), Container(container)),
            init=inits,
            others=tuple(one for one in all_of_them if one.name != container),
            events=_events(events, uid),
            memory_limit=_memory_limit(spec, container),
            annotations=dict(_part(meta, "annotations") or {}),
        )

    def vanished(self) -> PodFacts:
        """What was last seen of a pod that is not there any more."""
        return replace(self, there=False)

    @property
    def scheduled(self) -> bool:
        """Whether it has a node."""
        bound = self.conditions.get("PodScheduled")
        return bool(self.node) or (bound is not None and bound.status == "True")

    @property
    def pulled(self) -> bool:
        """Whether nothing waits for an image now.

        Images of later containers are pulled when their turn comes: after an init container has ended, this
        can be False again.
        """
        if self.finished:
            return True
        now = self.current
        if now.state == "waiting":
            return now.reason not in _BEFORE_THE_IMAGE
        return now.state in {"running", "terminated"}

    @property
    def started(self) -> bool:
        """Whether the step's container ever ran."""
        if self.base.state == "terminated":
            return self.base.reason not in NEVER_RAN
        return self.base.state == "running" or self.base.restarts > 0

    @property
    def finished(self) -> bool:
        """Whether the step's container will not run (again): it ended, or the pod did."""
        return not self.there or self.base.state == "terminated" or self.phase in {"Succeeded", "Failed"}

    @property
    def current(self) -> Container:
        """The container whose turn it is: the first init container that is not done, else the step's own."""
        for one in self.init:
            settled = one.state == "running" if one.sidecar else one.exit_code == 0
            if not settled:
                return one
        return self.base

    @property
    def place(self) -> str:
        """``pod NAMESPACE/NAME on node NODE`` as far as it is known."""
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        node = f" on node {self.node}" if self.node else ""
        return f"pod {where or '(not seen)'}{node}"


def _part(thing: Any, name: str) -> Any:
    return getattr(thing, name, None)


def _parts(thing: Any, name: str) -> Iterable[Any]:
    return (one for one in _part(thing, name) or () if one is not None)


def _text(thing: Any, name: str) -> str:
    value = _part(thing, name)
    return "" if value is None else str(value)


def _conditions(status: Any) -> dict[str, Condition]:
    return {
        _text(one, "type"): Condition(_text(one, "status"), _text(one, "reason"), _text(one, "message"))
        for one in _parts(status, "conditions")
    }


def _containers(status: Any, name: str, sidecars: set[str]) -> tuple[Container, ...]:
    return tuple(_container(one, sidecars) for one in _parts(status, name))


def _container(status: Any, sidecars: set[str]) -> Container:
    name, restarts = _text(status, "name"), _part(status, "restart_count") or 0
    state, sidecar = _part(status, "state"), name in sidecars
    image = _text(status, "image_id")
    if (ended := _part(state, "terminated")) is not None:
        return Container(
            name,
            "terminated",
            _text(ended, "reason"),
            _text(ended, "message"),
            _part(ended, "exit_code"),
            _part(ended, "signal"),
            restarts,
            sidecar,
            image,
        )
    if _part(state, "running") is not None:
        return Container(name, "running", restarts=restarts, sidecar=sidecar, image_id=image)
    if (waits := _part(state, "waiting")) is not None:
        reason, message = _text(waits, "reason"), _text(waits, "message")
        return Container(name, "waiting", reason, message, None, None, restarts, sidecar, image)
    return Container(name, restarts=restarts, sidecar=sidecar, image_id=image)


def _events(events: Sequence[Any], uid: str) -> tuple[Event, ...]:
    """The events in the order of their last sight, without those of another pod of the same name."""
    mine = [one for one in events if not uid or _text(_part(one, "involved_object"), "uid") in {"", uid}]
    return tuple(_event(one) for one in sorted(mine, key=_last_seen))


def _event(event: Any) -> Event:
    count = _part(_part(event, "series"), "count") or _part(event, "count") or 1
    return Event(_text(event, "type"), _text(event, "reason"), _text(event, "message"), count)


def _last_seen(event: Any) -> float:
    """Seconds; 0 where the event has no time."""
    times = (
        _part(_part(event, "series"), "last_observed_time"),
        _part(event, "last_timestamp"),
        _part(event, "event_time"),
        _part(event, "first_timestamp"),
        _part(_part(event, "metadata"), "creation_timestamp"),
    )
    return max((one.timestamp() for one in times if isinstance(one, datetime)), default=0.0)


def _memory_limit(spec: Any, container: str) -> str:
    for one in _parts(spec, "containers"):
        limits = _part(_part(one, "resources"), "limits") or {}
        if _text(one, "name") == container and "memory" in limits:
            return str(limits["memory"])
    return str((_part(_part(spec, "resources"), "limits") or {}).get("memory", ""))
