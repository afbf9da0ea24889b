"""``stepbridge pod render``: the pod of a task in a DAG file, printed without a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stepbridge.failures import OperatorProblem
from stepbridge_airflow import render
from stepbridge_airflow.pod_models import Models

SOURCE = """
    print("noise of the DAG file")

    def work(x=1):
        return x

    with DAG("DAG_ID.v1", start_date=START, schedule=None):
        with TaskGroup("group"):
            StepOperator(
                task_id="train", python_callable=work, image="registry/train:3", env_vars={"A": "argument"},
                resources=Resources(gpu="A10G:1", memory="16Gi"),
                secrets=[Secret("db", "password", env="PW")],
                pod_template_dict={"spec": {"containers": [
                    {"name": "base", "env": [{"name": "A", "value": "template"}]},
                    {"name": "proxy", "image": "proxy:1"},
                ]}},
            )
        PythonOperator(task_id="old", python_callable=work)
        StepOperator(task_id="lost", python_callable=work, pod_template_file="/no/such/file.yaml")
        StepOperator.partial(task_id="kwargs", python_callable=work).expand(op_kwargs=[{"x": 1}, {"x": 2}])
        StepOperator.partial(task_id="images", python_callable=work).expand(image=["one", "two"])

        @step(image="registry/decorated:1")
        def over(x: int, y: int) -> int:
            return x

        over.partial(y=1).expand(x=[1, 2])

        @step
        def numbers() -> list[int]:
            return [1]

        over.override(task_id="later").partial(y=1).expand(x=numbers())
"""


@pytest.fixture
def dag(lab: Any) -> tuple[str, Path]:
    """The DAG's id and its file."""
    path = lab.write(SOURCE)
    return f"{path.stem}.v1", path


def pod(dag: tuple[str, Path], task: str, map_index: int | None = None) -> dict[str, Any]:
    operator = render.unmapped(render.find(f"{dag[0]}.{task}", str(dag[1])), map_index)
    return Models().plain(render.rendered(operator)[0], "pod")


def test_mapped_tasks_and_groups(dag: tuple[str, Path]) -> None:
    train = pod(dag, "group.train")
    assert train["metadata"]["name"] == "group-train"
    assert [one["name"] for one in train["spec"]["containers"]] == ["base", "proxy"]
    for task in ("kwargs", "later", "over"):
        assert pod(dag, task)["spec"]["containers"][0]["name"] == "base"
    assert pod(dag, "over")["spec"]["containers"][0]["image"] == "registry/decorated:1"
    assert pod(dag, "images", 1)["spec"]["containers"][0]["image"] == "two"
    for task, index, says in (
        ("images", 2, "it is mapped 2 times"),
        ("later", 0, "known in a run only"),
        ("group.train", 0, "the task is not mapped"),
    ):
        with pytest.raises(OperatorProblem, match=f"SB502.*{says}"):
            pod(dag, task, index)


def test_what_is_not_there_is_named(dag: tuple[str, Path]) -> None:
    for name, says in (
        (f"{dag[0]}.none", "group.train"),
        ("none.none", dag[0]),
        (f"{dag[0]}.old", "PythonOperator and no step"),
    ):
        with pytest.raises(render.NotThere, match="SB502") as caught:
            render.unmapped(render.find(name, str(dag[1])))
        assert says in str(caught.value)
    with pytest.raises(render.NotThere, match="is not there"):
        render.find("a.b", "/no/such/folder")


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import sys; from stepbridge.cli import main; sys.exit(main())", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_the_command_prints_yaml_only_and_the_cluster_policy_sees_the_whole_pod_once(
    dag: tuple[str, Path], tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    policy = tmp_path / "config"
    policy.mkdir()
    (policy / "airflow_local_settings.py").write_text(
        "def pod_mutation_hook(pod):\n"
        "    base = pod.spec.containers[0]\n"
        "    env = [one.name for one in base.env]\n"
        "    said = [base.name, base.resources.limits, env, len(pod.spec.containers)]\n"
        f"    open({str(seen)!r}, 'a').write(repr(said) + chr(10))\n"
        "    pod.metadata.labels['policy'] = 'seen'\n"
    )
    path = os.pathsep.join([str(policy), *filter(None, sys.path)])
    done = command("pod", "render", f"{dag[0]}.group.train", "--dags", str(dag[1]), PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert "noise of the DAG file" in done.stderr
    shown = yaml.safe_load(done.stdout)
    comments = [line for line in done.stdout.splitlines() if line.startswith("#")]
    assert any("env[A]: the operator goes before the template" in line for line in comments)
    container = shown["spec"]["containers"][0]
    assert container["args"][0] == "<uri of request.json>"
    assert {one["name"]: one.get("value") for one in container["env"]} == {"A": "argument", "PW": None}
    assert shown["metadata"]["labels"]["policy"] == "seen"
    assert seen.read_text().splitlines() == [
        "['base', {'memory': '16Gi', 'nvidia.com/gpu': '1'}, ['A', 'PW'], 2]"
    ]


@pytest.mark.slow
def test_exit_codes_and_json(dag: tuple[str, Path]) -> None:
    done = command("pod", "render", f"{dag[0]}.over", "--dags", str(dag[1]), "--format", "json")
    assert json.loads(done.stdout)["kind"] == "Pod", done.stderr
    for task, code in (("old", 1), ("none", 1), ("lost", 2)):
        done = command("pod", "render", f"{dag[0]}.{task}", "--dags", str(dag[1]))
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert done.stderr.splitlines()[-1].startswith("stepbridge: SB502 at ")


def test_an_interpreter_without_airflow_is_named(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    bare.chmod(0o755)
    for python, says in ((str(bare), "it has no airflow"), (str(tmp_path / "none"), "No such file")):
        done = command("pod", "render", "a.b", "--airflow-python", python)
        assert done.returncode == 2
        assert says in done.stderr
        assert "stepbridge[airflow]" in done.stderr
