"""One attempt from its request to its result: fetch, check, run, publish, report."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from stepbridge import documents, publishing
from stepbridge.artifact import Artifact, Draft, Producer
from stepbridge.contract import (
    Attempt,
    CacheEntry,
    CacheTarget,
    ErrorDocument,
    Request,
    Result,
    StoreSettings,
    Value,
)
from stepbridge.failures import ObjectExists, RunProblem, StoreProblem
from stepbridge.leaves import published
from stepbridge.runner import inputs, linux, preflight, processes, report
from stepbridge.runner.aside import aside
from stepbridge.runner.logs import Pump, Shipper, say
from stepbridge.runner.processes import Ended, Signals
from stepbridge.runner.redact import Redactor, values_of_environment
from stepbridge.runner.secret_values import SecretFiles, fetch, given, placed
from stepbridge.runner.usage import MemoryWatch, Meter
from stepbridge.runner.workspace import Inputs, Outcome, Workspace, write
from stepbridge.store import opening
from stepbridge.store.base import Store

T = TypeVar("T")
_SHIP_PATIENCE = 20.0
_PIPE_PATIENCE = 5.0


@dataclass(frozen=True)
class Call:
    """What the runner was started with.

    :param settings: how to reach the store before the request says it; None: by the URI and the environment.
    """

    uri: str
    digest: str
    settings: StoreSettings | None = None


class Run:
    """One attempt; :meth:`execute` is its life.

    :param signals: installed already.
    """

    def __init__(self, call: Call, signals: Signals) -> None:
        self._call = call
        self._signals = signals
        self._started = _now()
        self._work = Workspace(Path(tempfile.mkdtemp(prefix="stepbridge-", dir=_base_directory())))
        self._store: Store | None = None
        self._attempt: Attempt | None = None
        self._meter = Meter()
        self._pump: Pump | None = None
        self._shipper: Shipper | None = None
        self._known = (*values_of_environment(os.environ), *placed(os.environ))
        self._redactor = Redactor(self._known)
        self._files = SecretFiles()

    def execute(self) -> int:
        """Run the attempt; the exit status. Nothing of it is left on this machine."""
        try:
            try:
                self._succeed()
            except BaseException as error:  # noqa: BLE001 - whatever ends an attempt is reported as its error
                return self._fail(error)
            return 0
        finally:
            processes.kill_descendants(os.getpid(), reap=True)
            self._files.clear()
            shutil.rmtree(self._work.root, ignore_errors=True)

    def _succeed(self) -> None:
        with self._meter.phase("fetch"):
            store, request = self._open()
        with self._beating(store, request):
            self._carry_out(store, request)
        if self._shipper is not None:
            self._shipper.clear()

    def _carry_out(self, store: Store, request: Request) -> None:
        revealed = self._reveal(request)
        environment = {**os.environ, **request.environment}
        with self._meter.phase("preflight"):
            self._aside(lambda: preflight.check_gpus(request.gpus, environment))
        with self._meter.phase("fetch"):
            write(self._work.index, self._aside(lambda: self._fetch(store, request)))
        with self._meter.phase("run"):
            outcome = self._run(store, request, {**environment, **revealed})
        with self._meter.phase("publish"):
            output, xcoms = self._aside(lambda: _publish(store, request.attempt, outcome))
        self._aside(self._finish_log)
        self._aside(lambda: self._put_usage(store, request.attempt))
        self._signals.check()
        self._commit(store, request, output, xcoms)

    def _aside(self, call: Callable[[], T]) -> T:
        return aside(call, self._signals)

    def _open(self) -> tuple[Store, Request]:
        self._attempt = Attempt.of_uri(self._call.uri)
        key = self._attempt.request_key
        root = self._call.uri.removesuffix("/" + key)
        settings = self._call.settings or StoreSettings(root)
        first = opening.open_store(dataclasses.replace(settings, root=root))
        self._store = first
        data = self._aside(lambda: first.get(key))
        found = hashlib.sha256(data).hexdigest()
        if found != self._call.digest:
            raise RunProblem(
                "SB401",
                f"the request's sha256 is {found}, the one that was promised is {self._call.digest}",
                place=self._call.uri,
                hint="see who else can write to the store, then clear the task",
            )
        request = documents.load(Request, data, place=self._call.uri)
        if request.attempt != self._attempt:
            raise RunProblem(
                "SB401",
                f"the request is for {request.attempt.prefix}, not for where it lies",
                place=self._call.uri,
                hint="clear the task: the operator writes a new request",
            )
        self._work.create()
        self._work.request.write_bytes(data)
        if request.store == first.settings:
            return first, request
        self._store = opening.open_store(request.store)
        return self._store, request

    @contextlib.contextmanager
    def _beating(self, store: Store, request: Request) -> Iterator[None]:
        """Keep the lease of the request's key, where there is one, until the result is committed."""
        if request.cache is None or not request.lease:
            yield
            return
        from stepbridge.cache.lease import TTL, Heart, Lease

        lease = Lease(store, request.cache, request.attempt.prefix, nonce=request.lease)
        heart = Heart(lease, TTL / 3, at_once=True)
        heart.start()
        try:
            yield
        finally:
            heart.stop()

    def _reveal(self, request: Request) -> dict[str, str]:
        """Bring the step's secrets; the variables that hold some of them. From here on none is shown."""
        if not request.secrets:
            return {}
        with self._meter.phase("secrets"):
            there = given(request.secrets, os.environ)
            fetched = self._aside(lambda: fetch(request.secrets, request.store))
            known = [_text(data) for data in (*there.values(), *fetched.values())]
            self._redactor = Redactor([*self._known, *known])
            for secret, data in fetched.items():
                if secret.file:
                    self._files.write(secret, data)
        return {secret.env: data.decode() for secret, data in fetched.items() if secret.env}

    def _fetch(self, store: Store, request: Request) -> Inputs:
        inputs.fetch_code(store, request, self._work)
        return inputs.fetch_inputs(store, request, self._work)

    def _run(self, store: Store, request: Request, environment: Mapping[str, str]) -> Outcome:
        read_end, write_end = os.pipe()
        prefix = request.attempt.prefix
        where = store.uri(prefix + "log.txt")
        self._pump = Pump(read_end, self._work.log, where, self._redactor)
        self._shipper = Shipper(store, prefix, self._pump, self._work.log)
        linux.adopt_orphans()
        self._meter.start(request.gpus)
        memory = MemoryWatch()
        command = [sys.executable, "-P", "-m", "stepbridge.runner.child", str(self._work.root)]
        try:
            child = processes.start(command, _child_environment(environment), self._work.scratch, write_end)
        finally:
            os.close(write_end)
        self._pump.start()
        self._shipper.start()
        watch = processes.Watch(
            child,
            self._signals,
            outcome=self._work.outcome,
            timeout=request.limits.timeout,
            grace=request.limits.grace,
            sample=self._meter.sample,
        )
        ended = watch.run()
        self._meter.stop()
        processes.kill_descendants(os.getpid(), reap=True)
        self._pump.finish(_PIPE_PATIENCE)
        outcome = self._outcome(ended, memory, request.limits.timeout)
        self._signals.check()
        return outcome

    def _outcome(self, ended: Ended, memory: MemoryWatch, timeout: float | None) -> Outcome:
        place = str(self._work.outcome)
        if ended.cause not in {"timeout", "interrupted"} and self._work.outcome.exists():
            outcome = documents.load(Outcome, self._work.outcome.read_bytes(), place=place)
        else:
            outcome = Outcome(failure=report.death_of(ended, memory, timeout))
        if outcome.failure is not None:
            raise report.StepFailed(outcome.failure)
        if outcome.output is None:
            raise RunProblem("SB409", "the step's process reported neither result nor error", place=place)
        return outcome

    def _commit(self, store: Store, request: Request, output: Value, xcoms: Mapping[str, Value]) -> None:
        target = request.cache
        result = Result(
            attempt=request.attempt,
            output=output,
            xcoms=xcoms,
            cache="off" if target is None else "miss",
            key="" if target is None else target.key,
            started=self._started,
            finished=_now(),
            request_digest=self._call.digest,
        )
        key = request.attempt.prefix + "result.json"
        try:
            store.put(key, documents.dump(result), create=True)
        except ObjectExists:
            self._check_result(store, key)
            return
        if target is not None:
            entry = CacheEntry(
                step=target.step,
                key=target.key,
                output=output,
                xcoms=xcoms,
                record=target.record,
                source=request.attempt.prefix,
                created=_now(),
                nonce=secrets.token_hex(16),
                seconds=self._meter.seconds("run"),
            )
            _put_entry(store, target, entry)

    def _check_result(self, store: Store, key: str) -> None:
        """Another runner of this attempt was first: its result stands if it did the same work."""
        place = store.uri(key)
        there = documents.read(Result, store, key)
        if there.request_digest != self._call.digest:
            raise StoreProblem(
                "SB303",
                "another run has written a result for this attempt from another request",
                place=place,
                hint="clear the task, so that it gets a new attempt",
            )
        say("another runner of this attempt was first, with the same request: its result stands")

    def _finish_log(self) -> None:
        if self._shipper is not None:
            self._shipper.finish(_SHIP_PATIENCE)

    def _put_usage(self, store: Store, attempt: Attempt) -> None:
        try:
            store.put(attempt.prefix + "usage.json", documents.dump(self._meter.usage()))
        except StoreProblem as problem:
            say(f"usage.json could not be written: {problem}")

    def _fail(self, error: BaseException) -> int:
        failure = report.shown(report.failure_of(error), self._redactor)
        attempt = self._attempt or Attempt("", "", "")
        document = ErrorDocument(
            attempt=attempt,
            kind=failure.kind,
            type=failure.type,
            message=failure.message,
            code=failure.code,
            traceback=failure.traceback,
            retryable=failure.retryable,
            signal=failure.signal,
            exit_status=failure.exit_status,
            started=self._started,
            finished=_now(),
        )
        key = attempt.prefix + "error.json"
        report.tell_kubelet(document, self._store.uri(key) if self._store else "")
        say(
            f"the step asked to be skipped: {failure.message}"
            if failure.signal == "skip"
            else f"{failure.kind} {failure.code} {failure.type}: {failure.message}"
        )
        if self._store is not None and self._attempt is not None:
            _put_error(self._store, key, document)
            self._finish_log()
            self._put_usage(self._store, attempt)
        if self._shipper is not None:
            self._shipper.clear()
        return report.exit_code(failure)


