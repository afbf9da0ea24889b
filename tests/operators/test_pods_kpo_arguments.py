"""What KubernetesPodOperator's arguments do to a step's pod, seen over the wire and from inside the pod."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.cncf.kubernetes.utils.pod_manager import OnFinishAction
from podlab import PodLab, pods  # noqa: F401 - the fixture

SHOW = """
def show():
    import os
    return {name: text for name, text in os.environ.items() if name.startswith("T_")}

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD, params={"p": "five"}) as d:
    StepOperator(task_id="t", python_callable=show, %s)
"""


def spec_of(pods: PodLab) -> dict[str, Any]:
    (pod,) = pods.created()
    return dict(pod["spec"])


def test_labels_annotations_and_names(pods: PodLab) -> None:
    pods.run(
        SHOW % 'labels={"team": "{{ params.p }}", "n": 1}, annotations={"note": "{{ task.task_id }}"}, '
        'name="my_{{ params.p }}_pod", node_selector={"kubernetes.io/os": "linux"}, '
        'tolerations=[{"key": "gpu", "operator": "Exists"}], image_pull_secrets="one,two", '
        "termination_grace_period=7, active_deadline_seconds=99"
    )
    (pod,) = pods.created()
    meta, spec = pod["metadata"], pod["spec"]
    assert (meta["labels"]["team"], meta["labels"]["n"]) == ("five", "1")
    assert meta["labels"]["task_id"] == "t"
    assert meta["annotations"]["note"] == "t"
    assert meta["name"].startswith("my-five-pod-")
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert {"key": "gpu", "operator": "Exists"} in [
        {key: one[key] for key in ("key", "operator") if key in one} for one in spec["tolerations"]
    ]
    assert spec["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert (spec["terminationGracePeriodSeconds"], spec["activeDeadlineSeconds"]) == (7, 99)
    pods.assert_nothing_left()


@pytest.mark.parametrize(
    "given",
    [
        'env_vars={"T_A": "{{ params.p }}", "T_B": "b"}',
        'env_vars=[V1EnvVar(name="T_A", value="{{ params.p }}"), V1EnvVar(name="T_B", value="b")]',
        'env_vars=[{"name": "T_A", "value": "five"}, {"name": "T_B", "value": "b"}]',
        'env_vars={"T_A": "five"}, configmaps=["settings"]',
        'env_vars={"T_A": "five"}, '
        'env_from=[V1EnvFromSource(config_map_ref=V1ConfigMapEnvSource(name="settings"))]',
    ],
)
def test_variables(pods: PodLab, given: str) -> None:
    pods.cluster.add_config_map("settings", {"T_B": "b"})
    run = pods.run("from kubernetes.client.models import *\n" + SHOW % given)
    assert run.xcom("t") == {"T_A": "five", "T_B": "b"}


def test_volumes_and_init_containers(pods: PodLab) -> None:
    shared = pods.cluster.root / "shared"
    given = f'''volumes=[V1Volume(name="v", empty_dir=V1EmptyDirVolumeSource())],
        volume_mounts=[V1VolumeMount(name="v", mount_path="{shared}")],
        init_containers=[V1Container(name="fill", image="busybox:1", command=["sh", "-c"],
            args=["echo hello from init; echo filled > {shared}/note"],
            volume_mounts=[V1VolumeMount(name="v", mount_path="{shared}")])],
        init_container_logs=True'''
    source = SHOW.replace("return {", f'return open("{shared}/note").read()\n    return {{')
    run = pods.run("from kubernetes.client.models import *\n" + source % given)
    assert run.xcom("t") == "filled\n"
    assert [one["name"] for one in spec_of(pods)["initContainers"]] == ["fill"]


def test_service_account_namespace_and_context(pods: PodLab) -> None:
    pods.cluster.add_namespace("team")
    run = pods.run(SHOW % 'namespace="team", service_account_name="steps"')
    (pod,) = pods.created()
    assert pod["metadata"]["namespace"] == "team"
    assert pod["spec"]["serviceAccountName"] == "steps"
    assert run.xcom("t", "pod_namespace") == "team"
    assert run.xcom("t", "pod_name") == pod["metadata"]["name"]


def test_pod_template_file(pods: PodLab, tmp_path: Path) -> None:
    template = tmp_path / "pod.yaml"
    template.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"labels": {"from": "template"}},
                "spec": {
                    "containers": [
                        {"name": "base", "image": "registry/other:2", "env": [{"name": "T_X", "value": "x"}]}
                    ],
                    "priorityClassName": "",
                },
            }
        )
    )
    run = pods.run(SHOW % f'pod_template_file="{template}", labels={{"from_task": "y"}}')
    (pod,) = pods.created()
    assert run.xcom("t") == {"T_X": "x"}
    assert pod["metadata"]["labels"]["from"] == "template"
    assert pod["metadata"]["labels"]["from_task"] == "y"


def test_a_connection_with_its_own_kubeconfig(pods: PodLab, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    config = yaml.safe_load(pods.cluster.kubeconfig.read_text())
    extra = {"kube_config": json.dumps(config), "namespace": "default"}
    monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", json.dumps({"conn_type": "kubernetes", "extra": extra}))
    monkeypatch.setenv("KUBECONFIG", "/no/such/file")
    pods.pod = {"image": "registry/steps:1", "kubernetes_conn_id": "cluster"}
    for more in ("", "deferrable=True, poll_interval=0.5"):
        run = pods.run(SHOW % more)
        assert run.xcom("t") == {}
    assert len(pods.created()) == 2
    pods.assert_nothing_left()


@pytest.mark.parametrize("more", ["", ", deferrable=True, poll_interval=0.5"])
@pytest.mark.parametrize("action", [one.value for one in OnFinishAction])
def test_on_finish_action(pods: PodLab, action: str, more: str) -> None:
    source = f'''
def good():
    return 1

def bad():
    raise ValueError("no")

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    for work in (good, bad):
        StepOperator(task_id=work.__name__, python_callable=work, on_finish_action="{action}"{more})
'''
    pods.run(source, expect="failed")
    left = {pod["metadata"]["labels"]["task_id"] for pod in pods.cluster.pods()}
    kept = {
        "delete_pod": set(),
        "keep_pod": {"good", "bad"},
        "delete_succeeded_pod": {"bad"},
        "delete_active_pod": {"good", "bad"},
    }
    assert left == kept[action]
    assert pods.cluster.secrets() == []


CALLBACKS = """
from airflow.providers.cncf.kubernetes.callbacks import KubernetesPodOperatorCallback
from pathlib import Path

