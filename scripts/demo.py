"""Run the example pipeline under real Airflow, as it was and with its training task moved, and compare them.

Everything is made below ``--home``: Airflow's own home, the DAGs' data, the store, the log. What Airflow
prints goes to the log; this script prints what it found and exits with 1 where a downstream task got other
values.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

CHECKOUT = Path(__file__).resolve().parent.parent
DAGS = CHECKOUT / "examples" / "dags"
OLD, MOVED, STEP = "biopsy_screening", "biopsy_screening_moved", "train"
FIRST, SECOND = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)
RESULT, DETAILS = "return_value", "stepbridge"

Xcoms = Mapping[tuple[str, str], Any]


class Difference(Exception):
    """A task of the moved pipeline did not give what the old one gave."""


@dataclass(frozen=True)
class Home:
    """The folders of one demo."""

    root: Path

    @property
    def airflow(self) -> Path:
        """Airflow's own home."""
        return self.root / "airflow"

    @property
    def data(self) -> Path:
        """Where the DAGs' old tasks keep their files."""
        return self.root / "data"

    @property
    def store(self) -> Path:
        """The steps' store."""
        return self.root / "store"

    @property
    def store_root(self) -> str:
        """The store's URI."""
        return f"file://{self.store}"

    @property
    def log(self) -> Path:
        """What Airflow and the tasks print."""
        return self.root / "airflow.log"

    def start_afresh(self) -> None:
        """Remove what an earlier demo left."""
        for folder in (self.airflow, self.data, self.store):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.log.write_bytes(b"")

    def environment(self) -> dict[str, str]:
        """What Airflow and the DAGs read of their home."""
        return {
            "AIRFLOW_HOME": str(self.airflow),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__STEPBRIDGE__STORE": self.store_root,
            "AIRFLOW__STEPBRIDGE__BACKEND": "local",
            "BIOPSY_DATA": str(self.data),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONWARNINGS": "ignore",
        }


@dataclass(frozen=True)
class Run:
    """What one DAG run left behind."""

    dag_id: str
    run_id: str
    day: str
    state: str
    seconds: float
    tasks: Mapping[str, tuple[str, float]]
    xcoms: Xcoms

    @property
    def details(self) -> Mapping[str, Any]:
        """What the step says of itself under its own XCom key."""
        found: Mapping[str, Any] = self.xcoms[STEP, DETAILS]
        return found


@contextmanager
def printing_to(log: Path) -> Iterator[TextIO]:
    """Send standard output and error, child processes' too, to *log*; yield a way to the terminal."""
    sys.stdout.flush()
    saved = os.dup(1), os.dup(2)
    with log.open("ab") as sink, os.fdopen(os.dup(1), "w", buffering=1) as terminal:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            yield terminal
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)


def load_dags() -> Any:
    """The example folder as Airflow loads it, with the database that runs need."""
    sys.path.insert(0, str(DAGS))  # what Airflow's DAG processor does for the bundle's folder
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils import db
    from airflow.utils.session import create_session

    db.initdb()
    bag = DagBag(str(DAGS))
    if bag.import_errors:
        raise Difference("\n".join(f"{path}: {text}" for path, text in bag.import_errors.items()))
    with create_session() as session:
        session.merge(DagBundleModel(name="dags-folder"))
    sync_bag_to_db(bag, "dags-folder", None)
    return bag


def run(bag: Any, dag_id: str, day: datetime) -> Run:
    """One run of *dag_id* for *day*, every task in this process."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    began = time.monotonic()
    dag_run = bag.get_dag(dag_id).test(logical_date=day)
    seconds = time.monotonic() - began
    with create_session() as session:
        rows = session.query(XComModel).filter(XComModel.dag_id == dag_id, XComModel.run_id == dag_run.run_id)
        xcoms = {(row.task_id, row.key): row.value for row in rows if not row.key.startswith("_link_")}
        tasks = {
            ti.task_id: (str(ti.state), (ti.end_date - ti.start_date).total_seconds())
            for ti in dag_run.get_task_instances(session=session)
            if ti.start_date and ti.end_date
        }
    return Run(dag_id, dag_run.run_id, f"{day:%Y-%m-%d}", str(dag_run.state), seconds, tasks, xcoms)


def local_path(where: str) -> Path:
    """The file behind a path or ``file://`` URI."""
    return Path(where.removeprefix("file://"))


def compare(old: Run, moved: Run) -> list[tuple[str, str, str]]:
    """``(task, key, how)`` for every XCom of *old*.

    What the step says of itself is left out; all else counts.

    :raises Difference: where *moved* has another value, lacks one, or has one more.
    """
    before, after = (set(one.xcoms) - {(STEP, DETAILS)} for one in (old, moved))
    extra, lacking = after - before, before - after
    if extra or lacking:
        raise Difference(
            f"XComs differ: only in the moved DAG {sorted(extra)}, only in the old {sorted(lacking)}"
        )
    return [
        (*place, _compare_one(place, old.xcoms[place], moved.xcoms[place], old, moved))
        for place in sorted(before)
    ]


