"""Many step pods at once: none lost, none twice, none left, and how much is asked of API server and store."""

from __future__ import annotations

import asyncio
import queue
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from podlab import PodLab, pods  # noqa: F401 - the fixture
from test_s3 import Requests, requests  # noqa: F401 - the fixture

from throwaway import version

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kube.double import Request
from kube.faults import Api, Armed, Evicted
from kube.scheduling import Node

pytestmark = pytest.mark.skipif(
    version() < (3, 3), reason="task instances are run one by one with the pieces of Airflow 3.3"
)

POLL = 2.0
AT_ONCE = 8
"""Pods that the node has room for; the others wait for it, as on a busy cluster."""
SOURCE = """
def twice(n):
    import time

    time.sleep(0.2)
    return {{"n": n, "twice": n * 2}}

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator.partial(
        task_id="twice",
        python_callable=twice,
        deferrable=True,
        poll_interval={poll},
        startup_check_interval_seconds={poll},
        resources=Resources(cpu="1", memory="1Gi"),
        node_selector=dict(pool="crowd"),
        infra_retries={infra_retries},
    ).expand(op_kwargs=[dict(n=n) for n in range({count})])
"""


@dataclass(frozen=True)
class Wait:
    """A trigger as the database keeps it."""

    classpath: str
    kwargs: dict[str, Any]


