"""One set of tests for two clusters: the API double, and the real one that the environment names."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from podlab import AWS, Cluster, PodLab, faults
from urllib3.exceptions import HTTPError

from stepbridge.contract import StoreSettings
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store

sys.path.append(str(Path(__file__).resolve().parents[1] / "bridge"))
import servers

__all__ = ["REAL", "ClusterLab", "ClusterUnderTest", "moto_endpoint", "real_pods"]

REAL = os.environ.get("STEPBRIDGE_TEST_CLUSTER") == "1"
LABEL = "stepbridge-test"
"""Label of every object that a test makes; its value is the test's own."""
ATTEMPT = "stepbridge-attempt"
Json = dict[str, Any]
STEP = """
{header}
def work(n):
    import os, secrets, time
    from pathlib import Path
    from stepbridge.contract import StoreSettings
    from stepbridge.failures import ObjectExists
    from stepbridge.store.opening import open_store
    flags = open_store(StoreSettings({flags}))
    def once(name):
        try:
            flags.put(name, secrets.token_bytes(16), create=True)
        except ObjectExists:
            return False
        return True
    def hold(seconds=90):
        limit = time.monotonic() + seconds
        while flags.head("go") is None and time.monotonic() < limit:
            time.sleep(0.2)
{body}
    return n

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator(task_id="work", python_callable=work, op_kwargs={{"n": 4}}{arguments})
"""
WORKER = """
import sys
from datetime import UTC, datetime
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
from stepbridge_airflow.compat import AIRFLOW_3
(dag,) = DagBag(sys.argv[1]).dags.values()
done = dag.test(**{"logical_date" if AIRFLOW_3 else "execution_date": datetime(2026, 2, 1, tzinfo=UTC)})
sys.exit(0 if str(getattr(done.state, "value", done.state)) == "success" else 1)
"""


class ClusterUnderTest(Protocol):
    """What tests see of a cluster and do to it. Objects are as ``kubectl get -o json`` gives them."""

    namespace: str
    real: bool

    def pods(self) -> list[Json]:
        """The test's pods that are there now."""
        ...

    def created(self) -> list[Json]:
        """Every pod of the test, as it was first seen, in order."""
        ...

    def secrets(self) -> list[Json]:
        """Secrets that the test's steps made and that are there now."""
        ...

    def events(self, name: str) -> list[Json]:
        """What is said of one pod."""
        ...

    def delete_pod(self, name: str, grace: int | None = None) -> None:
        """As somebody else's ``kubectl delete``."""
        ...

    def add_secret(self, name: str, data: Mapping[str, str]) -> str:
        """Make a Secret for the test; its full name."""
        ...

    def add_quota(self, hard: Mapping[str, str]) -> None:
        """Make a ResourceQuota; in force when this returns. The double has none."""
        ...

    def allowed(self, verb: str, resource: str) -> bool:
        """Whether the worker may do this, as the API server says; *resource* as ``pods/log``."""
        ...

    def expect_oom(self) -> None:
        """The next pod uses more memory than it may: the double, which knows no limits, is told so."""
        ...

    def expect_eviction(self, message: str) -> None:
        """The next pod uses more disk than it may: likewise."""
        ...


