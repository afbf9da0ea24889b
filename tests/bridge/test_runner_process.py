"""The runner and its child process: what functions do to their process, time limits, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from runner_harness import Harness, Ran, wait_for

from stepbridge.contract import CodeRef, Limits, Stored, StoreSettings
from stepbridge.runner.logs import read_log


@pytest.fixture
def harness(file_settings: StoreSettings, tmp_path: Path) -> Harness:
    return Harness(file_settings, tmp_path / "work")


def left_behind(harness: Harness) -> list[str]:
    return [entry.name for entry in harness.scratch.iterdir()]


def test_forked_copies_write_no_outcome(harness: Harness) -> None:
    for function in ("forks_and_returns", "forks_and_raises", "forks_and_leaves_first"):
        assert harness.call(function).value == "the original"


def test_nothing_is_left_running(harness: Harness, tmp_path: Path) -> None:
    marker = tmp_path / "pids"
    began = time.monotonic()
    assert harness.call("leaves_processes", str(marker)).value == "done"
    assert time.monotonic() - began < 20
    for pid in marker.read_text().split():
        assert not Path(f"/proc/{pid}").exists()


def test_thread_that_never_ends_does_not_hold_the_step(harness: Harness) -> None:
    request = harness.request("leaves_thread", limits=Limits(timeout=60.0, grace=0.5))
    assert harness.run(request).value == "done"


def test_changed_directory(harness: Harness, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    output = harness.call("changes_directory", str(elsewhere)).result.output
    assert isinstance(output, Stored)
    assert Path(output.artifact.uri.removeprefix("file://")).read_text() == "over here"


def test_closed_streams(harness: Harness) -> None:
    assert harness.call("closes_stdout").value == "closed"


# -- time and signals


def test_timeout(harness: Harness) -> None:
    ran = harness.run(harness.request("sleeps", 60, limits=Limits(timeout=1.0, grace=2.0)))
    assert (ran.status, ran.error.kind, ran.error.code) == (6, "timeout", "SB404")
    assert ran.error.retryable
    assert "sleeping" in ran.lines


def test_timeout_of_a_function_that_ignores_sigterm(harness: Harness) -> None:
    began = time.monotonic()
    ran = harness.run(harness.request("stubborn", limits=Limits(timeout=1.0, grace=1.0)))
    assert ran.error.code == "SB404"
    assert time.monotonic() - began < 15


def test_sigterm_is_an_interruption_with_log_and_error(harness: Harness) -> None:
    request = harness.request("sleeps", 60)
    process = harness.start(request)
    wait_for(process, b"sleeping")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    ran = Ran(process.returncode, output.decode(), harness.store, request.attempt)
    assert ran.status == 8
    assert (ran.error.kind, ran.error.code, ran.error.retryable) == ("interrupted", "SB405", True)
    assert b"sleeping" in b"".join(read_log(harness.store, request.attempt.prefix))
    assert left_behind(harness) == []


def test_child_dies_with_a_killed_runner(harness: Harness) -> None:
    process = harness.start(harness.request("sleeps", 60))
    wait_for(process, b"sleeping")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.communicate()


def test_environment_that_no_process_can_have_is_an_error(harness: Harness) -> None:
    ran = harness.run(harness.request("trivial", environment={"HUGE": "x" * 4_000_000}))
    assert ran.status == 4
    assert ran.error.kind == "infra"
    assert left_behind(harness) == []


def test_sigterm_before_the_function_starts(harness: Harness) -> None:
    """The bundle is a pipe that nobody writes to: the runner waits for it when the signal comes."""
    digest = "0" * 64
    pipe = Path(harness.settings.root.removeprefix("file://")) / f"code/{digest}.zip"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    request = harness.request("-", code=CodeRef("bundle", "m:f", digest, bundle=digest))
    process = harness.start(request)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2.5)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    ran = Ran(process.returncode, output.decode(), harness.store, request.attempt)
    assert ran.status == 8
    assert ran.error.kind == "interrupted"
    assert left_behind(harness) == []
