"""A store in a folder: each object a file, each write a rename or a link, so never seen half."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stepbridge.failures import ObjectExists, ObjectMissing, StoreProblem
from stepbridge.store.keys import check_key, check_prefix
from stepbridge.store.landing import Landing, source_changed, source_unreadable
from stepbridge.store.parallel import for_each
from stepbridge.store.records import ObjectInfo, StoreSettings

if TYPE_CHECKING:
    from stepbridge.store.base import Download, Upload

WORKERS = 4
_CHUNK = 1024 * 1024
_TEMPORARY = "~"
"""First character of temporary names; no key may hold it."""


class LocalStore:
    """Objects below a local directory, ``file:///dir``.

    The directory is made by the first write, if its parent exists. Keys are file names as they are.
    """

    def __init__(self, settings: StoreSettings, directory: Path) -> None:
        self.settings = settings
        self._directory = directory

    @property
    def root(self) -> str:
        """The root URI, without a closing slash."""
        return self.settings.root.rstrip("/")

    def uri(self, key: str) -> str:
        """The full URI of *key*."""
        return f"{self.root}/{key}"

    def get(self, key: str) -> bytes:
        """The object's bytes."""
        try:
            return self._path(key).read_bytes()
        except OSError as error:
            raise self._unreadable(key, error) from error

    def read(self, key: str) -> tuple[bytes, ObjectInfo]:
        """The object's bytes and what the file system says of that very file."""
        try:
            with self._path(key).open("rb", buffering=0) as file:
                return file.read(), _info(key, os.fstat(file.fileno()))
        except OSError as error:
            raise self._unreadable(key, error) from error

    def replace(self, key: str, data: bytes, *, etag: str) -> None:
        """Write a small object only over the one named *etag*; writers that replace take turns by a lock."""
        target = self._path(key)
        try:
            lock = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise self._unreadable(key, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found, info = self.read(key)
            if found == data:
                return
            if info.etag != etag:
                raise ObjectExists("SB303", "another object is there", place=self.uri(key))
            self._write(key, lambda temporary: _write_bytes(temporary, data))
        except OSError as error:
            raise self._unwritable(key, error) from error
        finally:
            os.close(lock)

    def put(
        self, key: str, data: bytes, *, create: bool = False, tags: Mapping[str, str] | None = None
    ) -> None:
        """Write a small object; a folder keeps no tags."""
        del tags
        self._write(key, lambda temporary: _write_bytes(temporary, data), create=create, same=data)

    def head(self, key: str) -> ObjectInfo | None:
        """Size and times of the file, or None."""
        try:
            found = self._path(key).stat()
            return _info(key, found) if stat.S_ISREG(found.st_mode) else None
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise self._unreadable(key, error) from error

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key begins with *prefix*, sorted by key."""
        check_prefix(prefix, place=self.root)
        lead = prefix.rpartition("/")[0]
        found = self._walk(self._directory / lead if lead else self._directory, f"{lead}/" if lead else "")
        matching = (info for info in found if info.key.startswith(prefix))
        return iter(sorted(matching, key=lambda info: info.key))

    def delete(self, key: str) -> None:
        """Remove the file; no error where there is none."""
        try:
            self._path(key).unlink()
        except OSError as error:
            if error.errno not in _ABSENT:
                raise self._unwritable(key, error) from error

    def upload(self, files: Iterable[Upload], *, tags: Mapping[str, str] | None = None) -> None:
        """Copy many files in."""
        del tags
        for_each(files, self._upload, WORKERS)

    def download(self, files: Iterable[Download]) -> None:
        """Copy many objects out, each verified while it is copied."""
        for_each(files, self._download, WORKERS)

    def _upload(self, file: Upload) -> None:
        def copy(temporary: Path) -> None:
            try:
                shutil.copyfile(file.source, temporary)
            except OSError as error:
                if str(error.filename) == str(file.source):
                    raise source_unreadable(self.uri(file.key), file.source, error) from error
                raise
            copied = temporary.stat().st_size
            if copied != file.size:
                raise source_changed(self.uri(file.key), file.source, file.size, copied)

        self._write(file.key, copy)

    def _download(self, file: Download) -> None:
        with Landing(file, self.uri(file.key)) as landing:
            try:
                with self._path(file.key).open("rb", buffering=0) as source:
                    while data := source.read(_CHUNK):
                        landing.write(data)
            except OSError as error:
                raise self._unreadable(file.key, error) from error
            landing.finish()

    def _path(self, key: str) -> Path:
        return self._directory / check_key(key, place=self.root)

    def _walk(self, directory: Path, lead: str) -> Iterator[ObjectInfo]:
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.name.startswith(_TEMPORARY):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        yield from self._walk(Path(entry.path), f"{lead}{entry.name}/")
                    else:
                        yield _info(lead + entry.name, entry.stat())
        except OSError as error:
            if error.errno not in _ABSENT:
                raise self._unreadable(lead, error) from error

    def _write(
        self, key: str, fill: Callable[[Path], None], *, create: bool = False, same: bytes = b""
    ) -> None:
        target = self._path(key)
        temporary = target.with_name(f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}")
        try:
            self._make_parent(target)
            fill(temporary)
            if create:
                self._link(key, temporary, target, same)
            else:
                temporary.replace(target)
        except OSError as error:
            raise self._unwritable(key, error) from error
        finally:
            _discard(temporary)

    def _make_parent(self, target: Path) -> None:
        if target.parent.is_dir():
            return
        if not self._directory.is_dir():
            if not self._directory.parent.is_dir():
                raise self._no_folder()
            self._directory.mkdir(exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)

    def _link(self, key: str, temporary: Path, target: Path, same: bytes) -> None:
        try:
            os.link(temporary, target)
        except FileExistsError:
            if self.get(key) != same:
                raise ObjectExists("SB303", "another object is there", place=self.uri(key)) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise StoreProblem(
                "SB308",
                f"its file system has no hard links ({error.strerror}): two writers could both win",
                place=self.root,
                hint="put the store on a local disk, NFS or S3",
            ) from error

    def _no_folder(self) -> StoreProblem:
        return StoreProblem(
            "SB306",
            f"neither {self._directory} nor the folder above it exists",
            place=self.root,
            hint="make the folder, or correct the store's root",
        )

    def _unreadable(self, key: str, error: OSError) -> StoreProblem:
        if error.errno in _ABSENT:
            if not self._directory.is_dir() and not self._directory.parent.is_dir():
                return self._no_folder()
            return ObjectMissing("SB302", "there is no such object", place=self.uri(key))
        return StoreProblem(
            "SB305",
            f"it cannot be read: {error.strerror}",
            place=self.uri(key),
            hint="check the owner and the permissions of the store's folder",
        )

    def _unwritable(self, key: str, error: OSError) -> StoreProblem:
        return StoreProblem(
            "SB307",
            f"it cannot be written: {error.strerror}",
            place=self.uri(key),
            hint="check owner, permissions and free space of the store's folder",
        )


_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def _write_bytes(path: Path, data: bytes) -> None:
    with open(path, "xb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) or 0 :]


def _discard(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        return


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=found.st_size,
        etag=f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}",
        modified=found.st_mtime,
    )