def _compare_one(place: tuple[str, str], before: Any, after: Any, old: Run, moved: Run) -> str:
    if place == (STEP, RESULT):
        digests = [hashlib.sha256(local_path(where).read_bytes()).hexdigest() for where in (before, after)]
        if digests[0] != digests[1]:
            raise Difference(f"{'.'.join(place)}: the file {after} is not what {before} is")
        return f"path -> URI, the same file byte by byte (sha256 {digests[0][:12]})"
    text = json.dumps(before)
    here = text.replace(f"/{old.dag_id}/", f"/{moved.dag_id}/").replace(old.day, moved.day)
    if here != json.dumps(after):
        raise Difference(f"{'.'.join(place)}: old {text}, moved {json.dumps(after)}")
    return "equal" if text == here else "equal but for the run's own folder or date"


def artifacts(home: Home) -> Iterator[tuple[str, Any]]:
    """``(URI, manifest)`` of every artifact in the store."""
    from stepbridge.artifact import MANIFEST, uri_of
    from stepbridge.contract import StoreSettings
    from stepbridge.publishing import read_manifest
    from stepbridge.store.opening import open_store

    store = open_store(StoreSettings(home.store_root))
    for item in store.list("artifacts/"):
        _, _, digest, name = item.key.split("/", 3)
        if name == MANIFEST:
            manifest = read_manifest(store, digest)
            yield uri_of(store.root, manifest), manifest


def check_states(*runs: Run) -> None:
    """
    :raises Difference: where a run or one of its tasks did not succeed.
    """
    for one in runs:
        bad = {task: state for task, (state, _) in one.tasks.items() if state != "success"}
        if one.state != "success" or bad:
            raise Difference(f"{one.dag_id} for {one.day} ended as {one.state}: {bad}")


def show(home: Home, out: TextIO) -> None:
    """The demo itself."""

    def say(text: str = "") -> None:
        print(text, file=out, flush=True)

    say("stepbridge demo: one task of an Airflow DAG becomes a step; all other tasks stay as they are.\n")
    bag = load_dags()
    old = run(bag, OLD, FIRST)
    check_states(old)
    say(f"1. {OLD}, the old pipeline: {len(old.tasks)} tasks, {old.state}, {old.seconds:.1f} s")

    moved = run(bag, MOVED, FIRST)
    check_states(moved)
    say(f"2. {MOVED}, {STEP!r} is now a step: {len(moved.tasks)} tasks, {moved.state}, {moved.seconds:.1f} s")
    say("   what each task left for its readers, old against moved:")
    for task, key, how in compare(old, moved):
        say(f"     {task:<22} {key:<13} {how}")

    again = run(bag, MOVED, SECOND)
    check_states(again)
    compare(moved, again)
    say(f"3. {MOVED} for the next day, upstream data unchanged: {again.state}, {again.seconds:.1f} s")
    for label, one in (("old task", old), ("step, first run", moved), ("step, next day", again)):
        state, seconds = one.tasks[STEP]
        cache = f"cache {one.details['cache']}" if one is not old else "no cache"
        say(f"     {STEP}: {label:<16} {state}  {seconds:5.2f} s  {cache}")
    states = moved.details["cache"], again.details["cache"]
    if states != ("miss", "hit"):
        raise Difference(f"the step's cache states are {states}, not a miss and then a hit")
    if moved.xcoms[STEP, RESULT] != again.xcoms[STEP, RESULT]:
        raise Difference("the cached run handed on another artifact")

    say("\nArtifacts in the store")
    for uri, manifest in artifacts(home):
        maker = manifest.producer
        by = f", from {maker.dag_id}.{maker.task_id}" if maker else ""
        say(f"  {manifest.name}  {manifest.type}, {manifest.size:,} bytes{by}")
        say(f"    sha256 {manifest.content}")
        say(f"    {uri}")
    say("\nWhere it lies")
    for label, folder in (("store", home.store), ("data of the old tasks", home.data), ("log", home.log)):
        say(f"  {label:<22} {folder}")
    command = f"{Path(sys.executable).parent / 'stepbridge'} runs --store '{home.store_root}'"
    say(f"  {'look into it with':<22} {command}")
    say("\nAll downstream tasks got the same values; the second training came from the cache.")


def main() -> int:
    """Run the demo; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, default=CHECKOUT / ".demo", help="where everything is made")
    home = Home(parser.parse_args().home.resolve())
    home.start_afresh()
    os.environ.update(home.environment())
    with printing_to(home.log) as out:
        try:
            show(home, out)
        except Difference as difference:
            print(f"\nFAILED: {difference}\nThe log of all tasks: {home.log}", file=out)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
