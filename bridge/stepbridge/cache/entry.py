"""Where the result of a key lies, and the entry that says what it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stepbridge import documents
from stepbridge.carried import Value
from stepbridge.references import safe_segment

SCHEMA = 1


@dataclass(frozen=True)
class CacheTarget:
    """Where the runner commits the result for later runs.

    :param record: the key's fields with their digests and readable values, kept beside the entry.
    """

    step: str
    key: str
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The entry's key in the store."""
        return f"{self.folder}{self.key}.json"

    @property
    def lease_path(self) -> str:
        """The key of the lease of who runs it."""
        return f"leases/{self._folder}/{self.key}.json"

    @property
    def latest_path(self) -> str:
        """Where a copy of the step's newest entry lies, to compare with where a look-up misses."""
        return f"{self.folder}latest.json"

    @property
    def folder(self) -> str:
        """Where the step's entries lie, with a closing slash."""
        return f"cache/{self._folder}/"

    @property
    def _folder(self) -> str:
        return safe_segment(self.step)


@dataclass(frozen=True)
class CacheEntry:
    """A result that later runs may take.

    :param nonce: tells one writer's entry from another's.
    :param seconds: what the run took: what a hit saves.
    :param check: digest of all the rest, filled in: a value inside the entry has no other.
    """

    step: str
    key: str
    output: Value
    xcoms: Mapping[str, Value]
    record: Mapping[str, Any]
    source: str
    created: str
    nonce: str
    seconds: float = 0.0
    schema: int = SCHEMA
    check: str = ""

    def __post_init__(self) -> None:
        if not self.check:
            object.__setattr__(self, "check", self.digest())

    def digest(self) -> str:
        """What ``check`` is where nothing was damaged."""
        fields = {key: value for key, value in documents.to_json(self).items() if key != "check"}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
