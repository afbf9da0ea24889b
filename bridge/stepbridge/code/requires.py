"""Which installed distributions a slice imports, and their versions."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from stepbridge.code.airflow_names import OWN_ROOTS


@cache
def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""


@cache
def _provider(name: str) -> str:
    """The distribution that installed the module *name*: the one whose record lists it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return ""
    if spec is None:
        return ""
    places = [Path(item).parent for item in spec.submodule_search_locations or ()]
    if not places and spec.origin:
        places = [Path(spec.origin).parent]
    for place in places:
        own = sorted(place.glob(f"{name}-*.dist-info"))
        for info in [*own, *sorted(place.glob("*.dist-info"))]:
            if _lists(info / "RECORD", name):
                return _name(info)
    return ""


def _lists(record: Path, name: str) -> bool:
    try:
        data = record.read_bytes()
    except OSError:
        return False
    for lead in (f"{name}/", f"{name}.py,", f"{name}."):
        raw = lead.encode()
        if data.startswith(raw) or b"\n" + raw in data:
            return True
    return False


def _name(info: Path) -> str:
    return importlib.metadata.PathDistribution(info).metadata["Name"] or info.name.partition("-")[0]


def requirements(names: Iterable[str]) -> dict[str, str]:
    """The distribution and version of each top-level import name; its name and "" where none provides it."""
    found: dict[str, str] = {}
    for name in sorted(set(names) - OWN_ROOTS):
        distribution = _provider(name) or name
        found[distribution] = _version(distribution)
    return found
