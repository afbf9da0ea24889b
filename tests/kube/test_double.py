"""The double is what clients take it for: the life of pods, refusals, lists, watches and changes."""

from __future__ import annotations

import json
import os
import time

import pytest
from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException

from kube.double import Cluster, Node
from kube.refusals import Refused
from kube.scheduling import Taint

# -- the life of a pod


def test_life_of_a_pod(cluster, core, make, phase):
    made = make("one", "echo out; echo err >&2; exit 3")
    assert made.status.phase == "Pending"
    assert made.spec.termination_grace_period_seconds == 30
    assert {t.key for t in made.spec.tolerations} >= {"node.kubernetes.io/not-ready"}
    phase("one", "Failed")
    pod = core.read_namespaced_pod("one", "default")
    (base,) = pod.status.container_statuses
    ended = base.state.terminated
    assert (ended.exit_code, ended.reason) == (3, "Error")
    assert ended.started_at <= ended.finished_at
    assert int(pod.metadata.resource_version) > int(made.metadata.resource_version)
    conditions = {c.type: (c.status, c.reason) for c in pod.status.conditions}
    assert conditions["PodScheduled"] == ("True", None)
    assert conditions["Ready"] == ("False", "PodFailed")
    reasons = [e["reason"] for e in cluster.events("one")]
    assert reasons == ["Scheduled", "Pulled", "Created", "Started"]
    event = cluster.events("one")[-1]
    assert event["involvedObject"]["uid"] == pod.metadata.uid
    assert event["involvedObject"]["fieldPath"] == "spec.containers{base}"


def test_containers_side_by_side_and_init_containers_in_order(cluster, core, make, phase):
    def waiter(name, order):
        return {"name": name, "image": "i", "command": ["sh", "-c", f"echo {name} >> {order}"]}

    order = cluster.root / "order"
    second = {"name": "side", "image": "i", "command": ["sleep", "60"]}
    base = {"name": "base", "image": "i", "command": ["sh", "-c", f"echo base >> {order}; sleep 0.1"]}
    make(
        "two", spec={"containers": [base, second], "initContainers": [waiter("a", order), waiter("b", order)]}
    )
    cluster.wait_for(lambda: order.exists() and order.read_text().split() == ["a", "b", "base"])

    def base_over():
        statuses = core.read_namespaced_pod("two", "default").status.container_statuses
        return statuses and statuses[0].state.terminated and statuses

    statuses = cluster.wait_for(base_over)
    assert statuses[1].state.running
    assert cluster.pod("two")["status"]["phase"] == "Running"
    with Refused(400, "BadRequest") as info:
        core.read_namespaced_pod_log("two", "default")
    assert "choose one of: [base side] or one of the init containers: [a b]" in info.value.body


def test_native_sidecar_ends_with_the_pod(cluster, make, phase):
    side = {"name": "mesh", "image": "i", "command": ["sleep", "60"], "restartPolicy": "Always"}
    make("mesh", "sleep 0.1", spec={"initContainers": [side]})
    pod = phase("mesh", "Succeeded")
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 143


def test_termination_message_file_and_fallback(cluster, make, phase):
    make("told", 'printf why > "$STEPBRIDGE_TERMINATION_LOG"; exit 1')
    state = phase("told", "Failed")["status"]["containerStatuses"][0]["state"]
    assert state["terminated"]["message"] == "why"
    make("log", "echo last words; exit 1", container={"terminationMessagePolicy": "FallbackToLogsOnError"})
    state = phase("log", "Failed")["status"]["containerStatuses"][0]["state"]
    assert state["terminated"]["message"] == "last words\n"


def test_environment_of_a_container(cluster, make, phase):
    cluster.add_secret("creds", {"TOKEN": "s3cret", "OTHER": "x"})
    cluster.add_config_map("conf", {"mode": "fast"})
    env = [
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "TOKEN"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "K", "optional": True}}},
        {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "ZONE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['zone']"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "BOTH", "value": "$(ME)-$(TOKEN)-$$(ME)-$(UNKNOWN)"},
    ]
    container = {
        "command": ["python", "-c", "import os, json; print(json.dumps(dict(os.environ)))", "$(ME)"],
        "env": env,
        "envFrom": [{"secretRef": {"name": "creds"}, "prefix": "P_"}, {"configMapRef": {"name": "conf"}}],
        "resources": {"limits": {"memory": "2Gi"}},
    }
    os.environ["LEAKED_FROM_THE_TEST"] = "1"
    try:
        make("env", container=container, meta={"labels": {"zone": "a"}})
        phase("env", "Succeeded")
    finally:
        del os.environ["LEAKED_FROM_THE_TEST"]
    held = json.loads(cluster.logs("env"))
    assert held["BOTH"] == "env-s3cret-$(ME)-$(UNKNOWN)"
    assert (held["P_OTHER"], held["mode"], held["ZONE"], held["MEM"]) == ("x", "fast", "a", "2048")
    assert "NONE" not in held
    assert "LEAKED_FROM_THE_TEST" not in held
    assert held["PYTHONPATH"].endswith("bridge")


