"""A comparison in a process of its own: bounded in time and memory, its crash a verdict and nothing more."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stepbridge import documents
from stepbridge.compare.engine import compare_values, tool_error
from stepbridge.compare.model import Part
from stepbridge.compare.rules import Compare
from stepbridge.contract import StoreSettings, Value
from stepbridge.failures import StepbridgeError

_SPARE = 1 << 30
"""Bytes of address space beyond the rules' memory: the interpreter, libraries and their threads."""


ALLOCATOR = ("ARROW_DEFAULT_MEMORY_POOL", "system")
"""The environment by which Arrow takes memory from the system's own allocator, where nobody chose another.

Columns come and go one after another, and what one took goes back at once. Arrow's own choice takes huge
pages, whose first touch costs more than reading them where the machine's memory is backed lazily.
"""


@dataclass(frozen=True)
class Job:
    """What is to be compared: names to values, drafts having their payload on this machine."""

    control: Mapping[str, Value]
    candidate: Mapping[str, Value]
    rules: Compare = field(default_factory=Compare)
    store: StoreSettings | None = None


@dataclass(frozen=True)
class _Answer:
    parts: tuple[Part, ...]


def run(job: Job, *, seconds: float) -> tuple[Part, ...]:
    """Carry *job* out in another process; TOOL_ERROR parts where that does not end well in time.

    The process inherits the environment, and with it the credentials of the store.

    :param seconds: after which the process and all that it started are killed.
    """
    names = tuple(dict.fromkeys([*job.control, *job.candidate]))
    with tempfile.TemporaryDirectory(prefix="stepbridge-job-") as folder:
        asked, answered = Path(folder, "job.json"), Path(folder, "answer.json")
        try:
            asked.write_bytes(documents.dump(job))
            why = _spawn([str(asked), str(answered)], Path(folder), seconds)
            if answered.exists():
                return documents.load(_Answer, answered.read_bytes(), place=str(answered)).parts
        except (OSError, ValueError, StepbridgeError) as error:
            why = f"{type(error).__name__}: {error}"
    return tuple(tool_error(name, why) for name in names)


def _spawn(given: list[str], folder: Path, seconds: float) -> str:
    """Run the process; why there is no answer, if there is none."""
    said = folder / "said.txt"
    with said.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "stepbridge.compare.job", *given],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                ALLOCATOR[0]: ALLOCATOR[1],
                **os.environ,
                "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            },
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"it took longer than {seconds:g} s"
        finally:
            _end(process)
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was killed by {name}" + (", perhaps for memory" if name == "SIGKILL" else "")
    return f"its process ended with {code}: {said.read_text(errors='replace')[-2000:].strip()}"


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _bound(memory: int) -> None:
    """Let the kernel refuse what goes far beyond the rules' memory, before it takes the worker's."""
    import resource

    wanted = 4 * memory + _SPARE
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, wanted))
    if sys.platform == "linux":
        Path("/proc/self/oom_score_adj").write_text("1000")


def _main(asked: str, answered: str) -> None:
    job: Job = documents.load(Job, Path(asked).read_bytes(), place=asked)
    _bound(job.rules.memory)
    parts = compare_values(job.control, job.candidate, job.rules, job.store)
    done = Path(answered)
    partial = done.with_suffix(".part")
    partial.write_bytes(documents.dump(_Answer(parts)))
    partial.replace(done)


if __name__ == "__main__":
    _main(*sys.argv[1:])
