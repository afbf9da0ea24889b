"""How an attempt in a pod ended, or that it goes on: from its record in the store and one look at the pod."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from stepbridge.backends.base import outcome
from stepbridge.contract import Attempt, ErrorDocument, Result
from stepbridge.failures import OperatorProblem
from stepbridge_airflow import outcomes, pod_end, pod_parts, pod_watch
from stepbridge_airflow.attempts import PodRecord
from stepbridge_airflow.cluster import Cluster, ClusterTrouble, Look, trouble_in
from stepbridge_airflow.outcomes import Seen
from stepbridge_airflow.pod_facts import PodFacts
from stepbridge_airflow.pod_watch import Clock
from stepbridge_airflow.work import Site

_SETTLING = 15.0
"""Seconds that a pod whose runner has reported its end gets to end itself."""
_UNENFORCED = 180.0
"""Seconds after a pod's deadline by which a kubelet that lives has ended it."""


@dataclass(frozen=True)
class Course:
    """Where a run is: the attempt at work, its request's digest and its pod."""

    attempt: Attempt
    digest: str
    record: PodRecord


class PodJudge:
    """Says of one pod after another how its attempt ended.

    :param deadline: of the pods, in seconds.
    """

    def __init__(self, site: Site, cluster: Cluster, *, deadline: int) -> None:
        self._site = site
        self._cluster = cluster
        self._deadline = deadline
        self.budgets = site.step.filled_budgets
        self._blind_since: float | None = None
        self._refused = 0
        self._said = ""
        self.killed = False
        """Airflow told the task to stop."""
        self.strange = False
        """The pod of this name is not the attempt's."""
        self.last = PodFacts()
        """What was last seen of the pod."""
        self.pod: Any = None
        """The ``V1Pod`` that was last seen; None where it never was."""
        self.told: ErrorDocument | None = None
        """What the runner itself said of its end."""

    def turn_to(self, record: PodRecord) -> None:
        """Judge another pod from now on."""
        self.last = PodFacts(name=record.name, namespace=record.namespace)
        self.pod = None
        self.strange = False

    def judge(self, course: Course, trouble: BaseException | None) -> Result | ErrorDocument | None:
        """How the attempt ended; None where its pod goes on.

        :param trouble: what KubernetesPodOperator raised.
        """
        ended = self.outcome(course)
        if isinstance(ended, Result):
            return ended
        refused = trouble_in(trouble)
        if not course.record.name:
            raise OperatorProblem(
                "SB507",
                f"the pod could not be asked for: {type(trouble).__name__}: {trouble}",
                place=self._site.place,
                hint="check the Kubernetes connection, the kubeconfig and the pod's arguments; "
                "`stepbridge pod render` shows the pod",
            ) from trouble
        try:
            look = self._cluster.look(course.record.name, course.record.namespace)
        except ClusterTrouble as blind:
            return self._unseen(course, blind)
        self._blind_since = None
        look = self._ours(course, self._settled(course, look, ended))
        facts = look.facts
        if look.pod is not None:
            self.pod, self.last = look.pod, facts
        elif self.last.there:
            facts = replace(self.last.vanished(), events=facts.events or self.last.events)
        else:
            facts = replace(facts, name=course.record.name, namespace=course.record.namespace)
        over = self.over(course, facts, Clock.of(look.pod, course.record.created))
        stuck = not facts.started and (over or outcomes.hopeless(facts))
        if facts.there and not (facts.finished or facts.deleting or stuck or over or self.killed):
            self._say_waiting(facts)
            return self._denied(course, facts, refused)
        ended = self.outcome(course)
        if isinstance(ended, Result):
            return ended
        created = facts.there or refused is None
        return self.ending(course, facts, document=ended, over=over, trouble=None if created else refused)

    def _ours(self, course: Course, look: Look) -> Look:
        """*look*, or none where it saw another pod of the same name."""
        self.strange = look.facts.there and look.facts.annotations.get(pod_parts.DIGEST_NOTE) != course.digest
        return Look(None, PodFacts()) if self.strange else look

    def over(self, course: Course, facts: PodFacts, clock: Clock) -> pod_watch.Over:
        """Which time limit is used up while the pod goes on."""
        if facts.finished:
            return ""
        if whole := self.whole_is_over(course):
            return whole
        if not facts.started:
            return pod_watch.over(facts, clock, self.budgets)
        limit = (clock.scheduled or 0) + self._deadline + _UNENFORCED
        return "run" if clock.elapsed > limit else ""

    def outcome(self, course: Course) -> Result | ErrorDocument | None:
        """How the attempt ended by its record; asked again for a while where the store does not answer.

        :raises StoreProblem: where it still does not; the next try then takes what is there.
        """
        return self._site.patiently(
            lambda: outcome(self._site.store, course.attempt, request_digest=course.digest),
            hopeless=lambda: self.killed,
        )

    def _settled(self, course: Course, look: Look, ended: ErrorDocument | None) -> Look:
        """The pod after a moment, where its runner has reported its end, or the pod is being deleted."""
        waits = (
            ended is not None
            or look.facts.deleting
            or (self.killed and not pod_end.is_spared(self._site.operator))
        )
        seconds = _SETTLING
        if look.facts.deleting or self.killed:
            seconds = pod_watch.grace_of(look.pod) + 5
        limit = time.monotonic() + seconds
        while waits and look.facts.there and not look.facts.finished and time.monotonic() < limit:
            time.sleep(0.3)
            try:
                look = self._cluster.look(course.record.name, course.record.namespace)
            except ClusterTrouble:
                return look
        return look

    def whole_is_over(self, course: Course) -> pod_watch.Over:
        """Whether the task's time is up (``run``), or the budget of all its pods."""
        at = datetime.now(UTC)
        limit, start = self._site.operator.execution_timeout, self._site.context["ti"].start_date
        if limit is not None and start is not None and at - start >= limit:
            return "run"
        total, first = self.budgets.total, course.record.first
        spent = total is not None and first and at - datetime.fromisoformat(first) >= total
        return "total" if spent else ""

    def _unseen(self, course: Course, blind: ClusterTrouble) -> ErrorDocument | None:
        """The API server does not say: wait on for a while, unless it refuses for good."""
        if self._blind_since is None:
            self._blind_since = time.monotonic()
        lasted = time.monotonic() - self._blind_since
        if self.killed or lasted >= self._site.settings.api_patience or blind.status == 403:
            return self.ending(course, self.last, trouble=blind)
        self._site.log.warning("the pod cannot be seen (%s); still trying", blind)
        return None

    def _denied(
        self, course: Course, facts: PodFacts, refused: ClusterTrouble | None
    ) -> ErrorDocument | None:
        """The end of a pod that runs while a call that is needed to watch it is forbidden."""
        self._refused = self._refused + 1 if refused is not None and refused.status == 403 else 0
        return self.ending(course, facts, trouble=refused) if self._refused >= 2 else None

    def _say_waiting(self, facts: PodFacts) -> None:
        if facts.started:
            return
        said = outcomes.waiting(facts)
        if said and said != self._said:
            self._site.log.info("%s", said)
            self._said = said

    def ending(
        self,
        course: Course,
        facts: PodFacts,
        *,
        document: ErrorDocument | None = None,
        over: pod_watch.Over = "",
        trouble: ClusterTrouble | None = None,
    ) -> ErrorDocument:
        """What all that is known says of the end.

        :param document: the attempt's ``error.json``.
        :param over: the budget that ran out.
        :param trouble: what the API server said.
        """
        tail = ""
        if document is None and facts.there and facts.started:
            base = str(self._site.operator.base_container_name)
            tail = self._cluster.log_tail(course.record.name, course.record.namespace, base)
        self.told = document
        seen = Seen(
            facts=facts,
            error=document,
            killed=self.killed,
            over=over,
            api=trouble.words if trouble else "",
            api_status=trouble.status if trouble else 0,
            log_tail=tail,
        )
        return outcomes.ending(seen, course.attempt)
