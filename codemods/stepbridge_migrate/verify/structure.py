"""Hold the DAGs before and after an edit against what the edit may change, and nothing else.

A cutover changes what the task is, not when, where in the graph, how often or with what it runs. What
Airflow's serializer says of the first are the leaves named here: they were read off pairs of a PythonOperator
and a StepOperator, and of ``@task`` and ``@task.step``, under Airflow 2.11, 3.0 and 3.3, plain and mapped.
Every other leaf must be the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from stepbridge_migrate.model import Plan, State
from stepbridge_migrate.verify.normal import (
    ABSENT,
    Difference,
    NormalDag,
    Path,
    differences,
    normal,
    without,
)

SHADOW, COMPARE, NOISE = "__shadow", "__compare", "__noise_"
"""What the names of the added tasks have after the control's; there may be several of the last."""

CLASS_LEAVES = frozenset(
    {
        "task_type",
        "_task_type",
        "_task_module",
        "_operator_name",
        "custom_operator_name",
        "ui_color",
        "ui_fgcolor",
        "template_fields",
        "template_fields_renderers",
        "operator_extra_links",
        "_operator_extra_links",
        "python_callable_name",
        "inputs",
    }
)
"""Leaves that follow from the task's class alone."""

KEPT_VALUES = frozenset({"op_args", "op_kwargs", "templates_dict"})
"""Templated fields of both classes whose values are the user's."""

STEP_ARGUMENTS = frozenset(
    {
        "resources",
        "step_resources",
        "cache",
        "cache_version",
        "ignore",
        "max_age",
        "salt",
        "single_flight",
        "context_keys",
        "variables",
        "connections",
        "files",
        "roots",
        "code",
        "backend",
        "store",
        "timeout",
        "budgets",
        "placement",
        "infra_retries",
        "on_oom",
        "xcom",
        "secrets",
        "step_id",
        "environment",
        "python",
        "schedule_timeout_seconds",
        "startup_timeout_seconds",
        "startup_check_interval_seconds",
        "log_events_on_failure",
        "log_pod_spec_on_failure",
    }
)
"""Arguments of a step; in ``partial_kwargs`` of a mapped one."""

LEGACY_ARGUMENTS = frozenset(
    {
        "requirements",
        "python_version",
        "use_dill",
        "serializer",
        "system_site_packages",
        "python",
        "string_args",
        "expect_airflow",
        "expect_pendulum",
        "use_airflow_context",
        "pip_install_options",
        "index_urls",
        "index_urls_from_connection_ids",
        "venv_cache_path",
        "skip_on_exit_code",
        "env_vars",
        "inherit_env",
        "provide_context",
        "python_command",
        "use_in_cluster",
    }
)
"""Arguments of the classes that a step replaces and that a step has not; a rule names each that it drops."""

_CLASS_ENDINGS = frozenset({".txt", ".sh", ".bash", ".env", ".json", ".yaml", ".yml"})
"""Endings of template files that the replaced classes bring for fields of their own."""

_GENERATED = {"name": "k8s-airflow-pod-"}
"""Fields of both classes that ``@task.kubernetes`` fills by itself, and how such a value begins."""

SHOWN = 120
"""Characters of a value that a message shows."""

_STEPS = "stepbridge_airflow"
_CLASS_IN_TEXT = re.compile(r"<((?:Task|Mapped)\(\w+\)): ([^<>]+)>")


@dataclass(frozen=True)
class Comparison:
    """What came of it.

    :param faults: differences that the edit must not make, for people.
    :param moved: ``DAG.TASK`` of the tasks that changed between old operator and step.
    :param came: of the tasks of a shadow that are only there after the edit.
    :param left: of those that are only there before it.
    :param unstable: leaves that differ when the unedited file is read twice; nothing was compared there.
    """

    faults: tuple[str, ...]
    moved: tuple[str, ...]
    came: tuple[str, ...]
    left: tuple[str, ...]
    unstable: tuple[str, ...]


def compare(
    before: Mapping[str, Mapping[str, Any]],
    again: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]],
    plan: Plan,
    *,
    asked: Collection[str] = (),
) -> Comparison:
    """Compare the serialized DAGs of both sides, by DAG id.

    :param again: of the unedited file, read a second time.
    :param asked: names of arguments that the edit is to set; they may differ on the tasks of the site.
    """
    old, twice, new = ({name: normal(dag) for name, dag in side.items()} for side in (before, again, after))
    unstable = {one.path for one in differences(old, twice)}
    shadows_before, shadows_after = _shadows(plan)
    added: list[dict[str, None]] = []
    faults: list[str] = []
    sides = []
    for side, wanted in ((old, shadows_before), (new, shadows_after)):
        bare = {}
        added.append({})
        for dag_id, dag in side.items():
            names, missing = _added(dag_id, dag, plan) if wanted else (frozenset[str](), [])
            added[-1].update({f"{dag_id}.{name}": None for name in sorted(names)})
            faults += missing
            bare[dag_id] = without(dag, names)
        sides.append(bare)
    moved: dict[str, None] = {}
    for one in differences(*sides):
        if _stable(one.path, unstable) and not _named_alike(one, plan):
            task = _moved(one.path, sides[0], sides[1], plan)
            if task is not None:
                moved[task] = None
                if plan.action == "rollback" or _allowed(one, sides[0], sides[1], asked):
                    continue
            faults.append(describe(one))
    return Comparison(
        faults=tuple(dict.fromkeys(faults)),
        moved=tuple(moved),
        came=tuple(name for name in added[1] if name not in added[0]),
        left=tuple(name for name in added[0] if name not in added[1]),
        unstable=tuple(sorted({_place(path) for path in unstable})),
    )


