"""What a command of ``migrate`` has to say: one record that all formats render."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from stepbridge_migrate.codes import Code
from stepbridge_migrate.model import Check, Disposition, Finding, Inventory, Judged, Needs, Place, Plan
from stepbridge_migrate.problems import Exit, MigrateProblem


class Outcome(StrEnum):
    """How a command ended."""

    SHOWN = "shown"
    DONE = "done"
    """The edit is written and verified."""
    NOTHING = "nothing"
    """There was nothing to do."""
    PENDING = "pending"
    """There is an edit, and it is not written."""
    REFUSED = "refused"
    UNVERIFIED = "unverified"
    """A check of the edit failed; nothing is written."""
    PROBLEM = "problem"
    """The command could not be carried out."""


EXIT_OF = {
    Outcome.SHOWN: Exit.DONE,
    Outcome.DONE: Exit.DONE,
    Outcome.NOTHING: Exit.DONE,
    Outcome.PENDING: Exit.PENDING,
    Outcome.REFUSED: Exit.REFUSED,
    Outcome.UNVERIFIED: Exit.UNVERIFIED,
    Outcome.PROBLEM: Exit.USAGE,
}


@dataclass(frozen=True)
class Edited:
    """One edit of one site: what it changes, what was checked, and whether it is in the file.

    :param diff: the unified diff, empty where nothing changes; newlines as the files have them.
    """

    plan: Plan
    outcome: Outcome
    diff: str = ""
    checks: tuple[Check, ...] = ()
    written: bool = False


@dataclass(frozen=True)
class Planned:
    """All that ``migrate plan`` knows of one task.

    :param edits: the shadow and the cutover edit, neither of them verified or written.
    :param needs: what the step would be given, from settings and options.
    """

    judged: Judged
    needs: Needs
    edits: tuple[Edited, ...]


class Stage(StrEnum):
    """Where a site stands on its way."""

    LEGACY = "legacy"
    SHADOW = "shadow"
    CUTOVER = "cutover"
    REFUSED = "refused"
    KEPT = "kept"


@dataclass(frozen=True)
class Standing:
    """One site's stage, from the source.

    :param recorded: what the ledger says was last done to it: ``shadow``, ``cutover``, or empty.
    :param when: when that was done, ISO 8601 in UTC; empty where the ledger has nothing.
    :param drift: where the ledger and the source disagree.
    """

    judged: Judged
    stage: Stage
    recorded: str = ""
    when: str = ""
    drift: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Status:
    """The stages of all sites, in the inventory's order, and what the ledger has of sites that are gone."""

    standings: tuple[Standing, ...]
    lost: tuple[Finding, ...] = ()

    @property
    def drift(self) -> tuple[Finding, ...]:
        """Every disagreement between ledger and sources."""
        return (*(finding for one in self.standings for finding in one.drift), *self.lost)


@dataclass(frozen=True)
class Sample:
    """A file's text before an edit and after it."""

    title: str
    before: str
    after: str


@dataclass(frozen=True)
class RulePage:
    """One rule for people: what it edits and how that looks.

    :param name: with its version: ``python_operator/1``.
    :param refusals: codes that only this rule gives.
    """

    name: str
    title: str
    text: str = ""
    examples: tuple[Sample, ...] = ()
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """Why a command could not be carried out."""

    code: str
    message: str
    place: str = ""
    hint: str = ""
    candidates: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: MigrateProblem) -> Problem:
        """The same, of an exception."""
        return cls(error.code, error.cause, error.place, error.hint, error.candidates)


@dataclass(frozen=True)
class Report:
    """The one thing that is rendered; which fields are set depends on the command.

    :param command: ``scan``, ``plan``, ``shadow``, ``cutover``, ``rollback``, ``status``, ``explain``,
        ``rules``.
    :param root: the project's folder, absolute; empty for commands that read no project.
    :param exit: the exit code of the command.
    """

    command: str
    outcome: Outcome
    exit: Exit
    root: str = ""
    inventory: Inventory | None = None
    planned: Planned | None = None
    edited: Edited | None = None
    status: Status | None = None
    pages: tuple[Code, ...] = ()
    rules: tuple[RulePage, ...] = ()
    remarks: tuple[Finding, ...] = ()
    """What is to be said of the settings and the run itself."""
    problem: Problem | None = None


@dataclass(frozen=True)
class Counts:
    """How many sites have which disposition."""

    auto: int = 0
    warn: int = 0
    keep: int = 0
    refuse: int = 0
    moved: int = 0
    """Sites that are steps already."""

    @property
    def sites(self) -> int:
        """All of them."""
        return self.auto + self.warn + self.keep + self.refuse + self.moved


@dataclass(frozen=True)
class DagSites:
    """The sites of one DAG in one file, in the order of the source."""

    path: str
    dag: str
    sites: tuple[Judged, ...] = field(default=())

    @property
    def title(self) -> str:
        """``dag in path``; the path alone where the source does not say the DAG."""
        return f"{self.dag}  {self.path}" if self.dag else self.path


def by_dag(sites: Sequence[Judged]) -> tuple[DagSites, ...]:
    """The sites in groups of one DAG of one file each, in the order in which they first appear."""
    groups: dict[tuple[str, str], list[Judged]] = {}
    for one in sites:
        groups.setdefault((one.site.path, one.site.dag.id), []).append(one)
    return tuple(DagSites(path, dag, tuple(found)) for (path, dag), found in groups.items())


def count(sites: Sequence[Judged]) -> Counts:
    """Count the dispositions; a site that is a step already counts as moved."""
    from stepbridge_migrate.model import Kind

    moved = [one for one in sites if one.site.kind in {Kind.STEP, Kind.TASK_STEP}]
    rest = [one for one in sites if one.site.kind not in {Kind.STEP, Kind.TASK_STEP}]
    by = {kind: sum(one.disposition is kind for one in rest) for kind in Disposition}
    return Counts(
        auto=by[Disposition.AUTO],
        warn=by[Disposition.WARN],
        keep=by[Disposition.KEEP],
        refuse=by[Disposition.REFUSE],
        moved=len(moved),
    )


def findings_of(report: Report) -> tuple[tuple[Finding, Disposition | None], ...]:
    """Every finding in the report with the disposition that its code leads to, in the order of place.

    None stands for what is no disposition of a site: files that could not be read, drift, remarks.
    """
    from stepbridge_migrate.codes import CODES

    found: list[Finding] = list(report.remarks)
    if report.inventory is not None:
        found += [finding for one in report.inventory.sites for finding in one.findings]
        found += report.inventory.skipped
    if report.planned is not None:
        found += report.planned.judged.findings
        found += [finding for one in report.planned.edits for finding in one.plan.findings]
    if report.edited is not None:
        found += report.edited.plan.findings
    if report.status is not None:
        found += report.status.drift
    ordered = sorted(dict.fromkeys(found), key=lambda one: (one.place, one.code, one.message))
    return tuple((one, CODES[one.code].disposition if one.code in CODES else None) for one in ordered)


def place_of(judged: Judged) -> Place:
    """Where the site's call begins."""
    return judged.site.place
