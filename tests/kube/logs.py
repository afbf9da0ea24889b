"""A container's log as the kubelet keeps it: stamped lines in files that rotate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kube.clock import Clock, nano

_STAMP = 31
_LONGEST = 16 * 1024
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class LogOptions:
    """What a reader asks for.

    :param since: seconds since the epoch; :param limit: bytes; :param tail: lines.
    """

    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: float | None = None
    limit: int | None = None


class ContainerLog:
    """Written in the loop, read as the newest file, followed over rotations.

    :param path: of its files, without their ends. :param size: bytes after which a new file is begun.
    """

    def __init__(self, path: Path, clock: Clock, size: int) -> None:
        self._path, self._clock, self._size = path, clock, size
        self._files: list[Path] = []
        self._pending = b""
        self._in_line = False
        self._last, self._second, self._prefix = 0, -1, ""
        self._written = 0
        self._grown: set[asyncio.Event] = set()
        self.closed = False
        self._open()

    def _open(self) -> None:
        path = self._path.with_name(f"{self._path.name}.{len(self._files)}.log")
        self._files.append(path)
        self._out = path.open("ab", buffering=0)
        self._written = 0

    def append(self, data: bytes) -> None:
        """Take what the process wrote; a line is kept when it is whole or longer than 16 KiB."""
        *lines, rest = (self._pending + data).split(b"\n")
        whole = self._stamped(lines)
        if len(rest) > _LONGEST:
            whole += rest if self._in_line else self._stamped([rest])[:-1]
            self._in_line, rest = True, b""
        self._pending = rest
        if whole:
            self._write(whole)

    def _stamped(self, lines: list[bytes]) -> bytes:
        """The lines with their ends and stamps; the first may go on with one that is stamped already."""
        pieces: list[bytes] = []
        if self._in_line and lines:
            self._in_line = False
            pieces += [lines[0], b"\n"]
            lines = lines[1:]
        moment = max(self._last + 1, self._clock.nanoseconds())
        for line in lines:
            second, rest = divmod(moment, 1_000_000_000)
            if second != self._second:
                self._second, self._prefix = second, nano(moment)[:20]
            pieces.append(f"{self._prefix}{rest:09d}Z ".encode())
            pieces += [line, b"\n"]
            self._last, moment = moment, moment + 1
        return b"".join(pieces)

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._written += len(data)
        if self._written >= self._size and not self._in_line:
            self._out.close()
            self._open()
        self._tell()

    def close(self) -> None:
        """The process ended: nothing more comes."""
        if self.closed:
            return
        if self._pending:
            self._write(self._pending if self._in_line else self._stamped([self._pending])[:-1])
            self._pending = b""
        self.closed = True
        self._out.close()
        self._tell()

    def remove(self) -> None:
        """Delete its files; who follows it is at its end."""
        self.close()
        for path in self._files:
            path.unlink(missing_ok=True)

    def _tell(self) -> None:
        for event in self._grown:
            event.set()

    def tail(self, size: int, lines: int) -> str:
        """The end of the log, for a termination message."""
        text = b"".join(line[_STAMP:] for line in self._newest().splitlines(keepends=True)[-lines:])
        return text[-size:].decode(errors="replace")

    def _newest(self) -> bytes:
        path = self._files[-1]
        if path.stat().st_size == 0 and len(self._files) > 1:
            path = self._files[-2]
        return path.read_bytes()

    async def read(self, options: LogOptions) -> AsyncIterator[bytes]:
        """Pieces of the log; with ``follow`` until the process ends."""
        left = options.limit
        async for piece in self._pieces(options):
            if left is not None:
                piece = piece[:left]
                left -= len(piece)
            if piece:
                yield piece
            if left == 0:
                return

    async def _pieces(self, options: LogOptions) -> AsyncIterator[bytes]:
        grown = asyncio.Event()
        self._grown.add(grown)
        try:
            index = len(self._files) - 1
            if index and self._files[index].stat().st_size == 0:
                index -= 1
            begin = self._begin(self._files[index], options)
            while True:
                grown.clear()
                last, closed = len(self._files) - 1, self.closed
                with self._files[index].open("rb") as source:
                    source.seek(begin)
                    while piece := _whole_lines(source, ended=closed):
                        begin += len(piece)
                        yield piece if options.timestamps else _bare(piece)
                if index < last:
                    index, begin = index + 1, 0
                elif closed or not options.follow:
                    return
                else:
                    await grown.wait()
        finally:
            self._grown.discard(grown)

    @staticmethod
    def _begin(path: Path, options: LogOptions) -> int:
        if options.tail is None and options.since is None:
            return 0
        lines = path.read_bytes().splitlines(keepends=True)
        offset = sum(map(len, lines))
        since = nano(int(options.since * 1e9)).encode() if options.since is not None else b""
        for taken, line in enumerate(reversed(lines)):
            if (options.tail is not None and taken >= options.tail) or line[: _STAMP - 1] < since:
                break
            offset -= len(line)
        return offset


def _whole_lines(source: BinaryIO, *, ended: bool) -> bytes:
    """Some lines from here on; one that is not whole only when nothing more comes."""
    piece = source.read(_CHUNK)
    if piece and not piece.endswith(b"\n"):
        piece += source.readline()
    if not ended and not piece.endswith(b"\n"):
        piece = piece[: piece.rfind(b"\n") + 1]
    return piece


def _bare(piece: bytes) -> bytes:
    return b"\n".join(line[_STAMP:] for line in piece.split(b"\n"))
