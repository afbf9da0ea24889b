"""``step`` and ``@task.step``: the step operator through Airflow's decorator factory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from stepbridge.resources import Resources
from stepbridge_airflow import arguments, options
from stepbridge_airflow.budgets import Budgets
from stepbridge_airflow.compat import DecoratedOperator, TaskDecorator, XComArg
from stepbridge_airflow.escalation import Escalate
from stepbridge_airflow.operator import StepOperator
from stepbridge_airflow.placement import Placement
from stepbridge_airflow.types import check_types

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class DecoratedStepOperator(DecoratedOperator, StepOperator):
    """A step made by ``@step``."""

    custom_operator_name: str = "@task.step"
    template_fields: Sequence[str] = StepOperator.template_fields
    template_fields_renderers = StepOperator.template_fields_renderers
    shallow_copy_attrs: Sequence[str] = ("python_callable",)

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            kwargs_to_upstream={
                "python_callable": python_callable,
                "op_args": op_args,
                "op_kwargs": op_kwargs,
            },
            **kwargs,
        )


class StepDecorator(TaskDecorator):
    """Airflow's task decorator, with ``resources`` kept from Airflow's argument of that name.

    Mapped, Airflow would take it from ``default_args``; a step finds it there by itself.
    """

    def __attrs_post_init__(self) -> None:
        resources = self.kwargs.pop("resources", None)
        if resources is not None:
            self.kwargs["step_resources"] = resources
        super().__attrs_post_init__()

    def _expand(self, expand_input: Any, *, strict: bool) -> Any:
        place = f"task {self.kwargs['task_id']!r}, {arguments.place_of(self.function)}"
        options.refuse_owned(self.kwargs, place=place)
        check_types(self.function, (), self.kwargs.get("op_kwargs", {}), place=place)
        self.kwargs["resources"] = None
        return super()._expand(expand_input, strict=strict)


class Step(Protocol[P, R_co]):
    """A decorated function: called in a DAG it makes a task, ``function`` is what was decorated."""

    @property
    def function(self) -> Callable[P, R_co]:
        """The function itself, to be called in a test or a notebook."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> XComArg:
        """Make a task of the DAG in scope."""
        ...

    def override(self, **kwargs: Any) -> Step[P, R_co]:
        """The same step with other operator arguments."""
        ...

    def partial(self, **kwargs: Any) -> Step[P, R_co]:
        """The same step with some of the function's arguments fixed, for mapping over the others."""
        ...

    def expand(self, **kwargs: Any) -> XComArg:
        """Map over arguments of the function."""
        ...

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> XComArg:
        """Map over dicts of arguments of the function."""
        ...


class StepMaker(Protocol):
    """``@step(...)`` before it meets its function."""

    def __call__(self, function: Callable[P, R]) -> Step[P, R]:
        """Decorate."""
        ...


@overload
def step(python_callable: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(
    *,
    task_id: str = ...,
    image: str = ...,
    resources: Resources = ...,
    cache: options.Cache = ...,
    cache_version: str = ...,
    ignore: Sequence[str] = ...,
    max_age: timedelta = ...,
    salt: str = ...,
    single_flight: bool = ...,
    context_keys: Sequence[str] = ...,
    variables: Sequence[str] = ...,
    connections: Sequence[str] = ...,
    files: Sequence[str] = ...,
    roots: Sequence[str] = ...,
    code: options.CodeSource = ...,
    backend: options.BackendName = ...,
    store: str = ...,
    timeout: timedelta = ...,
    budgets: Budgets = ...,
    placement: Placement = ...,
    infra_retries: int = ...,
    on_oom: Escalate = ...,
    xcom: options.XComForm = ...,
    secrets: Sequence[Any] = ...,
    step_id: str = ...,
    environment: Mapping[str, str] = ...,
    python: str = ...,
    deferrable: bool = ...,
    retries: int = ...,
    retry_delay: timedelta | float = ...,
    execution_timeout: timedelta = ...,
    trigger_rule: str = ...,
    multiple_outputs: bool = ...,
    do_xcom_push: bool = ...,
    templates_dict: dict[str, Any] = ...,
    templates_exts: Sequence[str] = ...,
    **kwargs: Any,
) -> StepMaker: ...


def step(python_callable: Callable[..., Any] | None = None, /, **kwargs: Any) -> Any:
    """Make a step of a function: ``@step`` or ``@step(image=..., resources=..., cache="auto")``.

    Called inside a DAG the result makes a task and gives its ``XComArg``; ``.function`` is the function.
    Takes what :class:`stepbridge_airflow.StepOperator` takes.
    """
    return step_task(python_callable, **kwargs)


def step_task(
    python_callable: Callable[..., Any] | None = None,
    multiple_outputs: bool | None = None,
    **kwargs: Any,
) -> Any:
    """What ``@task.step`` is: Airflow's decorator factory for :class:`DecoratedStepOperator`.

    :param multiple_outputs: push the members of the result under their names; None: as the annotation says.
    """
    if python_callable is not None and not callable(python_callable):
        raise TypeError("No positional arguments allowed while using @step, use named arguments instead")

    def decorate(function: Callable[..., Any]) -> Any:
        inferred = {} if multiple_outputs is None else {"multiple_outputs": multiple_outputs}
        return StepDecorator(
            function=function,
            operator_class=DecoratedStepOperator,
            kwargs=dict(kwargs),
            decorator_name="task.step",
            **inferred,
        )

    return decorate if python_callable is None else decorate(python_callable)
