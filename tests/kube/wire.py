"""HTTP/1.1 over asyncio streams: requests read, answers and chunked streams written, connections kept."""

from __future__ import annotations

import asyncio
import contextlib
import http
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class HttpRequest:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def target(self) -> str:
        """Path and query, as one text."""
        return self.path + ("?" + "&".join(f"{k}={v}" for k, v in self.query.items()) if self.query else "")


@dataclass(frozen=True)
class Answer:
    """:param stream: pieces of a chunked body, instead of ``body``.

    :param cut: close the connection after so many bytes of the body; 0 before anything is sent.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: AsyncIterator[bytes] | None = None
    cut: int | None = None


class _Cut(Exception):
    """The connection is to be closed now."""


Handler = Callable[[HttpRequest], Awaitable[Answer]]


async def serve(handler: Handler, port: int) -> asyncio.Server:
    """A server on this machine; ``port`` 0 for a free one."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, _Cut, asyncio.CancelledError):
            while (request := await _read(reader)) is not None:
                await _answer(reader, writer, await handler(request), request)
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", port, limit=1 << 20, backlog=1024)


async def _read(reader: asyncio.StreamReader) -> HttpRequest | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join([piece async for piece in _chunks(reader)])
    else:
        body = await reader.readexactly(int(headers.get("content-length") or 0))
    parts = urlsplit(target)
    return HttpRequest(
        method, unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True)), headers, body
    )


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readline()).split(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readline()
    await reader.readline()


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer, request: HttpRequest
) -> None:
    if answer.cut == 0:
        writer.transport.abort()
        raise _Cut
    phrase = http.HTTPStatus(answer.status).phrase
    headers = {"Content-Type": answer.content_type, "Cache-Control": "no-cache, private", **answer.headers}
    if answer.stream is None:
        headers["Content-Length"] = str(len(answer.body))
    else:
        headers["Transfer-Encoding"] = "chunked"
    head = f"HTTP/1.1 {answer.status} {phrase}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    writer.write(head.encode("latin-1") + b"\r\n")
    if answer.stream is not None:
        await _stream(reader, writer, answer.stream, answer.cut)
    elif request.method != "HEAD":
        writer.write(answer.body if answer.cut is None else answer.body[: answer.cut])
    await writer.drain()
    if answer.cut is not None:
        raise _Cut
    if request.headers.get("connection", "").lower() == "close":
        raise _Cut


async def _stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: AsyncIterator[bytes], cut: int | None
) -> None:
    """Write pieces until the stream ends or the client is gone."""
    gone = asyncio.create_task(reader.read(1))
    source = stream.__aiter__()
    await writer.drain()
    sent = 0
    try:
        while True:
            piece = asyncio.ensure_future(source.__anext__())
            await asyncio.wait({gone, piece}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                piece.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                    await piece
                raise _Cut
            try:
                data = piece.result()
            except StopAsyncIteration:
                writer.write(b"0\r\n\r\n")
                return
            if cut is not None and sent + len(data) >= cut:
                data = data[: cut - sent]
                writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                return
            sent += len(data)
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
    finally:
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await gone
        closing = getattr(stream, "aclose", None)
        if closing is not None:
            await closing()
