"""The kubeconfig of an EKS step: real hook and token command, moto's EKS, an API server over plain HTTP."""

from __future__ import annotations

import ast
import base64
import importlib.util
import inspect
import json
import os
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

if importlib.util.find_spec("airflow.providers.amazon") is None:
    pytest.skip("needs stepbridge[eks]", allow_module_level=True)

from airflow.providers.amazon.aws.operators.eks import EksPodOperator
from kubernetes.client import models as k8s

from stepbridge_airflow.eks import EksStepOperator, kube_config

REGION = "eu-central-1"


@dataclass
class ApiServer:
    """What was asked of it, as ``(method, path, token)``."""

    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)


@pytest.fixture
def api_server() -> Iterator[ApiServer]:
    """An API server that has every pod."""
    here = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            here.asked.append((self.command, path, token))
            name = path.rpartition("/")[2]
            body = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_DELETE = answer

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield here
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cluster(api_server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """An EKS cluster ``gpu``, whose API server is *api_server*."""
    import boto3
    from moto.eks.models import eks_backends
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example-secret",
        "AWS_DEFAULT_REGION": REGION,
        # the token command of the kubeconfig is `python3.x`, looked up on the PATH
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    eks = boto3.client("eks", region_name=REGION)
    eks.create_cluster(name="gpu", roleArn="arn:aws:iam::123456789012:role/eks", resourcesVpcConfig={})
    eks_backends["123456789012"][REGION].clusters["gpu"].endpoint = api_server.url
    yield api_server
    eks.delete_cluster(name="gpu")
    server.stop()


def operator(**given: Any) -> Any:
    settings = {"cluster_name": "gpu", "region": REGION, "namespace": "team", **given}
    return EksStepOperator(task_id="t", python_callable=lambda: 1, **settings)


def test_the_client_reaches_the_named_cluster_with_a_token_of_its_own(cluster: ApiServer) -> None:
    step = operator()
    with kube_config(step):
        files = [Path(step.config_file), Path(step._credentials_file_path)]
        assert "example-secret" not in files[0].read_text()
        assert files[1].stat().st_mode & 0o077 == 0
        with kube_config(step):
            assert step.config_file == str(files[0])
        assert step.client.read_namespaced_pod("p", "team").metadata.name == "p"
        assert step.client is step.client
    ((method, path, token),) = cluster.asked
    assert (method, path) == ("GET", "/api/v1/namespaces/team/pods/p")
    signed = base64.urlsafe_b64decode(token.removeprefix("k8s-aws-v1.") + "==").decode()
    asked = parse_qs(urlsplit(signed).query)
    assert asked["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"]
    assert asked["X-Amz-Credential"][0].startswith("AKIDEXAMPLE/")
    assert not any(file.exists() for file in files)
    assert (step.config_file, step._credentials_file_path) == (None, None)
    assert not {"hook", "client", "pod_manager"} & step.__dict__.keys()


def test_nothing_is_left_where_the_block_fails(cluster: ApiServer) -> None:
    step = operator()
    seen = []

    def fail() -> None:
        with kube_config(step):
            seen.append(Path(step.config_file))
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert not seen[0].exists()
    assert step.config_file is None


def test_a_killed_step_deletes_its_pod_on_the_named_cluster(cluster: ApiServer) -> None:
    step = operator()
    step.pod = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="p", namespace="team"))
    step.on_kill()
    assert [asked[:2] for asked in cluster.asked] == [("DELETE", "/api/v1/namespaces/team/pods/p")]


def test_an_unknown_cluster_is_named(cluster: ApiServer) -> None:
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError, match="other"), kube_config(operator(cluster_name="other")):
        pass


@pytest.mark.parametrize("name", ["execute", "trigger_reentry"])
def test_eks_pod_operator_adds_no_more_than_a_kubeconfig(name: str) -> None:
    """OneKubeConfig stands for these two methods; one that did more would have to be followed there."""
    source = inspect.getsource(inspect.unwrap(getattr(EksPodOperator, name)))
    (method,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(method, ast.FunctionDef)
    *assigned, block = method.body
    assert all(isinstance(one, ast.Assign) for one in assigned)
    assert isinstance(block, ast.With)
    (entered,) = block.items
    assert ast.unparse(entered.context_expr).startswith("eks_hook.generate_config_file_with_credentials(")
    (call,) = block.body
    assert ast.unparse(call).startswith(f"return super().{name}(")


def test_methods_are_found_in_the_order_that_the_step_needs() -> None:
    order = [one.__name__ for one in EksStepOperator.__mro__]
    assert order[:6] == [
        "EksStepOperator",
        "StepBase",
        "StepMixin",
        "OneKubeConfig",
        "EksPodOperator",
        "KubernetesPodOperator",
    ]


def test_template_fields_have_one_order() -> None:
    """EksPodOperator's come from a set, whose order differs between processes."""
    extra = EksStepOperator.template_fields[-5:]
    assert list(extra) == sorted(extra)
    assert set(EksPodOperator.template_fields) - set(EksStepOperator.template_fields) == {"cmds", "arguments"}
