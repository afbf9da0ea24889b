"""Whether control and candidate got the same arguments, as far as Airflow tells what its templates became."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stepbridge.compare.base import Side
from stepbridge.compare.model import Part, Skipped, Verdict, worst
from stepbridge.compare.rules import Compare
from stepbridge.compare.values import ValueComparator
from stepbridge_airflow import compat, config, rest_api

_NAME = "inputs"
_FIELDS = ("op_args", "op_kwargs", "templates_dict")
_CUT = "Truncated. You can change this behaviour"
_MASK = "***"
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def compared(
    context: Mapping[str, Any], control: str, candidate: str, indexes: Sequence[int], rules: Compare
) -> Part | Skipped:
    """The arguments of both, rendered; or why they are not compared.

    :param control: :param candidate: task ids, the candidate with the control's arguments.
    :param rules: of the comparison: its ``mask``, and the ``ignore`` rules whose path begins with ``inputs.``
    """
    rendered = _rendered(context, (control, candidate), indexes)
    if isinstance(rendered, Skipped):
        return rendered
    mine, theirs = rendered
    known = [index for index in indexes if index in mine and index in theirs]
    if not known:
        return Skipped(_NAME, "Airflow kept no rendered templates of this run")
    own = _rules(rules)
    parts = [_one(mine[index], theirs[index], own, _named(index)) for index in known]
    if len(parts) == 1:
        return parts[0]
    unlike = [part for part in parts if not part.verdict.same]
    rule = f"the arguments of all {len(parts):,} elements are the same"
    if unlike:
        rule = f"{len(unlike):,} of {len(parts):,} elements; {unlike[0].name}: {unlike[0].rule}"
    return Part(
        _NAME,
        "members",
        worst(part.verdict for part in parts),
        rule,
        compared=len(parts),
        of=len(indexes),
        unit="elements",
        parts=tuple(unlike[:10]),
    )


def _rendered(
    context: Mapping[str, Any], task_ids: tuple[str, str], indexes: Sequence[int]
) -> list[Mapping[int, Mapping[str, Any]]] | Skipped:
    """What the templates of each task became, by map index; or why that is not known."""
    if not compat.AIRFLOW_3:
        return [compat.rendered_fields(context, one) for one in task_ids]
    name = config.rest_connection()
    if not name:
        why = (
            "Airflow 3 tells no task what the templates of another became; [stepbridge] rest_connection does"
        )
        return Skipped(_NAME, why)
    try:
        found = rest_api.instances(name, context, task_ids, indexes)
    except rest_api.RestTrouble as trouble:
        return Skipped(_NAME, f"Airflow's REST API did not tell what the templates became: {trouble}")
    return [{index: one.fields for index, one in found[task].items() if one.fields} for task in task_ids]


def _one(control: Mapping[str, Any], candidate: Mapping[str, Any], rules: Compare, name: str) -> Part:
    sides = [{field: given[field] for field in _FIELDS if given.get(field)} for given in (control, candidate)]
    gaps = {
        why: path
        for side in sides
        for path, text in _texts(side, "$")
        for sign, why in (
            (_CUT, "Airflow keeps only the beginning of long values"),
            (_MASK, "Airflow masks secrets"),
            (" at 0x", "Airflow keeps only the name of an object"),
        )
        if sign in text
    }
    left, right = (Side("value", "json", value=_without_addresses(side)) for side in sides)
    part = ValueComparator().compare(left, right, rules, name)
    if not gaps:
        return part
    skipped = tuple(Skipped(path, why) for why, path in gaps.items())
    verdict, rule = part.verdict, part.rule
    if verdict is Verdict.IDENTICAL:
        verdict, rule = Verdict.EQUIVALENT, f"what Airflow shows of the arguments is equal; {skipped[0].why}"
    return replace(part, verdict=verdict, rule=rule, skipped=(*part.skipped, *skipped))


def _rules(rules: Compare) -> Compare:
    lead = f"{_NAME}."
    own = tuple(
        replace(one, path="$." + one.path.removeprefix(lead))
        for one in rules.ignore
        if one.path.startswith(lead)
    )
    return Compare(ignore=own, mask=rules.mask, samples=rules.samples)


def _named(index: int) -> str:
    return _NAME if index < 0 else f"{_NAME} [{index}]"


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _texts(one, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for n, one in enumerate(value):
            yield from _texts(one, f"{path}[{n}]")


def _without_addresses(value: Any) -> Any:
    """*value* without the addresses of objects, which are others in every process."""
    if isinstance(value, str):
        return _ADDRESS.sub("", value)
    if isinstance(value, Mapping):
        return {key: _without_addresses(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_addresses(one) for one in value]
    return value
