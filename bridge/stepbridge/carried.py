"""Values on their way: small ones inside a document, others by reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stepbridge.references import Artifact, Draft


@dataclass(frozen=True)
class Inline:
    """A small value inside the document.

    :param codec: ``json`` (``data`` is the value) or ``python`` (``data`` is the tagged tree of
        ``codecs/plain.py``, for tuples, times, decimals, bytes, NaN and non-string keys).
    """

    TAG = "inline"
    codec: str
    data: Any


@dataclass(frozen=True)
class Stored:
    """A value in the store."""

    TAG = "artifact"
    artifact: Artifact


@dataclass(frozen=True)
class Outside:
    """An object that is not an artifact of ours, identified by what its store says of its content.

    :param identity: ``version``, ``checksum:<name>``, or ``etag`` and ``size``: the strongest that was found.
    """

    TAG = "outside"
    uri: str
    size: int
    identity: Mapping[str, str]


@dataclass(frozen=True)
class Items:
    """A list or tuple, item by item, at least one of which is stored."""

    TAG = "items"
    type: Literal["list", "tuple"]
    items: tuple[Value, ...]


@dataclass(frozen=True)
class Fields:
    """A string-keyed mapping, value by value, at least one of which is stored, or several named outputs.

    :param name: the class's qualified name where the value is a named tuple or dataclass, else empty.
    """

    TAG = "fields"
    fields: Mapping[str, Value]
    name: str = ""


Value = Inline | Stored | Outside | Items | Fields | Draft
"""A value on its way. A :class:`Draft` stands only between a step's process and its runner."""
