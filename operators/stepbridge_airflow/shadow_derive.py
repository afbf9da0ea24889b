"""From an old task to a step over the same function and the same arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stepbridge.failures import OperatorProblem
from stepbridge_airflow.compat import MappedOperator, TaskDecorator
from stepbridge_airflow.decorator import DecoratedStepOperator, StepDecorator
from stepbridge_airflow.operator import StepOperator

_CALLS = frozenset({"PythonOperator", "StepBase"})
"""Classes whose result is what their function returns."""
_OWN_INTERPRETER = frozenset({"PythonVirtualenvOperator", "ExternalPythonOperator"})
_ARGUMENTS = ("op_args", "op_kwargs", "templates_dict")


@dataclass(frozen=True)
class Work:
    """What a task calls, and with what.

    :param arguments: ``op_args``, ``op_kwargs``, ``templates_dict``, ``templates_exts``, ``python``; for a
        mapped task those that all its instances share.
    :param expand: what the task is mapped over, as Airflow keeps it; None where it is not mapped.
    :param decorated: a mapped ``@task``: what it is mapped over are arguments of the function, and not of the
        operator.
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    expand: Any = None
    decorated: bool = False


def work_of(
    control: Any, function: Callable[..., Any] | None, given: Mapping[str, Any], *, place: str
) -> Work:
    """What the candidate of *control* is to do.

    :param function: to be called in place of the control's own; None for that.
    :param given: the step arguments of the user, which go before what the control has.
    :raises OperatorProblem: SB510 where the control's work cannot be told from its arguments.
    """
    mapped = isinstance(control, MappedOperator)
    cls = control.operator_class if mapped else type(control)
    if function is None:
        _check(control, cls, given, place)
    own = dict(control.partial_kwargs) if mapped else vars(control)
    arguments = {name: own[name] for name in _ARGUMENTS if own.get(name)}
    exts = own.get("templates_exts") or (own.get("template_ext") if not mapped else ())
    if exts:
        arguments["templates_exts"] = tuple(exts)
    if "ExternalPythonOperator" in _names(cls) and own.get("python"):
        arguments["python"] = str(own["python"])
    called = function or own.get("python_callable") or getattr(control, "python_callable", None)
    if called is None:
        raise _refused("the function is what the control is mapped over", place)
    if not mapped:
        return Work(called, arguments)
    decorated = hasattr(control, "op_kwargs_expand_input")
    expand = control.op_kwargs_expand_input if decorated else control.expand_input
    return Work(called, arguments, expand, decorated)


def make(work: Work, arguments: Mapping[str, Any]) -> Any:
    """The step that does *work*.

    :param arguments: everything else that the operator takes; goes before the work's own.
    """
    given: dict[str, Any] = {**work.arguments, **arguments}
    if work.expand is None:
        return StepOperator(python_callable=work.function, **given)
    if work.decorated:
        decorator: TaskDecorator = StepDecorator(
            function=work.function,
            operator_class=DecoratedStepOperator,
            kwargs=given,
            decorator_name="task.step",
            multiple_outputs=bool(given.pop("multiple_outputs", False)),
        )
        return decorator._expand(work.expand, strict=False).operator
    return StepOperator.partial(python_callable=work.function, **given)._expand(work.expand, strict=False)


def _check(control: Any, cls: Any, given: Mapping[str, Any], place: str) -> None:
    names = _names(cls)
    if not names & _CALLS or (
        not hasattr(control, "partial_kwargs") and not hasattr(control, "python_callable")
    ):
        raise _refused(f"{cls.__name__} is no PythonOperator and no @task, so there is no function", place)
    overrides = next(
        (
            one
            for one in cls.__mro__
            if {"execute", "execute_callable"} & vars(one).keys()
            and not one.__module__.startswith(("airflow.", "stepbridge_airflow."))
        ),
        None,
    )
    if overrides is not None:
        raise _refused(f"{overrides.__name__} has an execute of its own around the function", place)
    if "PythonVirtualenvOperator" in names and not given.keys() & {"image", "python"}:
        raise OperatorProblem(
            "SB510",
            "the control makes a virtual environment for each run, and a step does not",
            place=place,
            hint="give an interpreter or an image that has the packages: python='...' or image='...'",
        )


def _names(cls: Any) -> frozenset[str]:
    return frozenset(one.__name__ for one in cls.__mro__)


def _refused(cause: str, place: str) -> OperatorProblem:
    return OperatorProblem(
        "SB510",
        f"no step can be derived from the control: {cause}",
        place=place,
        hint="give what is to run beside it: candidate=function, or candidate=StepOperator(...)",
    )
