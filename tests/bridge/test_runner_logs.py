"""The step's log: much of it, binary, while the step runs, and when the store or the screen fails."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from runner_harness import Harness, context
from servers import Fault, FaultProxy

from stepbridge import Secret
from stepbridge.contract import Limits, StoreSettings
from stepbridge.runner.log_reader import LogFollower
from stepbridge.runner.logs import CHUNK, SHOWN, Pump, Shipper, chunk_key, read_log
from stepbridge.runner.redact import Redactor
from stepbridge.store.base import Store
from stepbridge.store.connect import Patience
from stepbridge.store.opening import open_store
from stepbridge.store.s3 import TRIES, S3Store

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


@pytest.mark.parametrize("secrets", [(), (Secret("s", "k", env="TOKEN"),)], ids=["plain", "hiding"])
def test_memory_of_the_runner_is_bounded(harness: Harness, secrets: tuple[Secret, ...]) -> None:
    """The runner itself, not the child: measured by a parent that starts nothing else."""
    request = harness.request("noise", 100, secrets=secrets)
    uri, digest = harness.put(request)
    measuring = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    command = harness.command(uri, digest)
    done = subprocess.run(
        [command[0], "-c", measuring, *command],
        env=harness.environment(TOKEN="a value that noise does not hold"),
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


def test_chunk_whose_answer_was_lost_keeps_its_size(moto_url: str, moto_bucket: str, tmp_path: Path) -> None:
    """It lies in the store and may be read already, so the next one begins where it ends."""
    with FaultProxy(moto_url) as proxy:
        settings = StoreSettings(f"s3://{moto_bucket}/lost", endpoint=proxy.url)
        store = S3Store(settings, moto_bucket, "lost", Patience(retries=0, first=0.01))
        spool = tmp_path / "spool"
        read_end, write_end = os.pipe()
        pump = Pump(read_end, spool, "uri", Redactor(), shown=0)
        pump.start()
        shipper = Shipper(store, "p/", pump, spool)
        follower = LogFollower(store, "p/")
        seen = b""
        proxy.faults.append(Fault("lose", method="PUT", times=TRIES))
        for number, text in enumerate((b"first", b" second", b" third", b" fourth")):
            os.write(write_end, text)
            while pump.size < number + 1 or not spool.read_bytes().endswith(text):
                time.sleep(0.01)
            shipper._seal()
            seen += follower.read()
        assert proxy.faults[0].times == 0
        assert seen == b"first second third fourth"
        os.close(write_end)
        pump.finish(5)
        shipper.finish(5)
        shipper.clear()
        assert seen + follower.read() == b"first second third fourth"
        assert [info.key for info in store.list("p/")] == ["p/log.txt"]


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


# -- followers


def drain(follower: LogFollower) -> bytes:
    seen = b""
    while data := follower.read():
        seen += data
    return seen


steps = st.lists(
    st.one_of(
        st.tuples(st.just("seal"), st.integers(1, 9)),
        st.tuples(st.sampled_from(["read", "resume", "other"]), st.integers(0, 40)),
    ),
    max_size=25,
)


@given(steps, steps, st.integers(0, 9), st.integers(0, 3))
@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_follower_gives_each_byte_once(
    tmp_path_factory: pytest.TempPathFactory,
    running: list[tuple[str, int]],
    ending: list[tuple[str, int]],
    unsealed: int,
    left: int,
) -> None:
    """Chunks come, then the whole log, then chunks go one by one; followers read, end and go on elsewhere."""
    store = open_store(StoreSettings(f"file://{tmp_path_factory.mktemp('follow')}"))
    log = bytes(number % 251 for number in range(400))
    sealed = chunks = 0
    follower, seen = LogFollower(store, "p/"), b""

    def play(kind: str, number: int) -> None:
        nonlocal follower, seen
        if kind == "resume":
            follower = LogFollower(store, "p/", offset=follower.offset)
        elif kind == "other":
            offset = min(number, sealed)
            assert drain(LogFollower(store, "p/", offset=offset)) == visible()[offset:]
        else:
            for _ in range(number % 4):
                seen += follower.read()
        assert seen == log[: len(seen)]
        assert follower.offset == len(seen)

    def visible() -> bytes:
        return b"".join(read_log(store, "p/"))

    for kind, number in running:
        if kind == "seal":
            chunks += 1
            store.put(chunk_key("p/", chunks), log[sealed : sealed + number])
            sealed += number
        else:
            play(kind, number)
    log = log[: sealed + unsealed]
    store.put("p/log.txt", log)
    cleared = 0
    for kind, number in ending:
        if kind == "seal" and cleared < chunks - left:
            cleared += 1
            store.delete(chunk_key("p/", cleared))
        elif kind != "seal":
            play(kind, number)
    assert seen + drain(follower) == log


class Counting:
    """Another store, its requests counted."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.requests: list[str] = []

    def __getattr__(self, name: str) -> object:
        self.requests.append(name)
        return getattr(self._inner, name)


