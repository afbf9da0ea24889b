"""The pod of a step: the template, the operator's arguments and the step become one, and nothing is lost."""

from __future__ import annotations

import copy
import datetime
import functools
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret as PodSecret
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes.client import models as k8s

from stepbridge import Resources, Secret
from stepbridge.failures import OperatorProblem
from stepbridge_airflow import StepOperator
from stepbridge_airflow.placement import Placement
from stepbridge_airflow.pod_models import Models
from stepbridge_airflow.pod_spec import PodParts, notes, shaped

GOLDEN = Path(__file__).parent / "golden_pods"
COMMAND = ("python", "-P", "-m", "stepbridge.runner")
ARGUMENTS = ("file:///store/request.json", "--digest", "abc")


@dataclass(frozen=True)
class NoCluster:
    """What KubernetesPodOperator asks its hook for while it builds a pod."""

    is_in_cluster: bool = False

    def get_namespace(self) -> None: ...


def work() -> int:
    return 1


def operator(**arguments: Any) -> StepOperator:
    try:
        from airflow.sdk import DAG
    except ImportError:
        from airflow import DAG
    with DAG(f"dag_{uuid.uuid4().hex[:8]}", start_date=datetime.datetime(2026, 1, 1), schedule=None):
        return StepOperator(
            task_id="train",
            python_callable=work,
            **{"image": "registry/train:3", "random_name_suffix": False, **arguments},
        )


def parts(**more: Any) -> PodParts:
    return PodParts(command=COMMAND, arguments=ARGUMENTS, **more)


def built(op: StepOperator, said: PodParts) -> dict[str, Any]:
    """The pod as the API server would get it, without what differs between versions of Airflow."""
    ready = shaped(op, said)
    ready.hook = NoCluster()
    pod = Models().plain(KubernetesPodOperator.build_pod_request_obj(ready, None), "pod")
    for label in ("airflow_version", "airflow_kpo_in_cluster"):
        pod["metadata"]["labels"].pop(label, None)
    return pruned(pod)


