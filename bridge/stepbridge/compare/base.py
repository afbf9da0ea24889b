"""The seam of comparators: the two sides they are given, and what they are asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stepbridge.compare.model import Part
from stepbridge.compare.rules import Compare


@dataclass(frozen=True)
class Side:
    """One of the two results.

    :param origin: a URI, a path, or ``value``: for people.
    :param type: the logical type: ``json``, ``text``, ``bytes``, ``pandas.DataFrame``, ``pyarrow.Table``,
        ``polars.DataFrame``, ``pandas.Series``, ``numpy.ndarray``, ``stepbridge.File``,
        ``stepbridge.Directory``, ``pickle``.
    :param path: the payload on this machine (Parquet, npy, the file, the directory); None for a plain value.
    :param value: the plain value where there is no payload; may be None.
    :param content: the canonical digest of the content where it is known: equal digests of one type mean
        equal content. Empty where it is not known.
    """

    origin: str
    type: str
    path: Path | None = None
    value: Any = None
    content: str = ""


class Comparator(Protocol):
    """Compares two results of one kind.

    Registered by name in :mod:`stepbridge.compare.registry`, or through the entry-point group
    ``stepbridge.comparators`` as an object of this shape.
    """

    name: str

    def takes(self, control: Side, candidate: Side) -> bool:
        """True where it can compare these two; asked in the registry's order, plug-ins first."""
        ...

    def compare(self, control: Side, candidate: Side, rules: Compare, name: str) -> Part:
        """Compare, and say what was and was not compared.

        :param name: the part's name in the report.
        :raises StepbridgeError: where a side cannot be read; the whole becomes TOOL_ERROR.
        """
        ...
