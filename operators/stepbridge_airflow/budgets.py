"""How long each part of a step's life in a pod may take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from stepbridge.failures import OperatorProblem


@dataclass(frozen=True)
class Budgets:
    """Time limits of one pod, apart from each other; None takes the default.

    :param schedule: from the pod's creation until it has a node; 10 minutes, 30 for a step with GPUs, whose
        node may have to be made first.
    :param pull: from there until every image is on the node; 15 minutes, 30 with GPUs.
    :param start: from there until the step's container runs, init containers included; 5 minutes, 10 with
        GPUs.
    :param run: how long the function may run; the same as the step's ``timeout``. None leaves the limit to
        ``[stepbridge] run_limit``.
    :param total: of all together, repetitions included; None for no limit beside the task's
        ``execution_timeout``.
    """

    schedule: timedelta | None = None
    pull: timedelta | None = None
    start: timedelta | None = None
    run: timedelta | None = None
    total: timedelta | None = None

    def filled(self, *, gpus: int) -> Budgets:
        """The same with every default of the first three in place."""
        schedule, pull, start = (30, 30, 10) if gpus else (10, 15, 5)
        return replace(
            self,
            schedule=self.schedule or timedelta(minutes=schedule),
            pull=self.pull or timedelta(minutes=pull),
            start=self.start or timedelta(minutes=start),
        )

    def check(self, *, place: str) -> None:
        """Refuse times that are none.

        :raises OperatorProblem: SB502.
        """
        for name in ("schedule", "pull", "start", "run", "total"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, timedelta) or value <= timedelta(0)):
                raise OperatorProblem(
                    "SB502",
                    f"budgets.{name}={value!r} is not valid",
                    place=place,
                    hint="write a timedelta above zero",
                )
