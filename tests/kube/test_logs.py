"""Logs and deletion as the API server and the kubelet do them."""

from __future__ import annotations

import json
import time

from kubernetes import client, config

from kube import faults
from kube.double import Cluster
from kube.refusals import Refused

# -- logs


def test_log_options(cluster, core, make, phase):
    make("talk", "for i in 1 2 3 4; do echo line $i; done; printf tail")
    phase("talk", "Succeeded")

    def read(**options):
        return core.read_namespaced_pod_log("talk", "default", _preload_content=False, **options).data

    assert read() == b"line 1\nline 2\nline 3\nline 4\ntail"
    assert read(tail_lines=2) == b"line 4\ntail"
    assert read(limit_bytes=8) == b"line 1\nl"
    assert read(since_seconds=60) == read()
    stamped = read(timestamps=True).splitlines()
    stamps = [line.split(b" ", 1)[0] for line in stamped]
    assert stamps == sorted(set(stamps))
    assert len(stamps[0]) == 30
    time.sleep(1.2)
    assert read(since_seconds=1) == b""
    with Refused(404, "NotFound"):
        core.read_namespaced_pod_log("none", "default")
    with Refused(400, "BadRequest"):
        core.read_namespaced_pod_log("talk", "default", container="wrong")


def test_log_is_followed_until_the_end(cluster, core, make):
    make("live", "for i in 1 2 3; do echo $i; sleep 0.2; done")
    cluster.wait_for(lambda: cluster.pod("live")["status"]["phase"] == "Running")
    began = time.monotonic()
    stream = core.read_namespaced_pod_log("live", "default", follow=True, _preload_content=False)
    pieces = [(time.monotonic() - began, piece) for piece in stream.stream()]
    assert b"".join(piece for _, piece in pieces) == b"1\n2\n3\n"
    assert pieces[-1][0] - pieces[0][0] > 0.2


def test_log_before_the_start(cluster, core, make):
    cluster.inject(faults.SlowPull(60))
    make("early")
    cluster.wait_for(lambda: cluster.pod("early")["status"].get("containerStatuses"))
    with Refused(400, "BadRequest") as info:
        core.read_namespaced_pod_log("early", "default")
    message = json.loads(info.value.body)["message"]
    assert message == 'container "base" in pod "early" is waiting to start: ContainerCreating'


def test_rotated_log_loses_its_head_and_is_followed(tmp_path):
    with Cluster(tmp_path, log_size=100_000) as cluster:
        core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
        script = "sleep 0.3; seq 1 20000; head -c 50000 /dev/zero; head -c 1000 /dev/urandom"
        base = {"name": "base", "image": "i", "command": ["sh", "-c", script]}
        spec = {"restartPolicy": "Never", "containers": [base]}
        core.create_namespaced_pod("default", {"metadata": {"name": "much"}, "spec": spec})
        cluster.wait_for(lambda: cluster.pod("much")["status"]["phase"] == "Running")
        whole = core.read_namespaced_pod_log("much", "default", follow=True, _preload_content=False).data
        lines = whole.splitlines()
        assert lines[:20000] == [str(i).encode() for i in range(1, 20001)]
        assert b"\0" * 50000 in whole
        cluster.wait_for(lambda: cluster.pod("much")["status"]["phase"] == "Succeeded")
        newest = core.read_namespaced_pod_log("much", "default", _preload_content=False).data
        assert not newest.startswith(b"1\n")
        assert whole.endswith(newest)


# -- deletion


def test_graceful_deletion(cluster, core, make, phase):
    make("calm", "trap 'echo bye; sleep 0.3; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    cluster.wait_for(
        lambda: cluster.pod("calm")["status"]["phase"] == "Running" and cluster.logs("calm") == b"up\n"
    )
    answer = core.delete_namespaced_pod("calm", "default", grace_period_seconds=20)
    assert answer.metadata.deletion_timestamp
    assert answer.metadata.deletion_grace_period_seconds == 20
    assert core.read_namespaced_pod("calm", "default").metadata.deletion_timestamp
    cluster.wait_for(lambda: cluster.logs("calm") == b"up\nbye\n")
    cluster.wait_for(lambda: cluster.pod("calm") is None)
    assert "Killing" in [e["reason"] for e in cluster.events("calm")]
    assert cluster.processes() == []


def test_stubborn_process_is_killed_after_the_grace(cluster, core, make, phase):
    make("deaf", "trap '' TERM; setsid sleep 60 & sleep 60", spec={"terminationGracePeriodSeconds": 1})
    phase("deaf", "Running")
    cluster.wait_for(lambda: len(cluster.processes()) >= 3)
    began = time.monotonic()
    core.delete_namespaced_pod("deaf", "default", body=client.V1DeleteOptions())
    cluster.wait_for(lambda: cluster.pod("deaf") is None)
    assert 0.9 < time.monotonic() - began < 3
    assert cluster.processes() == []


def test_forced_deletion_and_preconditions(cluster, core, make, phase):
    make("hard", "trap '' TERM; sleep 60")
    pod = phase("hard", "Running")
    with Refused(409, "Conflict") as info:
        body = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="other"))
        core.delete_namespaced_pod("hard", "default", body=body)
    assert f"UID in object meta: {pod['metadata']['uid']}" in info.value.body
    core.delete_namespaced_pod("hard", "default", grace_period_seconds=0)
    assert cluster.pod("hard") is None
    cluster.wait_for(lambda: cluster.processes() == [])


def test_finished_and_unscheduled_pods_go_at_once(cluster, core, make, phase):
    make("done")
    phase("done", "Succeeded")
    core.delete_namespaced_pod("done", "default")
    assert cluster.pod("done") is None
    make("never", spec={"nodeSelector": {"no": "such"}})
    cluster.wait_for(lambda: cluster.pod("never")["status"].get("conditions"))
    core.delete_namespaced_pod("never", "default")
    assert cluster.pod("never") is None


def test_delete_collection(cluster, core, make):
    for name, app in (("a", "x"), ("b", "x"), ("c", "y")):
        make(name, meta={"labels": {"app": app}})
    core.delete_collection_namespaced_pod("default", label_selector="app=x")
    cluster.wait_for(lambda: [p["metadata"]["name"] for p in cluster.pods()] == ["c"])


def test_owned_secrets_go_with_their_pod(cluster, core, make):
    pod = make("owner", "sleep 60")
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "owner", "uid": pod.metadata.uid}
    core.create_namespaced_secret("default", {"metadata": {"name": "own", "ownerReferences": [owner]}})
    core.create_namespaced_secret("default", {"metadata": {"name": "free"}})
    core.create_namespaced_secret("default", {"metadata": {"name": "later"}})
    core.patch_namespaced_secret("later", "default", {"metadata": {"ownerReferences": [owner]}})
    core.delete_namespaced_pod("owner", "default", grace_period_seconds=0)
    cluster.wait_for(lambda: [s["metadata"]["name"] for s in cluster.secrets()] == ["free"])
    stray = {**owner, "uid": "00000000-0000-4000-8000-000000000000"}
    core.create_namespaced_secret("default", {"metadata": {"name": "stray", "ownerReferences": [stray]}})
    cluster.wait_for(lambda: [s["metadata"]["name"] for s in cluster.secrets()] == ["free"])
    core.delete_namespaced_secret("free", "default")
    assert cluster.secrets() == []
