"""Ask the project's own Airflow, in a process of its own, what a file makes before and after an edit."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from configparser import Error as ConfigError
from configparser import RawConfigParser
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepbridge_migrate.problems import MigrateProblem

SCRIPT = Path(__file__).with_name("airflow_side.py")
PATIENCE = 600.0
"""Seconds for both sides together."""

KEPT_SECTIONS = ("core", "operators", "scheduler", "dag_processor", "webserver", "api", "stepbridge", "email")
"""Sections of airflow.cfg whose settings may count when a DAG file is read."""

_DROPPED_OPTIONS = re.compile(
    r"(_cmd|_secret)$|^(sql_alchemy|sql_engine|executor$|fernet|internal_api|secret_key|auth|simple_auth|hostname"
    r"|unit_test_mode|load_examples|load_default|dagbag_import|parallelism$|mp_start|dag_bundle|execution_api"
    r"|ssl_|base_url|port$|host$|dags_folder$|plugins_folder$|donot_pickle|security$|remote_|database_access)"
)
"""Options that reach a database, a service or a secret, and those that this check sets itself."""

_MISSING = re.compile(r"(?:ModuleNotFoundError|ImportError): (.+)")
_MODULE = re.compile(r"No module named '([^']+)'")


@dataclass(frozen=True)
class Side:
    """What the files made on one side.

    :param dags: DAG id to what Airflow's serializer gives.
    :param errors: file to traceback.
    :param seconds: reading the files took, Airflow's own import apart.
    :param stand_ins: names that were replaced.
    """

    dags: Mapping[str, Mapping[str, Any]]
    errors: Mapping[str, str]
    seconds: float
    warnings: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()

    @property
    def error(self) -> str:
        """The last line of the first error; empty where all was imported."""
        text = next(iter(self.errors.values()), "").strip()
        return text.splitlines()[-1].strip() if text else ""

    @property
    def missing(self) -> str:
        """The module that is not there, where that is the error."""
        found = _MODULE.search(self.error)
        return found[1] if found else ""


@dataclass(frozen=True)
class Sides:
    """Both sides, and the first one a second time.

    :param again: the DAGs of the unedited files, loaded once more: what differs from ``before.dags`` differs
        by itself.
    """

    airflow: str
    python: str
    before: Side
    again: Mapping[str, Mapping[str, Any]]
    after: Side


class NoAnswer(Exception):
    """The project's Airflow could not be asked; the text says why."""


def interpreter(airflow_python: str | None) -> Path | None:
    """The Python that has the project's Airflow; None where nothing is named and this one has none.

    :raises MigrateProblem: the named one is not there.
    """
    if airflow_python is None:
        return Path(sys.executable) if importlib.util.find_spec("airflow") is not None else None
    import shutil

    found = shutil.which(Path(airflow_python).expanduser())
    if found is None:
        raise MigrateProblem(
            "",
            f"there is no program {airflow_python!r}",
            place="--airflow-python",
            hint="name the Python of the environment that has your Airflow: venv/bin/python",
        )
    return Path(found)


def load(
    root: Path,
    texts: Mapping[Path, bytes],
    *,
    python: Path,
    entries: Sequence[Path] = (),
    stand_ins: bool = False,
    patience: float = PATIENCE,
    environment: Mapping[str, str] | None = None,
) -> Sides:
    """What the DAG files make as they are, and with *texts* in the places of these files.

    Nothing is written outside of a folder of its own, which is gone afterwards.

    :param texts: path, absolute, to the candidate's bytes.
    :param entries: the DAG files to read; the files of *texts* where none is named.
    :param stand_ins: replace modules that are missing by objects that stand for anything.
    :param environment: of the user; this process's where None.
    :raises NoAnswer: the interpreter has no Airflow, it took too long, or it ended without an answer.
    """
    with tempfile.TemporaryDirectory(prefix="stepbridge-migrate-") as folder:
        home = Path(folder)
        overlay = {}
        for number, (path, data) in enumerate(texts.items()):
            candidate = home / f"candidate{number}.py"
            candidate.write_bytes(data)
            overlay[str(path)] = str(candidate)
        files = tuple(entries) or tuple(texts)
        user = _User(dict(os.environ if environment is None else environment), root, files)
        request = {
            "entries": [str(path) for path in files],
            "overlay": overlay,
            "paths": [str(path) for path in user.paths],
            "first_party": sorted({str(root.absolute()), *(str(path) for path in user.paths)}),
            "stand_ins": stand_ins,
            "out": str(home),
        }
        (home / "request.json").write_text(json.dumps(request), encoding="utf-8")
        said = _run(
            [str(python), "-W", "ignore", str(SCRIPT), str(home / "request.json")],
            user.environment(home),
            root,
            patience,
        )
        before, after = (_answer(home / f"{side}.json", said) for side in ("before", "after"))
        return Sides(before["airflow"], before["python"], _read(before), before["again"], _read(after))


