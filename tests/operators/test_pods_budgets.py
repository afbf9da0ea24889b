"""Repetitions within a try: their own budget, more memory, the time that all together may take."""

from __future__ import annotations

from typing import Any

import pytest
from podlab import DEFERRED, PodLab, faults, pods  # noqa: F401 - the fixture

MODES = pytest.mark.parametrize("mode", ["", DEFERRED], ids=["sync", "deferred"])
SYNC = pytest.mark.parametrize(
    "mode", ["", pytest.param(DEFERRED, marks=pytest.mark.slow)], ids=["sync", "deferred"]
)
"""The same, of which every run of the tests takes the first."""
LATER = pytest.mark.parametrize(
    "mode", [pytest.param("", marks=pytest.mark.slow), DEFERRED], ids=["sync", "deferred"]
)
"""The same, of which every run of the tests takes the second."""
HELD = "if once('started'):\n    hold()"


def memory_of(pod: dict[str, Any]) -> str:
    return str(pod["spec"]["containers"][0]["resources"]["limits"]["memory"])


def terms_of(pod: dict[str, Any]) -> str:
    return str(pod["spec"].get("affinity")) + str(pod["spec"].get("nodeSelector"))


@SYNC
def test_the_budget_of_repetitions(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.NodeRejects())
    pods.step("", mode, "infra_retries=2", expect="failed")
    assert len(pods.created()) == 3
    assert pods.errors() == ["SB427"] * 3
    assert pods.end().code == "SB427"
    pods.assert_nothing_left()


@LATER
def test_a_second_try_has_a_budget_of_its_own(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.NodeRejects(times=3))
    run = pods.step("", mode, "infra_retries=1, retries=1, retry_delay=timedelta(0)")
    assert run.xcom("work") == 4
    assert [end.code for end in pods.ends()] == ["SB427"]
    assert len(pods.created()) == 4
    assert len(run.xcom("work", "stepbridge")["earlier"]) == 1
    pods.assert_nothing_left()


def test_the_last_repetition_is_off_spot(pods: PodLab) -> None:
    waits = "budgets=Budgets(schedule=timedelta(seconds=1))"
    pods.cluster.inject(faults.Unschedulable())
    pods.step("", waits, "infra_retries=2, placement=Placement(capacity='spot')", expect="failed")
    first, second, last = map(terms_of, pods.created())
    assert "spot" in first.lower()
    assert first == second != last
    assert "NotIn" in last
    assert "NotIn" not in first
    pods.assert_nothing_left()


@SYNC
def test_what_the_step_did_is_not_repeated(pods: PodLab, mode: str) -> None:
    pods.step("raise ValueError('no rows')", mode, "infra_retries=3", expect="failed")
    assert len(pods.created()) == 1
    assert pods.end().code == "SB402"
    pods.assert_nothing_left()


@LATER
def test_memory_grows(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.OomKilled(times=2))
    run = pods.step(
        "import time\ntime.sleep(1)", mode, "resources=Resources(memory='1Gi'), on_oom=Escalate(2, '16Gi')"
    )
    assert [memory_of(pod) for pod in pods.created()] == ["1Gi", "2048Mi", "4096Mi"]
    said = run.xcom("work", "stepbridge")
    assert said["memory"] == "4096Mi"
    assert "4096Mi" in said["suggestion"]
    assert [one["kind"] for one in said["earlier"]] == ["oom", "oom"]
    assert pods.errors() == ["SB406", "SB406"]
    pods.assert_nothing_left()


@SYNC
def test_memory_grows_to_its_bound(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.OomKilled())
    pods.step(
        "import time\ntime.sleep(5)",
        mode,
        "resources=Resources(memory='1Gi'), on_oom=Escalate(2, '3Gi'), infra_retries=3",
        expect="failed",
    )
    assert [memory_of(pod) for pod in pods.created()] == ["1Gi", "2048Mi", "3072Mi"]
    assert pods.end().kind == "oom"
    pods.assert_nothing_left()


@LATER
def test_the_total_budget(pods: PodLab, mode: str) -> None:
    pods.step("hold()", mode, "budgets=Budgets(total=timedelta(seconds=4)), infra_retries=3", expect="failed")
    assert len(pods.created()) == 1
    assert pods.end().kind == "timeout"
    pods.assert_nothing_left()


@SYNC
def test_the_total_budget_ends_repetitions(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.Evicted(after=1))
    pods.step(
        "hold()", mode, "budgets=Budgets(total=timedelta(seconds=5)), infra_retries=50", expect="failed"
    )
    assert 1 < len(pods.created()) < 8
    pods.assert_nothing_left()


@MODES
def test_the_tasks_own_time_limit(pods: PodLab, mode: str) -> None:
    pods.step("hold()", mode, "execution_timeout=timedelta(seconds=5)", expect="failed")
    assert len(pods.created()) == 1
    assert pods.records("result.json") == []
    (code,) = pods.errors()
    assert code in {"SB404", "SB437"}
    pods.assert_nothing_left()


@LATER
def test_the_steps_own_time_limit(pods: PodLab, mode: str) -> None:
    pods.step("hold()", mode, "timeout=timedelta(seconds=1), infra_retries=2", expect="failed")
    assert len(pods.created()) == 1
    assert (pods.end().code, pods.end().kind) == ("SB404", "timeout")
    pods.assert_nothing_left()
