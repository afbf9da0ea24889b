"""Servers and stores for the bridge's tests: a server starts once a session, a store has its own root."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import throwaway  # noqa: F401 - nothing of the user's Airflow or caches is used
from stepbridge.contract import StoreSettings
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store


@pytest.fixture(scope="session")
def aws_environment() -> Iterator[None]:
    """Credentials for the servers of the tests, and no way to any others."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in kept:
        del os.environ[name]
    os.environ.update(servers.CREDENTIALS)
    yield
    for name in servers.CREDENTIALS:
        os.environ.pop(name, None)
    os.environ.update(kept)


@pytest.fixture(scope="session")
def moto_url(aws_environment: None) -> Iterator[str]:
    with servers.moto() as url:
        yield url


@pytest.fixture(scope="session")
def seaweed_url(aws_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.seaweed(tmp_path_factory.mktemp("seaweed")) as url:
        yield url


@pytest.fixture(scope="session")
def rclone_url(aws_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.rclone(tmp_path_factory.mktemp("rclone")) as url:
        yield url


@pytest.fixture(scope="session")
def moto_bucket(moto_url: str) -> str:
    return servers.make_bucket(moto_url)


@pytest.fixture(scope="session")
def seaweed_bucket(seaweed_url: str) -> str:
    return servers.make_bucket(seaweed_url)


@pytest.fixture
def moto_settings(moto_url: str, moto_bucket: str) -> StoreSettings:
    """A new root on moto."""
    return StoreSettings(root=f"s3://{moto_bucket}/{secrets.token_hex(4)}", endpoint=moto_url)


@pytest.fixture
def file_settings(tmp_path: Path) -> StoreSettings:
    """A new root in a folder."""
    return StoreSettings(root=f"file://{tmp_path}/store")


@pytest.fixture(params=["file", "moto", pytest.param("seaweed", marks=pytest.mark.seaweed)])
def settings(request: pytest.FixtureRequest) -> StoreSettings:
    """A new root on each kind of store in turn."""
    if request.param == "seaweed":
        url = request.getfixturevalue("seaweed_url")
        bucket = request.getfixturevalue("seaweed_bucket")
        return StoreSettings(root=f"s3://{bucket}/{secrets.token_hex(4)}", endpoint=url)
    found: StoreSettings = request.getfixturevalue(f"{request.param}_settings")
    return found


@pytest.fixture
def store(settings: StoreSettings) -> Store:
    """A store on each kind of server in turn."""
    return open_store(settings)


@pytest.fixture
def moto_store(moto_settings: StoreSettings) -> Store:
    return open_store(moto_settings)


@pytest.fixture
def file_store(file_settings: StoreSettings) -> Store:
    return open_store(file_settings)
