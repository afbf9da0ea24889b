"""How a run that has no result ended, and what that is to Airflow: one table from what is known to one error.

``ending`` reads :data:`TABLE` from the top; the first row that sees its cause gives the code, and the code
the kind. The order is the rule of precedence:

1. **Out of memory** as Kubernetes states it (``OOMKilled``, with any exit code) is the cause even where the
   function raised, for what it raised is then mostly the echo of a killed child; its traceback is kept. It
   does not replace a skip or failure that the function asked for, nor another cause of its own (a wrong
   declaration, a timeout, a missing GPU).
2. **The runner's own word** (``error.json``, or the short form in the container's termination message where
   the store could not be written) stands whenever it names a cause of the step's own: a function that raised
   before the machine was taken away has raised.
3. Its kinds ``interrupted`` and ``infra`` only say what the runner could see from inside. The pod's status
   may know who sent the signal or took the network: Airflow's kill, one of our budgets, the pod's deadline,
   an eviction, a preemption, a lost node, for ``interrupted`` also a deletion; in this order. If none of them
   is there the runner's word stands.
4. **Without a word of the runner** the same causes come first, then what stood in the way of its start (the
   node's refusal, an init container, the image, the container), then the budget that ran out waiting, then a
   deletion from outside, then the exit code, then what the API server answered. A budget is a cause only
   where no better one is seen.

A code has one kind; ``retryable`` follows the same rule as in the runner.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from stepbridge.contract import Attempt, ErrorDocument
from stepbridge.failures import CODES, Kind, StepbridgeError
from stepbridge.runner.workspace import is_retryable
from stepbridge_airflow import pod_signs as signs
from stepbridge_airflow.compat import AirflowSkipException
from stepbridge_airflow.exceptions import BY_KIND, StepFailed
from stepbridge_airflow.pod_facts import PodFacts
from stepbridge_airflow.pod_signs import waiting

__all__ = [
    "TABLE",
    "Row",
    "Seen",
    "ending",
    "exception_for",
    "exception_of",
    "hopeless",
    "repeats",
    "waiting",
]

REPEATED: frozenset[Kind] = frozenset({"infra", "preempted", "preflight"})
"""Kinds that ``infra_retries`` repeats within one attempt of Airflow's."""

TAIL_LIMIT = 2000
"""Characters of the container's log that a message keeps."""

_WEAK: frozenset[Kind] = frozenset({"infra", "interrupted"})
_GIVES_WAY_TO_MEMORY = frozenset({"SB402", "SB403", "SB406"})
_KINDS: frozenset[str] = frozenset(get_args(Kind))


@dataclass(frozen=True)
class Seen:
    """All that is known of a run that has no result.

    :param error: the attempt's ``error.json``, if it wrote one.
    :param killed: Airflow told the task to stop.
    :param over: our budget that ran out.
    :param api: what the API server said when the pod could not be created or read: a body or an exception's
        text; :param api_status: its status, 0 where there was no answer.
    :param log_tail: the end of the container's log as Kubernetes has it, where there is no ``error.json``.
    """

    facts: PodFacts
    error: ErrorDocument | None = None
    killed: bool = False
    over: Literal["", "schedule", "pull", "start", "run", "total"] = ""
    api: str = ""
    api_status: int = 0
    log_tail: str = ""


@dataclass(frozen=True)
class Row:
    """One cause.

    :param sees: the sentence on what happened, with the cluster's words; empty where this is not the cause.
    :param hint: what to do next.
    """

    code: str
    sees: Callable[[Seen], str]
    hint: str | Callable[[Seen], str]


def ending(seen: Seen, attempt: Attempt) -> ErrorDocument:
    """Why the run ended without a result. Never raises; see the module's text for what weighs more.

    :param attempt: of the run; an ``error.json`` brings its own.
    """
    if seen.error is None:
        seen = replace(seen, error=_told(seen.facts.base.message, attempt))
    error = seen.error
    for row in TABLE:
        if cause := row.sees(seen):
            if not row.code and error is not None:
                return error
            return _document(seen, row, cause, attempt)
    raise AssertionError("the last row of the table sees everything")


def hopeless(facts: PodFacts) -> bool:
    """Whether a pod that has not started never will, so that waiting for it is a waste."""
    if facts.started and not facts.finished:
        return False
    trouble = signs.image(facts)
    return bool(
        facts.finished
        or facts.deleting
        or (trouble is not None and trouble.lasting)
        or signs.failed_init(facts)
        or signs.node_gone(facts)
        or signs.driver(facts)
        or signs.no_runner(facts, "")
        or signs.unmade(facts)
    )


