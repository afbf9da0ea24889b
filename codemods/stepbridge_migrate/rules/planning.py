"""From a site to the edits of its file: shadow, and cutover with or without a shadow before it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stepbridge_migrate.edits import Shift, apply, compose, ordered
from stepbridge_migrate.model import Argument, Edit, Finding, Kind, Needs, Site, State
from stepbridge_migrate.rules import alignment, layout, shadowing, wanted
from stepbridge_migrate.rules.imports import Names, removal
from stepbridge_migrate.rules.judging import CLASSES, argument, constant, named
from stepbridge_migrate.rules.rule import STEP_DECORATOR, STEP_OPERATOR, Rewrite, Rule
from stepbridge_migrate.rules.view import View

_AIRFLOW_TASK = "task"
_DERIVED = frozenset({Kind.PYTHON, Kind.TASK, Kind.EXTERNAL, Kind.TASK_EXTERNAL})
_VIRTUALENVS = frozenset({Kind.VIRTUALENV, Kind.TASK_VIRTUALENV})
_IN_SHADOW = frozenset(
    {
        "trigger_rule", "depends_on_past", "wait_for_downstream", "retries", "priority_weight", "weight_rule",
        "outlets", "max_active_tis_per_dag", "max_active_tis_per_dagrun", "do_xcom_push", "multiple_outputs",
    }
)  # fmt: skip
"""Arguments that a candidate has from its control and nowhere else."""


@dataclass(frozen=True)
class Draft:
    """The edits of one action and what there is to say of them."""

    edits: tuple[Edit, ...] = ()
    findings: tuple[Finding, ...] = ()


def cutover(rule: Rule, site: Site, needs: Needs, view: View) -> Draft:
    """The edits that put the step in the task's place; a shadow beside it goes."""
    beside = shadowing.found(view, site)
    if beside is None and site.state is State.SHADOW:
        why = "the shadow beside it is written in a way that migrate cannot take out; take it out first"
        return Draft(findings=(Finding("SM236", why, site.place),))
    if beside is None:
        return _cutover(rule, site, needs, view)
    if beside.candidate != "None":
        why = (
            f"the shadow compares {beside.candidate} with the task, and a cutover would move the task's own "
            "callable; put the candidate into the call and take the shadow out first"
        )
        return Draft(findings=(Finding("SM236", why, site.place),))
    text = apply(view.text, beside.removal, path=view.path)
    shift = Shift(tuple(ordered(beside.removal)))
    draft = _cutover(rule, moved(site, shift), carried(needs, beside.arguments), View(view.path, text))
    if not draft.edits:
        return draft
    return Draft(compose(view.text, beside.removal, draft.edits), draft.findings)


def carried(needs: Needs, arguments: dict[str, str]) -> Needs:
    """What the shadow says of the step, under what is asked for now."""
    own = {
        name for name in ("image", "cache", "timeout", "backend", "xcom") if getattr(needs, name) is not None
    }
    own |= {name for name in ("variables", "connections") if getattr(needs, name)}
    if needs.context_keys is not None:
        own.add("context_keys")
    if needs.gpu is not None or needs.cpu is not None or needs.memory is not None:
        own.add("resources")
    over = {name: text for name, text in arguments.items() if name not in own and name not in needs.arguments}
    return replace(needs, arguments={**over, **needs.arguments})


def moved(site: Site, shift: Shift) -> Site:
    """The site with its places in the text that *shift* leads to."""

    def given(one: Argument) -> Argument:
        return replace(one, span=shift.span(one.span), common=tuple(map(given, one.common)))

    body = site.dag.body
    return replace(
        site,
        name=shift.span(site.name),
        call=shift.span(site.call),
        open=None if site.open is None else shift.offset(site.open),
        arguments=tuple(map(given, site.arguments)),
        calls=tuple(map(shift.span, site.calls)),
        dag=site.dag if body is None else replace(site.dag, body=shift.span(body)),
    )


def _cutover(rule: Rule, site: Site, needs: Needs, view: View) -> Draft:
    problem = _changed(site, view)
    if problem is not None:
        return Draft(findings=(problem,))
    change = rule.rewrite(site)
    names = Names(view, site.call, _head(site))
    target = _target(site, names)
    if isinstance(target, Finding):
        return Draft(findings=(target,))
    asked = [*change.add, *wanted.arguments_of(wanted.joined(change.needs, needs), names)]
    _import_used(asked, names)
    fresh, problems = wanted.conflicts(asked, _kept(site, change), site.place)
    if problems:
        return Draft(findings=tuple(problems))
    edits = _call(view, site, change, target, [f"{name}={text}" for name, text in fresh])
    old = _head(site)
    taken = [] if target.split(".")[0] == old else removal(view, old, used=1)
    findings: tuple[Finding, ...] = ()
    if taken is None and site.kind in CLASSES:
        findings = (Finding("SM412", f"the import of {old} stays", site.place),)
    return Draft(ordered([*edits, *names.edits(), *(taken or [])]), findings)


