"""The two checks that need Airflow: the file imports, and the DAG is the same but for the task."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from stepbridge_migrate.model import Check, Plan
from stepbridge_migrate.verify import project, structure
from stepbridge_migrate.verify.project import NoAnswer, Sides

SHOWN = 20
"""Differences that are named one by one."""

OLDEST = (2, 11)
"""The oldest Airflow that steps run with; older ones are read all the same."""

_INSTALL = "install stepbridge where this Airflow is: pip install 'stepbridge[airflow]'"
_OLD = f"stepbridge runs with Airflow {OLDEST[0]}.{OLDEST[1]} and newer: upgrade Airflow first"
_WITHOUT = "--stand-ins proves the structure without it"
_NO_DECORATOR = re.compile(r"task decorator '?step'? not found|has no attribute 'step'")


def in_airflow(
    root: Path,
    texts: Mapping[Path, bytes],
    plan: Plan,
    *,
    airflow_python: str | None = None,
    stand_ins: bool = False,
    entries: Sequence[Path] = (),
    asked: Collection[str] = (),
) -> tuple[Check, Check]:
    """``imports`` and ``structure`` of the candidate texts, by the project's own Airflow.

    :raises MigrateProblem: the interpreter that is named is not there.
    """
    python = project.interpreter(airflow_python)
    if python is None:
        why = "no Airflow is at hand: name the Python that has it with --airflow-python"
        return Check("imports", "skipped", why), Check("structure", "skipped", why)
    try:
        sides = project.load(root, texts, python=python, entries=entries, stand_ins=stand_ins)
    except NoAnswer as error:
        status = "failed" if airflow_python is not None else "skipped"
        return Check("imports", status, str(error)), Check(
            "structure", "skipped", "the file was not imported"
        )
    imports = _imports(sides)
    if imports.status != "passed":
        return imports, Check("structure", "skipped", "the file was not imported")
    return imports, _structure(sides, plan, asked)


def _imports(sides: Sides) -> Check:
    if sides.before.error:
        more = f"; --stand-ins replaces {sides.before.missing}" if sides.before.missing else ""
        return Check("imports", "skipped", f"the file does not import here ({sides.before.error}){more}")
    if sides.after.error:
        ours = sides.after.missing.startswith("stepbridge") or _NO_DECORATOR.search(sides.after.error)
        hint = f". Next: {_next(sides)}; {_WITHOUT}" if ours else ""
        where = f"Airflow {sides.airflow}, Python {sides.python}"
        return Check(
            "imports",
            "failed",
            f"after the edit the file does not import: {sides.after.error} ({where}){hint}",
        )
    return Check("imports", "passed", _told(sides))


def _next(sides: Sides) -> str:
    found = re.match(r"(\d+)\.(\d+)", sides.airflow)
    old = found is not None and (int(found[1]), int(found[2])) < OLDEST
    return _OLD if old else _INSTALL


def _told(sides: Sides) -> str:
    before, after = sides.before, sides.after
    parts = [
        f"Airflow {sides.airflow}, Python {sides.python}",
        f"{len(after.dags)} DAG{'s' * (len(after.dags) != 1)}",
        f"read in {before.seconds:.2f} s before and {after.seconds:.2f} s after",
    ]
    stood = sorted({*before.stand_ins, *after.stand_ins})
    if stood:
        parts.append(f"with stand-ins for {', '.join(stood)}")
    new = [text for text in after.warnings if text not in before.warnings]
    if new:
        parts.append(f"new warnings: {' | '.join(new[:3])}")
    return "; ".join(parts)


def _structure(sides: Sides, plan: Plan, asked: Collection[str]) -> Check:
    if not sides.before.dags and not sides.after.dags:
        return Check(
            "structure", "skipped", "the file makes no DAG by itself; the files that use it were not read"
        )
    found = structure.compare(sides.before.dags, sides.again, sides.after.dags, plan, asked=asked)
    if found.faults:
        more = len(found.faults) - SHOWN
        lines = [*found.faults[:SHOWN], *([f"and {more} more"] if more > 0 else [])]
        return Check("structure", "failed", "\n".join(lines))
    if not found.moved and not found.came and not found.left:
        return Check(
            "structure",
            "skipped",
            f"no DAG has the task {plan.site.task.pattern!r} when the file is read here",
        )
    parts = []
    if found.moved:
        parts.append(f"only {_names(found.moved)} changed")
    if found.came:
        parts.append(f"only {_names(found.came)} came")
    if found.left:
        parts.append(f"only {_names(found.left)} left")
    if found.unstable:
        parts.append(f"not compared, for they change by themselves: {'; '.join(found.unstable[:SHOWN])}")
    return Check("structure", "passed", "; ".join(parts))


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
