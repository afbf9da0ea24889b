"""The cluster's clock: the time as Kubernetes writes it, with a skew that a test may set."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass
class Clock:
    """:param skew: seconds that the cluster's clock runs ahead of this machine's."""

    skew: float = 0.0

    def seconds(self) -> float:
        return time.time() + self.skew

    def nanoseconds(self) -> int:
        return time.time_ns() + int(self.skew * 1e9)

    def stamp(self, ahead: float = 0.0) -> str:
        """Whole seconds, as in ``creationTimestamp``."""
        moment = datetime.fromtimestamp(int(self.seconds() + ahead), UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def micro(self) -> str:
        """Microseconds, as in ``eventTime``."""
        return datetime.fromtimestamp(self.seconds(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def nano(nanoseconds: int) -> str:
    """The fixed form of the log's timestamps: 30 characters."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09d}Z"


def from_stamp(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; ValueError for what is none."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
