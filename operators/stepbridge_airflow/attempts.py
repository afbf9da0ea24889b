"""The records of one task instance's attempts in the store: numbered, claimed once, found again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from stepbridge import documents
from stepbridge.contract import Attempt, InputsRecord, Request
from stepbridge.failures import Kind, ObjectExists, ObjectMissing
from stepbridge.store.base import ObjectInfo, Store

_CHANGING = frozenset({"try_number", "task_reschedule_count", "ti", "task_instance", "dag_run"})
"""Context keys whose values differ between tries of the same work."""


@dataclass(frozen=True)
class EarlierEnd:
    """How an earlier pod of the same try ended."""

    kind: Kind
    code: str
    message: str
    pod: str


@dataclass(frozen=True)
class PodRecord:
    """``pod.json``: the pod of an attempt, for the worker that goes on with it; nothing secret.

    :param request_digest: sha256 of ``request.json``, also in the pod's annotations: tells it from a pod of
        the same name.
    :param work: digest of what is to be done, the same for every attempt at it.
    :param created: when the pod was asked for, ISO 8601, by the worker's clock.
    :param repeats: how often the try was repeated because the infrastructure failed.
    :param memory: the memory limit after escalation; empty: as declared.
    :param on_demand: this pod must not run on spot capacity.
    :param variables: Airflow Variables, :param connections: and connections, that its Secret holds.
    :param reason: why the cache missed.
    :param replace_entry: whether the cache holds an entry that the result replaces.
    :param log_offset: bytes of the log that the task log has.
    :param taken: its end was reported to Airflow: a later try does not look at it.
    :param first: when the first pod of the try was asked for.
    :param image_id: which image the pod ran, as its status said; empty where that was not seen.
    """

    name: str
    namespace: str
    request_digest: str
    work: str
    created: str
    first: str = ""
    repeats: int = 0
    memory: str = ""
    on_demand: bool = False
    variables: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    reason: str = ""
    replace_entry: bool = False
    log_offset: int = 0
    taken: bool = False
    earlier: tuple[EarlierEnd, ...] = ()
    image_id: str = ""


class Attempts:
    """The attempts of one task instance.

    :param first: the attempt whose number is Airflow's try.
    :param tags: for the records' objects.
    """

    def __init__(self, store: Store, first: Attempt, tags: Mapping[str, str]) -> None:
        self._store = store
        self.first = first
        self._tags = tags
        self.lead = first.prefix.rstrip("/").rpartition("/")[0] + "/"
        """Where the records of all its attempts begin."""

    def claim(self, make: Callable[[Attempt], Request], inputs: InputsRecord) -> tuple[Request, bytes]:
        """Write a request under a number of its own; the request and its bytes.

        The number is Airflow's try where that is free, else the next above all that have a record: a
        repetition within the try, or another run of the same name.
        """
        attempt = self.first
        while True:
            request = make(attempt)
            data = documents.dump(request)
            try:
                self._store.put(attempt.prefix + "request.json", data, create=True, tags=self._tags)
            except ObjectExists:
                attempt = replace(
                    attempt, try_number=max((number for number, _, _ in self.records()), default=0) + 1
                )
                continue
            self._store.put(attempt.prefix + "inputs.json", documents.dump(inputs), tags=self._tags)
            return request, data

    def request(self, attempt: Attempt) -> tuple[Request, bytes]:
        """The request of an attempt, and its bytes."""
        key = attempt.prefix + "request.json"
        data = self._store.get(key)
        return documents.load(Request, data, place=self._store.uri(key)), data

    def inputs(self, attempt: Attempt) -> InputsRecord:
        """The inputs' record of an attempt."""
        return documents.read(InputsRecord, self._store, attempt.prefix + "inputs.json")

    def write_pod(self, attempt: Attempt, record: PodRecord) -> None:
        """Keep *record* beside the attempt's request."""
        self._store.put(attempt.prefix + "pod.json", documents.dump(record), tags=self._tags)

    def latest_pod(self, name: str = "") -> tuple[Attempt, PodRecord] | None:
        """The newest attempt that has a pod, and its record.

        :param name: only the pod of this name.
        """
        numbers = {number for number, name, _ in self.records() if name == "pod.json"}
        for number in sorted(numbers, reverse=True):
            attempt = replace(self.first, try_number=number)
            try:
                record = documents.read(PodRecord, self._store, attempt.prefix + "pod.json")
            except ObjectMissing:
                continue
            if not name or record.name == name:
                return attempt, record
        return None

    def records(self) -> Iterator[tuple[int, str, ObjectInfo]]:
        """Number of the attempt, name below its prefix, and object of all that lies in the records."""
        for info in self._store.list(self.lead):
            number, _, name = info.key.removeprefix(self.lead).partition("/")
            if number.isdigit():
                yield int(number), name, info


def work_of(request: Request) -> str:
    """What *request* asks for, whichever try asks: a digest without attempt, lease, times and try numbers."""
    context = request.context
    if context is not None:
        values = {key: value for key, value in context.values.items() if key not in _CHANGING}
        context = replace(context, values=values)
    bare = replace(request, attempt=Attempt("", "", ""), created="", lease="", context=context)
    return hashlib.sha256(documents.dump(bare)).hexdigest()


def now() -> str:
    """The time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
