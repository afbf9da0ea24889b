"""Artifacts into a store and out of it: payload first, manifest last; verified when they are read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from stepbridge import documents, hashing
from stepbridge.artifact import (
    MANIFEST,
    SCHEMA,
    Artifact,
    Draft,
    Manifest,
    Producer,
    StoredFile,
    check_relative,
    prefix,
    reference,
    target_of,
)
from stepbridge.failures import IntegrityProblem, ObjectExists, ObjectMissing, StoreProblem
from stepbridge.presence import lacks, missing
from stepbridge.store.base import Download, Store, Upload
from stepbridge.store.keys import check_key

__all__ = ["check_manifest", "fetch", "missing", "publish", "publish_all", "read_manifest"]
_HEX = re.compile(r"[0-9a-f]{64}")


def publish(
    store: Store,
    draft: Draft,
    *,
    producer: Producer | None = None,
    tags: Mapping[str, str] | None = None,
) -> Artifact:
    """Commit *draft*, or adopt the artifact that is already there.

    :param producer: the attempt that made it, recorded in the manifest.
    :param tags: for the manifest and, as far as the store keeps tags, for its objects.
    """
    return publish_all(store, (draft,), producer=producer, tags=tags)[0]


def publish_all(
    store: Store,
    drafts: Sequence[Draft],
    *,
    producer: Producer | None = None,
    tags: Mapping[str, str] | None = None,
) -> tuple[Artifact, ...]:
    """Commit many drafts: all payloads in one go, then the manifests, in the order given."""
    wanted = {draft.digest: draft for draft in drafts}
    done: dict[str, Manifest] = {}
    dead: set[str] = set()
    for digest in wanted:
        manifest, there = _standing(store, digest)
        if manifest is not None:
            done[digest] = manifest
        elif there:
            dead.add(digest)
    missing_ones = [draft for digest, draft in wanted.items() if digest not in done]
    store.upload([item for draft in missing_ones for item in _uploads(draft)], tags=tags)
    for draft in missing_ones:
        manifest = _manifest(draft, producer, tags)
        done[draft.digest] = _commit(store, manifest, tags, replace=draft.digest in dead)
    return tuple(reference(store.root, done[draft.digest]) for draft in drafts)


def read_manifest(store: Store, digest: str) -> Manifest:
    """The manifest of the artifact *digest*, checked.

    :raises ObjectMissing: SB302 where there is no such artifact.
    :raises StoreProblem: SB309 for a document that is not a manifest, SB310 for unsafe names.
    :raises IntegrityProblem: SB304 for the manifest of something else.
    """
    key = prefix(digest) + MANIFEST
    if not _HEX.fullmatch(digest):
        raise StoreProblem("SB301", f"{digest!r} is not an artifact's digest", place=store.root)
    place = store.uri(key)
    manifest = documents.load(Manifest, store.get(key), place=place)
    check_manifest(manifest, place=place)
    if manifest.digest != digest:
        raise IntegrityProblem(
            "SB304", f"it is the manifest of artifact {manifest.digest}", place=place, hint=_AGAIN
        )
    return manifest


def check_manifest(manifest: Manifest, *, place: str) -> None:
    """Raise unless *manifest* is consistent and every name in it is safe to use."""
    if manifest.schema != SCHEMA:
        raise StoreProblem(
            "SB309",
            f"its schema is {manifest.schema}, this version reads {SCHEMA}",
            place=place,
            hint="install the version of stepbridge that wrote it",
        )
    named = ("stepbridge.artifact/1", manifest.type, manifest.format, manifest.name, manifest.content)
    if hashing.digest(named) != manifest.digest:
        raise IntegrityProblem(
            "SB304", "type, format, name or content do not belong to its digest", place=place, hint=_AGAIN
        )
    if manifest.name and len(check_relative(manifest.name, place=place).parts) != 1:
        raise StoreProblem("SB310", f"the name {manifest.name!r} is a path", place=place, hint=_DISTRUST)
    for file in manifest.files:
        check_relative(file.path, place=place)
        check_key(file.key, place=place)
        if file.key == MANIFEST:
            raise StoreProblem("SB310", "a payload has the manifest's own name", place=place, hint=_DISTRUST)
        if file.size < 0 or not _HEX.fullmatch(file.sha256):
            raise StoreProblem("SB309", f"size or digest of {file.path!r} is not valid", place=place)
    for directory in manifest.directories:
        check_relative(directory, place=place)
    _check_tree(manifest, place)


def _check_tree(manifest: Manifest, place: str) -> None:
    files = {file.path for file in manifest.files}
    for path in (manifest.name, *files, *manifest.directories):
        try:
            os.fsencode(path)
        except UnicodeEncodeError as error:
            raise StoreProblem(
                "SB309", f"{path!r} cannot be a file's name here: {error.reason}", place=place, hint=_DISTRUST
            ) from error
    if len(files) != len(manifest.files) or files & set(manifest.directories):
        raise StoreProblem("SB309", "two entries have the same path", place=place, hint=_DISTRUST)
    for path in (*files, *manifest.directories):
        parts = path.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in files:
                raise StoreProblem("SB309", f"{path!r} lies below a file", place=place, hint=_DISTRUST)


def fetch(store: Store, manifest: Manifest, directory: Path) -> Path:
    """Bring an artifact's payload here, verified; nothing is seen of it before all of it is right.

    :param directory: for a single file the folder to put it in; for a directory artifact the folder to
        become, which must be absent or empty.
    :returns: ``directory/<name>``, or *directory*.
    :raises IntegrityProblem: SB304, naming the object whose size or digest differ.
    :raises ObjectMissing: SB302, naming the object that is gone.
    """
    place = store.uri(prefix(manifest.digest) + MANIFEST)
    check_manifest(manifest, place=place)
    if manifest.name and len(manifest.files) == 1:
        target = directory / manifest.name
        store.download([_download(manifest, manifest.files[0], target)])
        return target
    return _fetch_tree(store, manifest, directory, place)


def _fetch_tree(store: Store, manifest: Manifest, directory: Path, place: str) -> Path:
    import secrets
    import shutil

    temporary = directory.parent / f".stepbridge-{secrets.token_hex(8)}"
    try:
        temporary.mkdir(parents=True)
        for name in manifest.directories:
            target_of(temporary, name, place=place).mkdir(parents=True, exist_ok=True)
        for name in {file.path.rpartition("/")[0] for file in manifest.files} - {""}:
            target_of(temporary, name, place=place).mkdir(parents=True, exist_ok=True)
        store.download(
            [
                _download(manifest, file, target_of(temporary, file.path, place=place))
                for file in manifest.files
            ]
        )
        temporary.rename(directory)
    except OSError as error:
        raise StoreProblem(
            "SB307",
            f"{directory} cannot be written: {error.strerror}",
            place=place,
            hint="give a target that is absent or an empty folder, on a disk with space",
        ) from error
    finally:
        if temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)
    return directory


def _standing(store: Store, digest: str) -> tuple[Manifest | None, bool]:
    """The committed manifest if all of its payload is there; else None, and whether a dead one is."""
    try:
        manifest = read_manifest(store, digest)
    except ObjectMissing:
        return None, False
    except StoreProblem as error:
        if error.code.id in {"SB304", "SB309", "SB310"}:
            return None, True
        raise
    lead = prefix(digest)
    found = {info.key.removeprefix(lead): info for info in store.list(lead)}
    wrong = lacks(store, lead, found, [(file.key, file.size) for file in manifest.files])
    return (None, True) if wrong else (manifest, True)


def _uploads(draft: Draft) -> list[Upload]:
    lead = prefix(draft.digest)
    return [
        Upload(Path(file.source), lead + stored.key, file.size)
        for file, stored in zip(draft.files, draft.keys(), strict=True)
    ]


def _manifest(draft: Draft, producer: Producer | None, tags: Mapping[str, str] | None) -> Manifest:
    return Manifest(
        digest=draft.digest,
        content=draft.content,
        type=draft.type,
        format=draft.format,
        name=draft.name,
        files=draft.keys(),
        directories=draft.directories,
        summary=draft.summary,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        producer=producer,
        tags=dict(tags or {}),
    )


def _commit(store: Store, manifest: Manifest, tags: Mapping[str, str] | None, *, replace: bool) -> Manifest:
    key = prefix(manifest.digest) + MANIFEST
    data = documents.dump(manifest)
    try:
        store.put(key, data, create=not replace, tags=tags)
    except ObjectExists:
        winner, _ = _standing(store, manifest.digest)
        if winner is not None:
            return winner
        store.put(key, data, tags=tags)
    return manifest


def _download(manifest: Manifest, file: StoredFile, target: Path) -> Download:
    return Download(prefix(manifest.digest) + file.key, target, file.size, file.sha256)


_AGAIN = "the object was changed or swapped after it was written: run the step that makes it again"
_DISTRUST = "the manifest was not written by stepbridge; do not trust this artifact"
