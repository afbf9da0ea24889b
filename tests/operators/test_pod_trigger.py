"""The bound around the provider's pod trigger, with the provider's own trigger on the API double."""

from __future__ import annotations

import asyncio
import json
import pkgutil
import time
from datetime import UTC, datetime
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from podlab import PodLab, faults, pods  # noqa: F401

from stepbridge_airflow.pod_trigger import BoundedPodTrigger, bounded

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "step"},
    "spec": {"restartPolicy": "Never", "containers": [{"name": "base", "image": "busybox:1.36"}]},
}


def plain(pods: PodLab, script: str, **more: Any) -> KubernetesPodTrigger:
    """The provider's trigger for a pod that runs *script*."""
    pod: dict[str, Any] = json.loads(json.dumps(POD))
    pod["spec"]["containers"][0]["command"] = ["sh", "-c", script]
    hook = KubernetesHook(conn_id=None, config_file=str(pods.cluster.kubeconfig))
    hook.core_v1_client.create_namespaced_pod("default", pod)
    return KubernetesPodTrigger(
        pod_name="step",
        pod_namespace="default",
        trigger_start_time=datetime.now(UTC),
        base_container_name="base",
        kubernetes_conn_id=None,
        config_dict=json.loads(pods.cluster.kubeconfig.read_text()),
        in_cluster=False,
        poll_interval=0.1,
        startup_check_interval=0.1,
        **more,
    )


def fired(trigger: Any) -> tuple[dict[str, Any], float]:
    """The one event of a trigger that Airflow kept and made again, and how long it took."""
    classpath, kwargs = trigger.serialize()
    again = pkgutil.resolve_name(classpath)(**kwargs)

    async def all_events() -> list[Any]:
        return [event async for event in again.run()]

    began = time.monotonic()
    (event,) = asyncio.run(all_events())
    return event.payload, time.monotonic() - began


def test_a_deadline_of_its_own_is_enough(pods: PodLab) -> None:
    trigger = plain(pods, "exit 0", trigger_kwargs={"_execution_deadline": 1})
    assert bounded(trigger, 5) is trigger


def test_the_providers_event_goes_through(pods: PodLab) -> None:
    payload, _ = fired(bounded(plain(pods, "exit 0"), 60))
    assert (payload["status"], payload["name"], payload["namespace"]) == ("success", "step", "default")


def test_it_wakes_at_its_bound(pods: PodLab) -> None:
    trigger = bounded(plain(pods, "sleep 60"), 1.0)
    assert isinstance(trigger, BoundedPodTrigger)
    payload, seconds = fired(trigger)
    assert (payload["status"], payload["name"], payload["namespace"]) == ("timeout", "step", "default")
    assert 0.9 < seconds < 10
    pods.cluster.delete_pod("step", grace=0)


def test_a_bound_in_the_past_wakes_at_once(pods: PodLab) -> None:
    payload, _ = fired(bounded(plain(pods, "sleep 60"), -5))
    assert payload["status"] == "timeout"
    pods.cluster.delete_pod("step", grace=0)


def test_a_pod_that_ended_without_a_container(pods: PodLab) -> None:
    pods.cluster.inject(faults.NodeRejects())
    payload, seconds = fired(bounded(plain(pods, "exit 0"), 600))
    assert payload["status"] != "success", "newer providers see it themselves"
    assert seconds < 30
