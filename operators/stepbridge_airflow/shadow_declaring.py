"""``shadow``: a step beside an old task, on the same inputs, and a comparison of what both give."""

from __future__ import annotations

from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from stepbridge.compare.checking import check as check_rules
from stepbridge.compare.rules import Compare
from stepbridge.failures import OperatorProblem, StepbridgeError
from stepbridge_airflow import compat, config, shadow_arguments, shadow_derive, shadow_outputs, shadow_wiring
from stepbridge_airflow.compat import BaseOperator, MappedOperator, XComArg
from stepbridge_airflow.mixin import StepMixin
from stepbridge_airflow.shadow_compare import ShadowComparison
from stepbridge_airflow.shadow_gate import Condition, Shadowed

CANDIDATE = "__shadow"
COMPARISON = "__compare"
_GLOB = frozenset("*?[")
_LIMIT_FACTOR = 3


def shadow(
    control: Any,
    candidate: Any = None,
    *,
    compare: Compare | None = None,
    dag: Any = None,
    every: int = 1,
    run_if: Condition | None = None,
    noise: int = 0,
    pool: str | None = None,
    timeout: timedelta | None = None,
    **step_arguments: Any,
) -> list[Any]:
    """Run a step beside an old task, on the same inputs, and say whether it gives the same.

    The old task, its readers and the run's state are what they are without it. Two tasks are added in the
    control's group: ``<id>__shadow``, the step, and ``<id>__compare``; with *noise* also ``<id>__noise_1``
    and so on.

    :param control: an operator, its ``XComArg``, a task id with or without its groups, or a glob of task ids.
    :param candidate: None to derive the step from the control; a function to call in place of the control's;
        a step operator, or its ``XComArg``.
    :param compare: how results are compared; strictly where nothing is said.
    :param dag: where a task id is looked for; None for the DAG in whose ``with`` block or function this is.
    :param every: only one of so many runs is shadowed, always the same ones.
    :param run_if: a function of Airflow's context or Jinja text; the candidate runs where it says yes.
    :param noise: how many more times the candidate runs, to learn what differs by itself.
    :param pool: of both tasks; None for ``[stepbridge] shadow_pool``, else Airflow's default pool.
    :param timeout: of the candidate; None for three times the control's ``execution_timeout``, or
        ``[stepbridge] run_limit``.
    :param step_arguments: what :class:`stepbridge_airflow.StepOperator` takes: ``image``, ``resources``, ...
    :returns: the comparisons' operators, one for each control.
    :raises StepbridgeError: SB510 where the task cannot be shadowed without harm, or no step can be derived;
        SB502, SB701 where an argument is not valid.
    """
    rules = Compare() if compare is None else compare
    _check(rules, every, noise, timeout)
    controls = _controls(control, dag)
    if candidate is not None and not _is_function(candidate) and len(controls) > 1:
        raise _problem(f"{control!r} names {len(controls)} tasks, and there is one candidate", "shadow()")
    return [
        _beside(one, candidate, rules, every, run_if, noise, pool, timeout, step_arguments)
        for one in controls
    ]


