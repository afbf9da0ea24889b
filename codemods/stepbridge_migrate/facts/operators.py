"""Airflow's names for what makes tasks, over all eras of its import paths."""

from __future__ import annotations

from stepbridge_migrate.model import Kind

_CLASSES = {
    "PythonOperator": Kind.PYTHON,
    "PythonVirtualenvOperator": Kind.VIRTUALENV,
    "ExternalPythonOperator": Kind.EXTERNAL,
    "StepOperator": Kind.STEP,
    "EksStepOperator": Kind.STEP,
    "BranchPythonOperator": Kind.BRANCH,
    "BranchPythonVirtualenvOperator": Kind.BRANCH,
    "BranchExternalPythonOperator": Kind.BRANCH,
    "BranchDateTimeOperator": Kind.BRANCH,
    "BranchDayOfWeekOperator": Kind.BRANCH,
    "BranchSQLOperator": Kind.BRANCH,
    "BranchSqlOperator": Kind.BRANCH,
    "BaseBranchOperator": Kind.BRANCH,
    "HITLBranchOperator": Kind.BRANCH,
    "ShortCircuitOperator": Kind.SHORT_CIRCUIT,
    "PythonSensor": Kind.SENSOR,
    "EmptyOperator": Kind.EMPTY,
    "DummyOperator": Kind.EMPTY,
    "LatestOnlyOperator": Kind.BRANCH,
}

_DECORATORS = {
    "": Kind.TASK,
    "python": Kind.TASK,
    "virtualenv": Kind.TASK_VIRTUALENV,
    "external_python": Kind.TASK_EXTERNAL,
    "kubernetes": Kind.TASK_KUBERNETES,
    "docker": Kind.TASK_DOCKER,
    "step": Kind.TASK_STEP,
    "branch": Kind.BRANCH,
    "branch_virtualenv": Kind.BRANCH,
    "branch_external_python": Kind.BRANCH,
    "short_circuit": Kind.SHORT_CIRCUIT,
    "sensor": Kind.SENSOR,
    "bash": Kind.OPERATOR,
    "kubernetes_cmd": Kind.OPERATOR,
    "pyspark": Kind.OPERATOR,
    "snowpark": Kind.OPERATOR,
    "agent": Kind.OPERATOR,
    "llm": Kind.OPERATOR,
    "llm_branch": Kind.BRANCH,
    "run_if": Kind.UNKNOWN,
    "skip_if": Kind.UNKNOWN,
}

MODIFIERS = frozenset({"run_if", "skip_if"})
"""Attributes of ``task`` that decorate a decorated task and make none."""

_TASK_MODULES = frozenset(
    {
        "airflow.decorators",
        "airflow.sdk",
        "airflow.sdk.definitions.decorators",
        "airflow.decorators.python",
        "airflow.decorators.task",
        "airflow.providers.common.compat.sdk",
        "airflow.providers.common.compat.standard.operators",
    }
)
_PYTHON_TASK = {
    "airflow.decorators.python.python_task": Kind.TASK,
    "airflow.operators.python.task": Kind.TASK,
    "airflow.decorators.python_virtualenv.virtualenv_task": Kind.TASK_VIRTUALENV,
    "airflow.decorators.external_python.external_python_task": Kind.TASK_EXTERNAL,
    "airflow.decorators.branch_python.branch_task": Kind.BRANCH,
    "airflow.decorators.short_circuit.short_circuit_task": Kind.SHORT_CIRCUIT,
    "airflow.decorators.sensor.sensor_task": Kind.SENSOR,
    "airflow.providers.cncf.kubernetes.decorators.kubernetes.kubernetes_task": Kind.TASK_KUBERNETES,
    "airflow.providers.docker.decorators.docker.docker_task": Kind.TASK_DOCKER,
    "stepbridge_airflow.step": Kind.TASK_STEP,
    "stepbridge_airflow.decorator.step": Kind.TASK_STEP,
}

