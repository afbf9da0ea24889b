"""What is left of a pod after its run: other containers' logs are shown, pod and Secret go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stepbridge.contract import ErrorDocument, Result
from stepbridge_airflow import pod_parts, pod_watch
from stepbridge_airflow.attempts import PodRecord
from stepbridge_airflow.cluster import Cluster, ClusterTrouble
from stepbridge_airflow.pod_facts import PodFacts
from stepbridge_airflow.work import Site

_FORCED = 15.0
_MARGIN = 5.0


@dataclass(frozen=True)
class PodEnd:
    """The end of one pod.

    :param killed: Airflow told the task to stop: ``on_kill_action`` says whether the pod stays.
    :param grace: seconds that its containers may take to stop.
    :param strange: the pod of this name is not the step's: it is left alone.
    :param replaced: another pod takes its place: it goes, whatever the operator says of ended pods.
    """

    site: Site
    cluster: Cluster
    record: PodRecord
    killed: bool
    grace: float
    strange: bool = False
    replaced: bool = False

    def leave(self, ended: Result | ErrorDocument | None, facts: PodFacts | None, *, sure: bool) -> bool:
        """Delete the pod as ``on_finish_action`` says, and its Secret always.

        :param facts: what was last seen of the pod.
        :param sure: wait until it is gone.
        :return: whether the pod is gone, or asked to go, or stays because it is to.
        """
        settled = False
        name, namespace = self.record.name, self.record.namespace
        patience = 0.0 if self.killed else self.site.settings.api_patience
        try:
            if self.site.operator.get_logs and not (self.replaced or self.strange):
                self._show_others()
            finished = facts is not None and facts.finished
            stays = self.strange or self._stays(ended, facts)
            if not stays:
                self.cluster.delete(name, namespace, patience=patience)
                if sure or not (finished or isinstance(ended, Result)):
                    waited = facts is not None and facts.deleting
                    self._make_sure(name, namespace, _MARGIN if waited else self.grace + _MARGIN)
            settled = True
            # a pod that stays and has not started would not start without its Secret, which dies with it
            unread = stays and not (self.strange or isinstance(ended, Result) or (facts and facts.started))
            if (self.record.variables or self.record.connections) and not unread:
                secret = pod_parts.secret_name(self.record.request_digest)
                self.cluster.delete_secret(secret, namespace, patience=patience)
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
        return settled

    def _stays(self, ended: Result | ErrorDocument | None, facts: PodFacts | None) -> bool:
        operator = self.site.operator
        if self.replaced:
            return False
        if self.killed and is_spared(operator):
            return True
        rule = _named(operator.on_finish_action)
        if rule == "delete_succeeded_pod":
            return not isinstance(ended, Result)
        if rule == "delete_active_pod":
            return facts is None or facts.phase not in {"Running", "Pending"}
        return rule == "keep_pod"

    def _make_sure(self, name: str, namespace: str, seconds: float) -> None:
        if self.cluster.wait_gone(name, namespace, seconds):
            return
        self.site.log.warning("pod %s/%s does not go; it is removed by force", namespace, name)
        self.cluster.delete(name, namespace, grace=0)
        if not self.cluster.wait_gone(name, namespace, _FORCED):
            raise ClusterTrouble(0, "it is still there after a forced deletion")

    def _show_others(self) -> None:
        """The ends of the logs that the operator names beside the step's own."""
        operator = self.site.operator
        base = operator.base_container_name
        init = operator.init_container_logs
        if operator.container_logs in (base, [base]) and not init:
            return
        try:
            pod = self.cluster.look(self.record.name, self.record.namespace, events=False).pod
        except ClusterTrouble as trouble:
            self.site.log.warning("the other containers' logs cannot be read: %s", trouble)
            return
        if pod is None:
            return
        names = [
            *_asked(init, [one.name for one in pod.spec.init_containers or ()]),
            *_asked(operator.container_logs, [one.name for one in pod.spec.containers if one.name != base]),
        ]
        for name in names:
            tail = self.cluster.log_tail(self.record.name, self.record.namespace, name)
            for line in tail.splitlines():
                self.site.log.info("[%s] %s", name, line)


def abandon(site: Site, cluster: Cluster, name: str, namespace: str, *, lead: str, lost: bool) -> None:
    """Remove a pod of which only the name is known, because its record cannot be read.

    Not a pod of another task instance, nor one that the next try goes on with.

    :param lead: where the records of the task instance's attempts begin.
    :param lost: the record is gone for good: no try can go on with the pod.
    """
    try:
        look = cluster.look(name, namespace, events=False)
    except ClusterTrouble as trouble:
        site.log.error("pod %s/%s cannot be seen (%s); its deadline ends it", namespace, name, trouble)
        return
    notes = look.facts.annotations
    ours = notes.get(pod_parts.REQUEST_NOTE, "").startswith(site.store.uri(lead.rstrip("/")) + "/")
    if not ours or (not lost and awaits_next_try(site, look.facts)):
        return
    digest = notes.get(pod_parts.DIGEST_NOTE, "")
    secret = pod_parts.secret_name(digest)
    given = [one for container in look.pod.spec.containers for one in container.env_from or ()]
    held = tuple(secret for one in given if one.secret_ref is not None and one.secret_ref.name == secret)
    record = PodRecord(name, namespace, digest, work="", created="", variables=held)
    end = PodEnd(site, cluster, record, killed=False, grace=pod_watch.grace_of(look.pod))
    end.leave(None, look.facts, sure=True)


def awaits_next_try(site: Site, facts: PodFacts) -> bool:
    """Whether a pod works on although the try failed, for the store did not answer: the next one goes on."""
    ti = site.context["ti"]
    alive = facts.there and not facts.finished and not facts.deleting
    due = (ti.try_number or 1) <= (ti.max_tries or 0) and site.operator.reattach_on_restart is not False
    if alive and due:
        site.log.warning("pod %s/%s is left to the next try", facts.namespace, facts.name)
    return alive and due


def is_spared(operator: Any) -> bool:
    """Whether a task that Airflow told to stop lets its pod go on."""
    return _named(getattr(operator, "on_kill_action", "delete_pod")) == "keep_pod"


def _asked(asked: Any, names: list[str]) -> list[str]:
    """Those of *names* whose logs an argument of KubernetesPodOperator's asks for."""
    wanted = {asked} if isinstance(asked, str) else set(names if asked is True else asked or ())
    return [name for name in names if name in wanted]


def _named(action: Any) -> str:
    return str(getattr(action, "value", action))
