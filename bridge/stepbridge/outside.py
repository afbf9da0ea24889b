"""Objects that are not artifacts of ours: identified by their content, and brought only if unchanged."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from stepbridge import hashing
from stepbridge.artifact import target_of
from stepbridge.contract import Outside, StoreSettings
from stepbridge.failures import IntegrityProblem, ObjectMissing, StoreProblem
from stepbridge.store.base import Download, ObjectInfo
from stepbridge.store.landing import Landing

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_CHUNK = 1024 * 1024


def identify(uri_or_path: str, base: StoreSettings | None = None) -> Outside:
    """What lies at a path, ``file://`` or ``s3://`` URI, by its content: never by its name alone.

    A local file is identified by its sha256; an object by its version id, or else by ETag and size; a folder
    (a local directory, or a URI with a closing slash) by its members.

    :param base: the settings whose endpoint and region hold for ``s3://`` URIs; None: the environment's.
    :raises StoreProblem: SB301 for any other scheme.
    :raises ObjectMissing: SB302 where nothing is there.
    """
    if uri_or_path.startswith("s3://"):
        return _Bucket(uri_or_path, base).identify()
    path = _local(uri_or_path)
    if path.is_dir():
        members = [(name, str(size), digest) for name, size, digest in _tree(path)]
        total = sum(int(size) for _, size, _ in members)
        return Outside(_file_uri(path) + "/", total, {"sha256": hashing.digest(members)})
    size, digest = _hash_file(path)
    return Outside(_file_uri(path), size, {"sha256": digest})


def bring(outside: Outside, directory: Path, base: StoreSettings | None = None) -> Path:
    """Copy *outside* below *directory*, exactly as it was identified.

    :returns: the file, or the folder that holds the members.
    :raises IntegrityProblem: SB304 where it has changed since.
    """
    name = outside.uri.rstrip("/").rpartition("/")[2] or "outside"
    target = target_of(directory, name, place=outside.uri)
    if outside.uri.startswith("s3://"):
        return _Bucket(outside.uri, base).bring(outside, target)
    path = _local(outside.uri)
    if not outside.uri.endswith("/"):
        wanted = Download("", target, outside.size, outside.identity.get("sha256", ""))
        _copy(path, wanted, outside.uri)
        return target
    if identify(outside.uri).identity != outside.identity:
        raise _changed(outside)
    target.mkdir(parents=True, exist_ok=True)
    for member, size, digest in _tree(path):
        place = target_of(target, member, place=outside.uri)
        place.parent.mkdir(parents=True, exist_ok=True)
        _copy(path / member, Download("", place, size, digest), f"{outside.uri}{member}")
    return target


def _changed(outside: Outside) -> IntegrityProblem:
    return IntegrityProblem(
        "SB304",
        "it is not what it was when the step was given it",
        place=outside.uri,
        hint="do not write to an input while its step runs, then run the step again",
    )


def _local(uri_or_path: str) -> Path:
    if uri_or_path.startswith("file://"):
        path = Path(uri_or_path.removeprefix("file://").removeprefix("localhost"))
    elif _SCHEME.match(uri_or_path):
        raise StoreProblem(
            "SB301",
            f"the scheme {uri_or_path.partition('://')[0]}:// cannot be read",
            place=uri_or_path,
            hint="pass s3://bucket/key, file:///path or a path; fetch anything else in the step itself",
        )
    else:
        path = Path(uri_or_path).absolute()
    if not path.exists():
        raise ObjectMissing(
            "SB302",
            "there is no such file or folder",
            place=uri_or_path,
            hint="the path is looked up where the task runs: use the store for what other machines made",
        )
    return path


def _file_uri(path: Path) -> str:
    return f"file://{path}"


def _hash_file(path: Path) -> tuple[int, str]:
    try:
        with open(path, "rb", buffering=0) as file:
            return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> StoreProblem:
    return StoreProblem(
        "SB305",
        f"it cannot be read: {error.strerror}",
        place=_file_uri(path),
        hint="give the task's user permission to read it",
    )


def _tree(path: Path) -> Iterator[tuple[str, int, str]]:
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            file = Path(folder, name)
            size, digest = _hash_file(file)
            yield str(file.relative_to(path)), size, digest


def _copy(source: Path, wanted: Download, uri: str) -> None:
    with Landing(wanted, uri) as landing:
        try:
            with open(source, "rb", buffering=0) as file:
                while data := file.read(_CHUNK):
                    landing.write(data)
        except OSError as error:
            raise _unreadable(source, error) from error
        landing.finish()


class _Bucket:
    """One ``s3://`` URI and the store that reads it."""

    def __init__(self, uri: str, base: StoreSettings | None) -> None:
        from stepbridge.store.opening import settings_for
        from stepbridge.store.s3 import S3Store

        self._uri = uri
        bucket, _, self._key = uri.removeprefix("s3://").partition("/")
        if not self._key:
            raise StoreProblem(
                "SB301", "it names a bucket, not an object", place=uri, hint="write s3://bucket/key"
            )
        self._store = S3Store(settings_for(uri, base), bucket, "", foreign=True)

    def identify(self) -> Outside:
        if self._key.endswith("/"):
            members = self._members()
            identity = {"members": hashing.digest([(m.key, m.size, m.etag) for m in members])}
            return Outside(self._uri, sum(m.size for m in members), identity)
        info = self._store.head(self._key)
        if info is None:
            raise ObjectMissing(
                "SB302",
                "there is no such object",
                place=self._uri,
                hint="check the name; a folder is written with a closing slash",
            )
        return Outside(self._uri, info.size, _identity(info))

    def bring(self, outside: Outside, target: Path) -> Path:
        if not self._key.endswith("/"):
            self._store.download([_wanted(self._key, target, outside.size, outside.identity)])
            return target
        if self.identify() != outside:
            raise _changed(outside)
        wanted = []
        for info in self._members():
            place = target_of(target, info.key.removeprefix(self._key), place=self._store.uri(info.key))
            place.parent.mkdir(parents=True, exist_ok=True)
            wanted.append(_wanted(info.key, place, info.size, {"etag": info.etag}))
        self._store.download(wanted)
        return target

    def _members(self) -> list[ObjectInfo]:
        members = [info for info in self._store.list(self._key) if not info.key.endswith("/")]
        if not members:
            raise ObjectMissing("SB302", "there is no object below it", place=self._uri)
        return members


def _identity(info: ObjectInfo) -> dict[str, str]:
    if info.version:
        return {"version": info.version}
    return {"etag": info.etag, "size": str(info.size)}


def _wanted(key: str, target: Path, size: int, identity: Mapping[str, str]) -> Download:
    return Download(key, target, size, etag=identity.get("etag", ""), version=identity.get("version", ""))
