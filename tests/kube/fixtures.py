"""The ``cluster`` fixture: a double of its own for each test, and nothing left of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kube.double import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster") as opened:
        yield opened
    assert opened.processes() == []
