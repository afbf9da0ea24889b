"""Values on their way: encoded for a document or the store, decoded for a function, shown to old readers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepbridge.annotations import UNANNOTATED
from stepbridge.artifact import Draft
from stepbridge.codecs import plain
from stepbridge.codecs.decoding import Decoder, Locate, Located
from stepbridge.contract import Fields, Inline, Items, Outside, Stored, Value
from stepbridge.leaves import drafts, stored, with_artifacts

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
