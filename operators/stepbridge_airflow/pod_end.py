"""What is left of a pod after its run: other containers' logs are shown, pod and Secret go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stepbridge.contract import ErrorDocument, Result
from stepbridge_airflow import pod_parts
from stepbridge_airflow.attempts import PodRecord
from stepbridge_airflow.cluster import Cluster, ClusterTrouble
from stepbridge_airflow.pod_facts import PodFacts
from stepbridge_airflow.work import Site

_FORCED = 15.0


@dataclass(frozen=True)
class PodEnd:
    """The end of one pod.

    :param killed: Airflow told the task to stop: ``on_kill_action`` says whether the pod stays.
    :param grace: seconds that its containers may take to stop.
    :param other_logs: show the logs of the other containers that the operator names.
    """

    site: Site
    cluster: Cluster
    record: PodRecord
    killed: bool
    grace: float
    other_logs: bool

    def leave(self, ended: Result | ErrorDocument | None, facts: PodFacts | None, *, sure: bool) -> None:
        """Delete the pod as ``on_finish_action`` says, and its Secret always.

        :param facts: what was last seen of the pod.
        :param sure: wait until it is gone.
        """
        name, namespace = self.record.name, self.record.namespace
        try:
            if self.other_logs:
                self._show_others(facts)
            if not self._stays(ended, facts):
                self.cluster.delete(name, namespace)
                finished = facts is not None and (facts.finished or not facts.there)
                if sure or not (finished or isinstance(ended, Result)):
                    self._make_sure(name, namespace)
            if self.record.variables or self.record.connections:
                self.cluster.delete_secret(pod_parts.secret_name(self.record.request_digest), namespace)
        except ClusterTrouble as trouble:
            self.site.log.error(
                "pod %s/%s could not be cleaned up (%s); its deadline ends it. To remove it: "
                "kubectl delete pod -n %s %s",
                namespace,
                name,
                trouble,
                namespace,
                name,
            )

    def _stays(self, ended: Result | ErrorDocument | None, facts: PodFacts | None) -> bool:
        operator = self.site.operator
        if self.killed and _named(getattr(operator, "on_kill_action", "delete_pod")) == "keep_pod":
            return True
        rule = _named(operator.on_finish_action)
        if rule == "delete_succeeded_pod":
            return not isinstance(ended, Result)
        if rule == "delete_active_pod":
            return facts is None or facts.phase not in {"Running", "Pending"}
        return rule == "keep_pod"

    def _make_sure(self, name: str, namespace: str) -> None:
        if self.cluster.wait_gone(name, namespace, self.grace + 5):
            return
        self.site.log.warning("pod %s/%s does not go; it is removed by force", namespace, name)
        self.cluster.delete(name, namespace, grace=0)
        if not self.cluster.wait_gone(name, namespace, _FORCED):
            raise ClusterTrouble(0, "it is still there after a forced deletion")

    def _show_others(self, facts: PodFacts | None) -> None:
        if facts is None:
            return
        asked: Any = self.site.operator.container_logs
        names = [one.name for one in facts.others]
        if asked is not True:
            wanted = {asked} if isinstance(asked, str) else set(asked or ())
            names = [name for name in names if name in wanted]
        for name in names:
            tail = self.cluster.log_tail(self.record.name, self.record.namespace, name)
            for line in tail.splitlines():
                self.site.log.info("[%s] %s", name, line)


def _named(action: Any) -> str:
    return str(getattr(action, "value", action))
