"""What many shadow runs say, as one HTML page that needs nothing else: no script, no font, no request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from stepbridge.compare.model import Verdict
from stepbridge.compare.readiness import Readiness, ShadowRun, TaskReadiness
from stepbridge.compare.render import readiness, shared

_STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1d2330; --soft: #667085; --line: #d9dee7; --page: #fff;
  --same: #1a7f4b; --against: #c62f2f; --void: #98a1b0; --control: #7a869a; --candidate: #2962c9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e7eaf0; --soft: #9aa4b5; --line: #363d4a; --page: #14171d;
    --same: #4cc38a; --against: #ff6b6b; --void: #5b6472; --control: #8e99ab; --candidate: #78a6ff;
  }
}
body {
  font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
}
h1 { font-size: 1.4rem; margin-bottom: .2rem; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.verdict { font-weight: 700; }
.same { color: var(--same); }
.against { color: var(--against); }
.void { color: var(--soft); }
.note { color: var(--soft); font-size: .9em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td {
  text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; overflow-wrap: anywhere;
  border-bottom: 1px solid var(--line);
}
th { font-weight: 600; color: var(--soft); }
td:first-child { min-width: 8rem; }
code { font-size: .92em; }
svg { max-width: 100%; height: auto; display: block; margin-bottom: .8rem; }
svg text { fill: var(--soft); font-size: 12px; }
.bar-same { fill: var(--same); }
.bar-against { fill: var(--against); }
.bar-void { fill: var(--void); }
.line-control { stroke: var(--control); }
.line-candidate { stroke: var(--candidate); }
.dot-control { fill: var(--control); }
.dot-candidate { fill: var(--candidate); }
.axis { stroke: var(--line); }
"""
_DRAWN = 60
_WIDTH, _HEIGHT, _LEFT, _STRIP = 720, 150, 70, 34


def page(found: TaskReadiness) -> str:
    """The whole page."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: TaskReadiness) -> Iterator[str]:
    task = escape(f"{found.dag_id}.{found.task_id}")
    ready = found.verdict is Readiness.READY
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{task}: {found.verdict}</title><style>{_STYLE}</style></head><body>"
    tone = "same" if ready else "void" if found.verdict is Readiness.INSUFFICIENT else "against"
    yield f'<h1>{task}: <span class="verdict {tone}">{escape(found.verdict.replace("_", " "))}</span></h1>'
    yield f"<p>{escape(found.rule)}</p>"
    yield f'<p class="note">Next: <code>{escape(readiness.next_step(found))}</code></p>'
    yield from _table((), readiness.about(found))
    drawn = list(reversed(found.runs[:_DRAWN]))
    if drawn:
        yield "<h2>Runs, the oldest first</h2>"
        yield from _strip(drawn)
        yield from _durations(drawn)
        rows = [readiness.run_row(run) for run in found.runs]
        yield from _table(("run", "compared", "verdict", "why"), rows, [_tone(run) for run in found.runs])
    measured = readiness.measured_rows(found)
    if measured:
        yield "<h2>How they ran</h2>"
        yield '<p class="note">Medians over the runs that count; no part of the verdict.</p>'
        yield from _table(("", "control", "candidate", "candidate at most", "ratio"), measured)
    for title, head, cells in (
        ("Let pass by rules", ("rule", "how much", "reason"), readiness.let_rows(found)),
        ("Not compared", ("what", "in", "why"), readiness.left_rows(found)),
        ("Reports that cannot be read", ("report", "why"), [(one.uri, one.why) for one in found.unread]),
    ):
        if cells:
            yield f"<h2>{title}</h2>"
            yield from _table(head, cells)
    yield "</body></html>"


def _tone(run: ShadowRun) -> str:
    return "void" if run.void else "same" if run.verdict.same else "against"


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], tones: Sequence[str] | None = None
) -> Iterator[str]:
    """A table; *tones* colour the third column of each row."""
    if not rows:
        return
    yield '<div class="wide"><table>'
    if head:
        yield "<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"
    for number, row in enumerate(rows):
        cells = [
            f'<td class="{tones[number]}">{escape(cell)}</td>'
            if tones and place == 2
            else f"<td>{escape(cell)}</td>"
            for place, cell in enumerate(row)
        ]
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</table></div>"


def _strip(runs: Sequence[ShadowRun]) -> Iterator[str]:
    """One square for each run."""
    step = (_WIDTH - _LEFT) / max(len(runs), 12)
    tones = [_tone(run) for run in runs]
    said = f"{tones.count('same')} same, {tones.count('against')} not"
    yield f'<svg viewBox="0 0 {_WIDTH} {_STRIP}" role="img" aria-label="verdicts: {said}">'
    yield f'<text x="0" y="{_STRIP / 2 + 4}">verdict</text>'
    for place, run in enumerate(runs):
        title = escape(f"{run.run_id}: {run.verdict}" + (f" ({run.void})" if run.void else ""))
        yield (
            f'<rect class="bar-{_tone(run)}" x="{_LEFT + place * step:.1f}" y="6" width="{step * 0.86:.1f}" '
            f'height="{_STRIP - 12}" rx="2"><title>{title}</title></rect>'
        )
    yield "</svg>"


def _durations(runs: Sequence[ShadowRun]) -> Iterator[str]:
    """The time that both sides took in each run, from zero up."""
    sides = {
        "control": [run.control.seconds if run.control is not None else None for run in runs],
        "candidate": [
            run.candidate.seconds
            if run.candidate is not None and run.verdict is not Verdict.CANDIDATE_FAILED
            else None
            for run in runs
        ],
    }
    highest = max((value for side in sides.values() for value in side if value is not None), default=0.0)
    if not highest:
        return
    step, top, bottom = (_WIDTH - _LEFT) / max(len(runs), 12), 14.0, _HEIGHT - 24.0
    yield f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="durations of control and candidate">'
    yield f'<text x="0" y="{top + 4}">{escape(shared.seconds(highest))}</text>'
    yield f'<text x="0" y="{bottom}">0</text>'
    yield f'<line class="axis" x1="{_LEFT}" y1="{bottom}" x2="{_WIDTH}" y2="{bottom}"/>'
    for number, (name, values) in enumerate(sides.items()):
        points = [
            (
                _LEFT + (place + 0.43) * step,
                bottom - (bottom - top) * value / highest,
                value,
                runs[place].run_id,
            )
            for place, value in enumerate(values)
            if value is not None
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in points)
        yield f'<polyline class="line-{name}" points="{line}" fill="none" stroke-width="1.5"/>'
        for x, y, value, run_id in points:
            title = escape(f"{name}, {run_id}: {shared.seconds(value)}")
            dot = f'<circle class="dot-{name}" cx="{x:.1f}" cy="{y:.1f}" r="3">'
            yield f"{dot}<title>{title}</title></circle>"
        at = _LEFT + number * 110
        yield f'<circle class="dot-{name}" cx="{at + 4}" cy="{_HEIGHT - 8}" r="4"/>'
        yield f'<text x="{at + 14}" y="{_HEIGHT - 4}">{name}</text>'
    yield "</svg>"
