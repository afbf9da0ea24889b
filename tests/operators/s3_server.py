"""An S3 server for the length of a test, with the settings by which steps find it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch, *buckets: str, verbose: bool = False) -> Iterator[str]:
    """moto's server with *buckets*; gives its endpoint. The store is ``s3://steps/team``."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=verbose)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-key-of-the-test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AIRFLOW__STEPBRIDGE__ENDPOINT": endpoint,
            "AIRFLOW__STEPBRIDGE__REGION": "us-east-1",
            "AIRFLOW__STEPBRIDGE__STORE": "s3://steps/team",
        }.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=endpoint)
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
        yield endpoint
    finally:
        server.stop()
