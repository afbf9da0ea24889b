"""Ids of tasks and DAGs as globs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from stepbridge_migrate.facts.values import WILD
from stepbridge_migrate.model import TaskName


def task_name(text: str, ids: Sequence[str], anyone: str, complete: bool) -> TaskName:
    """The ids of a site: *anyone* is the glob that fits all runs."""
    known = list(dict.fromkeys(name for name in ids if WILD not in name))
    whole = complete and all(WILD not in name for name in ids) and bool(ids)
    if whole and len(known) == 1:
        anyone = known[0]
    elif any(not fnmatchcase(name, anyone) for name in known):
        anyone = joint([anyone, *known])
    return TaskName(text, tuple(known), folded(anyone), whole)


def folded(pattern: str) -> str:
    """*pattern* with one ``*`` in a row."""
    return re.sub(r"\*+", "*", pattern) or "*"


def joint(patterns: Sequence[str]) -> str:
    """One glob that fits all."""
    different = list(dict.fromkeys(folded(item) for item in patterns))
    if len(different) == 1:
        return different[0]
    general = [item for item in different if all(fnmatchcase(other, item) for other in different)]
    if general:
        return general[0]
    first, last = min(different), max(different)
    start = 0
    while start < min(len(first), len(last)) and first[start] == last[start] != WILD:
        start += 1
    rests = [item[start:][::-1] for item in different]
    low, high, end = min(rests), max(rests), 0
    while end < min(len(low), len(high)) and low[end] == high[end] != WILD:
        end += 1
    return folded(first[:start] + WILD + rests[0][:end][::-1])
