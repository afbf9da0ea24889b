"""Sites that no rule edits: tasks that stay in Airflow, steps, and calls that cannot be read."""

from __future__ import annotations

from stepbridge_migrate.model import MOVABLE, Finding, Kind, Site

_CODES = {
    Kind.BRANCH: "SM101",
    Kind.SHORT_CIRCUIT: "SM102",
    Kind.SENSOR: "SM103",
    Kind.OPERATOR: "SM104",
    Kind.EMPTY: "SM105",
    Kind.STEP: "SM108",
    Kind.TASK_STEP: "SM108",
    Kind.UNKNOWN: "SM224",
}


def finding(site: Site) -> Finding | None:
    """Why no rule edits *site*; None where one does."""
    if site.kind in MOVABLE:
        scope = sorted({"setup", "teardown"} & site.marks)
        if scope:
            return Finding("SM106", f"{site.local} makes a {scope[0]} task", site.place)
        return None
    code = _CODES[site.kind]
    if site.kind is Kind.OPERATOR:
        code = _of_operator(site)
    return Finding(code, f"{site.local}: {site.operator or site.kind.value}", site.place)


def _of_operator(site: Site) -> str:
    if any(mark.startswith("subclass:") for mark in site.marks):
        return "SM107"
    parts = site.operator.split(".")
    if "task" in parts[:-1]:
        return "SM109"
    return "SM104" if parts[0] in ("airflow", "") else "SM107"
