"""What there is to say of a task's callable: what a step refuses, and what a person should know."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator, Sequence

from stepbridge.code.airflow_names import CONTEXT_KEYS
from stepbridge_migrate.model import CallableFacts, Effect, Finding, Form, Kind, Needs, Parameter, Place, Site
from stepbridge_migrate.rules import hints
from stepbridge_migrate.rules.hints import Answer
from stepbridge_migrate.rules.judging import argument, is_template

_OPEN = (Form.CALL, Form.PARAMETER, Form.UNKNOWN)
_NOT_PLAIN = frozenset(
    {
        "macros", "conf", "conn", "inlets", "outlets", "inlet_events", "outlet_events", "asset_state_store",
        "task_state_store", "triggering_asset_events", "triggering_dataset_events",
    }
)  # fmt: skip
"""Keys of the context that are live objects."""
_TI = frozenset(
    {
        "dag_id", "task_id", "run_id", "map_index", "try_number", "max_tries", "start_date", "hostname",
    }
)  # fmt: skip
_OF_TI = frozenset({"xcom_pull", "xcom_push", "get_template_context", "log", "dag_run", "task", "get_dagrun"})
"""What ``ti`` does and leads to in a step."""
_FIELDS = {
    "ti": _TI,
    "task_instance": _TI,
    "dag_run": frozenset(
        {
            "dag_id", "run_id", "run_type", "logical_date", "data_interval_start", "data_interval_end",
            "run_after", "start_date", "conf", "clear_number", "external_trigger", "partition_key",
        }
    ),
    "dag": frozenset(
        {"dag_id", "description", "tags", "timezone", "catchup", "dag_display_name", "owner"}
    ),
    "task": frozenset(
        {
            "task_id", "dag_id", "owner", "retries", "retry_delay", "queue", "pool", "trigger_rule",
            "task_type", "params", "execution_timeout", "upstream_task_ids", "downstream_task_ids",
        }
    ),
}  # fmt: skip
"""What a step sees of Airflow's objects; any other attribute fails."""
_SCHEDULER = ("AirflowRescheduleException", "TaskDeferred", "TaskDeferralError", "BaseTrigger", "Trigger")
_DATABASE = (
    "airflow.models", "airflow.settings", "airflow.utils.session", "airflow.utils.db", "airflow.jobs",
    "airflow.api",
)  # fmt: skip
_DAG_OBJECTS = ("DAG", "TaskGroup", "BaseOperator", "XComArg", "DagBag")
_ENDINGS = ("Operator", "Sensor", "OperatorAsync", "SensorAsync")
_OWN_ERRORS = ("AirflowSkipException", "AirflowFailException", "AirflowException")
_AT_MOST = 3
"""Places that one finding names."""


def judge(site: Site, needs: Needs) -> list[Finding]:
    """What there is to say of the callable of a site.

    :param needs: what the user declared: Variables and connections with computed names.
    """
    facts = site.callable
    if facts is None:
        return [] if argument(site, "python_callable") is None and not site.calls else [_unknown(site, "")]
    found = [*_form(site, facts)]
    if any(one.code in ("SM202", "SM204") for one in found):
        return found
    return [
        *found,
        *_of_airflow(site, facts, needs),
        *_types(site, facts, needs),
        *_outside(site, facts),
    ]


def _where(site: Site, facts: CallableFacts) -> Place:
    return facts.definition or site.place


def _unknown(site: Site, what: str) -> Finding:
    return Finding("SM307", f"what {what or 'the callable'} is cannot be told from the source", site.place)


def _form(site: Site, facts: CallableFacts) -> Iterator[Finding]:
    where = _where(site, facts)
    module = facts.name.partition(":")[0].partition(".")[0]
    if facts.form is Form.BOUND:
        yield Finding("SM202", f"{facts.text} belongs to an object that the file makes", site.place)
    elif facts.definition is None and (module in sys.stdlib_module_names or facts.text in dir(builtins)):
        yield Finding("SM204", f"{facts.text} is of Python's library", site.place)
    elif facts.definition is None and module == "airflow":
        yield Finding("SM204", f"{facts.text} is Airflow's", site.place)
    elif facts.definition is None:
        yield _unknown(site, facts.text)
    if facts.is_generator:
        yield Finding("SM201", f"{facts.text} yields", where)
    if facts.form is Form.NESTED and facts.closure:
        yield Finding("SM317", f"{facts.text} captures {', '.join(facts.closure)}", where)
    for decorator in facts.decorators:
        if decorator.partition("(")[0].rpartition(".")[2] in ("provide_session", "create_session"):
            yield Finding("SM203", f"{facts.text} is decorated by {decorator}", where)


# Airflow ---------------------------------------------------------------------------------------------------


def _of_airflow(site: Site, facts: CallableFacts, needs: Needs) -> Iterator[Finding]:
    where = _where(site, facts)
    for key in facts.context_keys:
        if key in _NOT_PLAIN:
            yield Finding("SM207", f"{facts.text} reads {key!r} of the context", where)
    for path in facts.attributes:
        owner, name = path.split(".")[:2]
        known = _FIELDS.get(owner)
        if known is not None and name not in (known | _OF_TI if known is _TI else known):
            yield Finding("SM207", f"{facts.text} reads {path} of the context", where)
    for pull in facts.pulls:
        if pull.elsewhere:
            shown = ", ".join(pull.task_ids or ()) or "any task"
            yield Finding("SM208", f"the pull of {shown} is not of this run", pull.place)
    yield from _dynamic(facts, needs)
    yield from _several("SM306", "uses hooks", facts, facts.hooks)
    yield from _several("SM308", "hands on the context", facts, facts.whole_context)
    yield from _objects(facts)