def _put_error(store: Store, key: str, document: ErrorDocument) -> None:
    try:
        store.put(key, documents.dump(document))
    except StoreProblem as problem:
        say(f"error.json could not be written: {problem}")


def _put_entry(store: Store, target: CacheTarget, entry: CacheEntry) -> None:
    data = documents.dump(entry)
    try:
        store.put(target.path, data, create=True)
    except ObjectExists:
        say("the cache has an entry for this key already; it stays")
    except StoreProblem as problem:
        say(f"the result was not cached: {problem}")
        return
    try:
        store.put(target.latest_path, data)
    except StoreProblem as problem:
        say(f"the next miss of this step will not say what changed: {problem}")


def _publish(store: Store, attempt: Attempt, outcome: Outcome) -> tuple[Value, dict[str, Value]]:
    """Commit what the child encoded; its values with references in place of drafts."""
    values = [value for value in (outcome.output, *outcome.xcoms.values()) if value is not None]
    producer = Producer(
        attempt.dag_id, attempt.task_id, attempt.run_id, attempt.map_index, attempt.try_number
    )
    tags = {"stepbridge:class": "artifacts", "stepbridge:dag": attempt.dag_id}

    def publish_all(drafts: tuple[Draft, ...]) -> tuple[Artifact, ...]:
        return publishing.publish_all(store, drafts, producer=producer, tags=tags)

    done = published(values, publish_all)
    return done[0], dict(zip(outcome.xcoms, done[1:], strict=True))


def _text(data: bytes) -> str:
    """A secret's text; of what is no text nothing can be shown."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _base_directory() -> str | None:
    return os.environ.get("STEPBRIDGE_WORKDIR") or None


def _child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    from stepbridge.backends.base import python_path

    return {
        **environment,
        "PYTHONPATH": python_path(environment.get("PYTHONPATH", "")),
        "STEPBRIDGE_PARENT": str(os.getpid()),
    }
