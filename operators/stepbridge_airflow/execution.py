"""One task instance from its context to its XComs: plan, look up, run, read the result."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stepbridge import documents
from stepbridge.artifact import Artifact, Draft, Producer
from stepbridge.backends import base as backends
from stepbridge.cache.lookup import Hit, Miss, look_up
from stepbridge.contract import (
    Attempt,
    CacheEntry,
    CacheTarget,
    ErrorDocument,
    Limits,
    Request,
    Result,
    Value,
)
from stepbridge.failures import ObjectExists, OperatorProblem, RunProblem, StoreProblem
from stepbridge.leaves import published
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store, store_at
from stepbridge_airflow import config, inputs, options, outcomes, xcom
from stepbridge_airflow.links import DETAILS
from stepbridge_airflow.planning import Plan, Planner


@dataclass(frozen=True)
class Finished:
    """What a task instance gives: its value and what is pushed beside it."""

    value: Any
    pushed: Mapping[str, Any]


@dataclass(frozen=True)
class InputsRecord:
    """``inputs.json``: the arguments by name and the fields of the cache key, for people and ``explain``."""

    step: str
    args: tuple[Value, ...]
    kwargs: Mapping[str, Value]
    key: Mapping[str, Any] = field(default_factory=dict)


class Execution:
    """One task instance at work.

    :param operator: the step operator.
    :param context: Airflow's context.
    """

    def __init__(self, operator: Any, context: Mapping[str, Any]) -> None:
        self._operator = operator
        self._context = context
        self._step: options.StepOptions = operator.step
        self._log = operator.log
        self._started = time.monotonic()
        self._backend: backends.Backend | None = None
        self._cancelled = False
        self._settings: config.Settings
        self._store: Store
        self._attempt = attempt_of(operator, context)
        self.record_uri = ""

    def cancel(self) -> None:
        """End what runs; safe from a signal handler."""
        self._cancelled = True
        if self._backend is not None:
            self._backend.cancel()

    def run(self) -> Finished:
        """Take an equal run's result, or run the step.

        :raises StepbridgeError: where the run could not be prepared or its result not be read.
        :raises AirflowException: where the step failed; see :mod:`stepbridge_airflow.outcomes`.
        """
        self._settings = config.read(store=self._step.store)
        options.check_backend(self._step.backend or self._settings.backend, place=self._place)
        self._store = open_store(self._settings.store)
        self.record_uri = self._store.uri(self._attempt.prefix.rstrip("/")) + "/"
        with tempfile.TemporaryDirectory(prefix="stepbridge-inputs-") as folder:
            encoder = inputs.Encoder(Path(folder), self._settings.store, self._settings.inline_limit)
            plan = Planner(self._operator, self._context, self._settings, encoder).plan()
            target = None
            reason = ""
            dead = self._step.cache == "refresh"
            if plan.key is not None:
                target = CacheTarget(plan.step, plan.key.digest, plan.key.record)
            if target is not None and not dead:
                found = look_up(self._store, target, max_age=self._step.max_age)
                if isinstance(found, Hit):
                    return self._from_hit(plan, found.entry)
                reason, dead = found.reason, found.dead
                self._say_miss(target, found)
            return self._from_run(plan, target, reason, replace_entry=dead)

    @property
    def _place(self) -> str:
        return f"task {self._operator.task_id!r}"

    def _say_miss(self, target: CacheTarget, miss: Miss) -> None:
        self._log.info("cache miss for key %s: %s", target.key[:12], miss.reason)

    # hit ---------------------------------------------------------------------------------------------

    def _from_hit(self, plan: Plan, entry: CacheEntry) -> Finished:
        self._log.info(
            "cache hit for key %s: the result of %s stands, which took %.1f s",
            entry.key[:12],
            entry.source,
            entry.seconds,
        )
        now = _now()
        result = Result(
            attempt=self._attempt,
            output=entry.output,
            xcoms=entry.xcoms,
            cache="hit",
            key=entry.key,
            source=entry.source,
            started=now,
            finished=now,
        )
        try:
            self._store.put(self._attempt.prefix + "result.json", documents.dump(result))
        except StoreProblem as problem:
            self._log.warning("the run's record could not be written: %s", problem)
        return self._finished(plan, result, "")

    # run ---------------------------------------------------------------------------------------------

    def _from_run(
        self, plan: Plan, target: CacheTarget | None, reason: str, *, replace_entry: bool
    ) -> Finished:
        plan = self._publish(plan)
        bundle = self._ship(plan)
        self._check_secrets()
        for left in range(self._step.infra_retries, -1, -1):
            ended = self._once(plan, target, bundle, plan.environment)
            if isinstance(ended, Result):
                if replace_entry and target is not None:
                    self._replace_entry(target, ended)
                return self._finished(plan, ended, reason)
            if not left or self._cancelled or not outcomes.repeats(ended):
                raise outcomes.exception_of(ended)
            self._log.warning("%s: %s; the run is repeated, %d left", ended.code, ended.message, left)
        raise AssertionError("a run ends with a result or an error")

    def _publish(self, plan: Plan) -> Plan:
        """The plan with its inputs in the store and every reference complete."""
        from stepbridge import publishing

        attempt = self._attempt
        producer = Producer(
            attempt.dag_id, attempt.task_id, attempt.run_id, attempt.map_index, attempt.try_number
        )

        def publish_all(drafts: tuple[Draft, ...]) -> Sequence[Artifact]:
            return publishing.publish_all(
                self._store, drafts, producer=producer, tags=self._tags("artifacts")
            )

        names = list(plan.kwargs)
        captured = list(plan.captured)
        given = [*plan.args, *plan.kwargs.values(), *plan.captured.values()]
        done = [inputs.complete(value, self._read_artifact) for value in published(given, publish_all)]
        args, rest = tuple(done[: len(plan.args)]), done[len(plan.args) :]
        kwargs = dict(zip(names, rest, strict=False))
        closure = dict(zip(captured, rest[len(names) :], strict=True))
        data = plan.context
        if data is not None:
            data = replace(
                data,
                values=_published(data.values, publish_all),
                pulls=tuple(
                    replace(pull, value=published([pull.value], publish_all)[0]) for pull in data.pulls
                ),
            )
        return replace(
            plan,
            args=args,
            kwargs=kwargs,
            captured=closure,
            context=data,
            code=replace(plan.code, captured=closure),
        )

    def _read_artifact(self, artifact: Artifact) -> Artifact:
        from stepbridge.artifact import parse_uri, reference
        from stepbridge.publishing import read_manifest

        found = parse_uri(artifact.uri)
        root = found[0] if found else self._store.root
        store = self._store
        if root != store.root:
            store = store_at(root, self._settings.store)
        return reference(root, read_manifest(store, artifact.digest))

    def _ship(self, plan: Plan) -> str:
        """The digest of the code's bundle, which is in the store now."""
        if plan.slice is None:
            return ""
        from stepbridge.code import bundle

        data = bundle.build(plan.slice)
        digest = hashlib.sha256(data).hexdigest()
        key = f"code/{digest}.zip"
        if self._store.head(key) is None:
            self._store.put(key, data, tags=self._tags("code"))
        return digest

    def _check_secrets(self) -> None:
        """Refuse secrets that the worker was not given itself: the local backend reads no secret store."""
        for secret in self._step.secrets:
            there = secret.env in os.environ if secret.env else Path(secret.file).exists()
            if not there:
                raise OperatorProblem(
                    "SB507",
                    f"the worker has no {secret.env or secret.file}; the local backend reads no secret store",
                    place=f"{self._place}, Secret({secret.name!r}, {secret.key!r})",
                    hint="give the worker that variable or file itself",
                )

    def _once(
        self, plan: Plan, target: CacheTarget | None, bundle: str, environment: Mapping[str, str]
    ) -> Result | ErrorDocument:
        """Run one attempt; its end, as the store tells it."""
        from stepbridge.backends.local import LocalBackend

        request, data = self._claim(plan, target, bundle)
        digest = hashlib.sha256(data).hexdigest()
        self._log.info("step %s runs; its record is at %s", plan.step, self.record_uri)
        backend = LocalBackend(
            self._settings.store, python=self._settings.python, grace=self._settings.grace + 20
        )
        self._backend = backend
        if self._cancelled:
            raise RunProblem("SB405", "the task was killed before the step started", place=self._place)
        try:
            status = backend.run(
                self._store.uri(request.attempt.prefix + "request.json"),
                digest,
                environment=environment,
                on_line=self._log.info,
            )
        finally:
            self._backend = None
        ended = backends.outcome(self._store, request.attempt)
        if isinstance(ended, Result) and ended.request_digest != digest:
            ended = None
        return ended or self._lost(request.attempt, status)

    def _lost(self, attempt: Attempt, status: int) -> ErrorDocument:
        code, kind = ("SB405", "interrupted") if self._cancelled else ("SB409", "infra")
        return ErrorDocument(
            attempt=attempt,
            kind=kind,  # type: ignore[arg-type]
            type="RunProblem",
            message=f"the runner ended with status {status} and left neither a result nor an error",
            code=code,
            retryable=True,
        )

    def _claim(self, plan: Plan, target: CacheTarget | None, bundle: str) -> tuple[Request, bytes]:
        """Write the request under a prefix of this attempt alone; the request and its bytes."""
        while True:
            request = self._request(plan, target, bundle)
            data = documents.dump(request)
            try:
                self._store.put(
                    self._attempt.prefix + "request.json", data, create=True, tags=self._tags("runs")
                )
            except ObjectExists:
                self._attempt = replace(self._attempt, try_number=self._next_number())
                continue
            finally:
                self.record_uri = self._store.uri(self._attempt.prefix.rstrip("/")) + "/"
            record = InputsRecord(plan.step, plan.args, plan.kwargs, plan.key.record if plan.key else {})
            self._store.put(
                self._attempt.prefix + "inputs.json", documents.dump(record), tags=self._tags("runs")
            )
            return request, data

    def _next_number(self) -> int:
        """A number above all that have a record: a repetition within the try, or a run of the same name."""
        lead = self._attempt.prefix.rstrip("/").rpartition("/")[0] + "/"
        numbers = (info.key.removeprefix(lead).partition("/")[0] for info in self._store.list(lead))
        return max((int(number) for number in numbers if number.isdigit()), default=0) + 1

    def _request(self, plan: Plan, target: CacheTarget | None, bundle: str) -> Request:
        step = self._step
        return Request(
            attempt=self._attempt,
            step=plan.step,
            code=replace(plan.code, bundle=bundle),
            store=self._settings.store,
            args=plan.args,
            kwargs=plan.kwargs,
            context=plan.context,
            output=str(plan.interface.output),
            multiple_outputs=bool(self._operator.multiple_outputs),
            limits=Limits(step.timeout.total_seconds() if step.timeout else None, self._settings.grace),
            gpus=step.resources.amounts().gpu.count,
            environment=step.environment,
            cache=target,
            inline_limit=self._settings.inline_limit,
            created=_now(),
        )

    def _replace_entry(self, target: CacheTarget, result: Result) -> None:
        entry = CacheEntry(
            step=target.step,
            key=target.key,
            output=result.output,
            xcoms=result.xcoms,
            record=target.record,
            source=result.attempt.prefix,
            created=_now(),
            nonce=secrets.token_hex(16),
            seconds=time.monotonic() - self._started,
        )
        try:
            self._store.put(target.path, documents.dump(entry), tags=self._tags("cache"))
        except StoreProblem as problem:
            self._log.warning("the result was not cached: %s", problem)

    def _tags(self, kind: str) -> dict[str, str]:
        return {"stepbridge:class": kind, "stepbridge:dag": self._attempt.dag_id}

    # end ---------------------------------------------------------------------------------------------

    def _finished(self, plan: Plan, result: Result, reason: str) -> Finished:
        load = self._load if self._step.xcom == "value" else None
        pushed = {key: xcom.view(value, load) for key, value in result.xcoms.items()}
        if self._operator.do_xcom_push:
            pushed[DETAILS] = xcom.details(
                step=plan.step,
                outputs={"return_value": result.output, **result.xcoms},
                cache=result.cache,
                key=result.key,
                reason=reason,
                run=self.record_uri,
                source=result.source,
                seconds=time.monotonic() - self._started,
            )
        return Finished(xcom.view(result.output, load), pushed)

    def _load(self, artifact: Artifact) -> object:
        """The object of a stored value; a file or directory stays a URI: its path would not outlive us."""
        if artifact.format in ("file", "directory"):
            return artifact.uri
        from stepbridge import publishing
        from stepbridge.codecs.registry import codec_named

        manifest = publishing.read_manifest(self._store, artifact.digest)
        with tempfile.TemporaryDirectory(prefix="stepbridge-load-") as folder:
            path = publishing.fetch(self._store, manifest, Path(folder))
            return codec_named(manifest.format).load(manifest, path, None, place=artifact.uri)


def _published(given: Mapping[str, Value], publish_all: Any) -> dict[str, Value]:
    return dict(zip(given, published(list(given.values()), publish_all), strict=True))


def attempt_of(operator: Any, context: Mapping[str, Any]) -> Attempt:
    """The attempt that Airflow's context is of."""
    ti = context["ti"]
    index = ti.map_index if ti.map_index is not None else -1
    return Attempt(ti.dag_id, ti.run_id, operator.task_id, index, max(1, ti.try_number or 1))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
