"""One comparison of two opened tables: the way rows are matched, and the verdict that follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stepbridge.compare.base import Side
from stepbridge.compare.model import Difference, Drift, Part, Skipped, Unused
from stepbridge.compare.rules import Compare
from stepbridge.compare.tables import matching, summary
from stepbridge.compare.tables.aligned import compare_in_place
from stepbridge.compare.tables.drift import measure
from stepbridge.compare.tables.pairing import Pair, Pairing, lacking, pair
from stepbridge.compare.tables.source import Field, Source
from stepbridge.compare.tables.tally import Tally
from stepbridge.compare.tables.wire import type_name
from stepbridge.compare.unused import of_table

_FILE = "stepbridge.File"


@dataclass
class Found:
    """What is known so far.

    :param schema: differences of the schemas, allowed ones too.
    :param rows: samples of rows of one side only, and of keys that repeat.
    :param missing: rows that only the control has.
    :param order: the relaxation by which another order of rows was allowed; empty where the order is equal.
    :param why: why the rows cannot be compared; empty where they were.
    :param matched: rows were matched, so that distributions need not be looked at.
    """

    schema: list[Difference] = field(default_factory=list)
    rows: list[Difference] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    allowed: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    extra: int = 0
    compared: int = 0
    of: int = 0
    order: str = ""
    why: str = ""
    matched: bool = True


class Comparison:
    """Two opened tables and the rules by which they are compared.

    :param unfit: columns, by their place in the control, whose values have no common type, and why.
    """

    def __init__(
        self,
        control: Source,
        candidate: Source,
        sides: tuple[Side, Side],
        rules: Compare,
        name: str,
        folder: Path,
        unfit: dict[int, str],
    ) -> None:
        self.control, self.candidate = control, candidate
        self.rules, self.name, self.folder, self.sides = rules, name, folder, sides
        self.pairing = _without(pair(control, candidate, rules), unfit)
        self.pairs = [one for one in self.pairing.pairs if _usable(one)]
        self.tally = Tally(self.pairs, rules)
        self.found = Found(list(self.pairing.differences))
        self._unfit = unfit

    def part(self) -> Part:
        """Compare everything and say what was found.

        :raises Unfit: where a column's values turn out to have no common type.
        """
        self._types()
        self._missing_as_null()
        self._skip_columns()
        if self.rules.key:
            matching.by_key(self)
        elif self.rules.unordered:
            matching.as_multiset(self)
        elif self.control.rows == self.candidate.rows:
            self.in_place()
        else:
            self._other_counts()
        found = self.found
        for one in found.schema:
            if one.within:
                found.allowed[one.within] += 1
        found.allowed.update(self.tally.allowed)
        if found.order:
            found.allowed[found.order] += 1
        self._digests()
        drift: tuple[Drift, ...] = ()
        if self.rules.drift and not found.matched:
            drift = measure(self.control, self.candidate, self.pairs)
        return replace(
            summary.part(self, drift), unused=unused_rules(self.rules, self.control, self.candidate)
        )

    def in_place(self, keys: Sequence[int] = ()) -> None:
        """Compare all rows where they are; *keys* are the places of the key's columns."""
        rows = self.control.rows
        if self.pairs:
            compare_in_place(self.control, self.candidate, self.tally, keys=keys)
        self.found.of = rows
        self.found.compared = rows if self.shared else 0

    @property
    def shared(self) -> bool:
        """Whether there is a column on both sides, or on none; else no row can be compared."""
        return bool(self.pairing.pairs) or not (self.control.fields or self.candidate.fields)

    @property
    def hard(self) -> int:
        """Differences that nothing allows."""
        schema = sum(1 for one in self.found.schema if not one.within)
        return schema + self.tally.cells + self.found.missing + self.found.extra

    def _types(self) -> None:
        mine, other = (side.type for side in self.sides)
        if mine != other and _FILE not in (mine, other):
            self.found.schema.append(
                Difference("type", "type", mine, other, "the tables are of two libraries")
            )

    def _missing_as_null(self) -> None:
        """Columns of one side that are null in every row, where that is allowed."""
        for side, one in self.pairing.missing_is_null:
            source = self.control if side == "control" else self.candidate
            empty = _all_null(source, one)
            within = "equal:missing-is-null" if empty else ""
            self.found.schema.append(lacking(side, one, self.rules, within))

    def _skip_columns(self) -> None:
        rows = max(self.control.rows, self.candidate.rows)
        if rows and not self.shared:
            self.found.skipped.append(Skipped("rows", "no column is on both sides", rows))
        for one in self.pairing.pairs:
            if one.wire is None:
                why = self._unfit.get(one.control.at) or (
                    f"{one.control.text} and {one.candidate.text} have no type in common"
                )
                self.found.skipped.append(Skipped(f"column {one.name!r}", why, rows))

    def _other_counts(self) -> None:
        """Without a key there is no telling which rows are gone: say where the sides part."""
        control, candidate, found = self.control.rows, self.candidate.rows, self.found
        shorter = min(control, candidate)
        probe = Tally(self.pairs, replace(self.rules, samples=1))
        seen = (
            compare_in_place(self.control, self.candidate, probe, until_first=True) if self.pairs else shorter
        )
        found.missing, found.extra = max(control - candidate, 0), max(candidate - control, 0)
        found.of = max(control, candidate)
        found.matched = False
        kind = "missing" if control > candidate else "extra"
        at = f"[{shorter}]"
        detail = "all rows before it are equal"
        if probe.rows or probe.near:
            first = _first(self, seen)
            at, detail = f"[{first}]", "the sides differ from this row on"
        rows = f"{control:,} rows", f"{candidate:,} rows"
        found.rows.append(Difference(at, kind if "all rows" in detail else "length", *rows, detail))
        found.skipped.append(
            Skipped("rows", "the numbers of rows differ and no key says which belong together", found.of)
        )

    def _digests(self) -> None:
        """Both digests are known and differ: then something does, also where none of the above saw it."""
        mine, other = self.sides
        known = bool(mine.content and other.content) and mine.type == other.type != _FILE
        if known and not (self.hard or self.found.allowed or self.found.why or self.found.skipped):
            self.found.schema.append(
                Difference(
                    "digest",
                    "value",
                    mine.content[:19],
                    other.content[:19],
                    "the canonical digests differ, in what no cell and no type shows: "
                    "which objects stand for missing values, labels, attributes",
                )
            )


