"""Where the shadow statement of a task goes, what it says, and how it is found again."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from stepbridge_migrate.model import Edit, Finding, Place, Site
from stepbridge_migrate.rules.imports import Names, removal
from stepbridge_migrate.rules.view import Block, View
from stepbridge_migrate.rules.wanted import quoted

SOURCES = {
    "Resources": "stepbridge",
    "StepbridgeResources": "stepbridge",
    "Secret": "stepbridge",
    "File": "stepbridge",
    "Directory": "stepbridge",
    "Budgets": "stepbridge_airflow",
    "Placement": "stepbridge_airflow",
    "Escalate": "stepbridge_airflow",
    "timedelta": "datetime",
    "stepbridge_timedelta": "datetime",
}
"""Names that the argument of a step may use, and where they are imported from."""
_WIDTH = 100
_INDENT = "    "


@dataclass(frozen=True)
class Spot:
    """Where a statement goes.

    :param offset: of the begin of a line; or of the text's end.
    :param indent: of the statement.
    :param dag: the name to give as ``dag=``; empty where the DAG is in scope.
    """

    offset: int
    indent: str
    dag: str = ""


def control_of(site: Site) -> str | None:
    """What ``shadow()`` is told: the task's id, or a glob for several; None where it says nothing."""
    ids = site.task.ids
    if site.task.complete and len(ids) == 1:
        return ids[0]
    pattern = site.task.pattern
    return pattern if pattern.strip("*?[]._- ") else None


def spot(view: View, site: Site) -> Spot | Finding:
    """The place after the site at which its DAG is complete."""
    where = site.dag.place
    if where is not None and where.path != site.path and site.dag.how != "argument":
        return _elsewhere(site, where)
    if site.dag.how in ("with", "variable"):
        return _in_with(view, site)
    if site.dag.how == "decorator":
        return _in_function(view, site)
    if site.dag.how == "argument":
        return _by_name(view, site)
    return _nowhere(site, "the source does not say which DAG the task is in")


def _nowhere(site: Site, why: str) -> Finding:
    return Finding("SM234", why, site.place)


def _elsewhere(site: Site, dag: Place) -> Finding:
    """The DAG is another file's: a person has to put the statement there."""
    control = control_of(site)
    ids = "..." if control is None else quoted(control)
    return Finding(
        "SM234",
        f"the DAG of the task is made in {dag.path}",
        site.place,
        f"write shadow({ids}) by hand, last in the DAG that begins at {dag.path}:{dag.line}",
    )


def _in_with(view: View, site: Site) -> Spot | Finding:
    body = site.dag.body
    if body is None:
        return _nowhere(site, "the block that makes the DAG was not found")
    for owner, block, _ in reversed(view.path_to(site.calls[0] if site.calls else site.call)):
        if isinstance(owner, ast.With | ast.AsyncWith) and view.span(block[0]).start <= body.start:
            return _after(view, site, block, "")
    for node in ast.walk(view.tree):
        if isinstance(node, ast.With) and view.span(node.body[-1]).end == body.end:
            return _after(view, site, node.body, "")
    return _nowhere(site, "the block that makes the DAG was not found")


def _in_function(view: View, site: Site) -> Spot | Finding:
    body = site.dag.body
    for node in ast.walk(view.tree):
        if (
            body is not None
            and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and view.span(node.body[-1]).end == body.end
            and node.decorator_list
        ):
            return _after(view, site, node.body, "")
    return _nowhere(site, "the function that makes the DAG was not found")


def _by_name(view: View, site: Site) -> Spot | Finding:
    """For ``dag=dag``: at the end of the block in which the DAG got its name."""
    name = site.dag.variable
    if not name:
        return _nowhere(site, "the DAG has no name where the task is made")
    around = view.path_to(site.calls[0] if site.calls else site.call)
    for owner, block, index in reversed(around):
        function = isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef)
        given = function and name in {item.arg for item in ast.walk(owner) if isinstance(item, ast.arg)}
        if given or any(_binds(one, name) for one in block[: index + 1]) or owner is view.tree:
            end = next((n for n, one in enumerate(block) if n > index and _binds(one, name)), len(block))
            return _after(view, site, block[:end], name)
    return _nowhere(site, f"the place where {name} is made was not found")


def _binds(statement: ast.stmt, name: str) -> bool:
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
            return True
    return False


