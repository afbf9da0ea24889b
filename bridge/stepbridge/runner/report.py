"""How a failure is told: the kinds, the exit codes, the error document and the pod's termination message."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

from stepbridge.contract import ErrorDocument
from stepbridge.failures import CODES, Kind, StepbridgeError
from stepbridge.runner.processes import Ended
from stepbridge.runner.redact import Redactor
from stepbridge.runner.usage import MemoryWatch
from stepbridge.runner.workspace import REPORTED, Failure, clipped, is_retryable, tail, trimmed

EXIT_CODES: dict[Kind, int] = {
    "user": 1,
    "config": 3,
    "infra": 4,
    "oom": 5,
    "timeout": 6,
    "preflight": 7,
    "interrupted": 8,
    "preempted": 9,
}
EXIT_SKIP = 10
MESSAGE_LIMIT = 16 * 1024
TRACEBACK_LIMIT = 64 * 1024
_TERMINATION_LIMIT = 4000


class StepFailed(Exception):
    """Carries the failure that a child reported."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure_of(error: BaseException) -> Failure:
    """The failure that *error*, raised in the runner, stands for; to be :func:`shown`."""
    if isinstance(error, StepFailed):
        return error.failure
    if isinstance(error, StepbridgeError):
        return Failure(
            kind=error.kind,
            code=error.code.id,
            type=type(error).__name__,
            message=error.describe(),
            retryable=is_retryable(error.kind, error.code.id),
        )
    kind: Kind = "oom" if isinstance(error, MemoryError) else "infra"
    code = "SB406" if kind == "oom" else "SB409"
    return Failure(
        kind=kind,
        code=code,
        type=type(error).__name__,
        message=f"{code}: the runner failed: {type(error).__name__}: {error}",
        retryable=True,
    )


def shown(failure: Failure, redactor: Redactor) -> Failure:
    """*failure* as people may see it: without secrets, then without most of what is very long."""

    def clean(text: str) -> str:
        hidden = redactor.text(text)
        return trimmed(hidden, redactor.longest) if len(text) > REPORTED else hidden

    return dataclasses.replace(
        failure,
        type=clean(failure.type),
        message=clipped(clean(failure.message), MESSAGE_LIMIT),
        traceback=tail(clean(failure.traceback), TRACEBACK_LIMIT),
    )


def death_of(ended: Ended, memory: MemoryWatch, timeout: float | None) -> Failure:
    """Why a child that left no outcome came to its end."""
    if ended.cause == "timeout":
        return _failure("SB404", f"the step was still running after its timeout of {timeout or 0:g} s")
    if ended.cause == "interrupted":
        return _failure("SB405", "the runner was told to stop and stopped the step")
    if ended.status >= 0:
        return _failure(
            "SB403",
            f"the step's process ended itself with status {ended.status} before the function returned "
            "(os._exit, or an exit inside a library)",
            exit_status=ended.status,
        )
    name = signal.Signals(-ended.status).name if -ended.status in set(signal.Signals) else str(-ended.status)
    if -ended.status == signal.SIGKILL and memory.ran_out():
        limit = memory.limit()
        bound = f" of {limit / 2**20:.0f} MiB" if limit else ""
        return _failure("SB406", f"the kernel killed the step's process for memory, over the limit{bound}")
    return _failure("SB408", f"the step's process was killed by {name}")


_HINTS = {
    "SB403": "return from the function instead of ending the process",
    "SB404": "give the step a longer timeout, or see in its log where it hangs",
    "SB405": "see who ended the task: a person, a lost worker, a node that went away, a time limit",
    "SB406": "give the step more memory, or read its data in parts",
    "SB408": "see the end of the step's log; a crash of native code prints its stack there",
}


def _failure(code: str, cause: str, *, exit_status: int | None = None) -> Failure:
    kind = CODES[code].kind
    return Failure(
        kind=kind,
        code=code,
        type="RunProblem",
        message=f"{code}: {cause or CODES[code].title}. Next: {_HINTS[code]}",
        retryable=is_retryable(kind, code),
        exit_status=exit_status,
    )


def exit_code(failure: Failure) -> int:
    """The runner's exit status for *failure*."""
    return EXIT_SKIP if failure.signal == "skip" else EXIT_CODES[failure.kind]


def tell_kubelet(document: ErrorDocument, uri: str) -> None:
    """Leave a short JSON where Kubernetes takes a container's last message from; no matter if that fails.

    :param uri: where the whole error document is.
    """
    path = os.environ.get("STEPBRIDGE_TERMINATION_LOG", "/dev/termination-log")
    short = {
        "kind": document.kind,
        "code": document.code,
        "type": document.type[:200],
        "retryable": document.retryable,
        "signal": document.signal,
        "exit_status": document.exit_status,
        "error": uri[:1024],
        "message": document.message,
    }
    data = json.dumps(short).encode()
    while len(data) > _TERMINATION_LIMIT:
        short["message"] = str(short["message"])[: len(str(short["message"])) * 3 // 4]
        data = json.dumps(short).encode()
    try:
        if Path(path).exists() or "STEPBRIDGE_TERMINATION_LOG" in os.environ:
            Path(path).write_bytes(data)
    except OSError:
        return