def _beside(
    control: Any,
    candidate: Any,
    rules: Compare,
    every: int,
    run_if: Condition | None,
    noise: int,
    pool: str | None,
    timeout: timedelta | None,
    given: dict[str, Any],
) -> Any:
    place = f"shadow of task {control.task_id!r}"
    _check_control(control, place)
    shadow_arguments.check(given, place=place)
    pool = pool or config.shadow_pool() or None
    shared = shadow_arguments.of_both(control, pool=pool)
    limit = timeout or _limit_of(control)
    shadowed = Shadowed(
        control.task_id, every, run_if, given.get("store"), tuple(rules.outputs), rules.idempotent
    )
    with compat.outside_of_setups():
        if candidate is None or _is_function(candidate):
            work = shadow_derive.work_of(control, candidate, given, place=place)
            settings = {
                **shared,
                "execution_timeout": limit,
                "executor_config": getattr(control, "executor_config", None) or {},
                "multiple_outputs": _multiple_outputs(control),
                **given,
                "shadowed": shadowed,
            }
            step = shadow_derive.make(work, {**settings, "task_id": control.label + CANDIDATE})
            repeats = _repeats(control, work, settings, noise, place)
        else:
            step, repeats = _given(candidate, control, given, noise, place), []
        comparison = ShadowComparison(
            **{
                **shared,
                "execution_timeout": timedelta(seconds=(4 if repeats else 2) * config.compare_limit()),
            },
            task_id=control.label + COMPARISON,
            control=control.task_id,
            candidate=step.task_id,
            repeats=tuple(one.task_id for one in repeats),
            rules=rules,
            mapped=isinstance(control, MappedOperator),
            pushes=_pushes(control),
            members=_multiple_outputs(control),
            derived=candidate is None,
            same_arguments=candidate is None or _is_function(candidate),
            store=given.get("store"),
        )
    shadow_outputs.check(
        rules.outputs, _function_of(step), idempotent=rules.idempotent, noise=noise, place=place
    )
    if rules.outputs and _cache_of(step) != "off":
        raise _problem(
            "a result from the cache writes nothing, so there would be no outputs to compare",
            place,
            'write cache="off" for the candidate, or leave outputs= out',
        )
    if step.task_id not in (control.task_id + CANDIDATE, comparison.candidate):
        raise _problem(f"there is a task {step.task_id!r} already", place)
    if candidate is not None and not _is_function(candidate):
        shadow_arguments.quieten(step, comparison, timeout=limit)
        _mark(step, shadowed)
    shadow_wiring.join(control, [step, *repeats], comparison)
    return comparison


def _check(rules: Any, every: Any, noise: Any, timeout: Any) -> None:
    if not isinstance(rules, Compare):
        raise _invalid("compare", rules, "it takes Compare(...)")
    check_rules(rules)
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise _invalid("every", every, "write a whole number from 1")
    if isinstance(noise, bool) or not isinstance(noise, int) or noise < 0:
        raise _invalid("noise", noise, "write how many more times the candidate runs, from 0")
    if timeout is not None and (not isinstance(timeout, timedelta) or timeout <= timedelta(0)):
        raise _invalid("timeout", timeout, "write a timedelta above zero")


def _controls(control: Any, dag: Any) -> list[Any]:
    """The tasks that *control* means.

    :raises OperatorProblem: SB510 where there is none, or where a task id fits several.
    """
    if isinstance(control, XComArg):
        control = getattr(control, "operator", control)
    if isinstance(control, BaseOperator | MappedOperator):
        return [control]
    if not isinstance(control, str) or not control:
        raise _invalid("control", control, "write a task, its output, a task id or a glob of task ids")
    dag = dag or compat.dag_in_scope()
    if dag is None:
        raise _problem(f"no DAG is in scope to look for {control!r}", "shadow()", "give dag=")
    own = [one for one in dag.tasks if not _is_shadow(one)]
    if _GLOB & set(control):
        found = [one for one in own if fnmatchcase(one.task_id, control)]
    else:
        found = [one for one in own if one.task_id == control] or [one for one in own if one.label == control]
        if len(found) > 1:
            named = ", ".join(sorted(one.task_id for one in found))
            raise _problem(f"{control!r} is the name of {named}", "shadow()", "write the whole task id")
    if not found:
        known = ", ".join(sorted(one.task_id for one in own)[:20])
        raise _problem(
            f"DAG {dag.dag_id!r} has no task {control!r}; it has {known}",
            "shadow()",
            "write shadow() below the tasks",
        )
    return found


def _check_control(control: Any, place: str) -> None:
    if control.dag is None:
        raise _problem("the control is in no DAG", place)
    if control.is_setup or control.is_teardown:
        raise _problem("the control is a setup or teardown, and its comparison would join its scope", place)
    if shadow_wiring.decides(control):
        raise _problem("the control decides what runs after it, and would skip its comparison", place)
    if getattr(control, "wait_for_downstream", False):
        raise _problem(
            "the control has wait_for_downstream, and its next run would wait for the comparison", place
        )
    if _is_shadow(control):
        raise _problem("the control is a shadow's own task", place)
    if control.task_id + COMPARISON in control.dag.task_dict:
        raise _problem("the control is shadowed already", place, "call shadow() once for each task")


