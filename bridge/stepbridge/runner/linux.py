"""The two process settings that Linux alone has; elsewhere they do nothing."""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    import ctypes

    try:
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def die_with_parent(number: int, parent: int) -> None:
    """Get the signal *number* when the process *parent* dies; at once where it is dead already."""
    if _prctl(_PR_SET_PDEATHSIG, number) and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL if number == signal.SIGKILL else signal.SIGTERM)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that they can be found and killed."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
