"""What the rules take for granted of a step, held against the installed Airflow and stepbridge_airflow."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from stepbridge.facade.task_instance import TaskInstance
from stepbridge_migrate.rules import arguments
from stepbridge_migrate.rules.callables import _FIELDS, _NOT_PLAIN, _OF_TI

ASK = """
import inspect, json
from stepbridge_airflow import context
from stepbridge_airflow.compat import BaseOperator
from stepbridge_airflow.declaring import StepBase
from stepbridge_airflow import options
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator
names = lambda cls: sorted(set(inspect.signature(cls.__init__).parameters) - {"self", "kwargs"})
print(json.dumps({
    "step": names(StepBase), "pod": names(KubernetesPodOperator), "airflow": names(BaseOperator),
    "python": names(PythonOperator), "owned": sorted(options.OWNED), "dead": sorted(options.DEAD),
    "plain": sorted([*context.PLAIN, *context.DERIVED, *context.ASKED, *context.OLD]),
    "parts": {key: sorted(value) for key, value in context.PARTS.items()},
}))
"""
INTERNAL = {"shadowed", "_airflow_mapped_validation_only"}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the installed classes say of themselves."""
    if importlib.util.find_spec("airflow") is None:
        pytest.skip("needs Airflow")
    home = tmp_path_factory.mktemp("airflow")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, timeout=300, cwd=home
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
@pytest.mark.airflow
def test_every_argument_of_a_step_is_known(real: dict[str, list[str]]) -> None:
    accepted = {*real["step"], *real["pod"], *real["airflow"]} - {*real["owned"], *real["dead"]} - INTERNAL
    assert accepted - arguments.TAKEN == set(), "a step takes more than the rules know"
    of_a_step = arguments.STEP | arguments.PYTHON
    assert of_a_step - set(real["step"]) == set(), "the rules give a step what it does not take"
    assert set(real["python"]) >= arguments.PYTHON


@pytest.mark.slow
@pytest.mark.airflow
def test_what_a_step_refuses_is_refused(real: dict[str, list[str]]) -> None:
    refused = {*real["owned"], *real["dead"]}
    assert refused == {*arguments.OWNED, "is_delete_operator_pod"}
    assert not refused & arguments.TAKEN


@pytest.mark.slow
@pytest.mark.airflow
def test_the_context_that_a_step_sees_is_not_refused(real: dict[str, list[str]]) -> None:
    assert not _NOT_PLAIN & set(real["plain"])
    parts = real["parts"]
    assert isinstance(parts, dict)
    assert {key: sorted(fields) for key, fields in _FIELDS.items()} == {key: parts[key] for key in _FIELDS}


def test_what_ti_does_in_a_step_is_not_refused() -> None:
    assert {name for name in vars(TaskInstance) if not name.startswith("_")} == _OF_TI
