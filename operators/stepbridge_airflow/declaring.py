"""What a step operator is told: its arguments, named once for every kind of pod operator below it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

from stepbridge.failures import OperatorProblem
from stepbridge.resources import Resources
from stepbridge.secrets import Secret
from stepbridge_airflow import arguments, options, pod_objects
from stepbridge_airflow.budgets import Budgets
from stepbridge_airflow.compat import BaseOperator, BaseOperatorLink
from stepbridge_airflow.escalation import Escalate
from stepbridge_airflow.links import StepRunLink
from stepbridge_airflow.mixin import StepMixin
from stepbridge_airflow.options import StepOptions
from stepbridge_airflow.placement import Placement
from stepbridge_airflow.shadow_gate import Shadowed
from stepbridge_airflow.types import check_types

_UNUSED = tuple(
    name
    for name in (*options.OWNED, *options.DEAD)
    if name in inspect.signature(KubernetesPodOperator.__init__).parameters
)
"""Arguments of the installed KubernetesPodOperator that a step never gives it, whatever default_args say."""


def template_fields(pod_operator: Any) -> tuple[str, ...]:
    """The templated arguments of a step over *pod_operator*, a class: its own and all of a pod."""
    taken = inspect.signature(pod_operator.__init__).parameters
    known = [name for name in pod_operator.template_fields if name not in options.OWNED]
    return (
        "templates_dict",
        "op_args",
        "op_kwargs",
        *known,
        *(name for name in pod_objects.TEMPLATED if name in taken and name not in known),
    )


def template_fields_renderers(pod_operator: Any) -> dict[str, str]:
    """How Airflow shows the templated arguments of a step over *pod_operator*, a class."""
    return {
        **pod_operator.template_fields_renderers,
        "templates_dict": "json",
        "op_args": "py",
        "op_kwargs": "py",
    }


class StepBase(StepMixin, BaseOperator):
    """The arguments of a step; goes before a pod operator in the list of bases.

    It is an operator, and not a mixin, because Airflow's ``default_args`` reach the parameters that the
    ``__init__`` of an operator names. Its ``super().__init__`` is the pod operator's.
    """

    shallow_copy_attrs: Sequence[str] = ("python_callable", "op_kwargs")
    operator_extra_links: Collection[BaseOperatorLink] = (StepRunLink(),)
    ui_color: ClassVar[str] = "#e3eefa"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        templates_dict: dict[str, Any] | None = None,
        templates_exts: Sequence[str] | None = None,
        show_return_value_in_logs: bool = True,
        resources: Resources | None = None,
        step_resources: Resources | None = None,
        cache: options.Cache = "off",
        cache_version: str = "",
        ignore: Sequence[str] = (),
        max_age: timedelta | None = None,
        salt: str = "",
        single_flight: bool = False,
        context_keys: Sequence[str] | None = None,
        variables: Sequence[str] = (),
        connections: Sequence[str] = (),
        files: Sequence[str] = (),
        roots: Sequence[str] = (),
        code: options.CodeSource = "ship",
        backend: options.BackendName | None = None,
        store: str | None = None,
        timeout: timedelta | None = None,
        budgets: Budgets | None = None,
        placement: Placement | None = None,
        infra_retries: int = 0,
        on_oom: Escalate | None = None,
        xcom: options.XComForm = "auto",
        secrets: Sequence[Any] = (),
        step_id: str | None = None,
        environment: Mapping[str, str] | None = None,
        python: str | None = None,
        shadowed: Shadowed | None = None,
        do_xcom_push: bool = True,
        schedule_timeout_seconds: int | None = None,
        startup_timeout_seconds: int | None = None,
        startup_check_interval_seconds: int = 1,
        log_events_on_failure: bool = True,
        log_pod_spec_on_failure: bool = False,
        ports: Any = None,
        volumes: Any = None,
        volume_mounts: Any = None,
        env_from: Any = None,
        pod_runtime_info_envs: Any = None,
        affinity: Any = None,
        tolerations: Any = None,
        image_pull_secrets: Any = None,
        **kwargs: Any,
    ) -> None:
        place = f"task {kwargs.get('task_id')!r}"
        if not callable(python_callable):
            raise OperatorProblem(
                "SB502", f"python_callable={python_callable!r} is not callable", place=place
            )
        place = f"{place}, {arguments.place_of(python_callable)}"
        options.refuse_owned(kwargs, place=place)
        mapped_later = bool(kwargs.get("_airflow_mapped_validation_only"))
        limits = options.budgets_of(
            budgets,
            timeout=timeout,
            schedule_timeout_seconds=schedule_timeout_seconds,
            startup_timeout_seconds=startup_timeout_seconds,
            place=place,
        )
        given_times = {
            name: seconds
            for name, seconds in (
                ("schedule_timeout_seconds", schedule_timeout_seconds),
                ("startup_timeout_seconds", startup_timeout_seconds),
            )
            if seconds is not None
        }
        pod_secrets = [one for one in secrets or () if not isinstance(one, Secret)]
        held = {
            "ports": ports,
            "volumes": volumes,
            "volume_mounts": volume_mounts,
            "pod_runtime_info_envs": pod_runtime_info_envs,
            "affinity": affinity,
            "tolerations": tolerations,
            "image_pull_secrets": image_pull_secrets,
        }
        if not mapped_later:
            pod_objects.check({**kwargs, **held, "env_from": env_from}, place=place)
        super().__init__(
            do_xcom_push=do_xcom_push,
            secrets=pod_secrets or None,
            startup_check_interval_seconds=startup_check_interval_seconds,
            log_events_on_failure=log_events_on_failure,
            log_pod_spec_on_failure=log_pod_spec_on_failure,
            env_from=list(env_from) if isinstance(env_from, list | tuple) else env_from,
            **given_times,
            # named here, else Airflow takes the default_args' for its own argument of that name
            **{**kwargs, **dict.fromkeys((*_UNUSED, *held, "resources"))},
        )
        for name, given in held.items():
            if given is not None:
                setattr(self, name, given)
        lists = {
            name: options.names(given, name=name, place=place)
            for name, given in (
                ("ignore", ignore),
                ("variables", variables),
                ("connections", connections),
                ("files", files),
                ("roots", roots),
            )
        }
        self.python_callable = python_callable
        self.op_args = op_args or ()
        self.op_kwargs = op_kwargs or {}
        self.templates_dict = templates_dict
        if templates_exts:
            self.template_ext = templates_exts
        self.show_return_value_in_logs = show_return_value_in_logs
        self.step = StepOptions(
            resources=_resources(kwargs.get("default_args") or {}, resources, step_resources),
            cache=cache,
            cache_version=cache_version,
            max_age=max_age,
            salt=salt,
            single_flight=single_flight,
            context_keys=None
            if context_keys is None
            else options.names(context_keys, name="context_keys", place=place),
            code=code,
            backend=backend,
            store=store,
            timeout=limits.run,
            budgets=limits,
            placement=Placement() if placement is None else placement,
            infra_retries=infra_retries,
            on_oom=on_oom,
            xcom=xcom,
            secrets=tuple(one for one in secrets or () if isinstance(one, Secret)),
            step_id=step_id or "",
            environment=dict(environment or {}),
            python=python or "",
            shadowed=shadowed,
            **lists,
        )
        options.check(self.step, place=place)
        arguments.check(python_callable, self.op_args, self.op_kwargs, place=place, complete=not mapped_later)
        check_types(python_callable, self.op_args, self.op_kwargs, place=place)

    def execute(self, context: Any) -> Any:
        """Run the step; stands here because Airflow wraps only what an operator's own class defines."""
        return StepMixin.execute(self, context)

    @classmethod
    def partial(cls, *, resources: Resources | None = None, **kwargs: Any) -> Any:
        """Airflow's ``partial``; ``resources`` goes by another name there, for Airflow has its own."""
        place = f"task {kwargs.get('task_id')!r}"
        options.refuse_owned(kwargs, place=place)
        if resources is not None:
            kwargs["step_resources"] = resources
        return super().partial(**kwargs, resources=None)


def _resources(defaults: Mapping[str, Any], *given: Resources | None) -> Resources:
    """What the task itself says before what *defaults*, its ``default_args``, say.

    :param given: by either name; Airflow has filled them from the defaults where it fills any.
    """
    usual = [defaults.get("resources"), defaults.get("step_resources")]
    own = [one for one in given if one not in usual]
    return next((one for one in [*own, *usual] if one is not None), Resources())
