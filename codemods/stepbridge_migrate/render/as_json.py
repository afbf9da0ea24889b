"""A report as JSON, by the published schema docs/schemas/migrate-1.schema.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from stepbridge import __version__
from stepbridge_migrate.codes import Code
from stepbridge_migrate.model import (
    Argument,
    CallableFacts,
    Check,
    Effect,
    Finding,
    Inventory,
    Judged,
    Needs,
    Place,
    Pull,
    Reader,
    Site,
)
from stepbridge_migrate.report import Edited, Planned, Problem, Report, RulePage, Status, count

Json: TypeAlias = "str | int | bool | Sequence[Json] | Mapping[str, Json] | None"
SCHEMA = "stepbridge-migrate/1"


def render_json(report: Report) -> str:
    """The report as ASCII JSON with an end of line; what the command has no answer for is left out."""
    document: dict[str, Json] = {
        "schema": SCHEMA,
        "tool": {"name": "stepbridge migrate", "version": __version__},
        "command": report.command,
        "outcome": str(report.outcome),
        "exit": int(report.exit),
    }
    if report.root:
        document["root"] = report.root
    if report.inventory is not None:
        document |= _inventory(report.inventory)
    if report.planned is not None:
        document["plan"] = _planned(report.planned)
    if report.edited is not None:
        document["edit"] = _edited(report.edited)
    if report.status is not None:
        document["status"] = _status(report.status)
    if report.pages:
        document["codes"] = [_page(one) for one in report.pages]
    if report.rules:
        document["rules"] = [_rule(one) for one in report.rules]
    if report.remarks:
        document["remarks"] = _findings(report.remarks)
    if report.problem is not None:
        document["problem"] = _problem(report.problem)
    return json.dumps(document, indent=1) + "\n"


def _inventory(inventory: Inventory) -> dict[str, Json]:
    counts = count(inventory.sites)
    return {
        "files": inventory.files,
        "dag_files": inventory.dag_files,
        "counts": {
            "AUTO": counts.auto,
            "WARN": counts.warn,
            "KEEP": counts.keep,
            "REFUSE": counts.refuse,
            "moved": counts.moved,
        },
        "sites": [_judged(one) for one in inventory.sites],
        "skipped": _findings(inventory.skipped),
    }


def _judged(judged: Judged) -> Json:
    return {
        **_site(judged.site),
        "disposition": str(judged.disposition),
        "findings": _findings(judged.findings),
    }


def _site(site: Site) -> dict[str, Json]:
    return {
        "id": site.id,
        "dag": site.dag.id,
        "task": {
            "pattern": site.task.pattern,
            "ids": list(site.task.ids),
            "complete": site.task.complete,
            "source": site.task.text,
        },
        "place": _place(site.place),
        "kind": str(site.kind),
        "operator": site.operator,
        "made": [str(one) for one in site.making],
        "mapped": site.mapped,
        "group": list(site.group),
        "variable": site.variable,
        "state": str(site.state),
        "marks": sorted(site.marks),
        "arguments": [_argument(one) for one in (*site.arguments, *site.mapped_arguments)],
        "callable": None if site.callable is None else _callable(site.callable),
        "takes": [_pull(one) for one in site.upstream_pulls],
        "readers": [_reader(one) for one in site.readers],
    }


def _argument(argument: Argument) -> Json:
    return {
        "name": argument.name,
        "source": argument.value,
        "star": argument.star,
        "literal": argument.literal,
        "place": _place(argument.place),
        "common": [_argument(one) for one in argument.common],
    }


def _callable(facts: CallableFacts) -> Json:
    return {
        "source": facts.text,
        "form": str(facts.form),
        "name": facts.name,
        "definition": None if facts.definition is None else _place(facts.definition),
        "parameters": [
            {"name": one.name, "kind": one.kind, "annotation": one.annotation, "default": one.default}
            for one in facts.parameters
        ],
        "annotation": facts.annotation,
        "returns": facts.returns,
        "followed": facts.followed,
        "reads": {
            "context_keys": list(facts.context_keys),
            "whole_context": _effects(facts.whole_context),
            "pulls": [_pull(one) for one in facts.pulls],
            "variables": list(facts.variables),
            "connections": list(facts.connections),
            "dynamic": _effects(facts.dynamic),
            "hooks": _effects(facts.hooks),
            "airflow": _effects(facts.airflow),
            "globals": list(facts.globals),
            "closure": list(facts.closure),
            "helpers": list(facts.helpers),
            "modules": list(facts.modules),
            "distributions": list(facts.distributions),
            "environment": list(facts.environment),
            "files": _effects(facts.files),
        },
        "pushes": list(facts.pushes),
        "writes": _effects(facts.writes),
        "random": _effects(facts.random),
    }


def _place(place: Place) -> Json:
    return {"path": place.path, "line": place.line, "column": place.column}


def _pull(pull: Pull) -> Json:
    return {
        "task_ids": None if pull.task_ids is None else list(pull.task_ids),
        "key": pull.key,
        "literal": pull.literal,
        "producers": list(pull.producers),
        "place": _place(pull.place),
    }


def _reader(reader: Reader) -> Json:
    return {"task": reader.task, "how": reader.how, "key": reader.key, "place": _place(reader.place)}


def _effects(effects: Sequence[Effect]) -> Json:
    return [{"what": one.what, "place": _place(one.place)} for one in effects]


def _findings(findings: Sequence[Finding]) -> Json:
    return [
        {"code": one.code, "message": one.message, "hint": one.hint, "place": _place(one.place)}
        for one in findings
    ]


def _planned(planned: Planned) -> Json:
    return {
        "site": _judged(planned.judged),
        "needs": _needs(planned.needs),
        "edits": [_edited(one) for one in planned.edits],
    }


def _needs(needs: Needs) -> Json:
    return {
        "gpu": needs.gpu,
        "cpu": needs.cpu,
        "memory": needs.memory,
        "image": needs.image,
        "cache": needs.cache,
        "timeout": needs.timeout,
        "backend": needs.backend,
        "xcom": needs.xcom,
        "context_keys": None if needs.context_keys is None else list(needs.context_keys),
        "variables": list(needs.variables),
        "connections": list(needs.connections),
        "set": dict(needs.arguments),
    }


def _edited(edited: Edited) -> Json:
    plan = edited.plan
    return {
        "action": plan.action,
        "task": plan.site.id,
        "place": _place(plan.site.place),
        "outcome": str(edited.outcome),
        "disposition": str(plan.disposition),
        "rule": plan.rule,
        "findings": _findings(plan.findings),
        "missing": list(plan.missing),
        "changes": [
            {
                "path": change.path,
                "edits": [{"start": one.start, "old": one.old, "new": one.text} for one in change.edits],
            }
            for change in plan.changes
        ],
        "diff": edited.diff,
        "checks": [_check(one) for one in edited.checks],
        "written": edited.written,
    }


def _check(check: Check) -> Json:
    return {"name": check.name, "status": check.status, "detail": check.detail}


def _status(status: Status) -> Json:
    return {
        "tasks": [
            {
                "task": one.judged.site.id,
                "dag": one.judged.site.dag.id,
                "place": _place(one.judged.site.place),
                "stage": str(one.stage),
                "recorded": one.recorded,
                "when": one.when,
                "codes": list(dict.fromkeys(finding.code for finding in one.judged.findings)),
                "drift": _findings(one.drift),
            }
            for one in status.standings
        ],
        "lost": _findings(status.lost),
    }


def _page(code: Code) -> Json:
    return {
        "id": code.id,
        "title": code.title,
        "disposition": str(code.disposition),
        "why": code.why,
        "do": code.do,
        "before": code.before,
        "after": code.after,
    }


def _rule(rule: RulePage) -> Json:
    return {
        "name": rule.name,
        "title": rule.title,
        "text": rule.text,
        "examples": [{"title": one.title, "before": one.before, "after": one.after} for one in rule.examples],
        "refusals": list(rule.refusals),
    }


def _problem(problem: Problem) -> Json:
    return {
        "code": problem.code,
        "message": problem.message,
        "place": problem.place,
        "hint": problem.hint,
        "candidates": list(problem.candidates),
    }
