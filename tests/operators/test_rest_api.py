"""Airflow's REST API asked for what tasks are not told, and what is said where it does not answer."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("airflow")

from stepbridge_airflow import compat, rest_api

pytestmark = pytest.mark.skipif(not compat.AIRFLOW_3, reason="workers of Airflow 2 ask the database")

CONTEXT = {"ti": SimpleNamespace(dag_id="shop", run_id="manual__2026-01-01T00:00:00+00:00")}
RUN = "/api/v2/dags/shop/dagRuns/manual__2026-01-01T00%3A00%3A00%2B00%3A00/taskInstances"


@dataclass
class Server:
    """Answers as a test says; keeps what it was asked.

    :param answers: status and body by method and path, without its query.
    """

    url: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    delay: float = 0.0

    def answer(self, method: str, target: str, authorization: str, body: bytes) -> tuple[int, bytes]:
        path = urlsplit(target)
        self.asked.append((method, target, authorization or body.decode()))
        time.sleep(self.delay)
        status, found = self.answers.get(f"{method} {path.path}", (404, {"detail": "no"}))
        if callable(found):
            found = found({name: values[0] for name, values in parse_qs(path.query).items()})
        return status, found if isinstance(found, bytes) else json.dumps(found).encode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            authorization = self.headers.get("Authorization") or ""
            status, data = made.answer(self.command, self.path, authorization, body)
            self.send_response(status)
            if status in (301, 307):
                self.send_header("Location", data.decode())
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # who asked did not wait
                self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{http.server_port}"
    made.url = f"http://{host}"
    monkeypatch.setenv("AIRFLOW_CONN_API", f"http://me:hush@{host}/")
    made.answers["POST /auth/token"] = (201, {"access_token": "t0ken"})
    made.answers[f"GET {RUN}/load"] = (200, told(-1))
    yield made
    http.shutdown()
    http.server_close()


def told(index: int, **more: Any) -> dict[str, Any]:
    """A task instance in the API's words."""
    times = {"start_date": "2026-01-01T00:00:05Z", "queued_when": "2026-01-01T00:00:03.500000Z"}
    fields = {"op_args": f"[{index}]"}
    return {"map_index": index, "try_number": 2, "duration": 1.5, "rendered_fields": fields, **times, **more}


def ask(*indexes: int) -> dict[int, rest_api.Instance]:
    return rest_api.instances("api", CONTEXT, ("load",), indexes or (-1,))["load"]


def test_a_task_is_told_with_its_times(server: Server) -> None:
    found = ask()[-1]
    assert found.fields == {"op_args": "[-1]"}
    assert found.times == compat.Times(2, "2026-01-01T00:00:05+00:00", 1.5, 1.5)
    assert server.asked == [
        ("POST", "/auth/token", '{"username":"me","password":"hush"}'),
        ("GET", f"{RUN}/load", "Bearer t0ken"),
    ]


def test_elements_come_in_pages_and_only_those_that_are_asked_for(server: Server) -> None:
    every = [told(index) for index in range(230)]

    def page(query: dict[str, str]) -> dict[str, Any]:
        start = int(query["offset"])
        return {"task_instances": every[start : start + min(80, int(query["limit"]))], "total_entries": 230}

    server.answers[f"GET {RUN}/load/listMapped"] = (200, page)
    found = ask(*range(1, 230))
    assert sorted(found) == list(range(1, 230))
    assert found[229].fields == {"op_args": "[229]"}
    assert len(server.asked) == 1 + 3
    server.answers[f"GET {RUN}/load/7"] = (200, told(7))
    assert list(ask(7)) == [7]


def test_elements_that_the_list_does_not_show_in_full_are_asked_for_alone(server: Server) -> None:
    """As Airflow 3.0 answers."""
    bare = [told(index, rendered_fields={}) for index in range(3)]
    server.answers[f"GET {RUN}/load/listMapped"] = (200, {"task_instances": bare, "total_entries": 3})
    for index in range(3):
        server.answers[f"GET {RUN}/load/{index}"] = (200, told(index))
    assert {index: one.fields["op_args"] for index, one in ask(0, 2).items()} == {0: "[0]", 2: "[2]"}


