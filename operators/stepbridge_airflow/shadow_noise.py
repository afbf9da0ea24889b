"""The repeats of a candidate: compared with it, so that what differs by itself is told from what does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stepbridge.compare import noise
from stepbridge.compare.model import Noise, Part, Verdict
from stepbridge.compare.render.shared import walk
from stepbridge.compare.rules import Compare
from stepbridge.contract import Value
from stepbridge.failures import StepbridgeError
from stepbridge_airflow.shadow_written import Own

Values = Mapping[str, Value]
"""Results by their names in the report."""
Run = Callable[[Values, Values, Compare, float], Sequence[Part]]
"""Compares two sides by rules within so many seconds."""
_LEAST = 1.0


@dataclass(frozen=True)
class Given:
    """What one instance of a candidate or repeat gave.

    :param values: what it returned and pushed.
    :param why: why it gave nothing; empty where it did.
    :param outputs: what it wrote elsewhere, by the name in the report.
    """

    values: Values
    why: str = ""
    outputs: Mapping[str, Own] = field(default_factory=dict)

    def everything(self) -> dict[str, Value]:
        """The values of both kinds, by their names in the report."""
        written = {name: one.value for name, one in self.outputs.items() if one.value is not None}
        return {**self.values, **written}


@dataclass(frozen=True)
class Repeats:
    """The repeats of one candidate.

    :param task_ids: theirs. :param candidate: the candidate's.
    :param given: what an instance gave, by task id and map index.
    :param seconds: for all comparisons together.
    """

    task_ids: Sequence[str]
    candidate: str
    given: Callable[[str, int], Given]
    run: Run
    rules: Compare
    seconds: float

    def judged(self, parts: Sequence[Part], indexes: Sequence[int]) -> tuple[list[Part], Noise]:
        """*parts* with what is within noise allowed, and what a report says of noise.

        Where a repeat gave nothing, or could not be compared, noise is not known and the part stays.

        :param indexes: the instances that *parts* are of.
        """
        until = time.monotonic() + self.seconds
        found = {index: self._given(self.candidate, index) for index in indexes}
        first = {name: value for one in found.values() for name, value in one.everything().items()}
        deep = {part.name for part in parts if noise.needs_all([part])}
        unknown = [one.why for one in found.values() if one.why]
        unsure: set[str] = set()
        made: dict[str, list[Part]] = {}
        kept: list[Part] = []
        for task_id in self.task_ids:
            theirs = {index: self._given(task_id, index) for index in indexes}
            for index, one in theirs.items():
                if one.why:
                    unknown.append(one.why)
                    unsure |= found[index].everything().keys()
            unsure |= _noted(_not_known(task_id, found, theirs), unknown)
            sure = {name: value for name, value in first.items() if name not in unsure}
            others = {name: value for one in theirs.values() for name, value in one.everything().items()}
            for part in self._compared(sure, others, deep, until):
                named = replace(part, name=f"{task_id}: {part.name}")
                kept.append(noise.shortened(named, self.rules.samples))
                if part.verdict is Verdict.TOOL_ERROR:
                    unknown.append(f"{named.name}: {part.rule}")
                    unsure.add(part.name)
                made.setdefault(part.name, []).append(part)
            unsure |= _noted(_changed(task_id, theirs), unknown)
        unsure |= _noted(_changed(self.candidate, found), unknown)
        known = {part.name: [] if part.name in unsure else made.get(part.name, []) for part in parts}
        judged = [noise.within(part, known[part.name]) for part in parts]
        left = [noise.why_not(part, known[part.name]) for part in parts if known[part.name]]
        said = noise.report(len(self.task_ids), kept, unknown, [why for why in left if why])
        return judged, said

    def _given(self, task_id: str, index: int) -> Given:
        where = task_id if index < 0 else f"{task_id} [{index}]"
        try:
            found = self.given(task_id, index)
        except StepbridgeError as error:
            found = Given({}, str(error))
        return replace(found, why=f"{where}: {found.why}") if found.why else found

    def _compared(self, first: Values, theirs: Values, deep: set[str], until: float) -> list[Part]:
        """The parts of one repeat; those by path with all their differences."""
        parts: list[Part] = []
        for rules, names in (
            (self.rules, first.keys() - deep),
            (in_full(self.rules), first.keys() & deep),
        ):
            if names:
                left, right = (
                    {name: value for name, value in side.items() if name in names} for side in (first, theirs)
                )
                found = self.run(left, right, rules, max(_LEAST, until - time.monotonic()))
                parts += [part for part in found if part.name in names]
        return parts


@dataclass(frozen=True)
class _Unknown:
    """Something whose noise is not known, by its name in the report, and why."""

    name: str
    why: str


def _not_known(task_id: str, found: Mapping[int, Given], theirs: Mapping[int, Given]) -> Iterator[_Unknown]:
    """Outputs that cannot be read, or that a repeat wrote where the candidate had written its own."""
    for index, given in theirs.items():
        for name, one in given.outputs.items():
            first = found[index].outputs.get(name)
            if first is None:
                continue
            if first.why or one.why:
                yield _Unknown(name, f"{task_id}: {name}: {first.why or one.why}")
            elif first.place == one.place:
                yield _Unknown(name, f"{task_id}: {name}: it writes to {one.place!r}, as the candidate does")


def _changed(task_id: str, given: Mapping[int, Given]) -> Iterator[_Unknown]:
    """Outputs that were changed while they were compared."""
    for one in given.values():
        for name, output in one.outputs.items():
            if output.changed():
                yield _Unknown(name, f"{task_id}: {name}: {output.place} changed while it was compared")


def _noted(found: Iterable[_Unknown], unknown: list[str]) -> set[str]:
    names = set()
    for one in found:
        unknown.append(one.why)
        names.add(one.name)
    return names


def in_full(rules: Compare) -> Compare:
    """The rules with as many differences kept as noise is looked for in."""
    return replace(rules, samples=noise.KNOWN)


def cut_off(part: Part) -> bool:
    """Whether not all differences are there that noise must be looked for in."""
    return any(
        noise.needs_all([replace(one, parts=())]) and one.total > len(one.differences)
        for _, one in walk((part,))
    )