def unused_rules(rules: Compare, control: Source, candidate: Source) -> tuple[Unused, ...]:
    """Rules that match no column of either side."""
    fields = [*control.fields, *candidate.fields]
    kinds = [type_name(one.kind) for one in fields]
    return of_table(rules, [one.name for one in fields], kinds, [*control.about, *candidate.about])


def _first(one: Comparison, rows: int) -> int:
    """The first row, below *rows*, that differs in any way."""
    from stepbridge.compare.tables.aligned import side_by_side
    from stepbridge.compare.tables.cells import compare_cells

    start = 0
    for lefts, rights in side_by_side(one.control, one.candidate, one.pairs):
        found: Any = None
        for each, left, right in zip(one.pairs, lefts, rights, strict=True):
            codes = compare_cells(left, right, each.rule).codes != 0
            found = codes if found is None else found | codes
        if found is not None and found.any():
            return start + int(found.argmax())
        start += len(lefts[0])
    return rows


def _without(pairing: Pairing, unfit: dict[int, str]) -> Pairing:
    pairs = tuple(replace(one, wire=None) if one.control.at in unfit else one for one in pairing.pairs)
    return replace(pairing, pairs=pairs)


def _usable(one: Pair) -> bool:
    """Its cells can be compared, and can differ."""
    import pyarrow.types as t

    return one.wire is not None and not t.is_null(one.wire.type)


def _all_null(source: Source, one: Field) -> bool:
    return all(arrays[0].null_count == len(arrays[0]) for arrays in source.batches([one.at]))