def _shadows(plan: Plan) -> tuple[bool, bool]:
    """Whether shadows are expected before and after."""
    back = plan.action == "rollback"
    return back or plan.site.state is State.SHADOW, back or plan.action == "shadow"


def _named_alike(one: Difference, plan: Plan) -> bool:
    """The leaf is a text that names a task of the site by its class, as Airflow 2 writes an XComArg."""
    if not isinstance(one.before, str) or not isinstance(one.after, str):
        return False

    def bare(found: re.Match[str]) -> str:
        return f"<{found[2]}>" if matches(one.path[0], found[2], plan) else found[0]

    return _CLASS_IN_TEXT.sub(bare, one.before) == _CLASS_IN_TEXT.sub(bare, one.after)


def _stable(path: Path, unstable: set[Path]) -> bool:
    """Neither the leaf, nor what it is part of, nor a part of it differs by itself."""
    return not any(path[: len(one)] == one or one[: len(path)] == path for one in unstable)


def matches(dag_id: str, task_id: str, plan: Plan) -> bool:
    """The task is one of the site's."""
    site = plan.site
    if site.dag.id and site.dag.id != dag_id and not fnmatchcase(dag_id, site.dag.id):
        return False
    return task_id in site.task.ids or (
        not (site.task.ids and site.task.complete) and fnmatchcase(task_id, site.task.pattern)
    )


def _added(dag_id: str, dag: NormalDag, plan: Plan) -> tuple[frozenset[str], list[str]]:
    """The tasks that a shadow of this site adds, and what is missing of them."""
    names: set[str] = set()
    missing: list[str] = []
    for task in dag.tasks:
        pair = [f"{task}{end}" for end in (SHADOW, COMPARE)]
        there = [name for name in pair if name in dag.tasks]
        if not there or not matches(dag_id, task, plan):
            continue
        names.update(there, (name for name in dag.tasks if name.startswith(f"{task}{NOISE}")))
        missing += [
            f"DAG {dag_id!r}: task {name!r} of the shadow is missing" for name in pair if name not in there
        ]
    return frozenset(names), missing


def _moved(
    path: Path, before: Mapping[str, NormalDag], after: Mapping[str, NormalDag], plan: Plan
) -> str | None:
    """``DAG.TASK`` where the leaf is one of a task that this edit turns into a step, or back."""
    if len(path) < 4 or path[1] != "tasks" or plan.action == "shadow":
        return None
    dag_id, _, task_id = path[:3]
    kinds = [_is_step(side[dag_id].tasks[task_id]) for side in (before, after)]
    if kinds[0] == kinds[1] or not matches(dag_id, task_id, plan):
        return None
    return f"{dag_id}.{task_id}"


def _is_step(task: Mapping[str, Any]) -> bool:
    return str(task.get("_task_module", "")).split(".")[0] == _STEPS


def _allowed(
    one: Difference, before: Mapping[str, NormalDag], after: Mapping[str, NormalDag], asked: Collection[str]
) -> bool:
    dag_id, _, task_id, field, *inner = one.path
    old, new = before[dag_id].tasks[task_id], after[dag_id].tasks[task_id]
    mapped = field == "partial_kwargs" and bool(inner)
    name = inner[0] if mapped else field
    if name in CLASS_LEAVES or name in asked:
        return True
    if name in KEPT_VALUES:
        return False
    if name == "template_ext":
        lost, got = (set(a) - set(b) for a, b in ((_list(old), _list(new)), (_list(new), _list(old))))
        return (lost | got) <= _CLASS_ENDINGS and not (lost and got)
    if name in _GENERATED and one.after is ABSENT:
        return str(one.before).startswith(_GENERATED[name])
    if mapped and name in STEP_ARGUMENTS | LEGACY_ARGUMENTS:
        return True
    fields = [set(side.get("template_fields") or ()) for side in (old, new)]
    return name in fields[0] ^ fields[1]


def _list(task: Mapping[str, Any]) -> Iterable[str]:
    found = task.get("template_ext")
    return found if isinstance(found, list) else ()


def _place(path: Path) -> str:
    if len(path) == 1:
        return f"DAG {path[0]!r}"
    dag, kind, *names = path
    what = {"tasks": "task", "groups": "group"}.get(kind)
    if what is None:
        return " ".join([f"DAG {dag!r}:", ".".join(names) or kind])
    leaf = ".".join(names[1:])
    return f"DAG {dag!r}: {what} {names[0]!r}" + (f": {leaf}" if leaf else "")


def describe(one: Difference) -> str:
    """A difference in words."""
    place = _place(one.path)
    named = len(one.path) == 1 or (len(one.path) == 3 and one.path[1] in ("tasks", "groups"))
    if named:
        return f"{place} is {'gone' if one.after is ABSENT else 'new'}"
    return f"{place} was {_short(one.before)}, is {_short(one.after)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
