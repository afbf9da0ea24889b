"""Values on their way: encoded for a document or the store, decoded for a function, shown to old readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepbridge.annotations import UNANNOTATED
from stepbridge.artifact import Artifact, Draft
from stepbridge.codecs import plain
from stepbridge.codecs.decoding import Decoder, Locate, Located
from stepbridge.contract import Fields, Inline, Items, Outside, Stored, Value

if TYPE_CHECKING:
    from stepbridge.codecs.encoding import Refer

__all__ = [
    "UNANNOTATED",
    "Locate",
    "Located",
    "decode",
    "drafts",
    "encode",
    "stored",
    "with_artifacts",
    "xcom_view",
]


def encode(
    value: object,
    annotation: object,
    staging: Path,
    *,
    place: str,
    inline_limit: int = 1024 * 1024,
    refer: Refer | None = None,
    keep_paths: bool = False,
) -> Value:
    """*value* as a contract value, which may hold drafts.

    :param annotation: the declared type; ``UNANNOTATED`` or None lets the value decide.
    :param staging: a directory for payloads; files that a step wrote itself stay where they are.
    :param place: what an error names: ``dag.task: return value``, ``parameter 'x'``.
    :param inline_limit: bytes of JSON above which a plain value becomes a draft.
    :param refer: called as ``refer(text, annotation)`` for each string that is given where a stored type is
        declared, or without annotation; what it returns, if not None, stands in the string's place.
    :param keep_paths: ``pathlib`` paths, and texts where one is declared, stay paths of this machine instead
        of becoming artifacts: for inputs, which a function may write to.
    :raises TypeProblem: SB101 to SB104, SB108, SB109, naming the path to the part that is wrong.
    """
    from stepbridge.codecs.encoding import Encoder

    return Encoder(staging, inline_limit, refer, keep_paths).encode(value, annotation, place)


def decode(value: Value, annotation: object, locate: Locate, *, place: str) -> Any:
    """The Python value of *value* for a parameter annotated so.

    :param locate: fetches a stored or outside object.
    :raises TypeProblem: SB103 where the value does not fit the annotation.
    """
    return Decoder(locate).decode(value, annotation, place)


def _leaves(value: Value) -> Iterator[Inline | Stored | Outside | Draft]:
    match value:
        case Items():
            for item in value.items:
                yield from _leaves(item)
        case Fields():
            for item in value.fields.values():
                yield from _leaves(item)
        case _:
            yield value


def drafts(value: Value) -> tuple[Draft, ...]:
    """The drafts in *value*, in order."""
    return tuple(leaf for leaf in _leaves(value) if isinstance(leaf, Draft))


def stored(value: Value) -> tuple[Stored | Outside, ...]:
    """The references in *value*, in order."""
    return tuple(leaf for leaf in _leaves(value) if isinstance(leaf, Stored | Outside))


def with_artifacts(value: Value, artifacts: Sequence[Artifact]) -> Value:
    """*value* with its drafts replaced by the artifacts they became, in the order of :func:`drafts`."""
    rest = iter(artifacts)
    replaced = _replace(value, rest)
    if next(rest, None) is not None:
        raise ValueError("more artifacts than drafts")
    return replaced


def _replace(value: Value, artifacts: Iterator[Artifact]) -> Value:
    match value:
        case Draft():
            artifact = next(artifacts, None)
            if artifact is None:
                raise ValueError("fewer artifacts than drafts")
            return Stored(artifact)
        case Items():
            return Items(value.type, tuple(_replace(item, artifacts) for item in value.items))
        case Fields():
            return Fields({key: _replace(item, artifacts) for key, item in value.fields.items()}, value.name)
        case _:
            return value


def xcom_view(value: Value) -> Any:
    """What readers that know nothing of stepbridge get: plain values, URIs, and lists and dicts of those."""
    match value:
        case Inline():
            return value.data if value.codec == plain.JSON else plain.view(value.data)
        case Stored():
            return value.artifact.uri
        case Outside():
            return value.uri
        case Items():
            members = [xcom_view(item) for item in value.items]
            return members if value.type == "list" else tuple(members)
        case Fields():
            return {key: xcom_view(item) for key, item in value.fields.items()}
        case Draft():
            raise TypeError("a draft is not published yet")
