"""Secrets of every kind reach a step and nothing else: every place where anything is written is searched."""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import logging
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from podlab import PodLab, pods  # noqa: F401 - the fixture

DEFERRED = ", deferrable=True, poll_interval=0.5"
VALUES = {
    name: f"{name}-Wq7+/{n}zX=&secret-of-the-test"
    for n, name in enumerate(
        ("kubeenv", "kubefile", "awsenv", "awsfile", "awsmember", "kpoenv", "kpofile", "envvar")
    )
}
PASSWORD = "conn-Pw+/9=of the test"
VARIABLE = "variable-Tk5=value-of-the-test"
NESTED = "nested-Tk7=value-of-the-test"


@pytest.fixture
def manager(pods: PodLab, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """AWS Secrets Manager over HTTP; what a pod's environment needs to reach it."""
    pytest.importorskip("moto.server")
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-key-of-the-test",
        "AWS_REGION": "us-east-1",
    }
    reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).read()
    client = boto3.client(
        "secretsmanager",
        endpoint_url=environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_secret(Name="whole", SecretString=VALUES["awsenv"])
    client.create_secret(Name="file", SecretString=VALUES["awsfile"])
    client.create_secret(Name="doc", SecretString=json.dumps({"m": VALUES["awsmember"], "n": 1}))
    yield environment
    server.stop()


def own_secrets(pods: PodLab) -> list[dict[str, Any]]:
    """The Secrets that steps made."""
    return [one for one in pods.cluster.secrets() if one["metadata"]["name"].startswith("stepbridge-")]


ALL_KINDS = """
from airflow.providers.cncf.kubernetes.secret import Secret as KpoSecret
from kubernetes.client.models import V1EnvVar, V1EnvVarSource, V1SecretKeySelector

try:
    from airflow.sdk import BaseHook, Variable
except ImportError:
    from airflow.hooks.base import BaseHook
    from airflow.models import Variable

SECRETS = [
    Secret("app", "env", env="K_ENV"),
    Secret("app", "file", file="{root}/run/k-file"),
    Secret("whole", env="A_ENV", source="aws"),
    Secret("file", file="{root}/run/a-file", source="aws"),
    Secret("doc", "m", env="A_MEMBER", source="aws"),
    KpoSecret("env", "P_ENV", "kpo", "env"),
    KpoSecret("volume", "{root}/kpo-volume", "kpo-files"),
]
VARS = [
    *(V1EnvVar(name=name, value=value) for name, value in {aws!r}.items()),
    V1EnvVar(
        name="V_ENV",
        value_from=V1EnvVarSource(secret_key_ref=V1SecretKeySelector(name="app", key="var")),
    ),
]

def use(fails):
    import os
    import sys
    from pathlib import Path
    connection = BaseHook.get_connection("c")
    found = [
        os.environ["K_ENV"], Path("{root}/run/k-file").read_text(), os.environ["A_ENV"],
        Path("{root}/run/a-file").read_text(), os.environ["A_MEMBER"], os.environ["P_ENV"],
        Path("{root}/kpo-volume/file").read_text(), os.environ["V_ENV"],
        connection.password, Variable.get("api_token"),
        Variable.get("settings", deserialize_json=True)["deep"]["password"],
    ]
    for one in found:
        print("a secret:", one, repr(one))
    print(found, connection.get_uri(), file=sys.stderr)
    sys.stdout.write("in two ")
    sys.stdout.flush()
    sys.stdout.write(found[0][:9])
    sys.stdout.flush()
    print(found[0][9:])
    if fails:
        raise ValueError(f"cannot use {{found}} or " + " and ".join(found))
    import hashlib
    return [hashlib.sha256(one.encode()).hexdigest() for one in found]

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    for n, fails in enumerate((False, True)):
        StepOperator(task_id=f"t{{n}}", python_callable=use, op_kwargs={{"fails": fails}}, env_vars=VARS,
            secrets=SECRETS, cache="auto", on_finish_action="keep_pod"{more})
"""


def digests() -> list[str]:
    import hashlib

    names = ("kubeenv", "kubefile", "awsenv", "awsfile", "awsmember", "kpoenv", "kpofile", "envvar")
    wanted = [*(VALUES[name] for name in names), PASSWORD, VARIABLE, NESTED]
    return [hashlib.sha256(one.encode()).hexdigest() for one in wanted]


def forms(value: str) -> set[bytes]:
    """*value* as it may be written."""
    texts = {value, quote(value), quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]}
    return {text.encode() for text in texts} | {base64.b64encode(value.encode())}