def test_missing_secret_is_waited_for(cluster, core, make, phase, waits):
    env = [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "late", "key": "k"}}}]
    make("late", 'echo "$K"', container={"env": env})
    assert waits("late", "CreateContainerConfigError") == 'secret "late" not found'
    with Refused(400, "BadRequest") as info:
        core.read_namespaced_pod_log("late", "default")
    message = json.loads(info.value.body)["message"]
    assert message == 'container "base" in pod "late" is waiting to start: CreateContainerConfigError'
    core.create_namespaced_secret("default", {"metadata": {"name": "late"}, "stringData": {"other": "v"}})
    cluster.wait_for(
        lambda: waits("late", "CreateContainerConfigError").startswith("couldn't find key k in Secret")
    )
    core.patch_namespaced_secret("late", "default", {"stringData": {"k": "v"}})
    phase("late", "Succeeded")
    assert cluster.logs("late") == b"v\n"


def test_secret_volume(cluster, make, phase):
    cluster.add_secret("files", {"a": "1", "b": "2"})
    where = cluster.root / "mnt"
    volumes = [
        {"name": "v", "secret": {"secretName": "files", "items": [{"key": "a", "path": "deep/a.txt"}]}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
    mounts = [{"name": "v", "mountPath": str(where)}, {"name": "shm", "mountPath": "/dev/shm"}]
    make("vol", f"cat {where}/deep/a.txt", container={"volumeMounts": mounts}, spec={"volumes": volumes})
    phase("vol", "Succeeded")
    assert cluster.logs("vol") == b"1"
    assert sorted(p.name for p in where.rglob("*") if p.is_file()) == ["a.txt"]


def test_program_that_is_not_there(make, phase):
    make("absent", container={"command": ["no-such-program"]})
    ended = phase("absent", "Failed")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert 'exec: "no-such-program": executable file not found in $PATH' in ended["message"]


def test_deadline(cluster, make, phase):
    make("slow", "sleep 60", spec={"activeDeadlineSeconds": 1})
    status = phase("slow", "Failed")["status"]
    assert status["reason"] == "DeadlineExceeded"
    assert status["message"] == "Pod was active on the node longer than the specified deadline"
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143


def test_restarts_and_previous_log(cluster, core, make):
    make("again", "echo once; exit 1", spec={"restartPolicy": "OnFailure"})

    def restarted():
        (status,) = core.read_namespaced_pod("again", "default").status.container_statuses
        return status.restart_count >= 1 and status.state.running is None

    cluster.wait_for(restarted)
    assert "once" in core.read_namespaced_pod_log("again", "default", previous=True)


# -- refusals


def test_refusals_have_the_bodies_of_the_api_server(cluster, core, make):
    with Refused(404, "NotFound") as info:
        core.read_namespaced_pod("none", "default")
    assert json.loads(info.value.body)["details"] == {"name": "none", "kind": "pods"}
    make("one", "sleep 60")
    with Refused(409, "AlreadyExists") as info:
        make("one")
    assert json.loads(info.value.body)["message"] == 'pods "one" already exists'
    with Refused(404, "NotFound") as info:
        core.create_namespaced_pod("nowhere", {"metadata": {"name": "x"}, "spec": {}})
    assert json.loads(info.value.body)["message"] == 'namespaces "nowhere" not found'
    with Refused(422, "Invalid") as info:
        core.create_namespaced_pod("default", {"metadata": {"name": "x"}, "spec": {"restartPolicy": "Never"}})
    body = json.loads(info.value.body)
    assert body["message"] == 'Pod "x" is invalid: spec.containers: Required value'
    assert body["details"]["causes"][0]["field"] == "spec.containers"
    with Refused(400, "BadRequest"):
        core.list_namespaced_pod("default", label_selector="a in b")


@pytest.mark.parametrize(
    ("container", "meta", "told"),
    [
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"key": "k"}}}]},
            {},
            "secretKeyRef.name: Required value",
        ),
        ({"image": ""}, {}, "spec.containers[0].image: Required value"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/x"}]}, {}, 'volumeMounts[0].name: Not found: "v"'),
        ({"resources": {"requests": {"nvidia.com/gpu": "1"}}}, {}, "non overcommitable"),
        (
            {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
            {},
            "memory limit of 1Gi",
        ),
        ({}, {"labels": {"a": "x" * 64}}, "must be no more than 63 bytes"),
        ({}, {"name": "Upper"}, "lowercase RFC 1123 subdomain"),
        ({}, {"annotations": {"a": "x" * 300_000}}, "may not be more than 262144 bytes"),
    ],
)
def test_pods_that_are_invalid(make, container, meta, told):
    with Refused(422, "Invalid") as info:
        make("x", container=container, meta=meta)
    assert told in json.loads(info.value.body)["message"]


