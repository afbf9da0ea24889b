"""Secret values reach no log and no message, however the output is cut, quoted or delayed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runner_harness import Harness, Ran, wait_for

from stepbridge import Secret, documents
from stepbridge.contract import StoreSettings
from stepbridge.runner.logs import Pump, read_log
from stepbridge.runner.redact import MASK, Redactor, Stream, values_of_environment

PASSWORD = "p@ss/w%rd 'ö\\q"


@pytest.fixture
def harness(file_settings: StoreSettings, tmp_path: Path) -> Harness:
    return Harness(file_settings, tmp_path / "work")


def reference(data: bytes, values: list[bytes]) -> bytes:
    """The plain way: mark every byte of every occurrence, then write each run of marked bytes as one mask."""
    marked = bytearray(len(data))
    for value in values:
        for at in range(len(data)):
            if data.startswith(value, at):
                marked[at : at + len(value)] = b"\1" * len(value)
    out = b""
    for at, mark in enumerate(marked):
        if not mark:
            out += data[at : at + 1]
        elif not at or not marked[at - 1]:
            out += MASK
    return out


words = st.text("ab", min_size=6, max_size=12)
pieces = st.lists(st.text("ab.", max_size=9), max_size=20)


@given(st.lists(words, min_size=1, max_size=3), st.lists(st.one_of(st.text("ab.", max_size=9), words)))
def test_stream_hides_what_the_whole_would(values: list[str], parts: list[str]) -> None:
    stream = Stream(Redactor(values))
    shown = b"".join(stream.feed(part.encode()) for part in [*parts, "."])
    assert stream.flush() == b""
    data = "".join([*parts, "."]).encode()
    assert shown == reference(data, [value.encode() for value in values])
    assert Redactor(values).text(data.decode()) == shown.decode()


@given(words, pieces, pieces, st.integers(0, 12))
def test_flushed_stream_never_shows_a_whole_value(
    value: str, before: list[str], after: list[str], cut: int
) -> None:
    """Flushed in the midst of a value it shows at most a quarter of it, and loses nothing else but length."""
    stream = Stream(Redactor([value]))
    shown = b"".join(stream.feed(part.encode()) for part in [*before, ".", value[:cut]])
    shown += stream.flush()
    shown += b"".join(stream.feed(part.encode()) for part in [value[cut:], ".", *after, "."])
    assert value.encode() not in shown
    for size in range(len(value) // 4 + 1, len(value) + 1):
        clear = "".join([*before, ".", value, ".", *after])
        if clear.count(value[:size]) == clear.count(value):
            assert value[:size].encode() not in shown.replace(MASK, b"")


@given(st.lists(st.binary(max_size=300)))
def test_binary_noise_passes_as_it_is(parts: list[bytes]) -> None:
    stream = Stream(Redactor(["not in there, never ever"]))
    shown = b"".join(map(stream.feed, parts)) + stream.flush()
    assert shown == b"".join(parts)
    nothing = Stream(Redactor(["short"]))
    assert [nothing.feed(part) for part in parts] == parts


def test_forms_and_members() -> None:
    redactor = Redactor([PASSWORD + "\n", json.dumps({"user": "u", "token": "tok-123456", "n": [1234567]})])
    for text in (PASSWORD, repr(PASSWORD), json.dumps(PASSWORD), quote(PASSWORD), quote(PASSWORD, safe="")):
        assert redactor.text(f"<{text}>").strip("<>\"'") == "***"
    assert redactor.text("tok-123456 1234567 u") == "*** *** u"
    pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQC7\n-----END KEY-----\n"
    assert "MII" not in Redactor([pem]).text("  1: MIIEvQIBADANBgkqhkiG9w0BAQEF")


def test_values_of_connections() -> None:
    password = quote(PASSWORD, safe="")
    extra = quote(json.dumps({"region": "eu-west-1", "deep": {"api_key": "key-in-extra"}}), safe="")
    environment = {
        "AIRFLOW_CONN_ONE": f"postgresql://me:{password}@db.host:5432/data?__extra__={extra}",
        "AIRFLOW_CONN_TWO": f"http://host/?secret_token={quote('tok=en+1')}&timeout=3600000",
        "AIRFLOW_CONN_THREE": json.dumps(
            {
                "conn_type": "aws",
                "password": "in-json-1",
                "extra": json.dumps({"secret_key": "zxcvbn"}),
            }
        ),
        "AIRFLOW_CONN_FOUR": json.dumps({"conn_type": "x", "extra": {"token": "nested-token"}}),
        "AIRFLOW_CONN_ODD": "http://[broken:secretpart@x",
        "AWS_SECRET_ACCESS_KEY": "the-pods-own-key",
        "OTHER": "shown as it is",
    }
    redactor = Redactor(values_of_environment(environment))
    secret = [PASSWORD, password, "key-in-extra", "tok=en+1", quote("tok=en+1"), "in-json-1", "zxcvbn"]
    secret += ["nested-token", "the-pods-own-key", *list(environment.values())[:-1]]
    for text in secret:
        assert redactor.text(f"<{text}>") == "<***>", text
    for text in ("eu-west-1", "3600000", "db.host", "shown as it is"):
        assert redactor.text(text) == text


def test_live_output_is_not_held_back(tmp_path: Path) -> None:
    """A line that ends with what may begin a secret comes out after a moment; the rest stays hidden."""
    read_end, write_end = os.pipe()
    spool = tmp_path / "log"
    pump = Pump(read_end, spool, "uri", Redactor(["abcdefghijklmnop"]), shown=0)
    pump.start()
    os.write(write_end, b"question: ab")
    deadline = time.monotonic() + 5
    while not spool.exists() or spool.read_bytes() != b"question: ab":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.write(write_end, b"cdefghijklmnop|abcdefghij")
    while spool.read_bytes() != b"question: ab***|***":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.write(write_end, b"klmnop.")
    os.close(write_end)
    pump.join(5)
    assert spool.read_bytes() == b"question: ab***|***."


def test_100_mb_are_not_slowed_down(tmp_path: Path) -> None:
    """Hiding costs less than ten times what copying the same bytes through the same pipe costs."""
    block = (("y" * 1023 + "\n") * 256).encode()
    values = [f"secret-value-number-{number}-%/" for number in range(4)]

    def seconds(redactor: Redactor, name: str) -> float:
        read_end, write_end = os.pipe()
        pump = Pump(read_end, tmp_path / name, "uri", redactor, shown=0)
        began = time.perf_counter()
        pump.start()
        for _ in range(400):
            left = memoryview(block)
            while left:
                left = left[os.write(write_end, left) :]
        os.close(write_end)
        pump.join()
        assert (tmp_path / name).stat().st_size == 400 * len(block)
        return time.perf_counter() - began

    plain = seconds(Redactor(), "plain")
    hidden = seconds(Redactor(values), "hidden")
    print(f"100 MB: {plain:.2f} s plain, {hidden:.2f} s with {len(values)} secrets")
    assert hidden < max(10 * plain, 3.0)


# -- the real runner


def everything(ran: Ran, harness: Harness) -> dict[str, bytes]:
    """All that the run left in the store, showed and told Kubernetes."""
    kept = {info.key: harness.store.get(info.key) for info in harness.store.list(ran.attempt.prefix)}
    told = harness.termination.read_bytes() if harness.termination.exists() else b""
    return {**kept, "screen": ran.lines.encode(), "termination": told}


def assert_hidden(found: dict[str, bytes], *values: str) -> None:
    for value in values:
        for form in {value, quote(value, safe=""), repr(value)[1:-1], json.dumps(value)[1:-1]}:
            for name, data in found.items():
                assert form.encode() not in data, (name, form)


def test_printed_secrets_are_hidden_everywhere(harness: Harness, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text("first line of the key, long\nsecond line of the key, long\n")
    secrets = (Secret("db", "password", env="DB_PASSWORD"), Secret("db", "key", file=str(file)))
    connection = f"postgresql://me:{quote(PASSWORD, safe='')}@host/db"
    request = harness.request("shows_secrets", "DB_PASSWORD", str(file), PASSWORD, secrets=secrets)
    request = documents.load(type(request), documents.dump(request), place="test")
    environment = {"DB_PASSWORD": "hunter2-hunter2", "AIRFLOW_CONN_DB": connection}
    # the argument is the test's own way in; a request holds no secret otherwise
    ran = harness.run(request, environment=environment)
    assert ran.error.type == "ValueError"
    found = everything(ran, harness)
    del found[ran.attempt.prefix + "request.json"]
    assert_hidden(found, "hunter2-hunter2", PASSWORD, connection, "first line of the key, long")
    log = b"".join(read_log(harness.store, ran.attempt.prefix)).decode()
    assert "DB_PASSWORD is ***\n" in log
    assert "split: ***\n" in log
    assert "ValueError: could not log in with ***" in ran.error.traceback
    assert ran.error.message.startswith("could not log in with ***")
    assert json.loads(found["termination"])["message"].startswith("could not log in with ***")


def test_cut_of_a_long_message_shows_no_half_of_a_secret(harness: Harness) -> None:
    """Whatever the place where the message is cut for the error document: it is full of secrets."""
    request = harness.request("raises_many", "TOKEN", 3_000, secrets=(Secret("s", "k", env="TOKEN"),))
    ran = harness.run(request, environment={"TOKEN": "0123456789abcdefghij" * 40})
    assert "... cut ..." in ran.error.message
    assert_hidden(everything(ran, harness), "0123456", "defghij")


def test_follower_sees_hidden_secrets_while_the_step_runs(harness: Harness) -> None:
    secrets = (Secret("s", "k", env="TOKEN"),)
    request = harness.request("prints_slowly", "TOKEN", secrets=secrets)
    process = harness.start(request, environment={"TOKEN": "token-of-the-test"})
    wait_for(process, b"done with ***")
    output, _ = process.communicate(timeout=30)
    assert b"token-of" not in output
    assert harness.store.get(request.attempt.prefix + "log.txt") == b"going on with ***done with ***\n"
