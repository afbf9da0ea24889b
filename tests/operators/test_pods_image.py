"""Which image a pod ran is recorded with the result, and `stepbridge cache explain` shows it."""

from __future__ import annotations

import json

import pytest
from podlab import PodLab, pods  # noqa: F401 - the fixture

from stepbridge import cli

DAG = """
def make(n):
    return n * 2

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator(task_id="make", python_callable=make, op_kwargs={"n": 4}, cache="auto"%s)
"""


@pytest.mark.parametrize("arguments", ["", ", deferrable=True, poll_interval=0.5"])
def test_the_image_of_the_pod_is_kept_with_the_result(
    arguments: str, pods: PodLab, capsys: pytest.CaptureFixture[str]
) -> None:
    first = pods.run(DAG % arguments)
    (pod,) = pods.created()
    image = pod["spec"]["containers"][0]["image"]
    seen = first.xcom("make", "stepbridge")["image_id"]
    assert seen.startswith(f"{image.split('@')[0]}@sha256:")
    (record,) = pods.records("pod.json")
    assert json.loads(record.read_text())["image_id"] == seen
    store = f"file://{pods.lab.store}"
    attempt = str(record.parent.relative_to(pods.lab.store))
    capsys.readouterr()
    assert cli.main(["cache", "explain", attempt, "--store", store]) == 0
    assert f"  image    {seen}\n" in capsys.readouterr().out
    key = first.xcom("make", "stepbridge")["key"]
    assert cli.main(["cache", "explain", key, "--store", store, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["image"] == seen