def exception_of(error: ErrorDocument, *, skip_on: Container[int] = ()) -> Exception:
    """The exception of Airflow's that says what *error* says.

    :param skip_on: exit statuses of the function that skip the task: ``skip_on_exit_code``.
    """
    asked = error.exit_status is not None and error.exit_status in skip_on
    if error.signal == "skip" or asked:
        return _made(AirflowSkipException(error.message))
    text = f"step failed ({error.kind}, {error.code}): {error.type}: {error.message}"
    made = StepFailed if error.signal == "fail" else BY_KIND[error.kind]
    return made(text, kind=error.kind, code=error.code)


def exception_for(error: StepbridgeError) -> Exception:
    """The same for an error that the operator itself met."""
    return BY_KIND[error.kind](str(error), kind=error.kind, code=error.code.id)


def repeats(error: ErrorDocument) -> bool:
    """Whether the infrastructure, not the step, is to blame."""
    return error.kind in REPEATED and not error.signal


def _made(exception: Any) -> Exception:
    made: Exception = exception
    return made


def _document(seen: Seen, row: Row, cause: str, attempt: Attempt) -> ErrorDocument:
    hint = row.hint if isinstance(row.hint, str) else row.hint(seen)
    message = f"{row.code} at {seen.facts.place}: {cause}. Next: {hint}"
    code = CODES[row.code]
    parts: dict[str, Any] = {
        "kind": code.kind,
        "code": code.id,
        "retryable": is_retryable(code.kind, code.id),
    }
    if seen.error is not None:
        message += f"\nThe runner said: {seen.error.type}: {seen.error.message}"
        return replace(seen.error, **parts, message=message, signal="", exit_status=None)
    if tail := seen.log_tail.strip():
        cut = "" if len(tail) <= TAIL_LIMIT else "... "
        message += f"\nThe end of the container's log:\n{cut}{tail[-TAIL_LIMIT:]}"
    return ErrorDocument(attempt=attempt, type="RunProblem", message=message, **parts)


def _told(message: str, attempt: Attempt) -> ErrorDocument | None:
    """The error that the runner left in the container's termination message, if it did."""
    try:
        found = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, Mapping):
        return None
    kind, code, asked, status = (found.get(name) for name in ("kind", "code", "signal", "exit_status"))
    if not (isinstance(kind, str) and kind in _KINDS and isinstance(code, str) and code in CODES):
        return None
    return ErrorDocument(
        attempt=attempt,
        kind=kind,  # type: ignore[arg-type]
        type=str(found.get("type") or "RunProblem"),
        message=str(found.get("message") or ""),
        code=code,
        retryable=found.get("retryable") is True,
        signal="skip" if asked == "skip" else "fail" if asked == "fail" else "",
        exit_status=status if isinstance(status, int) else None,
    )


def _settled(seen: Seen) -> bool:
    """Whether the runner names a cause that nothing outside it explains away."""
    return seen.error is not None and (bool(seen.error.signal) or seen.error.kind not in _WEAK)


def _on_facts(words: Callable[[PodFacts], str], text: str) -> Callable[[Seen], str]:
    """A row's sight that needs the pod's status alone."""
    return lambda seen: f"{text}: {found}" if (found := words(seen.facts)) else ""


def _on_facts_and_log(words: Callable[[PodFacts, str], str], text: str) -> Callable[[Seen], str]:
    """The same with the end of the container's log."""
    return lambda seen: f"{text}: {found}" if (found := words(seen.facts, seen.log_tail)) else ""


def _out_of_memory(seen: Seen) -> str:
    base, error = seen.facts.base, seen.error
    if base.reason != "OOMKilled":
        return ""
    if error is not None and (error.signal or (_settled(seen) and error.code not in _GIVES_WAY_TO_MEMORY)):
        return ""
    limit = seen.facts.memory_limit
    bound = (
        f"memory limit {limit}" if limit else "no memory limit of its own, so the node's memory was used up"
    )
    return f"the kernel killed the container for memory: OOMKilled, exit code {base.exit_code}, {bound}"


def _image_wrong(seen: Seen) -> str:
    trouble = signs.image(seen.facts)
    if trouble is None or trouble.lasting is False:
        return ""
    if not trouble.lasting and not (seen.over == "pull" and signs.no_host(trouble)):
        return ""
    return f"the image of container {trouble.container} cannot be pulled: {trouble.words}"


def _image_late(seen: Seen) -> str:
    trouble = signs.image(seen.facts)
    if seen.over not in {"pull", "start"} or trouble is None:
        return ""
    return f"the image of container {trouble.container} did not come in time: {trouble.words}"


def _missing_volume(seen: Seen) -> str:
    words = signs.mount_missing(seen.facts) if seen.over in {"pull", "start"} else ""
    return f"a volume of the pod cannot be mounted: {words}" if words else ""


