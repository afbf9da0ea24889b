"""Rules are checked before anything is read: every mistake is named where it stands."""

from __future__ import annotations

import math
import typing
from datetime import date

from stepbridge.compare.rules import Compare, Equal, Tolerance
from stepbridge.failures import StepbridgeError

_NAMES: tuple[str, ...] = typing.get_args(Equal)


def check(rules: Compare) -> None:
    """Raise SB701 for rules that contradict themselves or cannot be read."""
    for named in rules.equal:
        if named not in _NAMES:
            raise _bad(f"equal={named!r} is not known", f"there are {', '.join(_NAMES)}")
    for name, tolerance in (
        ("rtol, atol", Tolerance(rules.rtol or 0.0, rules.atol or 0.0)),
        *((f"columns[{column!r}]", one) for column, one in rules.columns.items()),
        *((f"dtypes[{dtype!r}]", one) for dtype, one in rules.dtypes.items()),
    ):
        _check_tolerance(name, tolerance)
    for ignored in rules.ignore:
        if not ignored.reason.strip():
            raise _bad(f"Ignore({ignored.path!r}) has no reason", "say why: the report shows it")
        _check_until(ignored.until)
    if rules.key and rules.unordered:
        raise _bad("key and unordered are both given", "with a key the order of rows does not count anyway")
    if len(set(rules.key)) != len(rules.key):
        raise _bad(f"key={rules.key!r} names a column twice", "name each column once")
    if rules.samples < 0 or not 0 <= rules.pixels <= 255:
        raise _bad("samples is negative, or pixels is not 0 to 255", "correct the number")
    if rules.memory < 64 << 20:
        raise _bad(f"memory={rules.memory} is less than 64 MiB", "give bytes: 1 << 30 is a gibibyte")
    _check_outputs(rules)
    if rules.metrics:
        from stepbridge.compare.metrics import parse

        for metric in rules.metrics:
            parse(metric)


def _check_tolerance(name: str, one: Tolerance) -> None:
    if not all(math.isfinite(value) and value >= 0 for value in (one.rtol, one.atol)) or one.ulp < 0:
        raise _bad(f"{name} is negative or not finite", "give numbers from 0")


def _check_until(until: str) -> None:
    try:
        if until:
            date.fromisoformat(until)
    except ValueError as error:
        raise _bad(f"until={until!r} is no date", "write it as 2027-01-31") from error


def _check_outputs(rules: Compare) -> None:
    names = [output.name for output in rules.outputs]
    if len(set(names)) != len(names):
        raise _bad("two outputs have the same name", "give each its own")
    for output in rules.outputs:
        place = f"Output({output.name!r})"
        if not output.control and not output.sql:
            raise _bad(f"{place} needs a place or a query", "give control= or sql=")
        if output.sql and not output.connection:
            raise _bad(f"{place} has a query and no connection", "give connection='the Airflow connection'")
        if output.argument and output.environment:
            raise _bad(f"{place} has argument and environment", "the candidate is told once: give one")
        told = output.candidate or output.argument or output.environment
        if not (output.sql or told or rules.idempotent):
            raise _bad(
                f"the candidate would write {place} to the control's place {output.control}",
                "say how it is told another: argument='the parameter', environment='THE_VARIABLE', or "
                "candidate='where it writes'; idempotent=True says that writing there twice does no harm",
            )


def _bad(cause: str, hint: str) -> StepbridgeError:
    return StepbridgeError("SB701", cause, place="Compare", hint=hint)
