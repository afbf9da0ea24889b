"""A small S3 server in one process and one thread, so fast that a client's own limits show.

Small objects are kept in memory. Of objects above 1 MiB only the size is kept: their bytes are read and
thrown away, and a GET of one serves the repeating block of ``pattern``. Signatures are not checked.

Run ``python benchmarks/memory_server.py``; the first line it prints is its URL.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import selectors
import socket
import sys
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

KEPT = 1024 * 1024
BLOCK = 8 * 1024 * 1024
_RANGE = re.compile(rb"bytes=(\d+)-(\d*)")
_SCRATCH = bytearray(4 * 1024 * 1024)


def pattern() -> bytes:
    """The block that every large object repeats."""
    return random.Random(20260101).randbytes(BLOCK)


@dataclass
class Stored:
    size: int
    data: bytes | None
    etag: str


@dataclass
class Connection:
    """One client: what has come, what is still to go."""

    socket: socket.socket
    head: bytearray = field(default_factory=bytearray)
    request: tuple[bytes, bytes, dict[bytes, bytes]] | None = None
    body: bytearray | None = None
    wanted: int = 0
    got: int = 0
    out: list[memoryview] = field(default_factory=list)
    writing: bool = False


class Server:
    def __init__(self) -> None:
        self.objects: dict[str, Stored] = {}
        self.uploads: dict[str, dict[int, int]] = {}
        self.selector = selectors.DefaultSelector()
        block = pattern()
        self.block = memoryview(block + block)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, None)

    def serve(self) -> None:
        while True:
            for key, events in self.selector.select():
                if key.data is None:
                    self.accept()
                    continue
                try:
                    if events & selectors.EVENT_WRITE:
                        self.flush(key.data)
                    if events & selectors.EVENT_READ:
                        self.receive(key.data)
                except (ConnectionError, ValueError):
                    self.close(key.data)

    def accept(self) -> None:
        client, _ = self.listener.accept()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(client, selectors.EVENT_READ, Connection(client))

    def close(self, connection: Connection) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(connection.socket)
        connection.socket.close()

    def receive(self, c: Connection) -> None:
        try:
            if c.request is not None and c.body is None:
                count = c.socket.recv_into(_SCRATCH, min(len(_SCRATCH), c.wanted - c.got))
                chunk = memoryview(_SCRATCH)[:0]
            elif c.request is not None and c.body is not None:
                count = c.socket.recv_into(memoryview(c.body)[c.got :])
                chunk = memoryview(_SCRATCH)[:0]
            else:
                count = c.socket.recv_into(_SCRATCH, 65536)
                chunk = memoryview(_SCRATCH)[:count]
        except BlockingIOError:
            return
        if count == 0:
            raise ConnectionResetError
        if c.request is None:
            c.head += chunk
            self.parse(c)
        else:
            c.got += count
        if c.request is not None and c.got >= c.wanted:
            self.answer(c)

    def parse(self, c: Connection) -> None:
        end = c.head.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = bytes(c.head[:end]).split(b"\r\n")
        rest = bytes(c.head[end + 4 :])
        c.head.clear()
        method, target, _ = lines[0].split(b" ", 2)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        c.request = (method, target, headers)
        c.wanted = int(headers.get(b"content-length", b"0"))
        c.got = len(rest)
        c.body = None
        if c.wanted <= KEPT:
            c.body = bytearray(c.wanted)
            c.body[: len(rest)] = rest
        if headers.get(b"expect", b"").lower() == b"100-continue":
            c.out.append(memoryview(b"HTTP/1.1 100 Continue\r\n\r\n"))
            self.flush(c)

    def answer(self, c: Connection) -> None:
        assert c.request is not None
        method, target, headers = c.request
        body, size = c.body, c.wanted
        c.request = c.body = None
        parts = urlsplit(target.decode())
        query = parse_qs(parts.query, keep_blank_values=True)
        data = None if body is None else self.decode(bytes(body), headers)
        if data is not None:
            size = len(data)
        elif b"x-amz-decoded-content-length" in headers:
            size = int(headers[b"x-amz-decoded-content-length"])
        handler = getattr(self, f"do_{method.decode().lower()}", None)
        if handler is None:
            self.reply(c, 501)
        else:
            handler(c, unquote(parts.path).lstrip("/"), query, headers, data, size)
        self.flush(c)

    @staticmethod
    def decode(body: bytes, headers: dict[bytes, bytes]) -> bytes:
        """Take boto3's chunk framing off."""
        if b"aws-chunked" not in headers.get(b"content-encoding", b""):
            return body
        out, at = [], 0
        while True:
            end = body.index(b"\r\n", at)
            size = int(body[at:end].split(b";")[0], 16)
            if size == 0:
                return b"".join(out)
            out.append(body[end + 2 : end + 2 + size])
            at = end + 2 + size + 2

    def reply(self, c: Connection, status: int, body: bytes = b"", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {headers.pop('length', len(body))}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        c.out.append(memoryview(("\r\n".join(lines) + "\r\n\r\n").encode() + body))

    def flush(self, c: Connection) -> None:
        try:
            while c.out:
                sent = c.socket.send(c.out[0])
                if sent == len(c.out[0]):
                    c.out.pop(0)
                else:
                    c.out[0] = c.out[0][sent:]
        except BlockingIOError:
            pass
        if bool(c.out) != c.writing:
            c.writing = bool(c.out)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if c.writing else 0)
            self.selector.modify(c.socket, events, c)

    def do_put(self, c, path, query, headers, data, size) -> None:  # type: ignore[no-untyped-def]
        if "uploadId" in query:
            self.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = size
            self.reply(c, 200, ETag='"part"')
            return
        if "/" not in path.strip("/"):
            self.reply(c, 200)
            return
        if b"if-none-match" in headers and path in self.objects:
            self.reply(c, 412, b"<Error><Code>PreconditionFailed</Code></Error>")
            return
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"' if data is not None else '"large"'
        self.objects[path] = Stored(size, data, etag)
        self.reply(c, 200, ETag=etag)

    def do_post(self, c, path, query, headers, data, size) -> None:  # type: ignore[no-untyped-def]
        if "uploads" in query:
            name = f"u{len(self.uploads)}"
            self.uploads[name] = {}
            text = (
                f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
            )
            self.reply(c, 200, text.encode(), Content_Type="application/xml")
        elif "uploadId" in query:
            parts = self.uploads.pop(query["uploadId"][0])
            self.objects[path] = Stored(sum(parts.values()), None, '"large"')
            text = "<CompleteMultipartUploadResult><ETag>large</ETag></CompleteMultipartUploadResult>"
            self.reply(c, 200, text.encode(), Content_Type="application/xml")
        else:
            self.reply(c, 501)

    def do_head(self, c, path, query, headers, data, size) -> None:  # type: ignore[no-untyped-def]
        found = self.objects.get(path)
        if found is None:
            self.reply(c, 404)
        else:
            self.reply(c, 200, **self.facts(found), length=str(found.size))

    def do_get(self, c, path, query, headers, data, size) -> None:  # type: ignore[no-untyped-def]
        if "list-type" in query:
            self.list(c, path, query)
            return
        found = self.objects.get(path)
        if found is None:
            self.reply(c, 404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        asked = _RANGE.match(headers.get(b"range", b""))
        first, last = 0, found.size - 1
        extra = {}
        if asked:
            first = int(asked[1])
            last = min(last, int(asked[2])) if asked[2] else last
            extra["Content_Range"] = f"bytes {first}-{last}/{found.size}"
        length = last - first + 1
        self.reply(c, 206 if asked else 200, **self.facts(found), **extra, length=str(length))
        if found.data is not None:
            c.out.append(memoryview(found.data)[first : last + 1])
            return
        while length > 0:
            start = first % BLOCK
            step = min(length, 2 * BLOCK - start)
            c.out.append(self.block[start : start + step])
            first, length = first + step, length - step

    def do_delete(self, c, path, query, headers, data, size) -> None:  # type: ignore[no-untyped-def]
        self.objects.pop(path, None)
        self.reply(c, 204)

    def list(self, c, path, query) -> None:  # type: ignore[no-untyped-def]
        lead = path.strip("/") + "/"
        prefix = lead + query.get("prefix", [""])[0]
        after = lead + (query.get("continuation-token") or query.get("start-after") or [""])[0]
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        page = keys[:1000]
        text = "".join(
            f"<Contents><Key>{escape(key[len(lead) :])}</Key><Size>{self.objects[key].size}</Size>"
            f"<ETag>{escape(self.objects[key].etag)}</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in page
        )
        more = "true" if len(keys) > len(page) else "false"
        token = (
            f"<NextContinuationToken>{escape(page[-1][len(lead) :])}</NextContinuationToken>" if page else ""
        )
        body = f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{token}{text}</ListBucketResult>"
        self.reply(c, 200, body.encode(), Content_Type="application/xml")

    @staticmethod
    def facts(found: Stored) -> dict[str, str]:
        return {
            "ETag": found.etag,
            "Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            "Content_Type": "binary/octet-stream",
            "Accept_Ranges": "bytes",
        }


def main() -> None:
    server = Server()
    sys.stdout.write(f"http://127.0.0.1:{server.listener.getsockname()[1]}\n")
    sys.stdout.flush()
    server.serve()


if __name__ == "__main__":
    main()
