"""What earlier attempts of a task instance left: a result for its resumed run, a lease to go on with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from stepbridge import documents, publishing
from stepbridge.artifact import safe_segment
from stepbridge.contract import Attempt, CacheTarget, Request, Result, Stored
from stepbridge.failures import ObjectMissing, StoreProblem
from stepbridge.leaves import stored
from stepbridge.store.base import Store
from stepbridge_airflow.attempts import Attempts, work_of


@dataclass(frozen=True)
class Resumption:
    """``resume/<dag>/<run>.json``: the run was resumed.

    :param created: when, ISO 8601, UTC. :param by: the login of who did, for people.
    :param all: whether all of it was cleared, so that steps take what they gave before.
    """

    created: str
    by: str
    all: bool


def resumption_key(dag_id: str, run_id: str) -> str:
    """Where the run's :class:`Resumption` lies in the store."""
    dag, run = (safe_segment(name) for name in (dag_id, run_id))
    return f"resume/{dag}/{run}.json"


@dataclass(frozen=True)
class Left:
    """A success of an earlier attempt.

    :param request: what it was asked for.
    :param free: the attempt whose record can be written now: no attempt before has its number.
    """

    request: Request
    result: Result
    free: Attempt

    def stale(self, store: Store, asked: Request) -> str:
        """Why the result does not stand for *asked*, for people; empty where it does.

        :raises StoreProblem: where the store does not answer.
        """
        if work_of(self.request) != work_of(asked):
            return _changed(self.request, asked)
        for value in (self.result.output, *self.result.xcoms.values()):
            for leaf in stored(value):
                gone = publishing.missing(store, leaf.artifact) if isinstance(leaf, Stored) else ""
                if gone:
                    return gone
        return ""


def left(store: Store, attempts: Attempts) -> Left | None:
    """The newest success of an earlier attempt, where the whole run was resumed since.

    A result that was made or taken after that is the resumed run's own: who clears such a task wants it to
    run. Both times are the store's. A first attempt costs no request, others one where nothing was resumed.

    :raises StoreProblem: where the store does not answer.
    """
    first = attempts.first
    if first.try_number < 2:
        return None
    key = resumption_key(first.dag_id, first.run_id)
    try:
        data, info = store.read(key)
    except ObjectMissing:
        return None
    if not documents.load(Resumption, data, place=store.uri(key)).all or info.modified is None:
        return None
    records = list(attempts.records())
    done = [one for number, name, one in records if name == "result.json"]
    if not done or any(one.modified is None or one.modified > info.modified for one in done):
        return None
    names = {(number, name) for number, name, _ in records}
    ran = [number for number, name in names if name == "result.json" and (number, "request.json") in names]
    if not ran:
        return None
    source = replace(first, try_number=max(ran))
    taken = {number for number, _ in names}
    free = first.try_number if first.try_number not in taken else max(taken) + 1
    return Left(
        attempts.request(source)[0],
        documents.read(Result, store, source.prefix + "result.json"),
        replace(first, try_number=free),
    )


def lease(attempts: Attempts, target: CacheTarget) -> str:
    """The nonce of the lease that the newest earlier attempt at *target* had; empty for none.

    Its pod may be at work still: this try goes on with it, and so with its lease, and does not wait for
    itself.
    """
    first = attempts.first
    if first.try_number < 2:
        return ""
    try:
        numbers = [number for number, name, _ in attempts.records() if name == "request.json"]
        if not numbers:
            return ""
        request, _ = attempts.request(replace(first, try_number=max(numbers)))
    except StoreProblem:
        return ""
    same = request.cache is not None and request.cache.path == target.path
    return request.lease if same else ""


def _changed(old: Request, new: Request) -> str:
    """What differs in the work, in words."""
    if old.code.digest != new.code.digest or old.code.entry != new.code.entry:
        return "the code changed"
    if old.code != new.code:
        return "the files that are shipped, or what the function captured, changed"
    names = [f"argument {n}" for n, pair in enumerate(_pairs(old.args, new.args)) if pair[0] != pair[1]]
    names += [
        f"input `{name}`"
        for name in sorted({*old.kwargs, *new.kwargs})
        if old.kwargs.get(name) != new.kwargs.get(name)
    ]
    if names:
        return f"{', '.join(names)} changed"
    if old.context != new.context:
        return "what the step reads of Airflow's context changed"
    return "the step's settings changed"


def _pairs(old: tuple[object, ...], new: tuple[object, ...]) -> Iterator[tuple[object, object]]:
    for n in range(max(len(old), len(new))):
        yield (old[n] if n < len(old) else None), (new[n] if n < len(new) else None)
