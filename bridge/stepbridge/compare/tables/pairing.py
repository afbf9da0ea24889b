"""Which column is compared with which, how, and what differs between the two schemas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from stepbridge.compare.ignoring import masked, reason_to_ignore, setting_for
from stepbridge.compare.model import Difference
from stepbridge.compare.rules import Compare, Ignore, Tolerance
from stepbridge.compare.tables.cells import CellRule
from stepbridge.compare.tables.source import ARROW, Field, Source
from stepbridge.compare.tables.wire import Wire, castable, logical, type_name, wire_of

_CELL_RULES = (
    "nan-is-null",
    "negative-zero",
    "line-endings",
    "whitespace",
    "text-case",
)


@dataclass(frozen=True)
class Pair:
    """One column of both sides.

    :param wire: how its cells are compared; None where the two types have nothing in common.
    :param within: the relaxation that allows every difference of its cells: ``ignore:GLOB``, ``equal:index``.
    :param tolerance: as people read it.
    :param source: the name of the rule that gives the tolerance: ``rtol``, ``tolerance:score``.
    """

    name: str
    control: Field
    candidate: Field
    wire: Wire | None
    rule: CellRule
    within: str = ""
    masked: bool = False
    tolerance: str = ""
    source: str = ""


@dataclass(frozen=True)
class Pairing:
    """What two schemas have in common, and what not.

    :param differences: of the schemas; ``within`` names the relaxation of those that are allowed.
    :param missing_is_null: columns of one side only, which may be allowed where they hold nulls only.
    """

    pairs: tuple[Pair, ...]
    differences: tuple[Difference, ...] = ()
    missing_is_null: tuple[tuple[str, Field], ...] = ()


def pair(control: Source, candidate: Source, rules: Compare) -> Pairing:
    """Match columns by name, index levels by place."""
    found: list[Difference] = []
    pairs: list[Pair] = []
    mine, others = _named(control.columns, rules), _named(candidate.columns, rules)
    if _series(control) and _series(candidate) and mine.keys() != others.keys():
        found.append(_schema("name", control.columns[0].name, candidate.columns[0].name, rules))
        others = dict(zip(mine, others.values(), strict=True))
    for key, one in mine.items():
        if key not in others:
            continue
        other = others[key]
        if one.name != other.name and not _series(control):
            found.append(_schema(one.name, one.name, other.name, rules, "name-case"))
        made, differences = _pair(one.name, one, other, rules)
        pairs.append(made)
        found += differences
    nullable = _alone(mine, others, rules, found)
    found += _order(mine, others, rules)
    levels, differences = _index(control, candidate, rules)
    found += differences
    found += [
        _schema(name, text, candidate.about[name], rules, "metadata")
        for name, text in control.about.items()
        if name in candidate.about and text != candidate.about[name]
    ]
    return Pairing((*pairs, *levels), tuple(found), tuple(nullable))


def _series(source: Source) -> bool:
    return "series" in source.about


_Key = tuple[str, int]


def _named(fields: Iterable[Field], rules: Compare) -> dict[_Key, Field]:
    """Fields by name and by the how-manyeth of that name; names folded where case does not count."""
    found: dict[_Key, Field] = {}
    exact = "name-case" not in rules.equal
    fields = list(fields)
    folded = [one.name if exact else one.name.casefold() for one in fields]
    for n, one in enumerate(fields):
        found[folded[n], folded[:n].count(folded[n])] = one
    return found


def _alone(
    mine: dict[_Key, Field], others: dict[_Key, Field], rules: Compare, found: list[Difference]
) -> list[tuple[str, Field]]:
    """Columns that one side lacks; where null may stand for that, their nulls have to be counted first."""
    nullable: list[tuple[str, Field]] = []
    for side, have, lack in (("control", mine, others), ("candidate", others, mine)):
        for key, one in have.items():
            if key in lack:
                continue
            if "missing-is-null" in rules.equal and not _ignored(rules, one.name):
                nullable.append((side, one))
            else:
                found.append(lacking(side, one, rules))
    return nullable


def lacking(side: str, one: Field, rules: Compare, within: str = "") -> Difference:
    """The difference that is a column of one side only."""
    within = within or _ignored(rules, one.name)
    if side == "control":
        return Difference(one.name, "missing", one.text, None, "the candidate has no such column", within)
    return Difference(one.name, "extra", None, one.text, "only the candidate has this column", within)


def _order(mine: dict[_Key, Field], others: dict[_Key, Field], rules: Compare) -> list[Difference]:
    first = [key for key in mine if key in others]
    second = [key for key in others if key in mine]
    if first == second:
        return []
    at = next(n for n, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
    within = _given("column-order", rules)
    detail = f"the columns are in another order from column {at} on"
    return [Difference("columns", "order", mine[first[at]].name, others[second[at]].name, detail, within)]


def _schema(path: str, control: str, candidate: str, rules: Compare, relaxation: str = "") -> Difference:
    within = _given(relaxation, rules) or _ignored(rules, path)
    return Difference(path, "schema", control or "none", candidate or "none", "", within)


def _given(relaxation: str, rules: Compare) -> str:
    return f"equal:{relaxation}" if relaxation in rules.equal else ""


def _ignored(rules: Compare, name: str) -> str:
    rule = ignoring(rules, name)
    return f"ignore:{rule.path}" if rule else ""


def ignoring(rules: Compare, name: str) -> Ignore | None:
    """The rule in force that ignores the column."""
    for rule in rules.ignore:
        if reason_to_ignore(replace(rules, ignore=(rule,)), name) is not None:
            return rule
    return None


def _index(control: Source, candidate: Source, rules: Compare) -> tuple[list[Pair], list[Difference]]:
    """The levels of both indexes; a range on one side only is made into a column first."""
    own = _given("index", rules)
    pairs: list[Pair] = []
    found: list[Difference] = []
    if not _indexed(control) or not _indexed(candidate):
        found += _one_index(control, "missing", own) + _one_index(candidate, "extra", own)
        return pairs, found
    if control.range and candidate.range:
        if control.range != candidate.range:
            shown = _range_text(control.range), _range_text(candidate.range)
            found.append(Difference("index", "schema", shown[0], shown[1], "", own))
        return pairs, found
    mine, others = control.levels, candidate.levels
    if len(mine) != len(others):
        counts = f"{len(mine)} levels", f"{len(others)} levels"
        return pairs, [Difference("index", "schema", counts[0], counts[1], "", own)]
    for level, (one, other) in enumerate(zip(mine, others, strict=True)):
        name = "index" if len(mine) == 1 else f"index level {level}"
        if one.name != other.name:
            found.append(Difference(name, "schema", one.name, other.name, "the names differ", own))
        made, differences = _pair(one.name if one.name != "index" else name, one, other, rules)
        pairs.append(replace(made, within=made.within or own))
        found += [replace(one, within=one.within or own) for one in differences]
    return pairs, found


def _indexed(source: Source) -> bool:
    return bool(source.range or source.levels)


def _one_index(source: Source, kind: str, within: str) -> list[Difference]:
    """An index that the other side has not: no difference where it only counts rows."""
    if source.range in {(0, 1, ""), None} and not source.levels:
        return []
    text = _range_text(source.range) if source.range else ", ".join(one.name for one in source.levels)
    mine, other = (text, None) if kind == "missing" else (None, text)
    return [Difference("index", kind, mine, other, "only one side has an index", within)]


def _range_text(given: tuple[int, int, str] | None) -> str:
    start, step, name = given or (0, 1, "")
    return f"range from {start} by {step}" + (f" named {name!r}" if name else "")


def _pair(name: str, one: Field, other: Field, rules: Compare) -> tuple[Pair, list[Difference]]:
    kind, relaxation = common(one.kind, other.kind)
    found = []
    text = one.text, other.text
    ignored = _ignored(rules, name)
    if logical(one.kind) != logical(other.kind):
        within = _given(relaxation, rules) or ignored
        found.append(Difference(name, "type", *text, _unit(one.kind, other.kind), within))
    elif _families(one, other):
        relaxation = _family_relaxation(one, other)
        within = _given(relaxation, rules) or ignored
        detail = "the categories differ" if text[0] == text[1] else ""
        found.append(Difference(name, "type", *text, detail, within))
    wire = wire_of(kind) if kind is not None else None
    if wire is not None and not (_reaches(one.kind, wire) and _reaches(other.kind, wire)):
        wire = None
    tolerance, source = _tolerance(name, one.kind, wire, rules)
    rule = CellRule(
        tolerance,
        tuple(given for given in _CELL_RULES if given in rules.equal),
        wire.scale if wire else 0.0,
    )
    hidden = masked(rules, name)
    made = Pair(name, one, other, wire, rule, ignored, hidden, _tolerance_text(tolerance), source)
    return made, found


def _reaches(kind: Any, wire: Wire) -> bool:
    plain = logical(kind)
    return bool(plain == wire.kind or castable(plain, wire.kind))


def _unit(one: Any, other: Any) -> str:
    import pyarrow.types as t

    if t.is_timestamp(one) and t.is_timestamp(other):
        return "the unit differs" if one.tz == other.tz else "the zone differs"
    return ""


def _families(one: Field, other: Field) -> bool:
    if one.family is None or other.family is None:
        return False
    if one.family.startswith(ARROW) != other.family.startswith(ARROW):
        return False
    if ("#" in one.family) != ("#" in other.family):
        return one.family.partition(" #")[0] != other.family.partition(" #")[0]
    return one.family != other.family


def _family_relaxation(one: Field, other: Field) -> str:
    families = f"{one.family} {other.family}"
    return "category-is-text" if "categor" in families or "dictionary" in families else "nan-is-null"


def common(one: Any, other: Any) -> tuple[Any, str]:
    """The type in which cells of two types are compared, and the relaxation under which they may be equal.

    None where they have nothing in common.
    """
    import pyarrow as pa
    import pyarrow.types as t

    a, b = logical(one), logical(other)
    if a == b:
        return a, ""
    if t.is_null(a) or t.is_null(b):
        return (b if t.is_null(a) else a), "nan-is-null"
    if t.is_integer(a) and t.is_integer(b):
        mixed = t.is_unsigned_integer(a) != t.is_unsigned_integer(b) and 64 in (a.bit_width, b.bit_width)
        unsigned = t.is_unsigned_integer(a) and t.is_unsigned_integer(b)
        return (pa.decimal128(20, 0) if mixed else pa.uint64() if unsigned else pa.int64()), "width"
    if _number(a) and _number(b):
        return _numbers(a, b)
    if t.is_timestamp(a) and t.is_timestamp(b):
        return _stamps(a, b)
    for test, make in ((t.is_duration, pa.duration), (t.is_time, pa.time64)):
        if test(a) and test(b):
            return make(_finer(a.unit, b.unit, least="us" if make is pa.time64 else "s")), "time-unit"
    if _binary(a) and _binary(b):
        return pa.large_binary(), "width"
    if t.is_large_list(a) and t.is_large_list(b):
        inner, relaxation = common(a.value_type, b.value_type)
        return (None if inner is None else pa.large_list(inner)), relaxation
    return None, ""


def _binary(kind: Any) -> bool:
    import pyarrow.types as t

    return bool(t.is_large_binary(kind) or t.is_fixed_size_binary(kind))


def _number(kind: Any) -> bool:
    import pyarrow.types as t

    return bool(t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind))


def _numbers(a: Any, b: Any) -> tuple[Any, str]:
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_decimal(a) and t.is_decimal(b):
        scale = max(a.scale, b.scale)
        whole = max(a.precision - a.scale, b.precision - b.scale)
        return (pa.decimal256(min(whole + scale, 76), scale) if whole + scale > 38 else
                pa.decimal128(whole + scale, scale)), "width"  # fmt: skip
    if t.is_decimal(a) or t.is_decimal(b):
        return pa.float64(), "decimal-is-float"
    if t.is_floating(a) and t.is_floating(b):
        return pa.float64(), "width"
    return pa.float64(), "int-is-float"


def _stamps(a: Any, b: Any) -> tuple[Any, str]:
    import pyarrow as pa

    unit = _finer(a.unit, b.unit)
    if a.tz == b.tz:
        return pa.timestamp(unit, a.tz), "time-unit"
    return pa.timestamp(unit, "UTC"), "time-zone"


def _finer(a: str, b: str, least: str = "s") -> str:
    units = ["s", "ms", "us", "ns"]
    return max(a, b, least, key=units.index)


def _tolerance(name: str, kind: Any, wire: Wire | None, rules: Compare) -> tuple[Tolerance | None, str]:
    """By column, else by dtype, else the general one, which is for floats only; and that rule's name."""
    import pyarrow.types as t

    if wire is None or wire.text:
        return None, ""
    own = setting_for(rules.columns, name)
    if own is not None:
        return own, f"tolerance:{name}"
    inner = wire.type
    while t.is_large_list(inner):
        inner = inner.value_type
    dtype = type_name(kind)
    if dtype in rules.dtypes:
        return rules.dtypes[dtype], f"tolerance:{dtype}"
    if (rules.rtol or rules.atol) and (t.is_floating(inner) or t.is_struct(inner)):
        return Tolerance(rules.rtol or 0.0, rules.atol or 0.0), general(rules)
    return None, ""


def general(rules: Compare) -> str:
    """The name of the tolerance for all floats."""
    return ", ".join(name for name, value in (("rtol", rules.rtol), ("atol", rules.atol)) if value)


def _tolerance_text(one: Tolerance | None) -> str:
    if one is None:
        return ""
    parts = (("rtol", one.rtol), ("atol", one.atol), ("ulp", one.ulp))
    return ", ".join(f"{name} {value:g}" for name, value in parts if value) or "exact"