NO_TASKS = frozenset(
    {
        "BaseOperator",
        "AbstractOperator",
        "MappedOperator",
        "DecoratedOperator",
        "DAG",
        "TaskGroup",
        "ExternalTaskMarkerLink",
        "TaskInstance",
        "TaskInstanceKey",
        "XCom",
        "XComArg",
        "DagRun",
        "SimpleTaskInstance",
    }
)
"""Classes with such names, or with a ``task_id``, that make no task."""
_BASES = frozenset({"BaseOperator", "BaseSensorOperator", "BaseOperatorAsync", "SkipMixin"})
_ENDINGS = ("Operator", "Sensor", "SensorAsync", "OperatorAsync")


def is_airflow(name: str) -> bool:
    """True for a qualified name of Airflow's, a provider's or of stepbridge's operators."""
    return name.partition(".")[0] in ("airflow", "stepbridge_airflow")


def is_dag_class(name: str) -> bool:
    """True for ``DAG`` in any of its modules."""
    return is_airflow(name) and name.rpartition(".")[2] == "DAG"


def is_dag_decorator(name: str) -> bool:
    """True for ``@dag``."""
    return is_airflow(name) and name.rpartition(".")[2] == "dag" and name != "airflow.models.dag"


def is_task_group_class(name: str) -> bool:
    """True for ``TaskGroup``."""
    return is_airflow(name) and name.rpartition(".")[2] == "TaskGroup"


def is_task_group_decorator(name: str) -> bool:
    """True for ``@task_group``."""
    return is_airflow(name) and name.rpartition(".")[2] == "task_group" and name != "airflow.utils.task_group"


def is_setup_decorator(name: str) -> str:
    """``setup`` or ``teardown`` for these decorators, empty for all else."""
    last = name.rpartition(".")[2]
    return last if is_airflow(name) and last in ("setup", "teardown") else ""


def is_asset_decorator(name: str) -> bool:
    """True for ``@asset`` and ``@asset.multi``, which make a DAG of one task."""
    return name in ("airflow.sdk.asset", "airflow.sdk.asset.multi")


def task_decorator(name: str) -> Kind | None:
    """The kind of task that a decorator of this qualified name makes; None where it makes none."""
    if name in _PYTHON_TASK:
        return _PYTHON_TASK[name]
    if is_asset_decorator(name):
        return Kind.OPERATOR
    module, _, last = name.rpartition(".")
    if last == "task" and module in _TASK_MODULES:
        return Kind.TASK
    above, _, word = module.rpartition(".")
    if word == "task" and above in _TASK_MODULES:
        return None if last in MODIFIERS else _DECORATORS.get(last, Kind.OPERATOR)
    return None


def operator_class(name: str) -> Kind | None:
    """The kind of task that a class of this qualified name makes; None where it makes none."""
    last = name.rpartition(".")[2]
    if not is_airflow(name) or last in NO_TASKS or last.startswith("_"):
        return None
    if last in _CLASSES:
        return _CLASSES[last]
    if last.endswith(("Sensor", "SensorAsync")):
        return Kind.SENSOR
    return Kind.OPERATOR if last.endswith(_ENDINGS) else None


def looks_like_operator(name: str) -> bool:
    """True for the last part of a name that such classes have."""
    return name.endswith(_ENDINGS) and name not in NO_TASKS


def is_operator_base(name: str) -> bool:
    """True for the classes that all operators derive from."""
    last = name.rpartition(".")[2]
    return last in _BASES or (looks_like_operator(last) and last[:1].isupper())


def holds_operators(name: str) -> bool:
    """True for a name of a module that Airflow keeps operators in."""
    return bool({"operators", "sensors", "transfers"} & set(name.split(".")[:-1]))


def guess(name: str) -> Kind:
    """The kind that a class of another library has by its name alone."""
    sensor = name.endswith(("Sensor", "SensorAsync", "SensorOperator"))
    return Kind.SENSOR if sensor else Kind.OPERATOR
