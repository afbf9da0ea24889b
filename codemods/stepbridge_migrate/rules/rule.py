"""What a rule is: the kind of task it moves, its documentation and examples, and how the call changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from stepbridge_migrate.model import Argument, Finding, Kind, Needs, Site

STEP_OPERATOR = "StepOperator"
STEP_DECORATOR = "step"


@dataclass(frozen=True)
class Rewrite:
    """How the arguments of the old call become those of the step.

    :param drop: arguments that a step has no use for; each is named in a finding.
    :param replace: arguments with the text that stands for them.
    :param add: names and source texts of arguments that say what the old class did by itself.
    :param needs: what the old call asked for in other words: ``cpus=2`` is ``cpu``.
    """

    drop: tuple[Argument, ...] = ()
    replace: tuple[tuple[Argument, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    needs: Needs = field(default_factory=Needs)


@dataclass(frozen=True)
class Example:
    """A DAG file's text before and after; both are tested as they stand.

    :param task: ``DAG.TASK`` of the site.
    """

    title: str
    before: str
    after: str
    task: str = "d.train"
    action: str = "cutover"
    needs: Needs = field(default_factory=Needs)


@dataclass(frozen=True)
class Rule:
    """One kind of edit.

    :param version: raised whenever the edit of the same call changes.
    :param kinds: of the sites it is for.
    :param docs: what it does, in a paragraph.
    :param handled: arguments that the rule sees to itself, beside those that a step takes.
    :param judge: what there is to say of a site's arguments.
    :param rewrite: how the call changes.
    :param refusals: codes that only this rule gives.
    """

    name: str
    version: int
    kinds: frozenset[Kind]
    title: str
    docs: str
    examples: tuple[Example, ...]
    judge: Callable[[Site, Needs], list[Finding]]
    rewrite: Callable[[Site], Rewrite]
    handled: frozenset[str] = frozenset()
    refusals: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name and version: ``python_operator/1``."""
        return f"{self.name}/{self.version}"