def _budget(name: str, text: str) -> Callable[[Seen], str]:
    """A row's sight for a budget that ran out, with what the pod waits for."""

    def sees(seen: Seen) -> str:
        if seen.over != name:
            return ""
        words = waiting(seen.facts)
        return f"{text}; it {words}" if words else text

    return sees


def _late_setup(seen: Seen) -> str:
    """The pull budget ran out before the pull began: volumes or network come first."""
    words = signs.mount(seen.facts) if seen.over == "pull" else ""
    return f"volumes or network of the pod were not ready in time: {words}" if words else ""


def _stopped_by_deletion(seen: Seen) -> str:
    """The runner was told to stop, and the pod is gone."""
    told = seen.error is not None and seen.error.kind == "interrupted"
    unread = bool(seen.api or seen.api_status) and seen.api_status != 404
    return _gone(seen.facts) if told and not unread and signs.gone(seen.facts) else ""


def _deleted(seen: Seen) -> str:
    """Gone, and the container did not end by itself before."""
    stopped = seen.facts.base.exit_code in {None, 8, 128 + signal.SIGKILL, 128 + signal.SIGTERM}
    answered = bool(seen.api or seen.api_status)
    return _gone(seen.facts) if stopped and not answered and signs.gone(seen.facts) else ""


def _gone(facts: PodFacts) -> str:
    how = "was deleted" if facts.there else "is not there any more"
    before = "" if facts.started else " before its container was seen running"
    return f"the pod {how}{before}, and this task did not delete it"


def _refusal(seen: Seen) -> signs.Refusal | None:
    return signs.refusal(seen.api, seen.api_status) if seen.api or seen.api_status else None


def _answer(code: str, text: str) -> Callable[[Seen], str]:
    """A row's sight for what the API server answered."""

    def sees(seen: Seen) -> str:
        found = _refusal(seen)
        if found is None or found.code != code:
            return ""
        status = f"HTTP {found.status}" if found.status else "no answer"
        return f"{text} ({status}): {found.words or 'no words'}"

    return sees


def _can_i(seen: Seen) -> str:
    found = _refusal(seen)
    if found is None or not found.verb:
        return "give the account that the worker uses in the cluster the right that is missing"
    where = f" -n {found.namespace}" if found.namespace else ""
    user = f" --as {found.user}" if found.user else ""
    return (
        f"allow the verb {found.verb!r} on {found.resource!r} in its Role; "
        f"kubectl auth can-i {found.verb} {found.resource}{where}{user}"
    )


def _exit(*codes: int, text: str) -> Callable[[Seen], str]:
    """A row's sight for an exit code without a word of the runner."""

    def sees(seen: Seen) -> str:
        base = seen.facts.base
        if base.state != "terminated" or base.exit_code not in codes:
            return ""
        return signs.said(f"{text} (exit code {base.exit_code})", base.message)

    return sees


def _no_result(seen: Seen) -> str:
    facts = seen.facts
    if facts.base.exit_code is not None:
        end = f"the container ended with exit code {facts.base.exit_code}"
        return signs.said(f"{end} and left neither a result nor an error", facts.base.message)
    state = signs.said(f"phase {facts.phase or 'unknown'}", facts.reason, facts.message)
    more = waiting(facts)
    return f"the run left neither a result nor an error; {state}" + (f"; the pod {more}" if more else "")


_AGAIN = "nothing, where infra_retries repeats it"

