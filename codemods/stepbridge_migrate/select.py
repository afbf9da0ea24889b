"""Which site is meant by ``DAG.TASK`` or ``path.py:LINE``; where none or several fit, what is near."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from stepbridge_migrate.model import Inventory, Judged, Site
from stepbridge_migrate.near import nearest
from stepbridge_migrate.problems import MigrateProblem

UNKNOWN = "SM521"
"""The code of a selector that fits no site."""
SEVERAL = "SM522"
"""The code of a selector that fits several sites."""
_LINE = re.compile(r"^(?P<path>.+\.py):(?P<line>[1-9]\d*)(?::\d+)?$")


@dataclass(frozen=True)
class Selector:
    """What a person wrote.

    :param path: of ``path.py:LINE``, relative to the root; empty for ``DAG.TASK``.
    """

    text: str
    path: str = ""
    line: int = 0


def parse(text: str, *, root: Path, here: Path) -> Selector:
    """Read a selector; a path counts from *here*, else from *root*.

    :raises MigrateProblem: SM521 where it is neither form.
    """
    found = _LINE.match(text)
    if found is None:
        if "." not in text.strip("."):
            raise MigrateProblem(
                UNKNOWN, f"{text!r} names no task", hint="write DAG.TASK, or path.py:LINE; see migrate scan"
            )
        return Selector(text)
    for base in (here, root):
        path = (base / found["path"]).resolve()
        if path.is_file() and path.is_relative_to(root.resolve()):
            return Selector(text, path.relative_to(root.resolve()).as_posix(), int(found["line"]))
    raise MigrateProblem(UNKNOWN, f"there is no file {found['path']} below {root}", hint="check the path")


def names(site: Site) -> tuple[str, ...]:
    """All names under which a site can be chosen: its id, and one for each task id that is known."""
    dag = site.dag.id or site.path
    return tuple(dict.fromkeys((site.id, *(f"{dag}.{task}" for task in site.task.ids))))


def choose(inventory: Inventory, selector: Selector) -> Judged:
    """The one site that fits.

    :raises MigrateProblem: SM521 where none does, with the nearest names; SM522 where several do.
    """
    fitting = (
        _by_line(inventory.sites, selector) if selector.path else _by_name(inventory.sites, selector.text)
    )
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        near = nearest(selector.text, _known(inventory.sites, selector))
        raise MigrateProblem(
            UNKNOWN,
            f"no task fits {selector.text!r}",
            hint=f"did you mean {' or '.join(near)}?" if near else "see the tasks with migrate scan",
            candidates=near,
        )
    candidates = tuple(f"{one.site.path}:{one.site.place.line}" for one in fitting)
    listed = ", ".join(f"{one.site.id} at {place}" for one, place in zip(fitting, candidates, strict=True))
    raise MigrateProblem(
        SEVERAL,
        f"{len(fitting)} sites fit {selector.text!r}: {listed}",
        hint="choose one by its place, path.py:LINE",
        candidates=candidates,
    )


def _by_name(sites: Sequence[Judged], text: str) -> list[Judged]:
    for fits in (_equal, _made, _glob):
        found = [one for one in sites if fits(one.site, text)]
        if found:
            return found
    return []


def _equal(site: Site, text: str) -> bool:
    return text in names(site)


def _made(site: Site, text: str) -> bool:
    """*text* is an id that the site's pattern can make: ``dag.load_eu`` of ``dag.load_*``."""
    return not site.task.complete and fnmatchcase(text, _escaped(site.id))


def _glob(site: Site, text: str) -> bool:
    return any(fnmatchcase(name, text) for name in names(site))


def _escaped(pattern: str) -> str:
    """Only ``*`` is a wildcard in a site's id; brackets stand for themselves."""
    return pattern.replace("[", "[[]")


def _by_line(sites: Iterable[Judged], selector: Selector) -> list[Judged]:
    """The sites that begin on the line; else the last one whose call goes over it."""
    here = [one for one in sites if one.site.path == selector.path]
    exact = [one for one in here if one.site.place.line == selector.line]
    if exact:
        return exact
    covering = [one for one in here if _covers(one.site, selector.line)]
    return covering[-1:]


def _covers(site: Site, line: int) -> bool:
    lines = [argument.place.line for argument in (*site.arguments, *site.mapped_arguments)]
    return site.place.line <= line <= max(lines, default=site.place.line)


def _known(sites: Iterable[Judged], selector: Selector) -> list[str]:
    if not selector.path:
        return [name for one in sites for name in names(one.site)]
    same = PurePosixPath(selector.path)
    return [f"{one.site.path}:{one.site.place.line}" for one in sites if PurePosixPath(one.site.path) == same]
