"""Each fault does what it says, seen through a real client."""

from __future__ import annotations

import json
import time

import pytest
from kubernetes import client, watch
from kubernetes.client.rest import ApiException
from urllib3.exceptions import HTTPError, ProtocolError

from kube import faults


def terminated(pod):
    return pod["status"]["containerStatuses"][0]["state"]["terminated"]


def condition(pod, kind):
    return next((c for c in pod["status"].get("conditions", []) if c["type"] == kind), {})


# -- before the start


def test_unschedulable_then_scheduled(cluster, make, phase):
    armed = cluster.inject(faults.Unschedulable("0/3 nodes are available: no.", seconds=0.5, times=1))
    make("p")
    held = cluster.wait_for(lambda: condition(cluster.pod("p"), "PodScheduled"))
    assert (held["status"], held["reason"], held["message"]) == (
        "False",
        "Unschedulable",
        "0/3 nodes are available: no.",
    )
    phase("p", "Succeeded")
    assert cluster.events("p")[0]["reason"] == "FailedScheduling"
    assert armed.fired == 1
    make("q")
    phase("q", "Succeeded")
    assert "FailedScheduling" not in [e["reason"] for e in cluster.events("q")]


def test_slow_schedule_and_slow_pull(cluster, make, phase):
    cluster.inject(faults.SlowSchedule(0.3))
    cluster.inject(faults.SlowPull(0.3))
    began = time.monotonic()
    make("p")
    phase("p", "Succeeded")
    assert time.monotonic() - began > 0.6
    assert [e["reason"] for e in cluster.events("p")][:3] == ["Scheduled", "Pulling", "Pulled"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (faults.QuotaExceeded(times=1), 'pods "p" is forbidden: exceeded quota: compute, requested: pods=1'),
        (faults.AdmissionForbidden(times=1), 'pods "p" is forbidden: violates PodSecurity'),
    ],
)
def test_creation_is_refused(cluster, make, fault, told):
    cluster.inject(fault)
    with pytest.raises(ApiException) as info:
        make("p")
    assert info.value.status == 403
    assert json.loads(info.value.body)["message"].startswith(told)
    make("p")


def test_image_pull_fails_and_recovers(cluster, make, phase, waits):
    cluster.inject(faults.ImagePull(message="429 Too Many Requests: rate limit", seconds=0.6))
    make("p")
    assert waits("p", "ErrImagePull") == "429 Too Many Requests: rate limit"
    wanted = 'Back-off pulling image "busybox:1.36": ErrImagePull: 429 Too Many Requests: rate limit'
    assert waits("p", "ImagePullBackOff") == wanted
    phase("p", "Succeeded")
    reasons = {(e["type"], e["reason"]) for e in cluster.events("p")}
    assert reasons >= {("Warning", "Failed"), ("Normal", "BackOff"), ("Normal", "Pulled")}


def test_config_and_create_errors(cluster, make, phase, waits):
    cluster.inject(faults.ConfigError("configmap missing", seconds=0.3, name_contains="conf"))
    cluster.inject(faults.CreateError("no space", labels={"x": "1"}))
    make("conf")
    assert waits("conf", "CreateContainerConfigError") == "configmap missing"
    phase("conf", "Succeeded")
    make("create", meta={"labels": {"x": "1"}})
    assert waits("create", "CreateContainerError") == "no space"


