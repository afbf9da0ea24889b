"""``StepOperator``: a typed step where a PythonOperator stood."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

from stepbridge.failures import OperatorProblem
from stepbridge.resources import Resources
from stepbridge.secrets import Secret
from stepbridge_airflow import arguments, options
from stepbridge_airflow.compat import BaseOperatorLink
from stepbridge_airflow.links import StepRunLink
from stepbridge_airflow.mixin import StepMixin
from stepbridge_airflow.options import StepOptions
from stepbridge_airflow.types import check_types


class StepOperator(StepMixin, KubernetesPodOperator):
    """Run a Python function as a step: in its own process or pod, typed, and cached if asked.

    Takes what PythonOperator takes, what KubernetesPodOperator takes except ``cmds`` and ``arguments``, and:

    :param python_callable: the function; its annotations are the step's interface.
    :param op_args: positional arguments (templated).
    :param op_kwargs: keyword arguments (templated).
    :param templates_dict: values to render, in the function's context under ``templates_dict`` (templated).
    :param templates_exts: endings of files that templated values may name, such as ``[".sql"]``.
    :param show_return_value_in_logs: log what the step gave.
    :param resources: processors, memory and GPUs.
    :param cache: ``off``, ``auto`` (take an equal run's result) or ``refresh`` (run and replace it).
    :param cache_version: stands for the code in the cache key.
    :param ignore: parameters that do not count for the cache key.
    :param max_age: how old a cached result may be.
    :param salt: any text that sets this step's cache apart.
    :param context_keys: the context keys that count, where analysis cannot tell.
    :param variables: Airflow Variables that the function reads by computed names.
    :param connections: Airflow connections that the function reads by computed names.
    :param files: more files to ship, relative to the DAG file's folder or absolute.
    :param roots: more folders whose modules are first-party code.
    :param code: ``ship`` (send the function and what it reaches) or ``image`` (it is installed there).
    :param backend: ``local``, or None for the configured one.
    :param store: root URI of another store than the configured one.
    :param timeout: how long the function may run.
    :param infra_retries: how often a run that the infrastructure broke is repeated within the attempt.
    :param xcom: ``auto`` (small values as they are, others by URI) or ``value`` (always the loaded object).
    :param secrets: :class:`stepbridge.Secret` references; KubernetesPodOperator's own are taken too.
    :param step_id: the name under which results are cached; None for ``dag_id.task_id``.
    :param environment: environment variables that are part of the step and of its cache key; no secrets.
    """

    template_fields: Sequence[str] = (
        "templates_dict",
        "op_args",
        "op_kwargs",
        *(name for name in KubernetesPodOperator.template_fields if name not in options.OWNED),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **KubernetesPodOperator.template_fields_renderers,
        "templates_dict": "json",
        "op_args": "py",
        "op_kwargs": "py",
    }
    shallow_copy_attrs: Sequence[str] = ("python_callable", "op_kwargs")
    operator_extra_links: Collection[BaseOperatorLink] = (StepRunLink(),)
    ui_color = "#e3eefa"

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
        context_keys: Sequence[str] | None = None,
        variables: Sequence[str] = (),
        connections: Sequence[str] = (),
        files: Sequence[str] = (),
        roots: Sequence[str] = (),
        code: options.CodeSource = "ship",
        backend: options.BackendName | None = None,
        store: str | None = None,
        timeout: timedelta | None = None,
        infra_retries: int = 0,
        xcom: options.XComForm = "auto",
        secrets: Sequence[Any] = (),
        step_id: str | None = None,
        environment: Mapping[str, str] | None = None,
        do_xcom_push: bool = True,
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
        pod_secrets = [one for one in secrets or () if not isinstance(one, Secret)]
        owned: dict[str, Any] = dict.fromkeys(options.OWNED)
        super().__init__(do_xcom_push=do_xcom_push, secrets=pod_secrets or None, **{**kwargs, **owned})
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
            resources=resources or step_resources or Resources(),
            cache=cache,
            cache_version=cache_version,
            max_age=max_age,
            salt=salt,
            context_keys=None
            if context_keys is None
            else options.names(context_keys, name="context_keys", place=place),
            code=code,
            backend=backend,
            store=store,
            timeout=timeout,
            infra_retries=infra_retries,
            xcom=xcom,
            secrets=tuple(one for one in secrets or () if isinstance(one, Secret)),
            step_id=step_id or "",
            environment=dict(environment or {}),
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
        return super().partial(**kwargs)
