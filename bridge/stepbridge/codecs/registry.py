"""Which codec takes what: the built-in ones, then those that other packages register as entry points."""

from __future__ import annotations

import functools

from stepbridge.codecs.arrays import ArrayCodec
from stepbridge.codecs.base import Codec
from stepbridge.codecs.files import DirectoryCodec, FileCodec, PathCodec
from stepbridge.codecs.frames import TableCodec
from stepbridge.codecs.jsons import BytesCodec, JsonCodec, TreeCodec
from stepbridge.codecs.pickles import PickleCodec
from stepbridge.failures import StoreProblem

GROUP = "stepbridge.codecs"
BUILT_IN: tuple[Codec, ...] = (
    FileCodec(),
    DirectoryCodec(),
    PathCodec(),
    TableCodec(),
    ArrayCodec(),
    PickleCodec(),
    JsonCodec(),
    TreeCodec(),
    BytesCodec(),
)


@functools.cache
def plugins() -> tuple[Codec, ...]:
    """The codecs of other packages, in the order of their names; looked up once, when none of ours fits."""
    from importlib.metadata import entry_points

    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return tuple(point.load()() for point in found)


def codec_for_type(annotation: object) -> Codec | None:
    """The codec that stores values annotated so; None for JSON and plain values and for unknown types."""
    for codec in BUILT_IN:
        if codec.handles_type(annotation):
            return codec
    return _plugin_for_type(annotation)


def _plugin_for_type(annotation: object) -> Codec | None:
    home = getattr(annotation, "__module__", "")
    if home in {"builtins", "datetime", "decimal", "uuid", "typing", "collections.abc", "types", "enum"}:
        return None
    return next((codec for codec in plugins() if codec.handles_type(annotation)), None)


def codec_for_value(value: object) -> Codec | None:
    """The codec that stores *value* as an artifact; None for JSON and plain values and for unknown types."""
    for codec in BUILT_IN:
        if codec.handles_value(value):
            return codec
    return next((codec for codec in plugins() if codec.handles_value(value)), None)


def codec_named(name: str) -> Codec:
    """The codec that a manifest's ``format`` names.

    :raises StoreProblem: SB309 where there is none.
    """
    for codec in (*BUILT_IN, *plugins()):
        if codec.name == name:
            return codec
    raise StoreProblem(
        "SB309",
        f"no codec is named {name!r}",
        hint=f"install the package that registers it under the entry-point group {GROUP}",
    )
