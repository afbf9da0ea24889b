"""A report as Markdown, for a pull request or a wiki page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from stepbridge_migrate.codes import CODES, Code
from stepbridge_migrate.model import Finding, Inventory, Judged
from stepbridge_migrate.render import words
from stepbridge_migrate.report import Edited, Planned, Problem, Report, RulePage, Status, by_dag, count


def render_markdown(report: Report) -> str:
    """The report as one Markdown document with an end of line."""
    return "\n".join(_lines(report)).rstrip("\n") + "\n"


def page(code: Code, *, level: int = 2) -> Iterator[str]:
    """One code's page, as docs/migrate-codes.md and ``migrate explain`` show it."""
    yield f"{'#' * level} {code.id}"
    yield ""
    yield f"{code.disposition}: {code.title}."
    yield ""
    yield code.why
    yield ""
    yield f"**What to do.** {code.do}" if code.do else "Nothing is to be done."
    if code.before:
        yield from ("", *_source(code.before))
    if code.after:
        yield from ("", "becomes", "", *_source(code.after))
    yield ""


def _lines(report: Report) -> Iterator[str]:
    if report.problem is not None:
        yield from _problem(report.problem)
    if report.inventory is not None:
        yield from _inventory(report.inventory)
    if report.planned is not None:
        yield from _planned(report.planned)
    if report.edited is not None:
        yield from _edited(report.edited)
    if report.status is not None:
        yield from _status(report.status)
    for code in report.pages:
        yield from page(code)
    for rule in report.rules:
        yield from _rule(rule)
    if report.remarks:
        yield from ("## Remarks", "", *_findings(report.remarks), "")


def _problem(problem: Problem) -> Iterator[str]:
    head = " at ".join(part for part in (problem.code, problem.place) if part)
    yield f"**{_cell(head) + ': ' if head else ''}{_cell(problem.message)}** {_cell(problem.hint)}".rstrip()
    yield ""


def _inventory(inventory: Inventory) -> Iterator[str]:
    groups = by_dag(inventory.sites)
    yield "# Tasks"
    yield ""
    yield f"{words.summary(count(inventory.sites), dags=len(groups))}."
    yield ""
    for group in groups:
        yield f"## {_cell(group.dag)}" if group.dag else f"## {_code(group.path)}"
        yield ""
        yield from _table(
            ("task", "kind", "made", "reads", "disposition", "codes"),
            (_row(one) for one in group.sites),
            head=f"In {_code(group.path)}." if group.dag else "",
        )
    yield from _legend(finding for one in inventory.sites for finding in one.findings)
    if inventory.skipped:
        yield from ("## Files that were not read", "", *_findings(inventory.skipped), "")


def _row(judged: Judged) -> tuple[str, ...]:
    site = judged.site
    return (
        _code(words.task(site)),
        _cell(str(site.kind)),
        _cell(words.made(site)),
        _cell("; ".join(words.reads(site))),
        "moved" if words.is_moved(site) else str(judged.disposition),
        _cell(", ".join(words.codes(judged.findings, site.path))),
    )


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], *, head: str = "") -> Iterator[str]:
    if head:
        yield from (head, "")
    yield f"| {' | '.join(names)} |"
    yield f"| {' | '.join('---' for _ in names)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _legend(findings: Iterable[Finding]) -> Iterator[str]:
    used = sorted({one.code for one in findings})
    if used:
        yield from _table(
            ("code", "meaning"), ((one, _cell(CODES[one].title if one in CODES else "")) for one in used)
        )


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    for one in findings:
        where = f"{one.place.path}:{one.place.line}" if one.place.line else one.place.path
        yield f"- **{one.code}** {_code(where)} {_cell(one.message)} {_cell(one.hint)}".rstrip()


def _planned(planned: Planned) -> Iterator[str]:
    site = planned.judged.site
    yield f"# {_code(site.id)}"
    yield ""
    yield f"{site.kind} in {_code(f'{site.path}:{site.place.line}')}: {planned.judged.disposition}."
    yield ""
    said = words.needs(planned.needs)
    yield from (f"- reads: {_cell('; '.join(words.reads(site)) or 'nothing outside its arguments')}",)
    yield f"- the step gets: {_cell(', '.join(said)) or 'no resources, image or cache are named'}"
    for reader in site.readers:
        yield f"- read by {_code(reader.task)} through {reader.how} ({_cell(reader.key)})"
    yield ""
    for edited in planned.edits:
        yield from _edited(edited, heading="##")


def _edited(edited: Edited, *, heading: str = "#") -> Iterator[str]:
    plan = edited.plan
    yield f"{heading} {plan.action} {_code(plan.site.id)}: {edited.outcome}"
    yield ""
    if plan.findings:
        yield from (*_findings(plan.findings), "")
    if plan.missing:
        yield from (f"Still to be said: {', '.join(plan.missing)}.", "")
    if edited.diff:
        fence = _fence(edited.diff)
        yield from (f"{fence}diff", edited.diff.replace("\r", "").rstrip("\n"), fence, "")
    if edited.checks:
        yield from _table(
            ("check", "", ""), ((one.name, one.status, _cell(one.detail)) for one in edited.checks)
        )


def _status(status: Status) -> Iterator[str]:
    yield "# Status"
    yield ""
    groups = by_dag([one.judged for one in status.standings])
    standing = {id(one.judged): one for one in status.standings}
    for group in groups:
        yield f"## {_cell(group.dag) or _code(group.path)}"
        yield ""
        yield from _table(
            ("task", "stage", "since", "drift"),
            (
                (
                    _code(words.task(one.site)),
                    str(standing[id(one)].stage),
                    standing[id(one)].when,
                    _cell("; ".join(finding.message for finding in standing[id(one)].drift)),
                )
                for one in group.sites
            ),
        )
    if status.lost:
        yield from ("## In the ledger, and not in the sources", "", *_findings(status.lost), "")


def _rule(rule: RulePage) -> Iterator[str]:
    yield f"## {rule.name}"
    yield ""
    yield _cell(rule.title)
    if rule.text:
        yield from ("", rule.text)
    for one in rule.examples:
        yield from ("", f"{_cell(one.title)}:", "", *_source(one.before))
        yield from ("", "becomes", "", *_source(one.after))
    if rule.refusals:
        yield from ("", f"Refused: {', '.join(rule.refusals)}.")
    yield ""


def _source(text: str) -> Iterator[str]:
    """A block of Python; of plain text where it is none, as in an example of what does not parse."""
    try:
        compile(text, "example", "exec", dont_inherit=True)
        language = "python"
    except (SyntaxError, ValueError):
        language = "text"
    fence = _fence(text)
    yield from (f"{fence}{language}", text.rstrip("\n"), fence)


def _cell(text: str) -> str:
    """*text* as it can stand in a line and a table: no line ends, no markup of its own."""
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """*text* in backticks, which it may hold itself."""
    ticks = _fence(text, shortest=1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}".replace("|", "\\|").replace("\n", " ")


def _fence(text: str, *, shortest: int = 3) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    return "`" * max(shortest, longest + 1)
