"""A report as annotations of GitHub Actions: one workflow command for each finding."""

from __future__ import annotations

from stepbridge_migrate.codes import CODES
from stepbridge_migrate.model import Disposition, Finding
from stepbridge_migrate.report import Report, findings_of

_COMMAND = {Disposition.REFUSE: "warning", Disposition.WARN: "notice"}


def render_github(report: Report) -> str:
    """``::warning`` for refusals, drift and unreadable files, ``::notice`` for warnings, nothing for KEEP."""
    lines = [_line(finding, disposition) for finding, disposition in findings_of(report)]
    if report.edited is not None:
        site = report.edited.plan.site
        lines += [
            _command("error", site.place.path, site.place.line, 0, f"{one.name} failed", one.detail)
            for one in report.edited.checks
            if one.status == "failed"
        ]
    if report.problem is not None:
        message = ". ".join(part for part in (report.problem.message, report.problem.hint) if part)
        lines.append(_command("error", "", 0, 0, report.problem.code or "migrate", message))
    return "".join(f"{line}\n" for line in lines if line)


def _line(finding: Finding, disposition: Disposition | None) -> str:
    command = "warning" if disposition is None else _COMMAND.get(disposition, "")
    if not command:
        return ""
    code = CODES.get(finding.code)
    title = f"{finding.code} {code.title}" if code else finding.code
    message = ". ".join(part for part in (finding.message, finding.hint) if part)
    return _command(command, finding.place.path, finding.place.line, finding.place.column, title, message)


def _command(command: str, path: str, line: int, column: int, title: str, message: str) -> str:
    given = [("file", path)] if path else []
    given += [(name, str(number)) for name, number in (("line", line), ("col", column)) if number]
    given.append(("title", title))
    properties = ",".join(f"{name}={_property(value)}" for name, value in given)
    return f"::{command} {properties}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
