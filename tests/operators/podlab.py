"""Steps in pods: DAG runs against the API double, or against the cluster that the environment names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kube.double import Cluster

SOURCE = """
POD = {pod!r}

"""
AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL")


@dataclass
class PodLab:
    """Runs DAGs whose steps are pods.

    :param lab: the DAGs' lab. :param cluster: the double.
    """

    lab: Any
    cluster: Cluster
    pod: dict[str, Any]

    def run(self, source: str, *, expect: str = "success", conf: dict[str, Any] | None = None) -> Any:
        """Write, load and run a DAG; ``POD`` in it are arguments for ``default_args``."""
        dag = self.load(source)
        done = self.lab.test(dag, conf)
        assert done.state == expect, done.states
        return done

    def load(self, source: str) -> Any:
        return self.lab.load(self.lab.write(SOURCE.format(pod=self.pod) + source))

    def records(self, name: str = "") -> list[Path]:
        """Files of run records with this name."""
        return sorted(path for path in (self.lab.store / "runs").rglob(name or "*") if path.is_file())

    def created(self) -> list[dict[str, Any]]:
        return [one.pod for one in self.cluster.created]

    def wait_for_pod(self, predicate: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> dict[str, Any]:
        found = self.cluster.wait_for(
            lambda: [pod for pod in self.cluster.pods() if predicate(pod)], seconds
        )
        return found[0]

    def assert_nothing_left(self) -> None:
        assert [pod["metadata"]["name"] for pod in self.cluster.pods()] == []
        assert self.cluster.secrets() == []


@pytest.fixture
def pods(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PodLab]:
    """Steps in pods of an API double of their own, with short waits."""
    for name in AWS:
        monkeypatch.delenv(name, raising=False)
    with Cluster(tmp_path / "cluster") as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        monkeypatch.setenv("AIRFLOW__STEPBRIDGE__BACKEND", "pod")
        monkeypatch.setenv("AIRFLOW__STEPBRIDGE__IMAGE", "registry/steps:1")
        monkeypatch.setenv("AIRFLOW__STEPBRIDGE__REPEAT_DELAY", "0.1")
        monkeypatch.setenv("AIRFLOW__STEPBRIDGE__GRACE", "2")
        monkeypatch.setenv("AIRFLOW__WORKERS__API_RETRIES", "3")
        monkeypatch.setenv("AIRFLOW__STEPBRIDGE__API_PATIENCE", "5")
        yield PodLab(lab, cluster, {"namespace": "default", "image": "registry/steps:1", "config_file": str(cluster.kubeconfig)})
    assert cluster.processes() == []
