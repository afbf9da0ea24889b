"""A report as Markdown, for a pull request or a wiki."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from stepbridge.compare.model import Difference, Part, Report
from stepbridge.compare.render import shared

_SAMPLES = 10


def markdown(report: Report, *, samples: int = _SAMPLES) -> str:
    """The report, with a closing newline."""
    return "\n".join(_lines(report, samples)) + "\n"


def _lines(report: Report, samples: int) -> Iterator[str]:
    subject = report.subject
    title = f"{subject.dag_id}.{subject.control}" if subject.dag_id else subject.control
    yield f"## {escaped(title)}: {report.verdict}"
    yield ""
    yield escaped(report.rule)
    yield ""
    about = [("control", subject.control), ("candidate", subject.candidate), ("run", subject.run_id)]
    about += [("logical date", subject.logical_date), ("code", subject.code), ("image", subject.image)]
    yield from table(("", ""), [(name, value) for name, value in about if value])
    parts = (report.inputs, *report.parts) if report.inputs else report.parts
    yield from table(
        ("part", "verdict", "compared", "why"),
        [
            ("\u2003" * depth + part.name, str(part.verdict), shared.covered(part), part.rule)
            for depth, part in shared.walk(tuple(parts))
        ],
    )
    for _, part in shared.walk(tuple(parts)):
        yield from _part(part, samples)
    yield from table(("unused rules",), [(shared.unused(one),) for one in report.unused])
    if report.noise is not None:
        yield f"Noise: {escaped(shared.noise(report.noise))}"
        yield ""
        yield from table(
            ("repeat", "verdict", "why"),
            [(part.name, str(part.verdict), part.rule) for part in report.noise.parts],
        )
    rows = shared.run_rows(report.control, report.candidate)
    if rows:
        yield "How they ran (no part of the verdict):"
        yield ""
        yield from table(("", "control", "candidate"), rows)


def _part(part: Part, samples: int) -> Iterator[str]:
    columns = [column for column in part.columns if column.unequal or column.allowed]
    shown = [*shared.differences(part), *(sample for column in columns for sample in column.samples)]
    if not (shown or part.drift or part.relaxations or part.skipped or part.facts):
        return
    yield f"### {escaped(part.name)}"
    yield ""
    yield from table(("", "control", "candidate"), [(f.name, f.control, f.candidate) for f in part.facts])
    yield from table(
        ("column", "type", "differ", "allowed", "null on one side", "largest difference"),
        [
            (
                one.name,
                one.control_type
                if one.control_type == one.candidate_type
                else f"{one.control_type} | {one.candidate_type}",
                f"{one.unequal:,}",
                f"{one.allowed:,}",
                f"{one.nulls:,}",
                "" if one.max_abs is None else f"{one.max_abs:g}",
            )
            for one in columns
        ],
    )
    yield from table(
        ("where", "what", "control", "candidate", ""), [_row(one) for one in shown[: max(samples, 0)]]
    )
    if part.total > samples and part.differences:
        least = "" if part.exact else "at least "
        yield f"{least}{part.total:,} differences in all."
        yield ""
    yield from table(
        ("drift of", "measure", "value", "limit", ""),
        [
            (
                one.column,
                one.measure,
                f"{one.value:g}",
                "" if one.limit is None else f"{one.limit:g}",
                one.detail,
            )
            for one in part.drift
        ],
    )
    yield from table(
        ("relaxed by", "set to", "let pass", "reason"),
        [(one.name, one.value, f"{one.allowed:,}", one.reason) for one in part.relaxations],
    )
    yield from table(
        ("not compared", "how many", "why"), [(one.what, f"{one.amount:,}", one.why) for one in part.skipped]
    )


def _row(one: Difference) -> tuple[str, ...]:
    detail = "; ".join(text for text in (one.detail, f"within {one.within}" if one.within else "") if text)
    return (one.path, one.kind, one.control or "", one.candidate or "", detail)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table and an empty one; none where there are no rows."""
    rows = list(rows)
    if not rows:
        return
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(escaped(cell) for cell in row) + " |"
    yield ""


def escaped(cell: str) -> str:
    """Text that stays in its cell and is no markup."""
    flat = " ".join(cell.split("\n"))
    for sign in "\\`*_[]<>|#":
        flat = flat.replace(sign, "\\" + sign)
    return flat
