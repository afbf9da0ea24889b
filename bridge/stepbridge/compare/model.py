"""What a comparison says: one frozen model, from which every report is rendered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

SCHEMA = 1


class Verdict(StrEnum):
    """What a comparison says."""

    IDENTICAL = "IDENTICAL"
    """Everything was compared, and all of it is equal."""
    EQUIVALENT = "EQUIVALENT"
    """Differences are within tolerances or noise that are named."""
    EXPLAINED = "EXPLAINED"
    """Only differences that a rule with a reason ignores are left."""
    DIFFERENT = "DIFFERENT"
    INCOMPARABLE = "INCOMPARABLE"
    """No rule compares the two: other types, keys that are not unique, unequal inputs."""
    CANDIDATE_FAILED = "CANDIDATE_FAILED"
    CONTROL_FAILED = "CONTROL_FAILED"
    BOTH_FAILED = "BOTH_FAILED"
    SKIPPED = "SKIPPED"
    """Nothing was compared, on purpose: sampled out, switched off, the control was skipped."""
    TOOL_ERROR = "TOOL_ERROR"
    """The comparison itself failed; nothing is said of the results."""

    @property
    def same(self) -> bool:
        """The candidate gives what the control gives, as far as the rules ask."""
        return self in _SAME


_SAME = frozenset({Verdict.IDENTICAL, Verdict.EQUIVALENT, Verdict.EXPLAINED})

_ORDER = (
    Verdict.TOOL_ERROR,
    Verdict.BOTH_FAILED,
    Verdict.CONTROL_FAILED,
    Verdict.CANDIDATE_FAILED,
    Verdict.DIFFERENT,
    Verdict.INCOMPARABLE,
    Verdict.EXPLAINED,
    Verdict.EQUIVALENT,
    Verdict.SKIPPED,
    Verdict.IDENTICAL,
)
"""From the verdict that decides for the whole to the one that does so only if all parts have it."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a whole from its parts'; SKIPPED where there is no part.

    A part that was skipped keeps the whole from being IDENTICAL: it is EQUIVALENT then where anything was
    compared, and its ``skipped`` says why.
    """
    found = set(verdicts)
    if not found:
        return Verdict.SKIPPED
    if found == {Verdict.SKIPPED, Verdict.IDENTICAL}:
        return Verdict.EQUIVALENT
    return next(one for one in _ORDER if one in found)


@dataclass(frozen=True)
class Difference:
    """One difference.

    :param path: where: ``$.rows[3].score``, ``[17] score``, ``weights/layer.0``, ``lines 12-14``.
    :param kind: ``value``, ``type``, ``missing`` (the candidate lacks it), ``extra`` (only it has it),
        ``order``, ``length``, ``null``, ``schema``, ``duplicate``.
    :param control: the control's value as people read it, shortened; None where it has none.
    :param detail: how far apart: ``abs 0.001, rel 2e-4``.
    :param within: the name of the relaxation that allows it; empty where nothing does.
    """

    path: str
    kind: str
    control: str | None = None
    candidate: str | None = None
    detail: str = ""
    within: str = ""


@dataclass(frozen=True)
class Skipped:
    """Something that was not compared, how much of it, and why."""

    what: str
    why: str
    amount: int = 1


@dataclass(frozen=True)
class Relaxation:
    """A rule that made the comparison less strict.

    :param name: ``rtol``, ``unordered``, ``equal:int-is-float``, ``ignore:updated_at``, ``noise``.
    :param value: what it was set to.
    :param allowed: how many differences it let pass.
    :param reason: why, in the words of who set it; empty where none was asked for.
    """

    name: str
    value: str
    allowed: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Unused:
    """A rule that names something, and matched nothing that was compared.

    :param setting: ``ignore``, ``columns``, ``dtypes``, ``mask``, ``outputs``.
    :param name: the column, path or glob that it names.
    :param there: a few names that there are, those first that are spelt alike.
    """

    setting: str
    name: str
    there: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fact:
    """One number or text about both sides: rows, bytes, dtype, a quantile."""

    name: str
    control: str
    candidate: str


@dataclass(frozen=True)
class Column:
    """What was found in one column of a table or one array of several.

    :param unequal: rows that differ beyond every relaxation.
    :param allowed: rows that differ within one.
    :param max_abs: largest absolute difference of numbers (durations in seconds); None where there is none.
    :param nulls: rows where one side only is null; in an array elements without a finite distance.
    """

    name: str
    control_type: str
    candidate_type: str
    compared: int = 0
    unequal: int = 0
    allowed: int = 0
    nulls: int = 0
    max_abs: float | None = None
    max_rel: float | None = None
    tolerance: str = ""
    samples: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Drift:
    """How far the distribution of one column moved, where rows cannot be matched; never proof of equality.

    :param measure: ``psi``, ``ks``, ``quantile``, ``top-k``, ``nulls``, ``mean``.
    :param value: of the measure.
    :param limit: above which it counts; None where it is only shown.
    """

    column: str
    measure: str
    value: float
    limit: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Part:
    """One thing that was compared, with the things inside it.

    :param name: ``return_value``, ``model/weights.npz``, ``[3]`` (of a mapped task).
    :param comparator: its name, as the registry has it.
    :param rule: the sentence that decided the verdict: ``5 of 1,000 rows differ in column 'score'``.
    :param differences: the worst or first ones; ``total`` counts all.
    :param exact: False where ``total`` is at least that many.
    :param compared: how many ``unit`` were compared, of how many.
    :param unused: rules that match nothing in it; None where that is not known, for not all of it was opened.
    """

    name: str
    comparator: str
    verdict: Verdict
    rule: str
    differences: tuple[Difference, ...] = ()
    total: int = 0
    exact: bool = True
    compared: int = 0
    of: int = 0
    unit: str = "values"
    facts: tuple[Fact, ...] = ()
    columns: tuple[Column, ...] = ()
    drift: tuple[Drift, ...] = ()
    relaxations: tuple[Relaxation, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    parts: tuple[Part, ...] = ()
    unused: tuple[Unused, ...] | None = None


@dataclass(frozen=True)
class Phase:
    """One phase of a run and its length in seconds: ``queued``, ``pull``, ``run``, ``upload``."""

    name: str
    seconds: float


@dataclass(frozen=True)
class RunFacts:
    """How one side ran; shown beside the verdict and never part of it.

    Seconds, bytes; None where it is not known, and ``missing`` says why.

    :param state: Airflow's word: ``success``, ``failed``, ``skipped``.
    :param cache: ``hit``, ``miss``, ``off``, ``resumed``; empty for a task that is no step.
    """

    task_id: str
    state: str
    tries: int = 0
    started: str = ""
    seconds: float | None = None
    phases: tuple[Phase, ...] = ()
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    gpu_model: str = ""
    gpu_seconds: float | None = None
    peak_gpu_memory: int | None = None
    cache: str = ""
    place: str = ""
    error: str = ""
    record: str = ""
    missing: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Noise:
    """What differs between runs of the same side on the same inputs.

    :param side: ``control`` or ``candidate``: which one was repeated.
    :param runs: how many further runs there were.
    :param parts: their comparisons with the first.
    """

    side: str
    runs: int
    parts: tuple[Part, ...]
    note: str = ""


@dataclass(frozen=True)
class Subject:
    """What the report is of.

    :param control: the control's task id, or the origin of the first side of a comparison by hand.
    :param map_index: -1 where the task is not mapped, or where all of its elements are in one report.
    """

    control: str
    candidate: str
    dag_id: str = ""
    run_id: str = ""
    logical_date: str = ""
    map_index: int = -1
    code: str = ""
    """The digest of the candidate's code."""
    image: str = ""


@dataclass(frozen=True)
class Report:
    """One comparison, whole.

    :param rule: why the verdict is what it is, in a sentence.
    :param inputs: the inputs of both sides, compared; DIFFERENT ones void the comparison.
    :param unused: rules that match nothing in any part; empty also where that is not known.
    """

    subject: Subject
    verdict: Verdict
    rule: str
    parts: tuple[Part, ...]
    control: RunFacts | None = None
    candidate: RunFacts | None = None
    inputs: Part | None = None
    noise: Noise | None = None
    created: str = ""
    version: str = ""
    seconds: float = 0.0
    unused: tuple[Unused, ...] = ()
    schema: int = SCHEMA
