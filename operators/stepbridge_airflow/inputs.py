"""From the objects that Airflow hands over to values that a request can hold.

A URI of an artifact becomes a reference to it, by the digest in it and without asking the store; a
URI or path from elsewhere, where a file or table is declared, becomes what its store says of its content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stepbridge import values
from stepbridge.annotations import Anything, OneOf, Payload, Scalar, Shape, shape_of
from stepbridge.artifact import Artifact, parse_uri
from stepbridge.contract import Fields, Inline, Items, Outside, Stored, StoreSettings, Value

_PATHS = frozenset({"file", "directory", "path"})
"""Codecs that take a local path as it is, and store what lies there."""


@dataclass(frozen=True)
class Encoder:
    """Makes values of one attempt's inputs.

    :param staging: a directory of this attempt.
    :param store: how stores of outside URIs are reached.
    """

    staging: Path
    store: StoreSettings
    inline_limit: int

    def encode(self, value: object, annotation: object, *, place: str) -> Value:
        """*value* as its annotation, or ``values.UNANNOTATED``, has it.

        :raises StepbridgeError: SB101 to SB109 where the value cannot be stored or does not fit.
        """
        if isinstance(value, str):
            known = _stored_document(value, shape_of(annotation))
            if known is not None:
                return known
        return values.encode(
            value,
            annotation,
            self.staging,
            place=place,
            inline_limit=self.inline_limit,
            refer=self._refer,
            keep_paths=True,
        )

    def plain(self, value: object, *, place: str) -> Value:
        """*value* as what it is: a URI stays a text."""
        return values.encode(
            value,
            values.UNANNOTATED,
            self.staging,
            place=place,
            inline_limit=self.inline_limit,
            keep_paths=True,
        )

    def _refer(self, text: str, annotation: Any) -> Stored | Outside | None:
        found = reference(text)
        if found is not None:
            return found
        shape = shape_of(annotation)
        if not isinstance(shape, Payload):
            return None
        if shape.codec.name in _PATHS and not text.startswith(("s3://", "file://")):
            return None
        from stepbridge import outside

        return outside.identify(text, self.store)


def content_of_paths(value: Value, *, place: str) -> dict[str, str]:
    """What lies at each local path that *value* hands over as a path: for the cache key, not for the step.

    :returns: by path the sha256 of the file or of the directory's tree, or ``absent``.
    """
    from stepbridge.codecs.trees import sha256_of, tree_of

    found = {}
    for path in _kept_paths(value.data) if isinstance(value, Inline) and value.codec == "python" else ():
        if path.is_dir():
            found[str(path)] = tree_of(path, place=place).digest
        else:
            found[str(path)] = sha256_of(path) if path.is_file() else "absent"
    return found


def _kept_paths(tree: Any) -> Iterator[Path]:
    if isinstance(tree, list):
        for item in tree:
            yield from _kept_paths(item)
    elif isinstance(tree, dict):
        if tree.get("$") == "path":
            yield Path(tree["v"])
        else:
            yield from _kept_paths(list(tree.values()))


def reference(text: str) -> Stored | None:
    """The artifact that *text* is the URI of, known by its digest alone, or None."""
    found = parse_uri(text) if "/artifacts/" in text else None
    if found is None:
        return None
    return Stored(Artifact(uri=text, digest=found[1], content="", type="", format="", size=-1))


def _stored_document(text: str, shape: Shape) -> Stored | None:
    """A reference where neither text nor a file is declared: a large plain value that was stored."""
    if isinstance(shape, Anything | Payload) or takes_text(shape) or _holds_payload(shape):
        return None
    return reference(text)


def takes_text(shape: Shape) -> bool:
    """Whether a text may stand there as itself."""
    if isinstance(shape, OneOf):
        return any(takes_text(member) for member in shape.members)
    return isinstance(shape, Scalar) and shape.cls is str


def _holds_payload(shape: Shape) -> bool:
    return isinstance(shape, OneOf) and any(isinstance(one, Payload | Anything) for one in shape.members)


def complete(value: Value, read: Callable[[Artifact], Artifact]) -> Value:
    """*value* with every reference that was made from a URI alone replaced by what its manifest says."""
    match value:
        case Stored():
            return Stored(read(value.artifact)) if value.artifact.size < 0 else value
        case Items():
            return replace(value, items=tuple(complete(item, read) for item in value.items))
        case Fields():
            return replace(value, fields={name: complete(item, read) for name, item in value.fields.items()})
        case _:
            return value