def test_init_container_fails(cluster, make, phase):
    cluster.inject(faults.InitFailure(7))
    make("p")
    status = phase("p", "Failed")["status"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"


def test_node_rejects(cluster, make, phase):
    cluster.inject(faults.NodeRejects())
    make("p")
    status = phase("p", "Failed")["status"]
    assert status["reason"] == "UnexpectedAdmissionError"
    assert "cannot allocate unhealthy devices nvidia.com/gpu" in status["message"]
    assert "containerStatuses" not in status


def test_foreign_sidecar(cluster, make, phase):
    cluster.inject(faults.ForeignSidecar())
    make("p", "exit 0")
    cluster.wait_for(lambda: "terminated" in cluster.pod("p")["status"]["containerStatuses"][0]["state"])
    status = cluster.pod("p")["status"]
    assert status["phase"] == "Running"
    assert "running" in status["containerStatuses"][1]["state"]


# -- while it runs


@pytest.mark.parametrize("code", [137, 1])
def test_oom(cluster, make, phase, tmp_path, code):
    cluster.inject(faults.OomKilled(exit_code=code, after_file=tmp_path / "now"))
    make("p", "sleep 60")
    phase("p", "Running")
    (tmp_path / "now").touch()
    ended = terminated(phase("p", "Failed"))
    assert (ended["exitCode"], ended["reason"]) == (code, "OOMKilled")


def test_evicted(cluster, make, phase):
    cluster.inject(faults.Evicted(after=0.1))
    make("p", "trap '' TERM; sleep 60")
    pod = phase("p", "Failed")
    assert pod["status"]["reason"] == "Evicted"
    assert pod["status"]["message"].startswith("The node was low on resource: memory.")
    assert condition(pod, "DisruptionTarget")["reason"] == "TerminationByKubelet"
    assert terminated(pod)["exitCode"] == 137
    assert "Evicted" in [e["reason"] for e in cluster.events("p")]


@pytest.mark.parametrize(
    ("fault", "reason", "event"),
    [
        (faults.Preempted(), "PreemptionByScheduler", "Preempted"),
        (faults.SpotTaint(), "DeletionByTaintManager", "TaintManagerEviction"),
    ],
)
def test_preempted_and_tainted(cluster, make, core, fault, reason, event):
    cluster.inject(fault)
    version = core.list_namespaced_pod("default").metadata.resource_version
    make("p", "sleep 60")
    cluster.wait_for(lambda: cluster.pod("p") is None)
    seen = [
        e["raw_object"]
        for e in watch.Watch().stream(
            core.list_namespaced_pod, "default", resource_version=version, timeout_seconds=1
        )
    ]
    assert condition(seen[-1], "DisruptionTarget")["reason"] == reason
    assert seen[-1]["metadata"]["deletionTimestamp"]
    assert terminated(seen[-1])["exitCode"] == 143
    assert event in [e["reason"] for e in cluster.events("p")]


def test_node_shutdown(cluster, make, phase):
    cluster.inject(faults.NodeShutdown())
    make("p", "sleep 60")
    pod = phase("p", "Failed")
    assert pod["status"]["reason"] == "Terminated"
    assert pod["status"]["message"] == "Pod was terminated in response to imminent node shutdown."
    assert terminated(pod)["exitCode"] == 143


def test_node_lost(cluster, make, core, phase):
    cluster.inject(faults.NodeLost(after=0.1, evict_after=0.2, times=1))
    make("p", "sleep 60")
    cluster.wait_for(lambda: cluster.pod("p")["metadata"].get("deletionTimestamp"))
    pod = cluster.pod("p")
    assert pod["status"]["phase"] == "Running"
    assert "running" in pod["status"]["containerStatuses"][0]["state"]
    assert condition(pod, "Ready")["status"] == "False"
    assert condition(pod, "DisruptionTarget")["reason"] == "DeletionByTaintManager"
    cluster.wait_for(lambda: cluster.processes() == [])
    with pytest.raises(ApiException) as info:
        core.read_namespaced_pod_log("p", "default")
    assert info.value.status == 500
    core.delete_namespaced_pod("p", "default")
    assert cluster.pod("p") is not None
    core.delete_namespaced_pod("p", "default", grace_period_seconds=0)
    assert cluster.pod("p") is None
    make("q")
    assert phase("q", "Succeeded")["spec"]["nodeName"] == "gpu-node-1-2"


def test_deleted_outside_with_a_grace(cluster, make):
    cluster.inject(faults.DeletedOutside(after=0.1, grace=0))
    make("p", "sleep 60")
    cluster.wait_for(lambda: cluster.pod("p") is None)
    cluster.wait_for(lambda: cluster.processes() == [])


@pytest.mark.parametrize("when", ["before_start", "running", "finished"])
def test_vanish(cluster, make, core, when):
    cluster.inject(faults.Vanish(when=when))
    make("p", "sleep 0.3")
    cluster.wait_for(lambda: cluster.pod("p") is None)
    with pytest.raises(ApiException) as info:
        core.read_namespaced_pod("p", "default")
    assert info.value.status == 404
    cluster.wait_for(lambda: cluster.processes() == [])


def test_stuck_delete(cluster, make, core, phase):
    cluster.inject(faults.StuckDelete())
    make("p", "sleep 60")
    phase("p", "Running")
    core.delete_namespaced_pod("p", "default")
    cluster.wait_for(lambda: cluster.processes() == [])
    time.sleep(0.2)
    assert cluster.pod("p")["metadata"]["deletionTimestamp"]
    core.delete_namespaced_pod("p", "default", grace_period_seconds=0)
    assert cluster.pod("p") is None


def test_acts_of_a_test(cluster, make, phase):
    for name, act in (
        ("a", cluster.evict),
        ("b", cluster.preempt),
        ("c", cluster.vanish),
        ("d", cluster.delete_pod),
    ):
        make(name, "sleep 60")
        phase(name, "Running")
        act(name)
    assert phase("a", "Failed")["status"]["reason"] == "Evicted"
    cluster.wait_for(lambda: [p["metadata"]["name"] for p in cluster.pods()] == ["a"])
    make("e", "sleep 60")
    phase("e", "Running")
    cluster.lose_node_of("e")
    assert cluster.pod("e")["status"]["phase"] == "Running"
    cluster.delete_pod("e", grace=0)


# -- the API server


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 502, 503, 504])
def test_api_answers(cluster, core, status):
    no_retries(core)
    armed = cluster.inject(
        faults.Api(status=status, times=2, methods=("GET",), path_contains="/pods", retry_after=7)
    )
    core.list_namespaced_secret("default")
    for _ in range(2):
        with pytest.raises(ApiException) as info:
            core.list_namespaced_pod("default")
        assert info.value.status == status
        assert info.value.headers["Retry-After"] == "7"
        assert json.loads(info.value.body)["code"] == status
    core.list_namespaced_pod("default")
    assert armed.fired == 2
    cluster.inject(faults.Api(status=502, body="<html>bad gateway</html>"))
    with pytest.raises(ApiException, match="bad gateway"):
        core.list_namespaced_pod("default")


