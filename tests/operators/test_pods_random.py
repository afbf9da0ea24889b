"""Random sequences of faults: green only with a stored result, nothing left, no attempt without an end."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from podlab import DEFERRED, PodLab, faults, pods  # noqa: F401 - the fixture

pytestmark = pytest.mark.slow
FIRST = int(os.environ.get("STEPBRIDGE_TEST_SEED", "0"))
"""Of the seeds; another one tries other sequences."""
SEEDS = range(FIRST, FIRST + 12)
WAITS = (
    "budgets=Budgets(schedule=timedelta(seconds=2), pull=timedelta(seconds=2), start=timedelta(seconds=2))"
)
BODY = """
import time, uuid
value = uuid.uuid4().hex
with (flags / "values").open("a") as file:
    file.write(value + chr(10))
time.sleep({seconds})
return [n, value]
"""
Draw = Callable[[random.Random], faults.PodFault]


def _timed(fault: faults.TimedFault) -> Draw:
    return lambda chance: replace(fault, times=1, after=chance.uniform(0, 1.2))


def _plain(fault: faults.PodFault) -> Draw:
    return lambda chance: replace(fault, times=1)


REPEATED: list[Draw] = [
    _plain(faults.Unschedulable()),
    _plain(faults.NodeRejects()),
    _plain(faults.InitFailure()),
    _plain(faults.ImagePull(message="429 Too Many Requests: toomanyrequests")),
    _plain(faults.QuotaExceeded()),
    _plain(faults.SlowPull(seconds=0.7)),
    _timed(faults.Evicted()),
    _timed(faults.Preempted()),
    _timed(faults.SpotTaint()),
    _timed(faults.NodeShutdown()),
    _timed(faults.DeletedOutside()),
    _timed(faults.DeletedOutside(grace=0)),
    _timed(faults.Vanish()),
    _timed(faults.Vanish(when="before_start")),
    _timed(faults.NodeLost()),
    _plain(faults.Vanish(when="finished")),
]
"""What a repetition helps against, or what costs a run nothing."""
FATAL: list[Draw] = [
    _plain(faults.ImagePull()),
    _plain(faults.AdmissionForbidden()),
    _plain(faults.ConfigError()),
    _timed(faults.OomKilled()),
    _timed(faults.OomKilled(exit_code=0)),
]
"""What ends the try."""
CALLS: list[faults.Fault] = [
    faults.Api(status=503, times=3),
    faults.Api(status=500, times=3),
    faults.Api(status=429, retry_after=1, times=2),
    faults.Api(status=401, times=1),
    faults.ApiCut(times=2),
    faults.LostCreateAnswer(),
    faults.WatchCut(times=3),
    faults.Slow(seconds=1.0, times=3),
]
"""What passes by itself."""


@dataclass(frozen=True)
class Plan:
    """What goes wrong in one run of a DAG.

    :param strikes: one fault for each pod that is made; later pods have none.
    :param calls: what happens to requests, one with each pod.
    :param budget: ``infra_retries``.
    :param retries: of Airflow's.
    :param certain: whether the step must succeed.
    """

    strikes: list[faults.PodFault]
    calls: list[faults.Fault]
    budget: int
    retries: int
    certain: bool
    seconds: float

    @classmethod
    def of(cls, seed: int) -> Plan:
        chance = random.Random(seed)
        fatal = chance.random() < 0.3
        strikes = [chance.choice(REPEATED)(chance) for _ in range(chance.randint(1, 4))]
        if fatal:
            strikes.insert(chance.randint(0, len(strikes)), chance.choice(FATAL)(chance))
        budget, retries = chance.randint(0, 4), chance.randint(0, 1)
        calls = [chance.choice(CALLS) for _ in strikes] if chance.random() < 0.6 else []
        certain = not fatal and budget >= len(strikes)
        return cls(strikes, calls, budget, retries, certain, chance.choice([0.0, 0.3, 1.0]))


@pytest.mark.parametrize("mode", ["", DEFERRED], ids=["sync", "deferred"])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults(pods: PodLab, seed: int, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__LOOK_INTERVAL", "5")
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__API_PATIENCE", "20")
    plan = Plan.of(seed)
    print(plan)
    pods.meanwhile(lambda: _strike(pods, plan))
    source = pods.source(
        BODY.format(seconds=plan.seconds),
        mode,
        WAITS,
        f"infra_retries={plan.budget}",
        f"retries={plan.retries}, retry_delay=timedelta(0)",
        "termination_grace_period=1",
    )
    run = pods.lab.test(pods.load(source))
    pods.flag("over").touch()
    pods.assert_nothing_left()
    attempts = [Attempted.read(path.parent) for path in pods.records("request.json")]
    attempts.sort(key=lambda one: one.number)
    assert all(one.result is not None or one.error is not None for one in attempts), attempts
    assert len(attempts) <= (plan.budget + 1) * (plan.retries + 1)
    assert len({one.pod for one in attempts}) == len(attempts)
    if plan.certain:
        assert run.states["work"] == "success", pods.ends()
    if run.states["work"] == "success":
        _is_right(pods, run, attempts)
        assert len(pods.ends()) <= plan.retries
    else:
        last = attempts[-1]
        assert run.xcom("work") is None
        assert [one.number for one in attempts if one.result is not None] == []
        assert last.error is not None
        assert len(pods.ends()) == plan.retries + 1
        assert pods.ends()[-1].code == last.error["code"]


def _strike(pods: PodLab, plan: Plan) -> None:
    """Arm one fault for the next pod as soon as the one before has struck."""
    calls = list(plan.calls)
    for strike in plan.strikes:
        armed = pods.cluster.inject(strike)
        if calls:
            pods.cluster.inject(calls.pop())
        pods.cluster.wait_for(lambda armed=armed: armed.fired or pods.flag("over").exists(), 120)  # type: ignore[misc]


def _is_right(pods: PodLab, run: Any, attempts: list[Attempted]) -> None:
    """The XCom is what the one attempt stored whose pod is reported, and that function ran once."""
    said = run.xcom("work", "stepbridge")
    (last,) = [one for one in attempts if one.result is not None]
    assert last is attempts[-1]
    assert said["pod"] == last.pod
    # KubernetesPodOperator's own, which it leaves out where it never saw the creation's answer
    assert run.xcom("work", "pod_name") in {last.pod, None}
    assert said["run"].rstrip("/").endswith(f"/{last.number}")
    number, value = run.xcom("work")
    assert number == 4
    assert json.dumps(last.result).count(value) == 1
    assert pods.flag("values").read_text().split().count(value) == 1
    earlier = said.get("earlier", [])
    failed = [one.error["code"] for one in attempts[:-1] if one.error]
    assert [one["code"] for one in earlier] == failed[len(failed) - len(earlier) :]
    assert len(failed) == len(earlier) or pods.ends()


@dataclass(frozen=True)
class Attempted:
    """What the store has of an attempt.

    :param pod: name of its pod.
    """

    number: int
    pod: str
    result: dict[str, Any] | None
    error: dict[str, Any] | None

    @classmethod
    def read(cls, folder: Path) -> Attempted:
        def load(name: str) -> dict[str, Any] | None:
            path = folder / name
            return json.loads(path.read_text()) if path.exists() else None

        pod = load("pod.json")
        assert pod is not None, folder
        return cls(int(folder.name), pod["name"], load("result.json"), load("error.json"))
