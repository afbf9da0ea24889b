"""What an attempt uses: times, CPU, memory of all processes, GPU; and whether memory ran out."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stepbridge.contract import Usage
from stepbridge.runner.processes import descendants

_GPU_INTERVAL = 5.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 1024 * 1024


class Meter:
    """Gathers the usage of one attempt."""

    def __init__(self) -> None:
        self._phases: dict[str, float] = {}
        self._peak = 0
        self._samples = 0
        self._before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._gpu: GpuMeter | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what happens inside as *name*."""
        start = time.monotonic()
        try:
            yield
        finally:
            spent = self._phases.get(name, 0.0) + time.monotonic() - start
            self._phases[name] = round(spent, 4)

    def seconds(self, name: str) -> float:
        """How long the phase *name* took; zero where it has not ended."""
        return self._phases.get(name, 0.0)

    def sample(self) -> None:
        """Look at all descendants once."""
        self._samples += 1
        self._peak = max(self._peak, sum(_rss(pid) for pid in descendants(os.getpid())))

    def start(self, gpus: int) -> None:
        """Begin to measure GPUs where the step asked for any."""
        if gpus:
            self._gpu = GpuMeter()
            self._gpu.start()

    def stop(self) -> None:
        """End the GPU's measuring."""
        if self._gpu is not None:
            self._gpu.stop()

    def usage(self) -> Usage:
        """What was gathered so far."""
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        unit = 1 if sys.platform == "darwin" else 1024
        cpu = after.ru_utime + after.ru_stime - self._before.ru_utime - self._before.ru_stime
        return Usage(
            phases=dict(self._phases),
            cpu_seconds=round(cpu, 3),
            peak_rss=max(self._peak, after.ru_maxrss * unit) or None,
            gpu_peak_memory=self._gpu.peak_memory if self._gpu else None,
            gpu_utilisation=self._gpu.utilisation if self._gpu else None,
            gpu_model=self._gpu.model if self._gpu else "",
            samples=self._samples,
        )


def _rss(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


class GpuMeter(threading.Thread):
    """Asks ``nvidia-smi`` for memory and utilisation every few seconds, until it is stopped or fails."""

    def __init__(self) -> None:
        super().__init__(name="stepbridge-gpu", daemon=True)
        self.peak_memory: int | None = None
        self.model = ""
        """The names of the GPUs, each once."""
        self._busy: list[float] = []
        self._over = threading.Event()

    @property
    def utilisation(self) -> float | None:
        """The mean over all samples and GPUs, in percent."""
        return round(sum(self._busy) / len(self._busy), 1) if self._busy else None

    def run(self) -> None:
        """Sample until told to stop."""
        while self._ask() and not self._over.wait(_GPU_INTERVAL):
            pass

    def stop(self) -> None:
        """Take no more samples."""
        self._over.set()

    def _ask(self) -> bool:
        query = [
            "nvidia-smi",
            "--query-gpu=memory.used,utilization.gpu,name",
            "--format=csv,noheader,nounits",
        ]
        try:
            done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        except (OSError, subprocess.SubprocessError):
            return False
        rows = [(*line.split(",", 2), "", "")[:3] for line in done.stdout.splitlines() if line.strip()]
        memory = [number for used, _, _ in rows if (number := _number(used)) is not None]
        self.model = ", ".join(dict.fromkeys(name.strip() for _, _, name in rows if name.strip()))
        if memory:
            self.peak_memory = max(self.peak_memory or 0, int(sum(memory)) * _MIB)
        self._busy += [number for _, busy, _ in rows if (number := _number(busy)) is not None]
        return bool(rows)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


class MemoryWatch:
    """Tells whether the kernel killed something for memory since this was made.

    :param root: where the machine's ``proc`` and ``sys`` are.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._counters = tuple(_counters(root))
        self._before = {path: _oom_kills(path) for path in self._counters}

    def ran_out(self) -> bool:
        """Whether a counter of OOM kills has grown."""
        return any(_oom_kills(path) > self._before[path] for path in self._counters)

    def limit(self) -> int | None:
        """The memory limit of this process's cgroup in bytes, where there is one."""
        for path in self._counters:
            for name in ("memory.max", "memory.limit_in_bytes"):
                try:
                    text = path.with_name(name).read_text().strip()
                except OSError:
                    continue
                if text.isdigit() and int(text) < 2**60:
                    return int(text)
        return None


def _counters(root: Path) -> Iterator[Path]:
    """The files that count OOM kills: of this process's cgroups, of the cgroup root, of the machine."""
    groups = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        below = path.lstrip("/")
        if not controllers:
            yield groups / below / "memory.events"
        elif "memory" in controllers.split(","):
            yield groups / "memory" / below / "memory.oom_control"
    yield groups / "memory.events"
    yield groups / "memory/memory.oom_control"
    yield root / "proc/vmstat"


def _oom_kills(path: Path) -> int:
    try:
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) == 2 and words[0] == "oom_kill":
                return int(words[1])
    except (OSError, ValueError):
        pass
    return 0
