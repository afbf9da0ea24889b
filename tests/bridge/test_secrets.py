"""Secrets are references; impossible ones are refused when they are written."""

from __future__ import annotations

import pytest

from stepbridge import Secret
from stepbridge.failures import TypeProblem


def test_forms() -> None:
    assert Secret("db", "password", env="DB_PASSWORD").source == "kubernetes"
    assert Secret("prod/api", file="/run/secrets/api", source="aws").key == ""


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "", "key": "k", "env": "E"},
        {"name": "db", "key": "k"},
        {"name": "db", "key": "k", "env": "E", "file": "/f"},
        {"name": "db", "key": "k", "env": "9E"},
        {"name": "db", "key": "k", "file": "relative"},
        {"name": "db", "env": "E"},
        {"name": "db", "key": "k", "env": "E", "source": "vault"},
    ],
)
def test_refused(bad: dict[str, str]) -> None:
    with pytest.raises(TypeProblem) as caught:
        Secret(**bad)  # type: ignore[arg-type]
    assert caught.value.code.id == "SB111"
