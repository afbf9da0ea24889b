"""Starts the real runner on a request, and looks at what it left."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepbridge import documents, values
from stepbridge.backends.base import outcome, python_path
from stepbridge.contract import (
    Attempt,
    CodeRef,
    ContextData,
    ErrorDocument,
    Inline,
    Limits,
    Request,
    Result,
    StoreSettings,
    Usage,
    Value,
)
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store

HERE = Path(__file__).resolve().parent


def inline(value: object) -> Inline:
    return Inline("json", value)


def plain(value: object, staging: Path) -> Value:
    return values.encode(value, values.UNANNOTATED, staging, place="test")


@dataclasses.dataclass
class Ran:
    """One run of the runner."""

    status: int
    lines: str
    store: Store
    attempt: Attempt

    @property
    def outcome(self) -> Result | ErrorDocument | None:
        return outcome(self.store, self.attempt)

    @property
    def result(self) -> Result:
        found = self.outcome
        assert isinstance(found, Result), (self.status, found, self.lines)
        return found

    @property
    def error(self) -> ErrorDocument:
        found = self.outcome
        assert isinstance(found, ErrorDocument), (self.status, found, self.lines)
        return found

    @property
    def value(self) -> Any:
        return values.xcom_view(self.result.output)

    @property
    def usage(self) -> Usage:
        data = self.store.get(self.attempt.prefix + "usage.json")
        return documents.load(Usage, data, place="usage.json")

    def objects(self) -> list[str]:
        return [info.key.removeprefix(self.attempt.prefix) for info in self.store.list(self.attempt.prefix)]


class Harness:
    """Requests and runs in one store.

    :param scratch: for the runner's temporary files: it must leave it empty.
    """

    def __init__(self, settings: StoreSettings, scratch: Path) -> None:
        self.settings = settings
        self.store = open_store(settings)
        self.scratch = scratch
        self.termination = scratch.parent / f"termination-{secrets.token_hex(4)}"
        scratch.mkdir(parents=True, exist_ok=True)

    def request(self, function: str, *args: object, **changes: Any) -> Request:
        attempt = Attempt("dag", f"run-{secrets.token_hex(6)}", "task")
        request = Request(
            attempt=attempt,
            step="dag.task",
            code=CodeRef("image", f"runner_steps:{function}", "0" * 64),
            store=self.settings,
            args=tuple(inline(arg) for arg in args),
            limits=Limits(timeout=60.0, grace=2.0),
        )
        return dataclasses.replace(request, **changes)

    def put(self, request: Request) -> tuple[str, str]:
        """Write the request; its URI and digest."""
        data = documents.dump(request)
        key = request.attempt.prefix + "request.json"
        self.store.put(key, data)
        return self.store.uri(key), hashlib.sha256(data).hexdigest()

    def environment(self, **extra: str) -> dict[str, str]:
        path = os.pathsep.join([python_path(os.environ.get("PYTHONPATH", "")), str(HERE)])
        return {
            **os.environ,
            "PYTHONPATH": path,
            "STEPBRIDGE_WORKDIR": str(self.scratch),
            "STEPBRIDGE_TERMINATION_LOG": str(self.termination),
            **extra,
        }

    def command(self, uri: str, digest: str, *launcher: str) -> list[str]:
        start = list(launcher) or ["-m", "stepbridge.runner"]
        command = [sys.executable, *start, uri, "--digest", digest]
        if self.settings.endpoint:
            command += ["--store", documents.dump(self.settings).decode()]
        return command

    def start(
        self, request: Request, *launcher: str, digest: str = "", environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        uri, right = self.put(request)
        return subprocess.Popen(
            self.command(uri, digest or right, *launcher),
            env=self.environment(**(environment or {})),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(
        self, request: Request, *launcher: str, digest: str = "", environment: Mapping[str, str] | None = None
    ) -> Ran:
        process = self.start(request, *launcher, digest=digest, environment=environment)
        output, _ = process.communicate(timeout=120)
        return Ran(process.returncode, output.decode("utf-8", "replace"), self.store, request.attempt)

    def call(self, function: str, *args: object, **changes: Any) -> Ran:
        return self.run(self.request(function, *args, **changes))


def context(values_: Mapping[str, object], staging: Path, **changes: Any) -> ContextData:
    data = ContextData({key: plain(value, staging) for key, value in values_.items()})
    return dataclasses.replace(data, **changes)


def wait_for(process: subprocess.Popen[bytes], text: bytes) -> None:
    """Read what the runner shows until *text* has come."""
    assert process.stdout is not None
    seen = b""
    while text not in seen:
        data = os.read(process.stdout.fileno(), 4096)
        assert data, seen
        seen += data
