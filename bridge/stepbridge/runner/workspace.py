"""What lies between a runner and its child: the working directory and the child's outcome."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stepbridge import documents, hashing
from stepbridge.artifact import Manifest
from stepbridge.contract import Outside, Stored, Value
from stepbridge.failures import Kind

_RETRYABLE: frozenset[Kind] = frozenset({"infra", "oom", "timeout", "preflight", "interrupted", "preempted"})
REPORTED = 1024 * 1024
"""Characters of a message or traceback that a child reports.

Far more than is shown. A cut may go through a secret, which then cannot be found: see :func:`trimmed`.
"""
_CUT = re.compile(r"(?:^|\n)\.\.\. (?:\d+ characters left out|cut) \.\.\.\n")


@dataclass(frozen=True)
class Workspace:
    """The files of one attempt on this machine; all below one directory that goes away with the runner."""

    root: Path

    @property
    def request(self) -> Path:
        """The request's verified bytes."""
        return self.root / "request.json"

    @property
    def inputs(self) -> Path:
        """Payloads of the inputs, one directory for each."""
        return self.root / "inputs"

    @property
    def index(self) -> Path:
        """Which input lies where; a :class:`Inputs`."""
        return self.root / "inputs.json"

    @property
    def code(self) -> Path:
        """The unpacked bundle."""
        return self.root / "code"

    @property
    def staging(self) -> Path:
        """Where the child leaves encoded outputs."""
        return self.root / "staging"

    @property
    def scratch(self) -> Path:
        """The function's working directory, empty at its start."""
        return self.root / "scratch"

    @property
    def log(self) -> Path:
        """All that the child wrote to its standard streams."""
        return self.root / "log"

    @property
    def outcome(self) -> Path:
        """The child's last word; there whole or not at all."""
        return self.root / "outcome.json"

    def create(self) -> None:
        """Make the directories."""
        for directory in (self.inputs, self.code, self.staging, self.scratch):
            directory.mkdir(parents=True)


@dataclass(frozen=True)
class Fetched:
    """One input on this machine."""

    path: str
    manifest: Manifest | None = None


@dataclass(frozen=True)
class Inputs:
    """All inputs on this machine, by :func:`leaf_key`."""

    located: Mapping[str, Fetched] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed; the fields of the error document that do not say which attempt."""

    kind: Kind
    code: str
    type: str
    message: str
    traceback: str = ""
    retryable: bool = False
    signal: Literal["", "skip", "fail"] = ""
    exit_status: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What the child says at its end: an output, or a failure."""

    output: Value | None = None
    xcoms: Mapping[str, Value] = field(default_factory=dict)
    failure: Failure | None = None


def is_retryable(kind: Kind, code: str) -> bool:
    """Whether another try may end otherwise: not where the same code and inputs must fail alike."""
    return kind in _RETRYABLE or code in {"SB402", "SB403"}


def clipped(message: str, limit: int = REPORTED) -> str:
    """*message* without its middle where it is longer than *limit*."""
    if len(message) <= limit:
        return message
    half = limit // 2
    return f"{message[:half]}\n... {len(message) - 2 * half} characters left out ...\n{message[-half:]}"


def tail(text: str, limit: int = REPORTED) -> str:
    """*text* without its beginning where it is longer than *limit*."""
    if len(text) <= limit:
        return text
    return f"... cut ...\n{text[-limit:]}"


def trimmed(text: str, margin: int) -> str:
    """*text*, which a child cut, without *margin* characters beside each place where it did."""
    first, *others = _CUT.split(text)
    if not others or not margin:
        return text
    *middle, last = others
    inner = [one[margin:-margin] for one in middle]
    return "\n... cut ...\n".join([first[:-margin], *inner, last[margin:]])


def leaf_key(leaf: Stored | Outside) -> str:
    """The name under which an input is fetched once, however often it is an argument."""
    if isinstance(leaf, Stored):
        return hashing.digest(("stored", leaf.artifact.uri, leaf.artifact.digest))
    return hashing.digest(("outside", leaf.uri, leaf.size, dict(leaf.identity)))


def write(path: Path, document: object) -> None:
    """Write *document* so that it is there whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(documents.dump(document))
    temporary.replace(path)
