"""What to do when a step runs out of memory: the same step with more, within a bound."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from stepbridge.failures import OperatorProblem
from stepbridge.resources import quantity

_MIB = 1024**2


@dataclass(frozen=True)
class Escalate:
    """Repeat a step that ran out of memory with a higher limit.

    :param factor: by how much the limit grows each time.
    :param max: the highest limit: ``"64Gi"``.
    """

    factor: float = 2.0
    max: str = "64Gi"

    def check(self, *, place: str) -> None:
        """Refuse what would never end or never grow.

        :raises OperatorProblem: SB502.
        :raises TypeProblem: SB110 where ``max`` is not a quantity.
        """
        if isinstance(self.factor, bool) or not isinstance(self.factor, int | float) or self.factor <= 1:
            raise OperatorProblem(
                "SB502",
                f"on_oom=Escalate(factor={self.factor!r}) is not valid",
                place=place,
                hint="write a factor above 1",
            )
        quantity(self.max, place=f"{place}, Escalate.max")

    def next(self, limit: str) -> str:
        """The limit after *limit*, a Kubernetes quantity; empty where *limit* is the highest already."""
        now = Fraction(quantity(limit, place="memory"))
        top = Fraction(quantity(self.max, place="Escalate.max"))
        if now >= top:
            return ""
        grown = min(now * Fraction(str(self.factor)), top)
        return f"{max(1, int(grown / _MIB))}Mi"