def written(pods: PodLab, said: str) -> dict[str, bytes]:
    """All that anybody wrote anywhere, by its place, but for Kubernetes Secrets."""
    from throwaway import HOME

    cluster = pods.cluster
    places = {
        "manifests": json.dumps(pods.created()).encode(),
        "pods": json.dumps(cluster.pods()).encode(),
        "events": json.dumps(cluster.events()).encode(),
        "requests": repr([(one.path, one.query) for one in cluster.requests]).encode(),
        "task log": said.encode(),
    }
    for pod in cluster.pods():
        name = pod["metadata"]["name"]
        places[f"log of {name}"] = cluster.logs(name)
        assert places[f"log of {name}"].count(b"***") > 10
    for path in sorted(pods.lab.store.rglob("*")):
        if path.is_file():
            places[str(path)] = path.read_bytes()
            if path.suffix == ".zip":
                with zipfile.ZipFile(path) as archive:
                    for name in archive.namelist():
                        places[f"{path}/{name}"] = archive.read(name)
    for path in [*HOME.glob("airflow.db*"), *(HOME / "logs").rglob("*")]:
        if path.is_file():
            places[str(path)] = path.read_bytes()
    for path in (cluster.root).rglob("*"):
        if path.is_file() and "run/k-file" not in str(path) and "kpo-volume" not in str(path):
            places[str(path)] = path.read_bytes()
    return places


@pytest.mark.parametrize("more", ["", DEFERRED])
def test_no_value_of_a_secret_is_written_anywhere(
    pods: PodLab,
    manager: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: Any,
    more: str,
) -> None:
    pods.cluster.add_secret(
        "app", {"env": VALUES["kubeenv"], "file": VALUES["kubefile"], "var": VALUES["envvar"]}
    )
    pods.cluster.add_secret("kpo", {"env": VALUES["kpoenv"]})
    pods.cluster.add_secret("kpo-files", {"file": VALUES["kpofile"]})
    monkeypatch.setenv("AIRFLOW_CONN_C", f"postgres://u:{quote(PASSWORD, safe='')}@host:5432/db")
    monkeypatch.setenv("AIRFLOW_VAR_API_TOKEN", VARIABLE)
    monkeypatch.setenv("AIRFLOW_VAR_SETTINGS", json.dumps({"deep": {"password": NESTED}}))
    run = pods.run(ALL_KINDS.format(root=pods.cluster.root, aws=manager, more=more), expect="failed")
    out, err = capfd.readouterr()
    assert run.states == {"t0": "success", "t1": "failed"}
    assert run.xcom("t0") == digests()
    assert own_secrets(pods) == []
    places = written(pods, out + err)
    assert sum(name.endswith("log.txt") for name in places) == 2
    assert sum(name.endswith("error.json") for name in places) == 1
    assert sum("/cache/" in name for name in places) == 2  # the entry, and its copy as the step's latest
    assert "cannot use" in out + err
    for value in (*VALUES.values(), PASSWORD, VARIABLE, NESTED):
        for form in forms(value):
            assert [name for name, data in places.items() if form in data] == [], form


HELD = """
from pathlib import Path

try:
    from airflow.sdk import BaseHook, Variable
except ImportError:
    from airflow.hooks.base import BaseHook
    from airflow.models import Variable

def use():
    import time
    Variable.get("api_token")
    BaseHook.get_connection("c")
    Path("{mark}").write_text("x")
    while not Path("{mark}.go").exists():
        time.sleep(0.05)
    {end}

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator(task_id="t", python_callable=use{more})
"""


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_C", "http://u:a-password@host")
    monkeypatch.setenv("AIRFLOW_VAR_API_TOKEN", VARIABLE)


def kill(pods: PodLab, mark: Path) -> None:
    del pods, mark
    from stepbridge_airflow.mixin import StepMixin

    for found in gc.get_objects():
        if issubclass(type(found), StepMixin) and found._execution is not None:
            found.on_kill()


def evict(pods: PodLab, mark: Path) -> None:
    del mark
    pods.cluster.evict(pods.cluster.pods()[0]["metadata"]["name"])


def release(pods: PodLab, mark: Path) -> None:
    del pods
    Path(f"{mark}.go").write_text("")


