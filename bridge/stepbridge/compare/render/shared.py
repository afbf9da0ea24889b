"""What the renderers share: numbers, durations and sizes as people read them, and the order of things."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from stepbridge.compare.model import Difference, Noise, Part, RunFacts, Unused

N = TypeVar("N", int, float)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def walk(parts: tuple[Part, ...], depth: int = 0) -> Iterator[tuple[int, Part]]:
    """Every part with its depth, each before the parts inside it."""
    for part in parts:
        yield depth, part
        yield from walk(part.parts, depth + 1)


def size(count: int) -> str:
    """Bytes with a unit: ``1.5 MiB``."""
    value = float(count)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def seconds(value: float) -> str:
    """A duration: ``0.42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if value < 100:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def covered(part: Part) -> str:
    """How much was compared: ``1,000 of 1,000 rows``."""
    if part.compared == part.of:
        return f"all {part.of:,} {part.unit}" if part.of else "nothing"
    return f"{part.compared:,} of {part.of:,} {part.unit}"


def differences(part: Part) -> list[Difference]:
    """The part's differences that are not among its columns' samples already."""
    said = {sample for column in part.columns for sample in column.samples}
    return [one for one in part.differences if one not in said]


def noise(found: Noise) -> str:
    """What was repeated, how often, and what is to be said of it."""
    times = "once more" if found.runs == 1 else f"{found.runs} more times"
    return f"the {found.side} ran {times}" + (f": {found.note}" if found.note else "")


def unused(one: Unused) -> str:
    """A rule that matched nothing, and what it may have meant."""
    named = {"columns": "the tolerance for column {}", "dtypes": "the tolerance for dtype {}"}
    what = named.get(one.setting, f"{one.setting} {{}}").format(repr(one.name))
    if one.setting == "outputs":
        return f"{what} matched nothing: outputs are compared in shadow runs only"
    there = ", ".join(map(repr, one.there))
    return f"{what} matched nothing" + (f": there are {there}" if there else " that it could name")


def run_rows(control: RunFacts | None, candidate: RunFacts | None) -> list[tuple[str, str, str]]:
    """``(what, control, candidate)`` for each fact that one side at least has."""
    sides = (control, candidate)
    rows: list[tuple[str, list[str]]] = [
        ("task", [one.task_id if one else "" for one in sides]),
        ("state", [one.state if one else "" for one in sides]),
        ("tries", [str(one.tries) if one and one.tries else "" for one in sides]),
        ("duration", [_given(one.seconds if one else None, seconds) for one in sides]),
    ]
    names = dict.fromkeys(phase.name for one in sides if one for phase in one.phases)
    for name in names:
        found = [{phase.name: phase.seconds for phase in one.phases} if one else {} for one in sides]
        rows.append((f"  {name}", [_given(one.get(name), seconds) for one in found]))
    rows += [
        ("CPU", [_given(one.cpu_seconds if one else None, seconds) for one in sides]),
        ("peak memory", [_given(one.peak_memory if one else None, size) for one in sides]),
        ("GPU", [one.gpu_model if one else "" for one in sides]),
        ("GPU time", [_given(one.gpu_seconds if one else None, seconds) for one in sides]),
        ("peak GPU memory", [_given(one.peak_gpu_memory if one else None, size) for one in sides]),
        ("cache", [one.cache if one else "" for one in sides]),
        ("ran on", [one.place if one else "" for one in sides]),
        ("error", [one.error if one else "" for one in sides]),
    ]
    shown = [(name, left or "-", right or "-") for name, (left, right) in rows if left or right]
    shown += [(f"{one.what} not known", one.why, "") for one in (control.missing if control else ())]
    shown += [(f"{one.what} not known", "", one.why) for one in (candidate.missing if candidate else ())]
    return shown


def _given(value: N | None, show: Callable[[N], str]) -> str:
    return "" if value is None else show(value)
