"""``python -m stepbridge_airflow.render DAG.TASK``: the pod that a step would get, without a cluster.

Exit codes: 0 printed; 1 no such DAG or task, or the task is no step; 2 wrong usage, or no pod can be made.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from stepbridge.failures import OperatorProblem, StepbridgeError
from stepbridge_airflow import pod_spec
from stepbridge_airflow.compat import KNOWN_CONTEXT_KEYS, DecoratedOperator, MappedOperator, conf
from stepbridge_airflow.mixin import StepMixin
from stepbridge_airflow.pod_models import Models

_EMPTY = frozenset({"affinity", "annotations", "labels", "nodeSelector", "resources", "securityContext"})


class NotThere(OperatorProblem):
    """The DAG, the task or the step that was asked for does not exist."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print one pod; the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        with _only_ours() as out:
            task = find(arguments.task, arguments.dags)
            operator = unmapped(task, arguments.map_index)
            pod, notes = rendered(operator)
            _write(out, arguments.task, pod, notes, form=arguments.format)
    except NotThere as error:
        print(f"stepbridge: {error}", file=sys.stderr)
        return 1
    except StepbridgeError as error:
        print(f"stepbridge: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stepbridge pod render", description="Print the pod that a step would get."
    )
    parser.add_argument("task", metavar="DAG.TASK", help="the DAG's id, a dot and the task's id")
    parser.add_argument("--dags", default="", help="a DAG file or folder; default: Airflow's dags_folder")
    parser.add_argument("--map-index", type=int, default=None, help="which of the mapped tasks")
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml")
    return parser


def find(name: str, dags: str = "") -> Any:
    """The task *name*, ``DAG.TASK``, from the DAG files in *dags*.

    Both ids may have dots: the longest DAG id that fits is taken.

    :raises NotThere: where there is no such DAG or task.
    """
    place = Path(dags or conf.get("core", "dags_folder"))
    if not place.exists():
        raise NotThere("SB502", f"{place} is not there", place="--dags", hint="name a DAG file or a folder")
    bag = _bag(place)
    parts = name.split(".")
    for n in range(len(parts) - 1, 0, -1):
        dag = bag.dags.get(".".join(parts[:n]))
        task_id = ".".join(parts[n:])
        if dag is not None and task_id in dag.task_dict:
            return dag.task_dict[task_id]
    raise _missing(name, bag, place)


def _missing(name: str, bag: Any, place: Path) -> NotThere:
    parts = name.split(".")
    dags = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    found = next((bag.dags[one] for one in dags if one in bag.dags), None)
    if found is not None:
        known = ", ".join(sorted(found.task_dict)) or "none"
        return NotThere(
            "SB502", f"DAG {found.dag_id!r} has no such task", place=name, hint=f"its tasks: {known}"
        )
    errors = bag.import_errors.items()
    broken = "".join(f"; {file}: {str(text).strip().splitlines()[-1]}" for file, text in errors)
    known = ", ".join(sorted(bag.dags)) or "none"
    return NotThere(
        "SB502",
        f"no DAG of that name in {place}{'; files with errors' + broken if broken else ''}",
        place=name,
        hint=f"write DAG.TASK; the DAGs there: {known}",
    )


def _bag(place: Path) -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag
    asked = {"include_examples": False, "read_dags_from_db": False}
    known = inspect.signature(DagBag).parameters
    return DagBag(str(place), **{name: value for name, value in asked.items() if name in known})


def unmapped(task: Any, map_index: int | None = None) -> Any:
    """The step operator of *task*, mapped or not.

    Of a mapped task the one of *map_index* where the DAG file itself says what is mapped over, else what all
    of them share.

    :raises NotThere: where the task is no step.
    :raises OperatorProblem: SB502 for a map index that does not exist before a run.
    """
    mapped = isinstance(task, MappedOperator)
    kind = task.operator_class if mapped else type(task)
    if not (isinstance(kind, type) and issubclass(kind, StepMixin)):
        raise NotThere(
            "SB502",
            f"the task is a {getattr(kind, '__name__', kind)} and no step",
            place=f"{task.dag_id}.{task.task_id}",
            hint="name a task made with StepOperator, EksStepOperator or @step",
        )
    if not mapped:
        if map_index is not None:
            raise _no_index(task, map_index, "the task is not mapped")
        return task
    literal = _literal(task._get_specified_expand_input().value)
    if map_index is not None:
        if literal is None:
            raise _no_index(task, map_index, "what it is mapped over is known in a run only")
        if not 0 <= map_index < len(literal):
            raise _no_index(task, map_index, f"it is mapped {len(literal)} times")
    chosen = literal[map_index or 0] if literal else _unknown(task)
    return task.unmap({"op_kwargs": chosen} if issubclass(kind, DecoratedOperator) else chosen)