def test_what_airflow_does_not_know_is_left_out(server: Server) -> None:
    assert rest_api.instances("api", CONTEXT, ("gone",), (-1,)) == {"gone": {}}
    assert rest_api.instances("api", CONTEXT, ("gone",), (0, 1)) == {"gone": {}}
    server.answers[f"GET {RUN}/load"] = (200, told(-1, rendered_fields={}, start_date=None, duration=None))
    assert ask()[-1] == rest_api.Instance({}, compat.Times(2))


@pytest.mark.parametrize(
    ("connection", "asked"),
    [
        ({"host": "HOST", "password": "own"}, ["Bearer own"]),
        ({"host": "http://HOST/", "login": "me", "password": "p"}, ["Bearer t0ken"]),
        ({"host": "HOST", "schema": "http"}, ["Bearer open"]),
    ],
    ids=["token", "url", "open"],
)
def test_ways_to_say_who_asks(
    server: Server, monkeypatch: pytest.MonkeyPatch, connection: dict[str, str], asked: list[str]
) -> None:
    text = json.dumps({"conn_type": "http", **connection}).replace("HOST", server.url[7:])
    monkeypatch.setenv("AIRFLOW_CONN_API", text)
    server.answers["GET /auth/token"] = (201, {"access_token": "open"})
    assert ask()[-1].fields
    assert [who for _, path, who in server.asked if path.startswith("/api")] == asked


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        (
            "POST /auth/token",
            (401, {"detail": "Invalid credentials"}),
            "POST /auth/token is answered with 401",
        ),
        ("POST /auth/token", (201, {}), "auth/token gave no access_token"),
        ("GET LOAD", (403, {}), "is answered with 403"),
        ("GET LOAD", (500, b"<html>"), "is answered with 500"),
        ("GET LOAD", (200, b"<html>"), "is not answered with JSON"),
        ("GET LOAD", (200, [1]), "is not answered with an object"),
        ("GET LOAD", (200, told(-1, start_date="soon")), "its answer has no time: 'soon'"),
        ("GET LOAD", (307, b"http://127.0.0.1:1/elsewhere"), "is answered with 307"),
    ],
)
def test_what_cannot_be_used_says_why(server: Server, path: str, answer: tuple[int, Any], words: str) -> None:
    server.answers[path.replace("LOAD", f"{RUN}/load")] = answer
    with pytest.raises(rest_api.RestTrouble) as raised:
        ask()
    assert words in str(raised.value)
    assert "hush" not in str(raised.value)


def test_a_token_that_is_none_is_not_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"conn_type": "http", "host": server.url, "password": "hush\nhush"}
    monkeypatch.setenv("AIRFLOW_CONN_API", json.dumps(found))
    with pytest.raises(rest_api.RestTrouble, match="gives no URL or token that can be used") as raised:
        ask()
    assert "hush" not in str(raised.value)


def test_a_server_that_does_not_answer_is_not_waited_for_long(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_api, "_SECONDS", 0.3)
    server.delay = 2
    began = time.monotonic()
    with pytest.raises(rest_api.RestTrouble, match="ReadTimeout"):
        ask()
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    ("connection", "words"),
    [
        (None, "connection 'api' cannot be read"),
        ("http://", "connection 'api' has no host"),
        ("http://me:hush@127.0.0.1:1/", "ConnectError"),
        ('{"conn_type": "http", "host": "http://[hush"}', "gives no URL or token that can be used"),
        ('{"conn_type": "http", "host": "ftp://127.0.0.1"}', "UnsupportedProtocol"),
    ],
)
def test_a_connection_that_is_no_use_says_why(
    monkeypatch: pytest.MonkeyPatch, connection: str | None, words: str
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_API", raising=False)
    if connection is not None:
        monkeypatch.setenv("AIRFLOW_CONN_API", connection)
    with pytest.raises(rest_api.RestTrouble) as raised:
        ask()
    assert words in str(raised.value)
    assert "hush" not in str(raised.value)