def test_token_and_rights(cluster, core, make):
    cluster.forbid("create", "secrets")
    with Refused(403, "Forbidden") as info:
        core.create_namespaced_secret("default", {"metadata": {"name": "s"}})
    message = json.loads(info.value.body)["message"]
    assert 'cannot create resource "secrets" in API group "" in the namespace "default"' in message
    reviews = client.AuthorizationV1Api(core.api_client)

    def may(verb, resource, sub=None):
        attributes = client.V1ResourceAttributes(
            namespace="default", verb=verb, resource=resource, subresource=sub
        )
        spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        made = reviews.create_self_subject_access_review(client.V1SelfSubjectAccessReview(spec=spec))
        return made.status.allowed

    assert not may("create", "secrets")
    assert may("get", "secrets")
    cluster.forbid("get", "pods/log")
    assert not may("get", "pods", "log")
    assert may("get", "pods")
    cluster.expire_token()
    with Refused(401, "Unauthorized"):
        core.list_namespaced_pod("default")
    again = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    assert again.list_namespaced_pod("default").items == []


# -- lists, watches, changes


def test_selectors_and_pages(core, make, cluster, phase):
    for name, labels in (("a", {"app": "x", "n": "1"}), ("b", {"app": "x", "n": "2"}), ("c", {"app": "y"})):
        make(name, meta={"labels": labels})
        phase(name, "Succeeded")

    def names(**selectors):
        return [p.metadata.name for p in core.list_namespaced_pod("default", **selectors).items]

    assert names(label_selector="app=x") == ["a", "b"]
    assert names(label_selector="app in (x,y),n!=1") == ["b", "c"]
    assert names(label_selector="n notin (2),app==x") == ["a"]
    assert names(label_selector="!n") == ["c"]
    assert names(label_selector="n") == ["a", "b"]
    assert names(field_selector="metadata.name=b") == ["b"]
    assert names(field_selector="status.phase!=Succeeded") == []
    assert names(field_selector="spec.nodeName=gpu-node-1") == ["a", "b", "c"]
    first = core.list_namespaced_pod("default", limit=2)
    rest = core.list_namespaced_pod("default", limit=2, _continue=first.metadata._continue)
    assert [p.metadata.name for p in [*first.items, *rest.items]] == ["a", "b", "c"]
    events = core.list_namespaced_event("default", field_selector="involvedObject.name=b").items
    assert {e.involved_object.name for e in events} == {"b"}
    assert core.list_pod_for_all_namespaces().items


def test_watch_from_a_version_and_too_old(cluster, core, make, phase):
    version = core.list_namespaced_pod("default").metadata.resource_version
    make("seen", "sleep 0.1", meta={"labels": {"app": "w"}})
    make("other")
    phases = []
    stream = watch.Watch().stream(
        core.list_namespaced_pod,
        "default",
        label_selector="app=w",
        resource_version=version,
        timeout_seconds=10,
    )
    for event in stream:
        assert event["object"].metadata.name == "seen"
        phases.append((event["type"], event["object"].status.phase))
        if event["object"].status.phase == "Succeeded":
            break
    assert phases[0] == ("ADDED", "Pending")
    assert phases[-1] == ("MODIFIED", "Succeeded")
    cluster.forget_history()
    with pytest.raises(ApiException, match="too old resource version") as info:
        next(
            iter(
                watch.Watch().stream(
                    core.list_namespaced_pod, "default", resource_version=version, timeout_seconds=5
                )
            )
        )
    assert info.value.status == 410


def test_watch_ends_at_its_time_and_leaves_nothing(cluster, core):
    began = time.monotonic()
    assert list(watch.Watch().stream(core.list_namespaced_pod, "default", timeout_seconds=1)) == []
    assert 0.9 < time.monotonic() - began < 3


