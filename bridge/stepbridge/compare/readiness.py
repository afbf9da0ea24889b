"""Whether a candidate may take its control's place: one verdict over the reports of many shadow runs."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from stepbridge.compare.kept import KeptReport, KeptReports, Unread
from stepbridge.compare.model import Part, Relaxation, Report, RunFacts, Skipped, Verdict, worst

SCHEMA = 1
_DAY = 86_400.0


class Readiness(StrEnum):
    """What many shadow runs say of a candidate."""

    READY = "READY"
    """As many runs in a row as are needed gave the same."""
    NOT_READY = "NOT_READY"
    """A run did not, and too few did since."""
    REGRESSED = "REGRESSED"
    """It was ready; then a run did not give the same, and too few did since."""
    INSUFFICIENT = "INSUFFICIENT"
    """Too few runs say anything, and none says that it differs."""


@dataclass(frozen=True)
class Bar:
    """What is asked for.

    :param runs: so many runs in a row must give the same.
    :param days: and lie at least so many days apart, the first from the last, by their logical dates.
    :param any_code: runs of other code and of another image count too.
    """

    runs: int
    days: float = 0.0
    any_code: bool = False


@dataclass(frozen=True)
class ShadowRun:
    """One run of the DAG in which the task was shadowed.

    :param verdict: the worst of its reports'.
    :param created: when the last of its reports was written, ISO 8601.
    :param reports: how many there are: one, or one for each element of a mapped group.
    :param uri: of the report that decides.
    :param void: why the run says nothing of the candidate; empty where it counts.
    """

    run_id: str
    logical_date: str
    created: str
    verdict: Verdict
    rule: str
    reports: int
    uri: str
    code: str = ""
    image: str = ""
    control: RunFacts | None = None
    candidate: RunFacts | None = None
    void: str = ""


@dataclass(frozen=True)
class Let:
    """A rule that let differences pass in runs that count.

    :param runs: in how many of them. :param allowed: how many differences in all.
    """

    name: str
    value: str
    reason: str
    runs: int
    allowed: int


@dataclass(frozen=True)
class Left:
    """Something that was not compared in runs that count."""

    what: str
    why: str
    runs: int


@dataclass(frozen=True)
class Measured:
    """One measure of both sides over the runs that count; None where no run knows it.

    :param name: ``duration``, ``CPU``, ``peak memory``, ``tries``, ``GPU time``, ``peak GPU memory``.
    :param unit: ``seconds``, ``bytes`` or nothing.
    :param control: the median. :param candidate: the median. :param highest: the candidate's largest.
    """

    name: str
    unit: str
    control: float | None
    candidate: float | None
    highest: float | None


@dataclass(frozen=True)
class TaskReadiness:
    """What the shadow runs of one task say.

    :param rule: why the verdict is what it is, in a sentence.
    :param streak: runs in a row, up to the newest that counts, that gave the same.
    :param span: days between the first and the last of them.
    :param code: the digest of the candidate's code that is judged. :param image: what its pods run.
    :param runs: the newest first; those too that say nothing.
    :param earlier: how many older runs were not read.
    """

    dag_id: str
    task_id: str
    verdict: Readiness
    rule: str
    bar: Bar
    streak: int
    span: float
    code: str
    image: str
    runs: tuple[ShadowRun, ...]
    measured: tuple[Measured, ...] = ()
    let: tuple[Let, ...] = ()
    left: tuple[Left, ...] = ()
    unread: tuple[Unread, ...] = ()
    earlier: int = 0
    schema: int = SCHEMA


_VOID = {
    Verdict.SKIPPED: "nothing was compared",
    Verdict.CONTROL_FAILED: "the old task failed",
    Verdict.BOTH_FAILED: "both failed",
    Verdict.TOOL_ERROR: "the comparison itself failed",
}


def judge(dag_id: str, task_id: str, kept: KeptReports, bar: Bar) -> TaskReadiness:
    """The verdict over all of a task's reports.

    Only runs of the newest candidate count: equal results of other code are no evidence for this one.
    """
    runs = sorted((_run(reports) for reports in kept.runs), key=lambda one: one.created, reverse=True)
    newest = next((one for one in runs if not one.void and one.code), None)
    code, image = (newest.code, newest.image) if newest is not None else ("", "")
    if not bar.any_code:
        runs = [_of_this(one, code, image) for one in runs]
    counted = [one for one in runs if not one.void]
    streak = _streak(counted)
    span = _span(streak)
    verdict, rule = _decided(counted, len(streak), span, bar)
    proofs = {one.uri for one in counted}
    reports = [one.report for run in kept.runs if any(item.uri in proofs for item in run) for one in run]
    return TaskReadiness(
        dag_id=dag_id,
        task_id=task_id,
        verdict=verdict,
        rule=rule,
        bar=bar,
        streak=len(streak),
        span=span,
        code=code,
        image=image,
        runs=tuple(runs),
        measured=tuple(_measured(counted)),
        let=_let(reports),
        left=_left(reports),
        unread=kept.unread,
        earlier=kept.earlier,
    )


def _run(kept: Sequence[KeptReport]) -> ShadowRun:
    reports = [one.report for one in kept]
    deciding, verdict = _deciding(kept)
    report = deciding.report
    hits = [one.candidate.cache for one in reports if one.candidate is not None]
    void = _VOID.get(verdict, "")
    if not void and hits and all(cache == "hit" for cache in hits):
        void = "the candidate's result came from the cache: nothing was computed"
    return ShadowRun(
        run_id=report.subject.run_id,
        logical_date=report.subject.logical_date,
        created=max(one.created for one in reports),
        verdict=verdict,
        rule=report.rule,
        reports=len(kept),
        uri=deciding.uri,
        code=_one(one.subject.code for one in reports),
        image=_one(one.subject.image for one in reports),
        control=report.control,
        candidate=report.candidate,
        void=void,
    )


_AGAINST = frozenset({Verdict.DIFFERENT, Verdict.INCOMPARABLE, Verdict.CANDIDATE_FAILED})


def _deciding(kept: Sequence[KeptReport]) -> tuple[KeptReport, Verdict]:
    """The report that decides for a run, and how: none that differs is hidden by one that failed."""
    found = [(one, _own(one.report)) for one in kept]
    against = [verdict for _, verdict in found if verdict in _AGAINST]
    decided = worst(against or [verdict for _, verdict in found])
    return next((one for one, verdict in found if verdict is decided), kept[0]), decided


def _own(report: Report) -> Verdict:
    against = [part.verdict for part in report.parts if part.verdict in _AGAINST]
    return worst(against) if against and report.verdict in _VOID else report.verdict


def _one(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(value for value in values if value))


def _of_this(run: ShadowRun, code: str, image: str) -> ShadowRun:
    """*run*, void where another candidate ran in it; one that failed before its code was known counts."""
    if run.void or not run.code:
        return run
    if run.code != code:
        return replace(run, void="the candidate had other code")
    if run.image != image:
        return replace(run, void="the candidate had another image")
    return run


def _streak(counted: Sequence[ShadowRun]) -> list[ShadowRun]:
    """The newest runs, up to the first that did not give the same."""
    found: list[ShadowRun] = []
    for run in counted:
        if not run.verdict.same:
            break
        found.append(run)
    return found


def _span(runs: Sequence[ShadowRun]) -> float:
    """Days between the first and the last run, by logical dates where all have one."""
    dates = [run.logical_date for run in runs]
    times = [
        datetime.fromisoformat(date) for date in (dates if all(dates) else [run.created for run in runs])
    ]
    return (max(times) - min(times)).total_seconds() / _DAY if times else 0.0


def _decided(counted: Sequence[ShadowRun], streak: int, span: float, bar: Bar) -> tuple[Readiness, str]:
    bad = next((run for run in counted if not run.verdict.same), None)
    days = f" over at least {bar.days:g} days" if bar.days else ""
    if streak >= bar.runs and span >= bar.days:
        over = f", {span:.1f} days apart" if bar.days else ""
        return Readiness.READY, f"the newest {streak} runs gave the same{over}; {bar.runs} are needed{days}"
    short = f"{streak} of {bar.runs} needed runs{days} gave the same"
    if streak >= bar.runs:
        short = f"{streak} runs gave the same, but lie {span:.1f} days apart; {bar.days:g} are needed"
    if bad is None:
        return Readiness.INSUFFICIENT, short if counted else "no run says anything of this candidate yet"
    since = f"run {bad.run_id} was {bad.verdict}: {bad.rule}"
    if streak:
        since = f"{short} since; {since}"
    if any(_enough(_streak(counted[at:]), bar) for at in range(1, len(counted))):
        return Readiness.REGRESSED, f"it was ready before; {since}"
    return Readiness.NOT_READY, since


def _enough(runs: Sequence[ShadowRun], bar: Bar) -> bool:
    return len(runs) >= bar.runs and _span(runs) >= bar.days


def _let(reports: Sequence[Report]) -> tuple[Let, ...]:
    found: dict[tuple[str, str, str], list[tuple[str, int]]] = defaultdict(list)
    for report in reports:
        for part in _parts(report):
            for one in part.relaxations:
                if one.allowed:
                    found[_rule(one)].append((report.subject.run_id, one.allowed))
    return tuple(
        Let(*rule, len({run for run, _ in seen}), sum(allowed for _, allowed in seen))
        for rule, seen in sorted(found.items())
    )


def _rule(one: Relaxation) -> tuple[str, str, str]:
    return one.name, one.value, one.reason


def _left(reports: Sequence[Report]) -> tuple[Left, ...]:
    found: dict[Skipped, set[str]] = defaultdict(set)
    for report in reports:
        for part in _parts(report):
            for one in part.skipped:
                found[replace(one, amount=1)].add(report.subject.run_id)
    return tuple(
        Left(one.what, one.why, len(runs))
        for one, runs in sorted(found.items(), key=lambda item: (-len(item[1]), item[0].what, item[0].why))
    )


def _parts(report: Report) -> Iterator[Part]:
    """Every part of a report; those of a table's members too."""
    pending = list(report.parts)
    while pending:
        part = pending.pop()
        yield part
        pending += part.parts