TABLE: tuple[Row, ...] = (
    # the cause, whatever the runner says
    Row(
        "SB406",
        _out_of_memory,
        "give it more with Resources(memory=...), let on_oom=Escalate(...) do so, or read the data in parts",
    ),
    Row("", lambda seen: "told" if _settled(seen) else "", ""),
    # what the runner cannot know from inside
    Row(
        "SB405",
        lambda seen: "Airflow told the task to stop" if seen.killed else "",
        "see who ended the task: a person, a lost worker, a time limit",
    ),
    Row(
        "SB404",
        _budget("run", "the step was still running when its timeout was over"),
        "give the step a longer timeout, or see in its log where it hangs",
    ),
    Row(
        "SB438",
        _budget("total", "the total budget, repetitions included, is used up"),
        "raise budgets.total, or lower infra_retries",
    ),
    Row(
        "SB437",
        _on_facts(signs.deadline, "Kubernetes ended the pod at its deadline"),
        "give the step a longer timeout, or the pod a longer active_deadline_seconds",
    ),
    Row(
        "SB430",
        _on_facts(signs.over_own_disk, "the pod was evicted for more disk, or /dev/shm, than its own limit"),
        "raise Resources(ephemeral_storage=..., shm=...), or delete temporary files as the step runs",
    ),
    Row(
        "SB429",
        _on_facts(signs.evicted, "the node evicted the pod because it ran low on something itself"),
        "ask for what the step uses with Resources(...), so that it is not the first to go; " + _AGAIN,
    ),
    Row(
        "SB431",
        _on_facts(signs.taken, "the pod's machine was taken away"),
        _AGAIN + " (the last time off spot); for steps that must not be moved see Placement",
    ),
    Row(
        "SB432",
        _on_facts(signs.node_gone, "the pod's node is gone or does not answer"),
        _AGAIN + "; else look at the node",
    ),
    Row("SB433", _stopped_by_deletion, "see who deletes pods of this namespace: a person, a clean-up job"),
    Row("", lambda seen: "told" if seen.error is not None else "", ""),
    # what stood in the way of the runner
    Row(
        "SB426",
        _on_facts(signs.init, "an init container failed"),
        "see the init container's log; it runs before the step",
    ),
    Row(
        "SB423",
        _image_wrong,
        "correct the image's name and tag, or give the pod the image_pull_secrets its registry wants",
    ),
    Row("SB424", _image_late, _AGAIN + "; else pull through a cache, or raise budgets.pull"),
    Row(
        "SB407",
        _on_facts(signs.driver, "the node's GPU driver did not answer"),
        _AGAIN + "; else look at the node's driver and device plugin",
    ),
    Row(
        "SB436",
        _on_facts_and_log(signs.no_runner, "the container has no runner to start"),
        "build the image with Python 3.11 or newer and stepbridge for the node's architecture; "
        "name its interpreter where it is not the first 'python'",
    ),
    Row(
        "SB425",
        _on_facts(signs.unmade, "the container cannot be made as the pod declares it"),
        "create the Secret or ConfigMap it names, or correct the pod, which stepbridge pod render shows",
    ),
    Row(
        "SB427",
        _on_facts(signs.refused, "the node refused the pod"),
        _AGAIN + "; else look at the node and what else runs on it",
    ),
    # a budget, where no better cause is seen
    Row(
        "SB420",
        _budget("schedule", "the pod got no node within its schedule budget"),
        "ask for less or for other nodes, look at the node group's limits, or raise budgets.schedule",
    ),
    Row(
        "SB425",
        _missing_volume,
        "create what the volume names in the pod's namespace, or correct the declaration",
    ),
    Row(
        "SB428",
        _late_setup,
        "look at the volume's driver and the cluster's network; " + _AGAIN,
    ),
    Row(
        "SB424",
        _budget("pull", "the images were not on the node within the pull budget"),
        _AGAIN + "; else make the image smaller, pull through a cache, or raise budgets.pull",
    ),
    Row(
        "SB428",
        _budget("start", "the container did not start within its start budget"),
        "see the init containers' logs and the pod's events, or raise budgets.start",
    ),
    # how it came to its end
    Row(
        "SB433", _deleted, "see who deletes pods of this namespace: a person, a clean-up job, a drained node"
    ),
    Row(
        "SB410",
        _exit(1, 2, text="the container ended and the runner left no word"),
        "see the end of its log; the runner's command or its installation in the image is wrong",
    ),
    Row(
        "SB406",
        _exit(5, text="the runner ended for want of memory"),
        "give it more with Resources(memory=...)",
    ),
    Row("SB404", _exit(6, text="the runner ended at the step's timeout"), "give the step a longer timeout"),
    Row(
        "SB407",
        _exit(7, text="the runner did not find the GPU that was asked for"),
        _AGAIN + "; else look at the node's driver and device plugin",
    ),
    Row("SB405", _exit(8, text="the runner was told to stop"), "see who ended the process in the pod"),
    Row(
        "SB408",
        _on_facts(signs.by_signal, "the container was killed"),
        "see the end of the log; SIGKILL without OOMKilled is the node's or a person's, others a crash",
    ),
    # what the API server answered
    Row(
        "SB422",
        _answer("SB422", "the namespace's quota is used up"),
        "wait until other pods end, ask for less, or have the quota raised",
    ),
    Row("SB435", _answer("SB435", "the worker may not do this in the cluster"), _can_i),
    Row(
        "SB421",
        _answer("SB421", "the cluster refused to create the pod"),
        "correct what it names; stepbridge pod render shows the pod",
    ),
    Row(
        "SB433",
        _answer("SB433", "the pod is not there any more, and this task did not delete it"),
        "see who deletes pods of this namespace: a person, a clean-up job, a drained node",
    ),
    Row(
        "SB434",
        _answer("SB434", "the cluster's API server refused or could not be reached"),
        _AGAIN + "; else look at the connection's credentials and the API server's load",
    ),
    Row("SB409", _no_result, "see the end of the log; " + _AGAIN),
)
"""All causes, the weightiest first. A row without a code is the runner's own word."""
