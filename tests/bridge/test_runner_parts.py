"""Parts of the runner that a whole run cannot bring about here: GPUs, OOM counters, URIs, exit codes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.contract import Attempt
from stepbridge.failures import CODES, RunProblem, StoreProblem
from stepbridge.runner import report
from stepbridge.runner.aside import aside
from stepbridge.runner.preflight import Settings, check_gpus
from stepbridge.runner.processes import Ended, Signals
from stepbridge.runner.redact import Redactor
from stepbridge.runner.usage import MemoryWatch
from stepbridge.runner.workspace import Failure

LISTING = """GPU 0: NVIDIA A10G (UUID: GPU-1)
GPU 1: NVIDIA A10G (UUID: GPU-2)
"""
SLICES = """GPU 0: NVIDIA A100 (UUID: GPU-1)
  MIG 1g.5gb      Device  0: (UUID: MIG-1)
  MIG 1g.5gb      Device  1: (UUID: MIG-2)
"""


def tool(directory: Path, listing: str, status: int = 0) -> dict[str, str]:
    """An environment whose PATH has an ``nvidia-smi`` that says *listing*."""
    directory.mkdir(exist_ok=True)
    (directory / "listing").write_text(listing)
    script = directory / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n/bin/cat {directory}/listing\nexit {status}\n")
    script.chmod(0o755)
    return {"PATH": str(directory)}


def test_gpus_that_are_there(tmp_path: Path) -> None:
    check_gpus(2, tool(tmp_path / "bin", LISTING))
    check_gpus(2, tool(tmp_path / "bin", SLICES))
    check_gpus(1, {**tool(tmp_path / "bin", LISTING), "NVIDIA_VISIBLE_DEVICES": "void"})
    check_gpus(0, {"PATH": ""}, Settings(devices=tmp_path))


def test_gpus_that_are_not_there(tmp_path: Path) -> None:
    for environ in (
        tool(tmp_path / "few", LISTING),
        {**tool(tmp_path / "hidden", LISTING * 2), "CUDA_VISIBLE_DEVICES": "0"},
        {**tool(tmp_path / "hidden", LISTING * 2), "CUDA_VISIBLE_DEVICES": ""},
        {**tool(tmp_path / "hidden", LISTING * 2), "CUDA_VISIBLE_DEVICES": "-1"},
    ):
        with pytest.raises(RunProblem, match="SB407"):
            check_gpus(3, environ, Settings(patience=0))
    broken = tool(tmp_path / "broken", "the driver is not loaded", 9)
    with pytest.raises(RunProblem, match=r"driver is not loaded.*NVIDIA_VISIBLE_DEVICES='all'"):
        check_gpus(1, {**broken, "NVIDIA_VISIBLE_DEVICES": "all"}, Settings(patience=0))


def test_gpus_by_device_files(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    check_gpus(2, {"PATH": ""}, Settings(devices=tmp_path))
    with pytest.raises(RunProblem, match=r"3 GPU.s. asked for, 2 there"):
        check_gpus(3, {"PATH": ""}, Settings(devices=tmp_path, patience=0))


def test_gpu_driver_that_gets_ready_while_it_is_waited_for(tmp_path: Path) -> None:
    environ = tool(tmp_path / "bin", "Failed to initialize NVML: Driver/library version mismatch", 18)
    listing, script = tmp_path / "bin/listing", tmp_path / "bin/nvidia-smi"
    script.write_text(
        f"#!/bin/sh\nif [ -e {listing}.asked ]; then /bin/cat {listing}.ready; exit 0; fi\n"
        f": > {listing}.asked\n/bin/cat {listing}\nexit 18\n"
    )
    Path(f"{listing}.ready").write_text(LISTING)
    with pytest.raises(RunProblem, match="after 0 s") as caught:
        check_gpus(2, environ, Settings(patience=0))
    assert "ended with 18: Failed to initialize NVML: Driver/library version mismatch" in str(caught.value)
    Path(f"{listing}.asked").unlink()
    check_gpus(2, environ, Settings(patience=10))


def test_gpu_tool_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    environ = tool(tmp_path / "bin", LISTING)
    script = tmp_path / "bin/nvidia-smi"
    script.write_text(f"#!/bin/sh\n/bin/sleep 300 &\necho $$ $! > {tmp_path}/pids\n/bin/sleep 300\n")
    began = time.monotonic()
    with pytest.raises(RunProblem, match="nvidia-smi did not answer within 1 s"):
        check_gpus(1, environ, Settings(patience=0, answer=1.0))
    assert time.monotonic() - began < 5
    deadline = time.monotonic() + 5
    while any(running(int(pid)) for pid in (tmp_path / "pids").read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


CUDA = """
int cuInit(unsigned flags) { (void)flags; %s }
int cuDeviceGetCount(int *count) { *count = %d; return 0; }
int cuGetErrorName(int status, const char **name) { (void)status; *name = "CUDA_ERROR_OF_TEST"; return 0; }
"""


def with_cuda(directory: Path, init: str, count: int, listing: str = LISTING) -> dict[str, str]:
    """An environment with ``nvidia-smi`` and a ``libcuda.so.1`` made for the test."""
    environ = tool(directory, listing)
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler to make a libcuda with")
    source = directory / "cuda.c"
    source.write_text(CUDA % (init, count))
    library = directory / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return {**environ, "LD_LIBRARY_PATH": str(directory)}


def test_gpus_that_cuda_cannot_use(tmp_path: Path) -> None:
    impatient = Settings(patience=0, answer=2.0)
    check_gpus(2, with_cuda(tmp_path / "good", "return 0;", 2), impatient)
    check_gpus(2, with_cuda(tmp_path / "slices", "return 0;", 1, SLICES), impatient)
    check_gpus(2, with_cuda(tmp_path / "stub", "return 34;", 0), impatient)
    for name, init, count, said in (
        ("few", "return 0;", 1, "2 GPU.s. asked for, 1 there .*CUDA counts 1"),
        ("none", "return 0;", 0, "0 there .*CUDA counts 0"),
        ("error", "return 803;", 2, "CUDA failed 803 CUDA_ERROR_OF_TEST"),
        ("crash", "__builtin_trap();", 2, "CUDA crashed with signal"),
        ("hang", "for (;;) { }", 2, "CUDA did not answer within 2 s"),
    ):
        with pytest.raises(RunProblem, match=said):
            check_gpus(2, with_cuda(tmp_path / name, init, count), impatient)


def test_gpu_check_by_variables(tmp_path: Path) -> None:
    assert Settings.of({}) == Settings(check=True, patience=60.0)
    assert Settings.of({"STEPBRIDGE_GPU_PATIENCE": "2.5"}).patience == 2.5
    check_gpus(64, {"PATH": "", "STEPBRIDGE_GPU_CHECK": "off"})
    for wrong in ({"STEPBRIDGE_GPU_CHECK": "no"}, {"STEPBRIDGE_GPU_PATIENCE": "long"}):
        with pytest.raises(RunProblem, match="SB502"):
            check_gpus(1, {"PATH": "", **wrong})


@pytest.mark.parametrize(
    ("group", "counter", "text"),
    [
        ("0::/pod/x", "sys/fs/cgroup/pod/x/memory.events", "low 0\noom 2\noom_kill {}\n"),
        ("0::/", "sys/fs/cgroup/memory.events", "oom_kill {}\noom_group_kill 0\n"),
        (
            "5:cpu:/\n4:memory:/pod/x",
            "sys/fs/cgroup/memory/pod/x/memory.oom_control",
            "under_oom 0\noom_kill {}\n",
        ),
        ("0::/gone", "proc/vmstat", "pgfault 12\noom_kill {}\n"),
    ],
)
def test_oom_kill_is_seen(tmp_path: Path, group: str, counter: str, text: str) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(group + "\n")
    file = tmp_path / counter
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.format(3))
    file.with_name("memory.max").write_text("1048576\n")
    watch = MemoryWatch(tmp_path)
    assert not watch.ran_out()
    assert report.death_of(Ended(-signal.SIGKILL, "exit"), watch, None).code == "SB408"
    file.write_text(text.format(4))
    assert watch.ran_out()
    failure = report.death_of(Ended(-signal.SIGKILL, "exit"), watch, None)
    assert (failure.kind, failure.code, failure.retryable) == ("oom", "SB406", True)
    assert report.death_of(Ended(-signal.SIGSEGV, "exit"), watch, None).code == "SB408"


def test_machine_without_counters(tmp_path: Path) -> None:
    watch = MemoryWatch(tmp_path)
    assert not watch.ran_out()
    assert watch.limit() is None


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(names, names, names, st.integers(-1, 10_000), st.integers(0, 100))
def test_attempt_of_its_own_uri(dag: str, run: str, task: str, index: int, number: int) -> None:
    attempt = Attempt(dag, run, task, index, number)
    assert attempt.request_key == attempt.prefix + "request.json"
    assert Attempt.of_uri(f"s3://bucket/runs/a/b/c/{attempt.request_key}") == attempt


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "s3://b/request.json",
        "s3://b/runs/d/r/t/-1/request.json",
        "runs/d/r/t/0/1/x",
        "s3://b/runs/d=41/r/t/0/1/request.json",
        "s3://b/runs/d/r/t/00/1/request.json",
    ],
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(RunProblem, match="SB401"):
        Attempt.of_uri(uri)


def test_every_kind_has_its_exit_code() -> None:
    kinds = {code.kind for code in CODES.values()} | {"preempted"}
    assert set(report.EXIT_CODES) == kinds
    assert len({*report.EXIT_CODES.values(), report.EXIT_SKIP, 0, 2}) == len(kinds) + 3


def test_failures_of_the_runner_itself() -> None:
    store = report.failure_of(StoreProblem("SB305", "no answer", place="s3://b/k"))
    assert (store.kind, store.code, store.retryable) == ("infra", "SB305", True)
    config = report.failure_of(StoreProblem("SB306", "no bucket", place="s3://b"))
    assert (config.kind, config.retryable) == ("config", False)
    disk = report.failure_of(OSError(28, "No space left on device"))
    assert (disk.kind, disk.code, disk.retryable) == ("infra", "SB409", True)
    assert report.failure_of(MemoryError()).kind == "oom"
    long = report.failure_of(StoreProblem("SB305", "x" * 10**6))
    assert len(report.shown(long, Redactor()).message) < 20_000
    told = Failure("user", "SB402", "E", "m", signal="skip")
    assert report.failure_of(report.StepFailed(told)) is told
    assert report.shown(told, Redactor()) == told
    assert report.exit_code(told) == report.EXIT_SKIP


@pytest.fixture
def signals() -> Iterator[Signals]:
    """The runner's handlers, in this process for as long as the test takes."""
    taken = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in taken]
    found = Signals()
    found.install()
    yield found
    signal.set_wakeup_fd(-1)
    for number, handler in zip(taken, before, strict=True):
        signal.signal(number, handler)