def _import_used(asked: Sequence[tuple[str, str]], names: Names) -> None:
    """Import what the texts of the arguments use of stepbridge, and the file does not have."""
    for _, text in asked:
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Name)
                and node.id in shadowing.SOURCES
                and not names.view.bindings[node.id]
            ):
                names.need(shadowing.SOURCES[node.id], node.id)


def _changed(site: Site, view: View) -> Finding | None:
    found = view.text[site.name.start : site.name.end]
    if found != site.local:
        return Finding("SM237", f"there stands {found[:60]!r} where {site.local!r} was seen", site.place)
    return None


def _head(site: Site) -> str:
    """The first name of what the call calls: the one that is imported."""
    return site.local.partition(".")[0].strip()


def _kept(site: Site, change: Rewrite) -> dict[str, str]:
    gone = {one.span for one in change.drop} | {one.span for one, _ in change.replace}
    kept = {one.name or "": one.value for one, common in named(site) if common or one.span not in gone}
    for _, text in change.replace:
        name, _, value = text.partition("=")
        kept[name] = value
    return kept


def _target(site: Site, names: Names) -> str | Finding:
    """The name that stands in the old one's place."""
    if site.kind in CLASSES:
        if not all(part.strip().isidentifier() for part in site.local.split(".")):
            return Finding("SM224", f"{site.local!r} is computed", site.place)
        return names.need("stepbridge_airflow", STEP_OPERATOR)
    parts = site.local.split(".")
    if not all(part.isidentifier() for part in parts):
        return Finding("SM232", f"@{site.local} is computed", site.place)
    module, _, last = site.operator.rpartition(".")
    if last == _AIRFLOW_TASK and not module.endswith("operators.python") and parts[0] != site.dag.variable:
        return f"{site.local}.{STEP_DECORATOR}"
    if module.endswith(f".{_AIRFLOW_TASK}") and len(parts) > 1:
        return f"{'.'.join(parts[:-1])}.{STEP_DECORATOR}"
    return names.need("stepbridge_airflow", STEP_DECORATOR)


def _call(view: View, site: Site, change: Rewrite, target: str, add: Sequence[str]) -> list[Edit]:
    """The edits of the call itself; what stood under its bracket stands under it again."""
    named_so = Edit(site.name.start, view.text[site.name.start : site.name.end], target)
    if site.open is None:
        return [named_so, *([Edit(site.name.end, "", f"({', '.join(add)})")] if add else [])]
    call = layout.Call.of(view, site.open, site.arguments)

    def given(shift: int) -> list[Edit]:
        arguments = layout.change(call, drop=change.drop, replace=change.replace, add=add, shift=shift)
        return [named_so, *arguments]

    moved_lines = alignment.moved_lines(view, site.name, given(0))
    last = view.line_start(call.arguments[-1].span.start) if call.arguments else site.open
    edits = given(moved_lines.get(last, 0))
    return alignment.realigned(view, site.name, edits, moved_lines)


# shadow ----------------------------------------------------------------------------------------------------


def refuses_shadow(site: Site, needs: Needs) -> Finding | None:
    """Why no shadow can be derived from the task."""
    if site.kind in _VIRTUALENVS and needs.image is None and "python" not in needs.arguments:
        return Finding(
            "SM238", f"{site.kind.value} makes its own environment", site.place, "give --image NAME"
        )
    if site.kind not in _DERIVED | _VIRTUALENVS:
        return Finding("SM238", f"{site.kind.value} runs a container of its own", site.place)
    one = argument(site, "wait_for_downstream")
    if one is not None and constant(one) is not False:
        return Finding("SM238", f"the task has wait_for_downstream={one.value}", one.place)
    wrong = sorted(_IN_SHADOW & needs.arguments.keys())
    if wrong:
        return Finding("SM235", f"a shadow has {', '.join(wrong)} from the task beside it", site.place)
    return None


def shadow(site: Site, needs: Needs, view: View) -> Draft:
    """The edit that puts the shadow statement at the DAG's end."""
    problem = refuses_shadow(site, needs)
    place = shadowing.spot(view, site)
    if problem is None and isinstance(place, Finding):
        problem = place
    control = shadowing.control_of(site)
    if problem is None and control is None:
        problem = Finding("SM234", "the task's id is computed, and any task of the DAG fits it", site.place)
    if problem is not None or control is None or isinstance(place, Finding):
        return Draft(findings=(problem,) if problem is not None else ())
    names = Names(view, site.call, "")
    asked = wanted.arguments_of(needs, names)
    _import_used(asked, names)
    statement = shadowing.inserted(view, place, control, asked, names)
    return Draft(ordered([statement, *names.edits()]))
