"""Edits of a pod's status, in the shapes that the kubelet gives them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from kube.errors import Json

READY = ("Ready", "ContainersReady")


def condition(pod: Json, kind: str, value: bool, stamp: str, *, reason: str = "", message: str = "") -> None:
    """Set one condition; its transition time moves when its status does."""
    conditions = pod["status"].setdefault("conditions", [])
    held = next((c for c in conditions if c["type"] == kind), None)
    if held is None:
        held = {"type": kind, "lastProbeTime": None, "status": ""}
        conditions.append(held)
    text = "True" if value else "False"
    if held["status"] != text:
        held["lastTransitionTime"] = stamp
    held["status"] = text
    for key, told in (("reason", reason), ("message", message)):
        if told:
            held[key] = told
        else:
            held.pop(key, None)


def container_status(container: Json) -> Json:
    return {
        "name": container["name"],
        "state": {},
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "image": container["image"],
        "imageID": "",
        "started": False,
    }


def of_container(pod: Json, name: str) -> Json:
    """The container's status in this version of the pod."""
    status = pod["status"]
    every = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return next(held for held in every if held["name"] == name)


def waiting(pod: Json, name: str, reason: str, message: str = "") -> None:
    held = of_container(pod, name)
    held["state"] = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    held["ready"] = held["started"] = False


def running(pod: Json, name: str, stamp: str, *, ready: bool) -> None:
    held = of_container(pod, name)
    held["state"] = {"running": {"startedAt": stamp}}
    held["ready"], held["started"] = ready, True
    identity = hashlib.sha256(f"{pod['metadata']['uid']}/{name}/{held['restartCount']}".encode()).hexdigest()
    held["containerID"] = f"containerd://{identity}"
    held["imageID"] = (
        f"{held['image'].split('@')[0]}@sha256:{hashlib.sha256(held['image'].encode()).hexdigest()}"
    )


def terminated(pod: Json, name: str, code: int, reason: str, stamp: str, *, message: str = "") -> None:
    held = of_container(pod, name)
    began = held["state"].get("running", {}).get("startedAt") or (
        "1970-01-01T00:00:00Z" if reason == "StartError" else stamp
    )
    state: Json = {"exitCode": code, "reason": reason}
    if message:
        state["message"] = message[:4096]
    state["startedAt"], state["finishedAt"] = began, stamp
    if "containerID" in held:
        state["containerID"] = held["containerID"]
    held["state"] = {"terminated": state}
    held["started"] = False
    inits = pod["status"].get("initContainerStatuses") or []
    held["ready"] = code == 0 and any(init["name"] == name for init in inits)


def unready(pod: Json, stamp: str, names: Sequence[str]) -> None:
    """Ready and ContainersReady are False because of these containers."""
    for kind in READY:
        message = f"containers with unready status: [{' '.join(names)}]"
        condition(pod, kind, False, stamp, reason="ContainersNotReady", message=message)


def finished(pod: Json, phase: str, stamp: str, *, reason: str = "", message: str = "") -> None:
    """The end of a pod."""
    status = pod["status"]
    status["phase"] = phase
    if reason:
        status["reason"] = reason
    if message:
        status["message"] = message
    told = "PodCompleted" if phase == "Succeeded" else "PodFailed"
    condition(pod, "PodReadyToStartContainers", False, stamp)
    if phase == "Succeeded":
        condition(pod, "Initialized", True, stamp, reason="PodCompleted")
    for kind in READY:
        condition(pod, kind, False, stamp, reason=told)