class KubernetesCluster:
    """A cluster through the kubernetes client.

    :param kubeconfig: one file.
    :param mark: the value of :data:`LABEL` of this test's objects.
    """

    real = True

    def __init__(self, kubeconfig: str, namespace: str, mark: str) -> None:
        self.kubeconfig, self.namespace, self.mark = kubeconfig, namespace, mark
        self._api = config.new_client_from_config(kubeconfig)
        self.core = client.CoreV1Api(self._api)
        self._selector = f"{LABEL}={mark}"
        self._seen: dict[str, Json] = {}
        self._secrets: list[str] = []
        self._quotas: list[str] = []
        self._closed = threading.Event()
        version = self.core.list_namespaced_pod(namespace, label_selector=self._selector)
        follow = threading.Thread(target=self._follow, args=(version.metadata.resource_version,), daemon=True)
        follow.start()

    def _follow(self, version: str | None) -> None:
        while not self._closed.is_set():
            stream = watch.Watch().stream(
                self.core.list_namespaced_pod,
                self.namespace,
                label_selector=self._selector,
                resource_version=version,
                timeout_seconds=5,
            )
            try:
                for event in stream:
                    pod = event["raw_object"]
                    version = pod["metadata"]["resourceVersion"]
                    self._seen.setdefault(pod["metadata"]["uid"], pod)
            except ApiException:  # too old to go on from there
                version = None
                self._closed.wait(0.2)
            except (HTTPError, OSError):
                self._closed.wait(0.2)

    def _plain(self, listed: Any) -> list[Json]:
        return [self._api.sanitize_for_serialization(one) for one in listed.items]

    def pods(self) -> list[Json]:
        return self._plain(self.core.list_namespaced_pod(self.namespace, label_selector=self._selector))

    def created(self) -> list[Json]:
        time.sleep(0.3)
        return list(self._seen.values())

    def secrets(self) -> list[Json]:
        found = []
        for pod in self.created():
            attempt = pod["metadata"]["labels"].get(ATTEMPT, "")
            with contextlib.suppress(ApiException):
                secret = self.core.read_namespaced_secret(f"stepbridge-{attempt}", self.namespace)
                found.append(self._api.sanitize_for_serialization(secret))
        return found

    def events(self, name: str) -> list[Json]:
        return self._plain(
            self.core.list_namespaced_event(self.namespace, field_selector=f"involvedObject.name={name}")
        )

    def delete_pod(self, name: str, grace: int | None = None) -> None:
        seconds = {} if grace is None else {"grace_period_seconds": grace}
        self.core.delete_namespaced_pod(name, self.namespace, **seconds)

    def add_secret(self, name: str, data: Mapping[str, str]) -> str:
        full = f"stepbridge-test-{self.mark}-{name}"
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        meta = {"name": full, "labels": {LABEL: self.mark}}
        self.core.create_namespaced_secret(self.namespace, {"metadata": meta, "data": encoded})
        self._secrets.append(full)
        return full

    def add_quota(self, hard: Mapping[str, str]) -> None:
        name = f"stepbridge-test-{self.mark}"
        meta = {"name": name, "labels": {LABEL: self.mark}}
        self.core.create_namespaced_resource_quota(
            self.namespace, {"metadata": meta, "spec": {"hard": dict(hard)}}
        )
        self._quotas.append(name)
        limit = time.monotonic() + 30
        while time.monotonic() < limit:
            if self.core.read_namespaced_resource_quota(name, self.namespace).status.hard:
                return
            time.sleep(0.2)
        raise TimeoutError("the quota did not come into force")

    def allowed(self, verb: str, resource: str) -> bool:
        plural, _, sub = resource.partition("/")
        asked = {"verb": verb, "resource": plural, "subresource": sub, "namespace": self.namespace}
        review = client.AuthorizationV1Api(self._api).create_self_subject_access_review(
            {"spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}}}
        )
        return bool(review.status.allowed)

    def expect_oom(self) -> None:
        return

    def expect_eviction(self, message: str) -> None:
        return

    def remove(self) -> None:
        """Remove what the test made and left."""
        self._closed.set()
        for pod in self.pods():
            with contextlib.suppress(ApiException):
                self.delete_pod(pod["metadata"]["name"], grace=0)
        for attempt in {pod["metadata"]["labels"].get(ATTEMPT, "") for pod in self._seen.values()}:
            with contextlib.suppress(ApiException):
                self.core.delete_namespaced_secret(f"stepbridge-{attempt}", self.namespace)
        for name in self._secrets:
            self.core.delete_namespaced_secret(name, self.namespace)
        for name in self._quotas:
            self.core.delete_namespaced_resource_quota(name, self.namespace)
        self._api.close()


class DoubleCluster(KubernetesCluster):
    """The API double, seen through the same client; what it cannot enforce is injected."""

    real = False

    def __init__(self, double: Cluster, mark: str) -> None:
        self.double = double
        super().__init__(str(double.kubeconfig), "default", mark)

    def expect_oom(self) -> None:
        self.double.inject(faults.OomKilled(times=1))

    def expect_eviction(self, message: str) -> None:
        self.double.inject(faults.Evicted(message=message, after=1.0, times=1))


@dataclass(kw_only=True)
class ClusterLab(PodLab):
    """PodLab for either cluster: the store is in S3, and so are the flags between test and step.

    :param eyes: the cluster as the test sees it.
    :param settings: of the store. :param image: the one with stepbridge in it.
    :param folder: where Secrets may be mounted.
    """

    eyes: ClusterUnderTest
    settings: StoreSettings
    image: str
    folder: str

    def __post_init__(self) -> None:
        self.store: Store = open_store(self.settings)
        self.signals = dataclasses.replace(self.settings, root=f"{self.settings.root}/flags")
        self._flags = open_store(self.signals)

    def source(self, body: str = "", *arguments: str, header: str = "", before: str = "") -> str:
        """A DAG of one step, ``work``; its function may call ``once(name)`` and ``hold()``."""
        lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
        given = "".join(f", {one}" for one in arguments if one)
        told = f"{self.signals.root!r}, endpoint={self.signals.endpoint!r}, region={self.signals.region!r}"
        return STEP.format(header=header, body=lines, arguments=given, flags=told)

    def go(self) -> None:
        """Let steps that hold go on."""
        self._flags.put("go", b"")

    def wait(self, name: str, seconds: float = 120.0) -> None:
        """Wait until a step did ``once(name)``."""
        self._until(lambda: self._flags.head(name) is not None, seconds, f"flag {name}")

    def _until(self, predicate: Callable[[], Any], seconds: float, what: str) -> Any:
        limit = time.monotonic() + seconds
        while not (found := predicate()):
            if time.monotonic() > limit:
                phases = {pod["metadata"]["name"]: pod["status"].get("phase") for pod in self.eyes.pods()}
                raise TimeoutError(f"no {what} within {seconds} s; pods: {phases}")
            time.sleep(0.1)
        return found

    def worker(self, dag: Any) -> subprocess.Popen[bytes]:
        """A process of its own that runs *dag*, as a worker would."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with (self.flags / "worker.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-c", WORKER, str(dag.fileloc)],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    # what is left

    def keys(self, name: str) -> list[str]:
        """Keys of run records with this name."""
        return [one.key for one in self.store.list("runs/") if one.key.endswith(f"/{name}")]

    def errors(self) -> list[str]:
        return [json.loads(self.store.get(key))["code"] for key in self.keys("error.json")]

    def created(self) -> list[Json]:
        return list(self.eyes.created())

    def wait_for_pod(self, predicate: Callable[[Json], bool] = bool, seconds: float = 120.0) -> Json:
        found = self._until(lambda: [pod for pod in self.eyes.pods() if predicate(pod)], seconds, "such pod")
        return dict(found[0])

    def assert_nothing_left(self) -> None:
        """No pod and no Secret of the steps; what was asked to go gets its containers' grace."""
        for thread in self.threads:
            thread.join(120)
        assert not self.flag("meanwhile").exists(), self.flag("meanwhile").read_text()
        with contextlib.suppress(TimeoutError):
            self._until(lambda: not self.eyes.pods(), 90, "end of the pods")
        assert [pod["metadata"]["name"] for pod in self.eyes.pods()] == []
        assert self.eyes.secrets() == []

    def clear(self) -> None:
        """Remove everything from the store."""
        for one in list(self.store.list("")):
            self.store.delete(one.key)


@dataclass(frozen=True)
class _Access:
    """What steps need to reach the store."""

    root: str
    endpoint: str
    region: str
    keys: Mapping[str, str]


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """An S3 server of the session; not started where a real cluster is tested."""
    if REAL:
        yield ""
        return
    with servers.moto() as url:
        yield url


def _access(moto: str) -> _Access:
    if not REAL:
        keys = {"AWS_ACCESS_KEY_ID": servers.ACCESS, "AWS_SECRET_ACCESS_KEY": servers.SECRET}
        return _Access(f"s3://{servers.make_bucket(moto)}/team", moto, "us-east-1", keys)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return _Access(
        os.environ["STEPBRIDGE_TEST_STORE"].rstrip("/"),
        os.environ.get("AWS_ENDPOINT_URL", ""),
        os.environ.get("AWS_REGION", ""),
        {name: os.environ[name] for name in names if os.environ.get(name)},
    )


@contextlib.contextmanager
def _cluster(folder: Path, mark: str) -> Iterator[KubernetesCluster]:
    if REAL:
        cluster = KubernetesCluster(
            os.environ["KUBECONFIG"], os.environ.get("STEPBRIDGE_TEST_NAMESPACE", "default"), mark
        )
        try:
            yield cluster
        finally:
            cluster.remove()
        return
    with Cluster(folder, images={"registry/steps:1"}) as double:
        cluster = DoubleCluster(double, mark)
        try:
            yield cluster
        finally:
            cluster.remove()
    assert double.processes() == []


@pytest.fixture
def real_pods(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moto_endpoint: str
) -> Iterator[ClusterLab]:
    """Steps in pods of the cluster under test, with their store in S3."""
    access = _access(moto_endpoint)
    mark = secrets.token_hex(5)
    settings = StoreSettings(f"{access.root}/test-{mark}", endpoint=access.endpoint, region=access.region)
    image = os.environ["STEPBRIDGE_TEST_IMAGE"] if REAL else "registry/steps:1"
    for name in AWS:
        monkeypatch.delenv(name, raising=False)
    for name, value in access.keys.items():
        monkeypatch.setenv(name, value)
    flags = tmp_path / "flags"
    flags.mkdir()
    with _cluster(tmp_path / "cluster", mark) as cluster:
        for name, value in {
            "BACKEND": "pod",
            "STORE": settings.root,
            "ENDPOINT": settings.endpoint,
            "REGION": settings.region,
            "REPEAT_DELAY": "0.2",
            "GRACE": "2",
            "API_PATIENCE": "20",
        }.items():
            monkeypatch.setenv(f"AIRFLOW__STEPBRIDGE__{name}", value)
        monkeypatch.setenv("KUBECONFIG", cluster.kubeconfig)
        keys = cluster.add_secret("store", access.keys)
        pod = {
            "namespace": cluster.namespace,
            "image": image,
            "image_pull_policy": "Never",
            "config_file": cluster.kubeconfig,
            "labels": {LABEL: mark},
            "env_from": [{"secretRef": {"name": keys}}],
        }
        folder = "/run/stepbridge-test" if REAL else str(tmp_path / "cluster" / "mounted")
        made = ClusterLab(lab, None, pod, flags, eyes=cluster, settings=settings, image=image, folder=folder)
        yield made
        made.clear()