class Triggerer:
    """Runs triggers in one event loop, as Airflow's triggerer does, and hands out their events."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[int, Any]] = queue.Queue()
        self._kept: dict[int, Wait] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="triggerer", daemon=True)
        self._thread.start()

    def __enter__(self) -> Triggerer:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def start(self, key: int, wait: Wait) -> None:
        """Run a trigger until its first event."""

        async def begin() -> None:
            self._kept[key] = wait
            self._begin(key)

        asyncio.run_coroutine_threadsafe(begin(), self._loop).result(30)

    def restart(self) -> int:
        """End as a triggerer that is stopped, and begin again with what the database keeps; how many."""

        async def again() -> int:
            await self._cancel()
            for key in self._kept:
                self._begin(key)
            return len(self._kept)

        return asyncio.run_coroutine_threadsafe(again(), self._loop).result(60)

    def drop(self, key: int) -> None:
        """End a trigger, as when its event is on the way."""

        async def end() -> None:
            del self._kept[key]
            self._tasks[key].cancel()
            await asyncio.gather(self._tasks.pop(key), return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(60)

    def _begin(self, key: int) -> None:
        self._tasks[key] = self._loop.create_task(self._run(key, self._kept[key]))

    async def _run(self, key: int, wait: Wait) -> None:
        from airflow.sdk._shared.module_loading import import_string

        trigger = import_string(wait.classpath)(**wait.kwargs)
        try:
            async for event in trigger.run():
                del self._kept[key]
                self.events.put((key, event.payload))
                return
        finally:
            await trigger.cleanup()

    async def _cancel(self) -> None:
        tasks = [task for task in self._tasks.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()


@dataclass
class Flight:
    """A DAG run of one mapped step: every task instance is run here by Airflow's own pieces, one by one."""

    dag: Any
    triggerer: Triggerer
    run: Run = field(init=False)
    states: dict[int, str] = field(default_factory=dict)
    resumed: Counter[int] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    """What the triggers' events said."""
    _tis: dict[int, Any] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the run in the database and expand its task, as the scheduler does."""
        from airflow import settings
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
        from airflow.models.dagrun import DagRun, get_or_create_dagrun
        from airflow.serialization.serialized_objects import DagSerialization
        from airflow.utils.types import DagRunTriggeredByType, DagRunType

        session = settings.Session()
        manager = DagBundlesManager()
        manager.sync_bundles_to_db(session=session)
        session.commit()
        (bundle,) = [one for one in manager.get_all_dag_bundles() if one.name == "dags-folder"]
        bundle.initialize()
        bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        sync_bag_to_db(bag, bundle.name, bundle.version)
        at = datetime.now(UTC)
        run_id = DagRun.generate_run_id(run_type=DagRunType.MANUAL, logical_date=at, run_after=at)
        found = get_or_create_dagrun(
            dag=DagSerialization.deserialize_dag(DagSerialization.serialize_dag(self.dag)),
            start_date=at,
            logical_date=at,
            data_interval=None,
            run_after=at,
            run_id=run_id,
            session=session,
            conf=None,
            triggered_by=DagRunTriggeredByType.TEST,
            triggering_user_name="test",
        )
        ready, _ = found.update_state(session=session)
        for ti in ready:
            ti.try_number += 1
            ti.state = "scheduled"
            self._tis[ti.map_index] = ti
        session.commit()
        self.run = Run(self.dag.dag_id, run_id, "")

    @property
    def indexes(self) -> list[int]:
        return sorted(self._tis)

    def go(self, index: int) -> str:
        """Run a task instance as a worker does, until it ends or waits for a trigger; its state."""
        from airflow.sdk.definitions.dag import _run_task
        from airflow.sdk.execution_time.comms import DeferTask
        from airflow.sdk.serde import deserialize

        ti = self._tis[index]
        done = _run_task(ti=ti, task=self.dag.task_dict[ti.task_id], run_triggerer=False)
        state = str(getattr(ti.state, "value", ti.state))
        self.states[index] = state
        if done is not None and isinstance(done.msg, DeferTask):
            kwargs = deserialize(done.msg.trigger_kwargs)
            ti.next_method = done.msg.next_method
            self.triggerer.start(index, Wait(done.msg.classpath, kwargs))
        return state

    def resume(self, index: int, payload: Any) -> str:
        """Go on with a task instance whose trigger fired, as scheduler and worker do; its state."""
        from airflow.sdk.serde import serialize
        from airflow.utils.session import create_session

        self.resumed[index] += 1
        self.statuses[str(payload["status"])] += 1
        ti = self._tis[index]
        ti.next_kwargs = {"event": serialize(payload)}
        with create_session() as session:
            ti.state = "scheduled"
            session.add(ti)
        return self.go(index)

    def land(self, *, seconds: float, until: int = 0) -> None:
        """Resume what fires until at most *until* task instances wait."""
        end = time.monotonic() + seconds
        while sum(state == "deferred" for state in self.states.values()) > until:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not landed after {seconds} s: {Counter(self.states.values())}")
            try:
                index, payload = self.triggerer.events.get(timeout=min(5.0, left))
            except queue.Empty:
                continue
            self.resume(index, payload)


@pytest.fixture
def triggerer() -> Iterator[Triggerer]:
    with Triggerer() as found:
        yield found


def _flight(pods: PodLab, triggerer: Triggerer, count: int, *, infra_retries: int = 0) -> Flight:
    flight = Flight(pods.load(SOURCE.format(poll=POLL, count=count, infra_retries=infra_retries)), triggerer)
    flight.prepare()
    assert flight.indexes == list(range(count))
    for index in flight.indexes:
        assert flight.go(index) == "deferred"
    return flight


def _open_node(pods: PodLab) -> None:
    room = {"cpu": str(AT_ONCE), "memory": "1000Gi", "ephemeral-storage": "1000Gi", "pods": "1000"}
    pods.cluster.add_node(Node("crowd-1", labels={"pool": "crowd"}, allocatable=room))


def _assert_results(flight: Flight, count: int) -> None:
    assert Counter(flight.states.values()) == {"success": count}
    values = [flight.run.xcom("twice", map_index=index) for index in range(count)]
    assert values == [{"n": n, "twice": n * 2} for n in range(count)]


def _pods_by_index(pods: PodLab) -> Counter[int]:
    return Counter(int(pod["metadata"]["labels"]["map_index"]) for pod in pods.created())


def _shapes(requests: Sequence[Request], names: set[str]) -> Counter[str]:
    """What was asked for, without the names of pods."""
    shapes: Counter[str] = Counter()
    for one in requests:
        path = one.path
        for part in path.split("/"):
            if part in names:
                path = path.replace(part, "POD")
        query = "&".join(sorted(one.query))
        shapes[f"{one.method} {path}{'?' + query if query else ''} {one.status}"] += 1
    return shapes


@dataclass(frozen=True)
class Asked:
    """What the API server was asked for one pod.

    :param polls: GETs of the pod, by trigger and worker. :param others: everything else.
    :param seconds: from the first to the last request.
    """

    polls: int
    others: int
    seconds: float


def _asked(pods: PodLab) -> dict[str, Asked]:
    found = {}
    posts = iter(one for one in pods.cluster.requests if one.method == "POST" and one.path.endswith("/pods"))
    for created in pods.cluster.created:
        name = created.name
        ours = [one for one in pods.cluster.requests if name in one.path or name in str(one.query)]
        polls = [one for one in ours if one.method == "GET" and one.path.endswith(f"/pods/{name}")]
        next(posts)
        seconds = max(one.time for one in ours) - created.time
        found[name] = Asked(len(polls), len(ours) - len(polls) + 1, seconds)
    return found


def _report(pods: PodLab, title: str) -> None:
    asked = _asked(pods)
    total = len(pods.cluster.requests)
    minutes = sum(one.seconds for one in asked.values()) / 60
    print(
        f"\n{title}: {len(asked)} pods, {total} requests, {total / len(asked):.1f} per pod, "
        f"{total / minutes:.1f} per pod and minute; {minutes * 60 / len(asked):.1f} s per pod"
    )
    for shape, times in _shapes(pods.cluster.requests, set(asked)).most_common():
        print(f"  {times / len(asked):6.2f} {shape}")


def _assert_bounded(pods: PodLab, flight: Flight, *, extra: int = 0) -> None:
    """Per pod: one creation and one deletion, a poll per interval, a few reads where it failed.

    :param extra: requests of the whole flight that faults cost.
    """
    asked = _asked(pods)
    polls = sum(one.polls for one in asked.values())
    others = sum(one.others for one in asked.values())
    # the trigger reads at its begin, after the start and once per interval; the worker reads nothing where it
    # finds a result, else the pod, its events and its log
    unclear = sum(flight.resumed.values()) - flight.statuses["success"]
    due = sum(one.seconds / POLL + 3 for one in asked.values()) + 4 * unclear + extra
    assert polls <= due, (polls, due)
    assert others <= 2 * len(asked) + 3 * unclear + extra, others


def _fly(pods: PodLab, triggerer: Triggerer, count: int, seconds: float) -> None:
    flight = _flight(pods, triggerer, count)
    assert len(pods.created()) == count
    assert len(pods.cluster.pods()) == count
    _open_node(pods)
    flight.land(seconds=seconds)
    _report(pods, f"{count} pods")
    _assert_results(flight, count)
    assert _pods_by_index(pods) == Counter(range(count))
    _assert_bounded(pods, flight)
    pods.assert_nothing_left()


def test_an_api_that_fails_at_the_resumption_gets_no_second_pod(pods: PodLab, triggerer: Triggerer) -> None:
    """The worker cannot see the pod that the trigger spoke of; it must not make another."""
    flight = _flight(pods, triggerer, 1)
    ((name, pod),) = [(one["metadata"]["name"], one) for one in pods.created()]
    triggerer.drop(0)
    armed = pods.cluster.inject(Api(status=500, times=None, methods=["GET"], path_contains=f"/pods/{name}"))
    flight.resume(0, {"status": "timeout", "name": name, "namespace": "default", "message": "looked up"})
    assert armed.fired >= 5
    assert flight.states == {0: "deferred"}
    assert pods.created() == [pod]
    pods.cluster.heal()
    _open_node(pods)
    flight.land(seconds=60)
    _assert_results(flight, 1)
    assert pods.created() == [pod]
    pods.assert_nothing_left()


def _burst(pods: PodLab, status: int, seconds: float) -> Armed:
    """For some seconds every request about pods is refused."""
    armed = pods.cluster.inject(Api(status=status, times=None, path_contains="/pods"))
    threading.Timer(seconds, armed.stop).start()
    return armed


def _fly_with_faults(pods: PodLab, triggerer: Triggerer, count: int, seconds: float) -> None:
    """A tenth is evicted, the API server refuses in bursts, the triggerer restarts half-way."""
    evicted = list(range(0, count, 10))
    armed = [
        pods.cluster.inject(Evicted(times=1, after=0.1, labels={"map_index": str(index)}))
        for index in evicted
    ]
    flight = _flight(pods, triggerer, count, infra_retries=2)
    bursts = [_burst(pods, 429, 3), _burst(pods, 500, 5)]
    _open_node(pods)
    flight.land(seconds=seconds, until=count // 2)
    again = triggerer.restart()
    assert again > 0
    bursts.append(_burst(pods, 503, 6))
    flight.land(seconds=seconds)
    _report(pods, f"{count} pods with faults; events {dict(flight.statuses)}")
    assert [one.fired for one in armed] == [1] * len(evicted)
    assert all(burst.fired for burst in bursts)
    # what failed is asked again; each trigger that begins anew reads three times more
    _assert_bounded(pods, flight, extra=2 * sum(burst.fired for burst in bursts) + 3 * again)
    _assert_results(flight, count)
    assert _pods_by_index(pods) == Counter([*range(count), *evicted])
    pods.assert_nothing_left()


ONE = """
def twice(n):
    return {{"n": n, "twice": n * 2}}

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator(
        task_id="twice",
        python_callable=twice,
        op_kwargs=dict(n=4),
        deferrable={deferrable},
        env_vars={env_vars},
        cache={cache!r},
    )
