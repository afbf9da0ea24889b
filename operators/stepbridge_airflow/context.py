"""Airflow's context as plain data: what a step may read of it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from stepbridge.code.airflow_names import LIVE_KEYS
from stepbridge_airflow.compat import MISSING, Missing

PLAIN = (
    "ds",
    "ds_nodash",
    "ts",
    "ts_nodash",
    "ts_nodash_with_tz",
    "run_id",
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "params",
    "test_mode",
    "task_instance_key_str",
    "task_reschedule_count",
    "map_index_template",
    "expanded_ti_count",
    "partition_key",
    "partition_date",
    "templates_dict",
)
"""Keys whose values are plain in every run."""

DERIVED = ("execution_date", "try_number", "next_ds", "next_ds_nodash", "prev_ds", "prev_ds_nodash")
ASKED = (
    "prev_data_interval_start_success",
    "prev_data_interval_end_success",
    "prev_start_date_success",
    "prev_end_date_success",
)
"""Keys that cost Airflow a request, or a warning: only where the function names them."""

OLD = ("yesterday_ds", "yesterday_ds_nodash", "tomorrow_ds", "tomorrow_ds_nodash", "next_execution_date",
       "prev_execution_date", "prev_execution_date_success")  # fmt: skip
"""Airflow 2's keys, from Airflow where it still has them."""

_RUN_FIELDS = (
    "dag_id", "run_id", "run_type", "logical_date", "data_interval_start", "data_interval_end", "run_after",
    "start_date", "conf", "clear_number", "external_trigger", "partition_key",
)  # fmt: skip
_TI_FIELDS = (
    "dag_id", "task_id", "run_id", "map_index", "try_number", "max_tries", "start_date", "hostname",
)  # fmt: skip
_DAG_FIELDS = ("dag_id", "description", "tags", "timezone", "catchup", "dag_display_name", "owner")
_TASK_FIELDS = (
    "task_id", "dag_id", "owner", "retries", "retry_delay", "queue", "pool", "trigger_rule", "task_type",
    "params", "execution_timeout", "upstream_task_ids", "downstream_task_ids",
)  # fmt: skip
PARTS: Mapping[str, tuple[str, ...]] = {
    "dag_run": _RUN_FIELDS,
    "ti": _TI_FIELDS,
    "task_instance": _TI_FIELDS,
    "dag": _DAG_FIELDS,
    "task": _TASK_FIELDS,
}
"""Objects of Airflow's that a step sees as their plain fields."""


def collect(context: Mapping[str, Any], keys: Iterable[str] | None) -> dict[str, Any]:
    """The plain values under *keys*, or under every plain key where None; keys without one are left out."""
    wanted = (*PLAIN, *DERIVED[:2], *PARTS) if keys is None else tuple(keys)
    found = {key: plain_value(context, key) for key in dict.fromkeys(wanted)}
    return {key: value for key, value in found.items() if value is not MISSING}


def parts(
    context: Mapping[str, Any], attributes: Iterable[str], *, whole: frozenset[str]
) -> dict[str, dict[str, Any]]:
    """The named attributes, ``dag_run.conf``, of Airflow's objects; objects in *whole* are there already."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(attributes):
        key, _, name = path.partition(".")
        value = plain_path(context, f"{key}.{name.partition('.')[0]}")
        if key in PARTS and key not in whole and value is not MISSING:
            found.setdefault(key, {})[name.partition(".")[0]] = value
    return found


def plain_path(context: Mapping[str, Any], path: str) -> Any:
    """The plain value under a key with dots, or :data:`MISSING`."""
    key, *rest = path.split(".")
    value = plain_value(context, key)
    for part in rest:
        value = value.get(part, MISSING) if isinstance(value, Mapping) else MISSING
    return value


def plain_value(context: Mapping[str, Any], key: str) -> Any:
    """The plain value of one key, or :data:`MISSING`."""
    if key in LIVE_KEYS:
        return MISSING
    if key in PARTS:
        source = context.get("ti") if key in ("ti", "task_instance") else context.get(key)
        return MISSING if source is None else _fields(source, PARTS[key])
    derive = _DERIVATIONS.get(key)
    if derive is not None and key not in context:
        return plain(derive(context))
    if key not in (*PLAIN, *DERIVED, *ASKED, *OLD):
        return plain(context[key]) if key in context else MISSING
    try:
        value = context[key]
    except KeyError:
        return MISSING
    return plain(value)


def _fields(source: Any, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: plain(getattr(source, name, MISSING)) for name in names}
    return {name: value for name, value in found.items() if value is not MISSING}


def plain(value: Any) -> Any:
    """*value* as plain data of the standard library, or :data:`MISSING` where it is none."""
    for kinds, convert in _PLAIN:
        if isinstance(value, kinds):
            return convert(value)
    return MISSING


def _mapping(value: Mapping[Any, Any]) -> Any:
    items = {key: plain(item) for key, item in value.items()}
    return MISSING if any(item is MISSING for item in items.values()) else items


def _sequence(value: Any) -> Any:
    items = [plain(item) for item in value]
    return MISSING if any(item is MISSING for item in items) else items


def _set(value: Any) -> Any:
    items = _sequence(value)
    return items if items is MISSING else sorted(items, key=lambda item: (str(type(item)), str(item)))


def _instant(value: datetime) -> datetime:
    return datetime.combine(value.date(), value.time().replace(fold=value.fold), value.tzinfo)


def _duration(value: timedelta) -> timedelta:
    return timedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds)


_PLAIN: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (type(None), lambda _: None),
    (Missing, lambda value: value),
    (enum.Enum, lambda value: plain(value.value)),
    (bool, bool),
    (str, str),
    (int, int),
    (float, float),
    (bytes, bytes),
    (datetime, _instant),
    (date, lambda value: date(value.year, value.month, value.day)),
    (timedelta, _duration),
    (UUID, lambda value: value),
    (Mapping, _mapping),
    (list | tuple, _sequence),
    (set | frozenset, _set),
)


def _logical(context: Mapping[str, Any]) -> datetime | None:
    found = context.get("logical_date")
    return found if isinstance(found, datetime) else None


def _shifted(days: int, form: str) -> Callable[[Mapping[str, Any]], Any]:
    def derive(context: Mapping[str, Any]) -> Any:
        logical = _logical(context)
        return MISSING if logical is None else (logical + timedelta(days=days)).strftime(form)

    return derive


_DERIVATIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "try_number": lambda context: getattr(context.get("ti"), "try_number", MISSING),
    "execution_date": lambda context: _logical(context) or MISSING,
    "yesterday_ds": _shifted(-1, "%Y-%m-%d"),
    "yesterday_ds_nodash": _shifted(-1, "%Y%m%d"),
    "tomorrow_ds": _shifted(1, "%Y-%m-%d"),
    "tomorrow_ds_nodash": _shifted(1, "%Y%m%d"),
}
"""Keys that Airflow 3 has no more, or never had: from those it has."""