def pruned(value: Any) -> Any:
    if isinstance(value, list):
        return [pruned(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {key: pruned(one) for key, one in value.items()}
    return {key: one for key, one in kept.items() if one != [] and (one != {} or key == "emptyDir")}


def base(pod: dict[str, Any]) -> dict[str, Any]:
    return pod["spec"]["containers"][0]


def env(pod: dict[str, Any]) -> dict[str, Any]:
    names = [one["name"] for one in base(pod).get("env", [])]
    assert len(names) == len(set(names)), f"an environment variable appears twice: {names}"
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in base(pod).get("env", [])}


LOSS = {
    "metadata": {"labels": {"team": "imaging"}},
    "spec": {
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [
            {
                "name": "base",
                "env": [{"name": "A", "value": "template"}, {"name": "B", "value": "template"}],
                "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": "2"}},
            }
        ],
    },
}
SIDECAR = {
    "spec": {
        "containers": [
            {"name": "proxy", "image": "proxy:1", "env": [{"name": "PROXY", "value": "1"}]},
            {"name": "base", "image": "template:1", "volumeMounts": [{"name": "d", "mountPath": "/data"}]},
        ],
        "initContainers": [{"name": "fetch", "image": "fetch:1", "command": ["fetch"]}],
        "volumes": [{"name": "d", "emptyDir": {}}],
        "serviceAccountName": "steps",
    }
}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "bare": ({}, {}),
    "gpu": ({}, {"resources": Resources(gpu="A10G:1", cpu=4, memory="16Gi"), "deadline": 7200}),
    "gpu_loss": (
        {
            "pod_template_dict": LOSS,
            "container_resources": k8s.V1ResourceRequirements(limits={"memory": "8Gi"}),
            "tolerations": [k8s.V1Toleration(key="spot", operator="Exists")],
            "node_selector": {"zone": "a"},
            "env_vars": {"A": "argument"},
        },
        {},
    ),
    "sidecar_first": (
        {"pod_template_dict": SIDECAR, "image": None},
        {"resources": Resources(memory="2Gi"), "labels": {"stepbridge-attempt": "abc"}},
    ),
    "full_over_template": (
        {
            "pod_template_dict": LOSS,
            "full_pod_spec": k8s.V1Pod(
                metadata=k8s.V1ObjectMeta(name="named", annotations={"note": "full"}),
                spec=k8s.V1PodSpec(
                    node_selector={"pool": "other"},
                    containers=[
                        k8s.V1Container(
                            name="base",
                            env=[k8s.V1EnvVar(name="B", value="full")],
                            resources=k8s.V1ResourceRequirements(requests={"memory": "1Gi"}),
                        )
                    ],
                ),
            ),
        },
        {},
    ),
    "spot": (
        {"priority_class_name": None},
        {
            "resources": Resources(gpu="T4:2"),
            "placement": Placement("spot", {"zone": "a"}, priority_class="batch", do_not_disrupt=False),
        },
    ),
    "secrets": (
        {"env_vars": {"PLAIN": "1"}},
        {
            "environment": {"STEPBRIDGE_X": "1"},
            "environment_secret": "stepbridge-abc",
            "secrets": (
                Secret("db", "password", env="DB_PASSWORD"),
                Secret("db", "cert", file="/run/db/cert.pem"),
                Secret("db", "cert", file="/run/db/again.pem"),
                Secret("token", "value", file="/run/token"),
                Secret("in-aws", env="AWS_ONE", source="aws"),
            ),
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_golden_pods(case: str) -> None:
    arguments, more = CASES[case]
    pod = built(operator(**arguments), parts(**more))
    path = GOLDEN / f"{case}.yaml"
    if os.environ.get("STEPBRIDGE_WRITE_GOLDEN"):
        path.write_text(yaml.safe_dump(pod, sort_keys=True))
        pytest.fail(f"{path} was written: look at it and run again without STEPBRIDGE_WRITE_GOLDEN")
    assert pod == yaml.safe_load(path.read_text())


def test_kubernetes_pod_operator_alone_loses_the_gpu_of_a_template() -> None:
    """The defect that the merge is for; when this fails, the provider has learnt it."""
    arguments = CASES["gpu_loss"][0]
    plain = operator(**arguments)
    plain.hook = NoCluster()
    plain.do_xcom_push = False
    pod = Models().plain(KubernetesPodOperator.build_pod_request_obj(plain, None), "pod")
    assert "nvidia.com/gpu" not in base(pod)["resources"]["limits"]
    ours = built(operator(**arguments), parts())
    assert base(ours)["resources"] == {
        "limits": {"nvidia.com/gpu": "1", "memory": "8Gi"},
        "requests": {"cpu": "2"},
    }


def test_the_operator_and_its_objects_stay_as_they_are() -> None:
    arguments = CASES["gpu_loss"][0] | {
        "volumes": [k8s.V1Volume(name="v", empty_dir=k8s.V1EmptyDirVolumeSource())],
        "volume_mounts": [k8s.V1VolumeMount(name="v", mount_path="/v")],
        "affinity": k8s.V1Affinity(node_affinity=k8s.V1NodeAffinity()),
        "full_pod_spec": CASES["full_over_template"][0]["full_pod_spec"],
    }
    before = copy.deepcopy(arguments)
    op = operator(**arguments)
    attributes = {name: copy.deepcopy(getattr(op, name)) for name in (*arguments, "do_xcom_push", "labels")}
    first = built(op, parts(resources=Resources(gpu=1), labels={"a": "b"}))
    assert built(op, parts(resources=Resources(gpu=1), labels={"a": "b"})) == first
    assert arguments == before
    assert {name: getattr(op, name) for name in attributes} == attributes
    assert op.do_xcom_push is True


def test_the_step_goes_before_arguments_before_full_spec_before_template() -> None:
    template = {"spec": {"containers": [{"name": "base", "image": "t", "env": []}], "nodeSelector": {}}}
    for n, holder in enumerate(("template", "full", "argument", "step")):
        template["spec"]["containers"][0]["env"].append({"name": holder, "value": "template"})
        template["spec"]["nodeSelector"][str(n)] = "template"
    full = {
        "spec": {
            "containers": [
                {"name": "base", "env": [{"name": n, "value": "full"} for n in ("full", "argument", "step")]}
            ],
            "nodeSelector": dict.fromkeys("123", "full"),
        }
    }
    pod = built(
        operator(
            pod_template_dict=template,
            full_pod_spec=full,
            env_vars={"argument": "argument", "step": "argument"},
            node_selector={"2": "argument", "3": "argument"},
        ),
        parts(environment={"step": "step"}, placement=Placement(node_labels={"3": "step"})),
    )
    assert env(pod) == {n: n for n in ("template", "full", "argument", "step")}
    assert pod["spec"]["nodeSelector"] == {"0": "template", "1": "full", "2": "argument", "3": "step"}


def test_notes_say_what_gave_way_and_keep_values_of_variables_to_themselves() -> None:
    op = operator(
        pod_template_dict=LOSS,
        container_resources={"limits": {"memory": "8Gi", "nvidia.com/gpu": "2"}},
        env_vars={"A": "hush"},
    )
    said = notes(op, parts(resources=Resources(memory="16Gi")))
    assert "spec.containers[base].env[A]: the operator goes before the template" in said
    assert "spec.containers[base].resources.limits.memory: the step says 16Gi, the operator said 8Gi" in said
    assert any("nvidia.com/gpu: the operator says 2, the template said 1" in one for one in said)
    assert not any("hush" in one for one in said)
    assert notes(operator(), parts()) == ()
    equal = operator(container_resources={"limits": {"memory": "16384Mi"}})
    assert notes(equal, parts(resources=Resources(memory="16Gi"))) == ()


@pytest.mark.parametrize(
    ("template", "step", "limits", "requests"),
    [
        ({"limits": {"cpu": "2"}}, Resources(cpu=4), {"cpu": "4"}, {"cpu": "4"}),
        (
            {"requests": {"memory": "16Gi"}},
            Resources(limits={"memory": "8Gi"}),
            {"memory": "8Gi"},
            {"memory": "8Gi"},
        ),
        ({"limits": {"cpu": "8"}}, Resources(cpu=4), {"cpu": "8"}, {"cpu": "4"}),
    ],
)
def test_a_request_never_ends_above_its_limit(template: Any, step: Any, limits: Any, requests: Any) -> None:
    op = operator(pod_template_dict={"spec": {"containers": [{"name": "base", "resources": template}]}})
    pod = built(op, parts(resources=step))
    assert base(pod)["resources"] == {"limits": limits, "requests": requests}
    assert len(notes(op, parts(resources=step))) == (limits != requests and 0) + (limits == requests)


def test_a_devices_request_follows_its_limit() -> None:
    template = {"limits": {"nvidia.com/gpu": 1}, "requests": {"nvidia.com/gpu": 1}}
    op = operator(
        pod_template_dict={"spec": {"containers": [{"name": "base", "resources": template}]}},
        container_resources={"limits": {"nvidia.com/gpu": 2}},
    )
    assert base(built(op, parts()))["resources"] == {
        "limits": {"nvidia.com/gpu": "2"},
        "requests": {"nvidia.com/gpu": "2"},
    }


def test_plain_mappings_do_where_kubernetes_objects_do() -> None:
    volume = {"name": "v", "emptyDir": {}}
    op = operator()
    op.tolerations = [{"key": "a", "operator": "Exists"}, k8s.V1Toleration(key="b", operator="Exists")]
    op.affinity = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    op.volumes, op.volume_mounts = [volume], [{"name": "v", "mountPath": "/v"}]
    op.env_vars = [{"name": "A", "value": "1"}, k8s.V1EnvVar(name="B", value="2")]
    op.env_from = [{"configMapRef": {"name": "c"}}]
    op.ports = [{"containerPort": 80}]
    op.container_resources = {"limits": {"memory": "1Gi"}}
    op.security_context = {"runAsUser": 1000}
    op.host_aliases = [{"ip": "10.0.0.1", "hostnames": ["db"]}]
    op.image_pull_secrets = ["registry", k8s.V1LocalObjectReference(name="other")]
    op.init_containers = [{"name": "first", "image": "i"}]
    pod = built(op, parts())
    spec = pod["spec"]
    assert [one["key"] for one in spec["tolerations"]] == ["a", "b"]
    assert spec["volumes"] == [volume]
    assert env(pod) == {"A": "1", "B": "2"}
    assert base(pod)["envFrom"] == [{"configMapRef": {"name": "c"}}]
    assert base(pod)["ports"] == [{"containerPort": 80}]
    assert spec["securityContext"] == {"runAsUser": 1000}
    assert spec["hostAliases"] == [{"ip": "10.0.0.1", "hostnames": ["db"]}]
    assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "other"}]
    assert spec["initContainers"] == [{"name": "first", "image": "i"}]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"pod_template_file": "/no/such/template.yaml"}, "/no/such/template.yaml"),
        ({"pod_template_dict": {"spec": {"nodeSelectr": {"a": "b"}}}}, "nodeSelectr"),
        ({"pod_template_dict": {"spec": {"containers": [{}, {"image": "x"}]}}}, "name"),
        ({"container_resources": {"limts": {"memory": "1Gi"}}}, "resources.limts"),
        ({"security_context": {"run_as_user": 1}}, "securityContext.run_as_user"),
        ({"container_resources": object()}, "container_resources"),
    ],
)
def test_what_would_be_lost_is_an_error(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(OperatorProblem, match="SB502") as caught:
        shaped(operator(**arguments), parts())
    assert says in str(caught.value)


def test_template_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pod.yaml"
    path.write_text(yaml.safe_dump(SIDECAR))
    pod = built(operator(pod_template_file=str(path)), parts())
    assert [one["name"] for one in pod["spec"]["containers"]] == ["base", "proxy"]
    assert pod["spec"]["serviceAccountName"] == "steps"
    for text in ("- a\n- b\n", "a: [", ""):
        path.write_text(text)
        with pytest.raises(OperatorProblem, match=r"SB502.*pod\.yaml"):
            shaped(operator(pod_template_file=str(path)), parts())


def test_the_steps_container_is_the_named_one_or_the_first() -> None:
    two = {
        "spec": {"containers": [{"name": "main", "image": "m", "tty": True}, {"name": "side", "image": "s"}]}
    }
    pod = built(operator(pod_template_dict=two, image=None), parts())
    assert [(one["name"], one["image"]) for one in pod["spec"]["containers"]] == [
        ("base", "m"),
        ("side", "s"),
    ]
    assert base(pod)["tty"] is True
    full = {"spec": {"containers": [{"name": "side", "stdin": True}, {"name": "main", "stdin": False}]}}
    pod = built(operator(pod_template_dict=two, full_pod_spec=full, base_container_name="main"), parts())
    assert [(one["name"], one["stdin"]) for one in pod["spec"]["containers"]] == [
        ("main", False),
        ("side", True),
    ]


def test_times_and_messages() -> None:
    template = {"spec": {"activeDeadlineSeconds": 500, "terminationGracePeriodSeconds": 90}}
    pod = built(operator(), parts(deadline=700, grace=40))
    assert pod["spec"]["activeDeadlineSeconds"] == 700
    assert pod["spec"]["terminationGracePeriodSeconds"] == 40
    assert base(pod)["terminationMessagePolicy"] == "FallbackToLogsOnError"
    op = operator(pod_template_dict=template, active_deadline_seconds=600)
    assert built(op, parts(deadline=700))["spec"]["activeDeadlineSeconds"] == 500
    assert any("the template says 500, the step said 700" in one for one in notes(op, parts(deadline=700)))
    op = operator(active_deadline_seconds=600, termination_grace_period=7)
    assert built(op, parts(deadline=700, grace=40))["spec"]["activeDeadlineSeconds"] == 600
    assert built(op, parts(deadline=50, grace=40))["spec"]["activeDeadlineSeconds"] == 50
    assert built(op, parts(grace=40))["spec"]["terminationGracePeriodSeconds"] == 7
    assert built(operator(pod_template_dict=template), parts())["spec"]["terminationGracePeriodSeconds"] == 90


def test_nothing_is_restarted_and_there_is_no_sidecar() -> None:
    op = operator(pod_template_dict={"spec": {"restartPolicy": "Always"}})
    pod = built(op, parts())
    assert pod["spec"]["restartPolicy"] == "Never"
    assert notes(op, parts()) == ("spec.restartPolicy: a step's pod is never restarted in place",)
    assert len(pod["spec"]["containers"]) == 1


def test_defaults_hold_where_nobody_says_anything() -> None:
    said = parts(image="default:1", namespace="steps", service_account="runner")
    pod = built(operator(image=None), said)
    assert base(pod)["image"] == "default:1"
    assert pod["metadata"]["namespace"] == "steps"
    assert pod["spec"]["serviceAccountName"] == "runner"
    pod = built(operator(image="mine:1", namespace="ours", service_account_name="me"), said)
    assert base(pod)["image"] == "mine:1"
    assert pod["metadata"]["namespace"] == "ours"
    assert pod["spec"]["serviceAccountName"] == "me"


def shm(pod: dict[str, Any]) -> Any:
    mounts = [one for one in base(pod).get("volumeMounts", []) if one["mountPath"] == "/dev/shm"]
    assert len(mounts) < 2
    return next((v for m in mounts for v in pod["spec"]["volumes"] if v["name"] == m["name"]), None)


def test_shared_memory() -> None:
    assert shm(built(operator(), parts(resources=Resources(memory="4Gi")))) is None
    asked = built(operator(), parts(resources=Resources(shm="2Gi")))
    assert shm(asked)["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}
    half = built(operator(), parts(resources=Resources(gpu=1, memory="3Gi")))
    assert shm(half)["emptyDir"] == {"medium": "Memory", "sizeLimit": "1536Mi"}
    assert shm(built(operator(), parts(resources=Resources(gpu=1))))["emptyDir"] == {"medium": "Memory"}
    theirs = {
        "spec": {
            "containers": [{"name": "base", "volumeMounts": [{"name": "mine", "mountPath": "/dev/shm"}]}],
            "volumes": [{"name": "mine", "emptyDir": {"medium": "Memory"}}],
        }
    }
    op = operator(pod_template_dict=theirs)
    assert shm(built(op, parts(resources=Resources(gpu=1, shm="2Gi"))))["name"] == "mine"
    assert notes(op, parts(resources=Resources(shm="2Gi"))) == (
        "Resources.shm=2Gi: /dev/shm is mounted already, and that mount stays",
    )


def test_a_templates_gpu_counts_as_one() -> None:
    bare = {"spec": {"containers": [{"name": "base", "resources": {"limits": {"nvidia.com/mig-1g.5gb": 1}}}]}}
    pod = built(operator(pod_template_dict=bare), parts())
    assert pod["spec"]["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert shm(pod) is not None


def test_required_node_terms_of_all_sides_hold_together() -> None:
    def required(*terms: dict[str, str]) -> dict[str, Any]:
        made = [
            {"matchExpressions": [{"key": k, "operator": "In", "values": [v]} for k, v in term.items()]}
            for term in terms
        ]
        return {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": made}}
        }

    preferred = [{"weight": 1, "preference": {"matchExpressions": [{"key": "ssd", "operator": "Exists"}]}}]
    template = required({"zone": "a"}, {"zone": "b"})
    template["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    op = operator(pod_template_dict={"spec": {"affinity": template}}, affinity=required({"disk": "ssd"}))
    affinity = built(op, parts(placement=Placement("spot")))["spec"]["affinity"]["nodeAffinity"]
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    found = {tuple((e["key"], *e["values"]) for e in term["matchExpressions"]) for term in terms}
    assert len(found) == 8
    assert (("zone", "a"), ("disk", "ssd"), ("karpenter.sh/capacity-type", "spot")) in found
    assert (("zone", "b"), ("disk", "ssd"), ("eks.amazonaws.com/capacityType", "SPOT")) in found
    assert affinity["preferredDuringSchedulingIgnoredDuringExecution"] == preferred


def test_lists_are_united_by_identity() -> None:
    template = {
        "spec": {
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
            "imagePullSecrets": [{"name": "one"}],
            "initContainers": [{"name": "fetch", "image": "fetch:1", "env": [{"name": "X", "value": "1"}]}],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}],
            "securityContext": {"fsGroup": 5, "runAsUser": 1},
            "dnsConfig": {"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "5"}]},
            "containers": [
                {
                    "name": "base",
                    "ports": [{"containerPort": 80, "name": "web"}],
                    "envFrom": [{"configMapRef": {"name": "c"}}],
                    "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w"}],
                    "securityContext": {"capabilities": {"drop": ["ALL"]}},
                }
            ],
        }
    }
    op = operator(
        pod_template_dict=template,
        host_aliases=[k8s.V1HostAlias(ip="10.0.0.1", hostnames=["a", "b"])],
        image_pull_secrets=[k8s.V1LocalObjectReference(name="two")],
        init_containers=[k8s.V1Container(name="fetch", image="fetch:2"), k8s.V1Container(name="more")],
        volumes=[k8s.V1Volume(name="v", config_map=k8s.V1ConfigMapVolumeSource(name="m"))],
        volume_mounts=[k8s.V1VolumeMount(name="v", mount_path="/v", read_only=True)],
        security_context=k8s.V1PodSecurityContext(run_as_user=2),
        dns_config=k8s.V1PodDNSConfig(nameservers=["8.8.8.8"]),
        ports=[k8s.V1ContainerPort(container_port=80, name="http"), k8s.V1ContainerPort(container_port=81)],
        configmaps=["c", "d"],
        container_security_context=k8s.V1SecurityContext(privileged=False),
    )
    pod = built(op, parts())
    spec = pod["spec"]
    assert spec["hostAliases"] == [{"ip": "10.0.0.1", "hostnames": ["a", "b"]}]
    assert spec["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert spec["initContainers"] == [
        {"name": "fetch", "image": "fetch:2", "env": [{"name": "X", "value": "1"}]},
        {"name": "more"},
    ]
    assert spec["volumes"] == [{"name": "v", "configMap": {"name": "m"}}, {"name": "w", "emptyDir": {}}]
    assert spec["securityContext"] == {"fsGroup": 5, "runAsUser": 2}
    assert spec["dnsConfig"] == {
        "nameservers": ["1.1.1.1", "8.8.8.8"],
        "options": [{"name": "ndots", "value": "5"}],
    }
    assert base(pod)["ports"] == [{"containerPort": 80, "name": "http"}, {"containerPort": 81}]
    assert base(pod)["envFrom"] == [{"configMapRef": {"name": "c"}}, {"configMapRef": {"name": "d"}}]
    assert base(pod)["volumeMounts"] == [
        {"name": "v", "mountPath": "/v", "readOnly": True},
        {"name": "w", "mountPath": "/w"},
    ]
    assert base(pod)["securityContext"] == {"capabilities": {"drop": ["ALL"]}, "privileged": False}


def test_the_rest_of_kubernetes_pod_operator_still_works() -> None:
    op = operator(
        secrets=[PodSecret("env", "TOKEN", "api", "token"), PodSecret("env", None, "whole")],
        pod_runtime_info_envs=[
            k8s.V1EnvVar(
                name="POD_IP",
                value_from=k8s.V1EnvVarSource(field_ref=k8s.V1ObjectFieldSelector(field_path="status.podIP")),
            )
        ],
        automount_service_account_token=False,
        pod_template_dict={"spec": {"automountServiceAccountToken": True}},
        labels={"a": None},
        hostnetwork=True,
    )
    pod = built(op, parts())
    assert env(pod)["TOKEN"] == {"secretKeyRef": {"name": "api", "key": "token"}}
    assert env(pod)["POD_IP"]["fieldRef"]["fieldPath"] == "status.podIP"
    assert base(pod)["envFrom"] == [{"secretRef": {"name": "whole"}}]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["hostNetwork"] is True
    assert pod["metadata"]["labels"]["a"] == ""


NAMES = st.sampled_from(["a", "b", "c", "d"])
TEXT = st.text("xyz", min_size=1, max_size=3)
PAIRS = st.dictionaries(NAMES, TEXT, max_size=3)


def named(more: dict[str, Any], key: str = "name", names: Any = NAMES) -> Any:
    made = st.fixed_dictionaries({key: names}, optional=more)
    return st.lists(made, max_size=3, unique_by=lambda one: one[key])


CONTAINER: dict[str, Any] = {
    "image": TEXT,
    "workingDir": TEXT,
    "tty": st.booleans(),
    "env": named({"value": TEXT}),
    "ports": named({"name": NAMES}, "containerPort", st.integers(1, 4)),
    "volumeMounts": named({}, "mountPath", TEXT.map("/{}".format)).map(
        lambda found: [{**one, "name": "v"} for one in found]
    ),
    "resources": st.fixed_dictionaries(
        {},
        optional={
            "limits": st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), st.just("4")),
            "requests": st.dictionaries(st.sampled_from(["cpu", "memory"]), st.just("1")),
        },
    ),
    "securityContext": st.fixed_dictionaries(
        {}, optional={"runAsUser": st.integers(1, 9), "privileged": st.booleans()}
    ),
}
EXPRESSION = st.fixed_dictionaries(
    {"key": NAMES, "operator": st.just("In"), "values": st.lists(TEXT, min_size=1)}
)
TERM = st.fixed_dictionaries({"matchExpressions": st.lists(EXPRESSION, min_size=1, max_size=2)})
TEMPLATES = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries({}, optional={"labels": PAIRS, "annotations": PAIRS}),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "nodeSelector": PAIRS,
                "serviceAccountName": TEXT,
                "schedulerName": TEXT,
                "terminationGracePeriodSeconds": st.integers(1, 99),
                "shareProcessNamespace": st.booleans(),
                "tolerations": st.lists(
                    st.fixed_dictionaries({"key": NAMES}, optional={"value": TEXT}), max_size=3
                ),
                "imagePullSecrets": named({}),
                "hostAliases": named({"hostnames": st.lists(TEXT, min_size=1)}, "ip"),
                "securityContext": st.fixed_dictionaries({}, optional={"fsGroup": st.integers(1, 9)}),
                "volumes": named({"emptyDir": st.just({"medium": "Memory"})}),
                "initContainers": named(CONTAINER),
                "containers": named(CONTAINER, names=st.sampled_from(["base", "side", "main"])),
                "topologySpreadConstraints": st.lists(
                    st.fixed_dictionaries(
                        {
                            "maxSkew": st.integers(1, 3),
                            "topologyKey": NAMES,
                            "whenUnsatisfiable": st.just("DoNotSchedule"),
                        }
                    ),
                    max_size=2,
                ),
                "affinity": st.fixed_dictionaries(
                    {
                        "nodeAffinity": st.fixed_dictionaries(
                            {
                                "requiredDuringSchedulingIgnoredDuringExecution": st.fixed_dictionaries(
                                    {"nodeSelectorTerms": st.lists(TERM, min_size=1, max_size=2)}
                                )
                            }
                        )
                    }
                ),
            },
        ),
    },
)
SAID = {"env": {"a"}, "limits": {"memory", "nvidia.com/gpu"}, "requests": {"memory", "nvidia.com/gpu"}}
"""What the operator and the step of the property name themselves, of the step's container."""


