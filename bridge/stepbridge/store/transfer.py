"""Files to and from a bucket: many small ones side by side, large ones in parts, memory bounded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stepbridge.failures import IntegrityProblem
from stepbridge.store.base import Download, Upload
from stepbridge.store.landing import Landing, source_changed, source_unreadable
from stepbridge.store.parallel import for_each

if TYPE_CHECKING:
    from stepbridge.store.s3 import S3Store

PART = 8 * 1024 * 1024
"""Files up to this size travel in one request; larger ones in parts of at least this size."""
DOWN_PART = 4 * 1024 * 1024
"""What one request of a large download asks for: small, to be in the processor's cache when it is hashed."""
MOST_PARTS = 9_000
BUDGET = 64 * 1024 * 1024
"""Bytes of file content in flight at a time."""
SMALL_WORKERS = 16
PART_WORKERS = 6
_READ = 1024 * 1024
_Tags = Mapping[str, str] | None


class _Budget:
    """A sum of bytes that threads share."""

    def __init__(self, total: int) -> None:
        self._left = total
        self._change = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        with self._change:
            self._change.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._change:
                self._left += size
                self._change.notify_all()


def part_size(size: int) -> int:
    """How large the parts of a file of *size* bytes are: few enough for S3's limit, whole MiB."""
    mib = 1024 * 1024
    return max(PART, -(-size // MOST_PARTS // mib) * mib)


def upload(store: S3Store, files: Iterable[Upload], tags: _Tags) -> None:
    """Write *files*; see ``Store.upload``."""
    large: deque[Upload] = deque()
    budget = _Budget(BUDGET)

    def small(file: Upload) -> None:
        if file.size > PART:
            large.append(file)
            return
        with budget.hold(file.size):
            data = _read(store, file)
            store.attempt(lambda: store.write(file.key, data, "overwrite", tags), "write", file.key)

    for_each(files, small, SMALL_WORKERS)
    for file in large:
        _upload_parts(store, file, tags)


def download(store: S3Store, files: Iterable[Download]) -> None:
    """Read *files*; see ``Store.download``."""
    large: deque[Download] = deque()
    budget = _Budget(BUDGET)

    def small(file: Download) -> None:
        if file.size > PART:
            large.append(file)
            return
        with budget.hold(file.size):
            _twice(lambda: _download_whole(store, file))

    for_each(files, small, SMALL_WORKERS)
    if large:
        with ThreadPoolExecutor(PART_WORKERS, thread_name_prefix="stepbridge-parts") as pool:
            for file in large:
                _twice(lambda file=file: _download_parts(store, file, pool))


def _read(store: S3Store, file: Upload) -> bytes:
    try:
        with open(file.source, "rb", buffering=0) as source:
            data = source.read(file.size + 1) if file.size else source.read(1)
            while len(data) < file.size and (more := source.read(file.size - len(data))):
                data += more
    except OSError as error:
        raise source_unreadable(store.uri(file.key), file.source, error) from error
    if len(data) != file.size:
        raise source_changed(store.uri(file.key), file.source, file.size, file.source.stat().st_size)
    return data


class _Parts:
    """The source of a multipart upload, begun anew by each iteration.

    An error inside ends the upload before the server makes an object of it. The client wraps it, so it is
    kept here to be raised as it is.
    """

    def __init__(self, store: S3Store, file: Upload) -> None:
        self._store = store
        self._file = file
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._read()
        except Exception as error:
            self.error = error
            raise

    def _read(self) -> Iterator[bytes]:
        found = 0
        uri = self._store.uri(self._file.key)
        try:
            with open(self._file.source, "rb", buffering=0) as source:
                while data := source.read(_READ):
                    found += len(data)
                    if found > self._file.size:
                        break
                    yield data
        except OSError as error:
            raise source_unreadable(uri, self._file.source, error) from error
        if found != self._file.size:
            raise source_changed(uri, self._file.source, self._file.size, self._file.source.stat().st_size)


def _upload_parts(store: S3Store, file: Upload, tags: _Tags) -> None:
    import obstore

    size = part_size(file.size)
    path = store.path(file.key)

    def send() -> None:
        parts = _Parts(store, file)
        try:
            obstore.put(
                store.bulk_client,
                path,
                parts,
                use_multipart=True,
                chunk_size=size,
                max_concurrency=max(1, min(PART_WORKERS - 2, BUDGET // (2 * size))),
                tags=store.tags(tags),
            )
        except BaseException:
            if parts.error is not None:
                raise parts.error from None
            raise

    store.attempt(send, "write", file.key)


def _twice(read: Any) -> None:
    """Read once more where the bytes were wrong: what was damaged on its way is right the second time."""
    try:
        read()
    except IntegrityProblem:
        read()


def _download_whole(store: S3Store, file: Download) -> None:
    with Landing(file, store.uri(file.key)) as landing:
        landing.write(memoryview(_fetch(store, file, None)))
        landing.finish()


def _fetch(store: S3Store, file: Download, span: tuple[int, int] | None) -> Any:
    """The bytes of the object, or of *span* of it, as a buffer."""
    import obstore
    import obstore.exceptions

    path = store.path(file.key)
    options: dict[str, Any] = {}
    if span:
        options["range"] = span
    if file.version:
        options["version"] = file.version
    elif file.etag:
        options["if_match"] = file.etag

    def ask() -> Any:
        try:
            return obstore.get(store.client, path, options=options)
        except obstore.exceptions.PreconditionError:
            options["if_match"] = file.etag.strip('"')  # some servers compare without the quotes
            return obstore.get(store.client, path, options=options)

    def read() -> Any:
        answer = ask()
        if answer.meta["size"] != file.size:
            raise IntegrityProblem(
                "SB304",
                f"it has {answer.meta['size']} bytes, recorded are {file.size}",
                place=store.uri(file.key),
                hint="the object was changed or cut after it was written: run the step that makes it again",
            )
        data = answer.bytes()
        wanted = span[1] - span[0] if span else file.size
        if len(data) != wanted:
            raise IntegrityProblem(
                "SB304",
                f"the server's answer held {len(data)} bytes of {wanted}",
                place=store.uri(file.key),
                hint="run the task again; the server or what lies between cuts its answers",
            )
        return data

    return store.attempt(read, "read", file.key)


def _download_parts(store: S3Store, file: Download, pool: ThreadPoolExecutor) -> None:
    """Parts are fetched and written side by side and hashed in their order as they come."""
    spans = ((at, min(at + DOWN_PART, file.size)) for at in range(0, file.size, DOWN_PART))
    with Landing(file, store.uri(file.key)) as landing:

        def fetch(span: tuple[int, int]) -> memoryview:
            data = memoryview(_fetch(store, file, span))
            landing.write_at(span[0], data)
            return data

        coming: deque[Future[memoryview]] = deque()
        try:
            for span in spans:
                coming.append(pool.submit(fetch, span))
                if len(coming) >= PART_WORKERS:
                    landing.hash.update(coming.popleft().result())
            while coming:
                landing.hash.update(coming.popleft().result())
        finally:
            for future in coming:
                future.cancel()
            wait(coming)
        landing.finish()
