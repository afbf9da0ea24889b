"""The step's secrets, in the real runner: from AWS Secrets Manager over HTTP, and what Kubernetes gave."""

from __future__ import annotations

import os
import secrets as randomness
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
from runner_harness import Harness, Ran, wait_for
from servers import Fault, FaultProxy

from stepbridge import Secret, documents
from stepbridge.contract import CodeRef, Request, StoreSettings
from stepbridge.failures import RunProblem
from stepbridge.runner.secret_values import SecretFiles, fetch

PASSWORD = "correct-horse-battery"
DOCUMENT = f'{{"user": "me-myself", "password": "{PASSWORD}", "port": 5432, "none": null}}'
PICTURE = b"\x89PNG\r\n\x00\xff" * 10


@pytest.fixture
def harness(file_settings: StoreSettings, tmp_path: Path) -> Harness:
    return Harness(file_settings, tmp_path / "work")


@pytest.fixture(scope="module")
def manager(moto_url: str) -> Any:
    """A client of Secrets Manager: the tests' own hands."""
    import boto3

    return boto3.client("secretsmanager", endpoint_url=moto_url, region_name="us-east-1")


@pytest.fixture
def name(manager: Any) -> Iterator[str]:
    """A secret with a JSON document."""
    name = f"test/{randomness.token_hex(4)}"
    manager.create_secret(Name=name, SecretString=DOCUMENT)
    yield name
    manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


@pytest.fixture
def proxy(moto_url: str) -> Iterator[FaultProxy]:
    with FaultProxy(moto_url) as proxy:
        yield proxy


def with_aws(url: str, **more: str) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL_SECRETS_MANAGER": url, **more}


def aws(name: str, key: str = "", **where: str) -> Secret:
    return Secret(name, key, source="aws", **where)  # type: ignore[arg-type]


def test_request_with_secrets_round_trips(harness: Harness) -> None:
    request = harness.request("trivial", secrets=(Secret("db", "p", env="P"), aws("a/b", file="/run/x")))
    assert documents.load(Request, documents.dump(request), place="r") == request
    old = documents.to_json(harness.request("trivial"))
    del old["secrets"]
    assert documents.from_json(Request, old, place="r").secrets == ()


def test_as_variable_and_file_by_name_and_arn(
    harness: Harness, proxy: FaultProxy, manager: Any, name: str, tmp_path: Path
) -> None:
    arn = manager.describe_secret(SecretId=name)["ARN"]
    binary = f"{name}-picture"
    manager.create_secret(Name=binary, SecretBinary=PICTURE)
    whole, picture = tmp_path / "run/secrets/whole", tmp_path / "run/secrets/picture"
    secrets = (
        aws(name, "password", env="PASSWORD"),
        aws(name, "port", env="PORT"),
        aws(arn, "user", env="USER_NAME"),
        aws(name, file=str(whole)),
        aws(binary, file=str(picture)),
    )
    variables = ["PASSWORD", "PORT", "USER_NAME"]
    request = harness.request("secret_values", variables, [str(whole), str(picture)], secrets=secrets)
    ran = harness.run(request, environment=with_aws(proxy.url))
    assert ran.value == [len(PASSWORD), 4, 9, len(DOCUMENT), len(PICTURE)]
    assert len(proxy.requests) == 3, "each name is asked for once"
    assert not (tmp_path / "run").exists(), "what was made for the secrets is gone"
    assert ran.usage.phases["secrets"] > 0
    assert list(harness.scratch.iterdir()) == []


def test_value_is_nowhere_but_in_the_step(harness: Harness, moto_url: str, name: str) -> None:
    request = harness.request("raises_many", "PASSWORD", 2, secrets=(aws(name, "password", env="PASSWORD"),))
    ran = harness.run(request, environment=with_aws(moto_url))
    assert ran.error.message == "***"
    kept = [harness.store.get(info.key) for info in harness.store.list("")]
    for data in (*kept, ran.lines.encode(), harness.termination.read_bytes()):
        assert PASSWORD.encode() not in data


def failure(harness: Harness, environment: dict[str, str], *secrets: Secret) -> Ran:
    ran = harness.run(harness.request("trivial", secrets=secrets), environment=environment)
    for info in harness.store.list(ran.attempt.prefix):
        assert PASSWORD.encode() not in harness.store.get(info.key)
    assert PASSWORD not in ran.lines
    assert (ran.error.code, ran.error.kind, ran.error.retryable, ran.status) in {
        ("SB439", "config", False, 3),
        ("SB305", "infra", True, 4),
    }
    return ran


