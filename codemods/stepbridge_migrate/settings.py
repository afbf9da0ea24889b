"""``[tool.stepbridge]`` of a project's pyproject.toml: read strictly, every mistake with its key."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from stepbridge_migrate.model import Needs, Site
from stepbridge_migrate.near import did_you_mean
from stepbridge_migrate.needs import WRONG, from_table, over
from stepbridge_migrate.problems import MigrateProblem

FILE = "pyproject.toml"
KEYS = ("airflow-python", "stand-ins", "dags", "exclude", "step", "tasks")


@dataclass(frozen=True)
class Settings:
    """What a project says of its migration.

    :param root: the project's folder, absolute.
    :param airflow_python: the interpreter that has the project's Airflow, absolute where it is a path; empty
        where none is named.
    :param stand_ins: modules that are missing may be replaced when a DAG file is imported for verification.
    :param dags: where DAG files lie, relative to the root.
    :param exclude: globs of files to leave out.
    :param step: what every step needs.
    :param tasks: what single tasks need besides, by ``dag.task`` or a glob of it, in the file's order.
    """

    root: Path
    airflow_python: str = ""
    stand_ins: bool = False
    dags: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    step: Needs = field(default_factory=Needs)
    tasks: Mapping[str, Needs] = field(default_factory=dict)

    def needs_of(self, site: Site, given: Needs) -> Needs:
        """What one site's step needs: ``step``, then the tables whose name fits, then what was *given*."""
        names = {site.id, *(f"{site.dag.id}.{task}" for task in site.task.ids)}
        needs = self.step
        exact = [table for name, table in self.tasks.items() if name in names]
        globs = [
            table
            for name, table in self.tasks.items()
            if name not in names and any(fnmatchcase(one, name) for one in names)
        ]
        for table in (*globs, *exact, given):
            needs = over(needs, table)
        return needs


def find_root(start: Path) -> Path:
    """The nearest folder from *start* up with a pyproject.toml or a git checkout; else *start*'s own."""
    folder = start if start.is_dir() else start.parent
    for one in (folder, *folder.parents):
        if (one / FILE).is_file() or (one / ".git").exists():
            return one
    return folder


def load(root: Path) -> Settings:
    """The settings of the project at *root*; defaults where its pyproject.toml has none.

    :raises MigrateProblem: SM520 for a file that cannot be read, an unknown key or a wrong value.
    """
    path = root / FILE
    if not path.is_file():
        return Settings(root)
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MigrateProblem(WRONG, f"it cannot be read: {error}", place=FILE) from error
    tools = document.get("tool", {})
    table = tools.get("stepbridge", {}) if isinstance(tools, dict) else {}
    place = f"{FILE} [tool.stepbridge]"
    if not isinstance(table, dict):
        raise MigrateProblem(WRONG, "it is not a table", place=place)
    for key in table:
        if key not in KEYS:
            raise MigrateProblem(
                WRONG, f"{key!r} is not a key here", place=place, hint=did_you_mean(key, KEYS)
            )
    return Settings(
        root=root,
        airflow_python=_python(root, table, place),
        stand_ins=_flag(table, "stand-ins", place),
        dags=_strings(table, "dags", place),
        exclude=_strings(table, "exclude", place),
        step=from_table(_tables(table, "step", place), place=f"{FILE} [tool.stepbridge.step]"),
        tasks=_tasks(_tables(table, "tasks", place)),
    )


def unmatched(settings: Settings, sites: Iterable[Site]) -> tuple[str, ...]:
    """The names of ``[tool.stepbridge.tasks]`` that fit no site."""
    names = {
        name for site in sites for name in (site.id, *(f"{site.dag.id}.{task}" for task in site.task.ids))
    }
    return tuple(wanted for wanted in settings.tasks if not any(fnmatchcase(name, wanted) for name in names))


def _python(root: Path, table: Mapping[str, object], place: str) -> str:
    value = table.get("airflow-python", "")
    if not isinstance(value, str):
        raise MigrateProblem(WRONG, f"{value!r} is not a text", place=f"{place} airflow-python")
    return str(root / Path(value).expanduser()) if "/" in value or "\\" in value else value


def _flag(table: Mapping[str, object], key: str, place: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise MigrateProblem(WRONG, f"{value!r} is not true or false", place=f"{place} {key}")
    return value


def _strings(table: Mapping[str, object], key: str, place: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise MigrateProblem(
            WRONG, f"{value!r} is not a list of texts", place=f"{place} {key}", hint=f'write {key} = ["..."]'
        )
    return tuple(value)


def _tables(table: Mapping[str, object], key: str, place: str) -> dict[str, object]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise MigrateProblem(WRONG, f"{value!r} is not a table", place=f"{place} {key}")
    return value


def _tasks(tables: Mapping[str, object]) -> dict[str, Needs]:
    tasks = {}
    for name, table in tables.items():
        place = f'{FILE} [tool.stepbridge.tasks."{name}"]'
        if not isinstance(table, dict):
            raise MigrateProblem(
                WRONG,
                f"{table!r} is not a table",
                place=place,
                hint='write [tool.stepbridge.tasks."dag.task"]',
            )
        if "." not in name:
            raise MigrateProblem(
                WRONG, f"{name!r} names no task of a DAG", place=place, hint='quote it: tasks."dag.task"'
            )
        tasks[name] = from_table(table, place=place)
    return tasks
