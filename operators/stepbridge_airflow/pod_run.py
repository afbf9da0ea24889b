"""Runs a step in a pod: launch or reattach, watch, judge, repeat, and leave nothing behind."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stepbridge import documents
from stepbridge.contract import Attempt, ErrorDocument, Request, Result
from stepbridge.failures import ObjectMissing, RunProblem, StepbridgeError, StoreProblem
from stepbridge_airflow import compat, environment, outcomes, pod_end, pod_parts, pod_repeat, pod_watch
from stepbridge_airflow.attempts import Attempts, PodRecord, now, work_of
from stepbridge_airflow.cluster import Cluster, ClusterTrouble, Look
from stepbridge_airflow.pod_end import PodEnd
from stepbridge_airflow.pod_facts import PodFacts
from stepbridge_airflow.pod_judge import Course, PodJudge
from stepbridge_airflow.pod_logs import LogPrinter
from stepbridge_airflow.pod_spec import PodParts
from stepbridge_airflow.pod_watch import Clock
from stepbridge_airflow.work import Done, Site, Work


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
        self._deadline = pod_parts.deadline_of(site.operator, site.settings)
        self._judge = PodJudge(site, self._cluster, deadline=self._deadline)
        self._unowned = False
        self._left = False
        self._settled = True
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
    def _course(self) -> Course:
        return Course(self.attempt, self._digest, self._record)

    @property
    def _asked(self) -> Request:
        if self._request is None:
            raise AssertionError("a request is claimed or taken up first")
        return self._request

    def cancel(self) -> None:
        """Airflow told the task to stop; safe from a signal handler."""
        self._judge.killed = True
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
            ended = self._judge.outcome(self._course)
            return self._succeeded(ended) if isinstance(ended, Result) else self._live(None)
        self._claim(PodRecord("", "", "", work="", created="", first=now()))
        return self._live(None)

    def leave_earlier(self) -> None:
        """Remove the pod that an earlier try left, running or unread: another result is taken."""
        try:
            found = self._attempts.latest_pod() if self._may_have_earlier() else None
            if found is None or found[1].taken:
                return
            self._take_up(*found)
            look = self._own(self._record)
            ended = self._judge.outcome(self._course)
            facts = look.facts if look is not None else None
            end = self._end(replaced=facts is not None and not facts.finished)
            replace(end, strange=facts is None).leave(ended, facts, sure=True)
            self._attempts.write_pod(found[0], replace(self._record, taken=True))
        except (StoreProblem, ClusterTrouble) as trouble:
            self._site.log.warning("what an earlier try left could not be removed: %s", trouble)

    def take_up(self, event: Mapping[str, Any]) -> Request:
        """Find the run that the trigger speaks of; its request.

        :raises RunProblem: SB409 where nothing is known of the pod.
        """
        name, namespace = str(event.get("name", "")), str(event.get("namespace", ""))
        try:
            found = self._site.patiently(lambda: self._attempts.latest_pod(name))
            if found is not None:
                self._site.patiently(lambda: self._take_up(*found))
        except StoreProblem as problem:
            self._abandon(name, namespace, lost=isinstance(problem, ObjectMissing))
            raise
        if found is None:
            self._abandon(name, namespace, lost=True)
            raise RunProblem(
                "SB409",
                f"the store has no record of pod {namespace}/{name}",
                place=self._site.place,
                hint="clear the task; a lifecycle rule must not remove runs/ while they run",
            )
        return self._asked

    def resume(self, event: Mapping[str, Any]) -> Done:
        """Go on after a deferral, with the run that was taken up."""
        return self._live(event)

    def _abandon(self, name: str, namespace: str, *, lost: bool) -> None:
        pod_end.abandon(self._site, self._cluster, name, namespace, lead=self._attempts.lead, lost=lost)

    def _may_have_earlier(self) -> bool:
        return (self._site.context["ti"].try_number or 1) > 1

    def _goes_on(self, attempt: Attempt, record: PodRecord, work: Work) -> bool:
        """Whether that attempt is at this very work, and its pod lives or its result is there."""
        self._take_up(attempt, record)
        same = record.work == work_of(work.make(attempt))
        look = self._seen(record)
        if same and self._left_result():
            return True
        wanted = self._operator.reattach_on_restart is not False
        alive = look is not None and look.facts.there and not look.facts.finished and not look.facts.deleting
        if same and wanted and alive and look is not None:
            self._site.log.info(
                "pod %s/%s is at this work already; reattached", record.namespace, record.name
            )
            self._adopt(look.pod)
            return True
        gone = self._end(replaced=True).leave(None, look.facts if look else None, sure=True)
        if same and gone and self._left_result():
            return True
        self._attempts.write_pod(attempt, replace(record, taken=True))
        return False

    def _left_result(self) -> bool:
        """Whether the earlier try's record has a result.

        Asked after the pod was seen, for a pod commits its result before it ends: one that was seen ended, or
        is gone, can leave no result later.
        """
        found = isinstance(self._judge.outcome(self._course), Result)
        if found:
            self._site.log.info("an earlier try left its result in %s; it is taken", self.attempt.prefix)
        return found

    def _seen(self, record: PodRecord) -> Look | None:
        """The record's own pod, or None; where the API server does not say, the try ends."""
        try:
            return self._own(record)
        except ClusterTrouble as trouble:
            nothing = PodFacts(name=record.name, namespace=record.namespace)
            ended = self._judge.ending(self._course, nothing, trouble=trouble)
            raise outcomes.exception_of(ended) from trouble

    def _own(self, record: PodRecord) -> Look | None:
        """The record's own pod, or None where there is none or another of the same name.

        :raises ClusterTrouble: where the API server does not say.
        """
        look = self._cluster.look(record.name, record.namespace, events=False)
        ours = look.facts.annotations.get(pod_parts.DIGEST_NOTE) == record.request_digest
        return look if look.facts.there and ours else None

    def _take_up(self, attempt: Attempt, record: PodRecord) -> None:
        self._request, data = self._attempts.request(attempt)
        self._digest = hashlib.sha256(data).hexdigest()
        self._record = record
        self._left = False
        self._judge.turn_to(record)
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
        self._judge.turn_to(self._record)
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
        if formatter is not None:
            try:
                line = formatter(self._operator.base_container_name, line)
            except Exception as error:  # noqa: BLE001 - a user's function, and no reason to lose a result
                self._site.log.debug("log_formatter raised %r", error)
        self._site.log.info("%s", line)

    # the pod -----------------------------------------------------------------------------------------

    def parts(self) -> PodParts:
        """What the attempt says of its pod."""
        work = self._work_at_hand()
        parts = pod_parts.parts_of(
            self._operator,
            self._site.settings,
            uri=self._site.store.uri(self.attempt.prefix + "request.json"),
            digest=self._digest,
            step_id=self._asked.step,
            record=self._record,
            variables=work.variables,
            secret=pod_parts.secret_name(self._digest) if work.values else "",
        )
        # the operator's execution_timeout is not its own while KubernetesPodOperator is steered
        return replace(parts, deadline=self._deadline)

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
        self._judge.turn_to(self._record)
        self._attempts.write_pod(self.attempt, self._record)
        values = self._work_at_hand().values
        if values:
            name, label = pod_parts.secret_name(self._digest), pod_parts.attempt_label(self._digest)
            namespace = pod.metadata.namespace
            self._cluster.create_secret(name, namespace, values, {pod_parts.ATTEMPT_LABEL: label})
            self._unowned = True
            if not self._operator.deferrable:
                threading.Thread(target=self._own_secret, args=(self._record,), daemon=True).start()

    def _own_secret(self, record: PodRecord, tries: int = 120) -> None:
        """Let the Secret die with the pod, as soon as that is there."""
        for _ in range(tries):
            try:
                look = self._cluster.look(record.name, record.namespace, events=False)
                if look.pod is not None:
                    name = pod_parts.secret_name(record.request_digest)
                    self._cluster.own_secret(name, record.namespace, look.pod)
                    return
            except ClusterTrouble:
                pass
            time.sleep(0.5)

    def _own_before_leaving(self) -> None:
        """The same where a deferral is to end this process."""
        if self._unowned:
            self._unowned = False
            self._own_secret(self._record, tries=3)

    # life --------------------------------------------------------------------------------------------

    def _live(self, event: Mapping[str, Any] | None) -> Done:
        """Watch, and repeat where that is due, until there is a result or a failure to report."""
        try:
            while True:
                ended = self._watch(event)
                if isinstance(ended, Result):
                    return self._succeeded(ended)
                following = self._following(ended)
                reported = self._failed(ended)
                if following is None or not self._settled:
                    raise outcomes.exception_of(reported, skip_on=self._operator.skip_on_exit_code)
                pod_repeat.wait_before(self._site, self._record, following, stop=lambda: self._judge.killed)
                self._claim(following)
                event = None
        except compat.TaskDeferred:
            raise
        except compat.AirflowTaskTimeout:
            self._failed(self._judge.ending(self._course, self._judge.last, over="run"), sure=True)
            raise
        except StoreProblem:
            if not self._awaits_next_try():
                self._leave(None, sure=True)
            raise
        except BaseException:
            self._leave(None, sure=True)
            raise

    def _awaits_next_try(self) -> bool:
        """Whether the pod works on, for the next try, although the store does not answer."""
        if self._judge.killed or not self._record.name:
            return False
        try:
            look = self._cluster.look(self._record.name, self._record.namespace, events=False)
        except ClusterTrouble:
            return False
        return pod_end.awaits_next_try(self._site, look.facts)

    def _watch(self, event: Mapping[str, Any] | None) -> Result | ErrorDocument:
        pause = 0.5
        if event is not None and (pod_watch.is_pending(event) or not self._has_more_to_do()):
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

    def _has_more_to_do(self) -> bool:
        """Whether KubernetesPodOperator has anything to do at the end of a pod that a trigger saw ending."""
        operator = self._operator
        return bool(operator.callbacks) or operator.container_logs != operator.base_container_name

    def _let_watch(self, event: Mapping[str, Any] | None) -> BaseException | None:
        """Let KubernetesPodOperator wait for the pod; what it raised, of which the verdict is ours."""
        operator, context = self._operator, self._site.context
        label = (pod_parts.ATTEMPT_LABEL, pod_parts.attempt_label(self._digest))
        if not operator.deferrable:
            self._printer.start()
        if event is None and self._record.name and operator.pod is None and operator.pod_request_obj is None:
            self._adopt(pod_watch.named_pod(self._record.name, self._record.namespace))
        self.inside = True
        try:
            with pod_watch.steered(
                operator,
                context,
                seconds=self._slice(),
                label=label,
                check=self._site.settings.look_interval,
                await_end=self._await_end,
            ):
                if event is None:
                    compat.unguarded(self._plain.execute)(context)
                else:
                    self._plain.trigger_reentry(context, event)
        except compat.TaskDeferred:
            self._own_before_leaving()
            self._save_offset()
            raise
        except StepbridgeError:
            raise
        except Exception as error:  # noqa: BLE001 - what it raises changes with its versions; the end is judged by facts
            self._site.log.debug("KubernetesPodOperator ended with %r", error)
            return error
        finally:
            self.inside = False
        return None

    def _await_end(self, pod: Any) -> None:
        """Wait until the pod has ended, in the place of KubernetesPodOperator's ``await_pod_completion``.

        That one waits for its container alone: for ever where the node is lost, or where the pod failed
        before the container started.

        :raises WaitOver: where the pod has not ended and there is nothing to wait for.
        """
        del pod
        name, namespace = self._record.name, self._record.namespace
        while True:
            look = self._cluster.look(name, namespace, events=False)
            facts = self._judge.last = look.facts
            if facts.finished:
                return
            over = self._judge.over(self._course, facts, Clock.of(look.pod, self._record.created))
            if facts.deleting or self._judge.killed or over:
                raise pod_watch.WaitOver(f"pod {namespace}/{name} has not ended")
            time.sleep(float(self._operator.base_container_status_polling_interval))

    def _verdict(self, trouble: BaseException | None) -> Result | ErrorDocument | None:
        ended = self._judge.judge(self._course, trouble)
        if self._judge.pod is not None:
            self._adopt(self._judge.pod)
        return ended

    def _slice(self) -> int:
        budgets = self._judge.budgets
        if self._operator.callbacks:
            return pod_watch.whole(budgets)
        pod = self._operator.pod
        known = pod is not None and pod.status is not None
        facts = PodFacts.of(pod, container=str(self._operator.base_container_name)) if known else None
        clock = Clock.of(pod, self._record.created if self._record.name else now())
        return pod_watch.slice_of(facts, clock, budgets, deferrable=self._operator.deferrable)

    def _save_offset(self) -> None:
        """Remember how much of the log was shown, for the process that goes on."""
        self._printer.stop()
        self._printer.read()
        if self._printer.offset != self._record.log_offset:
            self._keep(replace(self._record, log_offset=self._printer.offset))

    def _keep(self, record: PodRecord) -> None:
        """Write *record* down; a store that fails costs what the next process would know, not the step."""
        self._record = record
        try:
            self._attempts.write_pod(self.attempt, record)
        except StoreProblem as problem:
            self._site.log.warning("the pod's record could not be written: %s", problem)

    # ends --------------------------------------------------------------------------------------------

    def _succeeded(self, result: Result) -> Done:
        record = replace(self._record, image_id=self._image())
        self._leave(result)
        self._keep(replace(record, taken=True))
        return Done(
            request=self._asked,
            result=result,
            reason=record.reason,
            replace_entry=record.replace_entry,
            pod=record.name,
            namespace=record.namespace,
            memory=record.memory,
            earlier=record.earlier,
            image_id=record.image_id,
        )

    def _image(self) -> str:
        """Which image the step's container ran, where that was seen."""
        name = str(self._operator.base_container_name)
        pods = (self._judge.pod, self._operator.pod)
        seen = (self._judge.last, *(PodFacts.of(pod, container=name) for pod in pods))
        found = next((facts.base.image_id for facts in seen if facts.base.image_id), "")
        if found or not self._record.name:
            return found
        try:
            look = self._own(self._record)
        except ClusterTrouble:
            return ""
        return look.facts.base.image_id if look is not None else ""

    def _failed(self, ended: ErrorDocument, *, sure: bool = False) -> ErrorDocument:
        """The end as it is reported: in the store too, with the log's last lines."""
        self._say_pod()
        self._leave(ended, sure=sure)
        if self._settled:
            self._close(ended)
        tail = self._printer.tail[-1500:].strip()
        if tail and not ended.signal:
            ended = replace(ended, message=f"{ended.message}\nThe log's last lines:\n{tail}")
        return ended

    def _close(self, ended: ErrorDocument) -> None:
        """Let no later try look at the attempt; one whose pod could not be removed is left to the next."""
        if ended != self._judge.told:
            try:
                self._site.store.put(self.attempt.prefix + "error.json", documents.dump(ended))
            except StoreProblem as problem:
                self._site.log.warning("the failure's record could not be written: %s", problem)
        if self._record.name:
            self._keep(replace(self._record, taken=True))

    def _say_pod(self) -> None:
        """What ``log_events_on_failure`` and ``log_pod_spec_on_failure`` ask for."""
        log = self._site.log
        if self._operator.log_events_on_failure:
            for event in self._judge.last.events:
                say = log.warning if event.type == "Warning" else log.info
                say("pod event: %s - %s", event.reason, event.message)
        if self._operator.log_pod_spec_on_failure and self._judge.pod is not None:
            log.info("pod: %s", self._judge.pod)

    def _following(self, ended: ErrorDocument) -> PodRecord | None:
        """What the next pod of this try is to be, or None where the end stands."""
        if self._judge.killed or self._judge.whole_is_over(self._course):
            return None
        return pod_repeat.following(self._site, self._record, ended, self._judge.last)

    def _leave(self, ended: Result | ErrorDocument | None, *, sure: bool = False) -> None:
        """Show the rest of the log and remove what the pod leaves."""
        if self._left:
            return
        self._left = True
        self._printer.finish()
        if self._record.name:
            seen = self._judge.last if self._judge.pod is not None else None
            self._settled = self._end().leave(ended, seen, sure=sure)

    def _end(self, *, replaced: bool = False) -> PodEnd:
        return PodEnd(
            self._site,
            self._cluster,
            self._record,
            killed=self._judge.killed,
            grace=pod_watch.grace_of(self._operator.pod),
            strange=self._judge.strange,
            replaced=replaced,
        )


def _silent(line: str) -> None:
    """Show nothing."""
    del line
