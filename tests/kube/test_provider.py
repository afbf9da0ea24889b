"""The provider's operator, hook and trigger run on the double, unpatched."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow.providers.cncf.kubernetes")

from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook, KubernetesHook
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodManager

from kube import faults

pytestmark = pytest.mark.filterwarnings("ignore")


def context():
    """What the operator reads of a task's context, without a database."""
    pushed = {}
    instance = SimpleNamespace(
        dag_id="d",
        task_id="t",
        map_index=-1,
        try_number=1,
        xcom_push=lambda key, value, **_: pushed.update({key: value}),
    )
    return {
        "ti": instance,
        "task_instance": instance,
        "run_id": "r",
        "dag": SimpleNamespace(),
        "pushed": pushed,
    }


def operator(cluster, script, **arguments):
    return KubernetesPodOperator(
        task_id="t",
        name="step",
        namespace="default",
        image="busybox:1.36",
        cmds=["sh", "-c", script],
        config_file=str(cluster.kubeconfig),
        kubernetes_conn_id=None,
        startup_check_interval_seconds=0.05,
        startup_timeout_seconds=10,
        **arguments,
    )


def hook(cluster):
    return KubernetesHook(conn_id=None, config_file=str(cluster.kubeconfig))


def async_hook(cluster):
    held = json.loads(cluster.kubeconfig.read_text())
    return AsyncKubernetesHook(conn_id=None, config_dict=held, in_cluster=False)


def run(cluster, script, **arguments):
    """What execute_sync does with its manager: create, await the start, follow the log, await the end."""
    manager = PodManager(kube_client=hook(cluster).core_v1_client)
    task = operator(cluster, script, **arguments)
    pod = KubernetesPodOperator.build_pod_request_obj(task, None)
    manager.create_pod(pod)
    asyncio.run(manager.await_pod_start(pod, schedule_timeout=5, startup_timeout=5, check_interval=0.05))
    return manager, pod


def test_pod_manager_creates_follows_and_deletes(cluster):
    manager, pod = run(cluster, "echo hello from the pod; sleep 0.3; echo done")
    status = manager.fetch_container_logs(pod=pod, container_name="base", follow=True)
    assert not status.running
    finished = manager.await_pod_completion(pod)
    assert finished.status.phase == "Succeeded"
    assert manager.read_pod_events(pod).items
    lines = b"".join(manager.read_pod_logs(pod, "base", timestamps=False))
    assert lines == b"hello from the pod\ndone\n"
    manager.delete_pod(pod)
    assert cluster.pods() == []


def test_operator_runs_to_success_and_failure(cluster):
    given = context()
    operator(cluster, "exit 0").execute(given)
    assert cluster.pods() == []
    (made,) = cluster.created
    assert made.pod["metadata"]["labels"]["dag_id"] == "d"
    assert given["pushed"]["pod_name"] == made.name
    with pytest.raises(Exception, match="returned a failure"):
        operator(cluster, "echo why; exit 3").execute(context())
    assert cluster.pods() == []


def test_trigger_watches_to_the_end(cluster):
    manager = PodManager(kube_client=hook(cluster).core_v1_client)
    pod = KubernetesPodOperator.build_pod_request_obj(operator(cluster, "sleep 0.3"), None)
    manager.create_pod(pod)
    trigger = KubernetesPodTrigger(
        pod_name=pod.metadata.name,
        pod_namespace="default",
        trigger_start_time=datetime.now(UTC),
        base_container_name="base",
        kubernetes_conn_id=None,
        config_dict=json.loads(cluster.kubeconfig.read_text()),
        in_cluster=False,
        poll_interval=0.1,
        startup_check_interval=0.1,
    )

    async def first():
        return await anext(aiter(trigger.run()))

    assert asyncio.run(first()).payload["status"] == "success"


def test_api_errors_are_retried_by_the_provider(cluster):
    armed = cluster.inject(faults.Api(status=503, times=1, methods=("GET",), path_contains="/pods/"))
    manager, pod = run(cluster, "exit 0")
    assert armed.fired == 1
    assert manager.await_pod_completion(pod).status.phase == "Succeeded"


def test_async_hook(cluster):
    _, pod = run(cluster, "echo from the log; sleep 0.2")

    async def look():
        asked = async_hook(cluster)
        name = pod.metadata.name
        await asked.wait_until_container_complete(name, "default", "base", poll_interval=0.05)
        lines = await asked.read_logs(name, "default", "base")
        events = await asked.get_pod_events(name, "default")
        again = await asked.get_pod_events(name, "default", resource_version=events.metadata.resource_version)
        watched = [e.reason async for e in asked.watch_pod_events(name, "default", timeout_seconds=1)]
        await asked.delete_pod(name, "default")
        return lines, [e.reason for e in events.items], len(again.items), watched

    lines, reasons, again, watched = asyncio.run(look())
    assert "from the log" in lines[0]
    assert sorted(reasons) == ["Created", "Pulled", "Scheduled", "Started"]
    assert again == 4
    assert watched == []
    assert cluster.pods() == []


def test_async_watch_of_events(cluster):
    cluster.inject(faults.SlowPull(0.5))
    manager = PodManager(kube_client=hook(cluster).core_v1_client)
    pod = KubernetesPodOperator.build_pod_request_obj(operator(cluster, "exit 0"), None)
    manager.create_pod(pod)

    async def look():
        asked = async_hook(cluster)
        return [
            e.reason async for e in asked.watch_pod_events(pod.metadata.name, "default", timeout_seconds=1)
        ]

    assert asyncio.run(look())[:4] == ["Scheduled", "Pulling", "Pulled", "Created"]
