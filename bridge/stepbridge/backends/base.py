"""What a backend promises, and how an attempt's end is read from the store whatever ran it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import stepbridge
from stepbridge import documents
from stepbridge.contract import Attempt, ErrorDocument, Result
from stepbridge.failures import ObjectMissing
from stepbridge.store.base import Store


class Backend(Protocol):
    """A place where a runner can be started."""

    def run(
        self,
        request_uri: str,
        digest: str,
        *,
        environment: Mapping[str, str],
        on_line: Callable[[str], None] | None,
    ) -> int:
        """Start the runner, wait for its end, and give its exit status; the store has the outcome.

        :param environment: variables for the step: ``AIRFLOW_VAR_*``, ``AIRFLOW_CONN_*``, secrets. They reach
            the step by its environment and are written nowhere.
        :param on_line: gets each line of the step's log while it runs.
        """
        ...

    def cancel(self) -> None:
        """End the runner that runs, if one does; safe from another thread or a signal handler."""
        ...


def outcome(
    store: Store, attempt: Attempt, *, request_digest: str | None = None
) -> Result | ErrorDocument | None:
    """How the attempt ended: its result if there is one, else its error, else None.

    :param request_digest: sha256 of the request that was run: the result of another one counts for nothing.
    """
    try:
        result = documents.read(Result, store, attempt.prefix + "result.json")
    except ObjectMissing:
        pass
    else:
        return result if request_digest in {None, result.request_digest} else None
    try:
        return documents.read(ErrorDocument, store, attempt.prefix + "error.json")
    except ObjectMissing:
        return None


def python_path(current: str) -> str:
    """*current*, a ``PYTHONPATH``, for a process elsewhere: absolute, with this checkout if it is one."""
    home = Path(stepbridge.__file__).resolve().parent.parent
    parts = [os.path.abspath(part) for part in current.split(os.pathsep) if part]  # noqa: PTH100 - keeps links
    if home.name in {"site-packages", "dist-packages"} or str(home) in parts:
        return os.pathsep.join(parts)
    return os.pathsep.join([str(home), *parts])
