"""Values too large for a document: JSON, the tagged tree of other plain values, and bytes, each one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stepbridge import hashing
from stepbridge.artifact import Draft, DraftFile, Manifest
from stepbridge.codecs import plain
from stepbridge.failures import IntegrityProblem


def _write(data: bytes, kind: str, name: str, staging: Path) -> Draft:
    path = staging / name
    path.write_bytes(data)
    digest = hashing.digest_bytes(data)
    return Draft(
        content=digest,
        type=kind,
        format=kind,
        name=name,
        files=(DraftFile(name, str(path), len(data), digest),),
    )


def _parse(path: Path, place: str) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise IntegrityProblem("SB304", f"not JSON: {error}", place=place or str(path)) from error


class _Document:
    """What the three share: nothing is theirs by type, because such values are inline unless large."""

    name: str

    def handles_type(self, annotation: object) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def handles_value(self, value: object) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def type_name(self, annotation: object) -> str:  # noqa: ARG002
        """The format's own name."""
        return self.name


class JsonCodec(_Document):
    """Strict JSON in ``data.json``."""

    name = "json"

    def save(self, value: object, annotation: object, staging: Path, *, place: str) -> Draft:  # noqa: ARG002
        """Write a JSON value."""
        return _write(plain.dumps(value), self.name, "data.json", staging)

    def load(self, manifest: Manifest | None, path: Path, annotation: object, *, place: str) -> object:  # noqa: ARG002
        """The JSON value."""
        return _parse(path, place)


class TreeCodec(_Document):
    """The tagged tree of plain values in ``data.json``."""

    name = "python"

    def save(self, value: object, annotation: object, staging: Path, *, place: str) -> Draft:  # noqa: ARG002
        """Write a plain value."""
        return _write(plain.dumps(plain.to_tree(value, place)), self.name, "data.json", staging)

    def load(self, manifest: Manifest | None, path: Path, annotation: object, *, place: str) -> object:  # noqa: ARG002
        """The plain value."""
        return plain.from_tree(_parse(path, place), place)


class BytesCodec(_Document):
    """Bytes in ``data.bin``."""

    name = "bytes"

    def save(self, value: object, annotation: object, staging: Path, *, place: str) -> Draft:  # noqa: ARG002
        """Write bytes."""
        if not isinstance(value, bytes):
            raise TypeError(f"expected bytes, not {type(value).__name__}")
        return _write(value, self.name, "data.bin", staging)

    def load(self, manifest: Manifest | None, path: Path, annotation: object, *, place: str) -> object:  # noqa: ARG002
        """The bytes."""
        return path.read_bytes()