_MEASURES: tuple[tuple[str, str, Callable[[RunFacts], float | None]], ...] = (
    ("duration", "seconds", lambda facts: facts.seconds),
    ("CPU", "seconds", lambda facts: facts.cpu_seconds),
    ("peak memory", "bytes", lambda facts: facts.peak_memory),
    ("GPU time", "seconds", lambda facts: facts.gpu_seconds),
    ("peak GPU memory", "bytes", lambda facts: facts.peak_gpu_memory),
    ("tries", "", lambda facts: facts.tries or None),
)


def _measured(counted: Sequence[ShadowRun]) -> Iterator[Measured]:
    """Medians over runs whose candidate gave a result: one that failed half-way is no measure of its time."""
    given = [run for run in counted if run.verdict is not Verdict.CANDIDATE_FAILED]
    for name, unit, value in _MEASURES:
        control = _known(value(run.control) for run in given if run.control is not None)
        candidate = _known(value(run.candidate) for run in given if run.candidate is not None)
        if control or candidate:
            yield Measured(
                name,
                unit,
                statistics.median(control) if control else None,
                statistics.median(candidate) if candidate else None,
                max(candidate, default=None),
            )


def _known(values: Iterable[float | None]) -> list[float]:
    return [float(value) for value in values if value is not None]
