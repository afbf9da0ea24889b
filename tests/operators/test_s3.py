"""The same DAGs with the store in S3, over HTTP against a server that the test starts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from s3_server import s3_server

pytest.importorskip("moto.server")


class Requests(logging.Handler):
    """What the server was asked, from its own log."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if '"' in message:
            self.lines.append(message.split('"')[1].rpartition(" ")[0])


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[Requests]:
    with s3_server(monkeypatch, "steps", verbose=True):
        log = logging.getLogger("werkzeug")
        handler = Requests()
        before = log.level
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        yield handler
        log.removeHandler(handler)
        log.setLevel(before)


FLOW = """
import os
import pandas as pd

@step(cache="auto")
def make(n: int) -> pd.DataFrame:
    return pd.DataFrame({"x": range(n)})

@step(cache="auto")
def total(frame: pd.DataFrame) -> int:
    return int(frame.x.sum())

with DAG("DAG_ID", start_date=START, schedule=None):
    total(make(4))
"""


def test_a_hit_is_two_requests_and_one_for_each_artifact(lab: Any, requests: Requests) -> None:
    dag = lab.load(lab.write(FLOW))
    first = lab.test(dag)
    assert first.state == "success"
    assert first.xcom("total") == 6
    assert first.xcom("make").startswith("s3://steps/team/artifacts/")
    assert requests.lines
    del requests.lines[:]
    second = lab.test(dag)
    assert second.xcom("make") == first.xcom("make")
    assert second.xcom("total") == 6
    verbs = [line.split(" ")[0] for line in requests.lines]
    # make: entry, listing, record; total: entry, record
    assert sorted(verbs) == ["GET", "GET", "GET", "PUT", "PUT"], requests.lines
    link = second.xcom("make", "_link_StepRunLink")
    assert link is None or link.startswith(
        "https://s3.console.aws.amazon.com/s3/buckets/steps?prefix=team/runs/"
    )


def test_outside_objects_are_identified_by_content(lab: Any, requests: Requests) -> None:
    import boto3

    from stepbridge_airflow.compat import conf

    client = boto3.client("s3", endpoint_url=conf.get("stepbridge", "endpoint"))
    client.create_bucket(Bucket="elsewhere")
    source = """
        @step(cache="auto")
        def read(file: File) -> str:
            return file.open().read()

        with DAG("DAG_ID", start_date=START, schedule=None):
            read("s3://elsewhere/a.txt")
        """
    dag = lab.load(lab.write(source))
    seen = []
    for text in ("one", "one", "two"):
        client.put_object(Bucket="elsewhere", Key="a.txt", Body=text.encode())
        run = lab.test(dag)
        seen.append((run.xcom("read"), run.xcom("read", "stepbridge")["cache"]))
    assert seen == [("one", "miss"), ("one", "hit"), ("two", "miss")]


def test_an_absent_bucket_is_named(lab: Any, requests: Requests, capfd: Any) -> None:
    run = lab.run(
        """
        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="t", python_callable=lambda: 1, store="s3://no-such-bucket/x", retries=2)
        """,
        expect="failed",
    )
    assert run.states == {"t": "failed"}
    out = capfd.readouterr()
    assert "SB306" in out.out + out.err
    assert "no-such-bucket" in out.out + out.err
