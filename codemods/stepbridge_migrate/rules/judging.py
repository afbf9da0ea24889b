"""What there is to say of a call's arguments, whichever rule edits it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from stepbridge_migrate.model import Argument, Finding, Kind, Making, Site
from stepbridge_migrate.rules.arguments import AIRFLOW, OLD, OWNED, POD, PYTHON, STEP, TAKEN

CLASSES = frozenset({Kind.PYTHON, Kind.VIRTUALENV, Kind.EXTERNAL})
"""Kinds that are made by a class."""
_SEVERAL = frozenset({Making.LOOP, Making.COMPREHENSION, Making.FACTORY})
_MEANT_FOR_ALL = frozenset({"do_xcom_push", "multiple_outputs", "deferrable", "env_vars", "secrets"})


def named(site: Site) -> Iterator[tuple[Argument, bool]]:
    """Every argument that has a name; True for those that come out of ``**common``, which no edit touches."""
    for one in site.arguments:
        if one.name is not None:
            yield one, False
        for inner in one.common:
            yield inner, True


def argument(site: Site, name: str) -> Argument | None:
    """The argument of that name."""
    return next((one for one, _ in named(site) if one.name == name), None)


def constant(one: Argument | None) -> object:
    """The value of a literal argument; Ellipsis where it is none."""
    if one is None:
        return ...
    try:
        return ast.literal_eval(one.value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ...


def is_template(one: Argument) -> bool:
    """True where the value's text holds Jinja."""
    return "{{" in one.value or "{%" in one.value


def judge(site: Site, handled: frozenset[str]) -> list[Finding]:
    """What there is to say of the arguments and the place of the call.

    :param handled: names that the rule itself judges.
    """
    found = [*_unnamed(site), *_forms(site)]
    for one, common in named(site):
        assert one.name is not None
        if one.name not in handled:
            found += _one(one, one.name, common)
        elif common and (one.name not in TAKEN or one.name == "env_vars"):
            found.append(_stuck(one, one.name))
    if site.kind in CLASSES and not site.mapped and argument(site, "python_callable") is None:
        unknown = any(one.star == "**" and not one.literal for one in site.arguments)
        if not unknown and not any(one.name is None and not one.star for one in site.arguments):
            found.append(Finding("SM231", f"{site.local}(...) has no python_callable", site.place))
    return [*found, *_defaults(site)]


def _unnamed(site: Site) -> Iterator[Finding]:
    functional = "functional" in site.marks
    for index, one in enumerate(site.arguments):
        if one.star == "**" and not one.literal:
            yield Finding("SM221", f"**{_short(one.value)} is not one literal dict", one.place)
        elif one.star == "*" or (one.name is None and not one.star and not (functional and index == 0)):
            yield Finding("SM223", f"{one.star}{_short(one.value)} is given by its position", one.place)


def _one(one: Argument, name: str, common: bool) -> Iterator[Finding]:
    if name == "provide_context":
        if common:
            yield _stuck(one, name)
        else:
            yield Finding("SM413", f"provide_context={one.value} is left out", one.place)
    elif name in OWNED:
        yield Finding("SM228", f"{name}= is not for a step", one.place, OWNED[name])
    elif name == "is_delete_operator_pod":
        if common or constant(one) not in (True, False):
            yield Finding(
                "SM228", f"{name}= has no effect on a step", one.place, "use on_finish_action='delete_pod'"
            )
    elif name == "resources":
        if constant(one) is not None:
            yield Finding("SM230", f"resources={_short(one.value)}", one.place)
    elif name == "executor_config":
        yield Finding("SM310", f"executor_config={_short(one.value)}", one.place)
    elif name == "run_as_user":
        yield Finding("SM311", f"run_as_user={_short(one.value)}", one.place)
    elif name in OLD:
        yield Finding("SM312", OLD[name], one.place)
    elif name not in TAKEN:
        yield Finding("SM222", f"a step does not take {name}={_short(one.value)}", one.place)


def _stuck(one: Argument, name: str) -> Finding:
    return Finding(
        "SM222",
        f"a step does not take {name}, and it stands in a mapping that other calls may share",
        one.place,
        f"write {name} in the calls that need it, and take it out of the mapping",
    )


def _forms(site: Site) -> Iterator[Finding]:
    if "generated" in site.marks:
        yield Finding("SM233", f"{site.path} says that it is generated", site.place)
    several = _SEVERAL & set(site.making)
    if several or len(site.task.ids) > 1 or len(site.dag.ids) > 1:
        shown = ", ".join(site.task.ids[:5]) + (", ..." if len(site.task.ids) > 5 else "")
        yield Finding("SM416", f"the tasks {shown or site.task.pattern} are made by this call", site.place)
    if Making.CONDITIONAL in site.making:
        yield Finding("SM314", "the call stands under a condition", site.place)
    for one in site.objects:
        code = "SM213" if one.certain else "SM325"
        yield Finding(code, f"the callable is given {one.what}", one.place)
    if site.mapped:
        yield Finding("SM417", f"the task is mapped by {site.mapped}()", site.place)


def _defaults(site: Site) -> Iterator[Finding]:
    """Keys of ``default_args`` that PythonOperator does not see and a step does."""
    said = {one.name for one, _ in named(site)}
    mine = AIRFLOW | PYTHON | _MEANT_FOR_ALL
    if site.kind in (Kind.TASK_KUBERNETES, Kind.TASK_DOCKER):
        mine |= POD
    for one in site.dag.default_args:
        if one.name == "resources" and one.name not in said and constant(one) is not None:
            yield Finding("SM230", f"default_args have resources={_short(one.value)}", one.place)
        elif one.name in (POD | STEP) - mine and one.name not in said:
            yield Finding("SM322", f"default_args have {one.name}={_short(one.value)}", one.place)


def _short(text: str, limit: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[:limit] + "..."