def test_secrets_that_cannot_be_read(harness: Harness, moto_url: str, manager: Any, name: str) -> None:
    text, binary = f"{name}-text", f"{name}-binary"
    manager.create_secret(Name=text, SecretString=PASSWORD)
    manager.create_secret(Name=binary, SecretBinary=PICTURE)
    for secret, said in (
        (aws("no/such", "password", env="P"), "has no secret 'no/such'"),
        (aws(name, "passwort", env="P"), f"the secret {name!r} has no member 'passwort'"),
        (aws(name, "none", env="P"), f"the secret {name!r} has no member 'none'"),
        (aws(text, "password", env="P"), f"the secret {text!r} is not a JSON object"),
        (aws(binary, "password", env="P"), "has no members"),
        (aws(binary, env="P"), "no variable can hold it"),
        (Secret("db", "password", env="NOT_GIVEN"), "the variable NOT_GIVEN is not set"),
        (Secret("db", "password", file="/not/given"), "the file /not/given cannot be read"),
        (aws(name, "password", file="/proc/no/such"), "/proc/no/such cannot be written"),
    ):
        with pytest.raises(RunProblem) as caught, _environment(with_aws(moto_url)):
            _everything([secret])
        assert caught.value.code.id == "SB439"
        assert said in str(caught.value)
        assert repr(secret.name) in caught.value.place
        assert repr(secret.key) in caught.value.place
        assert caught.value.hint
        assert PASSWORD not in str(caught.value)
    ran = failure(harness, with_aws(moto_url), aws("no/such", "password", env="P"))
    assert "secretsmanager:GetSecretValue" in ran.error.message


def _everything(secrets: list[Secret]) -> None:
    from stepbridge.runner.secret_values import given

    given(secrets, os.environ)
    files = SecretFiles()
    for secret, data in fetch(secrets, StoreSettings("file:///x", region="us-east-1")).items():
        if secret.file:
            files.write(secret, data)


class _environment:
    """The variables, for the length of a block."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._new = variables
        self._old = {name: os.environ.get(name) for name in variables}

    def __enter__(self) -> None:
        os.environ.update(self._new)

    def __exit__(self, *_: object) -> None:
        for name, text in self._old.items():
            if text is None:
                del os.environ[name]
            else:
                os.environ[name] = text


def test_no_credentials_and_no_region_are_config(harness: Harness, moto_url: str, name: str) -> None:
    secret = aws(name, "password", env="P")
    bare = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "")
    ran = failure(harness, with_aws(moto_url, **bare), secret)
    assert ran.error.code == "SB439"
    assert "credentials" in ran.error.message
    assert "pod's role" in ran.error.message
    ran = failure(harness, with_aws(moto_url, AWS_REGION="", AWS_DEFAULT_REGION=""), secret)
    assert ran.error.code == "SB439"
    assert "region" in ran.error.message


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ("AccessDeniedException", 400, "SB439", "kms:Decrypt"),
        ("DecryptionFailure", 400, "SB439", "kms:Decrypt"),
        ("ThrottlingException", 400, "SB305", "ThrottlingException"),
        ("InternalServiceError", 500, "SB305", "InternalServiceError"),
    ],
)
def test_answers_that_moto_does_not_give(
    harness: Harness, aws_environment: None, body: str, status: int, code: str, said: str
) -> None:
    """A server that always answers so, over HTTP, as AWS words it."""
    with servers_answering(status, f'{{"__type": "{body}", "message": "no"}}') as (url, asked):
        ran = failure(harness, with_aws(url), aws("a/b", "k", env="P"))
    assert ran.error.code == code
    assert said in ran.error.message
    assert len(asked) == (4 if code == "SB305" else 1)


class servers_answering:
    """An HTTP server with one answer to everything; yields its URL and the list of what was asked."""

    def __init__(self, status: int, body: str) -> None:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                asked.append(self.headers["X-Amz-Target"])
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                return

        self._asked = asked
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> tuple[str, list[str]]:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}", self._asked

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_passing_failure_is_tried_again(harness: Harness, proxy: FaultProxy, name: str) -> None:
    proxy.faults += [Fault("status 500", method="POST"), Fault("reset", method="POST")]
    request = harness.request("secret_values", ["P"], [], secrets=(aws(name, "password", env="P"),))
    assert harness.run(request, environment=with_aws(proxy.url)).value == [len(PASSWORD)]
    assert len(proxy.requests) >= 3


def test_manager_out_of_reach_is_infra(harness: Harness, aws_environment: None) -> None:
    (port,) = servers.free_ports(1)
    ran = failure(harness, with_aws(f"http://127.0.0.1:{port}"), aws("a/b", env="P"))
    assert ran.error.code == "SB305"
    assert f"127.0.0.1:{port}" in ran.error.message


def test_given_secrets_reach_the_step(harness: Harness, tmp_path: Path) -> None:
    file = tmp_path / "given"
    file.touch(0o600)
    file.write_text("12345")
    secrets = (Secret("db", "p", env="GIVEN"), Secret("db", "f", file=str(file)))
    request = harness.request("secret_values", ["GIVEN"], [str(file)], secrets=secrets)
    assert harness.run(request, environment={"GIVEN": "123"}).value == [3, 5]
    assert file.exists(), "what the runner did not make it does not remove"
    ran = failure(harness, {}, *secrets)
    assert "the variable GIVEN is not set" in ran.error.message


def test_files_of_others_stay(tmp_path: Path) -> None:
    target = tmp_path / "there"
    target.write_bytes(b"value")
    secret = aws("a", file=str(target))
    files = SecretFiles()
    files.write(secret, b"value")
    with pytest.raises(RunProblem, match="another file is at"):
        files.write(secret, b"other")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(RunProblem, match="SB439"):
        files.write(aws("a", file=str(link)), b"value")
    files.write(aws("a", file=str(tmp_path / "new/deep/file")), b"value")
    (tmp_path / "new/other").touch()
    files.clear()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link", "new", "other", "there"]
    assert target.read_bytes() == b"value"


def test_file_is_removed_when_the_step_fails_or_is_killed(
    harness: Harness, moto_url: str, name: str, tmp_path: Path
) -> None:
    target = tmp_path / "secret"
    secrets = (aws(name, "password", file=str(target)),)
    ran = harness.run(harness.request("raises", secrets=secrets), environment=with_aws(moto_url))
    assert ran.error.code == "SB402"
    assert not target.exists()
    request = harness.request("sleeps", 60, secrets=secrets)
    process = harness.start(request, environment=with_aws(moto_url))
    wait_for(process, b"sleeping")
    assert target.read_bytes() == PASSWORD.encode()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 8
    assert not target.exists()


def test_sigterm_while_secrets_are_fetched(harness: Harness, aws_environment: None) -> None:
    """Secrets Manager takes the connection and never answers: the runner ends at once all the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        request = harness.request("trivial", secrets=(aws("a/b", env="P"), aws("c/d", env="Q")))
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        process = harness.start(request, environment=with_aws(url))
        connection, _ = server.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=5)
    ran = Ran(process.returncode, output.decode(), harness.store, request.attempt)
    assert ran.status == 8
    assert (ran.error.kind, ran.error.code) == ("interrupted", "SB405")
    assert list(harness.scratch.iterdir()) == []


