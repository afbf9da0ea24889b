"""Every argument of the installed pod operators is taken by a step or refused by name."""

from __future__ import annotations

import importlib.util
import inspect
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from kubernetes.client import models as k8s

from stepbridge import Resources
from stepbridge.failures import OperatorProblem
from stepbridge_airflow.budgets import Budgets
from stepbridge_airflow.escalation import Escalate
from stepbridge_airflow.operator import StepOperator
from stepbridge_airflow.placement import Placement

REFUSED = {
    "cmds": (["sh"], "SB501"),
    "arguments": (["-c"], "SB501"),
    "is_delete_operator_pod": (False, "SB502"),
    "progress_callback": (print, "SB502"),
    "xcom_sidecar_container_security_context": ({}, "SB502"),
}
TAKEN: dict[str, Any] = {
    "kubernetes_conn_id": "cluster",
    "namespace": "team",
    "image": "registry/train:3",
    "name": "train",
    "random_name_suffix": False,
    "ports": [k8s.V1ContainerPort(container_port=80)],
    "volume_mounts": [k8s.V1VolumeMount(name="data", mount_path="/data")],
    "volumes": [k8s.V1Volume(name="data")],
    "env_vars": {"A": "1"},
    "env_from": [k8s.V1EnvFromSource()],
    "secrets": [],
    "in_cluster": True,
    "cluster_context": "here",
    "labels": {"team": "a"},
    "reattach_on_restart": True,
    "durable": True,
    "startup_timeout_seconds": 600,
    "startup_check_interval_seconds": 3,
    "schedule_timeout_seconds": 900,
    "get_logs": False,
    "base_container_name": "main",
    "base_container_status_polling_interval": 2.0,
    "init_container_logs": True,
    "container_logs": ["base"],
    "image_pull_policy": "Never",
    "annotations": {"a": "b"},
    "container_resources": k8s.V1ResourceRequirements(limits={"memory": "1Gi"}),
    "affinity": k8s.V1Affinity(),
    "config_file": "/kube/config",
    "runtime_class_name": "nvidia",
    "node_selector": {"zone": "a"},
    "image_pull_secrets": [k8s.V1LocalObjectReference(name="pull")],
    "service_account_name": "steps",
    "automount_service_account_token": False,
    "hostnetwork": True,
    "host_aliases": [k8s.V1HostAlias(ip="10.0.0.1", hostnames=["a"])],
    "tolerations": [k8s.V1Toleration(key="spot")],
    "security_context": {"runAsUser": 1000},
    "container_security_context": {"runAsNonRoot": True},
    "dnspolicy": "Default",
    "dns_config": k8s.V1PodDNSConfig(),
    "hostname": "train",
    "subdomain": "steps",
    "schedulername": "volcano",
    "full_pod_spec": k8s.V1Pod(),
    "init_containers": [k8s.V1Container(name="init")],
    "log_events_on_failure": False,
    "log_events_on_startup": False,
    "do_xcom_push": False,
    "pod_template_file": "/templates/pod.yaml",
    "pod_template_dict": {"spec": {}},
    "priority_class_name": "high",
    "pod_runtime_info_envs": [
        k8s.V1EnvVar(
            "NODE", value_from=k8s.V1EnvVarSource(field_ref=k8s.V1ObjectFieldSelector(field_path="x"))
        )
    ],
    "termination_grace_period": 40,
    "configmaps": ["settings"],
    "skip_on_exit_code": 99,
    "deferrable": True,
    "poll_interval": 7.0,
    "log_pod_spec_on_failure": True,
    "on_finish_action": "keep_pod",
    "on_kill_action": "keep_pod",
    "termination_message_policy": "FallbackToLogsOnError",
    "active_deadline_seconds": 3600,
    "callbacks": [],
    "logging_interval": 30,
    "trigger_kwargs": {"x": 1},
    "container_name_log_prefix_enabled": False,
    "log_formatter": lambda container, message: message,
}
STORED_ELSEWHERE = {
    "callbacks",
    "configmaps",
    "durable",
    "pod_runtime_info_envs",
    "reattach_on_restart",
    "skip_on_exit_code",
}


def named(operator_class: Any) -> set[str]:
    found = inspect.signature(inspect.unwrap(operator_class.__init__)).parameters.values()
    return {one.name for one in found if one.kind is one.KEYWORD_ONLY}


def step(**given: Any) -> Any:
    return StepOperator(task_id="t", python_callable=lambda: 1, **given)


def test_the_tables_know_every_argument_of_the_provider() -> None:
    assert named(KubernetesPodOperator) <= TAKEN.keys() | REFUSED.keys()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(TAKEN))
def test_taken(name: str) -> None:
    if name not in named(KubernetesPodOperator):
        pytest.skip(f"the installed provider has no {name}")
    given = TAKEN[name]
    operator = step(**{name: given})
    if name in STORED_ELSEWHERE:
        return
    kept = getattr(operator, name)
    if isinstance(given, str):
        assert str(getattr(kept, "value", kept)) == given
    elif isinstance(given, list) or name == "env_vars":
        assert len(kept) == len(given)
    else:
        assert kept == given


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(name: str) -> None:
    given, code = REFUSED[name]
    with pytest.raises(OperatorProblem, match=f"{code}.*{name}") as caught:
        step(**{name: given})
    assert caught.value.hint


