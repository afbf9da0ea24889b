"""The documents between operator and runner: request, result, error, usage, and the values inside them.

Data flows one way: interface -> :class:`Request` -> run -> :class:`Result` or :class:`ErrorDocument` ->
artifact.
Every document is a frozen dataclass that ``stepbridge.documents`` writes and reads. None may hold a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stepbridge.cache.entry import SCHEMA, CacheEntry, CacheTarget
from stepbridge.carried import Fields, Inline, Items, Outside, Stored, Value
from stepbridge.failures import Kind, RunProblem
from stepbridge.references import safe_segment
from stepbridge.secrets import Secret
from stepbridge.store.records import StoreSettings

__all__ = [
    "SCHEMA",
    "Attempt",
    "CacheEntry",
    "CacheTarget",
    "CodeRef",
    "ContextData",
    "ErrorDocument",
    "Fields",
    "Inline",
    "InputsRecord",
    "Items",
    "Limits",
    "Outside",
    "Pull",
    "Request",
    "Result",
    "StoreSettings",
    "Stored",
    "Usage",
    "Value",
]
_RUN = re.compile(r"(?:^|/)runs/([^/]+)/([^/]+)/([^/]+)/(-?\d+)/(\d+)/request\.json$")


@dataclass(frozen=True)
class Attempt:
    """One try of one task instance."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    try_number: int = 1

    @property
    def prefix(self) -> str:
        """Where the attempt's record lies in the store, with a closing slash."""
        names = "/".join(safe_segment(name) for name in (self.dag_id, self.run_id, self.task_id))
        return f"runs/{names}/{self.map_index}/{self.try_number}/"

    @property
    def request_key(self) -> str:
        """Where the attempt's request lies in the store."""
        return self.prefix + "request.json"

    @classmethod
    def of_uri(cls, uri: str) -> Attempt:
        """The attempt whose request has this URI: ``<root>/`` and its :attr:`request_key`.

        :raises RunProblem: SB401 for any other URI.
        """
        found = _RUN.search(uri)
        if found is not None:
            dag_id, run_id, task_id = (_unsafe(segment) for segment in found.groups()[:3])
            attempt = cls(dag_id, run_id, task_id, int(found[4]), int(found[5]))
            if uri.endswith("/" + attempt.request_key):
                return attempt
        raise RunProblem("SB401", "this is not the URI of a request", place=uri, hint="give .../request.json")


def _unsafe(segment: str) -> str:
    """The name that ``safe_key`` made *segment* of."""
    raw = re.sub(rb"=([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), segment.encode())
    return raw.decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class CodeRef:
    """The function to call.

    :param source: ``bundle`` (the zip at ``code/<bundle>.zip``) or ``image`` (import what is installed).
    :param entry: ``module:qualname``.
    :param digest: of the normalised code and all it reaches: the key's part.
    :param bundle: sha256 of the zip's bytes: what the runner verifies; empty for ``image``.
    :param scope: True where ``entry`` is a maker to be called with ``captured`` to get the function.
    :param captured: values of the function's closure.
    """

    source: Literal["bundle", "image"]
    entry: str
    digest: str
    bundle: str = ""
    scope: bool = False
    captured: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Pull:
    """One ``ti.xcom_pull`` of the function, answered before the start."""

    task_ids: tuple[str, ...]
    single: bool
    key: str
    value: Value


@dataclass(frozen=True)
class ContextData:
    """What the function may read of Airflow's context.

    :param values: plain keys and their values.
    :param complete: True where every plain key is here; False where only the keys that analysis found are, as
        the cache key demands.
    :param names: every key that Airflow's context had, to tell a missing key from a withheld one.
    """

    values: Mapping[str, Value] = field(default_factory=dict)
    pulls: tuple[Pull, ...] = ()
    complete: bool = True
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """Time limits, seconds."""

    timeout: float | None = None
    grace: float = 10.0


@dataclass(frozen=True)
class Request:
    """All a runner needs to run one attempt.

    :param step: the step's id, ``dag_id.task_id`` unless named otherwise.
    :param output: the return annotation as text, for people; the runner resolves the function's own.
    :param multiple_outputs: the result is a mapping whose members are pushed apart.
    :param gpus: how many GPUs must be visible.
    :param environment: declared variables that are part of the step; never secrets.
    :param secrets: what the step may read and where it lies; never a value.
    :param lease: nonce of the lease of ``cache``'s key, for which the runner beats; empty: none.
    :param inline_limit: bytes of JSON up to which a value stays inside the result.
    """

    attempt: Attempt
    step: str
    code: CodeRef
    store: StoreSettings
    args: tuple[Value, ...] = ()
    kwargs: Mapping[str, Value] = field(default_factory=dict)
    context: ContextData | None = None
    output: str = ""
    multiple_outputs: bool = False
    limits: Limits = field(default_factory=Limits)
    gpus: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    cache: CacheTarget | None = None
    lease: str = ""
    inline_limit: int = 1024 * 1024
    created: str = ""
    schema: int = SCHEMA


@dataclass(frozen=True)
class InputsRecord:
    """``inputs.json``: the arguments by name and the fields of the cache key, for people and ``explain``.

    :param key: the record of the cache key; empty where the cache is off.
    :param reason: why there was no result to take, as the task's log says it.
    """

    step: str
    args: tuple[Value, ...]
    kwargs: Mapping[str, Value]
    key: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """The success of one attempt; written last.

    :param xcoms: what the function pushed by ``ti.xcom_push``.
    :param cache: ``off``, ``miss`` or ``hit``; ``resumed``: the result of an earlier attempt of the same run.
    :param source: for a hit or a resumed one, the run prefix of the attempt that did the work.
    """

    attempt: Attempt
    output: Value
    xcoms: Mapping[str, Value] = field(default_factory=dict)
    cache: Literal["off", "miss", "hit", "resumed"] = "off"
    key: str = ""
    source: str = ""
    started: str = ""
    finished: str = ""
    request_digest: str = ""
    schema: int = SCHEMA


@dataclass(frozen=True)
class ErrorDocument:
    """The failure of one attempt.

    :param type: the exception's class name.
    :param code: the stable code, ``SB402``.
    :param signal: ``skip`` or ``fail`` where the function raised Airflow's exception of that meaning.
    :param exit_status: with which the function ended its process, ``sys.exit(99)``; None where it did not.
    """

    attempt: Attempt
    kind: Kind
    type: str
    message: str
    code: str
    traceback: str = ""
    retryable: bool = False
    signal: Literal["", "skip", "fail"] = ""
    exit_status: int | None = None
    started: str = ""
    finished: str = ""
    schema: int = SCHEMA


@dataclass(frozen=True)
class Usage:
    """What an attempt used. Times in seconds, memory in bytes; None where it could not be measured.

    :param phases: seconds by phase: ``fetch``, ``secrets``, ``preflight``, ``run``, ``publish``.
    :param gpu_utilisation: percent, the mean over all samples and GPUs.
    :param gpu_model: as NVIDIA's driver names it; empty where no GPU was asked for or it did not say.
    """

    phases: Mapping[str, float] = field(default_factory=dict)
    cpu_seconds: float | None = None
    peak_rss: int | None = None
    gpu_peak_memory: int | None = None
    gpu_utilisation: float | None = None
    gpu_model: str = ""
    samples: int = 0
    schema: int = SCHEMA
