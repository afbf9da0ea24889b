"""What one edit with all its checks costs, against importing the DAG file with Airflow twice.

``python benchmarks/bench_edit.py [--runs N] [--airflow-python PATH] [DAG_FILE]``. The file must have a
PythonOperator with a task id in its source. The one that is made where none is named imports the standard
library only: the worst case, where nothing hides the import of KubernetesPodOperator that the edit adds. Runs
are interleaved, so that a busy machine slows both alike; the figures are medians of CPU seconds of all
processes, and the bound is on their ratio. Exit status 1 where it is missed.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from stepbridge_migrate.edits import apply, invert
from stepbridge_migrate.landing import Texts, land
from stepbridge_migrate.model import (
    Change,
    DagScope,
    Disposition,
    Edit,
    Kind,
    Place,
    Plan,
    Site,
    Span,
    TaskName,
)
from stepbridge_migrate.verify.project import interpreter

BOUND = 1.5
TWICE = """\
import os, sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
bag = DagBag(dag_folder=os.devnull, collect_dags=False)
bag.process_file(sys.argv[1], only_if_updated=False, safe_mode=False)
assert not bag.import_errors, bag.import_errors
assert bag.dags
"""
FLOW = """\
from datetime import datetime
try:
    from airflow.sdk import DAG
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow import DAG
    from airflow.operators.python import PythonOperator


def fit(lr=1, **context):
    return lr


with DAG("flow", start_date=datetime(2024, 1, 1)) as dag:
    before = PythonOperator(task_id="before", python_callable=fit)
    train = PythonOperator(task_id="train", python_callable=fit, op_kwargs={"lr": 2})
    before >> train
"""


def plan_of(path: str, text: str) -> Plan:
    """The cutover of the file's last PythonOperator call."""
    call = list(re.finditer(r"(\w+\.)?PythonOperator\(", text))[-1]
    found = re.search(r"task_id=(['\"])(.+?)\1", text[call.end() :])
    head = re.search(r"^(?=from airflow|import airflow|try:)", text, re.MULTILINE)
    if found is None or head is None:
        raise SystemExit(f"{path}: no PythonOperator with a task_id")
    name = found[2]
    edits = (
        Edit(head.start(), "", "from stepbridge_airflow import StepOperator\n"),
        Edit(call.start(), call[0], "StepOperator("),
    )
    site = Site(
        path=path,
        dag=DagScope("", "with"),
        task=TaskName(repr(name), (), f"*{name}", False),
        kind=Kind.PYTHON,
        operator="airflow.operators.python.PythonOperator",
        local="PythonOperator",
        place=Place(path, 1),
        name=Span(call.start(), call.end() - 1),
        call=Span(call.start(), call.end()),
        open=call.end(),
        arguments=(),
    )
    return Plan("cutover", site, Disposition.AUTO, (Change(path, edits),))


def seconds(work: Callable[[], None]) -> float:
    """CPU seconds of *work*, its children included."""
    before = os.times()
    work()
    return sum(os.times()[:4]) - sum(before[:4])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--airflow-python")
    parser.add_argument("file", nargs="?", type=Path)
    given = parser.parse_args()
    python = interpreter(given.airflow_python)
    if python is None:
        parser.error("no Airflow is here: use --airflow-python")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        file = root / "dags" / "flow.py"
        file.parent.mkdir()
        file.write_bytes(given.file.read_bytes() if given.file else FLOW.encode())
        environment = {**os.environ, "AIRFLOW_HOME": str(root / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
        environment["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        plan = plan_of("dags/flow.py", file.read_text())
        change = plan.changes[0]

        def undo(texts: Texts) -> Texts:
            return {change.path: apply(texts[change.path], invert(change.edits))}

        def edit() -> None:
            landed = land(
                root,
                plan,
                write=False,
                airflow_python=str(python),
                again=lambda _: replace(plan, changes=()),
                undo=undo,
            )
            wrong = [check for check in landed.checks if check.status != "passed"]
            if wrong:
                raise SystemExit(f"not verified: {wrong}")

        def twice() -> None:
            for _ in range(2):
                command = [str(python), "-W", "ignore", "-c", TWICE, str(file)]
                subprocess.run(command, env=environment, check=True, capture_output=True)

        works = {"importing the file twice": twice, "one edit with all checks": edit}
        for work in works.values():
            work()
        times: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(given.runs):
            for name, work in works.items():
                times[name].append(seconds(work))
    medians = [statistics.median(found) for found in times.values()]
    for name, median in zip(times, medians, strict=True):
        print(f"{median:7.2f} s of CPU  {name}")
    ratio = medians[1] / medians[0]
    print(f"ratio {ratio:.2f}, bound {BOUND:.2f}: {'kept' if ratio <= BOUND else 'MISSED'}")
    return 0 if ratio <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