def test_a_step_differs_from_the_pod_operator_in_these_defaults() -> None:
    operator = step()
    assert operator.startup_check_interval_seconds == 1
    assert (operator.log_events_on_failure, operator.log_pod_spec_on_failure) == (True, False)
    assert (operator.do_xcom_push, operator.deferrable) == (True, False)


def test_default_args_reach_the_steps_arguments_and_the_pods() -> None:
    operator = step(
        default_args={
            "placement": Placement(capacity="spot"),
            "budgets": Budgets(start=timedelta(minutes=1)),
            "on_oom": Escalate(max="8Gi"),
            "python": "/opt/python",
            "startup_check_interval_seconds": 9,
            "schedule_timeout_seconds": 60,
            "namespace": "team",
            "cmds": ["sh"],
            "is_delete_operator_pod": True,
        }
    )
    assert (operator.step.placement.capacity, operator.step.on_oom) == ("spot", Escalate(max="8Gi"))
    assert operator.step.budgets == Budgets(schedule=timedelta(seconds=60), start=timedelta(minutes=1))
    assert (operator.step.python, operator.startup_check_interval_seconds) == ("/opt/python", 9)
    assert (operator.namespace, operator.cmds, operator.schedule_timeout_seconds) == ("team", [], 60)


def test_one_time_has_one_value_however_it_is_given() -> None:
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    assert step(timeout=hour).step.budgets.run == hour
    assert step(budgets=Budgets(run=hour)).step.timeout == hour
    assert step(timeout=hour, budgets=Budgets(run=hour)).step.timeout == hour
    assert step(startup_timeout_seconds=60).step.budgets == Budgets(pull=minute)
    assert step(startup_timeout_seconds=60, budgets=Budgets(start=hour)).step.budgets == Budgets(
        pull=minute, start=hour
    )


@pytest.mark.parametrize(
    "given",
    [
        {"timeout": timedelta(hours=1), "budgets": Budgets(run=timedelta(hours=2))},
        {"schedule_timeout_seconds": 60, "budgets": Budgets(schedule=timedelta(hours=2))},
        {"startup_timeout_seconds": 60, "budgets": Budgets(pull=timedelta(hours=2))},
        {"startup_timeout_seconds": 0},
        {"budgets": Budgets(total=timedelta(0))},
        {"budgets": timedelta(hours=1)},
        {"placement": "spot"},
        {"on_oom": Escalate(factor=1)},
        {"on_oom": 2},
        {"python": 3},
    ],
)
def test_invalid(given: dict[str, Any]) -> None:
    with pytest.raises(OperatorProblem, match="SB502"):
        step(**given)


def test_mapped_steps_take_them_too() -> None:
    mapped = StepOperator.partial(
        task_id="t",
        python_callable=lambda n: n,
        resources=Resources(memory="1Gi"),
        budgets=Budgets(run=timedelta(hours=1)),
        schedule_timeout_seconds=60,
        node_selector={"a": "b"},
    ).expand(op_kwargs=[{"n": 1}, {"n": 2}])
    assert mapped.partial_kwargs["schedule_timeout_seconds"] == 60


@pytest.mark.skipif(not importlib.util.find_spec("airflow.providers.amazon"), reason="needs stepbridge[eks]")
class TestEks:
    def step(self, **given: Any) -> Any:
        from stepbridge_airflow.eks import EksStepOperator

        return EksStepOperator(task_id="t", python_callable=lambda: 1, cluster_name="gpu", **given)

    def test_takes_what_a_step_takes(self) -> None:
        operator = self.step(
            region="eu-central-1", name="train", timeout=timedelta(hours=1), startup_timeout_seconds=60
        )
        assert (operator.cluster_name, operator.region, operator.pod_name) == ("gpu", "eu-central-1", "train")
        assert operator.step.budgets == Budgets(pull=timedelta(minutes=1), run=timedelta(hours=1))
        assert (operator.startup_check_interval_seconds, operator.do_xcom_push) == (1, True)

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("name", sorted(TAKEN.keys() - {"config_file", "trigger_kwargs"}))
    def test_takes_what_the_pod_operator_takes(self, name: str) -> None:
        self.step(**{name: TAKEN[name]})

    @pytest.mark.parametrize("name", ["config_file", "trigger_kwargs"])
    def test_refuses_by_name_what_is_its_own(self, name: str) -> None:
        with pytest.raises(OperatorProblem, match=f"SB501.*{name}"):
            self.step(**{name: TAKEN[name]})

    def test_needs_a_cluster(self) -> None:
        from stepbridge_airflow.eks import EksStepOperator

        with pytest.raises(TypeError, match="cluster_name"):
            EksStepOperator(task_id="t", python_callable=lambda: 1)

    def test_one_name(self) -> None:
        with pytest.raises(OperatorProblem, match=r"SB502.*pod_name"):
            self.step(name="a", pod_name="b")
