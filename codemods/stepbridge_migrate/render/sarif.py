"""A report as SARIF 2.1.0, for code scanning: every finding a result, every code a rule."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from stepbridge import __version__
from stepbridge_migrate.codes import CODES, Code
from stepbridge_migrate.model import Disposition, Finding, Place
from stepbridge_migrate.render.as_json import Json
from stepbridge_migrate.report import Outcome, Report, findings_of

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVEL = {Disposition.REFUSE: "warning", Disposition.WARN: "note"}
"""KEEP and remarks are informational: nothing is wrong with such a task."""


def render_sarif(report: Report) -> str:
    """One run with one result for each finding; paths are relative to the project's root."""
    found = findings_of(report)
    used = sorted({finding.code for finding, _ in found} & CODES.keys())
    run: dict[str, Json] = {
        "tool": {
            "driver": {
                "name": "stepbridge-migrate",
                "version": __version__,
                "rules": [_rule(CODES[code]) for code in used],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report)],
        "results": [_result(finding, disposition, used) for finding, disposition in found],
    }
    if report.root:
        run["originalUriBaseIds"] = {"ROOT": {"uri": Path(report.root).as_uri() + "/"}}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def level(disposition: Disposition | None) -> str:
    """How serious a finding is in SARIF's words: ``warning``, ``note`` or ``none``."""
    if disposition is None:
        return "warning"
    return _LEVEL.get(disposition, "none")


def _rule(code: Code) -> Json:
    rule: dict[str, Json] = {
        "id": code.id,
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.why},
        "help": {"text": code.do},
        "defaultConfiguration": {"level": level(code.disposition)},
    }
    return rule


def _result(finding: Finding, disposition: Disposition | None, rules: list[str]) -> Json:
    grade = level(disposition)
    text = f"{finding.message}. {finding.hint}" if finding.hint else finding.message
    result: dict[str, Json] = {
        "ruleId": finding.code,
        "kind": "informational" if grade == "none" else "fail",
        "level": grade,
        "message": {"text": text},
        "locations": [{"physicalLocation": _location(finding.place)}],
    }
    if finding.code in rules:
        result["ruleIndex"] = rules.index(finding.code)
    return result


def _location(place: Place) -> Json:
    return {
        "artifactLocation": {"uri": quote(place.path), "uriBaseId": "ROOT"},
        "region": {"startLine": max(place.line, 1), "startColumn": max(place.column, 1)},
    }


def _invocation(report: Report) -> Json:
    """What was run and how it ended; a problem of the tool itself is a notification, not a result."""
    notes: list[Json] = []
    if report.problem is not None:
        notes.append({"level": "error", "message": {"text": report.problem.message}})
    if report.edited is not None:
        notes += [
            {"level": "error", "message": {"text": f"{check.name}: {check.detail or 'failed'}"}}
            for check in report.edited.checks
            if check.status == "failed"
        ]
    return {
        "executionSuccessful": report.outcome not in {Outcome.PROBLEM, Outcome.UNVERIFIED},
        "exitCode": int(report.exit),
        "toolExecutionNotifications": notes,
    }
