"""A serialized DAG in one form for all versions of Airflow, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
"""Where a leaf is: DAG id, then ``tasks``, ``groups`` or ``dag``, then names."""


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()
_EDGES = ("upstream_task_ids", "downstream_task_ids", "upstream_group_ids", "downstream_group_ids")
_VOLATILE = frozenset({"_processor_dags_folder", "last_loaded", "last_parsed", "last_parsed_time"})


@dataclass(frozen=True)
class NormalDag:
    """One DAG.

    :param tasks: task id to its fields, in the DAG's order; ``downstream_task_ids`` is always there, sorted.
    :param groups: group id to its fields, in order, the outermost as ``""``; ``children`` are the ids of what
        is in it, in order, a group with a slash at its end.
    :param rest: all other fields of the DAG.
    """

    tasks: Mapping[str, Mapping[str, Any]]
    groups: Mapping[str, Mapping[str, Any]]
    rest: Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One leaf that two sides do not have alike; :data:`ABSENT` where one has it not at all."""

    path: Path
    before: object
    after: object


def normal(dag: Mapping[str, Any]) -> NormalDag:
    """The form of what Airflow's serializer gave."""
    body = dict(dag["dag"])
    outer = body.pop("_task_group", None) or body.pop("task_group", None) or {}
    tasks = {}
    for task in body.pop("tasks", ()):
        fields = dict(task.get("__var", task))
        fields["downstream_task_ids"] = sorted(fields.get("downstream_task_ids") or ())
        tasks[str(fields["task_id"])] = fields
    groups: dict[str, dict[str, Any]] = {}
    _group(outer, groups)
    rest = {name: value for name, value in body.items() if name not in _VOLATILE}
    return NormalDag(tasks, groups, {**rest, **{name: dag[name] for name in dag if name != "dag"}})


def _group(group: Mapping[str, Any], groups: dict[str, dict[str, Any]]) -> None:
    fields = {name: value for name, value in group.items() if name != "children"}
    for name in _EDGES:
        fields[name] = sorted(fields.get(name) or ())
    fields["children"] = []
    groups[str(group.get("_group_id") or "")] = fields
    for name, (kind, content) in (group.get("children") or {}).items():
        inner = isinstance(content, Mapping) and kind in ("taskgroup", "TASK_GROUP", "task_group")
        fields["children"].append(f"{name}/" if inner else str(name))
        if inner:
            _group(content, groups)


def without(dag: NormalDag, names: frozenset[str]) -> NormalDag:
    """The DAG as it would be without these tasks and the edges to them."""

    def bare(fields: Mapping[str, Any]) -> dict[str, Any]:
        lists = (*_EDGES, "children")
        return {
            name: [one for one in value if one not in names] if name in lists else value
            for name, value in fields.items()
        }

    rest = dict(dag.rest)
    info = rest.get("edge_info")
    if isinstance(info, Mapping):
        rest["edge_info"] = {
            start: {end: label for end, label in ends.items() if end not in names}
            for start, ends in info.items()
            if start not in names
        }
    return NormalDag(
        {name: bare(fields) for name, fields in dag.tasks.items() if name not in names},
        {name: bare(fields) for name, fields in dag.groups.items()},
        rest,
    )


def differences(before: Mapping[str, NormalDag], after: Mapping[str, NormalDag]) -> Iterator[Difference]:
    """Everything in which two sets of DAGs differ."""
    for dag_id in dict.fromkeys((*before, *after)):
        if dag_id not in after:
            yield Difference((dag_id,), "there", ABSENT)
        elif dag_id not in before:
            yield Difference((dag_id,), ABSENT, "there")
        else:
            yield from _dag(dag_id, before[dag_id], after[dag_id])


def _dag(dag_id: str, before: NormalDag, after: NormalDag) -> Iterator[Difference]:
    for kind, old, new in (
        ("tasks", before.tasks, after.tasks),
        ("groups", before.groups, after.groups),
    ):
        for name in dict.fromkeys((*old, *new)):
            here = (dag_id, kind, name)
            if name not in new:
                yield Difference(here, "there", ABSENT)
            elif name not in old:
                yield Difference(here, ABSENT, "there")
            else:
                yield from _leaves(here, old[name], new[name])
        common = set(old) & set(new)
        first, second = ([name for name in side if name in common] for side in (old, new))
        if first != second:
            yield Difference((dag_id, "order of " + kind), ", ".join(first), ", ".join(second))
    yield from _leaves((dag_id, "dag"), before.rest, after.rest)


def _leaves(path: Path, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys((*before, *after)):
            if name not in after:
                yield Difference((*path, str(name)), before[name], ABSENT)
            elif name not in before:
                yield Difference((*path, str(name)), ABSENT, after[name])
            else:
                yield from _leaves((*path, str(name)), before[name], after[name])
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _leaves((*path, str(number)), old, new)
    elif before != after or type(before) is not type(after):
        yield Difference(path, before, after)