class Note(KubernetesPodOperatorCallback):
    pass

def noting(name):
    def note(*args, **kwargs):
        with open("{file}", "a") as file:
            file.write(name + "\\n")
    return staticmethod(note)

for name in dir(KubernetesPodOperatorCallback):
    if name.startswith("on_"):
        setattr(Note, name, noting(name))

def work():
    return 1

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator(task_id="t", python_callable=work, callbacks=Note{more})
"""


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            "",
            [
                "on_sync_client_creation",
                "on_pod_manifest_created",
                "on_pod_creation",
                "on_pod_starting",
                "on_pod_completion",
                "on_pod_teardown",
                "on_pod_cleanup",
            ],
        ),
        (", deferrable=True, poll_interval=0.5", ["on_pod_manifest_created", "on_pod_cleanup"]),
    ],
)
def test_callbacks_are_called_once(pods: PodLab, tmp_path: Path, more: str, expected: list[str]) -> None:
    file = tmp_path / "calls"
    pods.run(CALLBACKS.format(file=file, more=more))
    said = file.read_text().split()
    assert [one for one in said if one in expected] == sorted(
        [one for one in said if one in expected], key=expected.index
    )
    for name in expected:
        if name in ("on_sync_client_creation",):
            assert said.count(name) >= 1
        else:
            assert said.count(name) == 1, (name, said)


@pytest.mark.parametrize(
    ("fails", "more"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "infra_retries=1"),
        ("raise ValueError('again')", "retries=1, retry_delay=timedelta(0)"),
        (
            "raise ValueError('again')",
            "retries=1, retry_delay=timedelta(0), deferrable=True, poll_interval=0.5",
        ),
    ],
)
def test_a_fixed_name_is_used_again(pods: PodLab, tmp_path: Path, fails: str, more: str) -> None:
    mark = tmp_path / "mark"
    run = pods.run(
        f'''
def work():
    import os, pathlib, signal
    mark = pathlib.Path("{mark}")
    count = len(mark.read_text()) if mark.exists() else 0
    mark.write_text("x" * (count + 1))
    if count == 0:
        {fails}
    return count

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator(task_id="t", python_callable=work, name="fixed", random_name_suffix=False, {more})
'''
    )
    assert run.xcom("t") == 1
    assert [pod["metadata"]["name"] for pod in pods.created()] == ["fixed", "fixed"]
    pods.assert_nothing_left()


@pytest.mark.parametrize(
    "more", ["", pytest.param(", deferrable=True, poll_interval=0.5", marks=pytest.mark.slow)]
)
def test_another_pod_of_the_same_name_is_left_alone(pods: PodLab, capfd: Any, more: str) -> None:
    source = f'''
def work():
    raise ValueError("of the first")

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator(task_id="t", python_callable=work, name="fixed", random_name_suffix=False,
        on_finish_action="%s"{more})
'''
    pods.run(source % "keep_pod", expect="failed")
    first = pods.cluster.pod("fixed")
    assert first is not None
    capfd.readouterr()
    pods.run(source % "delete_pod", expect="failed")
    said = "".join(capfd.readouterr())
    assert "already exists" in said
    assert "of the first" not in said
    left = pods.cluster.pod("fixed")
    assert left is not None
    assert left["metadata"]["uid"] == first["metadata"]["uid"]


def test_default_args_reach_the_pod(pods: PodLab) -> None:
    run = pods.run(
        """
