"""Texts through the real scan, the rules and back: what the tests of the rules share."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from stepbridge_migrate import rules
from stepbridge_migrate.edits import apply, invert
from stepbridge_migrate.facts.file import sites_of
from stepbridge_migrate.facts.project import Project
from stepbridge_migrate.model import Disposition, Finding, Judged, Needs, Plan, Site

NAME = "dag.py"
_NONE = Needs()


@dataclass(frozen=True)
class Edited:
    """One action on one site of a text."""

    plan: Plan
    before: str
    after: str

    @property
    def codes(self) -> list[str]:
        """The codes of all findings, remarks included."""
        return [one.code for one in self.plan.findings]


def sites(root: Path, text: str, name: str = NAME) -> list[Judged]:
    """Every site of *text*, as the scan of a project finds and judges it."""
    path = root / name
    path.write_bytes(text.encode())
    project = Project(root.resolve())
    module = project.module(path.resolve(), path.read_bytes())
    return [rules.judge(site) for site in sites_of(project, module)]


def site(root: Path, text: str, task: str, name: str = NAME) -> Site:
    """The one site that *task*, ``DAG.TASK`` or a task id, names."""
    known = [one.site for one in sites(root, text, name)]
    found = [
        one for one in known if one.id == task or task in one.task.ids or fnmatchcase(task, one.task.pattern)
    ]
    assert len(found) == 1, f"{task} is none or several of {[one.id for one in known]}"
    return found[0]


def edit(
    root: Path, text: str, task: str, *, action: str = "cutover", needs: Needs = _NONE, name: str = NAME
) -> Edited:
    """*action* on a site of *text*; an edit is checked for all that must hold of any."""
    found = site(root, text, task, name)
    plan = rules.plan(action, found, needs, text)
    after = text
    for change in plan.changes:
        after = apply(after, change.edits)
        assert apply(after, invert(change.edits)) == text, "the inverse does not give the old text"
        ast.parse(after)
        assert_stable(root, after, task, action=action, needs=needs, name=name)
    return Edited(plan, text, after)


def assert_stable(root: Path, text: str, task: str, *, action: str, needs: Needs, name: str) -> None:
    """The same action has nothing to do."""
    again = rules.plan(action, site(root, text, task, name), needs, text)
    assert not again.changes, f"a second {action} changes more: {again.changes}"
    assert [one.code for one in again.findings] == ["SM411"], again.findings


def check_transformed(
    root: Path,
    before: str,
    after: str,
    task: str = "d.train",
    *,
    action: str = "cutover",
    needs: Needs = _NONE,
    codes: tuple[str, ...] | None = None,
) -> Edited:
    """*action* makes *after* of *before*, byte for byte.

    :param codes: those that are said, without remarks; None for any.
    """
    done = edit(root, before, task, action=action, needs=needs)
    assert done.plan.changes, [f"{one.code} {one.message}" for one in done.plan.findings]
    assert done.after == after
    if codes is not None:
        assert tuple(said(done.plan.findings)) == codes
    return done


def check_noop(
    root: Path,
    text: str,
    code: str,
    task: str = "d.train",
    *,
    action: str = "cutover",
    needs: Needs = _NONE,
    disposition: Disposition = Disposition.REFUSE,
) -> Finding:
    """*action* changes nothing, and *code* says why, with a place in the file."""
    done = edit(root, text, task, action=action, needs=needs)
    assert not done.plan.changes, done.after
    assert done.plan.disposition is disposition, done.plan
    found = [one for one in done.plan.findings if one.code == code]
    assert found, f"{code} is not among {[f'{one.code} {one.message}' for one in done.plan.findings]}"
    assert found[0].place.line >= 1
    assert found[0].message
    return found[0]


def said(findings: tuple[Finding, ...]) -> list[str]:
    """The codes of what is more than a remark, sorted."""
    return sorted({one.code for one in findings if one.code[:3] != "SM4"})