def _repeats(
    control: Any, work: shadow_derive.Work, settings: dict[str, Any], noise: int, place: str
) -> list[Any]:
    """Further candidates of the same work, which take nothing from the cache: it would be the first's."""
    made = []
    for number in range(1, noise + 1):
        label = f"{control.label}{shadow_outputs.NOISE}{number}"
        own = {**settings, "task_id": label, "cache": "off", "single_flight": False, "max_age": None}
        made.append(shadow_derive.make(work, own))
        if made[-1].task_id != f"{control.task_id}{shadow_outputs.NOISE}{number}":
            raise _problem(f"there is a task {control.task_id}{shadow_outputs.NOISE}{number} already", place)
    return made


def _given(candidate: Any, control: Any, given: dict[str, Any], noise: int, place: str) -> Any:
    step = candidate.operator if isinstance(candidate, XComArg) else candidate
    cls = getattr(step, "operator_class", type(step))
    if not isinstance(cls, type) or not issubclass(cls, StepMixin):
        raise _invalid("candidate", candidate, "write a function, a step operator or a step's output")
    if given:
        raise _problem(
            f"{', '.join(given)}: the candidate is a step of its own", place, "say it where the step is made"
        )
    if noise:
        raise _problem(
            "noise= runs the candidate again, and the candidate is a step of its own",
            place,
            "give candidate= its function and say here what the step takes, or leave noise= out",
        )
    if step is control:
        raise _problem("the candidate is the control", place)
    if step.dag is not control.dag:
        raise _problem(f"the candidate {step.task_id!r} is in another DAG than the control", place)
    if isinstance(step, MappedOperator) is not isinstance(control, MappedOperator):
        raise _problem("one of control and candidate is mapped, and the other is not", place)
    if step.downstream_task_ids:
        readers = ", ".join(sorted(step.downstream_task_ids))
        raise _problem(f"{readers} would run after the candidate {step.task_id!r}", place)
    return step


def _mark(step: Any, shadowed: Shadowed) -> None:
    from dataclasses import replace

    if isinstance(step, MappedOperator):
        store = step.partial_kwargs.get("store")
        step.partial_kwargs["shadowed"] = replace(shadowed, store=store)
    else:
        step.step = replace(step.step, shadowed=replace(shadowed, store=step.step.store))


def _is_function(candidate: Any) -> bool:
    return callable(candidate) and not isinstance(candidate, BaseOperator | MappedOperator | XComArg)


def _function_of(step: Any) -> Any:
    """What a step calls; None where only a run knows."""
    if isinstance(step, MappedOperator):
        return step.partial_kwargs.get("python_callable")
    return getattr(step, "python_callable", None)


def _cache_of(step: Any) -> str:
    if isinstance(step, MappedOperator):
        return str(step.partial_kwargs.get("cache", "off"))
    return str(step.step.cache)


def _is_shadow(task: Any) -> bool:
    if isinstance(task, MappedOperator):
        return task.partial_kwargs.get("shadowed") is not None
    return isinstance(task, ShadowComparison) or (
        isinstance(task, StepMixin) and task.step.shadowed is not None
    )


def _limit_of(control: Any) -> timedelta:
    own: timedelta | None = getattr(control, "execution_timeout", None)
    return own * _LIMIT_FACTOR if own else timedelta(seconds=config.run_limit())


def _multiple_outputs(control: Any) -> bool:
    own = getattr(control, "multiple_outputs", False)
    return bool(
        own or (isinstance(control, MappedOperator) and control.partial_kwargs.get("multiple_outputs"))
    )


def _pushes(control: Any) -> bool:
    if isinstance(control, MappedOperator):
        return bool(control.partial_kwargs.get("do_xcom_push", True))
    return bool(getattr(control, "do_xcom_push", True))


def _invalid(name: str, value: object, hint: str) -> StepbridgeError:
    return OperatorProblem("SB502", f"{name}={value!r} is not valid", place="shadow()", hint=hint)


def _problem(cause: str, place: str, hint: str = "leave this shadow out") -> OperatorProblem:
    return OperatorProblem("SB510", cause, place=place, hint=hint)
