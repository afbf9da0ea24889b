"""Ends a wait that would never end: for a pod whose node is gone, or whose time is up and nobody stops it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from stepbridge_airflow.attempts import PodRecord
from stepbridge_airflow.cluster import Cluster, ClusterTrouble
from stepbridge_airflow.pod_facts import PodFacts
from stepbridge_airflow.work import Site

PERIOD = 15.0
_LATE = 60.0


class PodGuard:
    """Looks at a running pod now and then, beside KubernetesPodOperator, which waits for its container's end.

    A container on a lost node never ends: the API server keeps its last state, and the pod, once deleted,
    stays. Removing it by force ends the wait.

    :param deadline: seconds after its start at which Kubernetes itself should have ended the pod.
    :param total: the budget of the whole try; None for none.
    """

    def __init__(
        self, site: Site, cluster: Cluster, *, deadline: int, total: timedelta | None, period: float = PERIOD
    ) -> None:
        self._site = site
        self._cluster = cluster
        self._deadline = float(deadline)
        self._total = total
        self._period = period
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen: dict[str, float] = {}
        self.facts: PodFacts | None = None
        """The pod as it was before it was removed; None where the guard did nothing."""

    def start(self, record: PodRecord) -> None:
        """Watch over the pod of *record* from now on."""
        self.stop()
        self._over.clear()
        self._seen.clear()
        self._thread = threading.Thread(
            target=self._run, args=(record,), name="stepbridge-guard", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(30)
            self._thread = None

    def _run(self, record: PodRecord) -> None:
        while not self._over.wait(self._period):
            try:
                self._look(record)
            except ClusterTrouble as trouble:
                self._site.log.debug("the guard could not look at the pod: %s", trouble)

    def _look(self, record: PodRecord) -> None:
        look = self._cluster.look(record.name, record.namespace, events=False)
        facts = look.facts
        if not facts.there or facts.finished:
            return
        why = self._late(facts)
        if why:
            self._site.log.warning("pod %s/%s %s; it is removed", record.namespace, record.name, why)
            self.facts = facts
            self._cluster.delete(record.name, record.namespace, grace=0)
        elif self._is_over(record):
            self._site.log.warning("the total budget of %s is used up; the pod is stopped", self._total)
            self.facts = facts
            self._cluster.delete(record.name, record.namespace)
            self._over.wait(float(self._site.settings.grace) + 25)

    def _late(self, facts: PodFacts) -> str:
        """Why the pod should be gone or ended by now; empty where it should not.

        Times are counted from when the guard saw something first: the cluster's clock may be another.
        """
        now = time.monotonic()
        if facts.deleting:
            since = now - self._seen.setdefault("deleting", now)
            return "is still there long after its deletion was asked for" if since > _LATE else ""
        if facts.started and now - self._seen.setdefault("started", now) > self._deadline + 2 * _LATE:
            return f"runs past its deadline of {self._deadline:.0f} s"
        return ""

    def _is_over(self, record: PodRecord) -> bool:
        if self._total is None or not record.first:
            return False
        return datetime.now(UTC) - datetime.fromisoformat(record.first) >= self._total
