"""The events of pods, repeated ones counted as Kubernetes counts them."""

from __future__ import annotations

from kube.errors import Json
from kube.objects import ObjectStore


class Recorder:
    """Writes core/v1 events about pods."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._names: dict[tuple[str, str, str], str] = {}

    def record(
        self,
        pod: Json,
        reason: str,
        message: str,
        *,
        warning: bool = False,
        container: str = "",
        source: str = "kubelet",
    ) -> None:
        """:param container: name of the container that it is about; empty for the pod."""
        meta = pod["metadata"]
        namespace = meta["namespace"]
        key = (meta["uid"], reason, message)
        name = self._names.get(key)
        if name and self._store.find("events", namespace, name):
            self._store.change("events", namespace, name, self._again)
            return
        now = self._store.clock.stamp()
        involved = {
            "kind": "Pod",
            "namespace": namespace,
            "name": meta["name"],
            "uid": meta["uid"],
            "apiVersion": "v1",
            "resourceVersion": meta["resourceVersion"],
        }
        if container:
            kind = "initContainers" if container in _names(pod, "initContainers") else "containers"
            involved["fieldPath"] = f"spec.{kind}{{{container}}}"
        emitter = {"component": source}
        if source == "kubelet" and pod["spec"].get("nodeName"):
            emitter["host"] = pod["spec"]["nodeName"]
        name = f"{meta['name']}.{self._store.clock.nanoseconds():x}"
        self._names[key] = name
        self._store.create(
            "events",
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": namespace},
                "involvedObject": involved,
                "reason": reason,
                "message": message,
                "source": emitter,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
                "type": "Warning" if warning else "Normal",
                "eventTime": None,
                "reportingComponent": source,
                "reportingInstance": emitter.get("host", ""),
            },
        )

    def _again(self, event: Json) -> None:
        event["count"] += 1
        event["lastTimestamp"] = self._store.clock.stamp()


def _names(pod: Json, kind: str) -> list[str]:
    return [container["name"] for container in pod["spec"].get(kind) or []]