def _dynamic(facts: CallableFacts, needs: Needs) -> Iterator[Finding]:
    pulls = [one for one in facts.dynamic if "xcom_pull" in one.what]
    variables = [one for one in facts.dynamic if one not in pulls and "Variable" in one.what]
    connections = [one for one in facts.dynamic if one not in pulls and one not in variables]
    for one in pulls:
        yield Finding("SM208", one.what, one.place)
    for one in variables if not needs.variables else ():
        yield Finding("SM209", one.what, one.place, "declare it: --variable NAME")
    for one in connections if not needs.connections else ():
        yield Finding("SM209", one.what, one.place, "declare it: --connection NAME")


def _objects(facts: CallableFacts) -> Iterator[Finding]:
    """Other names of Airflow's in the callable, by what they mean to a step."""
    groups: dict[str, list[Effect]] = {}
    for one in facts.airflow:
        parts = one.what.partition("(")[0].split(".")
        if any(part in _OWN_ERRORS for part in parts):
            continue
        if any(part in _SCHEDULER for part in parts):
            code = "SM205"
        elif any(part in _DAG_OBJECTS or part.endswith(_ENDINGS) for part in parts):
            code = "SM206"
        elif one.what.startswith(_DATABASE) or any("session" in part for part in parts):
            code = "SM319"
        else:
            code = "SM306"
        groups.setdefault(code, []).append(one)
    for code, effects in sorted(groups.items()):
        yield from _several(code, "uses Airflow's own code", facts, effects)


def _several(code: str, does: str, facts: CallableFacts, effects: Sequence[Effect]) -> Iterator[Finding]:
    """One finding for all effects of a sort, at the first of them."""
    if not effects:
        return
    names = list(dict.fromkeys(one.what for one in effects if one.what))
    shown = ", ".join(names[:_AT_MOST]) + (
        f" and {len(names) - _AT_MOST} more" if len(names) > _AT_MOST else ""
    )
    yield Finding(code, f"{facts.text} {does}" + (f": {shown}" if shown else ""), effects[0].place)


# types -----------------------------------------------------------------------------------------------------


def _by_uri(site: Site, needs: Needs) -> bool:
    """Whether readers that have not moved would find a URI where the old task gave the object."""
    pushes = argument(site, "do_xcom_push")
    return (
        needs.xcom is None and "xcom" not in needs.arguments and (pushes is None or pushes.value != "False")
    )


def _types(site: Site, facts: CallableFacts, needs: Needs) -> Iterator[Finding]:
    where = _where(site, facts)
    given = _given(site)
    for one in facts.parameters:
        if one.name in CONTEXT_KEYS or one.kind == "VAR_KEYWORD" or not one.annotation:
            continue
        yield from _annotation(f"parameter {one.name!r}", one.annotation, where)
        if one.name in given and not site.dag.native and not hints.takes(_optional(one), str):
            yield Finding(
                "SM211", f"{one.name}: {one.annotation} gets the text of a template", given[one.name]
            )
    if facts.table and _by_uri(site, needs):
        yield Finding("SM326", f"{facts.text} gives a table or an array", where)
    if facts.annotation:
        yield from _annotation("the return", facts.annotation, where)
        silent = not facts.returns and not facts.is_generator and facts.form is not Form.LAMBDA
        if silent and facts.definition is not None and not hints.takes(facts.annotation, type(None)):
            yield Finding("SM212", f"{facts.text} returns nothing, and says -> {facts.annotation}", where)


def _optional(one: Parameter) -> str:
    return f"Optional[{one.annotation}]" if one.default == "None" else one.annotation


def _annotation(what: str, text: str, where: Place) -> Iterator[Finding]:
    answer, name = hints.answer(text)
    if answer is Answer.REFUSED:
        yield Finding("SM210", f"{what} is annotated {text}: no codec takes {name}", where)
    elif answer is Answer.UNKNOWN:
        yield Finding("SM323", f"{what} is annotated {text}: {name} is not known here", where)


def _given(site: Site) -> dict[str, Place]:
    """The parameters that get a template's text, by the literal ``op_kwargs``."""
    one = argument(site, "op_kwargs")
    if one is None or not is_template(one):
        return {}
    try:
        tree = ast.parse(one.value.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return {}
    if not isinstance(tree, ast.Dict):
        return {}
    return {
        str(key.value): one.place
        for key, value in zip(tree.keys, tree.values, strict=True)
        if isinstance(key, ast.Constant)
        and isinstance(value, ast.Constant)
        and isinstance(value.value, str)
        and "{{" in value.value
    }


# what it touches -------------------------------------------------------------------------------------------


def _outside(site: Site, facts: CallableFacts) -> Iterator[Finding]:
    yield from _several("SM303", "writes", facts, facts.writes)
    yield from _several("SM304", "uses local files", facts, facts.files)
    yield from _several("SM309", "asks for what differs each time", facts, facts.random)
    if facts.raises is not None:
        yield Finding("SM324", f"{facts.text} pushes an XCom, and raises later", facts.raises)
    if facts.environment and site.kind is not Kind.TASK_KUBERNETES:
        shown = ", ".join(name for name in facts.environment if name != "*") or "names made at run time"
        yield Finding("SM305", f"{facts.text} reads {shown} of the environment", _where(site, facts))
