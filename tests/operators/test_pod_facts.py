"""What is read off a pod, with both clients, from whole and from half-filled statuses."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from pods_seen import NAME, UID, condition, container, ended, event, facts, pod, running, waits

from stepbridge_airflow.pod_facts import Condition, Container, Event, PodFacts


def read_with_asyncio(document: dict[str, Any], kind: str) -> Any:
    from kubernetes_asyncio.client import ApiClient

    async def read() -> Any:
        async with ApiClient() as api:
            return api.deserialize(SimpleNamespace(data=json.dumps(document)), kind)

    return asyncio.run(read())


WHOLE = pod(
    ended(137, "OOMKilled"),
    running("mesh-proxy"),
    phase="Failed",
    reason="Evicted",
    message="The node was low on resource: memory.",
    conditions=[condition("DisruptionTarget", "True", "TerminationByKubelet", "low on memory")],
    initContainerStatuses=[ended(0, "Completed", name="fetch")],
)
EVENTS = [
    event("Pulled", "Container image is present", at="2026-03-01T06:00:08Z", type="Normal"),
    event("FailedScheduling", "0/3 nodes are available", at="2026-03-01T06:00:01Z", count=7),
]


def test_everything_is_read() -> None:
    seen = facts(WHOLE, *EVENTS)
    assert seen == PodFacts(
        there=True,
        name=NAME,
        namespace="ml",
        uid=UID,
        node="gpu-node-3",
        phase="Failed",
        reason="Evicted",
        message="The node was low on resource: memory.",
        deleting=False,
        conditions={
            "PodScheduled": Condition("True"),
            "DisruptionTarget": Condition("True", "TerminationByKubelet", "low on memory"),
        },
        base=Container("base", "terminated", "OOMKilled", "", 137),
        init=(Container("fetch", "terminated", "Completed", "", 0),),
        others=(Container("mesh-proxy", "running"),),
        events=(
            Event("Warning", "FailedScheduling", "0/3 nodes are available", 7),
            Event("Normal", "Pulled", "Container image is present"),
        ),
        memory_limit="2Gi",
        annotations={"stepbridge/request": "sha256:0a1b"},
    )
    assert seen.place == f"pod ml/{NAME} on node gpu-node-3"


def test_the_other_client_gives_the_same() -> None:
    events = [read_with_asyncio(one, "CoreV1Event") for one in EVENTS]
    assert PodFacts.of(read_with_asyncio(WHOLE, "V1Pod"), events) == facts(WHOLE, *EVENTS)


def test_no_pod() -> None:
    seen = facts(None, event("Preempted", "Preempted by pod 5d0c on node gpu-node-3"))
    assert not seen.there
    assert seen.finished
    assert not seen.started
    assert [one.reason for one in seen.events] == ["Preempted"]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"metadata": {}, "spec": None, "status": {}},
        {"metadata": {"name": NAME}, "status": {"containerStatuses": None, "conditions": None}},
        {"status": {"containerStatuses": [{"name": "base", "image": "i", "imageID": "", "ready": False,
                                           "restartCount": 0, "state": None}]}},
        {"status": {"containerStatuses": [container({})]}},
        {"spec": {"containers": [{"name": "base", "resources": {}}]}, "status": {"phase": "Pending"}},
    ],
)  # fmt: skip
def test_half_filled(document: dict[str, Any]) -> None:
    seen = facts(document)
    assert seen.there
    assert seen.base == Container("base")
    assert (seen.scheduled, seen.pulled, seen.started, seen.finished) == (False, False, False, False)
    assert seen.memory_limit == ""


def test_the_memory_limit_of_the_pod_as_a_whole() -> None:
    document = pod()
    del document["spec"]["containers"][0]["resources"]["limits"]
    document["spec"]["resources"] = {"limits": {"memory": "8Gi"}}
    assert facts(document).memory_limit == "8Gi"


def test_a_base_container_of_another_name() -> None:
    from pods_seen import read

    seen = PodFacts.of(read(pod(ended(1, name="main"), running()), "V1Pod"), container="main")
    assert (seen.base.name, seen.base.exit_code) == ("main", 1)
    assert [one.name for one in seen.others] == ["base"]
    assert seen.memory_limit == ""


def test_events_with_series_and_of_other_pods() -> None:
    series = {"count": 31, "lastObservedTime": "2026-03-01T06:20:00.000000Z"}
    other = {"apiVersion": "v1", "kind": "Pod", "name": NAME, "namespace": "ml", "uid": "another"}
    seen = facts(
        pod(),
        event("BackOff", "new style", count=None, firstTimestamp=None, lastTimestamp=None, series=series,
              eventTime="2026-03-01T06:02:00.000000Z"),
        event("FailedMount", "in between", at="2026-03-01T06:10:00Z", count=3),
        event("Killing", "of a pod that had this name", involvedObject=other),
        event("Scheduled", "without any time", lastTimestamp=None, firstTimestamp=None,
              metadata={"name": "e", "namespace": "ml"}),
    )  # fmt: skip
    assert [(one.reason, one.count) for one in seen.events] == [
        ("Scheduled", 1),
        ("FailedMount", 3),
        ("BackOff", 31),
    ]


STAGES = [
    ("no node", pod(node=None, phase="Pending"), ""),
    ("bound", pod(phase="Pending"), "scheduled"),
    ("making", pod(waits("ContainerCreating"), phase="Pending"), "scheduled"),
    ("back-off", pod(waits("ImagePullBackOff", "Back-off"), phase="Pending"), "scheduled"),
    ("no secret", pod(waits("CreateContainerConfigError"), phase="Pending"), "scheduled pulled"),
    (
        "init pulls",
        pod(
            waits("PodInitializing"),
            initContainerStatuses=[waits("ErrImagePull", name="fetch")],
            phase="Pending",
        ),
        "scheduled",
    ),
    (
        "init runs",
        pod(waits("PodInitializing"), initContainerStatuses=[running("fetch")], phase="Pending"),
        "scheduled pulled",
    ),
    (
        "after init",
        pod(
            waits("PodInitializing"),
            initContainerStatuses=[ended(0, "Completed", name="fetch")],
            phase="Pending",
        ),
        "scheduled",
    ),
    ("runs", pod(running()), "scheduled pulled started"),
    (
        "ended beside a sidecar",
        pod(ended(0, "Completed"), running("mesh-proxy")),
        "scheduled pulled started finished",
    ),
    ("could not start", pod(ended(128, "StartError"), phase="Failed"), "scheduled pulled finished"),
    (
        "refused",
        pod(phase="Failed", reason="OutOfcpu", message="Pod was rejected"),
        "scheduled pulled finished",
    ),
    ("deleted while running", pod(running(), deleted=True), "scheduled pulled started"),
]


@pytest.mark.parametrize(("document", "stages"), [one[1:] for one in STAGES], ids=[one[0] for one in STAGES])
def test_stages(document: dict[str, Any], stages: str) -> None:
    seen = facts(document)
    found = [name for name in ("scheduled", "pulled", "started", "finished") if getattr(seen, name)]
    assert found == stages.split()


def test_a_sidecar_among_the_init_containers_is_no_step_to_wait_for() -> None:
    document = pod(
        waits("ContainerCreating"),
        phase="Pending",
        initContainerStatuses=[running("mesh-proxy"), ended(0, "Completed", name="fetch")],
    )
    document["spec"]["initContainers"][0]["restartPolicy"] = "Always"
    seen = facts(document)
    assert [one.sidecar for one in seen.init] == [True, False]
    assert seen.current == seen.base


def test_what_was_last_seen_stays() -> None:
    seen = facts(pod(running())).vanished()
    assert not seen.there
    assert seen.node == "gpu-node-3"
    assert seen.finished
    assert seen.started
