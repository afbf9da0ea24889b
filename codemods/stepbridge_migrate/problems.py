"""What stops a command of ``migrate``: a code, the place, the cause and the next step, with the exit code."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What ``migrate`` ends with; docs/exit-codes.md explains each."""

    DONE = 0
    PENDING = 1
    USAGE = 2
    REFUSED = 3
    UNVERIFIED = 4
    INTERRUPTED = 130


class MigrateProblem(Exception):
    """A command cannot go on: wrong usage, a wrong setting, a file that is in the way.

    :param code: a code of :data:`stepbridge_migrate.codes.CODES`, or empty for plain wrong usage.
    :param cause: what is wrong, with its names.
    :param place: where: a file and line, an option, a key of pyproject.toml.
    :param hint: what to do next.
    :param candidates: what may have been meant, nearest first.
    """

    def __init__(
        self,
        code: str,
        cause: str,
        *,
        place: str = "",
        hint: str = "",
        candidates: tuple[str, ...] = (),
        exit_code: Exit = Exit.USAGE,
    ) -> None:
        self.code = code
        self.cause = cause
        self.place = place
        self.hint = hint
        self.candidates = candidates
        self.exit_code = exit_code
        super().__init__(self.describe())

    def describe(self) -> str:
        """The whole message: ``SM501 at PLACE: CAUSE. Next: HINT``, without the parts that are empty."""
        head = " at ".join(part for part in (self.code, self.place) if part)
        where = self.place if not self.code else head
        what_next = f" Next: {self.hint}" if self.hint else ""
        return f"{where + ': ' if where else ''}{self.cause}{what_next}"
