"""Expects a refusal of the API server, with a whole Status body."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any

import pytest
from kubernetes.client.rest import ApiException


class Refused:
    """A ``pytest.raises`` for one status and reason."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason

    def __enter__(self) -> Any:
        self.caught = pytest.raises(ApiException)
        self.info = self.caught.__enter__()
        return self.info

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        done = bool(self.caught.__exit__(kind, error, trace))
        body = json.loads(self.info.value.body)
        assert (self.info.value.status, body["reason"], body["code"]) == (self.code, self.reason, self.code)
        return done
