"""What many shadow runs say, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stepbridge.compare.model import Verdict
from stepbridge.compare.readiness import Measured, Readiness, ShadowRun, TaskReadiness
from stepbridge.compare.render import shared
from stepbridge.compare.render.markdown import escaped, table

_COLOURS = {
    Readiness.READY: "32",
    Readiness.INSUFFICIENT: "33",
    Readiness.NOT_READY: "31",
    Readiness.REGRESSED: "31",
}
_RUNS = 20
_LEFT = 10
_DIGITS = 12


def text(found: TaskReadiness, *, colour: bool = False) -> str:
    """Several lines with a closing newline."""
    return "\n".join(line.rstrip() for line in _text(found, colour)) + "\n"


def markdown(found: TaskReadiness) -> str:
    """A section with tables, with a closing newline."""
    return "\n".join(_markdown(found)) + "\n"


def next_step(found: TaskReadiness) -> str:
    """What to do now."""
    task = f"{found.dag_id}.{found.task_id}"
    last = next((run for run in found.runs if not run.void and not run.verdict.same), None)
    if found.verdict is Readiness.READY:
        return f"migrate cutover {task}"
    if found.verdict is Readiness.INSUFFICIENT:
        return "let the DAG run on; `--runs`, `--days` and `--any-code` ask for less"
    if last is not None and last.verdict is Verdict.CANDIDATE_FAILED:
        return f"read the candidate's log: {last.candidate.record if last.candidate else last.uri}"
    return f"read what differs: {last.uri if last else ''}"


def about(found: TaskReadiness) -> list[tuple[str, str]]:
    """Which candidate is judged, and by what."""
    counted = sum(not run.void for run in found.runs)
    rows = [
        ("code", found.code[:_DIGITS] + (" and all others" if found.bar.any_code else "")),
        ("image", found.image),
        ("runs", f"{counted} that count, {len(found.runs) - counted} that do not"),
        ("older runs", f"{found.earlier} were not read; --newest reads more" if found.earlier else ""),
    ]
    return [(name, value) for name, value in rows if value]


def measured_rows(found: TaskReadiness) -> list[tuple[str, str, str, str, str]]:
    """``(what, control, candidate, the candidate's largest, ratio)`` for each measure."""
    return [
        (
            one.name,
            _amount(one.control, one.unit),
            _amount(one.candidate, one.unit),
            _amount(one.highest, one.unit),
            _ratio(one),
        )
        for one in found.measured
    ]


def run_row(run: ShadowRun) -> tuple[str, str, str, str]:
    """``(run, when it was compared, verdict, why)``."""
    why = f"does not count: {run.void}" if run.void else run.rule
    reports = f" ({run.reports} reports)" if run.reports > 1 else ""
    return run.run_id + reports, run.created[:16].replace("T", " "), str(run.verdict), why


def let_rows(found: TaskReadiness) -> list[tuple[str, str, str]]:
    """``(rule, what it let pass, reason)`` for each rule that let differences pass."""
    return [
        (
            f"{one.name}={one.value}" if one.value and not one.name.endswith(f":{one.value}") else one.name,
            f"{one.allowed:,} differences in {_runs(one.runs)}",
            one.reason,
        )
        for one in found.let
    ]


def left_rows(found: TaskReadiness) -> list[tuple[str, str, str]]:
    """``(what, in how many runs, why)`` for what was not compared."""
    rows = [(one.what, _runs(one.runs), one.why) for one in found.left[:_LEFT]]
    more = len(found.left) - len(rows)
    return [*rows, *([("...", f"{more} more", "")] if more else [])]


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count:,} runs"


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "seconds":
        return shared.seconds(value)
    return shared.size(round(value)) if unit == "bytes" else f"{value:g}"


def _ratio(one: Measured) -> str:
    if not one.control or one.candidate is None:
        return ""
    return f"{one.candidate / one.control:.2f}"


def _text(found: TaskReadiness, colour: bool) -> Iterator[str]:
    said = str(found.verdict)
    shown = f"\x1b[1;{_COLOURS[found.verdict]}m{said}\x1b[0m" if colour else said
    yield f"{found.dag_id}.{found.task_id}: {shown}  {found.rule}"
    for name, value in about(found):
        yield f"  {name:<10}  {value}"
    yield from _columns("runs, the newest first", [run_row(run) for run in found.runs[:_RUNS]])
    if len(found.runs) > _RUNS:
        yield f"    ... {len(found.runs) - _RUNS} more; --format json has all"
    rows = measured_rows(found)
    if rows:
        head = ("", "control", "candidate", "at most", "ratio")
        yield from _columns("how they ran: medians, no part of the verdict", [head, *rows])
    yield from _columns("let pass by rules", let_rows(found))
    yield from _columns("not compared", left_rows(found))
    for one in found.unread:
        yield f"  cannot be read: {one.uri}: {one.why}"
    yield f"  next: {next_step(found)}"


def _columns(title: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if not rows:
        return
    yield f"  {title}"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "    " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))


def _markdown(found: TaskReadiness) -> Iterator[str]:
    yield f"## {escaped(f'{found.dag_id}.{found.task_id}')}: {found.verdict.replace('_', ' ')}"
    yield ""
    yield escaped(found.rule)
    yield ""
    yield from table(("", ""), about(found))
    yield from table(("run", "compared", "verdict", "why"), [run_row(run) for run in found.runs])
    yield from table(
        ("how they ran (medians, no part of the verdict)", "control", "candidate", "at most", "ratio"),
        measured_rows(found),
    )
    yield from table(("let pass by", "how much", "reason"), let_rows(found))
    yield from table(("not compared", "in", "why"), left_rows(found))
    yield from table(("cannot be read", "why"), [(one.uri, one.why) for one in found.unread])
    yield f"Next: {escaped(next_step(found))}"
