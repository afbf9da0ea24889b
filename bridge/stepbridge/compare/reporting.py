"""From compared parts to a report: one verdict, and the sentence that says why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from stepbridge import __version__
from stepbridge.compare.model import Noise, Part, Report, RunFacts, Subject, Verdict, worst
from stepbridge.compare.unused import of_report


def report_of(
    subject: Subject,
    parts: Sequence[Part],
    *,
    control: RunFacts | None = None,
    candidate: RunFacts | None = None,
    inputs: Part | None = None,
    noise: Noise | None = None,
    seconds: float = 0.0,
) -> Report:
    """The report of a comparison that took place.

    :param inputs: the inputs compared; where they differ the comparison says nothing of the step.
    :param seconds: how long comparing took.
    """
    verdict, rule = _decided(parts, inputs)
    return Report(
        subject,
        verdict,
        rule,
        tuple(parts),
        control=control,
        candidate=candidate,
        inputs=inputs,
        noise=noise,
        created=_now(),
        version=__version__,
        seconds=seconds,
        unused=of_report(parts, inputs),
    )


def without_comparison(
    subject: Subject,
    verdict: Verdict,
    rule: str,
    *,
    control: RunFacts | None = None,
    candidate: RunFacts | None = None,
) -> Report:
    """The report where nothing was compared: skipped, or a side failed, or the comparison did."""
    return Report(
        subject,
        verdict,
        rule,
        (),
        control=control,
        candidate=candidate,
        created=_now(),
        version=__version__,
    )


def _decided(parts: Sequence[Part], inputs: Part | None) -> tuple[Verdict, str]:
    if inputs is not None and not inputs.verdict.same:
        return Verdict.INCOMPARABLE, f"the inputs are not the same: {inputs.rule}"
    verdict = worst(part.verdict for part in parts)
    if not parts:
        return verdict, "there was nothing to compare: neither side gives a result"
    deciding = next((part for part in parts if part.verdict is verdict), parts[0])
    if len(parts) == 1:
        return verdict, deciding.rule
    same = sum(part.verdict.same for part in parts)
    return verdict, f"{same} of {len(parts)} results are the same; {deciding.name}: {deciding.rule}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
