"""Where a pod may run: GPU models, spot and on-demand, priority, and what must not disturb it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stepbridge.resources import Gpu
from stepbridge_airflow.accelerators import Accelerators, CapacityLabel, Labels, Scheme, Toleration

Capacity = Literal["any", "spot", "on-demand"]
_UNDISTURBED = {
    "karpenter.sh/do-not-disrupt": "true",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
}


@dataclass(frozen=True)
class Placement:
    """Where a step's pod may run.

    :param capacity: ``spot`` for machines that may be taken away, ``on-demand`` for others, ``any``.
    :param node_labels: labels that the node must have.
    :param priority_class: the pod's priority class.
    :param do_not_disrupt: ask Karpenter and the cluster autoscaler to leave the node while the step runs.
    """

    capacity: Capacity = "any"
    node_labels: Mapping[str, str] = field(default_factory=dict)
    priority_class: str = ""
    do_not_disrupt: bool = True


@dataclass(frozen=True)
class Expression:
    """One condition on a node's label."""

    label: str
    operator: Literal["In", "NotIn"]
    values: tuple[str, ...]


Term = tuple[Expression, ...]
"""Conditions that must all hold."""


@dataclass(frozen=True)
class Placed:
    """A placement in Kubernetes' words.

    :param terms: of which the node must satisfy one; empty: any node.
    :param tolerations: of the taints that such nodes usually carry.
    :param annotations: that the pod gets where nobody else sets them.
    """

    terms: tuple[Term, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


def placed(placement: Placement, gpu: Gpu, table: Accelerators) -> Placed:
    """What *placement* and *gpu* ask of the node.

    ``on-demand`` is asked for as "not labelled as spot", which a cluster without such labels satisfies too.

    :param gpu: how many and which; no model takes any.
    :raises TypeProblem: SB110 for a GPU model that the table cannot place.
    """
    wanted: Sequence[tuple[Scheme | None, Labels]] = (
        table.labels_of(gpu.model) if gpu.count and gpu.model else ((None, {}),)
    )
    terms: list[Term] = []
    for scheme, labels in wanted:
        hardware = tuple(Expression(label, "In", values) for label, values in labels.items())
        terms.extend(hardware + one for one in _capacity(placement.capacity, _labels_of(scheme, table)))
    spot = placement.capacity == "spot"
    return Placed(
        terms=tuple(term for term in terms if term),
        tolerations=(table.gpu_tolerations if gpu.count else ()) + (table.spot_tolerations if spot else ()),
        annotations=_UNDISTURBED if placement.do_not_disrupt else {},
    )


def _labels_of(scheme: Scheme | None, table: Accelerators) -> tuple[CapacityLabel, ...]:
    names = scheme.capacity if scheme and scheme.capacity else tuple(table.capacity)
    return tuple(table.capacity[name] for name in names)


def _capacity(capacity: Capacity, labels: tuple[CapacityLabel, ...]) -> tuple[Term, ...]:
    if capacity == "spot":
        return tuple((Expression(one.label, "In", one.spot),) for one in labels)
    if capacity == "on-demand":
        return (tuple(Expression(one.label, "NotIn", one.spot) for one in labels),)
    return ((),)
