"""What describes parts of a pod, as plain mappings or as objects: rendered, and in the pod that is made."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.client import models as k8s
from podlab import PodLab, pods  # noqa: F401 - the fixture

from stepbridge.failures import OperatorProblem
from stepbridge_airflow.operator import StepOperator

HEAD = """
from kubernetes.client import models as k8s

PLAIN = dict(
    ports=[{"name": "p-{{ params.p }}", "containerPort": 8080}],
    volumes=[{"name": "data", "emptyDir": {"sizeLimit": "{{ params.p }}Mi"}}],
    volume_mounts=[{"name": "data", "mountPath": "/data/{{ params.p }}"}],
    env_vars=[{"name": "T_A", "value": "{{ params.p }}"},
              {"name": "T_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    env_from=[{"configMapRef": {"name": "settings-{{ params.p }}"}}],
    tolerations=[{"key": "gpu", "operator": "Equal", "value": "{{ params.p }}", "effect": "NoSchedule"}],
    affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [
            {"key": "zone", "operator": "In", "values": ["{{ params.p }}"]}]}}]}},
    container_resources={"limits": {"memory": "{{ params.p }}Gi"}},
    security_context={"fsGroupChangePolicy": "Always", "supplementalGroups": [7]},
    container_security_context={"readOnlyRootFilesystem": False},
    init_containers=[{"name": "fill", "image": "busybox:1", "command": ["sh", "-c", "echo {{ params.p }}"]}],
    image_pull_secrets=[{"name": "pull-{{ params.p }}"}],
    host_aliases=[{"ip": "10.0.0.{{ params.p }}", "hostnames": ["a"]}],
    dns_config={"options": [{"name": "ndots", "value": "{{ params.p }}"}]},
    service_account_name="steps-{{ params.p }}",
    priority_class_name="{{ params.none }}",
    full_pod_spec={"metadata": {"labels": {"given": "{{ params.p }}"}},
                   "spec": {"containers": [{"name": "base", "tty": True}]}},
    pod_runtime_info_envs=[{"name": "T_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
)

def show():
    import os
    return {name: text for name, text in os.environ.items() if name.startswith("T_")}

P = {"p": "5", "none": ""}
"""
FORMS = {
    "direct": "StepOperator(task_id='t', python_callable=show, **PLAIN)",
    "default_args": "StepOperator(task_id='t', python_callable=show, default_args={**POD, **PLAIN})",
    "dag_defaults": "StepOperator(task_id='t', python_callable=show)",
    "mapped": "StepOperator.partial(task_id='t', python_callable=show,"
    " **{k: v for k, v in PLAIN.items() if k != 'volumes'}).expand(volumes=[PLAIN['volumes']])",
    "mapped_dag_defaults": "StepOperator.partial(task_id='t', python_callable=show).expand(op_kwargs=[{}])",
    "mapped_all": "StepOperator.partial(task_id='t', python_callable=show).expand_kwargs([PLAIN])",
    "decorated": "step(**PLAIN)(show).override(task_id='t')()",
}
DAG = """
with DAG("DAG_ID", start_date=START, schedule=None, default_args={{**POD, **{defaults}}}, params=P) as d:
    {task}
"""


def spec_of(pods: PodLab) -> tuple[dict[str, Any], dict[str, Any]]:
    (pod,) = pods.created()
    spec = pod["spec"]
    assert pod["metadata"]["labels"]["given"] == "5"
    return spec, spec["containers"][0]


@pytest.mark.parametrize("form", sorted(FORMS))
def test_plain_mappings_are_rendered_and_in_the_pod(pods: PodLab, form: str) -> None:
    pods.cluster.add_config_map("settings-5", {"T_B": "b"})
    defaults = "PLAIN" if "dag_defaults" in form else "{}"
    run = pods.run(HEAD + DAG.format(task=FORMS[form], defaults=defaults))
    spec, base = spec_of(pods)
    seen = run.xcom("t", map_index=0 if form.startswith("mapped") else -1)
    (pod,) = pods.created()
    assert seen == {
        "T_A": "5",
        "T_B": "b",
        "T_POD": pod["metadata"]["name"],
        "T_NODE": seen["T_NODE"],
    }
    assert base["ports"][0]["containerPort"] == 8080
    assert base["ports"][0]["name"] == "p-5"
    assert {"name": "data", "emptyDir": {"sizeLimit": "5Mi"}} in spec["volumes"]
    assert {"name": "data", "mountPath": "/data/5"} in base["volumeMounts"]
    assert spec["tolerations"][0]["value"] == "5"
    preferred = spec["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred[0]["preference"]["matchExpressions"][0]["values"] == ["5"]
    assert base["resources"]["limits"] == {"memory": "5Gi"}
    assert spec["securityContext"] == {"fsGroupChangePolicy": "Always", "supplementalGroups": [7]}
    assert base["securityContext"] == {"readOnlyRootFilesystem": False}
    assert spec["initContainers"][0]["command"] == ["sh", "-c", "echo 5"]
    assert spec["imagePullSecrets"] == [{"name": "pull-5"}]
    assert spec["hostAliases"] == [{"ip": "10.0.0.5", "hostnames": ["a"]}]
    assert spec["dnsConfig"] == {"options": [{"name": "ndots", "value": "5"}]}
    assert spec["serviceAccountName"] == "steps-5"
    assert base["tty"] is True
    pods.assert_nothing_left()


OBJECTS = """
    StepOperator(task_id="t", python_callable=show,
        ports=[k8s.V1ContainerPort(name="p-5", container_port=8080)],
        volumes=[k8s.V1Volume(name="{{ params.p }}", config_map=k8s.V1ConfigMapVolumeSource(
            name="settings-{{ params.p }}")),
            k8s.V1Volume(name="data", empty_dir={})],
        volume_mounts=[k8s.V1VolumeMount(name="{{ params.p }}", mount_path="/s", sub_path="{{ params.p }}"),
            {"name": "data", "mountPath": "/data/{{ params.p }}"}],
        env_vars=[k8s.V1EnvVar(name="T_A", value="{{ params.p }}")],
        env_from=[k8s.V1EnvFromSource(
            config_map_ref=k8s.V1ConfigMapEnvSource(name="settings-{{ params.p }}"))],
        tolerations=[k8s.V1Toleration(key="gpu", operator="Exists"), {"key": "{{ params.p }}"}],
        affinity=k8s.V1Affinity(node_affinity=k8s.V1NodeAffinity()),
        container_resources=k8s.V1ResourceRequirements(limits={"memory": "{{ params.p }}Gi"}),
        image_pull_secrets="one, pull-{{ params.p }}",
        init_containers=[k8s.V1Container(name="fill", image="busybox:1", command=["true"])],
        full_pod_spec=k8s.V1Pod(metadata=k8s.V1ObjectMeta(labels={"given": "5"})))
"""


def test_objects_go_on_working_and_are_rendered_as_before(pods: PodLab) -> None:
    pods.cluster.add_config_map("settings-5", {"T_B": "b", "5": "x"})
    run = pods.run(HEAD + DAG.format(task=OBJECTS.strip(), defaults="{}"))
    spec, base = spec_of(pods)
    assert run.xcom("t") == {"T_A": "5", "T_B": "b"}
    assert base["ports"][0]["name"] == "p-5"
    assert spec["volumes"][0]["configMap"]["name"] == "settings-5"
    assert {"name": "data", "mountPath": "/data/5"} in base["volumeMounts"]
    assert {"name": "5", "mountPath": "/s", "subPath": "5"} in base["volumeMounts"]
    assert [one["key"] for one in spec["tolerations"] if not one["key"].startswith("node.")] == ["gpu", "5"]
    assert base["resources"]["limits"] == {"memory": "5Gi"}
    assert spec["imagePullSecrets"] == [{"name": "one"}, {"name": "pull-5"}]
    assert spec["initContainers"][0]["name"] == "fill"
    pods.assert_nothing_left()


def test_a_name_that_a_pod_does_not_have_is_told() -> None:
    operator = StepOperator(task_id="t", python_callable=lambda: 1, affinity={"node_affinity": {"x": 1}})
    with pytest.raises(OperatorProblem, match=r"SB502.*node_affinity"):
        operator.build_pod_request_obj()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("volumes", {"name": "data"}),
        ("tolerations", k8s.V1Toleration(key="gpu")),
        ("ports", [8080]),
        ("init_containers", [None]),
        ("affinity", [{}]),
        ("full_pod_spec", 3),
    ],
)
def test_what_no_pod_is_made_of_is_refused_when_the_dag_is_read(name: str, value: Any) -> None:
    with pytest.raises(OperatorProblem, match=f"SB502.*{name}"):
        StepOperator(task_id="t", python_callable=lambda: 1, **{name: value})


def test_a_list_that_tasks_share_stays_as_it_is() -> None:
    shared = [{"configMapRef": {"name": "a"}}]
    for n in range(2):
        StepOperator(
            task_id=f"t{n}", python_callable=lambda: 1, default_args={"env_from": shared}, configmaps=["b"]
        )
    assert shared == [{"configMapRef": {"name": "a"}}]
