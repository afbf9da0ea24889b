"""The few calls to Kubernetes that a step makes itself, with KubernetesPodOperator's own client."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from stepbridge_airflow.pod_facts import PodFacts

T = TypeVar("T")
_TIMES_OUT = (10.0, 60.0)
_TRIES = 5
_LONGEST_WAIT = 15.0
_PASSING = frozenset({0, 429, 500, 502, 503, 504})
_TAIL_LINES = 40
_TAIL_BYTES = 8192


class ClusterTrouble(Exception):
    """The API server refused or could not be reached.

    :param status: HTTP status; 0 where no answer came.
    :param words: what it said.
    """

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status or 'no answer'}: {words}")
        self.status = status
        self.words = words

    @classmethod
    def of(cls, error: Exception) -> ClusterTrouble:
        """What *error* of the client says: an answer of the API server, or that none came."""
        from kubernetes.client.exceptions import ApiException

        if isinstance(error, ApiException):
            return cls(int(error.status or 0), words_of(error))
        return cls(0, f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class Look:
    """A pod as it is now.

    :param pod: the ``V1Pod``; None where there is none.
    """

    pod: Any
    facts: PodFacts


class Cluster:
    """Kubernetes as the step's operator reaches it.

    :param operator: a pod operator, whose ``client`` is used and made anew when its credentials expired.
    """

    def __init__(self, operator: Any) -> None:
        self._operator = operator

    def look(self, name: str, namespace: str, *, events: bool = True) -> Look:
        """The pod and what is said of it.

        :param events: ask for its events too; they are left out where they cannot be read.
        :raises ClusterTrouble: where the API server does not say.
        """
        try:
            pod = self._call(
                lambda client: client.read_namespaced_pod(name, namespace, _request_timeout=_TIMES_OUT)
            )
        except ClusterTrouble as trouble:
            if trouble.status != 404:
                raise
            pod = None
        said = self._events(name, namespace) if events else []
        container = str(self._operator.base_container_name)
        return Look(pod, PodFacts.of(pod, said, container=container))

    def _events(self, name: str, namespace: str) -> list[Any]:
        try:
            found = self._call(
                lambda client: client.list_namespaced_event(
                    namespace, field_selector=f"involvedObject.name={name}", _request_timeout=_TIMES_OUT
                ),
                tries=2,
            )
        except ClusterTrouble:
            return []
        return list(found.items)

    def log_tail(self, name: str, namespace: str, container: str) -> str:
        """The last lines that Kubernetes has of a container's output; empty where it has none."""
        try:
            tail = self._call(
                lambda client: (
                    client.read_namespaced_pod_log(
                        name,
                        namespace,
                        container=container,
                        tail_lines=_TAIL_LINES,
                        limit_bytes=_TAIL_BYTES,
                        _preload_content=False,
                        _request_timeout=_TIMES_OUT,
                    ).data
                ),
                tries=2,
            )
        except ClusterTrouble:
            return ""
        return bytes(tail).decode("utf-8", "backslashreplace")

    def delete(self, name: str, namespace: str, *, grace: int | None = None, patience: float = 0.0) -> None:
        """Ask for the pod's deletion; no error where there is none.

        :param grace: seconds for its containers; None: as the pod says.
        :param patience: seconds for which it is asked again while the API server fails.
        :raises ClusterTrouble: where the API server does not take it.
        """
        seconds = {} if grace is None else {"grace_period_seconds": grace}
        self._forgive(
            lambda client: client.delete_namespaced_pod(
                name, namespace, _request_timeout=_TIMES_OUT, **seconds
            ),
            patience,
        )

    def wait_gone(self, name: str, namespace: str, seconds: float) -> bool:
        """Whether the pod is gone, or only its ended containers are left, within *seconds*."""
        limit = time.monotonic() + seconds
        pause = 0.2
        while True:
            facts = self.look(name, namespace, events=False).facts
            if not facts.there:
                return True
            if time.monotonic() >= limit:
                return False
            time.sleep(min(pause, max(0.05, limit - time.monotonic())))
            pause = min(2.0, pause * 1.5)

    # secrets -----------------------------------------------------------------------------------------

    def create_secret(
        self, name: str, namespace: str, values: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """Make an immutable Secret with *values*; one that is left of an earlier try is replaced.

        :raises ClusterTrouble: where the API server does not take it.
        """
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": dict(labels)},
            "type": "Opaque",
            "immutable": True,
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
        }

        def create(client: Any) -> Any:
            return client.create_namespaced_secret(namespace, body, _request_timeout=_TIMES_OUT)

        try:
            self._call(create)
        except ClusterTrouble as trouble:
            if trouble.status != 409:
                raise
            self.delete_secret(name, namespace)
            self._call(create)

    def own_secret(self, name: str, namespace: str, pod: Any) -> None:
        """Let the Secret die with *pod*, a ``V1Pod`` as the API server gave it."""
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.metadata.name, "uid": pod.metadata.uid}
        body = {"metadata": {"ownerReferences": [owner]}}
        self._forgive(
            lambda client: client.patch_namespaced_secret(name, namespace, body, _request_timeout=_TIMES_OUT)
        )

    def delete_secret(self, name: str, namespace: str, *, patience: float = 0.0) -> None:
        """Remove the Secret; no error where there is none.

        :param patience: as for a pod.
        """
        self._forgive(
            lambda client: client.delete_namespaced_secret(name, namespace, _request_timeout=_TIMES_OUT),
            patience,
        )

    # calls -------------------------------------------------------------------------------------------

    def _forgive(self, ask: Callable[[Any], Any], patience: float = 0.0) -> None:
        try:
            self._call(ask, patience=patience)
        except ClusterTrouble as trouble:
            if trouble.status != 404:
                raise

    def _call(self, ask: Callable[[Any], T], *, tries: int = _TRIES, patience: float = 0.0) -> T:
        """Ask, again where the trouble may pass, with new credentials where they expired."""
        wait = 0.5
        renewed = False
        limit = time.monotonic() + patience
        while True:
            try:
                return _asked(ask, self._operator)
            except ClusterTrouble as trouble:
                if trouble.status == 401 and not renewed:
                    renewed = True
                    forget_client(self._operator)
                    continue
                tries -= 1
                over = tries <= 0 and time.monotonic() >= limit
                if over or trouble.status not in _PASSING:
                    raise
            time.sleep(wait)
            wait = min(_LONGEST_WAIT, wait * 2)


def _asked(ask: Callable[[Any], T], operator: Any) -> T:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return ask(operator.client)
    except (ApiException, HTTPError, OSError) as error:
        raise ClusterTrouble.of(error) from error


def forget_client(operator: Any) -> None:
    """Let *operator* make its client anew when it is next asked for, with what its credentials are then."""
    for name in ("hook", "client", "pod_manager"):
        operator.__dict__.pop(name, None)


def trouble_in(error: BaseException | None) -> ClusterTrouble | None:
    """What the API server refused, where *error* or what led to it says so."""
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ClusterTrouble):
            return error
        if isinstance(error, ApiException | HTTPError):
            return ClusterTrouble.of(error)
        error = error.__cause__ or error.__context__
    return None


def words_of(error: Any) -> str:
    """The message inside an ``ApiException``, without its headers."""
    import json

    try:
        said = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        said = str(error.body or error.reason or "")
    return str(said)[:2000]
