"""S3 servers that the tests start: moto in process, SeaweedFS, rclone as the liar, a proxy with faults."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ACCESS = "stepbridge-test"
SECRET = "stepbridge-test-secret"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCESS,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def client(url: str) -> Any:
    """A boto3 client: the tests' own eyes and hands on a server."""
    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        config=config,
    )


def make_bucket(url: str) -> str:
    """A new, empty bucket on the server."""
    name = f"test-{secrets.token_hex(6)}"
    client(url).create_bucket(Bucket=name)
    return name


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """moto's server in this process; yields its URL."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def binary(name: str) -> str:
    """The path of a server's program, or an error: a test that cannot run must not pass."""
    import sys

    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise FileNotFoundError(f"{name} is not installed: install the dependency group 'test'")
    return found


def free_ports(count: int) -> list[int]:
    """Ports that are free now; the one 10,000 above each is free too (SeaweedFS takes both)."""
    found: list[int] = []
    while len(found) < count:
        port = 20_000 + secrets.randbelow(25_000)
        if port in found:
            continue
        try:
            for number in (port, port + 10_000):
                with socket.create_server(("127.0.0.1", number)):
                    pass
        except OSError:
            continue
        found.append(port)
    return found


@contextlib.contextmanager
def running(command: list[str], url: str, log: Path, ready: Callable[[], object]) -> Iterator[str]:
    """A server as a process of its own, from the first good answer until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **CREDENTIALS},
            cwd=log.parent,
        )
        try:
            _wait(ready, process, log)
            yield url
        finally:
            process.kill()
            process.wait()


def _wait(ready: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    deadline = time.monotonic() + 60
    while True:
        try:
            ready()
            return
        except (BotoCoreError, ClientError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{log.read_text()[-3000:]}") from None
            time.sleep(0.1)


@contextlib.contextmanager
def seaweed(directory: Path) -> Iterator[str]:
    """SeaweedFS: real signatures, real preconditions."""
    s3, master, volume, filer, admin = free_ports(5)
    data = directory / "data"
    data.mkdir(parents=True)
    url = f"http://127.0.0.1:{s3}"
    command = [binary("weed"), "mini", "-dir", str(data), "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1"]
    command += ["-s3.port", str(s3), "-master.port", str(master), "-volume.port", str(volume)]
    command += ["-filer.port", str(filer), "-admin.port", str(admin), "-webdav=false"]
    with running(command, url, directory / "log.txt", lambda: make_bucket(url)) as address:
        yield address


@contextlib.contextmanager
def rclone(directory: Path) -> Iterator[str]:
    """``rclone serve s3``: ignores preconditions, as several servers do."""
    (port,) = free_ports(1)
    (directory / "data").mkdir(parents=True)
    url = f"http://127.0.0.1:{port}"
    command = [binary("rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    command += ["--auth-key", f"{ACCESS},{SECRET}", "--config", os.devnull, str(directory / "data")]
    with running(command, url, directory / "log.txt", client(url).list_buckets) as address:
        yield address


@dataclass
class Fault:
    """What the proxy does to the requests that match, *times* times.

    *action*: ``status NNN``; ``reset`` (closed, nothing forwarded); ``lose`` (forwarded, answer dropped);
    ``cut`` (half of the body, then closed); ``flip`` (one bit of the body turned); ``short`` (half of the
    body as if it were all).
    """

    action: str
    method: str = "GET"
    part: str = ""
    times: int = 1
    header: str = ""

    def takes(self, method: str, path: str, headers: Any) -> bool:
        if self.times <= 0 or method != self.method or self.part not in path:
            return False
        if self.header and self.header not in headers:
            return False
        self.times -= 1
        return True


@dataclass
class FaultProxy:
    """An HTTP proxy in front of a server: ``faults`` says what goes wrong, ``requests`` what was asked."""

    upstream: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> FaultProxy:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.proxy.requests.append((self.command, self.path))
        taken = (f for f in self.proxy.faults if f.takes(self.command, self.path, self.headers))
        fault = next(taken, None)
        action = fault.action if fault else "pass"
        if action == "reset":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif action.startswith("status"):
            self.answer(int(action.split()[1]), {}, b"")
        else:
            self.forward(body, action)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    def forward(self, body: bytes, action: str) -> None:
        parts = urlsplit(self.proxy.upstream)
        upstream = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        headers = dict(self.headers.items())
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        data = answer.read()
        names = dict(answer.getheaders())
        upstream.close()
        if action == "lose":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if action == "flip":
            data = data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :]
        if action == "short":
            data = data[: len(data) // 2]
            names["Content-Length"] = str(len(data))
        self.answer(answer.status, names, data, cut=action == "cut")

    def answer(self, status: int, names: dict[str, str], data: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in names.items():
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        length = names.get("Content-Length", str(len(data))) if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if cut:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return
