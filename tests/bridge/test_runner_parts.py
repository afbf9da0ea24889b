"""Parts of the runner that a whole run cannot bring about here: GPUs, OOM counters, URIs, exit codes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.contract import Attempt
from stepbridge.failures import CODES, RunProblem, StoreProblem
from stepbridge.runner import report
from stepbridge.runner.attempt import attempt_of
from stepbridge.runner.preflight import check_gpus
from stepbridge.runner.processes import Ended
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
    check_gpus(0, {"PATH": ""}, tmp_path)


def test_gpus_that_are_not_there(tmp_path: Path) -> None:
    for environ in (
        tool(tmp_path / "few", LISTING),
        {**tool(tmp_path / "hidden", LISTING * 2), "CUDA_VISIBLE_DEVICES": "0"},
        {**tool(tmp_path / "hidden", LISTING * 2), "CUDA_VISIBLE_DEVICES": ""},
        {**tool(tmp_path / "hidden", LISTING * 2), "CUDA_VISIBLE_DEVICES": "-1"},
    ):
        with pytest.raises(RunProblem, match="SB407"):
            check_gpus(3, environ)
    broken = tool(tmp_path / "broken", "the driver is not loaded", 9)
    with pytest.raises(RunProblem, match=r"driver is not loaded.*NVIDIA_VISIBLE_DEVICES='all'"):
        check_gpus(1, {**broken, "NVIDIA_VISIBLE_DEVICES": "all"})


def test_gpus_by_device_files(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    check_gpus(2, {"PATH": ""}, tmp_path)
    with pytest.raises(RunProblem, match=r"3 GPU.s. asked for, 2 there"):
        check_gpus(3, {"PATH": ""}, tmp_path)


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
    root, key, found = attempt_of(f"s3://bucket/runs/a/b/c/{attempt.prefix}request.json")
    assert root == "s3://bucket/runs/a/b/c"
    assert key == attempt.prefix + "request.json"
    assert found == attempt


@pytest.mark.parametrize(
    "uri", ["", "s3://b/request.json", "s3://b/runs/d/r/t/-1/request.json", "runs/d/r/t/0/1/x"]
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(RunProblem, match="SB401"):
        attempt_of(uri)


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
    assert len(long.message) < 20_000
    told = Failure("user", "SB402", "E", "m", signal="skip")
    assert report.failure_of(report.StepFailed(told)) is told
    assert report.exit_code(told) == report.EXIT_SKIP
