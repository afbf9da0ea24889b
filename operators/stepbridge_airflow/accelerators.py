"""GPU models as data: which node labels say what a node has; the packaged table and a team's own file."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from stepbridge.failures import OperatorProblem, TypeProblem

_OPTION = "[stepbridge] accelerators"
_PRODUCT = "nvidia"


@dataclass(frozen=True)
class Scheme:
    """How one platform labels nodes with GPUs.

    :param label: the node label whose value is the GPU's name.
    :param capacity: names of the capacity labels that such nodes carry; empty: any of them.
    :param suffixes: endings that a value may have as well.
    """

    label: str
    capacity: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CapacityLabel:
    """The node label that says whether a machine may be taken away, and its values for those that may."""

    label: str
    spot: tuple[str, ...]


@dataclass(frozen=True)
class Toleration:
    """One toleration of a pod."""

    key: str
    operator: str = "Exists"
    value: str = ""
    effect: str = ""


Labels = Mapping[str, tuple[str, ...]]
"""Node labels and, for each, the values of which one must hold."""


@dataclass(frozen=True)
class Accelerators:
    """The table.

    :param gpus: for each model, in lower case, the labels by the name of the scheme.
    :param names: the models as they are written.
    :param closed: refuse a model that is not in the table.
    """

    schemes: Mapping[str, Scheme]
    capacity: Mapping[str, CapacityLabel]
    gpus: Mapping[str, Mapping[str, Labels]]
    names: tuple[str, ...]
    gpu_tolerations: tuple[Toleration, ...] = ()
    spot_tolerations: tuple[Toleration, ...] = ()
    closed: bool = False

    def labels_of(self, model: str) -> tuple[tuple[Scheme, Labels], ...]:
        """The labels of nodes with this GPU, by scheme; a node needs those of one scheme.

        A model that the table does not have is taken as a value of ``nvidia.com/gpu.product``.

        :raises TypeProblem: SB110 for an unknown model of a closed table, or of schemes without that label.
        """
        found = self.gpus.get(model.lower())
        if found is None:
            product = self.schemes.get(_PRODUCT)
            if self.closed or product is None:
                raise self._unknown(model)
            return ((product, {product.label: (model,)}),)
        chosen = tuple((scheme, found[name]) for name, scheme in self.schemes.items() if name in found)
        if not chosen:
            raise TypeProblem(
                "SB110",
                f"the table says nothing of GPU {model!r} for {', '.join(self.schemes)}",
                place="Resources.gpu",
                hint=f"add it for one of them to the file of {_OPTION}, or allow another scheme",
            )
        return chosen

    def _unknown(self, model: str) -> TypeProblem:
        return TypeProblem(
            "SB110",
            f"GPU {model!r} is not one of {', '.join(self.names)}",
            place="Resources.gpu",
            hint=f"use a listed name, or add this one as [gpus.{model}] to the file that {_OPTION} names",
        )


@functools.cache
def packaged() -> Accelerators:
    """The table that comes with stepbridge."""
    name = "accelerators.toml"
    text = resources.files("stepbridge_airflow").joinpath(name).read_text(encoding="utf-8")
    return _read(tomllib.loads(text), _EMPTY, place=name)


def table(extra: Path | None = None, *, schemes: Sequence[str] = (), closed: bool = False) -> Accelerators:
    """The packaged table with a team's file over it.

    :param extra: a TOML file of the same form; it goes before what is packaged, tolerations add up.
    :param schemes: the only schemes to use, in this order; empty: all.
    :param closed: refuse models that neither has.
    :raises OperatorProblem: SB502 for a file that cannot be read or has another form, or an unknown scheme.
    """
    found = packaged() if extra is None else _read(_load(extra), packaged(), place=f"{_OPTION}: {extra}")
    unknown = [name for name in schemes if name not in found.schemes]
    if unknown:
        raise OperatorProblem(
            "SB502",
            f"{unknown[0]!r} is no scheme of GPU labels",
            place="[stepbridge] gpu_labels",
            hint=f"use some of {', '.join(found.schemes)}",
        )
    chosen = {name: found.schemes[name] for name in schemes or found.schemes}
    return Accelerators(
        chosen,
        found.capacity,
        found.gpus,
        found.names,
        found.gpu_tolerations,
        found.spot_tolerations,
        closed,
    )


_EMPTY = Accelerators({}, {}, {}, ())


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OperatorProblem(
            "SB502",
            f"the table of GPUs cannot be read: {error}",
            place=f"{_OPTION}: {path}",
            hint="name a TOML file as docs/pods.md describes it",
        ) from error


@dataclass(frozen=True)
class _Form:
    """Reads one file and says where it is wrong."""

    place: str
    where: tuple[str, ...] = field(default=())

    def at(self, *names: str) -> _Form:
        return _Form(self.place, (*self.where, *names))

    def problem(self, cause: str) -> OperatorProblem:
        return OperatorProblem(
            "SB502",
            f"{'.'.join(self.where) or 'the file'} {cause}",
            place=self.place,
            hint="write it as docs/pods.md describes",
        )

    def mapping(self, value: object, *, only: frozenset[str] = frozenset()) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.problem("is not a table")
        unknown = sorted(value.keys() - only) if only else []
        if unknown:
            raise self.problem(f"has {unknown[0]!r}, and takes only {', '.join(sorted(only))}")
        return value

    def text(self, value: object) -> str:
        if not isinstance(value, str):
            raise self.problem("is not a text")
        return value

    def texts(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.problem("is not a list of texts")
        return tuple(value)


def _read(raw: dict[str, Any], below: Accelerators, *, place: str) -> Accelerators:
    form = _Form(place)
    top = form.mapping(raw, only=frozenset({"schemes", "capacity", "tolerations", "gpus"}))
    schemes = {**below.schemes, **_schemes(top.get("schemes", {}), form.at("schemes"))}
    capacity = {**below.capacity, **_capacity(top.get("capacity", {}), form.at("capacity"))}
    for name, scheme in schemes.items():
        if unknown := set(scheme.capacity) - capacity.keys():
            raise form.at("schemes", name).problem(f"names capacity {min(unknown)!r}, which is not there")
    gpus, names = dict(below.gpus), {name.lower(): name for name in below.names}
    given = form.at("gpus").mapping(top.get("gpus", {}))
    for name, entry in given.items():
        gpus[name.lower()] = {**gpus.get(name.lower(), {}), **_gpu(entry, schemes, form.at("gpus", name))}
        names[name.lower()] = name
    tolerations = form.at("tolerations").mapping(top.get("tolerations", {}), only=frozenset({"gpu", "spot"}))
    return Accelerators(
        schemes,
        capacity,
        gpus,
        tuple(sorted(names.values())),
        below.gpu_tolerations + _tolerations(tolerations.get("gpu", []), form.at("tolerations", "gpu")),
        below.spot_tolerations + _tolerations(tolerations.get("spot", []), form.at("tolerations", "spot")),
    )


def _schemes(raw: object, form: _Form) -> dict[str, Scheme]:
    found = {}
    for name, entry in form.mapping(raw).items():
        here = form.at(name)
        one = here.mapping(entry, only=frozenset({"label", "capacity", "suffixes"}))
        found[name] = Scheme(
            here.at("label").text(one.get("label")),
            here.at("capacity").texts(one.get("capacity", [])),
            here.at("suffixes").texts(one.get("suffixes", [])),
        )
    return found


def _capacity(raw: object, form: _Form) -> dict[str, CapacityLabel]:
    found = {}
    for name, entry in form.mapping(raw).items():
        here = form.at(name)
        one = here.mapping(entry, only=frozenset({"label", "spot"}))
        found[name] = CapacityLabel(
            here.at("label").text(one.get("label")), here.at("spot").texts(one.get("spot"))
        )
    return found


def _gpu(raw: object, schemes: Mapping[str, Scheme], form: _Form) -> dict[str, Labels]:
    found: dict[str, Labels] = {}
    for name, entry in form.mapping(raw, only=frozenset(schemes)).items():
        scheme, here = schemes[name], form.at(name)
        if isinstance(entry, dict):
            found[name] = {label: here.at(label).texts(values) for label, values in entry.items()}
            continue
        values = here.texts(entry)
        found[name] = {scheme.label: tuple(v + end for v in values for end in ("", *scheme.suffixes))}
    return found


def _tolerations(raw: object, form: _Form) -> tuple[Toleration, ...]:
    if not isinstance(raw, list):
        raise form.problem("is not a list of tables")
    only = frozenset({"key", "operator", "value", "effect"})
    return tuple(
        Toleration(**{name: form.text(value) for name, value in form.mapping(one, only=only).items()})
        for one in raw
    )
