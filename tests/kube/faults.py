"""Faults that a test injects: what goes wrong, for which pods or requests, and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kube.errors import Json


@dataclass(frozen=True, kw_only=True)
class Fault:
    """:param times: how many pods or requests it strikes; None for all from now on."""

    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class PodFault(Fault):
    """Strikes pods at their creation.

    :param name_contains: strikes pods with this text in their names; :param labels: with these labels.
    """

    name_contains: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def strikes(self, pod: Json) -> bool:
        meta = pod["metadata"]
        held = meta.get("labels") or {}
        return self.name_contains in meta["name"] and all(held.get(k) == v for k, v in self.labels.items())


@dataclass(frozen=True, kw_only=True)
class TimedFault(PodFault):
    """Strikes a running pod.

    :param after: seconds after its container started; :param after_file: and not before this file exists.
    """

    after: float = 0.0
    after_file: Path | None = None


@dataclass(frozen=True)
class Unschedulable(PodFault):
    """:param seconds: until it is scheduled after all; None for never."""

    message: str = (
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available: "
        "3 No preemption victims found for incoming pod."
    )
    seconds: float | None = None


@dataclass(frozen=True)
class SlowSchedule(PodFault):
    seconds: float = 1.0


@dataclass(frozen=True)
class SlowPull(PodFault):
    seconds: float = 1.0


@dataclass(frozen=True)
class QuotaExceeded(PodFault):
    """Creation is answered with 403."""

    message: str = "exceeded quota: compute, requested: pods=1, used: pods=10, limited: pods=10"


@dataclass(frozen=True)
class AdmissionForbidden(PodFault):
    """Creation is answered with 403."""

    message: str = (
        'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "base" must '
        "set securityContext.allowPrivilegeEscalation=false)"
    )


@dataclass(frozen=True)
class ImagePull(PodFault):
    """:param reason: ``ErrImagePull`` alternates with ``ImagePullBackOff``, others stay.

    :param message: of the failed pull; empty for "not found".
    :param seconds: until the pull succeeds; None for never.
    """

    reason: str = "ErrImagePull"
    message: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class ConfigError(PodFault):
    """The container waits with ``CreateContainerConfigError``."""

    message: str = 'secret "missing" not found'
    seconds: float | None = None


@dataclass(frozen=True)
class CreateError(PodFault):
    """The container waits with ``CreateContainerError`` or another reason."""

    message: str = "context deadline exceeded"
    reason: str = "CreateContainerError"
    seconds: float | None = None


@dataclass(frozen=True)
class InitFailure(PodFault):
    """The first init container fails; a pod without one gets one, as a mesh's webhook would add."""

    exit_code: int = 1


@dataclass(frozen=True)
class NodeRejects(PodFault):
    """The kubelet refuses the pod: phase Failed, no container statuses."""

    reason: str = "UnexpectedAdmissionError"
    message: str = (
        "Allocate failed due to no healthy devices present; cannot allocate unhealthy devices "
        "nvidia.com/gpu, which is unexpected"
    )


@dataclass(frozen=True)
class ForeignSidecar(PodFault):
    """A container that never ends is added to the pod, as a mesh's webhook does."""

    name: str = "istio-proxy"
    command: Sequence[str] = ("sleep", "100000")


@dataclass(frozen=True)
class OomKilled(TimedFault):
    """:param container: its name; empty for the first."""

    exit_code: int = 137
    container: str = ""


@dataclass(frozen=True)
class Evicted(TimedFault):
    message: str = (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 87460Ki. Container base "
        "was using 1900Mi, request is 0, has larger consumption of memory. "
    )


@dataclass(frozen=True)
class Preempted(TimedFault):
    """Deleted by the scheduler for a pod of higher priority."""


@dataclass(frozen=True)
class NodeShutdown(TimedFault):
    message: str = "Pod was terminated in response to imminent node shutdown."


@dataclass(frozen=True)
class SpotTaint(TimedFault):
    """Deleted by the taint manager."""


