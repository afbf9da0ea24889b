"""Which comparator takes which two sides: plug-ins first, then ours from the narrowest to the widest."""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint

from stepbridge.compare.arrays import ArrayComparator
from stepbridge.compare.base import Comparator, Side
from stepbridge.compare.directories import DirectoryComparator
from stepbridge.compare.files import FileComparator
from stepbridge.compare.images import ImageComparator
from stepbridge.compare.metrics import MetricsComparator, named_in
from stepbridge.compare.rules import Compare
from stepbridge.compare.tables.comparator import TableComparator
from stepbridge.compare.text import TextComparator
from stepbridge.compare.values import ValueComparator
from stepbridge.compare.weights import WeightsComparator
from stepbridge.failures import StepbridgeError

GROUP = "stepbridge.comparators"


@functools.cache
def built_in() -> tuple[Comparator, ...]:
    """Ours, in the order in which they are asked."""
    return (
        TableComparator(),
        ArrayComparator(),
        WeightsComparator(),
        ImageComparator(),
        TextComparator(),
        DirectoryComparator(),
        FileComparator(),
        ValueComparator(),
    )


@functools.cache
def plugins() -> tuple[Comparator, ...]:
    """The comparators of other packages, in the order of their names."""
    from importlib.metadata import entry_points

    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return tuple(_loaded(point) for point in found)


def _loaded(point: EntryPoint) -> Comparator:
    try:
        made: Comparator = point.load()()
    except Exception as error:
        raise StepbridgeError(
            "SB702",
            f"the plug-in {point.name!r} ({point.value}) cannot be loaded: {type(error).__name__}: {error}",
            place=f"entry-point group {GROUP}",
            hint="repair or uninstall the package that registers it",
        ) from error
    return made


def choose(control: Side, candidate: Side, rules: Compare) -> Comparator | None:
    """The comparator for two sides; None where none takes both.

    :raises StepbridgeError: SB702 where the rules name one that is not there.
    """
    known = (*plugins(), *built_in())
    if rules.comparator is not None:
        named = [one for one in (*known, MetricsComparator()) if one.name == rules.comparator]
        if not named:
            raise StepbridgeError(
                "SB702",
                f"no comparator is named {rules.comparator!r}",
                place="Compare(comparator=...)",
                hint=f"there are {', '.join(sorted(one.name for one in known))}; others come through the "
                f"entry-point group {GROUP}",
            )
        return named[0] if named[0].takes(control, candidate) else None
    if named_in(rules, control, candidate):
        return MetricsComparator()
    return next((one for one in known if one.takes(control, candidate)), None)