def test_signal_that_interrupts_nothing_ends_the_wait(signals: Signals) -> None:
    """Another thread gets it: the main thread's system call goes on, as when it comes right before that."""
    over = threading.Event()

    def hangs() -> None:
        time.sleep(0.3)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        over.wait(30)

    began = time.monotonic()
    with pytest.raises(RunProblem, match=r"SB405.*SIGTERM"):
        aside(hangs, signals)
    assert time.monotonic() - began < 10
    over.set()
    with pytest.raises(RunProblem, match=r"SB405.*SIGTERM"):
        aside(lambda: pytest.fail("it is not begun"), signals)


SIGNALLER = """
import os, random, signal, time
while os.read(0, 1):
    until = time.perf_counter() + random.random() * 2e-4
    while time.perf_counter() < until:
        pass
    os.kill(os.getppid(), signal.SIGTERM)
"""


def test_signal_around_the_begin_of_a_wait_ends_it(signals: Signals) -> None:
    """Another process sends it while the main thread is on its way into the wait."""
    with subprocess.Popen([sys.executable, "-c", SIGNALLER], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        ready = process.stdin.fileno()
        for _ in range(400):
            signals.received = 0
            over = threading.Event()

            def hangs(over: threading.Event = over) -> None:
                os.write(ready, b"x")
                over.wait(30)

            began = time.monotonic()
            with pytest.raises(RunProblem, match=r"SB405.*SIGTERM"):
                aside(hangs, signals)
            assert time.monotonic() - began < 10
            over.set()


def test_aside_hands_on_what_came_of_the_work(signals: Signals) -> None:
    assert aside(lambda: threading.current_thread() is threading.main_thread(), signals) is False
    with pytest.raises(ZeroDivisionError):
        aside(lambda: 1 / 0, signals)
