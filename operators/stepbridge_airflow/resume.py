"""``python -m stepbridge_airflow.resume DAG RUN``: let Airflow run again what failed in a run, or all of it.

Exit codes: 0 cleared, or shown with ``--dry-run``; 1 no such DAG or run, or nothing to run again; 2 wrong
usage, the run still runs, or the store does not answer.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from stepbridge import documents
from stepbridge.contract import Attempt
from stepbridge.failures import OperatorProblem, StepbridgeError
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store
from stepbridge_airflow import compat, config
from stepbridge_airflow.attempts import now
from stepbridge_airflow.earlier import Resumption, resumption_key

_FAILED = frozenset({"failed", "upstream_failed"})
_AT_WORK = frozenset({"running", "queued", "restarting", "deferred", "up_for_reschedule"})
_RUNNING = frozenset({"running", "queued"})
_LISTED = 5


class NotThere(OperatorProblem):
    """The DAG or the run that was asked for does not exist, or has nothing to run again."""


@dataclass(frozen=True)
class Part:
    """One task instance of the run, and what becomes of it.

    :param state: as Airflow has it now.
    :param again: whether it is cleared.
    :param record: prefix of the attempt whose result it takes where the work is the same; empty for none.
    """

    name: str
    state: str
    again: bool
    record: str = ""

    @property
    def fate(self) -> str:
        """What becomes of it, in words."""
        if not self.again:
            return "stays"
        return (
            f"served from {self.record} where code and inputs are the same" if self.record else "runs again"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Resume one run; the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        parts = resume(arguments.dag_id, arguments.run_id, whole=arguments.all, dry=arguments.dry_run)
    except NotThere as error:
        print(f"stepbridge: {error}", file=sys.stderr)
        return 1
    except StepbridgeError as error:
        print(f"stepbridge: {error}", file=sys.stderr)
        return 2
    width = max(len(part.name) for part in parts)
    for part in parts:
        print(f"  {part.name:<{width}}  {part.state:<15}  {part.fate}")
    count = sum(part.again for part in parts)
    did = "would be cleared" if arguments.dry_run else "cleared; Airflow's scheduler goes on with the run"
    print(f"{count} of {len(parts)} task instances {did}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stepbridge resume", description="Run again what failed in a run; what succeeded stays."
    )
    parser.add_argument("dag_id", metavar="DAG")
    parser.add_argument("run_id", metavar="RUN")
    parser.add_argument(
        "--all",
        action="store_true",
        help="clear the whole run; steps take what they gave before where code and inputs are the same",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would become of each task")
    return parser


def resume(dag_id: str, run_id: str, *, whole: bool = False, dry: bool = False) -> tuple[Part, ...]:
    """Clear what failed in the run, with what failed or was skipped behind it, or all of it.

    :param whole: clear all of it; steps are then served from the run's own record.
    :param dry: change nothing.
    :returns: every task instance of the run, by name.
    :raises NotThere: where there is no such run, or nothing in it to run again.
    :raises StepbridgeError: SB605 where the run still runs; SB3xx where the store does not answer.
    """
    with compat.session() as session:
        run = _run(dag_id, run_id, session)
        instances = sorted(run.get_task_instances(session=session), key=lambda ti: (ti.task_id, ti.map_index))
        _check_ended(run, instances)
        chosen = _whole(instances) if whole else _failed(dag_id, instances, session)
        if not chosen:
            hint = (
                "nothing failed; --all runs all of it again" if not whole else "the run has no task instances"
            )
            raise NotThere("SB502", "nothing is to be run again", place=f"{dag_id} {run_id}", hint=hint)
        store = open_store(config.read().store)
        recorded = _recorded(store, dag_id, run_id) if whole else {}
        parts = tuple(
            Part(
                _name(ti),
                _state(ti) or "none",
                ti in chosen,
                recorded.get((ti.task_id, ti.map_index), "") if ti in chosen else "",
            )
            for ti in instances
        )
        if not dry:
            mark = Resumption(now(), _login(), whole)
            tags = {"stepbridge:class": "resume", "stepbridge:dag": dag_id}
            store.put(resumption_key(dag_id, run_id), documents.dump(mark), tags=tags)
            compat.clear(chosen, session=session)
        return parts


def _run(dag_id: str, run_id: str, session: Any) -> Any:
    runs = compat.dag_runs(dag_id, session=session)
    found = next((run for run in runs if run.run_id == run_id), None)
    if found is not None:
        return found
    if not runs:
        raise NotThere(
            "SB502",
            f"Airflow knows no run of DAG {dag_id!r}",
            place=dag_id,
            hint="`airflow dags list` shows the DAGs; ask with the settings that the scheduler has",
        )
    newest = ", ".join(run.run_id for run in runs[:_LISTED])
    raise NotThere(
        "SB502", f"DAG {dag_id!r} has no run {run_id!r}", place=run_id, hint=f"its newest runs: {newest}"
    )


def _check_ended(run: Any, instances: Sequence[Any]) -> None:
    working = [_name(ti) for ti in instances if _state(ti) in _AT_WORK]
    state = str(getattr(run.state, "value", run.state))
    if state in _RUNNING or working:
        what = ", ".join(working[:_LISTED]) or "no task of it is at work now"
        raise OperatorProblem(
            "SB605",
            f"the run still runs: {what}",
            place=f"{run.dag_id} {run.run_id}",
            hint="wait for its end, or mark it failed in Airflow, then resume it",
        )


def _whole(instances: Sequence[Any]) -> list[Any]:
    return [ti for ti in instances if _state(ti) != "removed"]


def _failed(dag_id: str, instances: Sequence[Any], session: Any) -> list[Any]:
    """What failed, and what did not run because of it: skipped, or never reached."""
    failed = {ti.task_id for ti in instances if _state(ti) in _FAILED}
    behind = compat.downstream_of(dag_id, failed, session=session) if failed else frozenset()
    return [
        ti
        for ti in instances
        if _state(ti) in _FAILED or (ti.task_id in behind and _state(ti) in {"skipped", ""})
    ]


def _recorded(store: Store, dag_id: str, run_id: str) -> dict[tuple[str, int], str]:
    """Prefix of the newest attempt with a result of its own, by task and map index."""
    names: dict[Attempt, set[str]] = {}
    lead = "/".join(Attempt(dag_id, run_id, "").prefix.split("/")[:3]) + "/"
    for info in store.list(lead):
        folder, _, name = info.key.rpartition("/")
        if name in {"request.json", "result.json"}:
            names.setdefault(Attempt.of_uri(f"/{folder}/request.json"), set()).add(name)
    ran: Collection[Attempt] = [attempt for attempt, found in names.items() if len(found) == 2]
    ordered = sorted(ran, key=lambda attempt: attempt.try_number)
    return {(attempt.task_id, attempt.map_index): attempt.prefix for attempt in ordered}


def _state(ti: Any) -> str:
    return str(getattr(ti.state, "value", ti.state) or "")


def _name(ti: Any) -> str:
    return str(ti.task_id) if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return ""


if __name__ == "__main__":
    sys.exit(main())
