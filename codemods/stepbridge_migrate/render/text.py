"""A report for people: tables, findings and diffs on a terminal of any width, with or without colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stepbridge_migrate.codes import CODES, Code
from stepbridge_migrate.model import Check, Disposition, Finding, Inventory, Judged
from stepbridge_migrate.render import words
from stepbridge_migrate.render.diff import coloured
from stepbridge_migrate.report import (
    Edited,
    Outcome,
    Planned,
    Problem,
    Report,
    RulePage,
    Stage,
    Status,
    by_dag,
    count,
)

_STYLE = {
    Disposition.AUTO: "green",
    Disposition.WARN: "yellow",
    Disposition.KEEP: "cyan",
    Disposition.REFUSE: "red",
}
_STAGE = {
    Stage.LEGACY: "",
    Stage.SHADOW: "yellow",
    Stage.CUTOVER: "green",
    Stage.REFUSED: "red",
    Stage.KEPT: "cyan",
}
_CHECK = {"passed": "green", "failed": "red", "skipped": "yellow"}
QUIET, NORMAL, VERBOSE = -1, 0, 1
_WHOLE = 24
"""Columns up to this width are not broken on a narrow terminal, so that the longest one gives way."""


@dataclass(frozen=True)
class Whole:
    """Lines of source, which are printed whole however narrow the terminal is."""

    text: Text


Shown: TypeAlias = RenderableType | Whole


def put(into: Console, shown: Iterable[Shown]) -> None:
    """Print what :func:`render_text` gives."""
    for one in shown:
        if isinstance(one, Whole):
            into.print(one.text, soft_wrap=True)
        else:
            into.print(one)


def render_text(report: Report, *, verbosity: int = NORMAL) -> Iterator[Shown]:
    """What a terminal shows of the report, diffs left out: they are data and go to standard output.

    :param verbosity: QUIET keeps to refusals and problems, VERBOSE says every finding in full.
    """
    if report.inventory is not None:
        yield from _inventory(report.inventory, verbosity)
    if report.planned is not None:
        yield from _planned(report.planned)
    if report.edited is not None:
        yield from _edited(report.edited, verbosity)
    if report.status is not None:
        yield from _status(report.status, verbosity)
    if len(report.pages) > 1 and verbosity < VERBOSE:
        yield from _page_list(report.pages)
    else:
        for code in report.pages:
            yield from _page(code)
    if len(report.rules) > 1 and verbosity < VERBOSE:
        yield from _rule_list(report.rules)
    else:
        for rule in report.rules:
            yield from _rule(rule)
    if report.remarks:
        yield from _findings(report.remarks)
    if report.problem is not None:
        yield problem(report.problem)


def console(*, stderr: bool, color: str, width: int | None = None) -> Console:
    """A console that prints what it is given and nothing of its own.

    :param color: ``auto`` (a terminal, and NO_COLOR not set), ``always`` or ``never``.
    :param width: columns; None for the terminal's.
    """
    return Console(
        stderr=stderr,
        force_terminal=True if color == "always" else None,
        no_color=True if color == "never" else False if color == "always" else None,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        width=width,
    )


def problem(one: Problem) -> Text:
    """``migrate: SM521 at PLACE: CAUSE`` and what to do."""
    text = Text("migrate: ", style="bold red")
    head = " at ".join(part for part in (one.code, one.place) if part)
    text.append(f"{head}: {one.message}" if head else one.message, style="default not bold")
    if one.hint:
        text.append(f". Next: {one.hint}", style="default not bold")
    return text


def _inventory(inventory: Inventory, verbosity: int) -> Iterator[RenderableType]:
    groups = by_dag(inventory.sites)
    if verbosity > QUIET:
        for group in groups:
            yield _title(group.dag, group.path)
            yield _table(
                ("task", "kind", "reads", "", "codes"), (_row(one, verbosity) for one in group.sites)
            )
            if verbosity >= VERBOSE:
                yield from _findings([finding for one in group.sites for finding in one.findings])
    if inventory.skipped:
        yield Text("not read:", style="bold")
        yield from _findings(inventory.skipped)
    if verbosity > QUIET:
        yield from _legend(finding for one in inventory.sites for finding in _said_of(one))
    read = f"{words.plural(inventory.files, 'file')} looked at, {inventory.dag_files:,} with DAGs"
    yield Text(f"{words.summary(count(inventory.sites), dags=len(groups))}. {read}.", style="bold")


def _title(dag: str, path: str) -> Text:
    text = Text(dag or "(DAG not known)", style="bold")
    return text.append(f"  {path}", style="not bold dim")


def _row(judged: Judged, verbosity: int) -> tuple[Text, ...]:
    site = judged.site
    kind = Text(str(site.kind))
    made = words.made(site)
    if made:
        kind.append(f"\n{made}", style="dim")
    phrases = words.reads(site, brief=verbosity < VERBOSE)
    return (
        Text(words.task(site)),
        kind,
        Text(("; " if verbosity < VERBOSE else "\n").join(phrases)),
        Text("moved", "green") if words.is_moved(site) else _disposition(judged.disposition),
        Text("\n".join(words.codes(_said_of(judged), site.path))),
    )


def _said_of(judged: Judged) -> Sequence[Finding]:
    """The findings that a table shows: of a site that is moved none, as its word says it."""
    return () if words.is_moved(judged.site) else judged.findings


def _disposition(one: Disposition) -> Text:
    return Text(str(one), style=_STYLE[one])


def _table(names: Sequence[str], rows: Iterable[Sequence[Text]]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
    lines = list(rows)
    for number, name in enumerate(names):
        longest = max((row[number].cell_len for row in lines), default=0)
        table.add_column(name, overflow="fold", no_wrap=longest <= _WHOLE)
    for row in lines:
        table.add_row(*row)
    return Group(table, Text(""))


def _legend(findings: Iterable[Finding]) -> Iterator[RenderableType]:
    sites: dict[str, int] = {}
    for one in findings:
        sites[one.code] = sites.get(one.code, 0) + 1
    if sites:
        for code in sorted(sites):
            title = CODES[code].title if code in CODES else ""
            yield Text(f"{code}  {title} ({sites[code]})", style=_code_style(code))
        yield Text("migrate explain CODE says why, and what to do.", style="dim")
        yield Text("")


def _code_style(code: str) -> str:
    return _STYLE[CODES[code].disposition] if code in CODES else ""


def _findings(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    for one in findings:
        text = Text(one.code, style=_code_style(one.code))
        text.append(f" {one.place.path}:{one.place.line}", style="dim")
        text.append(f" {one.message}")
        if one.hint:
            text.append(f". Next: {one.hint}")
        yield Padding(text, (0, 0, 0, 2))
    if findings:
        yield Text("")


def _planned(planned: Planned) -> Iterator[Shown]:
    site = planned.judged.site
    title = Text(site.id, style="bold")
    title.append(f"  {site.path}:{site.place.line}", style="not bold dim")
    yield title
    yield _fact("kind", " ".join(part for part in (str(site.kind), words.made(site)) if part))
    yield _fact("disposition", str(planned.judged.disposition), style=_STYLE[planned.judged.disposition])
    yield _fact("reads", *(words.reads(site) or ("nothing outside its arguments",)))
    if site.callable is not None:
        facts = site.callable
        where = "" if facts.definition is None else f"  {facts.definition.path}:{facts.definition.line}"
        yield _fact("callable", f"{facts.text}{where}")
        returns = facts.annotation or ("a value without annotation" if facts.returns else "nothing")
        yield _fact("returns", returns)
        if facts.pushes:
            yield _fact("pushes", ", ".join(facts.pushes))
    yield _fact(
        "read by",
        *(
            tuple(f"{one.task} through {one.how} ({one.key}), line {one.place.line}" for one in site.readers)
            or ("no other task of this DAG that could be seen",)
        ),
    )
    yield _fact("the step gets", *(words.needs(planned.needs) or ("nothing is named",)))
    missing = list(dict.fromkeys(name for one in planned.edits for name in one.plan.missing))
    if missing:
        yield _fact("missing", ", ".join(missing), style="yellow")
    yield Text("")
    yield from _findings(_unique([*planned.judged.findings, *_of_edits(planned.edits)]))
    for edited in planned.edits:
        word = "would change:" if edited.diff else str(edited.outcome)
        yield Text(f"{edited.plan.action}: {word}", style="bold")
        if edited.diff:
            yield Whole(coloured(edited.diff, indent="  "))
            yield Text("")


def _of_edits(edits: Sequence[Edited]) -> Iterator[Finding]:
    for one in edits:
        yield from one.plan.findings


def _unique(findings: Sequence[Finding]) -> list[Finding]:
    return list(dict.fromkeys(findings))


def _fact(name: str, *values: str, style: str = "") -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=13, style="dim")
    grid.add_column(overflow="fold")
    grid.add_row(name, Text("\n".join(values), style=style))
    return Padding(grid, (0, 0, 0, 2))


def _edited(edited: Edited, verbosity: int) -> Iterator[RenderableType]:
    plan = edited.plan
    yield from _findings(plan.findings)
    if plan.missing and verbosity > QUIET:
        yield _fact("missing", ", ".join(plan.missing), style="yellow")
    bad = [one for one in edited.checks if one.status != "passed"]
    if verbosity > QUIET or any(one.status == "failed" for one in bad):
        shown: Sequence[Check] = edited.checks if verbosity >= VERBOSE else bad
        passed = len(edited.checks) - len(bad)
        if edited.checks and verbosity < VERBOSE and passed:
            yield Text(f"{words.plural(passed, 'check')} passed", style="green")
        for one in shown:
            yield _check(one)
    yield Text(_said(edited), style="bold red" if edited.outcome in _BAD else "bold")


_BAD = {Outcome.REFUSED, Outcome.UNVERIFIED, Outcome.PROBLEM}


def _check(check: Check) -> Text:
    text = Text(f"  {check.status}", style=_CHECK.get(check.status, ""))
    return text.append(f"  {check.name}{f': {check.detail}' if check.detail else ''}", style="default")


def _said(edited: Edited) -> str:
    plan = edited.plan
    what = f"{plan.action} of {plan.site.id}"
    return {
        Outcome.DONE: f"{what}: written to {', '.join(one.path for one in plan.changes)}.",
        Outcome.NOTHING: f"{what}: nothing to do.",
        Outcome.PENDING: f"{what}: not written. --write writes it.",
        Outcome.REFUSED: f"{what}: refused; nothing is changed.",
        Outcome.UNVERIFIED: f"{what}: a check failed; nothing is changed.",
        Outcome.SHOWN: f"{what}.",
        Outcome.PROBLEM: f"{what}: it could not be done; nothing is changed.",
    }[edited.outcome]


def _status(status: Status, verbosity: int) -> Iterator[RenderableType]:
    groups = by_dag([one.judged for one in status.standings])
    standing = {id(one.judged): one for one in status.standings}
    for group in groups if verbosity > QUIET else ():
        yield _title(group.dag, group.path)
        rows = []
        for judged in group.sites:
            one = standing[id(judged)]
            codes = dict.fromkeys(finding.code for finding in (*judged.findings, *one.drift))
            rows.append(
                (
                    Text(words.task(judged.site)),
                    Text(str(one.stage), style=_STAGE[one.stage]),
                    Text(one.when),
                    Text(" ".join(codes)),
                )
            )
        yield _table(("task", "stage", "since", "codes"), rows)
    yield from _findings(status.drift)
    stages = [one.stage for one in status.standings]
    parts = [f"{stages.count(stage)} {stage}" for stage in Stage if stage in stages]
    drift = f"; {words.plural(len(status.drift), 'difference')} to the ledger" if status.drift else ""
    yield Text(f"{', '.join(parts) or 'no task sites'}{drift}.", style="bold")


def _page_list(pages: Sequence[Code]) -> Iterator[RenderableType]:
    rows = ((Text(one.id), _disposition(one.disposition), Text(one.title)) for one in pages)
    yield _table(("code", "", "meaning"), rows)
    yield Text("migrate explain CODE shows the page, -v all pages.", style="dim")


def _rule_list(rules: Sequence[RulePage]) -> Iterator[RenderableType]:
    yield _table(("rule", "what it edits"), ((Text(one.name), Text(one.title)) for one in rules))
    yield Text("migrate rules RULE shows its examples and refusals, -v all of them.", style="dim")


def _page(code: Code) -> Iterator[Shown]:
    head = Text(code.id, style=f"bold {_STYLE[code.disposition]}")
    yield head.append(f"  {code.title}  ({code.disposition})", style="default")
    yield Text(f"\n{code.why}")
    if code.do:
        yield Text(f"\n{code.do}")
    for word, example in (("before:", code.before), ("after:", code.after)):
        if example:
            yield Text(f"\n{word}", style="dim")
            yield _source(example)
    yield Text("")


def _rule(rule: RulePage) -> Iterator[Shown]:
    yield Text(rule.name, style="bold")
    yield Padding(Text(rule.title), (0, 0, 0, 2))
    if rule.text:
        yield Text(f"\n{rule.text}")
    for one in rule.examples:
        for word, example in ((one.title, one.before), ("becomes", one.after)):
            yield Text(f"\n{word}:", style="dim")
            yield _source(example)
    if rule.refusals:
        yield Text(f"\nrefused: {', '.join(rule.refusals)}", style="dim")
    yield Text("")


def _source(text: str) -> Whole:
    return Whole(Text("\n".join(f"    {line}".rstrip() for line in text.rstrip("\n").split("\n"))))
