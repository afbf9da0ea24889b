"""Which differences do not count: one place that reads ``Ignore`` and the globs of columns and paths."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

from stepbridge.compare.rules import Compare, Ignore

T = TypeVar("T")


@functools.lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    """``*`` is any text without ``/``, ``**`` any text, ``?`` one character; brackets are themselves."""
    out = []
    for piece in re.split(r"(\*\*|\*|\?)", glob):
        out.append({"**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece, re.escape(piece)))
    return re.compile("".join(out), re.DOTALL)


def fits(glob: str, name: str) -> bool:
    """Whether *name*, a column, JSON path, file or key, fits *glob*."""
    return glob == name or _pattern(glob).fullmatch(name) is not None


def rule_to_ignore(rules: Compare, name: str) -> Ignore | None:
    """The first rule in force that fits *name*; None where it counts."""
    if not rules.ignore:
        return None
    today = datetime.now(UTC).date().isoformat()
    for rule in rules.ignore:
        if fits(rule.path, name) and (not rule.until or today <= rule.until):
            return rule
    return None


def reason_to_ignore(rules: Compare, name: str) -> str | None:
    """The reason of the first rule in force that fits *name*; None where it counts."""
    found = rule_to_ignore(rules, name)
    return None if found is None else found.reason


def masked(rules: Compare, name: str) -> bool:
    """Whether values of *name* are not to be shown."""
    return any(fits(glob, name) for glob in rules.mask)


def setting_for(given: Mapping[str, T], name: str) -> T | None:
    """What *given*, globs to settings, says of *name*: by its own name, else by the first glob that fits."""
    if name in given:
        return given[name]
    return next((setting for glob, setting in given.items() if fits(glob, name)), None)
