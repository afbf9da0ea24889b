"""Runs a step in a pod: launch or reattach, watch, judge, repeat, and leave nothing behind."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from stepbridge import documents
from stepbridge.backends.base import outcome
from stepbridge.contract import Attempt, ErrorDocument, Request, Result
from stepbridge.failures import ObjectExists, OperatorProblem, RunProblem, StepbridgeError, StoreProblem
from stepbridge_airflow import compat, environment, outcomes, pod_parts, pod_watch
from stepbridge_airflow.attempts import Attempts, EarlierEnd, PodRecord, now, work_of
from stepbridge_airflow.cluster import Cluster, ClusterTrouble, Look, trouble_in
from stepbridge_airflow.outcomes import Seen
from stepbridge_airflow.pod_end import PodEnd
from stepbridge_airflow.pod_facts import PodFacts
from stepbridge_airflow.pod_guard import PodGuard
from stepbridge_airflow.pod_logs import LogPrinter
from stepbridge_airflow.pod_spec import PodParts
from stepbridge_airflow.pod_watch import Clock
from stepbridge_airflow.work import Done, Site, Work

_SETTLING = 15.0
"""Seconds that a pod whose runner has reported its end gets to end itself."""
_LONGEST_DELAY = 120.0
_UNENFORCED = 180.0
"""Seconds after a pod's deadline by which a kubelet that lives has ended it."""
_CHECK = 1800.0
"""Seconds after which a deferred task looks at its running pod itself: the trigger waits for ever."""


