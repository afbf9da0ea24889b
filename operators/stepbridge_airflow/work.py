"""What is to be run and where: the values between a task instance's plan and the ways of running it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from stepbridge.contract import Attempt, InputsRecord, Request, Result
from stepbridge.failures import ObjectMissing, StoreProblem
from stepbridge.store.base import Store
from stepbridge_airflow.attempts import EarlierEnd
from stepbridge_airflow.config import Settings
from stepbridge_airflow.options import StepOptions

T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """The task instance that runs, and what it runs with.

    :param operator: the step operator.
    :param context: Airflow's context.
    :param log: the task's logger.
    """

    operator: Any
    context: Mapping[str, Any]
    settings: Settings
    store: Store
    log: Any

    @property
    def step(self) -> StepOptions:
        """What the task says of its step."""
        options: StepOptions = self.operator.step
        return options

    @property
    def place(self) -> str:
        """The task, for errors."""
        return f"task {self.operator.task_id!r}"

    def patiently(self, ask: Callable[[], T], *, hopeless: Callable[[], bool] = lambda: False) -> T:
        """What *ask* gives of the store, asked again for ``api_patience`` seconds where it does not answer.

        :param hopeless: whether asking again is to end at once.
        :raises StoreProblem: the last one.
        """
        limit = time.monotonic() + self.settings.api_patience
        pause = 0.5
        while True:
            try:
                return ask()
            except ObjectMissing:
                raise
            except StoreProblem as problem:
                if hopeless() or time.monotonic() >= limit:
                    raise
                self.log.warning("the store does not answer (%s); still trying", problem)
            time.sleep(pause)
            pause = min(15.0, pause * 2)

    def uri(self, prefix: str) -> str:
        """The address of all below *prefix* in the store, with a closing slash."""
        return self.store.uri(prefix.rstrip("/")) + "/"


@dataclass(frozen=True)
class Work:
    """What is to be run, whichever attempt runs it.

    :param make: the request of an attempt.
    :param variables: names of the Variables that the step may read, :param connections: and of connections.
    :param values: theirs, ``AIRFLOW_VAR_*`` and ``AIRFLOW_CONN_*``; written down nowhere.
    :param reason: why the cache missed.
    :param replace_entry: whether the cache holds an entry that the result replaces.
    """

    make: Callable[[Attempt], Request]
    inputs: InputsRecord
    variables: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    reason: str = ""
    replace_entry: bool = False


@dataclass(frozen=True)
class Done:
    """A run that succeeded.

    :param pod: name of its pod; empty for the local backend.
    :param earlier: how earlier runs of the same try ended.
    :param memory: the memory limit that it needed; empty: as declared.
    :param image_id: which image its pod ran, as the pod's status said.
    """

    request: Request
    result: Result
    reason: str = ""
    replace_entry: bool = False
    pod: str = ""
    namespace: str = ""
    memory: str = ""
    earlier: tuple[EarlierEnd, ...] = ()
    image_id: str = ""
