"""The step's log: much of it, binary, while the step runs, and when the store or the screen fails."""

from __future__ import annotations

import resource
import subprocess
import time
from pathlib import Path

import pytest
from runner_harness import Harness, context

from stepbridge.contract import Limits, StoreSettings
from stepbridge.runner.logs import CHUNK, SHOWN, chunk_key, read_log

MIB = 1024 * 1024


@pytest.fixture
def harness(file_settings: StoreSettings, tmp_path: Path) -> Harness:
    return Harness(file_settings, tmp_path / "work")


def whole(harness: Harness, prefix: str) -> bytes:
    return b"".join(read_log(harness.store, prefix))


def test_both_streams_are_shown_and_stored(harness: Harness) -> None:
    ran = harness.call("says", "tea")
    assert ran.value == "TEA"
    assert ran.lines == "tea\nto stderr\n"
    assert whole(harness, ran.attempt.prefix) == b"tea\nto stderr\n"


def test_log_records_are_shown_from_info_up(harness: Harness, tmp_path: Path) -> None:
    ran = harness.run(harness.request("logs", context=context({"ds": "x"}, tmp_path)))
    assert ran.status == 0
    assert "INFO mine: a record" in ran.lines
    assert "INFO airflow.task: by ti" in ran.lines
    assert "too fine" not in ran.lines


def test_unprintable_text_does_not_fail_the_step(harness: Harness) -> None:
    ran = harness.call("says", "\ud800 \x00 é")
    assert ran.status == 0 or ran.error.code.startswith("SB1"), ran.lines
    assert "\\ud800" in ran.lines


def test_100_mb_of_prints(harness: Harness) -> None:
    ran = harness.call("prints", 100)
    assert ran.value == 100
    stored = whole(harness, ran.attempt.prefix)
    assert len(stored) == 100 * MIB + len("the end\n")
    assert len(ran.lines) < SHOWN + 64 * 1024
    assert "the log goes on in" in ran.lines
    assert "the end" in ran.lines[-200:]
    assert [key for key in ran.objects() if key.startswith("log/")] == []


def test_memory_of_the_runner_is_bounded(harness: Harness) -> None:
    """The runner itself, not the child: measured by a parent that starts nothing else."""
    request = harness.request("noise", 100)
    uri, digest = harness.put(request)
    measuring = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    command = harness.command(uri, digest)
    done = subprocess.run(
        [command[0], "-c", measuring, *command],
        env=harness.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    status, peak = map(int, done.stdout.split())
    assert status == 0, done.stderr
    assert peak * resource.getpagesize() // 4 < 100 * MIB
    stored = harness.store.head(request.attempt.prefix + "log.txt")
    assert stored is not None
    assert stored.size == 100 * MIB


def test_log_is_in_the_store_while_the_step_runs(harness: Harness) -> None:
    request = harness.request("prints", 12, 0.4)
    process = harness.start(request)
    prefix = request.attempt.prefix
    deadline = time.monotonic() + 30
    try:
        while harness.store.head(chunk_key(prefix, 2)) is None:
            assert process.poll() is None
            assert time.monotonic() < deadline
            drained = process.stdout
            assert drained is not None
            drained.read1(MIB)
            time.sleep(0.01)
        assert harness.store.head(prefix + "log.txt") is None
        running = whole(harness, prefix)
        assert len(running) >= 2 * CHUNK
        assert set(running) == {ord("y"), ord("\n")}
    finally:
        process.kill()
        process.communicate()
    assert whole(harness, prefix)[: len(running)] == running


def test_slow_log_is_sealed_by_time(harness: Harness) -> None:
    request = harness.request("sleeps", 6)
    process = harness.start(request)
    while harness.store.head(chunk_key(request.attempt.prefix, 1)) is None:
        assert process.poll() is None
        time.sleep(0.1)
    process.communicate()
    assert whole(harness, request.attempt.prefix) == b"sleeping\n"
    assert harness.store.head(chunk_key(request.attempt.prefix, 1)) is None


def test_closed_screen_does_not_fail_the_step(harness: Harness) -> None:
    request = harness.request("prints", 3)
    process = harness.start(request)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 0
    stored = harness.store.head(request.attempt.prefix + "log.txt")
    assert stored is not None
    assert stored.size > 3 * MIB


def test_log_of_a_timed_out_step_is_kept(harness: Harness) -> None:
    ran = harness.run(harness.request("sleeps", 60, limits=Limits(timeout=1.0, grace=1.0)))
    assert whole(harness, ran.attempt.prefix) == b"sleeping\n"


def test_no_log_reads_as_nothing(harness: Harness) -> None:
    assert whole(harness, "runs/never/was/there/-1/1/") == b""
