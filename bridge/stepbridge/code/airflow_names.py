"""Airflow's names as data: what stands in for them, what builds a DAG, and the keys of a task's context."""

from __future__ import annotations

STAND_INS = frozenset(
    {"Variable", "get_current_context", "AirflowSkipException", "AirflowFailException", "AirflowException"}
)
"""Names that ``stepbridge.facade`` offers in Airflow's place, wherever an Airflow version keeps them."""

FACADE = "stepbridge.facade"

AIRFLOW_ROOTS = frozenset({"airflow", "stepbridge_airflow"})
OWN_ROOTS = frozenset({"stepbridge", "stepbridge_airflow", "stepbridge_migrate"})

DROPPED_REFUSED = frozenset({"provide_session"})
"""Airflow decorators that change how the function is called: they cannot be left out."""

_BUILDERS = frozenset(
    [
        "DAG",
        "dag",
        "task",
        "task_group",
        "TaskGroup",
        "XComArg",
        "MappedOperator",
        "BaseOperator",
        "chain",
        "chain_linear",
        "cross_downstream",
        "setup",
        "teardown",
        "Label",
        "EdgeModifier",
        "PlainXComArg",
        "step",
        "shadow",
        "from_xcom",
        "from_variable",
        "from_context",
    ]
)
_BUILDER_ENDINGS = ("Operator", "Sensor", "SensorAsync", "OperatorAsync")

DAG_TYPES = frozenset(
    [
        "DAG",
        "DAGNode",
        "AbstractOperator",
        "BaseOperator",
        "MappedOperator",
        "XComArg",
        "TaskGroup",
        "EdgeModifier",
        "TaskMixin",
    ]
)
"""Classes of Airflow, by name, whose instances belong to a DAG and mean nothing in a step."""

CONTEXT_KEYS = frozenset(
    [
        "asset_state_store",
        "conf",
        "conn",
        "dag",
        "dag_run",
        "data_interval_end",
        "data_interval_start",
        "ds",
        "ds_nodash",
        "exception",
        "execution_date",
        "expanded_ti_count",
        "inlet_events",
        "inlets",
        "logical_date",
        "macros",
        "map_index_template",
        "next_ds",
        "next_ds_nodash",
        "next_execution_date",
        "outlet_events",
        "outlets",
        "params",
        "partition_date",
        "partition_key",
        "prev_data_interval_end_success",
        "prev_data_interval_start_success",
        "prev_ds",
        "prev_ds_nodash",
        "prev_end_date_success",
        "prev_execution_date",
        "prev_execution_date_success",
        "prev_start_date_success",
        "reason",
        "run_id",
        "task",
        "task_instance",
        "task_instance_key_str",
        "task_reschedule_count",
        "task_state_store",
        "templates_dict",
        "test_mode",
        "ti",
        "tomorrow_ds",
        "tomorrow_ds_nodash",
        "triggering_asset_events",
        "triggering_dataset_events",
        "try_number",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
        "var",
        "yesterday_ds",
        "yesterday_ds_nodash",
    ]
)
"""The keys of a task's context in Airflow 2 and 3."""

OBJECT_KEYS = frozenset({"dag", "dag_run", "task"})
"""Keys whose values are objects of Airflow's: what counts of them is what the code reads."""

TEXT_KEYS = frozenset(
    [
        "ds",
        "ds_nodash",
        "next_ds",
        "next_ds_nodash",
        "prev_ds",
        "prev_ds_nodash",
        "run_id",
        "task_instance_key_str",
        "tomorrow_ds",
        "tomorrow_ds_nodash",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
        "yesterday_ds",
        "yesterday_ds_nodash",
    ]
)
"""Keys whose values are text."""

LIVE_KEYS = frozenset({"asset_state_store", "outlet_events", "task_state_store"})
"""Keys whose values are there to be written to: a copy of them would swallow what is written."""

TASK_INSTANCE_KEYS = frozenset({"ti", "task_instance"})


def is_airflow(module: str) -> bool:
    """True for a module of Airflow's, a provider's, or of stepbridge's own operators."""
    return module.partition(".")[0] in AIRFLOW_ROOTS


def builds(name: str) -> bool:
    """True where an Airflow object of that name makes parts of a DAG."""
    return name in _BUILDERS or name.endswith(_BUILDER_ENDINGS)