def missing(template: Any, pod: Any, path: tuple[str, ...] = (), *, step: bool = False) -> list[str]:
    """The leaves of *template* that *pod* does not have; ``step`` inside the step's container."""
    where = ".".join(path)
    if isinstance(template, dict):
        found = []
        for key, value in template.items():
            if step and path[-1:] and key in SAID.get(path[-1], ()):
                continue
            if step and path[-1:] == ("containers",) and key in ("image", "name"):
                continue
            if value in ({}, []):
                continue
            if not isinstance(pod, dict) or key not in pod:
                found.append(f"{where}.{key}")
                continue
            found += missing(value, pod[key], (*path, key), step=step)
        return found
    if isinstance(template, list):
        found = []
        names = [one.get("name") for one in template] if path[-1:] == ("containers",) else []
        chosen = names.index("base") if "base" in names else 0
        for n, item in enumerate(template):
            inside = step or (bool(names) and n == chosen)
            if inside and path[-1:] == ("env",) and item["name"] in SAID["env"]:
                continue
            candidates = [pod[0]] if names and n == chosen else pod
            if not any(not missing(item, one, path, step=inside) for one in candidates):
                found.append(f"{where}[{n}]")
        return found
    return [] if str(template) == str(pod) else [where]


@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(template=TEMPLATES, whole=st.booleans())
def test_nothing_that_a_template_says_is_lost(template: dict[str, Any], whole: bool) -> None:
    op = copy.copy(arguments_of_the_property())
    setattr(op, "full_pod_spec" if whole else "pod_template_dict", template)
    pod = built(op, parts(resources=Resources(gpu="A10G:1", memory="1Gi"), environment={"z": "1"}))
    assert missing(template, pod) == []
    assert env(pod)["a"] == "argument"
    keys = [
        str(sorted(one.items()))
        for one in pod["spec"]["tolerations"]
        if one not in template.get("spec", {}).get("tolerations", [])
    ]
    assert len(keys) == len(set(keys))
    for field, key in (("volumes", "name"), ("imagePullSecrets", "name"), ("initContainers", "name")):
        names = [one[key] for one in pod["spec"].get(field, [])]
        assert len(names) == len(set(names)), field


@functools.cache
def arguments_of_the_property() -> StepOperator:
    return operator(
        env_vars={"a": "argument"},
        tolerations=[k8s.V1Toleration(key="spot", operator="Exists")],
        affinity=k8s.V1Affinity(
            node_affinity=k8s.V1NodeAffinity(
                required_during_scheduling_ignored_during_execution=k8s.V1NodeSelector(
                    [k8s.V1NodeSelectorTerm([k8s.V1NodeSelectorRequirement("zone", "In", ["a"])])]
                )
            )
        ),
    )