GIVEN = {**POD, "labels": {"team": "a"}, "env_vars": {"T": "1"}, "deferrable": True, "poll_interval": 0.5,
    "step_resources": Resources(cpu="250m", memory="64Mi"), "service_account_name": "steps"}

def show():
    import os
    return os.environ["T"]

@step
def also():
    return 2

with DAG("DAG_ID", start_date=START, schedule=None, default_args=GIVEN) as d:
    StepOperator(task_id="t", python_callable=show) >> also()
"""
    )
    assert (run.xcom("t"), run.xcom("also")) == ("1", 2)
    for pod in pods.created():
        assert pod["metadata"]["labels"]["team"] == "a"
        assert pod["spec"]["serviceAccountName"] == "steps"
        assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "64Mi"
    assert len(pods.created()) == 2
    pods.assert_nothing_left()


def test_mapped_grouped_decorated_and_overridden(pods: PodLab) -> None:
    run = pods.run(
        """
def double(n):
    return n * 2

@step(image="registry/a:1", labels={"kind": "step"}, multiple_outputs=True)
def many(n: int) -> dict[str, int]:
    return {"one": n, "two": n * 2}

@task.step(image="registry/b:1")
def add(a, b):
    return a + b

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    with TaskGroup("g"):
        StepOperator.partial(
            task_id="m", python_callable=double, labels={"x": "y"}, env_vars={"T": "1"}
        ).expand(op_kwargs=[{"n": 1}, {"n": 2}])
    made = many.override(image="registry/c:2", task_id="over")(3)
    total = add(made["one"], made["two"])
    StepOperator(task_id="quiet", python_callable=double, op_args=[4], do_xcom_push=False)
"""
    )
    assert [run.xcom("g.m", map_index=n) for n in (0, 1)] == [2, 4]
    assert (run.xcom("over", "one"), run.xcom("over", "two"), run.xcom("add")) == (3, 6, 9)
    assert run.xcom("quiet") is None
    assert run.xcom("quiet", "stepbridge") is None
    found = {}
    for pod in pods.created():
        labels = pod["metadata"]["labels"]
        found.setdefault(labels["task_id"], []).append((pod["spec"]["containers"][0]["image"], labels))
    assert found["over"][0][0] == "registry/c:2"
    assert found["over"][0][1]["kind"] == "step"
    assert found["add"][0][0] == "registry/b:1"
    assert sorted(labels["map_index"] for _, labels in found["g.m"]) == ["0", "1"]
    assert all(labels["x"] == "y" for _, labels in found["g.m"])
    pods.assert_nothing_left()


EXIT = """
import os, sys

def leave():
    {how}

with DAG("DAG_ID", start_date=START, schedule=None, default_args={{**POD, "retries": 0}}) as d:
    StepOperator(task_id="t", python_callable=leave, skip_on_exit_code={codes}{more})
    StepOperator(task_id="after", python_callable=leave).set_upstream(d.get_task("t"))
"""


@pytest.mark.parametrize(
    ("how", "codes", "more", "state"),
    [
        ("sys.exit(99)", "99", "", "skipped"),
        ("sys.exit(99)", "99", ", deferrable=True, poll_interval=0.5", "skipped"),
        ("os._exit(99)", "[98, 99]", "", "skipped"),
        ("sys.exit(98)", "99", "", "failed"),
        ("raise ValueError(99)", "[1]", "", "failed"),
        ("sys.exit(99)", "99", ", backend='local'", "skipped"),
        ("sys.exit(3)", "None", ", backend='local'", "failed"),
    ],
)
def test_skip_on_exit_code(pods: PodLab, how: str, codes: str, more: str, state: str) -> None:
    run = pods.run(
        EXIT.format(how=how, codes=codes, more=more), expect="success" if state == "skipped" else "failed"
    )
    assert run.states == {"t": state, "after": "skipped" if state == "skipped" else "upstream_failed"}
    pods.assert_nothing_left()