def test_patches_and_conflicts(core, make, cluster):
    made = make("p", "sleep 60", meta={"labels": {"a": "1"}})
    changed = core.patch_namespaced_pod("p", "default", {"metadata": {"labels": {"a": None, "b": "2"}}})
    assert changed.metadata.labels == {"b": "2"}
    assert changed.metadata.resource_version != made.metadata.resource_version
    core.patch_namespaced_pod("p", "default", [{"op": "add", "path": "/metadata/labels/c~1d", "value": "3"}])
    assert cluster.pod("p")["metadata"]["labels"] == {"b": "2", "c/d": "3"}
    stale = made.to_dict() and core.api_client.sanitize_for_serialization(made)
    with Refused(409, "Conflict") as info:
        core.replace_namespaced_pod("p", "default", stale)
    assert "the object has been modified" in info.value.body
    with Refused(422, "Invalid") as info:
        core.patch_namespaced_pod("p", "default", {"spec": {"nodeName": "elsewhere"}})
    assert "pod updates may not change fields other than" in info.value.body
    assert core.read_namespaced_pod_status("p", "default").status.phase


def test_generate_name(core):
    spec = {"containers": [{"name": "base", "image": "i", "command": ["true"]}]}
    names = {
        core.create_namespaced_pod(
            "default", {"metadata": {"generateName": "g-"}, "spec": spec}
        ).metadata.name
        for _ in range(3)
    }
    assert len(names) == 3
    assert all(name.startswith("g-") and len(name) == 7 for name in names)


# -- nodes and images


def test_scheduler_waits_for_what_fits(tmp_path):
    small = Node("small", labels={"pool": "cpu"}, allocatable={"cpu": "4", "memory": "8Gi", "pods": "10"})
    with Cluster(tmp_path, nodes=[small]) as cluster:
        core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))

        def create(name, limits, **spec):
            base = {"name": "base", "image": "i", "command": ["sleep", "60"], "resources": {"limits": limits}}
            core.create_namespaced_pod(
                "default", {"metadata": {"name": name}, "spec": {"containers": [base], **spec}}
            )

        def message(name):
            conditions = cluster.pod(name)["status"].get("conditions") or [{}]
            return conditions[0].get("message", "")

        create("gpu", {"nvidia.com/gpu": "1"})
        wanted = (
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available: "
            "1 No preemption victims found for incoming pod."
        )
        cluster.wait_for(lambda: message("gpu") == wanted)
        assert cluster.events("gpu")[0]["reason"] == "FailedScheduling"
        terms = [{"matchExpressions": [{"key": "gen", "operator": "Gt", "values": ["3"]}]}]
        affinity = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        }
        create("picky", {"cpu": "1"}, affinity=affinity)
        cluster.wait_for(lambda: "1 node(s) didn't match Pod's node affinity/selector" in message("picky"))
        create("first", {"cpu": "3"})
        create("second", {"cpu": "3"})
        cluster.wait_for(lambda: "Insufficient cpu" in message("second"))
        core.delete_namespaced_pod("first", "default", grace_period_seconds=0)
        cluster.wait_for(lambda: cluster.pod("second")["spec"].get("nodeName") == "small")
        taints = [Taint("nvidia.com/gpu", "present")]
        allocatable = {"cpu": "4", "memory": "8Gi", "pods": "10", "nvidia.com/gpu": "1"}
        cluster.add_node(Node("big", labels={"gen": "4"}, taints=taints, allocatable=allocatable))
        cluster.wait_for(lambda: "untolerated taint {nvidia.com/gpu: present}" in message("gpu"))
        create("fits", {"nvidia.com/gpu": "1"}, tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}])
        cluster.wait_for(lambda: cluster.pod("fits")["spec"].get("nodeName") == "big")


def test_images(tmp_path):
    with Cluster(tmp_path, images={"known:1"}) as cluster:
        core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))

        def create(name, image, policy):
            base = {"name": "base", "image": image, "imagePullPolicy": policy, "command": ["true"]}
            spec = {"restartPolicy": "Never", "containers": [base]}
            core.create_namespaced_pod("default", {"metadata": {"name": name}, "spec": spec})

        def waiting(name):
            status = cluster.pod(name)["status"].get("containerStatuses")
            return (status and status[0]["state"].get("waiting")) or {}

        create("never", "other:1", "Never")
        cluster.wait_for(lambda: waiting("never").get("reason") == "ErrImageNeverPull")
        assert (
            waiting("never")["message"]
            == 'Container image "other:1" is not present with pull policy of Never'
        )
        create("typo", "other:1", "IfNotPresent")
        cluster.wait_for(lambda: waiting("typo").get("reason") == "ErrImagePull")
        assert (
            "rpc error: code = NotFound desc = failed to pull and unpack image" in waiting("typo")["message"]
        )
        cluster.wait_for(lambda: waiting("typo").get("reason") == "ImagePullBackOff")
        create("bad", "Not An Image", "IfNotPresent")
        cluster.wait_for(lambda: waiting("bad").get("reason") == "InvalidImageName")
        create("good", "known:1", "Never")
        cluster.wait_for(lambda: cluster.pod("good")["status"]["phase"] == "Succeeded")
