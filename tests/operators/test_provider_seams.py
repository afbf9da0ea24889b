"""What StepMixin relies on in the installed provider: what fails here is what a newer provider changed."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

GIVEN = (
    "annotations",
    "base_container_name",
    "base_container_status_polling_interval",
    "callbacks",
    "container_logs",
    "container_resources",
    "deferrable",
    "do_xcom_push",
    "env_vars",
    "full_pod_spec",
    "get_logs",
    "image",
    "init_container_logs",
    "init_containers",
    "kubernetes_conn_id",
    "labels",
    "log_events_on_failure",
    "log_pod_spec_on_failure",
    "logging_interval",
    "name",
    "namespace",
    "node_selector",
    "on_finish_action",
    "pod_template_dict",
    "pod_template_file",
    "poll_interval",
    "random_name_suffix",
    "reattach_on_restart",
    "schedule_timeout_seconds",
    "secrets",
    "skip_on_exit_code",
    "startup_check_interval_seconds",
    "startup_timeout_seconds",
    "termination_grace_period",
    "tolerations",
    "trigger_kwargs",
    "volume_mounts",
    "volumes",
)
"""Arguments that become attributes of the same name."""
STATE = ("pod", "pod_request_obj", "remote_pod")
"""What a run leaves on the operator; None before it."""


@pytest.fixture
def operator() -> Any:
    return KubernetesPodOperator(task_id="seams", name="seams", image="none", namespace="none")


def parameters(method: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(inspect.unwrap(method)).parameters)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("execute", ["self", "context"]),
        ("execute_sync", ["self", "context"]),
        ("execute_async", ["self", "context"]),
        ("trigger_reentry", ["self", "context", "event"]),
        ("is_istio_enabled", ["self", "pod"]),
        ("on_kill", ["self"]),
    ],
)
def test_methods_keep_their_parameters(name: str, expected: list[str]) -> None:
    assert parameters(getattr(KubernetesPodOperator, name)) == expected


def test_the_pods_builder_takes_a_context_and_else_only_names_with_defaults() -> None:
    found = inspect.signature(inspect.unwrap(KubernetesPodOperator.build_pod_request_obj)).parameters
    first, context, *rest = found.values()
    assert (first.name, context.name, context.default) == ("self", "context", None)
    assert all(one.kind is one.KEYWORD_ONLY and one.default is not one.empty for one in rest), rest


@pytest.mark.parametrize("name", GIVEN)
def test_arguments_become_attributes(operator: Any, name: str) -> None:
    assert name in inspect.signature(inspect.unwrap(KubernetesPodOperator.__init__)).parameters
    value = getattr(operator, name)
    setattr(operator, name, value)
    assert getattr(operator, name) == value


def test_nothing_has_run_yet(operator: Any) -> None:
    assert [getattr(operator, name) for name in STATE] == [None, None, None]


@pytest.mark.parametrize("name", ["hook", "client", "pod_manager"])
def test_clients_are_made_once_and_can_be_forgotten(name: str) -> None:
    assert isinstance(inspect.getattr_static(KubernetesPodOperator, name), functools.cached_property)


def test_refreshing_credentials_forgets_the_clients() -> None:
    text = inspect.getsource(KubernetesPodOperator._refresh_cached_properties)
    assert {f"del self.{name}" for name in ("hook", "client", "pod_manager")} <= set(
        map(str.strip, text.splitlines())
    )


def made_where_there_is_none(method: Callable[..., Any], attribute: str) -> bool:
    """Every assignment of ``self.<attribute>`` in *method* stands below ``if self.<attribute> is None``."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(method))))
    target = f"self.{attribute}"

    def assigned(node: ast.AST) -> bool:
        return isinstance(node, ast.Assign) and any(ast.unparse(one) == target for one in node.targets)

    guarded = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and f"{target} is None" in ast.unparse(node.test)
        for inner in ast.walk(node)
        if assigned(inner)
    }
    every = {node for node in ast.walk(tree) if assigned(node)}
    return bool(every) and every == guarded


def test_a_sync_run_takes_the_pod_that_is_set() -> None:
    assert made_where_there_is_none(KubernetesPodOperator.execute_sync, "pod")
    assert made_where_there_is_none(KubernetesPodOperator.execute_sync, "pod_request_obj")


def test_the_sidecar_is_asked_for_by_do_xcom_push_alone() -> None:
    text = inspect.getsource(KubernetesPodOperator.build_pod_request_obj)
    assert "if self.do_xcom_push:" in text


def test_a_run_ends_in_cleanup_and_a_deferred_one_in_trigger_reentry() -> None:
    assert "self.post_complete_action(" in inspect.getsource(KubernetesPodOperator.execute_sync)
    text = inspect.getsource(KubernetesPodOperator.invoke_defer_method)
    assert 'method_name="trigger_reentry"' in text


def test_the_pod_can_be_kept() -> None:
    from airflow.providers.cncf.kubernetes.utils.pod_manager import OnFinishAction

    assert {"KEEP_POD", "DELETE_POD"} <= set(OnFinishAction.__members__)
