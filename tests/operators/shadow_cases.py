"""The same DAG with and without its shadows under real Airflow, and what must not differ between them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throwaway import version

MARK = "SHADOWS"
DETAILS = "stepbridge"

CALLBACKS = """
import json, os, signal, time
from pathlib import Path
from stepbridge.compare.rules import Compare, Tolerance
from stepbridge_airflow import shadow

try:
    from airflow.sdk.exceptions import AirflowSkipException
except ImportError:
    from airflow.exceptions import AirflowSkipException

FOLDER = Path("FOLDER_OF_THE_RUN")


def noting(kind):
    def note(context):
        with (FOLDER / "callbacks.txt").open("a") as file:
            file.write(f"{kind} {context['ti'].task_id}\\n")
    return note


ALARMS = {
    "on_failure_callback": noting("failure"),
    "on_success_callback": noting("success"),
    "on_retry_callback": noting("retry"),
    "on_execute_callback": noting("execute"),
    "on_skipped_callback": noting("skipped"),
    "retries": 0,
    "retry_delay": timedelta(0),
    "priority_weight": 7,
    "email_on_failure": False,
}
"""


@dataclass(frozen=True)
class Seen:
    """What a run did to the tasks that are no shadow's."""

    state: str
    states: dict[str, str]
    xcoms: dict[tuple[str, int, str], str]
    callbacks: list[str]


def both(lab: Any, source: str, shadows: str, folder: Path) -> tuple[Seen, Seen, Any]:
    """The DAG's run without and with *shadows* in place of :data:`MARK`, and the second run itself."""
    found = []
    for name, text in (("without", ""), ("with", shadows)):
        own = folder / name
        own.mkdir(parents=True)
        lab.number = 0  # the same date for both
        run = lab.test(lab.load(lab.write(written(source, text, own))))
        found.append((seen(run, own), run))
    return found[0][0], found[1][0], found[1][1]


def written(source: str, shadows: str, folder: Path) -> str:
    """The DAG file with *shadows*, whose tasks keep their notes in *folder*."""
    lines = (CALLBACKS + source).splitlines()
    text = "\n".join(
        "\n".join(line[: line.index(MARK)] + one for one in shadows.strip().splitlines())
        if MARK in line
        else line
        for line in lines
    )
    return text.replace("FOLDER_OF_THE_RUN", str(folder))


def seen(run: Any, folder: Path) -> Seen:
    """What is to be seen of *run*, whose callbacks wrote into *folder*."""
    calls = folder / "callbacks.txt"
    lines = calls.read_text().splitlines() if calls.exists() else []
    return Seen(
        run.state,
        {name: state for name, state in sorted(run.states.items()) if not is_shadow(name)},
        {key: value for key, value in xcoms(run).items() if not is_shadow(key[0])},
        sorted(lines),
    )


def is_shadow(name: str) -> bool:
    """Whether a task, by its id, belongs to a shadow."""
    return any(mark in name for mark in ("__shadow", "__compare", "__noise_"))


def xcoms(run: Any) -> dict[tuple[str, int, str], str]:
    """Every XCom of the run as it is stored, by task, map index and key; without the links of steps."""
    from airflow.utils.session import create_session

    if version() < (3,):
        from airflow.models.xcom import BaseXCom as Model
    else:
        from airflow.models.xcom import XComModel as Model
    with create_session() as session:
        rows = session.query(Model.task_id, Model.map_index, Model.key, Model.value).filter_by(
            dag_id=run.dag_id, run_id=run.run_id
        )
        return {
            (task, index, key): (value.decode() if isinstance(value, bytes) else str(value)).replace(
                run.dag_id, "DAG_ID"
            )
            for task, index, key, value in rows
            if not key.startswith("_link_")
        }


def verdict(run: Any, task_id: str) -> str:
    """What the comparison of a control said."""
    found = run.xcom(f"{task_id}__compare", DETAILS)
    return str(found["verdict"]) if found else f"nothing: {run.states.get(task_id + '__compare')}"


def rule(run: Any, task_id: str) -> str:
    """Why it said so."""
    return str(run.xcom(f"{task_id}__compare", DETAILS)["rule"])


def report(lab: Any, run: Any, task_id: str) -> Any:
    """The report in the store."""
    (found,) = (lab.store / "shadow" / run.dag_id / task_id).rglob("report.json")
    return json.loads(found.read_text())


def shape(dag: Any) -> dict[str, Any]:
    """What the DAG says of each task that is no shadow's: edges, weights, leaves, what clearing it clears."""
    own = [task for task in dag.tasks if not is_shadow(task.task_id)]
    return {
        task.task_id: {
            "upstream": _own(task.upstream_task_ids),
            "downstream": _own(task.downstream_task_ids),
            "weight": weight(dag, task),
            "trigger_rule": str(task.trigger_rule),
            "leaf": _is_leaf(dag, task),
            "cleared": _cleared(dag, task, down=False),
            "cleared_down": _cleared(dag, task, down=True),
        }
        for task in own
    } | {"groups": groups(dag)}


def groups(dag: Any) -> dict[str, Any]:
    """The leaves of each group: what comes after ``group >> task``."""
    return {
        str(name): sorted({leaf.task_id for leaf in group.get_leaves()})
        for name, group in dag.task_group_dict.items()
        if name
    }


def weight(dag: Any, task: Any) -> int:
    """The total weight by Airflow's rule ``downstream``."""
    below = task.get_flat_relative_ids(upstream=False)
    return int(task.priority_weight) + sum(int(dag.task_dict[one].priority_weight) for one in below)


def _is_leaf(dag: Any, task: Any) -> bool:
    """As ``DagRun._tis_for_dagrun_state`` has it."""
    below = [dag.task_dict[one] for one in task.downstream_task_ids]
    return all(one.is_teardown and not one.on_failure_fail_dagrun for one in below) and not task.is_teardown


def _cleared(dag: Any, task: Any, *, down: bool) -> list[str]:
    part = dag.partial_subset([task.task_id], include_upstream=False, include_downstream=down)
    return _own(part.task_dict)


def _own(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not is_shadow(name))
