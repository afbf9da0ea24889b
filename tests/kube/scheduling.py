"""Nodes and a scheduler: which node a pod fits on, or the scheduler's words why none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kube.errors import Json
from kube.quantities import number, requests


@dataclass(frozen=True)
class Taint:
    key: str
    value: str = ""
    effect: str = "NoSchedule"


@dataclass(frozen=True)
class Node:
    """A node that is only told of; every container runs on this machine.

    :param allocatable: quantities by resource, as ``cpu``, ``memory``, ``nvidia.com/gpu``, ``pods``.
    """

    name: str = "gpu-node-1"
    labels: Mapping[str, str] = field(
        default_factory=lambda: {
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/region": "eu-central-1",
            "topology.kubernetes.io/zone": "eu-central-1a",
            "node.kubernetes.io/instance-type": "p4d.24xlarge",
            "karpenter.sh/capacity-type": "on-demand",
            "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB",
            "nvidia.com/gpu.present": "true",
            "nvidia.com/gpu.count": "8",
        }
    )
    taints: Sequence[Taint] = ()
    allocatable: Mapping[str, str] = field(
        default_factory=lambda: {
            "cpu": "10000",
            "memory": "100Ti",
            "ephemeral-storage": "100Ti",
            "nvidia.com/gpu": "10000",
            "pods": "10000",
        }
    )
    ready: bool = True

    def object(self) -> Json:
        """The Node object of the API."""
        labels = {"kubernetes.io/hostname": self.name, **self.labels}
        taints = [{"key": t.key, "value": t.value, "effect": t.effect} for t in self.taints]
        condition = {
            "type": "Ready",
            "status": "True" if self.ready else "Unknown",
            "reason": "KubeletReady" if self.ready else "NodeStatusUnknown",
            "message": "kubelet is posting ready status"
            if self.ready
            else "Kubelet stopped posting node status.",
        }
        return {
            "metadata": {"name": self.name, "labels": labels},
            "spec": {"taints": taints} if taints else {},
            "status": {
                "allocatable": dict(self.allocatable),
                "capacity": dict(self.allocatable),
                "conditions": [condition],
                "nodeInfo": {
                    "kubeletVersion": "v1.36.0",
                    "operatingSystem": "linux",
                    "architecture": "amd64",
                },
            },
        }


class Scheduler:
    """Puts pods on the first node they fit on."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes: dict[str, Node] = {node.name: node for node in nodes}
        self._used: dict[str, dict[str, dict[str, float]]] = {}

    def lose(self, name: str) -> None:
        """Make a node not ready: nothing is scheduled on it any more."""
        unreachable = Taint("node.kubernetes.io/unreachable")
        node = self.nodes[name]
        self.nodes[name] = replace(node, ready=False, taints=(*node.taints, unreachable))

    def place(self, uid: str, spec: Mapping[str, Any]) -> tuple[str | None, str]:
        """The node's name and "", or None and the scheduler's message."""
        asked = {"pods": 1.0, **requests(spec)}
        reasons: Counter[str] = Counter()
        for node in self.nodes.values():
            refusals = self._refusals(node, spec, asked)
            if not refusals:
                self._used.setdefault(node.name, {})[uid] = asked
                return node.name, ""
            reasons.update(refusals)
        return None, self._message(reasons)

    def free(self, uid: str) -> None:
        for held in self._used.values():
            held.pop(uid, None)

    def _message(self, reasons: Counter[str]) -> str:
        count = len(self.nodes)
        if not count:
            return "no nodes available to schedule pods"
        parts = ", ".join(sorted(f"{many} {reason}" for reason, many in reasons.items()))
        helpful = sum(many for reason, many in reasons.items() if reason.startswith("Insufficient"))
        if 0 < helpful >= count:
            tail = f"0/{count} nodes are available: {count} No preemption victims found for incoming pod."
        else:
            tail = f"0/{count} nodes are available: {count} Preemption is not helpful for scheduling."
        return f"0/{count} nodes are available: {parts}. preemption: {tail}"

    def _refusals(self, node: Node, spec: Mapping[str, Any], asked: Mapping[str, float]) -> list[str]:
        for taint in node.taints:
            if taint.effect in ("NoSchedule", "NoExecute") and not _tolerated(taint, spec.get("tolerations")):
                value = f": {taint.value}" if taint.value else ": "
                return [f"node(s) had untolerated taint {{{taint.key}{value}}}"]
        labels = {"kubernetes.io/hostname": node.name, **node.labels}
        if not _selected(labels, node.name, spec):
            return ["node(s) didn't match Pod's node affinity/selector"]
        used: Counter[str] = Counter()
        for held in self._used.get(node.name, {}).values():
            used.update(held)
        return [
            "Too many pods" if name == "pods" else f"Insufficient {name}"
            for name, amount in asked.items()
            if amount > 0 and used[name] + amount > number(node.allocatable.get(name, "0")) + 1e-9
        ]


def _tolerated(taint: Taint, tolerations: Sequence[Json] | None) -> bool:
    for toleration in tolerations or ():
        if toleration.get("effect") not in (None, "", taint.effect):
            continue
        if toleration.get("operator", "Equal") == "Exists":
            if toleration.get("key") in (None, "", taint.key):
                return True
        elif toleration.get("key") == taint.key and (toleration.get("value") or "") == taint.value:
            return True
    return False


def _selected(labels: Mapping[str, str], name: str, spec: Mapping[str, Any]) -> bool:
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not affinity:
        return True
    return any(
        all(_matches(labels, test) for test in term.get("matchExpressions") or [])
        and all(_matches({"metadata.name": name}, test) for test in term.get("matchFields") or [])
        for term in affinity.get("nodeSelectorTerms") or []
        if term.get("matchExpressions") or term.get("matchFields")
    )


def _matches(labels: Mapping[str, str], test: Json) -> bool:
    held, values = labels.get(test["key"]), test.get("values") or []
    match test["operator"]:
        case "In":
            return held in values
        case "NotIn":
            return held not in values
        case "Exists":
            return held is not None
        case "DoesNotExist":
            return held is None
        case "Gt":
            return held is not None and held.isdigit() and int(held) > int(values[0])
        case "Lt":
            return held is not None and held.isdigit() and int(held) < int(values[0])
        case other:
            raise ValueError(f"unknown operator {other}")
