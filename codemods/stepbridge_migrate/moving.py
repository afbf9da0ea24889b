"""One edit of one site, from its plan to its record: what landing needs to prove it and to take it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stepbridge_migrate import edits, ledger, rules, source
from stepbridge_migrate.facts.file import site_of
from stepbridge_migrate.facts.project import Project
from stepbridge_migrate.landing import Texts, unified
from stepbridge_migrate.ledger import Ledger
from stepbridge_migrate.model import Check, Disposition, Finding, Judged, Needs, Plan, Site
from stepbridge_migrate.problems import Exit, MigrateProblem
from stepbridge_migrate.rollback import rollback
from stepbridge_migrate.source import SourceFile, Unreadable
from stepbridge_migrate.standing import ledger_time

_ARGUMENTS = {"gpu": "resources", "cpu": "resources", "memory": "resources"}
_NEEDS = ("gpu", "cpu", "memory", "image", "cache", "timeout", "backend", "xcom", "context_keys")


@dataclass(frozen=True)
class Move:
    """A plan with all that belongs to it.

    :param file: the file that the site stands in, as the plan was made for it.
    :param asked: the arguments of the step that settings and options name.
    :param again: plans the same action for the edited texts; None where that asks nothing.
    :param undo: gives the old texts for the edited ones.
    :param record: the ledger after the move, made of the one before.
    """

    root: Path
    plan: Plan
    file: SourceFile
    asked: frozenset[str]
    again: Callable[[Texts], Plan] | None
    undo: Callable[[Texts], Texts]
    record: Callable[[Ledger, Sequence[Check], str], Ledger]

    def diff(self) -> str:
        """The unified diff, with nothing verified; empty where nothing changes."""
        (change,) = self.plan.changes or (None,)
        if change is None:
            return ""
        return unified(change.path, self.file.text, edits.apply(self.file.text, change.edits))

    def records(self, checks: Sequence[Check], now: datetime) -> Mapping[Path, bytes]:
        """The ledger's file with the move in it."""
        made = self.record(ledger.load(self.root), checks, ledger_time(now))
        return {ledger.file_of(self.root): ledger.dumps(made).encode()}


def plan_of(action: str, root: Path, judged: Judged, needs: Needs) -> Move:
    """The move of a site to ``shadow`` or ``cutover``.

    :raises MigrateProblem: the file cannot be read any more.
    """
    site = judged.site
    file = _read(root, site.path)
    plan = rules.plan(action, site, needs, file.text)

    def again(texts: Texts) -> Plan:
        text = texts[site.path]
        moved = _moved(root, file, site, text)
        if moved is None:
            missing = Finding("SM521", f"{site.id} is not found any more", site.place)
            return Plan(action, site, Disposition.REFUSE, plan.changes, (missing,))
        return rules.plan(action, moved, needs, text)

    def record(known: Ledger, checks: Sequence[Check], at: str) -> Ledger:
        (change,) = plan.changes
        return known.record(
            task=site.id,
            action=action,
            rule=plan.rule,
            change=change,
            before=file.text,
            after=edits.apply(file.text, change.edits),
            at=at,
            needs=needs,
            checks=checks,
        )

    def undo(texts: Texts) -> Texts:
        """By the ledger that would be written, as a later rollback does it."""
        known = record(ledger.load(root), (), "")
        back = rollback(known, site, texts[site.path])
        return {site.path: edits.apply(texts[site.path], back.plan.changes[0].edits)}

    return Move(root, plan, file, _asked(needs), again, undo, record)


def rollback_of(root: Path, judged: Judged) -> Move:
    """The move of a site back by its latest edit.

    :raises MigrateProblem: the ledger has no such edit, or its text is not in the file as it was left.
    """
    site = judged.site
    file = _read(root, site.path)
    back = rollback(ledger.load(root), site, file.text)

    def undo(texts: Texts) -> Texts:
        (change,) = back.plan.changes
        return {site.path: edits.apply(texts[site.path], edits.invert(change.edits))}

    def record(known: Ledger, _: Sequence[Check], at: str) -> Ledger:
        return known.undone(path=site.path, task=site.id, at=at, entries=back.entries)

    return Move(root, back.plan, file, frozenset(), None, undo, record)


def _read(root: Path, path: str) -> SourceFile:
    try:
        return source.read(root / path, root)
    except Unreadable as error:
        finding = error.finding
        raise MigrateProblem(
            finding.code, finding.message, place=str(finding.place), hint=finding.hint, exit_code=Exit.REFUSED
        ) from error


def _moved(root: Path, file: SourceFile, site: Site, text: str) -> Site | None:
    """What *site* has become in *text*: the one of its name, counted where there are several."""

    def twin(sites: Sequence[Site]) -> int | None:
        named = [index for index, one in enumerate(sites) if one.id == site.id]
        if len(named) < 2:
            return named[0] if named else None
        number = _number(root, file, site)
        return named[number] if number < len(named) else None

    path = root / file.path
    data = file.encode(text)
    project = Project(root, {path: data})
    return site_of(project, project.module(path, data), twin)


def _number(root: Path, file: SourceFile, site: Site) -> int:
    """How many sites of the file have the same name and come before *site*."""
    found: list[int] = []

    def count(sites: Sequence[Site]) -> None:
        twins = [one for one in sites if one.id == site.id]
        found.extend(index for index, one in enumerate(twins) if one.call == site.call)

    project = Project(root)
    site_of(project, project.module(root / file.path, file.data), count)
    return found[0] if found else 0


def _asked(needs: Needs) -> frozenset[str]:
    said = {_ARGUMENTS.get(name, name) for name in _NEEDS if getattr(needs, name) is not None}
    said |= {name for name in ("variables", "connections") if getattr(needs, name)}
    return frozenset(said | set(needs.arguments))
