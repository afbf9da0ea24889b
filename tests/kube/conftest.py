"""Gives the double's own tests its cluster and a real client of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("kubernetes")

from kubernetes import client, config

import throwaway  # noqa: F401 - before Airflow is imported
from kube.double import Cluster
from kube.fixtures import cluster

__all__ = ["cluster"]

Make = Callable[..., Any]


@pytest.fixture
def core(cluster: Cluster) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))


@pytest.fixture
def make(core: client.CoreV1Api) -> Make:
    """Create a pod with one shell container; ``spec``, ``meta`` and ``container`` add to it."""

    def create(
        name: str,
        script: str = "true",
        *,
        container: dict[str, Any] | None = None,
        spec: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> Any:
        base = {"name": "base", "image": "busybox:1.36", "command": ["sh", "-c", script], **(container or {})}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **(meta or {})},
            "spec": {"restartPolicy": "Never", "containers": [base], **(spec or {})},
        }
        return core.create_namespaced_pod("default", body)

    return create


@pytest.fixture
def phase(cluster: Cluster) -> Callable[[str, str], dict[str, Any]]:
    """Wait for a pod's phase and give the pod."""

    def wait(name: str, wanted: str) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            found = cluster.pod(name)
            return found if found and found["status"]["phase"] == wanted else None

        found = cluster.wait_for(there)
        assert found is not None
        return found

    return wait


@pytest.fixture
def waits(cluster: Cluster) -> Callable[[str, str], str]:
    """Wait for a reason of the first container's waiting state and give its message."""

    def wait(name: str, reason: str) -> str:
        def there() -> str | None:
            found = cluster.pod(name)
            for status in (found or {}).get("status", {}).get("containerStatuses") or []:
                waiting = status["state"].get("waiting")
                if waiting and waiting["reason"] == reason:
                    return str(waiting.get("message", "")) or " "
            return None

        found = cluster.wait_for(there)
        assert found is not None
        return found

    return wait