@dataclass(frozen=True)
class NodeLost(TimedFault):
    """The node falls silent: its processes are gone, the statuses stay.

    :param evict_after: seconds until the taint manager asks for the pod's deletion, which nobody carries out.
    :param replaced: a new node of the same kind takes its place.
    """

    evict_after: float | None = 1.0
    replaced: bool = True


@dataclass(frozen=True)
class DeletedOutside(TimedFault):
    """:param grace: seconds; None for the pod's own."""

    grace: int | None = None


@dataclass(frozen=True)
class Vanish(TimedFault):
    """The object is gone at once, as after a force deletion or a restored etcd."""

    when: Literal["before_start", "running", "finished"] = "running"


@dataclass(frozen=True)
class StuckDelete(PodFault):
    """The object stays Terminating until it is deleted by force."""


@dataclass(frozen=True, kw_only=True)
class ApiFault(Fault):
    """Strikes requests.

    :param methods: HTTP methods in capitals; empty for all. :param path_contains: text of path and query.
    """

    times: int | None = 1
    methods: Sequence[str] = ()
    path_contains: str = ""

    def meets(self, method: str, target: str) -> bool:
        return (not self.methods or method in self.methods) and self.path_contains in target


@dataclass(frozen=True)
class Api(ApiFault):
    """:param retry_after: seconds for the Retry-After header; :param body: instead of the Status object."""

    status: int = 500
    retry_after: int | None = None
    body: str | None = None


@dataclass(frozen=True)
class ApiCut(ApiFault):
    """The request is carried out, half of the answer is sent, the connection is closed."""


@dataclass(frozen=True)
class LostCreateAnswer(ApiFault):
    """A pod is created and the connection closed without an answer."""

    methods: Sequence[str] = ("POST",)
    path_contains: str = "/pods"


@dataclass(frozen=True)
class Slow(ApiFault):
    """The request waits before it is carried out."""

    seconds: float = 1.0


@dataclass(frozen=True)
class LogCut(ApiFault):
    """A log's answer is cut after these bytes."""

    after_bytes: int = 100
    path_contains: str = "/log"


@dataclass(frozen=True)
class WatchCut(ApiFault):
    """A watch is cut after these events."""

    after_events: int = 1
    path_contains: str = "watch="


@dataclass(frozen=True)
class ClockSkew(Fault):
    """The cluster's clock runs ahead of this machine's by these seconds."""

    seconds: float = 0.0


@dataclass(eq=False)
class Armed:
    """A fault that was injected, and how often it struck."""

    fault: Fault
    fired: int = 0
    stopped: bool = False

    @property
    def live(self) -> bool:
        return not self.stopped and (self.fault.times is None or self.fired < self.fault.times)

    def stop(self) -> None:
        self.stopped = True


class Faults:
    """The faults that are armed."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []

    def arm(self, fault: Fault) -> Armed:
        armed = Armed(fault)
        self._armed.append(armed)
        return armed

    def heal(self) -> None:
        for armed in self._armed:
            armed.stop()
        self._armed.clear()

    def for_pod(self, pod: Json) -> tuple[PodFault, ...]:
        """Those that strike this new pod, counted as struck."""
        struck: list[PodFault] = []
        for armed in self._armed:
            fault = armed.fault
            if isinstance(fault, PodFault) and armed.live and fault.strikes(pod):
                armed.fired += 1
                struck.append(fault)
        return tuple(struck)

    def for_request(self, method: str, target: str) -> tuple[ApiFault, ...]:
        """Those that strike this request, counted as struck: all that slow it, and the first that ends it."""
        struck: list[ApiFault] = []
        ended = False
        for armed in self._armed:
            fault = armed.fault
            if not (isinstance(fault, ApiFault) and armed.live and fault.meets(method, target)):
                continue
            slow = isinstance(fault, Slow)
            if slow or not ended:
                armed.fired += 1
                struck.append(fault)
            ended = ended or not slow
        return tuple(struck)