@pytest.mark.parametrize(
    ("act", "end", "more", "expect"),
    [
        (release, "return 1", "", "success"),
        (release, "return 1", DEFERRED, "success"),
        (release, "raise ValueError('no')", "", "failed"),
        (release, "raise ValueError('no')", DEFERRED, "failed"),
        (release, "return 1", ", on_finish_action='keep_pod'", "success"),
        (evict, "return 1", "", "failed"),
        (evict, "return 1", DEFERRED, "failed"),
        (kill, "return 1", "", "failed"),
    ],
)
def test_the_secret_of_a_run_lives_and_dies_with_its_pod(
    pods: PodLab,
    declared: None,
    tmp_path: Path,
    act: Callable[[PodLab, Path], None],
    end: str,
    more: str,
    expect: str,
) -> None:
    mark = tmp_path / "mark"
    seen: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = []

    def look() -> None:
        limit = time.monotonic() + 60
        while not mark.exists() and time.monotonic() < limit:
            time.sleep(0.05)
        with contextlib.suppress(TimeoutError):
            pods.cluster.wait_for(
                lambda: any(one["metadata"].get("ownerReferences") for one in own_secrets(pods)), 5
            )
        seen.append((own_secrets(pods), pods.cluster.pods()))
        act(pods, mark)

    looker = threading.Thread(target=look)
    looker.start()
    pods.run(HELD.format(mark=mark, end=end, more=more), expect=expect)
    looker.join()
    ((secrets, there),) = seen
    (secret,), (pod,) = secrets, there
    assert set(secret["data"]) == {"AIRFLOW_CONN_C", "AIRFLOW_VAR_API_TOKEN"}
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == (
        "Pod",
        pod["metadata"]["name"],
        pod["metadata"]["uid"],
    )
    assert own_secrets(pods) == []


def test_no_right_to_make_secrets(pods: PodLab, declared: None, capfd: Any) -> None:
    pods.cluster.forbid("create", "secrets")
    source = HELD.format(mark="/no/such", end="", more=", retries=2")
    pods.run(source, expect="failed")
    said = "".join(capfd.readouterr())
    assert "SB435" in said
    assert "can-i create secrets" in said
    assert pods.created() == []
    pods.assert_nothing_left()


def test_steps_without_connections_need_no_right_to_secrets(pods: PodLab) -> None:
    pods.cluster.forbid("*", "secrets")
    pods.run(
        """
with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator(task_id="t", python_callable=lambda: 1)
"""
    )
    assert not [one for one in pods.cluster.requests if "/secrets" in one.path]
    pods.assert_nothing_left()


LOCAL = """
def use():
    import os
    from pathlib import Path
    print("found", os.environ["A_ENV"], os.environ["W_ENV"], Path("{root}/a-file").read_text())
    return [len(os.environ["A_ENV"]), len(os.environ["W_ENV"]), len(Path("{root}/a-file").read_text())]

with DAG("DAG_ID", start_date=START, schedule=None) as d:
    StepOperator(task_id="t", python_callable=use, backend="local", secrets=[
        Secret("whole", env="A_ENV", source="aws"),
        Secret("file", file="{root}/a-file", source="aws"),
        Secret("app", "env", env="W_ENV"),
    ])
"""


def test_the_local_backend(
    pods: PodLab,
    manager: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: Any,
) -> None:
    for name, value in manager.items():
        monkeypatch.setenv(name, value)
    source = LOCAL.format(root=tmp_path)
    pods.run(source, expect="failed")
    said = "".join(capfd.readouterr())
    assert "SB439" in said
    assert "W_ENV" in said
    monkeypatch.setenv("W_ENV", VALUES["kubeenv"])
    run = pods.run(source)
    assert run.xcom("t") == [len(VALUES[name]) for name in ("awsenv", "kubeenv", "awsfile")]
    places = written(pods, "".join(capfd.readouterr()))
    for name in ("awsenv", "awsfile", "kubeenv"):
        for form in forms(VALUES[name]):
            assert [place for place, data in places.items() if form in data] == []
    assert not (tmp_path / "a-file").exists()


def test_a_missing_aws_secret_is_named_and_not_retried(
    pods: PodLab,
    manager: dict[str, str],
    capfd: Any,
) -> None:
    pods.run(
        f"""
with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator(task_id="t", python_callable=lambda: 1, env_vars={manager!r}, retries=2, infra_retries=2,
        secrets=[Secret("nowhere", env="A", source="aws")])
""",
        expect="failed",
    )
    said = "".join(capfd.readouterr())
    assert "SB439" in said
    assert "'nowhere'" in said
    assert len(pods.created()) == 1
    pods.assert_nothing_left()