def _unknown(task: Any) -> dict[str, Any]:
    """Stand-ins for the function's arguments that a run will give; what else is mapped over stays unsaid."""
    given = task.partial_kwargs
    if not issubclass(task.operator_class, DecoratedOperator):
        return {} if given.get("op_kwargs") else {"op_kwargs": "<op_kwargs of the run>"}
    named = inspect.signature(task.python_callable).parameters.values()
    return {
        one.name: f"<{one.name} of the run>"
        for one in named
        if one.default is one.empty
        and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        and one.name not in given.get("op_kwargs", {})
        and one.name not in KNOWN_CONTEXT_KEYS
    }


def _no_index(task: Any, map_index: int, why: str) -> OperatorProblem:
    return OperatorProblem(
        "SB502",
        f"there is no map index {map_index}: {why}",
        place=f"{task.dag_id}.{task.task_id}",
        hint="leave --map-index out",
    )


def _literal(value: Any) -> list[dict[str, Any]] | None:
    """The keyword arguments of every mapped task, in Airflow's order, or None where a run must tell."""
    if isinstance(value, Mapping):
        found: list[dict[str, Any]] = [{}]
        for name, over in value.items():
            if isinstance(over, Mapping):
                items: list[Any] = list(over.items())
            elif isinstance(over, list | tuple):
                items = list(over)
            else:
                return None
            found = [{**one, name: item} for one in found for item in items]
        return found
    if isinstance(value, list | tuple) and all(isinstance(one, Mapping) for one in value):
        return [dict(one) for one in value]
    return None


def rendered(operator: Any) -> tuple[Any, tuple[str, ...]]:
    """The ``V1Pod`` of a step with placeholders for what only a run knows, and what had to be decided.

    Runs KubernetesPodOperator's own code and the cluster policy's ``pod_mutation_hook``; asks no cluster.

    :raises StepbridgeError: where the pod cannot be made.
    """
    parts = operator.step_parts()
    shaped = pod_spec.shaped(operator, parts)
    shaped.hook = _NoCluster()
    shaped.random_name_suffix = False
    build = super(StepMixin, shaped).build_pod_request_obj
    known = inspect.signature(build).parameters
    pod = build(None, dry_run=True) if "dry_run" in known else build(None)
    pod.metadata.labels.pop("airflow_kpo_in_cluster", None)
    notes = [*pod_spec.notes(operator, parts)]
    if operator.random_name_suffix:
        notes.append("metadata.name: the pod of a run has a random suffix")
    notes.append("metadata.labels: the pod of a run has Airflow's labels dag_id, task_id, run_id, try_number")
    return pod, tuple(notes)


@dataclass(frozen=True)
class _NoCluster:
    """Stands for the hook of an operator: KubernetesPodOperator asks it two things while it builds a pod."""

    is_in_cluster: bool = False

    def get_namespace(self) -> None:
        """No namespace: the operator's own, or ``default``."""


@contextlib.contextmanager
def _only_ours() -> Iterator[TextIO]:
    """Standard output for us alone: what DAG files and Airflow print goes to standard error."""
    sys.stdout.flush()
    ours = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr), os.fdopen(os.dup(ours), "w", encoding="utf-8") as out:
            yield out
    finally:
        os.dup2(ours, 1)
        os.close(ours)


def _write(out: TextIO, name: str, pod: Any, notes: Sequence[str], *, form: str) -> None:
    described = _without_empty(Models().plain(pod, name))
    if form == "json":
        json.dump(described, out, indent=2, sort_keys=True)
        out.write("\n")
        for note in notes:
            print(f"# {note}", file=sys.stderr)
        return
    import yaml  # type: ignore[import-untyped]

    out.write(f"# The pod of {name}. <...> stands for what only a run knows.\n")
    for note in notes:
        out.write(f"# {note}\n")
    yaml.safe_dump(described, out, sort_keys=True, allow_unicode=True, width=110)


def _without_empty(value: Any) -> Any:
    """*value* without what KubernetesPodOperator left empty; an empty ``emptyDir`` says something."""
    if isinstance(value, list):
        return [_without_empty(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_empty(one)
        for key, one in value.items()
        if one != [] and not (one == {} and key in _EMPTY)
    }


if __name__ == "__main__":
    sys.exit(main())
