"""Pods and events as ``kubectl get -o json`` gives them, read by the real clients."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import Any

from stepbridge_airflow.pod_facts import PodFacts

UID = "3f1c9a52-6d0e-4f5b-9a43-0e6a7d2b1c88"
NAME = "train-x7k2p9qa"
IMAGE = "images.internal/ml/train:1.4"

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "annotations": {"stepbridge/request": "sha256:0a1b"},
        "creationTimestamp": "2026-03-01T06:00:00Z",
        "labels": {"dag_id": "biopsy", "task_id": "train", "kubernetes_pod_operator": "True"},
        "name": NAME,
        "namespace": "ml",
        "resourceVersion": "812345",
        "uid": UID,
    },
    "spec": {
        "containers": [
            {
                "command": ["python", "-P", "-m", "stepbridge.runner"],
                "image": IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "name": "base",
                "resources": {
                    "limits": {"memory": "2Gi", "nvidia.com/gpu": "1"},
                    "requests": {"cpu": "1", "memory": "2Gi", "nvidia.com/gpu": "1"},
                },
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "nodeName": "gpu-node-3",
        "restartPolicy": "Never",
        "schedulerName": "default-scheduler",
    },
    "status": {"phase": "Running", "qosClass": "Burstable"},
}
BOUND = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-03-01T06:00:02Z"}


def container(state: dict[str, Any], name: str = "base", **more: Any) -> dict[str, Any]:
    """One entry of ``containerStatuses``."""
    return {
        "image": IMAGE,
        "imageID": "",
        "lastState": {},
        "name": name,
        "ready": "running" in state,
        "restartCount": 0,
        "started": "running" in state,
        "state": state,
        **more,
    }


def running(name: str = "base") -> dict[str, Any]:
    return container({"running": {"startedAt": "2026-03-01T06:00:09Z"}}, name)


def waits(reason: str, message: str = "", name: str = "base") -> dict[str, Any]:
    told = {"message": message} if message else {}
    return container({"waiting": {"reason": reason, **told}}, name)


def ended(code: int, reason: str = "Error", message: str = "", name: str = "base") -> dict[str, Any]:
    told = {"message": message} if message else {}
    done = {
        "containerID": "containerd://7d1b",
        "exitCode": code,
        "finishedAt": "2026-03-01T06:04:41Z",
        "reason": reason,
        "startedAt": "2026-03-01T06:00:09Z",
        **told,
    }
    return container({"terminated": done}, name)


def pod(*containers: dict[str, Any], node: str | None = "gpu-node-3", **status: Any) -> dict[str, Any]:
    """A pod with these container statuses; *status* replaces or adds fields, ``deleted=True`` marks it."""
    made = copy.deepcopy(POD)
    if status.pop("deleted", False):
        made["metadata"]["deletionTimestamp"] = "2026-03-01T06:05:00Z"
        made["metadata"]["deletionGracePeriodSeconds"] = 30
    if node is None:
        del made["spec"]["nodeName"]
    else:
        made["spec"]["nodeName"] = node
    for init in status.get("initContainerStatuses", ()):
        made["spec"].setdefault("initContainers", []).append({"name": init["name"], "image": IMAGE})
    if node is not None:
        made["status"]["conditions"] = [BOUND]
        made["status"]["startTime"] = "2026-03-01T06:00:03Z"
    if containers:
        made["status"]["containerStatuses"] = list(containers)
    more = status.pop("conditions", [])
    made["status"].update(status)
    if more:
        made["status"]["conditions"] = [*made["status"].get("conditions", []), *more]
    return made


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": "2026-03-01T06:04:30Z",
    }


def event(reason: str, message: str, at: str = "2026-03-01T06:01:00Z", **more: Any) -> dict[str, Any]:
    """One event of the pod; *more* replaces or adds fields."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "count": 1,
        "eventTime": None,
        "firstTimestamp": at,
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": NAME, "namespace": "ml", "uid": UID},
        "lastTimestamp": at,
        "message": message,
        "metadata": {"name": f"{NAME}.18a", "namespace": "ml", "creationTimestamp": at},
        "reason": reason,
        "source": {"component": "kubelet"},
        "type": "Warning",
        **more,
    }


def read(document: dict[str, Any], kind: str) -> Any:
    """*document* as the ``kubernetes`` client gives it."""
    from kubernetes.client import ApiClient

    return ApiClient().deserialize(SimpleNamespace(data=json.dumps(document)), kind)


def facts(document: dict[str, Any] | None, *events: dict[str, Any]) -> PodFacts:
    return PodFacts.of(
        None if document is None else read(document, "V1Pod"), [read(one, "CoreV1Event") for one in events]
    )
