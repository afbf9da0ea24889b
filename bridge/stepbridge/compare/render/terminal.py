"""A report for a terminal or a log: plain text, coloured where asked."""

from __future__ import annotations

from collections.abc import Iterator

from stepbridge.compare.model import Difference, Part, Report, Verdict
from stepbridge.compare.render import shared

_COLOURS = {
    Verdict.IDENTICAL: "32",
    Verdict.EQUIVALENT: "32",
    Verdict.EXPLAINED: "33",
    Verdict.SKIPPED: "33",
    Verdict.DIFFERENT: "31",
    Verdict.INCOMPARABLE: "31",
    Verdict.CANDIDATE_FAILED: "31",
    Verdict.CONTROL_FAILED: "31",
    Verdict.BOTH_FAILED: "31",
    Verdict.TOOL_ERROR: "35",
}
_SAMPLES = 5


def text(report: Report, *, colour: bool = False, samples: int = _SAMPLES) -> str:
    """The report, several lines, with a closing newline."""
    return "\n".join(_lines(report, colour, samples)) + "\n"


def _lines(report: Report, colour: bool, samples: int) -> Iterator[str]:
    yield f"{_verdict(report.verdict, colour)}  {report.rule}"
    subject = report.subject
    if subject.dag_id:
        yield f"  {subject.dag_id}.{subject.control}, run {subject.run_id}, candidate {subject.candidate}"
    else:
        yield f"  control    {subject.control}"
        yield f"  candidate  {subject.candidate}"
    parts = (report.inputs, *report.parts) if report.inputs else report.parts
    for depth, part in shared.walk(tuple(parts)):
        yield from _part(part, "  " * (depth + 1), colour, samples)
    for one in report.unused:
        yield f"  unused: {shared.unused(one)}"
    if report.noise is not None:
        yield f"  noise: {shared.noise(report.noise)}"
        for part in report.noise.parts:
            yield f"    {part.name}: {_verdict(part.verdict, colour)}, {part.rule}"
    rows = shared.run_rows(report.control, report.candidate)
    if rows:
        yield "  how they ran (no part of the verdict)"
        first = max(len(name) for name, _, _ in rows)
        second = max([len("control"), *(len(left) for _, left, _ in rows)])
        yield f"    {'':{first}}  {'control':{second}}  candidate"
        for name, left, right in rows:
            yield f"    {name:{first}}  {left:{second}}  {right}".rstrip()


def _part(part: Part, indent: str, colour: bool, samples: int) -> Iterator[str]:
    yield f"{indent}{part.name}: {_verdict(part.verdict, colour)}, {part.rule}"
    inner = indent + "  "
    yield f"{inner}compared: {shared.covered(part)} ({part.comparator})"
    for fact in part.facts:
        same = fact.control == fact.candidate
        yield f"{inner}{fact.name}: {fact.control}" + ("" if same else f" | {fact.candidate}")
    for column in part.columns:
        if not (column.unequal or column.allowed or column.control_type != column.candidate_type):
            continue
        kind = column.control_type
        if column.candidate_type != kind:
            kind = f"{kind} | {column.candidate_type}"
        apart = "" if column.max_abs is None else f", at most {column.max_abs:g} apart"
        allowed = f", {column.allowed:,} within {column.tolerance or 'tolerance'}" if column.allowed else ""
        yield f"{inner}column {column.name!r} ({kind}): {column.unequal:,} differ{allowed}{apart}"
        for sample in column.samples[:samples]:
            yield f"{inner}  {_difference(sample)}"
    for one in shared.differences(part)[:samples]:
        yield f"{inner}{_difference(one)}"
    if part.total > samples and part.differences:
        least = "" if part.exact else "at least "
        yield f"{inner}... {least}{part.total:,} differences in all"
    for drift in part.drift:
        limit = "" if drift.limit is None else f" (limit {drift.limit:g})"
        moved = f"{drift.measure} {drift.value:g}{limit} {drift.detail}".rstrip()
        yield f"{inner}drift of {drift.column!r}: {moved}"
    for rule in part.relaxations:
        reason = f": {rule.reason}" if rule.reason else ""
        value = f"={rule.value}" if rule.value and not rule.name.endswith(f":{rule.value}") else ""
        yield f"{inner}relaxed by {rule.name}{value}: {rule.allowed:,} let pass{reason}"
    for skipped in part.skipped:
        amount = f" ({skipped.amount:,})" if skipped.amount != 1 else ""
        yield f"{inner}not compared: {skipped.what}{amount}: {skipped.why}"


def _difference(one: Difference) -> str:
    sides = " | ".join("(none)" if side is None else side for side in (one.control, one.candidate))
    detail = f"  {one.detail}" if one.detail else ""
    within = f"  within {one.within}" if one.within else ""
    if one.control is None and one.candidate is None:
        return f"{one.path}: {one.kind}{detail}{within}"
    return f"{one.path}: {one.kind}: {sides}{detail}{within}"


def _verdict(verdict: Verdict, colour: bool) -> str:
    return f"\x1b[1;{_COLOURS[verdict]}m{verdict}\x1b[0m" if colour else str(verdict)