def _answer(path: Path, said: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        found = _MISSING.search(said)
        why = found[0] if found else (said.strip().splitlines() or ["it ended without a word"])[-1]
        raise NoAnswer(f"Airflow gave no answer: {why}") from None
    return answer


def _read(answer: dict[str, Any]) -> Side:
    return Side(
        answer["dags"],
        answer["errors"],
        answer["seconds"],
        tuple(answer["warnings"]),
        tuple(answer["stand_ins"]),
    )


def _run(command: Sequence[str], environment: Mapping[str, str], folder: Path, patience: float) -> str:
    """Run to the end, or kill the whole group after *patience* seconds.

    :returns: what it printed.
    """
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise NoAnswer(f"{command[0]} cannot be started: {error.strerror or error}") from error
        with _killed_at_the_end(process):
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                raise NoAnswer(f"the project's Airflow took longer than {patience:.0f} s") from None
        said.seek(0)
        return said.read().decode(errors="replace")


@contextmanager
def _killed_at_the_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _User:
    """What of the user's environment and airflow.cfg counts when a DAG file is read."""

    def __init__(self, environment: dict[str, str], root: Path, files: Sequence[Path]) -> None:
        self._environment = environment
        home = Path(environment.get("AIRFLOW_HOME") or "~/airflow").expanduser()
        config = Path(environment.get("AIRFLOW_CONFIG") or home / "airflow.cfg").expanduser()
        self._settings = {**_settings(config), **_variables(environment)}
        said = self._folder("DAGS_FOLDER")
        dags = said if said is not None and _belongs(said, root, files) else _dags_folder(root, files)
        plugins = self._folder("PLUGINS_FOLDER") or _first(home / "plugins", root / "plugins")
        self.dags, self.plugins = dags, plugins
        named = (dags, home / "config", plugins, root)
        self.paths = tuple(dict.fromkeys(path for path in named if path is not None and path.is_dir()))

    def _folder(self, option: str) -> Path | None:
        text = self._settings.get(f"AIRFLOW__CORE__{option}")
        path = Path(os.path.expandvars(text)).expanduser() if text else None
        return path if path is not None and path.is_dir() else None

    def environment(self, home: Path) -> dict[str, str]:
        """The environment of the check: the user's settings that matter, and our own home and database."""
        kept = {
            name: value
            for name, value in self._environment.items()
            if not name.startswith("AIRFLOW__") and name not in ("AIRFLOW_CONFIG", "AIRFLOW_HOME")
        }
        plugins = self.plugins if self.plugins is not None else home / "plugins"
        own = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "0",
            "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "20",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__CORE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "PYTHONDONTWRITEBYTECODE": "1",
            "STEPBRIDGE_CODE_MEMO": "off",
        }
        return {**kept, **self._settings, **own}


def _settings(config: Path) -> dict[str, str]:
    """The settings of airflow.cfg that count, under their names in the environment."""
    parser = RawConfigParser(strict=False)
    try:
        parser.read_string(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, ConfigError):
        return {}
    return {
        f"AIRFLOW__{section.upper()}__{option.upper()}": value
        for section in KEPT_SECTIONS
        if parser.has_section(section)
        for option, value in parser.items(section)
        if option in ("dags_folder", "plugins_folder") or not _DROPPED_OPTIONS.search(option)
    }


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The same, of the environment."""
    kept = {}
    for name, value in environment.items():
        parts = name.split("__", 2)
        if len(parts) != 3 or parts[0] != "AIRFLOW" or parts[1].lower() not in KEPT_SECTIONS:
            continue
        option = parts[2].lower()
        if option in ("dags_folder", "plugins_folder") or not _DROPPED_OPTIONS.search(option):
            kept[name] = value
    return kept


def _belongs(folder: Path, root: Path, files: Sequence[Path]) -> bool:
    """Whether a configured folder is the project's, and not another project's on the same machine."""
    return root.resolve() in (folder.resolve(), *folder.resolve().parents) or any(
        folder.resolve() in one.resolve().parents for one in files
    )


def _dags_folder(root: Path, files: Sequence[Path]) -> Path:
    """Where nothing says it: the nearest folder ``dags`` around the file, else the file's own."""
    first = files[0].parent
    around = [folder for folder in (first, *first.parents) if folder.name == "dags"]
    return around[0] if around else first if first.is_dir() else root


def _first(*folders: Path) -> Path | None:
    return next((folder for folder in folders if folder.is_dir()), None)
