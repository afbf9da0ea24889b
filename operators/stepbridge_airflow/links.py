"""The link from a task instance to its run's record in the store."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from stepbridge_airflow.compat import BaseOperatorLink, xcom_of

DETAILS = "stepbridge"
"""The XCom key that holds a step's details."""


class StepRunLink(BaseOperatorLink):
    """Where request, inputs, result, log and usage of the attempt lie."""

    name = "Step run"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The record's address: the bucket's page for S3 on AWS, else the URI itself.

        On Airflow 3 this runs on the worker, where the operator still knows; on 2 it reads the details' XCom.
        """
        run = getattr(operator, "step_run_uri", "")
        if not run:
            details = xcom_of(ti_key, DETAILS)
            run = details.get("run", "") if isinstance(details, dict) else ""
        return page_of(run)


def page_of(uri: str) -> str:
    """*uri* as an address that a browser opens, where it is one of S3's."""
    if not uri.startswith("s3://"):
        return uri
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return f"https://s3.console.aws.amazon.com/s3/buckets/{bucket}?prefix={quote(prefix)}"