def test_sigterm_while_the_driver_is_waited_for(harness: Harness, tmp_path: Path) -> None:
    tool = tmp_path / "bin/nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    request = harness.request("trivial", gpus=1)
    path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
    process = harness.start(request, environment={"PATH": path})
    wait_for(process, b"the GPUs are not ready")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=5)
    ran = Ran(process.returncode, output.decode(), harness.store, request.attempt)
    assert (ran.status, ran.error.code) == (8, "SB405")


class Hang(Fault):
    """A request that gets no answer until ``over`` is set; ``begun`` says that it has come."""

    def __init__(self, action: str, method: str, part: str) -> None:
        super().__init__(action, method, part)
        self.begun, self.over = threading.Event(), threading.Event()

    def takes(self, method: str, path: str, headers: Any) -> bool:
        taken = super().takes(method, path, headers)
        if taken:
            self.begun.set()
            self.over.wait(60)
        return taken


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "part"),
    [("GET", "code/"), ("GET", "artifacts/"), ("PUT", "artifacts/"), ("PUT", "log.txt")],
)
def test_sigterm_while_the_store_does_not_answer(
    moto_url: str, moto_bucket: str, tmp_path: Path, method: str, part: str
) -> None:
    """The code, an input, the output or the log is on its way, in native code that lets no signal in."""
    with FaultProxy(moto_url) as proxy:
        settings = StoreSettings(f"s3://{moto_bucket}/{randomness.token_hex(4)}", endpoint=proxy.url)
        harness = Harness(settings, tmp_path / "work")
        made = harness.call("makes_file", "an input").result.output
        request = harness.request("pushes_file", args=(made,))
        if part == "code/":
            request = harness.request("-", code=CodeRef("bundle", "m:f", "0" * 64, bundle="1" * 64))
        hang = Hang("pass", method, part)
        proxy.faults.append(hang)
        process = harness.start(request)
        try:
            assert hang.begun.wait(30)
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=10)
        finally:
            process.kill()
            hang.over.set()
        ran = Ran(process.returncode, output.decode(), harness.store, request.attempt)
        assert (ran.status, ran.error.code) == (8, "SB405")
        assert list(harness.scratch.iterdir()) == []
