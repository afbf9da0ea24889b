"""Runs the runner in a subprocess of this machine, and leaves nothing of it behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping

from stepbridge import documents
from stepbridge.backends.base import python_path
from stepbridge.contract import StoreSettings
from stepbridge.failures import RunProblem
from stepbridge.runner.processes import kill_descendants

_READ = 64 * 1024
_LINE = 64 * 1024
_DECLARED = ("AIRFLOW_VAR_", "AIRFLOW_CONN_")
"""Variables that reach a step only where it is known to read them: else its cache key could not tell."""


class LocalBackend:
    """Runs steps beside this process, one at a time.

    :param store: how the runner reaches the store before it has read its request; None: by the URI alone.
    :param python: the interpreter; None: this one.
    :param grace: seconds between SIGTERM and SIGKILL when a run is cancelled; the runner's own grace fits in.
    """

    def __init__(
        self, store: StoreSettings | None = None, *, python: str | None = None, grace: float = 30.0
    ) -> None:
        self._store = store
        self._python = python or sys.executable
        self._grace = grace
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self,
        request_uri: str,
        digest: str,
        *,
        environment: Mapping[str, str],
        on_line: Callable[[str], None] | None = None,
    ) -> int:
        """Start the runner, wait for its end, and give its exit status.

        Whatever is raised meanwhile, by *on_line* or a signal handler, ends the runner and all it started.

        :raises RunProblem: SB410 where the interpreter cannot be started.
        """
        command = [self._python, "-P", "-m", "stepbridge.runner", request_uri, "--digest", digest]
        if self._store is not None:
            command += ["--store", json.dumps(documents.to_json(self._store))]
        process = self._start(command, environment)
        self._process = process
        try:
            _follow(process, on_line)
            return process.wait()
        finally:
            self._end(process)
            self._process = None

    def cancel(self) -> None:
        """End the runner that runs: SIGTERM; :meth:`run` then returns its exit status."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def _start(self, command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        own = {name: text for name, text in os.environ.items() if not name.startswith(_DECLARED)}
        merged = {**own, **environment}
        merged["PYTHONPATH"] = python_path(merged.get("PYTHONPATH", ""))
        merged["STEPBRIDGE_PARENT"] = str(os.getpid())
        try:
            return subprocess.Popen(
                command,
                env=merged,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise RunProblem(
                "SB410",
                f"the interpreter could not be started: {error}",
                place=self._python,
                hint="give the local backend a Python that has stepbridge installed",
            ) from error

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Make sure that nothing is left of *process*, politely first."""
        if process.stdout is not None:
            process.stdout.close()
        try:
            if process.poll() is None:
                process.terminate()
                process.wait(self._grace)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.poll() is None:
                kill_descendants(process.pid, reap=False)
                process.kill()
                process.wait()


def _follow(process: subprocess.Popen[bytes], on_line: Callable[[str], None] | None) -> None:
    """Hand each line to *on_line* until the stream ends; an endless line comes in pieces."""
    assert process.stdout is not None
    stream = process.stdout.fileno()
    rest = b""
    while data := os.read(stream, _READ):
        if on_line is None:
            continue
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            on_line(_text(line))
        while len(rest) >= _LINE:
            on_line(_text(rest[:_LINE]))
            rest = rest[_LINE:]
    if rest and on_line is not None:
        on_line(_text(rest))


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", "backslashreplace")
