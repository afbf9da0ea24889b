"""Encodes a value and decodes it again as a store would: drafts become references, payloads stay on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepbridge import documents, values
from stepbridge.artifact import Artifact, Draft, Manifest, reference, target_of
from stepbridge.codecs.decoding import Located
from stepbridge.contract import Outside, Stored, Value


@dataclass(frozen=True)
class Trip:
    """What came of one round trip."""

    value: Any
    document: Value
    drafts: tuple[Draft, ...]

    @property
    def seen(self) -> Any:
        return values.xcom_view(self.document)


def fetched(draft: Draft, directory: Path) -> Path:
    """The payload of *draft*, laid out below *directory* as a fetch would."""
    for file in draft.files:
        target = target_of(directory, file.path, place="test")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(file.source).read_bytes())
    for name in draft.directories:
        target_of(directory, name, place="test").mkdir(parents=True, exist_ok=True)
    return directory / draft.name if draft.name else directory


def trip(
    value: object,
    annotation: Any,
    tmp: Path,
    *,
    reader: Any = ...,
    limit: int = 1 << 20,
) -> Trip:
    """Encode *value* for *annotation*, pass it through JSON, decode it for *reader* (the same by default)."""
    staging = tmp / f"staging{len(list(tmp.iterdir()))}"
    staging.mkdir()
    encoded = values.encode(value, annotation, staging, place="out", inline_limit=limit)
    made = values.drafts(encoded)
    known: dict[str, tuple[Manifest, Draft]] = {}
    artifacts: list[Artifact] = []
    for draft in made:
        manifest = Manifest(
            draft.digest,
            draft.content,
            draft.type,
            draft.format,
            draft.name,
            draft.keys(),
            draft.directories,
            draft.summary,
        )
        json.dumps(documents.to_json(manifest), allow_nan=False)
        artifacts.append(reference("s3://bucket/root", manifest))
        known[draft.digest] = (manifest, draft)
    document = values.with_artifacts(encoded, artifacts)
    again = documents.load(_Holder, documents.dump(_Holder({"v": document})), place="test").values["v"]

    def locate(ref: Stored | Outside) -> Located:
        assert isinstance(ref, Stored)
        manifest, draft = known[ref.artifact.digest]
        target = tmp / f"fetched{len(list(tmp.iterdir()))}"
        target.mkdir()
        return Located(manifest, fetched(draft, target))

    back = values.decode(again, annotation if reader is ... else reader, locate, place="in")
    return Trip(back, document, made)


@dataclass(frozen=True)
class _Holder:
    values: Mapping[str, Value]
