"""The report's part from what a comparison of tables found: verdict, rule, facts, relaxations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepbridge.compare.model import Column, Difference, Drift, Fact, Part, Relaxation, Verdict
from stepbridge.compare.tables.pairing import general
from stepbridge.compare.tables.source import Source

if TYPE_CHECKING:
    from stepbridge.compare.tables.comparison import Comparison


def part(one: Comparison, drift: tuple[Drift, ...]) -> Part:
    """The part of the report."""
    found, verdict = one.found, _verdict(one)
    hard = [each for each in found.schema if not each.within]
    soft = [each for each in found.schema if each.within]
    worst = one.tally.samples()
    samples = [*found.rows, *(each for each in worst if not each.within)]
    shown = [*hard, *_turns(samples, one.rules.samples), *soft, *(each for each in worst if each.within)]
    return Part(
        one.name,
        "table",
        verdict,
        _rule(one, verdict, hard),
        differences=tuple(shown[: one.rules.samples]),
        total=one.hard,
        exact=not found.why and (found.matched or one.rules.unordered),
        compared=found.compared,
        of=found.of,
        unit="rows",
        facts=_facts(one),
        columns=_columns(one),
        drift=drift,
        relaxations=_relaxations(one),
        skipped=tuple(found.skipped),
    )


def _turns(samples: list[Difference], limit: int) -> list[Difference]:
    """Rows of one side only and differing cells, so that neither hides the other."""
    kinds = ("missing", "extra", "duplicate", "length")
    rows = [each for each in samples if each.kind in kinds]
    cells = [each for each in samples if each.kind not in kinds]
    half = max(limit - len(cells), -(-limit // 2))
    return [*rows[:half], *cells][:limit]


def _verdict(one: Comparison) -> Verdict:
    found = one.found
    if found.why:
        return Verdict.INCOMPARABLE
    if one.hard:
        return Verdict.DIFFERENT
    used = {name for name, count in found.allowed.items() if count}
    if any(name.startswith("ignore:") for name in used):
        return Verdict.EXPLAINED
    return Verdict.EQUIVALENT if used or found.skipped else Verdict.IDENTICAL


def _rule(one: Comparison, verdict: Verdict, hard: list[Difference]) -> str:
    found = one.found
    if verdict is Verdict.INCOMPARABLE:
        return "; ".join([found.why, *_schema_text(hard)])
    if verdict is Verdict.DIFFERENT:
        return "; ".join([*_schema_text(hard), *_rows_text(one)])
    names = ", ".join(sorted(name for name, count in found.allowed.items() if count))
    rows = f"{found.compared:,} row{'' if found.compared == 1 else 's'}"
    if verdict is Verdict.IDENTICAL:
        columns = len(one.control.fields)
        if not found.of:
            return f"both are empty: no rows, and {columns} equal columns"
        return f"all {rows} and {columns} columns are equal"
    if found.skipped and not names:
        return f"{rows} are equal, but not everything was compared: {found.skipped[0].what}"
    word = "ignored differences only" if verdict is Verdict.EXPLAINED else "equal but for what is allowed"
    return f"{rows}: {word} ({names})"


def _schema_text(hard: list[Difference]) -> list[str]:
    if not hard:
        return []
    first = hard[0]
    words = {
        "missing": f"the candidate lacks column {first.path!r}",
        "extra": f"only the candidate has column {first.path!r}",
        "type": f"the type of {first.path!r} is {first.control} and {first.candidate}",
        "order": "the columns are in another order",
        "value": first.detail,
    }
    text = words.get(first.kind, f"{first.path} is {first.control} and {first.candidate}")
    if first.path == "type":
        text = f"the tables are a {first.control} and a {first.candidate}"
    others = len(hard) - 1
    more = f", and {others} more difference{'' if others == 1 else 's'} of the schemas" if others else ""
    return [text + more]


def _rows_text(one: Comparison) -> list[str]:
    found, tally = one.found, one.tally
    if not found.matched and not (one.rules.unordered or one.rules.key):
        rows = f"{one.control.rows:,} and {one.candidate.rows:,}"
        return [f"the numbers of rows differ: {rows}; {found.rows[0].detail}: {found.rows[0].path}"]
    texts = []
    if tally.rows:
        worst = tally.worst()
        names = ", ".join(repr(name) for name in worst[:3]) + (", ..." if len(worst) > 3 else "")
        verb = "differs" if tally.rows == 1 else "differ"
        texts.append(
            f"{tally.rows:,} of {found.of:,} rows {verb} in column{'s' if len(worst) > 1 else ''} {names}"
        )
    if found.missing:
        texts.append(f"{_count(found.missing)} only in the control")
    if found.extra:
        texts.append(f"{_count(found.extra)} only in the candidate")
    return texts


def _count(rows: int) -> str:
    return f"{rows:,} row is" if rows == 1 else f"{rows:,} rows are"


def _facts(one: Comparison) -> tuple[Fact, ...]:
    control, candidate = one.control, one.candidate
    facts = [
        Fact("rows", str(control.rows), str(candidate.rows)),
        Fact("columns", str(len(control.columns)), str(len(candidate.columns))),
        Fact("index", _index(control), _index(candidate)),
    ]
    notes = dict(control.notes), dict(candidate.notes)
    for name in dict.fromkeys([*notes[0], *notes[1]]):
        facts.append(Fact(name, *(each.get(name, "its own type") for each in notes)))
    return tuple(facts)


def _index(source: Source) -> str:
    if source.range:
        return f"range from {source.range[0]} by {source.range[1]}"
    return ", ".join(f"{level.name} {level.text}" for level in source.levels) or "none"


def _columns(one: Comparison) -> tuple[Column, ...]:
    """All columns that both have; those without cells to compare, too."""
    done = {id(pair): column for pair, column in zip(one.pairs, _compared(one), strict=True)}
    return tuple(
        done.get(id(pair))
        or Column(
            pair.name,
            pair.control.text,
            pair.candidate.text,
            0 if pair.wire is None else one.found.compared,
            tolerance=pair.tolerance,
        )
        for pair in one.pairing.pairs
    )


def _compared(one: Comparison) -> tuple[Column, ...]:
    """Cells exist in rows of both sides only."""
    found = one.found
    return one.tally.columns(max(found.compared - found.missing - found.extra, 0))


def _relaxations(one: Comparison) -> tuple[Relaxation, ...]:
    """Every relaxation that is in force, with what it let pass; those without effect, too."""
    rules, allowed = one.rules, one.found.allowed
    shown = []
    if rules.key:
        shown.append(
            Relaxation("key", ", ".join(rules.key), allowed["key"], _ORDER if allowed["key"] else "")
        )
    if rules.unordered:
        count = allowed["unordered"]
        shown.append(Relaxation("unordered", "rows in any order", count, _ORDER if count else ""))
    if name := general(rules):
        given = {"rtol": rules.rtol, "atol": rules.atol}
        shown.append(Relaxation(name, ", ".join(f"{v:g}" for v in given.values() if v), allowed[name]))
    for pair in one.pairs:
        if pair.source.startswith("tolerance:") and not any(pair.source == each.name for each in shown):
            shown.append(Relaxation(pair.source, pair.tolerance, allowed[pair.source]))
    shown += [Relaxation(f"equal:{name}", "", allowed[f"equal:{name}"]) for name in rules.equal]
    shown += [
        Relaxation(f"ignore:{rule.path}", rule.until, allowed[f"ignore:{rule.path}"], rule.reason)
        for rule in rules.ignore
        if allowed[f"ignore:{rule.path}"] or _is_column(one, rule.path)
    ]
    return tuple(shown)


_ORDER = "the rows are in another order"


def _is_column(one: Comparison, path: str) -> bool:
    from stepbridge.compare.ignoring import fits

    return any(fits(path, each.name) for source in (one.control, one.candidate) for each in source.fields)
