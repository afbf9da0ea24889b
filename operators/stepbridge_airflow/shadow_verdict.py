"""From how control and candidate ended, and what they left, to the report of one run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepbridge import documents
from stepbridge.compare import job, sides
from stepbridge.compare.model import Part, Report, Skipped, Verdict
from stepbridge.compare.noise import shortened
from stepbridge.compare.reporting import report_of, without_comparison
from stepbridge.compare.rules import Compare
from stepbridge.contract import Result, Value
from stepbridge.failures import StepbridgeError
from stepbridge.store.opening import open_store
from stepbridge_airflow import (
    bindings,
    compat,
    shadow_facts,
    shadow_gate,
    shadow_inputs,
    shadow_noise,
    shadow_outputs,
    shadow_written,
)
from stepbridge_airflow.config import Settings
from stepbridge_airflow.links import DETAILS
from stepbridge_airflow.shadow_candidate import Note, as_control, store_of

if TYPE_CHECKING:
    from stepbridge_airflow.shadow_compare import ShadowComparison

RETURNED = "return_value"
_DID_NOT_RUN = frozenset({"skipped", "upstream_failed", "removed", "None"})


@dataclass(frozen=True)
class Ended:
    """How one instance of control and candidate ended.

    :param control: :param candidate: Airflow's states; ``None`` as text where there is none.
    :param note: what the candidate left.
    :param marked: the control never ran: a person marked it.
    """

    control: str
    candidate: str
    note: Note | None
    marked: bool = False

    def verdict(self) -> tuple[Verdict, str] | None:
        """The verdict where there is nothing to compare, and why; None where both gave a result."""
        if self.control in _DID_NOT_RUN:
            return Verdict.SKIPPED, f"the control did not run: {self.control}"
        if self.marked:
            return Verdict.SKIPPED, f"the control did not run: it was marked {self.control}"
        end = self.note.end if self.note else ""
        failed = end == "failed" or self.candidate == "failed"
        why = self.note.reason if self.note and end == "failed" else "it was killed or lost with its worker"
        if self.control == "failed":
            if failed:
                return Verdict.BOTH_FAILED, f"both failed; the candidate: {why}"
            if end in ("ran", "skipped"):
                return Verdict.CONTROL_FAILED, "the control failed, and the candidate did not"
        elif failed:
            return Verdict.CANDIDATE_FAILED, f"the candidate failed: {why}"
        elif end == "skipped":
            return Verdict.DIFFERENT, "the candidate skipped itself, and the control gave a result"
        elif end == "ran":
            return None
        if self.note is not None:
            return Verdict.SKIPPED, self.note.reason
        return Verdict.SKIPPED, f"the candidate left no result; Airflow says it is {self.candidate}"


def _without_result(note: Note | None) -> str:
    if note is None:
        return "it left no result"
    return f"{note.end}: {note.reason}" if note.reason else note.end


class Comparing:
    """One comparison at work.

    :param operator: the comparison's task.
    :param context: Airflow's context.
    """

    def __init__(self, operator: ShadowComparison, context: Mapping[str, Any], settings: Settings) -> None:
        self._operator = operator
        self._context = context
        self._settings = settings
        self._results = open_store(store_of(settings.store))
        self._started = time.monotonic()
        self._ti = context["ti"]
        self._outputs: dict[tuple[int, str], str] = {}
        """Names in the report of what was written, by map index and the output's name."""

    def report(self) -> Report:
        """The report.

        :raises StepbridgeError: where the candidate's result is gone or the store does not answer.
        """
        ended = self._ended()
        control = shadow_facts.of_control(self._operator.control, self._context, ended)
        seen = shadow_facts.of_candidate(self._operator.candidate, ended, self._results, self._image())
        candidate = seen.facts
        subject = replace(self._operator.subject(self._context), code=seen.code, image=seen.image)
        settled = {index: verdict for index, one in ended.items() if (verdict := one.verdict()) is not None}
        if not self._operator.mapped:
            (index,) = ended
            if index in settled:
                return without_comparison(subject, *settled[index], control=control, candidate=candidate)
        elif not ended:
            return without_comparison(
                subject,
                Verdict.SKIPPED,
                "the control was mapped over nothing",
                control=control,
                candidate=candidate,
            )
        parts = [
            Part(f"[{index}]", "none", verdict, rule) for index, (verdict, rule) in sorted(settled.items())
        ]
        indexes = [index for index in sorted(ended) if index not in settled]
        parts += self._compared(indexes)
        noise = None
        inputs = self._inputs(indexes)
        if isinstance(inputs, Skipped):
            control = replace(control, missing=(*control.missing, inputs))
        if self._operator.repeats and indexes:
            with tempfile.TemporaryDirectory(prefix="stepbridge-repeats-") as folder:
                parts, noise = self._repeats(Path(folder)).judged(parts, indexes)
            parts = [shortened(part, self._operator.rules.samples) for part in parts]
        seconds = time.monotonic() - self._started
        return report_of(
            subject,
            parts,
            seconds=round(seconds, 3),
            control=control,
            candidate=candidate,
            inputs=inputs if isinstance(inputs, Part) else None,
            noise=noise,
        )

    def _inputs(self, indexes: list[int]) -> Part | Skipped:
        operator = self._operator
        if not operator.same_arguments:
            return Skipped("inputs", "the candidate is a step with arguments of its own")
        return shadow_inputs.compared(
            self._context, operator.control, operator.candidate, indexes, operator.rules
        )

    def _image(self) -> str:
        """The candidate's image as its task names it."""
        task = self._context["dag"].task_dict.get(self._operator.candidate)
        named = getattr(task, "partial_kwargs", None) or vars(task) if task is not None else {}
        return str(named.get("image") or "")

    def _ended(self) -> dict[int, Ended]:
        """By map index; one entry at the task's own index where the control is not mapped."""
        own = self._ti.map_index if self._ti.map_index is not None else -1
        only = None if self._operator.mapped or own < 0 else own
        control = compat.task_states(self._context, self._operator.control, only)
        candidate = compat.task_states(self._context, self._operator.candidate, only)
        several = [one for one in {**control, **candidate} if one >= 0]
        indexes = several if self._operator.mapped else [own]
        took = compat.task_durations(self._context, self._operator.control) if compat.AIRFLOW_3 else None
        return {
            index: Ended(
                control.get(index, "None"),
                candidate.get(index, "None"),
                Note.of(self._pull(self._operator.candidate, DETAILS, index)),
                marked=took is not None and took.get(index, 0.0) is None,
            )
            for index in sorted(indexes)
        }

    def _compared(self, indexes: list[int]) -> list[Part]:
        """The parts of all instances that gave a result, compared in one process of their own."""
        left: dict[str, Value] = {}
        right: dict[str, Value] = {}
        broken: list[Part] = []
        written: dict[str, shadow_written.Written] = {}
        with tempfile.TemporaryDirectory(prefix="stepbridge-control-") as folder:
            for index in indexes:
                result = self._result(index)
                for key in self._keys(result, index):
                    name = self._name(index, key)
                    mine = result.output if key == RETURNED else result.xcoms.get(key)
                    try:
                        its = self._control(key, index, Path(tempfile.mkdtemp(dir=folder)))
                    except StepbridgeError as error:
                        rule = f"the control's value cannot be compared: {error}"
                        broken.append(Part(name, "none", Verdict.INCOMPARABLE, rule, total=1, of=1))
                        continue
                    if its is not None:
                        left[name] = its
                    if mine is not None:
                        right[name] = mine
                for one in self._written(index, Path(tempfile.mkdtemp(dir=folder))):
                    name = self._name(index, one.name)
                    if name in left or name in right:
                        name += " (output)"
                    if one.part is not None:
                        broken.append(replace(one.part, name=name))
                        continue
                    self._outputs[index, one.name] = name
                    written[name] = one
                    left |= {} if one.control is None else {name: one.control}
                    right |= {} if one.candidate is None else {name: one.candidate}
            if not left and not right:
                return broken
            rules = self._rules()
            parts = self._run(left, right, rules, self._limit())
            more = {part.name for part in parts if self._operator.repeats and shadow_noise.cut_off(part)}
            if more:
                control, candidate = (
                    {name: one[name] for name in one.keys() & more} for one in (left, right)
                )
                full = self._run(control, candidate, shadow_noise.in_full(rules), self._limit())
                again = {part.name: part for part in full if part.verdict is Verdict.DIFFERENT}
                parts = [again.get(part.name, part) for part in parts]
            parts = [written[part.name].settled(part) if part.name in written else part for part in parts]
        return [*broken, *(self._with_what_is_unknown(part) for part in parts)]

    def _written(self, index: int, folder: Path) -> Iterator[shadow_written.Written]:
        """What one instance of both sides wrote instead of returning it."""
        rules, settings = self._operator.rules, self._settings.store
        if rules.outputs:
            note = Note.of(self._pull(self._operator.candidate, DETAILS, index))
            places = note.places if note else ()
            yield from shadow_written.read(rules, places, settings, folder, self._render(index))

    def _render(self, index: int) -> Callable[[str], str]:
        """A template of an output as the control sees it."""
        seen = as_control(self._operator.control, self._context, index)
        return shadow_outputs.renderer(self._operator, seen)

    def _run(
        self, left: Mapping[str, Value], right: Mapping[str, Value], rules: Compare, seconds: float
    ) -> list[Part]:
        return list(job.run(job.Job(left, right, rules, self._settings.store), seconds=seconds))

    def _rules(self) -> Compare:
        """The rules; what is looked for noise in shows a difference at least, until the report is cut."""
        rules = self._operator.rules
        return replace(rules, samples=max(rules.samples, 1)) if self._operator.repeats else rules

    def _repeats(self, folder: Path) -> shadow_noise.Repeats:
        """The repeats; *folder* holds the rows of queries."""
        return shadow_noise.Repeats(
            self._operator.repeats,
            self._operator.candidate,
            lambda task_id, index: self._given(task_id, index, folder),
            self._run,
            self._rules(),
            self._limit(),
        )

    def _given(self, task_id: str, index: int, folder: Path) -> shadow_noise.Given:
        """What an instance of the candidate or of a repeat gave."""
        note = Note.of(self._pull(task_id, DETAILS, index))
        if note is None or note.end != "ran":
            return shadow_noise.Given({}, _without_result(note))
        lead = shadow_facts.record_key(self._results, note.run)
        result = documents.read(Result, self._results, f"{lead}result.json")
        returned = {RETURNED: result.output} if self._operator.pushes else {}
        found = {self._name(index, key): value for key, value in {**returned, **result.xcoms}.items()}
        written = shadow_written.own(
            self._operator.rules, note.places, self._settings.store, folder, self._render(index)
        )
        outputs = {
            self._outputs[index, one.name]: one for one in written if (index, one.name) in self._outputs
        }
        return shadow_noise.Given(found, outputs=outputs)

    def _keys(self, result: Result, index: int) -> list[str]:
        """The keys to compare: the return value, what the candidate pushed, and what the control did."""
        returned = [RETURNED] if self._operator.pushes else []
        known = compat.xcom_keys(self._context, self._operator.control, index) or []
        apart: Any = self._pull(self._operator.control, RETURNED, index) if self._operator.members else None
        members = set(apart) if isinstance(apart, Mapping) else set()
        ours = [one for one in known if one not in {RETURNED, *members} and not one.startswith("_link_")]
        return list(dict.fromkeys([*returned, *result.xcoms, *ours]))

    def _control(self, key: str, index: int, folder: Path) -> Value | None:
        """What the control pushed; None where it pushed nothing under another key than the return value's."""
        pulled = self._pull(self._operator.control, key, index)
        if pulled is None and key != RETURNED:
            return None
        return sides.value_of(pulled, folder, place=f"XCom {key!r} of {self._operator.control!r}")

    def _pull(self, task_id: str, key: str, index: int) -> Any:
        pulled = self._ti.xcom_pull(task_ids=task_id, key=key, map_indexes=index)
        return bindings.resolve_lazy(pulled)

    def _result(self, index: int) -> Result:
        note = Note.of(self._pull(self._operator.candidate, DETAILS, index))
        lead = shadow_facts.record_key(self._results, note.run) if note else ""
        return documents.read(Result, self._results, f"{lead}result.json")

    def _name(self, index: int, key: str) -> str:
        if not self._operator.mapped:
            return key
        return f"[{index}]" if key == RETURNED else f"[{index}] {key}"

    def _limit(self) -> float:
        left = shadow_gate.time_left(self._context)
        limit = self._settings.compare_limit
        return limit if left is None else max(1.0, min(limit, left.total_seconds() / 2))

    def _with_what_is_unknown(self, part: Part) -> Part:
        """The part with what Airflow does not tell: keys that only another function would push."""
        if self._operator.derived or not compat.AIRFLOW_3 or not part.name.endswith((RETURNED, "]")):
            return part
        unknown = Skipped(
            "XCom keys that only the control pushes", "Airflow 3 tells no task the keys of another"
        )
        return replace(part, skipped=(*part.skipped, unknown))
