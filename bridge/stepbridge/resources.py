"""What a step asks of the machine: processors, memory, GPUs, disk, and how the short forms read."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation

from stepbridge.failures import TypeProblem

GPU_RESOURCE = "nvidia.com/gpu"
_SUFFIX = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000**n) for n, unit in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{unit: Decimal(1024**n) for n, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}
_EXACT = Context(prec=60)
"""For all arithmetic here: the thread's own context is whatever a DAG file made of it."""
_QUANTITY = re.compile(r"^(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?P<suffix>m|[kMGTPE]|[KMGTPE]i)?$")
_NAMES = {
    "cpu": "cpu",
    "memory": "memory",
    "mem": "memory",
    "gpu": GPU_RESOURCE,
    "storage": "ephemeral-storage",
    "ephemeral_storage": "ephemeral-storage",
    "ephemeral-storage": "ephemeral-storage",
}
_EXTENDED = re.compile(r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")


def quantity(text: str | int | float, *, place: str) -> Decimal:
    """A Kubernetes quantity in base units: cores, bytes or devices.

    :raises TypeProblem: SB110 where it is not one.
    """
    found = _QUANTITY.match(str(text).strip())
    if isinstance(text, bool) or found is None:
        raise TypeProblem(
            "SB110", f"{text!r} is not a quantity", place=place, hint="write 4, '500m', '16Gi' or '1.5'"
        )
    try:
        return _EXACT.multiply(Decimal(found["number"]), _SUFFIX[found["suffix"] or ""])
    except InvalidOperation as error:  # pragma: no cover - the pattern admits numbers only
        raise TypeProblem("SB110", f"{text!r} is not a quantity", place=place) from error


@dataclass(frozen=True)
class Gpu:
    """GPUs of one model; an empty model takes any."""

    count: int
    model: str = ""


def parse_gpu(value: int | str, *, place: str = "gpu") -> Gpu:
    """``1``, ``"1"``, ``"A10G"``, ``"A10G:1"`` as a count and a model.

    :raises TypeProblem: SB110 for anything else; a zero asks for none.
    """
    text = str(value).strip()
    model, colon, count = text.rpartition(":")
    if not colon and not text.isdigit():
        model, count = text, "1"
    good = (
        not isinstance(value, bool)
        and count.isdigit()
        and (not model or re.match(r"^[A-Za-z][\w.+-]*$", model))
    )
    if not good or (colon and not model):
        raise TypeProblem(
            "SB110",
            f"{value!r} is not a GPU request",
            place=place,
            hint="write gpu=1, gpu='1' or gpu='A10G:1'",
        )
    return Gpu(int(count), model)


@dataclass(frozen=True)
class Amounts:
    """Resources as Kubernetes names them: what is requested, what is the limit, and which GPU it is."""

    requests: Mapping[str, str]
    limits: Mapping[str, str]
    gpu: Gpu


@dataclass(frozen=True)
class Resources:
    """What a step needs.

    The short forms set request and limit alike, except ``cpu``, which sets the request: a processor limit
    only throttles. ``requests`` and ``limits`` take Kubernetes' names and ours, and go before short forms.

    :param cpu: cores: ``4``, ``"500m"``.
    :param memory: bytes: ``"16Gi"``.
    :param gpu: ``1``, ``"1"`` or ``"A10G:1"``; may as well stand in ``requests`` or ``limits``.
    :param ephemeral_storage: scratch disk: ``"50Gi"``.
    :param shm: size of ``/dev/shm``: ``"8Gi"``.
    """

    cpu: str | int | float | None = None
    memory: str | int | None = None
    gpu: str | int | None = None
    ephemeral_storage: str | int | None = None
    shm: str | int | None = None
    requests: Mapping[str, str | int | float] = field(default_factory=dict)
    limits: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.amounts()
        if self.shm is not None:
            quantity(self.shm, place="Resources.shm")

    def amounts(self, *, known_gpus: Collection[str] = ()) -> Amounts:
        """The effective requests and limits.

        :param known_gpus: where not empty, the only GPU models allowed.
        :raises TypeProblem: SB110 where two places disagree, or a name is unknown, or a request is above its
            limit.
        """
        gpus = self._gpus()
        requests, limits = self._side("requests", self.requests), self._side("limits", self.limits)
        for name, value, both in (
            ("cpu", self.cpu, False),
            ("memory", self.memory, True),
            ("ephemeral-storage", self.ephemeral_storage, True),
        ):
            if value is not None:
                self._agree(name, value, requests, limits)
                requests.setdefault(name, str(value))
                if both:
                    limits.setdefault(name, str(value))
        if gpus.count:
            requests[GPU_RESOURCE] = limits[GPU_RESOURCE] = str(gpus.count)
        for name in requests.keys() & limits.keys():
            if quantity(requests[name], place=name) > quantity(limits[name], place=name):
                raise TypeProblem(
                    "SB110", f"the request {requests[name]} is above the limit {limits[name]}", place=name
                )
        if gpus.model and known_gpus and gpus.model not in known_gpus:
            raise TypeProblem(
                "SB110",
                f"GPU {gpus.model!r} is not one of {', '.join(sorted(known_gpus))}",
                place="Resources.gpu",
                hint="use a listed name or add this one to [stepbridge] gpu_models",
            )
        return Amounts(requests, limits, gpus)

    def _gpus(self) -> Gpu:
        asked = {
            place: parse_gpu(value, place=place)  # type: ignore[arg-type]
            for place, value in (
                ("Resources.gpu", self.gpu),
                *(
                    (f"Resources.requests[{n!r}]", v)
                    for n, v in self.requests.items()
                    if self._name(n) == GPU_RESOURCE
                ),
                *(
                    (f"Resources.limits[{n!r}]", v)
                    for n, v in self.limits.items()
                    if self._name(n) == GPU_RESOURCE
                ),
            )
            if value is not None
        }
        models = {gpu.model for gpu in asked.values() if gpu.model}
        if len({gpu.count for gpu in asked.values()}) > 1 or len(models) > 1:
            said = ", ".join(
                f"{place}={gpu.model + ':' if gpu.model else ''}{gpu.count}" for place, gpu in asked.items()
            )
            raise TypeProblem(
                "SB110", f"the GPU is asked for in two ways: {said}", place="Resources", hint="keep one"
            )
        count = next((gpu.count for gpu in asked.values()), 0)
        return Gpu(count, next(iter(models), ""))

    def _side(self, side: str, given: Mapping[str, str | int | float]) -> dict[str, str]:
        out = {}
        for name, value in given.items():
            known = self._name(name)
            if not known:
                raise TypeProblem(
                    "SB110",
                    f"{name!r} is no resource",
                    place=f"Resources.{side}",
                    hint="use cpu, memory, gpu, ephemeral-storage or a name like vendor.com/device",
                )
            if known != GPU_RESOURCE:
                quantity(value, place=f"Resources.{side}[{name!r}]")
                out[known] = str(value)
        return out

    @staticmethod
    def _name(name: str) -> str:
        return _NAMES.get(name) or (name if _EXTENDED.match(name) else "")

    @staticmethod
    def _agree(
        name: str, value: str | int | float, requests: Mapping[str, str], limits: Mapping[str, str]
    ) -> None:
        amount = quantity(value, place=f"Resources.{name}")
        for side, other in (("requests", requests.get(name)), ("limits", limits.get(name))):
            if side == "requests" and other is not None and quantity(other, place=name) != amount:
                raise TypeProblem(
                    "SB110",
                    f"{name} is {value} in the short form and {other} in {side}",
                    place="Resources",
                    hint="keep one",
                )
