"""The child process group: started, watched against time and signals, cleared away with all it started."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

from stepbridge.failures import RunProblem

_TICK = 0.25
_SETTLE = 5.0


class Signals:
    """SIGTERM, SIGINT and SIGHUP to the runner: noted when they come, raised as SB405 where it checks.

    No handler raises: an error between any two steps of ``threading`` breaks its locks. And no wait relies on
    being interrupted: a signal that comes right before a wait, or to another thread, interrupts none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def install(self) -> None:
        """Take the signals from here on; main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._handle)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.received = self.received or number

    def check(self) -> None:
        """Go on only where no signal has come.

        :raises RunProblem: SB405 with the name of the first one.
        """
        if self.received:
            raise RunProblem(
                "SB405",
                f"the runner was sent {signal.Signals(self.received).name}",
                hint="see who ended the task: a person, a lost worker, a node that went away, a time limit",
            )

    def wake(self) -> None:
        """End the :meth:`wait` of the main thread; for other threads."""
        with suppress(BlockingIOError):
            os.write(self._write, b"\0")

    def wait(self, seconds: float) -> None:
        """Sleep until any signal, SIGCHLD included, or :meth:`wake`, at most *seconds*; main thread only."""
        ready, _, _ = select.select([self._read], [], [], max(0.0, seconds))
        if ready:
            try:
                while len(os.read(self._read, 512)) == 512:
                    pass
            except BlockingIOError:
                pass


@dataclass(frozen=True)
class Ended:
    """How a child came to its end.

    :param status: its exit status, negative for a signal.
    :param cause: ``exit`` (by itself), ``done`` (its outcome was there and it did not leave), ``timeout``,
        ``interrupted``.
    """

    status: int
    cause: Literal["exit", "done", "timeout", "interrupted"]


def start(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, output: int
) -> subprocess.Popen[bytes]:
    """Start *command* as the leader of a session of its own, its standard streams in *output*."""
    return subprocess.Popen(
        command,
        env=dict(environment),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


class Watch:
    """One child under watch.

    :param outcome: the file whose presence says that the function is over.
    :param sample: called now and then while the child runs.
    """

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        signals: Signals,
        *,
        outcome: Path,
        timeout: float | None,
        grace: float,
        sample: Callable[[], None],
    ) -> None:
        self._child = child
        self._signals = signals
        self._outcome = outcome
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._grace = grace
        self._sample = sample
        self._cause: Literal["exit", "done", "timeout", "interrupted"] = "exit"
        self._kill_at: float | None = None

    def run(self) -> Ended:
        """Wait for the child's end, and bring it about where it is due; then nothing of its group is left."""
        pause = 0.02
        sampled = time.monotonic()
        try:
            while not self._over():
                now = time.monotonic()
                self._step(now)
                if now - sampled >= pause:
                    self._sample()
                    sampled, pause = now, min(1.0, pause * 2)
                self._signals.wait(min(self._remaining(now), max(0.0, sampled + pause - now)))
        finally:
            _signal_group(self._child.pid, signal.SIGKILL)
            status = self._child.wait()
        return Ended(status, self._cause)

    def _over(self) -> bool:
        found = os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found is not None

    def _step(self, now: float) -> None:
        if self._cause == "exit":
            if self._signals.received:
                self._end("interrupted", now)
            elif self._outcome.exists():
                self._cause, self._kill_at = "done", now + self._grace
            elif self._deadline is not None and now >= self._deadline:
                self._end("timeout", now)
        if self._kill_at is not None and now >= self._kill_at:
            _signal_group(self._child.pid, signal.SIGKILL)

    def _end(self, cause: Literal["timeout", "interrupted"], now: float) -> None:
        self._cause, self._kill_at = cause, now + self._grace
        _signal_group(self._child.pid, signal.SIGTERM)

    def _remaining(self, now: float) -> float:
        due = [now + _TICK]
        if self._kill_at is not None:
            due.append(self._kill_at)
        elif self._deadline is not None:
            due.append(self._deadline)
        return max(0.0, min(due) - now)


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def descendants(root: int) -> tuple[int, ...]:
    """The living descendants of *root*, nearest first; none where there is no ``/proc``."""
    found: list[int] = []
    queue = [root]
    while queue:
        children = _children(queue.pop(0))
        found.extend(children)
        queue.extend(children)
    return tuple(found)


def _children(pid: int) -> list[int]:
    listing: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                listing.extend(int(word) for word in (thread / "children").read_bytes().split())
    return listing


def kill_descendants(root: int, *, reap: bool) -> None:
    """Kill all that *root* started and is still there, whatever session it moved to.

    :param reap: whether *root* is this process, which then collects the dead.
    """
    limit = time.monotonic() + _SETTLE
    while time.monotonic() < limit:
        if reap:
            _reap()
        living = [pid for pid in descendants(root) if _state(pid) not in {"Z", ""}]
        if not living:
            return
        for pid in living:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return ""