@pytest.mark.parametrize("offset", [0, 3, 5, 6])
def test_nothing_new_costs_two_requests(file_store: Store, offset: int) -> None:
    for finished in (False, True):
        counting = Counting(file_store)
        follower = LogFollower(counting, f"never/{finished}/", offset=offset)  # type: ignore[arg-type]
        assert follower.read() == follower.read() == b""
        assert len(counting.requests) == 4
        file_store.put(chunk_key(f"p{finished}/", 1), b"first")
        if finished:
            file_store.put(f"p{finished}/log.txt", b"first")
        follower = LogFollower(counting, f"p{finished}/", offset=offset)  # type: ignore[arg-type]
        assert drain(follower) == b"first"[offset:]
        counting.requests.clear()
        assert follower.read() == b""
        assert len(counting.requests) <= 2


def test_large_whole_log_comes_in_pieces(settings: StoreSettings, tmp_path: Path) -> None:
    store = open_store(settings)
    block = os.urandom(MIB)
    spool = tmp_path / "spool"
    spool.write_bytes(block * 20)
    os_pipe = os.pipe()
    shipper = Shipper(store, "p/", Pump(os_pipe[0], spool, "uri", Redactor()), spool)
    shipper.finish(5)
    for descriptor in os_pipe:
        os.close(descriptor)
    follower = LogFollower(store, "p/", offset=MIB + 5)
    parts = []
    while data := follower.read():
        parts.append(data)
    assert max(map(len, parts)) == CHUNK
    assert b"".join(parts) == (block * 20)[MIB + 5 :]
    assert follower.offset == 20 * MIB


def test_follower_beside_a_real_run(harness: Harness) -> None:
    """It reads while the step prints; what it gave is what is stored, and nothing twice."""
    request = harness.request("prints", 24, 0.15)
    process = harness.start(request)
    prefix = request.attempt.prefix
    follower, seen, whiles = LogFollower(harness.store, prefix), b"", 0
    assert process.stdout is not None
    while process.poll() is None:
        data = follower.read()
        seen += data
        whiles += bool(data)
        if len(data) > MIB and whiles % 2:
            follower = LogFollower(harness.store, prefix, offset=follower.offset)
        if not data:
            process.stdout.read1(MIB)
    process.communicate()
    assert whiles >= 2
    seen += drain(follower)
    assert seen == whole(harness, prefix)
    assert len(seen) == 24 * MIB + len("the end\n")


def test_follower_of_a_killed_run_gets_what_was_sealed(harness: Harness) -> None:
    request = harness.request("sleeps", 60)
    process = harness.start(request)
    follower = LogFollower(harness.store, request.attempt.prefix)
    seen = b""
    deadline = time.monotonic() + 20
    while not seen:
        assert time.monotonic() < deadline
        seen = follower.read()
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert seen + drain(follower) == b"sleeping\n"
    assert whole(harness, request.attempt.prefix) == b"sleeping\n"


def test_output_without_lines_and_its_last_piece(harness: Harness) -> None:
    ran = harness.call("writes", ["no line", " ends", " here"])
    assert whole(harness, ran.attempt.prefix) == b"no line ends here"
    assert ran.lines == "no line ends here"
