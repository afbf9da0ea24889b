"""A container as a local process: its own session, its output in the log, its exit seen without a thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kube.logs import ContainerLog

MARK = "KUBE_DOUBLE_CONTAINER"


class Process:
    """One running container.

    SIGTERM goes to the main process alone, as a container runtime sends it. Unlike a container's first
    process, this one dies of it where it has no handler.
    """

    def __init__(self, popen: subprocess.Popen[bytes], pipe: int, log: ContainerLog, mark: str) -> None:
        self.pid = popen.pid
        self.mark = mark
        self._popen, self._pipe, self._log = popen, pipe, log
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._exit = os.pidfd_open(popen.pid)
        self._loop.add_reader(self._exit, self._on_exit)
        self._loop.add_reader(pipe, self._on_output)

    @classmethod
    def start(
        cls, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: ContainerLog, mark: str
    ) -> Process:
        """:raises OSError: when the program cannot be started."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        try:
            popen = subprocess.Popen(
                argv,
                env={**env, MARK: mark},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return cls(popen, reading, log, mark)

    @property
    def alive(self) -> bool:
        return not self.ended.done()

    async def wait(self) -> int:
        """The exit code, 128 and the signal's number for a killed one; may be cancelled."""
        return await asyncio.shield(self.ended)

    def terminate(self) -> None:
        """SIGTERM to the main process."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the main process and everything below it."""
        if self.alive:
            family = list(descendants(self.pid))
            self._kill_group()
            for pid in family:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _on_exit(self) -> None:
        code = self._popen.poll()
        if code is None:
            return
        self._loop.remove_reader(self._exit)
        os.close(self._exit)
        self._kill_group()
        self._loop.remove_reader(self._pipe)
        while self._read():
            pass
        os.close(self._pipe)
        self._log.close()
        if not self.ended.done():
            self.ended.set_result(code if code >= 0 else 128 - code)

    def _on_output(self) -> None:
        if not self._read():
            self._loop.remove_reader(self._pipe)

    def _read(self) -> bool:
        try:
            data = os.read(self._pipe, 1 << 18)
        except BlockingIOError:
            return not self._popen_done()
        if data:
            self._log.append(data)
        return bool(data)

    def _popen_done(self) -> bool:
        return self._popen.returncode is not None


def descendants(pid: int) -> Iterable[int]:
    """Children of a process and theirs."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


def marked(marks: Iterable[str]) -> list[int]:
    """Live processes whose environment holds one of these marks, whatever session they went to."""
    wanted = {f"{MARK}={mark}".encode() for mark in marks}
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                held = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if not wanted.isdisjoint(held):
                found.append(int(entry.name))
    return found
