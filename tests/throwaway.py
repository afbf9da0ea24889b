"""A throw-away home for Airflow: imported by each conftest, before any test module imports Airflow."""

from __future__ import annotations

import atexit
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

HOME = Path(tempfile.mkdtemp(prefix="stepbridge-airflow-"))
DAGS = HOME / "dags"
PLUGINS = HOME / "plugins"


def version() -> tuple[int, ...]:
    """Airflow's, major and minor."""
    return tuple(int(part) for part in importlib.metadata.version("apache-airflow").split(".")[:2])


def prepare() -> None:
    """Make the home, and let this process's Airflow live there."""
    for folder in (DAGS, PLUGINS):
        folder.mkdir()
    os.environ.update(
        {
            "AIRFLOW_HOME": str(HOME),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor" if version() < (3,) else "LocalExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        }
    )
    for name in [name for name in os.environ if name.startswith("AIRFLOW__STEPBRIDGE__")]:
        del os.environ[name]
    atexit.register(shutil.rmtree, HOME, ignore_errors=True)


os.environ["STEPBRIDGE_CODE_MEMO"] = "off"
if importlib.util.find_spec("airflow") is not None:
    prepare()
