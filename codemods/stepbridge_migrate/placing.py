"""Put bytes in the places of files: all of them or none, whatever comes between."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from stepbridge_migrate.problems import MigrateProblem

PATIENCE = 10.0
"""Seconds to wait for another ``migrate`` that is writing."""

_STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@dataclass(frozen=True)
class _Was:
    """What a path held: ``data`` is None where there was no file, times in nanoseconds."""

    data: bytes | None
    accessed: int = 0
    modified: int = 0


def replace(path: Path, data: bytes) -> None:
    """Give the file these bytes at once: a reader sees the old ones or the new ones.

    A symbolic link stays, the file that it names changes; mode, owner and extended attributes stay.

    :raises OSError: nothing has changed then.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.stepbridge")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            _like(target, file.fileno())
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _settle(target.parent)


def _like(target: Path, handle: int) -> None:
    try:
        status = target.stat()
    except FileNotFoundError:
        return
    own = os.fstat(handle)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(handle, status.st_uid, status.st_gid)
    os.fchmod(handle, status.st_mode & 0o7777)
    if hasattr(os, "listxattr"):
        with contextlib.suppress(OSError):
            for name in os.listxattr(target):
                os.setxattr(handle, name, os.getxattr(target, name))


def _settle(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def place(files: Mapping[Path, bytes], confirm: Callable[[], None]) -> None:
    """Give all files their bytes, in this order, then *confirm*; at any failure or signal all are as before.

    :param confirm: looks at what now lies there, and raises what is wrong.
    :raises KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP came; the files are as they were.
    """
    was = {path: _look(path) for path in files}
    made = _missing_folders(files)
    with _signals() as later:
        try:
            for folder in made:
                folder.mkdir()
            for path, data in files.items():
                replace(path, data)
            confirm()
            later()
        except BaseException:
            later()
            for path, before in was.items():
                _restore(path, before)
            for folder in reversed(made):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise


def _look(path: Path) -> _Was:
    try:
        status = path.stat()
    except FileNotFoundError:
        return _Was(None)
    return _Was(path.read_bytes(), status.st_atime_ns, status.st_mtime_ns)


def _missing_folders(files: Mapping[Path, bytes]) -> list[Path]:
    missing: dict[Path, None] = {}
    for path in files:
        for folder in reversed(path.parents):
            if not folder.is_dir():
                missing[folder] = None
    return list(missing)


def _restore(path: Path, was: _Was) -> None:
    if was.data is None:
        path.unlink(missing_ok=True)
        return
    try:
        same = path.read_bytes() == was.data
    except OSError:
        same = False
    if not same:
        replace(path, was.data)
        os.utime(path, ns=(was.accessed, was.modified))


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], None]]:
    """Signals that stop the process raise KeyboardInterrupt, until the given function is called.

    From then on they wait; what waited arrives when the block is left. Only the main thread is asked.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    held = False
    waiting: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        if held:
            waiting.append(number)
        else:
            raise KeyboardInterrupt(signal.Signals(number).name)

    def later() -> None:
        nonlocal held
        held = True

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        yield later
    finally:
        held = True
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in waiting:
            signal.raise_signal(number)


@contextlib.contextmanager
def alone(root: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Be the only ``migrate`` that writes below *root*; the lock is on the folder, and leaves no file.

    :raises MigrateProblem: another one goes on writing.
    """
    import fcntl

    handle = os.open(root, os.O_RDONLY)
    try:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise MigrateProblem(
                        "SM508",
                        f"another migrate has been writing for {patience:.0f} s",
                        place=str(root),
                        hint="wait for it to end, then run this again",
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)
