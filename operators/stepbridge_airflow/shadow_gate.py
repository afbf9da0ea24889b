"""Whether a candidate runs this time: the control's state, the kill switch, sampling, the time left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from stepbridge.compare.rules import Output
from stepbridge_airflow import compat
from stepbridge_airflow.compat import MISSING

SWITCH = "stepbridge_shadow"
"""The Airflow Variable that switches shadow runs off: ``off``, or JSON, ``{"dag.task": "off"}``."""
_OFF = frozenset({"off", "false", "0", "no"})
_ON = frozenset({"", "on", "true", "1", "yes"})
_DID_NOT_RUN = frozenset({"skipped", "upstream_failed", "removed"})
_LEAST = timedelta(seconds=1)

Condition = Callable[[Mapping[str, Any]], object] | str
"""When to run: a function of Airflow's context, or Jinja text that renders to a yes or no."""


@dataclass(frozen=True)
class Shadowed:
    """What makes a step a candidate.

    :param control: the task id of the control.
    :param every: it runs in one of so many DAG runs.
    :param run_if: see :data:`Condition`.
    :param store: the root as the task gives it; None for the configured one.
    :param outputs: what both write, for the candidate to write elsewhere.
    :param idempotent: it does no harm if the candidate writes where the control does.
    """

    control: str
    every: int = 1
    run_if: Condition | None = None
    store: str | None = None
    outputs: tuple[Output, ...] = ()
    idempotent: bool = False


def lost(operator: Any, context: Mapping[str, Any]) -> bool:
    """Whether this is the second try: the first one ended without a word of its own."""
    ti = context["ti"]
    return bool(ti.try_number > ti.max_tries - operator.retries + 1)


def why_not(operator: Any, shadowed: Shadowed, context: Mapping[str, Any]) -> str:
    """Why the candidate does not run this time; empty where it does."""
    checks: tuple[Callable[[], str], ...] = (
        lambda: _control(operator, shadowed, context),
        lambda: switched_off(f"{operator.dag_id}.{shadowed.control}"),
        lambda: _sampled_out(operator, shadowed, context),
        lambda: _condition(operator, shadowed, context),
        lambda: _too_late(context),
    )
    return next((reason for check in checks if (reason := check())), "")


def sampled(dag_id: str, task_id: str, run_id: str, every: int) -> bool:
    """True for one of *every* runs, always the same ones."""
    digest = hashlib.sha256("\0".join((dag_id, task_id, run_id)).encode()).digest()
    return int.from_bytes(digest[:8], "big") % every == 0


def switched_off(name: str) -> str:
    """What the Variable :data:`SWITCH` says against the shadow of *name*, ``dag_id.task_id``; empty: nothing.

    A Variable that cannot be read or understood switches off: it is there to stop things.
    """
    try:
        text = compat.variable(SWITCH)
    except Exception as error:  # noqa: BLE001 - whatever a secrets backend raises, the switch must work
        return f"the Variable {SWITCH} cannot be read: {type(error).__name__}: {error}"
    if text is MISSING or str(text).strip().lower() in _ON:
        return ""
    if str(text).strip().lower() in _OFF:
        return f"the Variable {SWITCH} is {text!r}"
    try:
        rules = json.loads(text)
    except ValueError:
        rules = None
    if not isinstance(rules, dict):
        return f"the Variable {SWITCH} is neither on nor off nor a JSON object: {text!r}"
    fitting = [pattern for pattern in rules if fnmatchcase(name, pattern)]
    if not fitting:
        return ""
    closest = max(fitting, key=lambda pattern: (pattern == name, len(pattern)))
    said = str(rules[closest]).strip().lower()
    return "" if said in _ON else f"the Variable {SWITCH} says {closest!r}: {said!r}"


def time_left(context: Mapping[str, Any]) -> timedelta | None:
    """Until the DAG run meets its ``dagrun_timeout``; None where it has none."""
    limit = getattr(context.get("dag"), "dagrun_timeout", None)
    started = getattr(context.get("dag_run"), "start_date", None)
    if limit is None or started is None:
        return None
    left: timedelta = limit - (datetime.now(UTC) - started)
    return left


def _control(operator: Any, shadowed: Shadowed, context: Mapping[str, Any]) -> str:
    known = context["dag"].task_dict
    if shadowed.control not in known:
        return f"the DAG has no task {shadowed.control!r} any more"
    behind = known[operator.task_id].upstream_task_ids
    if shadowed.control not in behind and not known[shadowed.control].upstream_task_ids <= behind:
        return "the DAG was not loaded as Airflow loads it, so the order of its tasks is not known"
    states = set(compat.task_states(context, shadowed.control).values())
    if states and states <= _DID_NOT_RUN:
        return f"the control did not run: {', '.join(sorted(map(str, states)))}"
    return ""


def _sampled_out(operator: Any, shadowed: Shadowed, context: Mapping[str, Any]) -> str:
    if sampled(operator.dag_id, shadowed.control, context["ti"].run_id, shadowed.every):
        return ""
    return f"sampled out: one of {shadowed.every} runs is shadowed"


def _condition(operator: Any, shadowed: Shadowed, context: Mapping[str, Any]) -> str:
    condition = shadowed.run_if
    if condition is None:
        return ""
    try:
        if callable(condition):
            return "" if condition(context) else "run_if says no"
        said = operator.render_template(condition, context)
    except Exception as error:  # noqa: BLE001 - the user's condition may raise anything
        return f"run_if failed: {type(error).__name__}: {error}"
    return "" if str(said).strip().lower() in _ON - {""} else f"run_if says {said!r}"


def _too_late(context: Mapping[str, Any]) -> str:
    left = time_left(context)
    if left is None or left > _LEAST:
        return ""
    return "the DAG run has no time left before its dagrun_timeout"