def no_retries(core):
    core.api_client.rest_client.pool_manager.connection_pool_kw["retries"] = False
    return core


def test_connection_cut_and_lost_answer(cluster, core, make):
    no_retries(core)
    cluster.inject(faults.ApiCut(path_contains="/pods"))
    with pytest.raises(ProtocolError):
        core.list_namespaced_pod("default")
    cluster.inject(faults.LostCreateAnswer())
    with pytest.raises(HTTPError):
        make("p")
    assert cluster.pod("p") is not None
    with pytest.raises(ApiException) as info:
        make("p")
    assert info.value.status == 409


def test_slow(cluster, core):
    cluster.inject(faults.Slow(seconds=0.4, path_contains="/secrets"))
    began = time.monotonic()
    core.list_namespaced_pod("default")
    assert time.monotonic() - began < 0.3
    core.list_namespaced_secret("default")
    assert time.monotonic() - began > 0.4


def test_log_and_watch_cut(cluster, core, make, phase):
    make("p", "seq 1 1000")
    phase("p", "Succeeded")
    cluster.inject(faults.LogCut(after_bytes=50))
    with pytest.raises(ProtocolError):
        core.read_namespaced_pod_log("p", "default", follow=True, _preload_content=False).read()
    whole = core.read_namespaced_pod_log("p", "default", follow=True, _preload_content=False).read()
    assert len(whole) > 3000
    make("q", "sleep 60")
    cluster.inject(faults.WatchCut(after_events=2))
    stream = watch.Watch().stream(core.list_namespaced_pod, "default", timeout_seconds=5)
    assert [next(stream)["type"], next(stream)["type"]] == ["ADDED", "ADDED"]
    with pytest.raises(ProtocolError):
        next(stream)


def test_clock_skew(cluster, make):
    cluster.inject(faults.ClockSkew(seconds=-3600))
    made = make("p")
    assert 3500 < time.time() - made.metadata.creation_timestamp.timestamp() < 3700
    cluster.heal()
    assert abs(make("q").metadata.creation_timestamp.timestamp() - time.time()) < 5


def test_heal(cluster, make, phase):
    cluster.inject(faults.NodeRejects())
    cluster.inject(faults.Api(status=500, times=None))
    cluster.heal()
    make("p")
    phase("p", "Succeeded")


def test_forbidden_body_is_whole(cluster, core):
    cluster.forbid("*", "events")
    with pytest.raises(client.ApiException) as info:
        core.list_namespaced_event("default")
    body = json.loads(info.value.body)
    assert (body["reason"], body["details"]) == ("Forbidden", {"kind": "events"})
    cluster.allow("*", "events")
    core.list_namespaced_event("default")