class PodRun:
    """One task instance's step in its pods, one after another.

    :param plain: the operator's methods as KubernetesPodOperator has them.
    """

    def __init__(self, site: Site, attempts: Attempts, plain: Any) -> None:
        self._site = site
        self._operator = site.operator
        self._attempts = attempts
        self._plain = plain
        self._cluster = Cluster(site.operator)
        self._budgets = site.step.budgets.filled(gpus=site.step.resources.amounts().gpu.count)
        self._guard = PodGuard(
            site,
            self._cluster,
            deadline=pod_parts.deadline_of(site.operator, site.settings),
            total=self._budgets.total,
        )
        self._killed = False
        self._blind_since: float | None = None
        self._refused = 0
        self._said = ""
        self._last = PodFacts()
        self._left = False
        self._work: Work | None = None
        self._request: Request | None = None
        self._digest = ""
        self._record: PodRecord
        self._printer: LogPrinter
        self.inside = False
        """Whether KubernetesPodOperator's own code runs: what it calls of the mixin is then meant for it."""

    @property
    def attempt(self) -> Attempt:
        """The attempt at work; the first one while none is claimed."""
        return self._request.attempt if self._request is not None else self._attempts.first

    @property
    def _asked(self) -> Request:
        if self._request is None:
            raise AssertionError("a request is claimed or taken up first")
        return self._request

    def cancel(self) -> None:
        """Airflow told the task to stop; safe from a signal handler."""
        self._killed = True
        self._plain.on_kill()

    # ways in -----------------------------------------------------------------------------------------

    def begin(self, work: Work) -> Done:
        """Run *work*, or go on with a pod of an earlier try that is at it.

        :raises AirflowException: where the step failed; see :mod:`stepbridge_airflow.outcomes`.
        :raises TaskDeferred: where the trigger waits for the pod.
        """
        self._work = work
        earlier = self._attempts.latest_pod() if self._may_have_earlier() else None
        if earlier is not None and not earlier[1].taken and self._goes_on(*earlier, work):
            ended = self._outcome()
            return self._succeeded(ended) if isinstance(ended, Result) else self._live(None)
        self._claim(PodRecord("", "", "", work="", created="", first=now()))
        return self._live(None)

    def resume(self, event: Mapping[str, Any]) -> Done:
        """Go on after a deferral.

        :raises RunProblem: SB409 where nothing is known of the pod that the trigger speaks of.
        """
        found = self._attempts.latest_pod(str(event.get("name", "")))
        if found is None:
            raise RunProblem(
                "SB409",
                f"the store has no record of pod {event.get('namespace')}/{event.get('name')}",
                place=self._site.place,
                hint="clear the task; a lifecycle rule must not remove runs/ while they run",
            )
        self._take_up(*found)
        return self._live(event)

    def _may_have_earlier(self) -> bool:
        return (self._site.context["ti"].try_number or 1) > 1

    def _goes_on(self, attempt: Attempt, record: PodRecord, work: Work) -> bool:
        """Whether that attempt is at this very work, and its pod lives or its result is there."""
        self._take_up(attempt, record)
        same = record.work == work_of(work.make(attempt))
        ended = self._outcome()
        look = self._seen(record)
        alive = look is not None and look.facts.there and not look.facts.finished and not look.facts.deleting
        if same and isinstance(ended, Result):
            self._site.log.info("an earlier try left its result in %s; it is taken", attempt.prefix)
            return True
        wanted = self._operator.reattach_on_restart is not False
        if same and wanted and alive and look is not None:
            self._site.log.info(
                "pod %s/%s is at this work already; reattached", record.namespace, record.name
            )
            self._adopt(look.pod)
            return True
        self._end(keep_ended=True).leave(None, look.facts if look else None, sure=True)
        self._attempts.write_pod(attempt, replace(record, taken=True))
        return False

    def _seen(self, record: PodRecord) -> Look | None:
        """The record's own pod, or None where there is none or another of the same name."""
        try:
            look = self._cluster.look(record.name, record.namespace, events=False)
        except ClusterTrouble as trouble:
            nothing = PodFacts(name=record.name, namespace=record.namespace)
            raise outcomes.exception_of(self._ending(nothing, trouble=trouble)) from trouble
        ours = look.facts.annotations.get(pod_parts.DIGEST_NOTE) == record.request_digest
        return look if look.facts.there and ours else None

    def _take_up(self, attempt: Attempt, record: PodRecord) -> None:
        self._request, data = self._attempts.request(attempt)
        self._digest = hashlib.sha256(data).hexdigest()
        self._record = record
        self._left = False
        self._last = PodFacts(name=record.name, namespace=record.namespace)
        self._follow(record.log_offset)

    def _adopt(self, pod: Any) -> None:
        """Let KubernetesPodOperator go on with *pod* instead of making one."""
        self._operator.pod = pod
        if self._operator.pod_request_obj is None:
            self._operator.pod_request_obj = pod

    def _claim(self, record: PodRecord) -> None:
        """A new attempt for the same work, whose pod *record* describes but for its name."""
        work = self._work_at_hand()
        self._request, data = self._attempts.claim(work.make, work.inputs)
        self._digest = hashlib.sha256(data).hexdigest()
        self._record = replace(
            record,
            name="",
            request_digest=self._digest,
            work=work_of(self._request),
            variables=work.variables,
            connections=work.connections,
            reason=work.reason,
            replace_entry=work.replace_entry,
            log_offset=0,
        )
        self._left = False
        self._last = PodFacts(namespace=str(self._operator.namespace or ""))
        self._guard.facts = None
        operator = self._operator
        operator.pod = operator.pod_request_obj = operator.remote_pod = None
        self._follow(0)
        self._site.log.info(
            "step %s runs in a pod; its record is at %s",
            self._asked.step,
            self._site.uri(self.attempt.prefix),
        )

    def _work_at_hand(self) -> Work:
        """The work, after a deferral as its last request tells it."""
        if self._work is None:
            request, record = self._asked, self._record
            self._work = Work(
                make=lambda attempt: replace(request, attempt=attempt, created=now()),
                inputs=self._attempts.inputs(request.attempt),
                variables=record.variables,
                connections=record.connections,
                values=environment.values_of(environment.variables_of(record.variables), record.connections),
                reason=record.reason,
                replace_entry=record.replace_entry,
            )
        return self._work

    def _follow(self, offset: int) -> None:
        show = self._shown if self._operator.get_logs else _silent
        self._printer = LogPrinter(self._site.store, self.attempt.prefix, show, offset=offset)

    def _shown(self, line: str) -> None:
        formatter = getattr(self._operator, "log_formatter", None)
        container = self._operator.base_container_name
        self._site.log.info("%s", formatter(container, line) if formatter else line)

    # the pod -----------------------------------------------------------------------------------------

    def parts(self) -> PodParts:
        """What the attempt says of its pod."""
        work = self._work_at_hand()
        return pod_parts.parts_of(
            self._operator,
            self._site.settings,
            uri=self._site.store.uri(self.attempt.prefix + "request.json"),
            digest=self._digest,
            step_id=self._asked.step,
            record=self._record,
            variables=work.variables,
            secret=pod_parts.secret_name(self._digest) if work.values else "",
        )

    def prepare(self, pod: Any) -> None:
        """Write down which pod it will be, and make its Secret, before it is created."""
        environment.name_secrets(pod, str(self._operator.base_container_name))
        created = now()
        self._record = replace(
            self._record,
            name=pod.metadata.name,
            namespace=pod.metadata.namespace,
            created=created,
            first=self._record.first or created,
        )
        self._last = PodFacts(name=self._record.name, namespace=self._record.namespace)
        self._attempts.write_pod(self.attempt, self._record)
        if not self._operator.deferrable:
            self._guard.start(self._record)
        values = self._work_at_hand().values
        if values:
            name, label = pod_parts.secret_name(self._digest), pod_parts.attempt_label(self._digest)
            namespace = pod.metadata.namespace
            self._cluster.create_secret(name, namespace, values, {pod_parts.ATTEMPT_LABEL: label})
            threading.Thread(target=self._own_secret, args=(self._record,), daemon=True).start()

    def _own_secret(self, record: PodRecord) -> None:
        """Let the Secret die with the pod, as soon as that is there."""
        for _ in range(120):
            try:
                look = self._cluster.look(record.name, record.namespace, events=False)
                if look.pod is not None:
                    name = pod_parts.secret_name(record.request_digest)
                    self._cluster.own_secret(name, record.namespace, look.pod)
                    return
            except ClusterTrouble:
                pass
            time.sleep(0.5)

    # life --------------------------------------------------------------------------------------------

    def _live(self, event: Mapping[str, Any] | None) -> Done:
        """Watch, and repeat where that is due, until there is a result or a failure to report."""
        try:
            while True:
                ended = self._watch(event)
                if isinstance(ended, Result):
                    return self._succeeded(ended)
                following = self._following(ended)
                if following is None:
                    skip_on = self._operator.skip_on_exit_code
                    raise outcomes.exception_of(self._failed(ended), skip_on=skip_on)
                self._leave(ended)
                self._wait_before(following)
                self._claim(following)
                event = None
        except compat.TaskDeferred:
            raise
        except BaseException:
            self._leave(None, sure=True)
            raise

    def _watch(self, event: Mapping[str, Any] | None) -> Result | ErrorDocument:
        pause = 0.5
        if event is not None and pod_watch.is_pending(event):
            event = None
            ended = self._verdict(None)
            if ended is not None:
                return ended
        while True:
            began = time.monotonic()
            trouble = self._let_watch(event)
            event = None
            ended = self._verdict(trouble)
            if ended is not None:
                return ended
            pause = 0.5 if time.monotonic() - began > 5 else min(30.0, pause * 2)
            if time.monotonic() - began < 1:
                time.sleep(pause)

    def _let_watch(self, event: Mapping[str, Any] | None) -> BaseException | None:
        """Let KubernetesPodOperator wait for the pod; what it raised, of which the verdict is ours."""
        operator, context = self._operator, self._site.context
        label = (pod_parts.ATTEMPT_LABEL, pod_parts.attempt_label(self._digest))
        if not operator.deferrable:
            self._printer.start()
            if self._record.name:
                self._guard.start(self._record)
        self.inside = True
        try:
            with pod_watch.steered(operator, context, seconds=self._slice(), label=label, check=_CHECK):
                if event is None:
                    self._plain.execute(context)
                else:
                    self._plain.trigger_reentry(context, event)
        except compat.TaskDeferred:
            self._save_offset()
            raise
        except StepbridgeError:
            raise
        except Exception as error:  # noqa: BLE001 - what it raises changes with its versions; the end is judged by facts
            self._site.log.debug("KubernetesPodOperator ended with %r", error)
            return error
        finally:
            self.inside = False
            self._guard.stop()
        return None

    def _slice(self) -> int:
        if self._operator.callbacks:
            return pod_watch.whole(self._budgets)
        asked = self._record.created if self._record.name else now()
        clock = Clock.of(self._operator.pod, asked)
        return pod_watch.slice_of(
            self._facts_at_hand(), clock, self._budgets, deferrable=self._operator.deferrable
        )

    def _facts_at_hand(self) -> PodFacts | None:
        """What the pod was when it was last read; None where it never was."""
        pod = self._operator.pod
        if pod is None or pod.status is None:
            return None
        return PodFacts.of(pod, container=str(self._operator.base_container_name))

    def _save_offset(self) -> None:
        """Remember how much of the log was shown, for the process that goes on."""
        self._printer.stop()
        self._printer.read()
        if self._printer.offset != self._record.log_offset:
            self._record = replace(self._record, log_offset=self._printer.offset)
            self._attempts.write_pod(self.attempt, self._record)

    # verdict -----------------------------------------------------------------------------------------

    def _verdict(self, trouble: BaseException | None) -> Result | ErrorDocument | None:
        """How the attempt ended; None where its pod goes on."""
        ended = self._outcome()
        if isinstance(ended, Result):
            return ended
        refused = trouble_in(trouble)
        if not self._record.name:
            raise OperatorProblem(
                "SB507",
                f"the pod could not be asked for: {type(trouble).__name__}: {trouble}",
                place=self._site.place,
                hint="check the Kubernetes connection, the kubeconfig and the pod's arguments; "
                "`stepbridge pod render` shows the pod",
            ) from trouble
        try:
            look = self._cluster.look(self._record.name, self._record.namespace)
        except ClusterTrouble as blind:
            return self._unseen(blind)
        self._blind_since = None
        look = self._settled(look, ended)
        facts = look.facts
        if look.pod is not None:
            self._adopt(look.pod)
            self._last = facts
        elif self._guard.facts is not None:
            facts = self._guard.facts
        elif self._last.there:
            facts = replace(self._last.vanished(), events=facts.events or self._last.events)
        over = self._over(facts, Clock.of(look.pod, self._record.created))
        stuck = not facts.started and (over or outcomes.hopeless(facts))
        if facts.there and not (facts.finished or facts.deleting or stuck or over or self._killed):
            self._say_waiting(facts)
            return self._denied(facts, refused)
        ended = self._outcome()
        if isinstance(ended, Result):
            return ended
        created = facts.there or refused is None
        return self._ending(facts, document=ended, over=over, trouble=None if created else refused)

    def _over(self, facts: PodFacts, clock: Clock) -> pod_watch.Over:
        """Which time limit is used up while the pod goes on."""
        if facts.finished:
            return ""
        if self._total_is_over():
            return "total"
        if not facts.started:
            return pod_watch.over(facts, clock, self._budgets)
        deadline = pod_parts.deadline_of(self._operator, self._site.settings)
        return "run" if clock.elapsed > (clock.scheduled or 0) + deadline + _UNENFORCED else ""

    def _outcome(self) -> Result | ErrorDocument | None:
        ended = outcome(self._site.store, self.attempt)
        if isinstance(ended, Result) and ended.request_digest != self._digest:
            return None
        return ended

    def _settled(self, look: Look, ended: ErrorDocument | None) -> Look:
        """The pod after a moment, where its runner has reported its end, or the pod is being deleted."""
        grace = float(self._site.settings.grace) + 20 if look.facts.deleting or self._killed else _SETTLING
        limit = time.monotonic() + grace
        waits = ended is not None or look.facts.deleting or self._killed
        while waits and look.facts.there and not look.facts.finished and time.monotonic() < limit:
            time.sleep(0.3)
            try:
                look = self._cluster.look(self._record.name, self._record.namespace)
            except ClusterTrouble:
                return look
        return look

    def _total_is_over(self) -> bool:
        at = datetime.now(UTC)
        total, first = self._budgets.total, self._record.first
        if total is not None and first and at - datetime.fromisoformat(first) >= total:
            return True
        limit, start = self._operator.execution_timeout, self._site.context["ti"].start_date
        return limit is not None and start is not None and at - start >= limit

    def _unseen(self, blind: ClusterTrouble) -> ErrorDocument | None:
        """The API server does not say: wait on for a while, unless it refuses for good."""
        if self._blind_since is None:
            self._blind_since = time.monotonic()
        lasted = time.monotonic() - self._blind_since
        if self._killed or lasted >= self._site.settings.api_patience or blind.status in {401, 403}:
            return self._ending(self._last, trouble=blind)
        self._site.log.warning("the pod cannot be seen (%s); still trying", blind)
        return None

    def _denied(self, facts: PodFacts, refused: ClusterTrouble | None) -> ErrorDocument | None:
        """The end of a pod that runs while a call that is needed to watch it is forbidden."""
        self._refused = self._refused + 1 if refused is not None and refused.status == 403 else 0
        return self._ending(facts, trouble=refused) if self._refused >= 2 else None

    def _say_waiting(self, facts: PodFacts) -> None:
        if facts.started:
            return
        said = outcomes.waiting(facts)
        if said and said != self._said:
            self._site.log.info("%s", said)
            self._said = said

    def _ending(
        self,
        facts: PodFacts,
        *,
        document: ErrorDocument | None = None,
        over: pod_watch.Over = "",
        trouble: ClusterTrouble | None = None,
    ) -> ErrorDocument:
        tail = ""
        if document is None and facts.there and facts.started:
            base = str(self._operator.base_container_name)
            tail = self._cluster.log_tail(self._record.name, self._record.namespace, base)
        seen = Seen(
            facts=facts,
            error=document,
            killed=self._killed,
            over=over,
            api=trouble.words if trouble else "",
            api_status=trouble.status if trouble else 0,
            log_tail=tail,
        )
        return outcomes.ending(seen, self.attempt)

    # ends --------------------------------------------------------------------------------------------

    def _succeeded(self, result: Result) -> Done:
        record = self._record
        self._leave(result)
        self._attempts.write_pod(self.attempt, replace(self._record, taken=True))
        return Done(
            request=self._asked,
            result=result,
            reason=record.reason,
            replace_entry=record.replace_entry,
            pod=record.name,
            namespace=record.namespace,
            memory=record.memory,
            earlier=record.earlier,
        )

    def _failed(self, ended: ErrorDocument) -> ErrorDocument:
        """The end as it is reported: in the store too, with the log's last lines."""
        self._leave(ended)
        key = self.attempt.prefix + "error.json"
        try:
            self._site.store.put(key, documents.dump(ended), create=True)
        except ObjectExists:
            pass
        except StoreProblem as problem:
            self._site.log.warning("the failure's record could not be written: %s", problem)
        if self._record.name:
            self._attempts.write_pod(self.attempt, replace(self._record, taken=True))
        tail = self._printer.tail[-1500:].strip()
        if tail and not ended.signal:
            ended = replace(ended, message=f"{ended.message}\nThe log's last lines:\n{tail}")
        return ended

    def _following(self, ended: ErrorDocument) -> PodRecord | None:
        """What the next pod of this try is to be, or None where the end stands."""
        if self._killed or self._total_is_over():
            return None
        record, step = self._record, self._site.step
        earlier = (
            *record.earlier,
            EarlierEnd(ended.kind, ended.code, ended.message[:500], record.name),
        )
        if ended.kind == "oom" and step.on_oom is not None:
            seen = self._facts_at_hand()
            declared = step.resources.amounts().limits.get("memory", "")
            limit = record.memory or declared or (seen.memory_limit if seen else "")
            more = step.on_oom.next(limit) if limit else ""
            if more:
                self._site.log.warning(
                    "%s: %s; the step is repeated with memory=%r", ended.code, ended.message, more
                )
                return replace(record, memory=more, earlier=earlier)
            return None
        if not outcomes.repeats(ended) or record.repeats >= step.infra_retries:
            return None
        repeats = record.repeats + 1
        last = repeats == step.infra_retries and step.placement.capacity == "spot"
        self._site.log.warning(
            "%s: %s; repetition %d of %d%s",
            ended.code,
            ended.message,
            repeats,
            step.infra_retries,
            ", off spot" if last else "",
        )
        return replace(record, repeats=repeats, on_demand=record.on_demand or last, earlier=earlier)

    def _wait_before(self, following: PodRecord) -> None:
        if following.repeats == self._record.repeats:
            return
        delay = min(_LONGEST_DELAY, self._site.settings.repeat_delay * 2 ** (following.repeats - 1))
        limit = time.monotonic() + delay
        while time.monotonic() < limit and not self._killed:
            time.sleep(min(0.2, delay))

    def _leave(self, ended: Result | ErrorDocument | None, *, sure: bool = False) -> None:
        """Show the rest of the log and remove what the pod leaves."""
        if self._left:
            return
        self._left = True
        self._printer.finish()
        if self._record.name:
            self._end().leave(ended, self._facts_at_hand(), sure=sure)

    def _end(self, *, keep_ended: bool = False) -> PodEnd:
        return PodEnd(
            self._site,
            self._cluster,
            self._record,
            killed=self._killed,
            grace=float(self._site.settings.grace) + 20,
            other_logs=bool(self._operator.get_logs) and not keep_ended,
        )


def _silent(line: str) -> None:
    """Show nothing."""
    del line
