"""Runs every DAG of a folder under real Airflow, in a process of its own, and writes what each task gave.

``python dag_runs.py FOLDER ANSWER [DAG_ID ...]``: states and XComs by DAG and task, as JSON.
"""

from __future__ import annotations

import json
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

WHEN = datetime(2026, 3, 1, tzinfo=UTC)


def load(folder: Path) -> Any:
    """The folder's DAGs, in the database."""
    sys.path.insert(0, str(folder))
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils import db
    from airflow.utils.session import create_session

    db.initdb()
    bag = DagBag(str(folder))
    with create_session() as session:
        session.merge(DagBundleModel(name="dags-folder"))
    sync_bag_to_db(bag, "dags-folder", None)
    return bag


def outcome(dag: Any) -> dict[str, Any]:
    """State, tasks' states and XComs of one run."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    done = dag.test(logical_date=WHEN)
    with create_session() as session:
        rows = session.query(XComModel).filter(
            XComModel.dag_id == dag.dag_id, XComModel.run_id == done.run_id
        )
        xcoms = {
            f"{row.task_id}[{row.map_index}] {row.key}": row.value
            for row in rows
            if not row.key.startswith("_link_")
        }
        states = {
            f"{ti.task_id}[{ti.map_index}]": str(getattr(ti.state, "value", ti.state))
            for ti in done.get_task_instances(session=session)
        }
    return {"state": str(getattr(done.state, "value", done.state)), "states": states, "xcoms": xcoms}


def main(folder: str, answer: str, *wanted: str) -> None:
    """Run them, or those of *wanted*."""
    bag = load(Path(folder))
    found: dict[str, Any] = {
        "errors": {Path(path).name: str(text) for path, text in bag.import_errors.items()}
    }
    runs = found["runs"] = {}
    for dag_id in sorted(bag.dags):
        if wanted and dag_id not in wanted:
            continue
        try:
            runs[dag_id] = outcome(bag.get_dag(dag_id))
        except Exception:  # noqa: BLE001 - what a DAG does is the answer
            runs[dag_id] = {"crash": traceback.format_exc()}
        Path(answer).write_text(json.dumps(found, indent=1, sort_keys=True, default=repr))


if __name__ == "__main__":
    main(*sys.argv[1:])