def _after(view: View, site: Site, block: Block, dag: str) -> Spot | Finding:
    """After the last statement of *block* that makes anything of the DAG."""
    statements = list(block)
    while statements and _leads_out(statements[-1]):
        if _makes(view, site, statements.pop()):
            return _nowhere(site, "the task is made by the return statement; give it a name before that")
    if not statements:
        return _nowhere(site, "there is nothing before the end of the DAG")
    last = view.span(statements[-1])
    first = view.span(statements[0]).start
    indent = view.indent(first)
    if indent is None:
        return _nowhere(site, "the DAG is written in one line")
    rest = [one for one in block if view.span(one).start > last.end]
    if (
        rest
        and view.line_start(view.span(rest[0]).start) < view.next_line(last.end) <= view.span(rest[0]).start
    ):
        return _nowhere(site, "two statements stand in one line")
    if rest and view.span(rest[0]).start < view.next_line(last.end):
        return _nowhere(site, "two statements stand in one line")
    return Spot(view.next_line(last.end), indent, dag)


def _makes(view: View, site: Site, statement: ast.stmt) -> bool:
    around = view.span(statement)
    return any(around.start <= one.start < around.end for one in (site.call, *site.calls))


def _leads_out(statement: ast.stmt) -> bool:
    """``return dag``, and what runs only when the file is a program."""
    if isinstance(statement, ast.Return | ast.Raise):
        return True
    match statement:
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="cli" | "test"))):
            return True
    return False


def inserted(
    view: View, place: Spot, control: str, arguments: Sequence[tuple[str, str]], names: Names
) -> Edit:
    """The edit that puts the statement in."""
    name = names.need("stepbridge_airflow", "shadow")
    parts = [quoted(control)]
    if place.dag:
        parts.append(f"dag={place.dag}")
    parts += [f"{key}={text}" for key, text in arguments]
    line = f"{place.indent}{name}({', '.join(parts)})"
    newline = view.newline
    if len(line) > _WIDTH and not any("\n" in part for part in parts):
        inner = place.indent + (_INDENT if "\t" not in place.indent else "\t")
        line = f"{place.indent}{name}({newline}" + "".join(f"{inner}{one},{newline}" for one in parts)
        line += f"{place.indent})"
    before = view.text[: place.offset]
    if before and before[-1] not in "\r\n":
        return Edit(place.offset, "", newline + line)
    return Edit(place.offset, "", line + newline)


# found again -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A shadow statement of the source.

    :param arguments: what it says of the step, by name.
    :param removal: the edits that take it out, and the imports that nothing else needs.
    :param candidate: the text of ``candidate=``; ``None`` where the step is derived from the control.
    """

    arguments: dict[str, str]
    removal: tuple[Edit, ...]
    candidate: str = "None"


def found(view: View, site: Site) -> Found | None:
    """The shadow statement of *site*, where it is one that ``migrate`` could have written."""
    control = control_of(site)
    wanted = {control, *site.task.ids} if site.task.complete and len(site.task.ids) == 1 else {control}
    locals_ = _locals(view)
    for node in ast.walk(view.tree):
        match node:
            case ast.Expr(
                value=ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str() as given)]) as call
            ) if name in locals_ and given in wanted:
                return _found(view, node, call, name)
    return None


def _locals(view: View) -> set[str]:
    return {
        alias.asname or alias.name
        for node in ast.walk(view.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "stepbridge_airflow"
        for alias in node.names
        if alias.name == "shadow"
    }


def _found(view: View, statement: ast.Expr, call: ast.Call, name: str) -> Found | None:
    span = view.span(statement)
    start, end = view.line_start(span.start), view.next_line(span.end)
    if view.indent(span.start) is None or view.text[span.end : view.line_end(span.end)].strip():
        return None
    edits = [_taken(view, start, end)]
    used: dict[str, int] = {name: 1}
    arguments = {}
    for word in call.keywords:
        if word.arg is None:
            return None
        inner = view.span(word.value)
        arguments[word.arg] = view.text[inner.start : inner.end]
        for item in ast.walk(word.value):
            if isinstance(item, ast.Name) and item.id in SOURCES:
                used[item.id] = used.get(item.id, 0) + 1
    for other, times in used.items():
        edits += removal(view, other, used=times, source=SOURCES.get(other, "stepbridge_airflow")) or []
    own = {key: text for key, text in arguments.items() if key not in _OF_SHADOW}
    return Found(own, tuple(edits), arguments.get("candidate", "None"))


_OF_SHADOW = ("compare", "dag", "candidate", "every", "run_if", "noise", "pool")


def _taken(view: View, start: int, end: int) -> Edit:
    """The line without its line end where it is the last of a text that ends without one."""
    text = view.text
    if end == len(text) and text[start:end] == text[start:].rstrip("\r\n") and start:
        for newline in ("\r\n", "\n", "\r"):
            if text.endswith(newline, 0, start):
                start -= len(newline)
                break
    return Edit(start, text[start:end], "")
