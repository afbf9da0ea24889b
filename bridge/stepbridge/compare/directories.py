"""Two directory trees: what was added, removed and changed, and each changed file by its own reader."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from stepbridge.compare.base import Side
from stepbridge.compare.files import JSON, compare_bytes, same_bytes
from stepbridge.compare.ignoring import rule_to_ignore
from stepbridge.compare.model import Difference, Fact, Part, Skipped, Verdict, worst
from stepbridge.compare.rules import Compare
from stepbridge.compare.tally import Tally
from stepbridge.compare.trees import Entry, entries
from stepbridge.failures import StepbridgeError

_KEPT = 200
"""Changed files whose parts the report holds; all of them are compared and counted."""


class DirectoryComparator:
    """Two directories."""

    name = "directory"

    def takes(self, control: Side, candidate: Side) -> bool:
        """Two payloads that are directories."""
        return all(one.path is not None and one.path.is_dir() for one in (control, candidate))

    def compare(self, control: Side, candidate: Side, rules: Compare, name: str) -> Part:
        """Compare two trees; times and permissions do not count.

        Equal digests, which artifacts carry and a fetch has verified, end it early.
        """
        if control.path is None or candidate.path is None:
            raise TypeError("a directory side has no payload")
        if (
            control.content
            and not rules.metrics
            and (control.type, control.content) == (candidate.type, candidate.content)
        ):
            return _equal_trees(control.path, name)
        return _Trees(control.path, candidate.path, rules, name).part()


def _equal_trees(root: Path, name: str) -> Part:
    """The part of two trees whose digests, over every path and every file's bytes, are equal."""
    count = sum(1 for _ in entries(root))
    rule = f"the digests of both trees are equal: {count:,} entries" if count else "both are empty: no files"
    return Part(
        name, DirectoryComparator.name, Verdict.IDENTICAL, rule, compared=count, of=count, unit="entries"
    )


class _Trees:
    def __init__(self, control: Path, candidate: Path, rules: Compare, name: str) -> None:
        self._roots = control, candidate
        self._rules = rules
        self._name = name
        self._tally = Tally(rules)
        self._left, self._right = (dict(sorted(entries(root))) for root in self._roots)
        self._equal = 0
        self._kinds: Counter[str] = Counter()

    def part(self) -> Part:
        """The part of the whole."""
        changed: list[Part] = []
        verdicts: Counter[Verdict] = Counter()
        names = sorted({*self._left, *self._right})
        for path in names:
            self._tally.compared += 1
            part = self._entry(path)
            if part is None:
                continue
            if part.verdict is Verdict.IDENTICAL:
                self._equal += 1
            else:
                verdicts[part.verdict] += 1
            if len(changed) < _KEPT:
                changed.append(part)
        if sum(verdicts.values()) > _KEPT:
            self._tally.facts.append(Fact("changed files shown", f"{_KEPT}", f"{sum(verdicts.values()):,}"))
        return self._whole(changed, verdicts, len(names))

    def _entry(self, path: str) -> Part | None:
        """The part of a file that changed; None for what is equal, or was noted as a difference."""
        left, right = self._left.get(path), self._right.get(path)
        if left is None or right is None:
            there, kind = (right, "extra") if left is None else (left, "missing")
            said = _said(there) if there else ""
            sides = (None, said) if kind == "extra" else (said, None)
            self._differ(Difference(path, kind, *sides))
            return None
        if left.kind != right.kind or (left.kind == "link" and left.target != right.target):
            self._differ(Difference(path, "type", _said(left), _said(right)))
            return None
        if left.kind == "other":
            self._tally.compared -= 1
            self._tally.skipped.append(Skipped(path, "it is no file and no folder"))
            return None
        files = [root / path for root in self._roots]
        if left.kind != "file" or same_bytes(files[0], files[1]):
            self._equal += 1
            return self._metrics(path, files)
        ignored = rule_to_ignore(self._rules, path)
        if ignored is not None:
            self._tally.ignored[(ignored.path, ignored.reason)] += 1
            return None
        return self._read(path, files)

    def _metrics(self, path: str, files: list[Path]) -> Part | None:
        """The part of an unchanged file that metrics are read from: a rule may ask for more than before."""
        if not self._rules.metrics or files[0].suffix.lower() not in JSON:
            return None
        part = self._read(path, files)
        if part.comparator != "metrics":
            return None
        self._equal -= 1  # it is counted again by its verdict
        return part

    def _differ(self, one: Difference) -> None:
        before = self._tally.real
        self._tally.differ(one)
        if self._tally.real > before:
            self._kinds[one.kind] += 1

    def _read(self, path: str, files: list[Path]) -> Part:
        from stepbridge.compare import registry

        sides = [Side(path, "stepbridge.File", path=one) for one in files]
        inner = f"{self._name}/{path}"
        reader = registry.choose(sides[0], sides[1], self._rules)
        if reader is None:
            return compare_bytes(files[0], files[1], self._rules, inner)
        try:
            return reader.compare(sides[0], sides[1], self._rules, inner)
        except StepbridgeError as error:
            part = compare_bytes(files[0], files[1], self._rules, inner)
            return replace(part, facts=(*part.facts, Fact(f"not read as {reader.name}", str(error), "")))

    def _whole(self, changed: list[Part], verdicts: Counter[Verdict], count: int) -> Part:
        tally = self._tally
        counts = [sum(one.kind == "file" for one in side.values()) for side in (self._left, self._right)]
        tally.facts.append(Fact("files", f"{counts[0]:,}", f"{counts[1]:,}"))
        rule = "" if count else "both are empty: no files"
        if tally.real or verdicts:
            alike = sum(count for one, count in verdicts.items() if one.same)
            rule = _counted(
                (self._kinds["extra"], "added"),
                (self._kinds["missing"], "removed"),
                (self._kinds["type"], "of another kind"),
                (sum(verdicts.values()) - alike, "changed"),
                (alike, "changed within the rules"),
                (sum(tally.ignored.values()), "ignored"),
                (self._equal, "equal"),
            )
        part = tally.part(self._name, DirectoryComparator.name, unit="entries", of=count, rule=rule)
        return replace(
            part,
            verdict=worst([part.verdict, *verdicts]),
            total=part.total + sum(count for one, count in verdicts.items() if not one.same),
            parts=tuple(changed),
        )


def _counted(*counts: tuple[int, str]) -> str:
    return ", ".join(f"{count:,} {what}" for count, what in counts if count)


def _said(entry: Entry) -> str:
    if entry.kind == "link":
        return f"link to {entry.target}"
    return f"file of {entry.size:,} bytes" if entry.kind == "file" else entry.kind
