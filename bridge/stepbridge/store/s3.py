"""A store in a bucket: look-ups and small objects; ``transfer`` carries the files."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from stepbridge.failures import ObjectExists, ObjectMissing, StoreProblem
from stepbridge.store.connect import RUNTIME, Patience, connect, endpoint_of
from stepbridge.store.keys import check_foreign, check_key
from stepbridge.store.records import ObjectInfo, StoreSettings

if TYPE_CHECKING:
    from stepbridge.store.base import Download, Upload
    from stepbridge.store.trouble import Trouble, Verb

T = TypeVar("T")
_UNSAFE_TAG = r"[^A-Za-z0-9 +=._:/@-]"
MOST_TAGS = 10
TRIES = 4
"""How often a whole operation is begun, on top of the client's own retries of a request."""


class S3Store:
    """Objects below ``s3://bucket/prefix``.

    :param patience: how long requests are retried.
    :param foreign: the objects were named by others: any name that the client can ask for is a key.
    """

    def __init__(
        self,
        settings: StoreSettings,
        bucket: str,
        prefix: str,
        patience: Patience | None = None,
        *,
        foreign: bool = False,
    ) -> None:
        self._check = check_foreign if foreign else check_key
        self.settings = settings
        self.patience = patience or Patience()
        self._lead = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        if self._lead:
            check_key(self._lead.rstrip("/"), place=settings.root)
        self._client = connect(settings, bucket, self.patience)
        self._bucket = bucket
        self.endpoint = endpoint_of(settings) or "AWS S3"

    @property
    def client(self) -> Any:
        """The client that signs all it sends."""
        RUNTIME.enter(self.root)
        return self._client

    @functools.cached_property
    def bulk_client(self) -> Any:
        """The client for the parts of large files.

        It leaves their bytes out of the signature: the manifest, which is signed, holds their digest, and
        every read compares it. Over plain HTTP this more than doubles the rate.
        """
        return connect(self.settings, self._bucket, self.patience, unsigned=True)

    @property
    def root(self) -> str:
        """The root URI, without a closing slash."""
        return self.settings.root.rstrip("/")

    def uri(self, key: str) -> str:
        """The full URI of *key*."""
        return f"{self.root}/{key}"

    def path(self, key: str) -> str:
        """The object's name in the bucket."""
        return self._lead + self._check(key, place=self.root)

    def get(self, key: str) -> bytes:
        """The object's bytes."""
        import obstore

        path = self.path(key)

        def read() -> bytes:
            return bytes(obstore.get(self.client, path).bytes())

        return self.attempt(read, "read", key)

    def read(self, key: str) -> tuple[bytes, ObjectInfo]:
        """The object's bytes and what the server says of them."""
        import obstore

        path = self.path(key)

        def read() -> tuple[bytes, ObjectInfo]:
            found = obstore.get(self.client, path)
            return bytes(found.bytes()), self._info(found.meta)

        return self.attempt(read, "read", key)

    def replace(self, key: str, data: bytes, *, etag: str) -> None:
        """Write a small object only over the one that the server names *etag*."""
        self._settle(key, data, lambda: self.write(key, data, {"e_tag": etag}, None), etag)

    def put(
        self, key: str, data: bytes, *, create: bool = False, tags: Mapping[str, str] | None = None
    ) -> None:
        """Write a small object in one request."""
        if create:
            self._create(key, data, tags)
        else:
            self.attempt(lambda: self.write(key, data, "overwrite", tags), "write", key)

    def write(
        self,
        key: str,
        data: bytes | memoryview,
        mode: str | dict[str, str],
        tags: Mapping[str, str] | None,
    ) -> None:
        """One PUT, as obstore does it.

        :param mode: ``overwrite``, ``create``, or the ``e_tag`` of the object to be replaced.
        """
        import obstore

        obstore.put(self.client, self.path(key), data, mode=mode, use_multipart=False, tags=self.tags(tags))

    def head(self, key: str) -> ObjectInfo | None:
        """What the server says of the object, or None."""
        import obstore

        path = self.path(key)

        def ask() -> ObjectInfo | None:
            try:
                return self._info(obstore.head(self.client, path))
            except FileNotFoundError:
                return None

        return self.attempt(ask, "read", key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key begins with *prefix*, sorted by key."""
        import obstore

        if prefix:
            self._check(prefix.rstrip("/"), place=self.root)
        folder = (self._lead + prefix).rpartition("/")[0]
        seen = ""
        for number in range(TRIES):
            try:
                for chunk in obstore.list(self.client, folder, offset=self._lead + seen if seen else None):
                    for meta in chunk:
                        info = self._info(meta)
                        if info.key.startswith(prefix):
                            seen = info.key
                            yield info
                return
            except client_errors() as error:
                trouble = _told(error)
                if not trouble.passing or trouble.exhausted or number == TRIES - 1:
                    raise trouble.problem("read", self.uri(prefix), self.endpoint) from error
                self.wait(number)

    def delete(self, key: str) -> None:
        """Remove the object; no error where there is none."""
        import obstore

        path = self.path(key)
        try:
            self.attempt(lambda: obstore.delete(self.client, path), "write", key)
        except StoreProblem as error:
            if error.code.id != "SB302":
                raise

    def upload(self, files: Iterable[Upload], *, tags: Mapping[str, str] | None = None) -> None:
        """Write many files, in parallel, with bounded memory."""
        from stepbridge.store.transfer import upload

        upload(self, files, tags)

    def download(self, files: Iterable[Download]) -> None:
        """Read many objects into files, in parallel, with bounded memory, each verified, each atomic."""
        from stepbridge.store.transfer import download

        download(self, files)

    def attempt(self, call: Callable[[], T], verb: Verb, key: str) -> T:
        """*call*, begun anew where the failure may pass, its errors told as ours.

        The client retries what it can tell to be safe; this adds what only the caller can: an answer that was
        cut, a write whose answer was lost, an upload that the server forgot.
        """
        for number in range(TRIES):
            try:
                return call()
            except client_errors() as error:
                trouble = _told(error)
                if not trouble.passing or trouble.exhausted or number == TRIES - 1:
                    raise trouble.problem(verb, self.uri(key), self.endpoint) from error
            self.wait(number)
        raise AssertionError("unreachable")

    def wait(self, number: int) -> None:
        """Sleep before try *number* + 2, longer each time, jittered."""
        import random

        time.sleep(self.patience.first * 2**number * random.uniform(0.5, 1.5))

    @staticmethod
    def tags(tags: Mapping[str, str] | None) -> dict[str, str] | None:
        """*tags* within S3's limits: ten, names to 128 and values to 256 characters of its alphabet."""
        if not tags:
            return None
        pairs = [
            (re.sub(_UNSAFE_TAG, "_", key), re.sub(_UNSAFE_TAG, "_", item)) for key, item in tags.items()
        ]
        return {key[:128]: item[:256] for key, item in pairs[:MOST_TAGS]}

    def _create(self, key: str, data: bytes, tags: Mapping[str, str] | None) -> None:
        self._settle(key, data, lambda: self.write(key, data, "create", tags), "")

    def _settle(self, key: str, data: bytes, write: Callable[[], None], etag: str) -> None:
        """Carry out a conditional write; whether it won is read where the answer does not say.

        :param etag: of the object that is to be replaced; empty where none may be there.
        """
        for number in range(TRIES):
            try:
                write()
                return
            except client_errors() as error:
                trouble = _told(error)
                if not (trouble.exists or trouble.passing or (etag and trouble.missing)):
                    raise trouble.problem("write", self.uri(key), self.endpoint) from error
                failure = trouble.problem("write", self.uri(key), self.endpoint)
            found = self._peek(key)
            if found is None and etag:
                raise ObjectMissing("SB302", "there is no object to replace", place=self.uri(key))
            if found is not None and found[0] == data:
                return
            if found is not None and found[1].etag != etag:
                raise ObjectExists("SB303", "another object is there", place=self.uri(key))
            if trouble.exhausted:
                break
            self.wait(number)
        raise failure

    def _peek(self, key: str) -> tuple[bytes, ObjectInfo] | None:
        try:
            return self.read(key)
        except StoreProblem as error:
            if error.code.id == "SB302":
                return None
            raise

    def _info(self, meta: Any) -> ObjectInfo:
        modified = meta.get("last_modified")
        version = meta.get("version") or ""
        return ObjectInfo(
            key=meta["path"].removeprefix(self._lead),
            size=meta["size"],
            etag=meta.get("e_tag") or "",
            version="" if version == "null" else version,
            modified=modified.timestamp() if modified else None,
        )


def _told(error: Exception) -> Trouble:
    from stepbridge.store.trouble import Trouble

    return Trouble(error)


def client_errors() -> tuple[type[Exception], ...]:
    """What obstore raises when a request fails."""
    from obstore.exceptions import BaseError

    return (BaseError, FileNotFoundError, PermissionError)
