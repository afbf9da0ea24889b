"""Candidates in pods: what breaks a pod breaks no run, and leaves nothing behind."""

from __future__ import annotations

import pytest
import shadow_cases as cases
from podlab import DEFERRED, PodLab, faults, pods  # noqa: F401 - the fixture

pytestmark = pytest.mark.slow

SOURCE = """
from stepbridge_airflow import shadow

def work(n):
    return {{"n": n}}

def beside(n):
    import time
    from pathlib import Path
    flags = Path({flags!r})
    (flags / "started").touch()
    limit = time.monotonic() + 60
    while {held!r} and time.monotonic() < limit:
        time.sleep(0.02)
    return {{"n": n}}

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD):
    control = PythonOperator(task_id="control", python_callable=work, op_args=[4])
    control >> PythonOperator(task_id="reader", python_callable=lambda ti: ti.xcom_pull("control")["n"])
    shadow(control, beside{arguments})
"""

FAULTS = {
    "none": (None, "IDENTICAL", ""),
    "oom": (faults.OomKilled(exit_code=137), "CANDIDATE_FAILED", "SB406"),
    "evicted": (faults.Evicted(), "CANDIDATE_FAILED", "SB429"),
    "vanished": (faults.Vanish(), "CANDIDATE_FAILED", "SB433"),
    "image": (faults.ImagePull(), "CANDIDATE_FAILED", "SB423"),
}


@pytest.mark.parametrize("mode", ["", DEFERRED], ids=["sync", "deferred"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_pod_is_a_verdict(pods: PodLab, fault: str, mode: str) -> None:
    given, verdict, code = FAULTS[fault]
    if given is not None:
        timed = {"after_file": pods.flag("started")} if hasattr(given, "after_file") else {}
        pods.cluster.inject(type(given)(**{**vars(given), **timed}))
    arguments = f", {mode}" if mode else ""
    run = pods.run(
        SOURCE.format(flags=str(pods.flags), held=given is not None, arguments=arguments), expect="success"
    )
    assert run.xcom("reader") == 4
    assert cases.verdict(run, "control") == verdict, cases.rule(run, "control")
    if code:
        assert code in cases.rule(run, "control")
        assert run.states["control__shadow"] == "skipped"
    assert pods.ends() == []
    assert all("__shadow" in str(pod["metadata"]["annotations"]) for pod in pods.created())
    pods.assert_nothing_left()