"""
SILENT = {"PATCH", "PUT"}
"""Methods that no pod of a step without Variables needs."""


@pytest.mark.parametrize("deferrable", [False, True])
def test_own_calls_of_a_pod_that_succeeds(pods: PodLab, deferrable: bool) -> None:
    """One creation, one deletion; all else is KubernetesPodOperator's watching."""
    run = pods.run(ONE.format(deferrable=deferrable, env_vars={}, cache="off"))
    assert run.xcom("twice") == {"n": 4, "twice": 8}
    ((name, _),) = [(one["metadata"]["name"], one) for one in pods.created()]
    asked = pods.cluster.requests
    shapes = _shapes(asked, {name})
    _say(f"deferrable={deferrable}", shapes)
    methods = Counter(one.method for one in asked)
    assert (methods["POST"], methods["DELETE"]) == (1, 1)
    assert not SILENT & set(methods)
    assert not [one for one in asked if "events" in one.path]
    lasted = asked[-1].time - asked[0].time
    # once at the start, after it, and at the end; else once a second, or every two of the trigger
    assert methods["GET"] <= 5 + lasted / (2 if deferrable else 1)


STORE_CALLS = 18
"""Calls to the store for a step that misses the cache, by worker and runner together."""


def test_calls_to_the_store(pods: PodLab, requests: Requests) -> None:
    env = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test-key-of-the-test"}
    run = pods.run(ONE.format(deferrable=False, env_vars=env, cache="auto"))
    assert run.xcom("twice") == {"n": 4, "twice": 8}
    shapes = Counter(_store_shape(line) for line in requests.lines)
    _say(f"store, {len(requests.lines)} calls", shapes)
    assert len(requests.lines) <= STORE_CALLS


