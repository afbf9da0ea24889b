"""The ``stepbridge`` command: look into a store and its cache, check the store, print a step's pod.

Exit codes: 0 done, 1 a check failed or the thing asked for is not there, 2 usage or internal error.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stepbridge import __version__, artifact, documents
from stepbridge.commands import airflow_side, cache, compare
from stepbridge.commands.options import add_format, add_store, open_root
from stepbridge.contract import Attempt, Value
from stepbridge.failures import CacheProblem, StepbridgeError
from stepbridge.store.base import Store

_ATTEMPT = re.compile(r"runs/[^/]+/[^/]+/[^/]+/-?\d+/\d+/")
_NOT_THERE = frozenset({"SB302", "SB306", "SB602", "SB604"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except StepbridgeError as error:
        print(f"stepbridge: {error}", file=sys.stderr)
        return getattr(arguments, "missing", 1) if error.code.id in _NOT_THERE else 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stepbridge", description="Look into a stepbridge store.")
    parser.add_argument("--version", action="version", version=f"stepbridge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="check that the store can be used")
    add_store(doctor)
    doctor.set_defaults(command=_doctor)

    show = commands.add_parser("show", help="the manifest of an artifact")
    show.add_argument("uri", help="the artifact's URI, as in XCom")
    add_format(show)
    show.set_defaults(command=_show)

    runs = commands.add_parser("runs", help="the attempts in the store")
    runs.add_argument("dag_id", nargs="?", default="")
    runs.add_argument("run_id", nargs="?", default="")
    add_store(runs)
    add_format(runs)
    runs.set_defaults(command=_runs)

    log = commands.add_parser("log", help="the log of one attempt")
    log.add_argument("attempt", help="its prefix as `runs` prints it: runs/DAG/RUN/TASK/MAP_INDEX/TRY/")
    add_store(log)
    log.set_defaults(command=_log)

    pod = commands.add_parser("pod", help="what runs on the cluster").add_subparsers(
        required=True, metavar="COMMAND"
    )
    render = pod.add_parser("render", help="print the pod that a step would get; needs Airflow, no cluster")
    render.add_argument("task", metavar="DAG.TASK", help="the DAG's id, a dot and the task's id")
    render.add_argument("--dags", default="", help="a DAG file or folder; default: Airflow's dags_folder")
    render.add_argument("--map-index", type=int, default=None, help="which of the mapped tasks")
    render.add_argument("--format", choices=("yaml", "json"), default="yaml")
    airflow_side.add_python(render)
    render.set_defaults(command=_render)
    cache.add(commands)
    compare.add(commands)
    airflow_side.add_resume(commands)
    return parser


def _render(arguments: argparse.Namespace) -> int:
    given = [arguments.task, "--format", arguments.format]
    if arguments.dags:
        given += ["--dags", arguments.dags]
    if arguments.map_index is not None:
        given += ["--map-index", str(arguments.map_index)]
    return airflow_side.run(arguments.airflow_python, "stepbridge_airflow.render", given, what="render a pod")


@dataclass(frozen=True)
class _Check:
    name: str
    good: bool
    detail: str = ""


def _checks(store: Store) -> Iterator[_Check]:
    from stepbridge.store.probe import probe_conditional_writes

    key = f"doctor/{os.urandom(8).hex()}"
    try:
        store.put(key, b"stepbridge")
        yield _Check("write", True)
        yield _Check("read", store.get(key) == b"stepbridge")
        yield _Check("list", [info.key for info in store.list(key)] == [key])
        store.delete(key)
        yield _Check("delete", store.head(key) is None)
        yield _Check(
            "conditional write",
            probe_conditional_writes(store),
            "several writers raced for one key; exactly one must win",
        )
    except StepbridgeError as error:
        yield _Check("access", False, str(error))


def _doctor(arguments: argparse.Namespace) -> int:
    store = open_root(arguments.store)
    print(store.root)
    bad = 0
    for check in _checks(store):
        bad += not check.good
        print(f"  ok    {check.name}" if check.good else f"  FAIL  {check.name}  {check.detail}")
    return 1 if bad else 0


def _show(arguments: argparse.Namespace) -> int:
    from stepbridge import publishing

    found = artifact.parse_uri(arguments.uri)
    if found is None:
        raise StepbridgeError(
            "SB301",
            "the URI is not an artifact's",
            place=arguments.uri,
            hint="give one as XCom and `stepbridge runs` have it: .../artifacts/XX/DIGEST/NAME",
        )
    store = open_root(found[0])
    manifest = publishing.read_manifest(store, found[1])
    if arguments.format == "json":
        print(json.dumps(documents.to_json(manifest), indent=1, sort_keys=True))
        return 0
    print(f"{artifact.uri_of(store.root, manifest)}")
    print(f"  type     {manifest.type} ({manifest.format})")
    print(f"  size     {manifest.size} bytes in {len(manifest.files)} file(s)")
    print(f"  content  sha256 {manifest.content}")
    print(f"  created  {manifest.created}")
    if manifest.producer is not None:
        made = manifest.producer
        print(f"  by       {made.dag_id}.{made.task_id} {made.run_id} try {made.try_number}")
    for name, value in manifest.summary.items():
        print(f"  {name:<8} {json.dumps(value)}")
    missing = publishing.missing(store, artifact.reference(store.root, manifest))
    print(f"  state    {missing or 'complete'}")
    return 1 if missing else 0


@dataclass(frozen=True)
class _Run:
    prefix: str
    state: str
    cache: str
    output: tuple[str, ...]
    finished: str


def _attempts(store: Store, dag_id: str, run_id: str) -> Iterator[_Run]:
    from stepbridge.backends.base import outcome
    from stepbridge.contract import Result

    parts = Attempt(dag_id, run_id, "").prefix.split("/")
    lead = "/".join(parts[: 1 + bool(dag_id) + bool(run_id)]) + "/"
    seen: dict[str, set[str]] = {}
    for info in store.list(lead):
        head, _, name = info.key.rpartition("/")
        if name in {"request.json", "result.json", "error.json"}:
            seen.setdefault(head + "/", set()).add(name)
    for prefix in sorted(seen):
        end = outcome(store, Attempt.of_uri(store.uri(prefix + "request.json")))
        if isinstance(end, Result):
            yield _Run(prefix, "success", end.cache, tuple(_uris(end.output)), end.finished)
        elif end is not None:
            yield _Run(
                prefix,
                f"{end.kind}: {end.message.splitlines()[0] if end.message else end.type}",
                "",
                (),
                end.finished,
            )
        else:
            yield _Run(prefix, "no outcome", "", (), "")


def _uris(value: Value) -> Iterator[str]:
    from stepbridge.contract import Stored
    from stepbridge.values import stored

    for leaf in stored(value):
        yield leaf.artifact.uri if isinstance(leaf, Stored) else leaf.uri


def _runs(arguments: argparse.Namespace) -> int:
    store = open_root(arguments.store)
    found = list(_attempts(store, arguments.dag_id, arguments.run_id))
    if not found:
        _say_no_runs(store, arguments.dag_id, arguments.run_id)
    if arguments.format == "json":
        print(json.dumps([documents.to_json(run) for run in found], indent=1))
    for run in found if arguments.format == "text" else ():
        print(f"{run.prefix}  {run.state}{'  cache ' + run.cache if run.cache else ''}  {run.finished}")
        for uri in run.output:
            print(f"    {uri}")
    return 0 if found else 1


def _say_no_runs(store: Store, dag_id: str, run_id: str) -> None:
    asked = f" of run {run_id!r}" if run_id else ""
    asked += f" of DAG {dag_id!r}" if dag_id else ""
    what_next = "`stepbridge runs` lists what there is" if dag_id else "--store names another store"
    print(f"stepbridge: {store.root} has no attempt{asked}. Next: {what_next}", file=sys.stderr)


def _log(arguments: argparse.Namespace) -> int:
    from stepbridge.runner.logs import read_log

    store = open_root(arguments.store)
    prefix = arguments.attempt.rstrip("/") + "/"
    if _ATTEMPT.fullmatch(prefix) is None or next(iter(store.list(prefix)), None) is None:
        raise CacheProblem(
            "SB602",
            f"{store.root} has no attempt with this prefix",
            place=arguments.attempt,
            hint="`stepbridge runs DAG` prints the prefixes: runs/DAG/RUN/TASK/MAP_INDEX/TRY/",
        )
    for part in read_log(store, prefix):
        sys.stdout.buffer.write(part)
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
