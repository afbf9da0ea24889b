"""Nothing is lost: every argument of the old call is in the new one, or a finding names it."""

# ruff: noqa: E501 - calls stand in one line, as in DAG files

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from rule_checks import Edited, edit, said

from stepbridge_migrate.model import Needs

CLASSES = """\
from airflow import DAG
from airflow.operators.python import ExternalPythonOperator, PythonOperator, PythonVirtualenvOperator

COMMON = {{"retries": 2, "pool": "gpu"}}


def fit():
    return 1


with DAG("d") as dag:
    {}
"""
DECORATED = """\
from airflow.decorators import dag, task


@dag(dag_id="d")
def make():
    {}
    def train():
        return 1

    train()


make()
"""
EVERY = (
    'owner="me", email="a@b.c", retries=3, retry_delay=60, queue="q", pool="p", pool_slots=2, priority_weight=5, '
    'weight_rule="upstream", trigger_rule="all_done", depends_on_past=True, execution_timeout=None, '
    'on_failure_callback=None, doc_md="x", params={"a": 1}, templates_dict={"d": "{{ ds }}"}, op_args=[], '
    "do_xcom_push=False, show_return_value_in_logs=False, multiple_outputs=False, inlets=[], outlets=[], "
    'max_active_tis_per_dag=1, run_as_user="ml", executor_config={"x": 1}, sla=None, pre_execute=None'
)
CASES = {
    "PythonOperator with all of Airflow's": (
        CLASSES, f'PythonOperator(task_id="train", python_callable=fit, provide_context=True, {EVERY})',
        ("SM310", "SM311", "SM312"), {"provide_context"},
    ),
    "PythonOperator with a literal mapping": (
        CLASSES, 'PythonOperator(task_id="train", python_callable=fit, **COMMON)', (), set(),
    ),
    "@task with all of Airflow's": (
        DECORATED, '@task(task_id="train", ' + EVERY.replace("op_args=[], ", "") + ")",
        ("SM310", "SM311", "SM312"), set(),
    ),
    "PythonVirtualenvOperator": (
        CLASSES,
        'PythonVirtualenvOperator(task_id="train", python_callable=fit, requirements=["a"], python_version="3.12", '
        'serializer="dill", use_dill=True, system_site_packages=False, pip_install_options=["-q"], '
        'index_urls=["u"], index_urls_from_connection_ids=["c"], venv_cache_path="/v", expect_airflow=False, '
        'skip_on_exit_code=99, env_vars={"A": "b"}, inherit_env=False, op_kwargs={}, retries=1)',
        ("SM301", "SM302", "SM313", "SM315"),
        {"requirements", "python_version", "serializer", "use_dill", "system_site_packages",
         "pip_install_options", "index_urls", "index_urls_from_connection_ids", "venv_cache_path",
         "expect_airflow", "inherit_env", "env_vars"},
    ),
    "ExternalPythonOperator": (
        CLASSES,
        'ExternalPythonOperator(task_id="train", python="/v/bin/python", python_callable=fit, '
        'expect_pendulum=True, skip_on_exit_code=[1, 2])',
        ("SM313", "SM316"), {"expect_pendulum"},
    ),
    "@task.virtualenv": (
        DECORATED, '@task.virtualenv(requirements="a", system_site_packages=True, retries=2)',
        ("SM301", "SM313"), {"requirements", "system_site_packages"},
    ),
    "@task.external_python": (
        DECORATED, '@task.external_python(python="/v/bin/python", task_id="train")', ("SM316",), set(),
    ),
    "@task.kubernetes": (
        DECORATED,
        '@task.kubernetes(image="i", namespace="n", use_dill=True, in_cluster=True, labels={"a": "b"}, '
        "get_logs=True, is_delete_operator_pod=False, skip_on_exit_code=3, env_vars={}, secrets=[], "
        "retries=1)",
        ("SM313", "SM316"), {"use_dill", "is_delete_operator_pod"},
    ),
    "@task.docker": (
        DECORATED,
        '@task.docker(image="i", docker_url="tcp://d", network_mode="host", auto_remove="force", cpus=2, '
        'mem_limit="512m", environment={"A": "b"}, serializer="pickle", mounts=[], privileged=False, retries=1)',
        ("SM313", "SM316", "SM318"),
        {"docker_url", "network_mode", "auto_remove", "cpus", "mem_limit", "serializer", "mounts", "privileged"},
    ),
}  # fmt: skip
SILENT = {"cpus", "mem_limit", "mounts", "privileged", "env_vars", "is_delete_operator_pod"}
"""Said by another argument, or empty."""


@pytest.mark.parametrize("name", CASES)
def test_every_argument_is_kept_or_named(name: str, tmp_path: Path) -> None:
    template, text, codes, gone = CASES[name]
    done = edit(tmp_path, template.format(text), "d.train")
    assert done.plan.changes, done.plan.findings
    before, after = _arguments(done, text), _after(done)
    assert set(before) - set(after) == gone
    for argument in set(before) - gone:
        assert after[argument] == before[argument]
    messages = " ".join(one.message for one in done.plan.findings)
    for argument in gone - SILENT:
        assert f"{argument}=" in messages, argument
    assert tuple(said(done.plan.findings)) == codes


def _arguments(done: Edited, text: str) -> dict[str | None, str]:
    call = ast.parse(text.removeprefix("@"), mode="eval").body
    assert isinstance(call, ast.Call)
    return {word.arg: ast.dump(word.value) for word in call.keywords}


def _after(done: Edited) -> dict[str | None, str]:
    for node in ast.walk(ast.parse(done.after)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("StepOperator", "task.step"):
            return {word.arg: ast.dump(word.value) for word in node.keywords}
    raise AssertionError(done.after)


def test_what_docker_and_pods_had_by_default_is_said(tmp_path: Path) -> None:
    text = DECORATED.format('@task.docker(image="i", cpus=2, mem_limit="512m")')
    done = edit(tmp_path, text, "d.train").after
    assert '@task.step(image="i", backend="pod", resources=Resources(cpu=2, memory="512Mi"))' in done
    text = DECORATED.format('@task.kubernetes(image="i", is_delete_operator_pod=False)')
    done = edit(tmp_path, text, "d.train").after
    assert '@task.step(image="i", on_finish_action="keep_pod", backend="pod", do_xcom_push=False)' in done


def test_the_environment_of_the_old_task_is_the_steps(tmp_path: Path) -> None:
    text = CLASSES.format(
        'PythonVirtualenvOperator(task_id="train", python_callable=fit, env_vars={"MODE": "full"})'
    )
    done = edit(tmp_path, text, "d.train", needs=Needs(image="i:1"))
    assert (
        'StepOperator(task_id="train", python_callable=fit, environment={"MODE": "full"}, image="i:1")'
        in (done.after)
    )
    assert done.plan.missing == ("types",)


def test_default_args_that_only_a_step_sees_are_named(tmp_path: Path) -> None:
    text = CLASSES.format('PythonOperator(task_id="train", python_callable=fit)')
    done = edit(
        tmp_path, text.replace('DAG("d")', 'DAG("d", default_args={"image": "x", "retries": 1})'), "d.train"
    )
    assert said(done.plan.findings) == ["SM322"]
