"""Texts of several lines compared line by line, with the place of each difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from stepbridge.compare.alignment import Steps, aligned, relaxed
from stepbridge.compare.base import Side
from stepbridge.compare.model import Difference, Fact, Part
from stepbridge.compare.rules import Compare
from stepbridge.compare.tally import Tally, shown
from stepbridge.compare.unused import Named, unused

_ALIGNED = 20_000
"""Lines up to which insertions are found; longer texts are compared line against line."""
_LARGEST = 64 << 20
"""Bytes up to which a file is read as text; larger ones are compared by their bytes."""
_SHOWN = 400
"""Characters of a line that a report keeps."""
_ENDINGS = frozenset(
    {".txt", ".log", ".md", ".sql", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".xml", ".html"}
)
_NORMAL: Steps = (
    ("line-endings", lambda line: line.rstrip("\r\n")),
    ("whitespace", lambda line: " ".join(line.split())),
    ("text-case", str.casefold),
)


class TextComparator:
    """Two texts: plain values with line breaks, or files that are UTF-8 text by name and content."""

    name = "text"

    def takes(self, control: Side, candidate: Side) -> bool:
        """Two strings of which one has several lines, or two text files."""
        if control.path is None and candidate.path is None:
            values = (control.value, candidate.value)
            return all(isinstance(one, str) for one in values) and any("\n" in one for one in values)
        return all(one.path is not None and _is_text_file(one.path) for one in (control, candidate))

    def compare(self, control: Side, candidate: Side, rules: Compare, name: str) -> Part:
        """Compare line by line; line endings, spaces and case count unless relaxed."""
        a, b = _lines(control), _lines(candidate)
        tally = Tally(rules)
        tally.facts.append(Fact("lines", f"{len(a):,}", f"{len(b):,}"))
        equal = frozenset(rules.equal)
        for i, j in aligned(a, b, most=_ALIGNED, mark=_mark(equal)):
            tally.compared += 1
            _line(tally, i, j, a, b, equal)
        part = tally.part(name, self.name, unit="lines", of=max(len(a), len(b), tally.compared))
        return replace(part, unused=unused(rules, Named(leads=("line ",))))


def _is_text_file(path: Path) -> bool:
    if path.suffix.lower() not in _ENDINGS or not path.is_file() or path.stat().st_size > _LARGEST:
        return False
    try:
        path.read_text("utf-8")
    except (UnicodeDecodeError, OSError):
        return False
    return True


def _lines(side: Side) -> list[str]:
    text = side.value if side.path is None else side.path.read_bytes().decode("utf-8")
    return [line for line in text.replace("\r\n", "\r\n\0").replace("\n", "\n\0").split("\0") if line]


def _line(
    tally: Tally, i: int | None, j: int | None, a: Sequence[str], b: Sequence[str], equal: frozenset[str]
) -> None:
    if i is None or j is None:
        line, kind = (b[j], "extra") if j is not None else (a[i or 0], "missing")
        place = f"line {(j if j is not None else i or 0) + 1}"
        sides = (None, shown(line)) if kind == "extra" else (shown(line), None)
        tally.differ(Difference(place, kind, *sides))
        return
    if a[i] == b[j]:
        return
    used = relaxed(a[i], b[j], equal, _NORMAL)
    if used:
        tally.allow(f"equal:{used}")
        return
    place = f"line {i + 1}" if i == j else f"line {i + 1} ({j + 1})"
    column = next((n for n, (x, y) in enumerate(zip(a[i], b[j], strict=False)) if x != y), None)
    at = min(len(a[i]), len(b[j])) if column is None else column
    left, right = (shown(repr(line), _SHOWN) for line in (a[i], b[j]))
    tally.differ(Difference(place, "value", left, right, f"from column {at + 1}"))


def _mark(equal: frozenset[str]) -> Callable[[str], str]:
    """What a line is aligned by: its text as the relaxations leave it."""
    steps = [normal for name, normal in _NORMAL if name in equal]

    def mark(line: str) -> str:
        for step in steps:
            line = step(line)
        return line

    return mark