def _store_shape(line: str) -> str:
    method, _, path = re.sub(r"\x1b\[\d+m", "", line).partition(" ")
    path, _, query = path.partition("?")
    parts = path.split("/")
    kind = parts[3] if len(parts) > 3 else ""
    return f"{method} {kind}/.../{parts[-1][:40]}{' list' if 'list-type' in query else ''}"


def _say(title: str, shapes: Counter[str]) -> None:
    print(f"\n{title}: {sum(shapes.values())} requests")
    for shape, times in sorted(shapes.items()):
        print(f"  {times:4d} {shape}")


def test_twenty_pods_at_once(pods: PodLab, triggerer: Triggerer) -> None:
    _fly(pods, triggerer, 20, 90)


@pytest.mark.slow
def test_twenty_pods_with_faults(pods: PodLab, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__API_PATIENCE", "60")
    _fly_with_faults(pods, triggerer, 20, 90)


@pytest.mark.slow
def test_two_hundred_pods_at_once(pods: PodLab, triggerer: Triggerer) -> None:
    _fly(pods, triggerer, 200, 400)


@pytest.mark.slow
def test_a_hundred_pods_with_faults(
    pods: PodLab, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__API_PATIENCE", "60")
    _fly_with_faults(pods, triggerer, 100, 300)
