"""One task instance from its context to its XComs: plan, look up, run, read the result."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stepbridge import documents
from stepbridge.artifact import Artifact, Draft, Producer
from stepbridge.cache.lease import TTL
from stepbridge.cache.lookup import Hit, Miss, look_up
from stepbridge.contract import (
    Attempt,
    CacheEntry,
    CacheTarget,
    InputsRecord,
    Limits,
    Request,
    Result,
    Value,
)
from stepbridge.failures import StoreProblem
from stepbridge.leaves import published
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store, store_at
from stepbridge_airflow import compat, config, earlier, inputs, options, pod_watch, xcom
from stepbridge_airflow.attempts import Attempts, now
from stepbridge_airflow.flight import Flight
from stepbridge_airflow.links import DETAILS
from stepbridge_airflow.local_run import LocalRun
from stepbridge_airflow.planning import Plan, Planner
from stepbridge_airflow.pod_run import PodRun
from stepbridge_airflow.work import Done, Site, Work


@dataclass(frozen=True)
class Finished:
    """What a task instance gives: its value and what is pushed beside it."""

    value: Any
    pushed: Mapping[str, Any]


class Execution:
    """One task instance at work.

    :param operator: the step operator.
    :param context: Airflow's context.
    :param plain: the operator's methods as its pod operator has them.
    """

    def __init__(self, operator: Any, context: Mapping[str, Any], plain: Any) -> None:
        self._operator = operator
        self._context = context
        self._plain = plain
        self._step: options.StepOptions = operator.step
        self._log = operator.log
        self._started = time.monotonic()
        self._cancelled = False
        self._settings: config.Settings
        self._store: Store
        self._first = attempt_of(operator, context)
        self._way: LocalRun | PodRun | None = None
        self._flight: Flight | None = None

    @property
    def pods(self) -> PodRun | None:
        """The run in pods, where it is one."""
        return self._way if isinstance(self._way, PodRun) else None

    @property
    def record_uri(self) -> str:
        """Where the record of the attempt at work lies; empty while that is not known."""
        if not hasattr(self, "_store"):
            return ""
        attempt = self._way.attempt if self._way is not None else self._first
        return self._store.uri(attempt.prefix.rstrip("/")) + "/"

    def cancel(self) -> None:
        """End what runs; safe from a signal handler."""
        self._cancelled = True
        if self._way is not None:
            self._way.cancel()

    def run(self, *, nonce: str = "") -> Finished:
        """Take an equal run's result, or run the step.

        :param nonce: of the lease that a trigger took for this task instance.
        :raises StepbridgeError: where the run could not be prepared or its result not be read.
        :raises AirflowException: where the step failed; see :mod:`stepbridge_airflow.outcomes`.
        :raises TaskDeferred: where a trigger waits for the step's pod, or for another run of the same work.
        """
        site = self._site()
        with self._flying():
            with tempfile.TemporaryDirectory(prefix="stepbridge-inputs-") as folder:
                encoder = inputs.Encoder(Path(folder), self._settings.store, self._settings.inline_limit)
                seen = self._operator.function_context(self._context)
                plan = Planner(self._operator, seen, self._settings, encoder).plan()
                target = None
                if plan.key is not None:
                    target = CacheTarget(plan.step, plan.key.digest, plan.key.record)
                recorded = self._recorded(site, plan, target)
                if recorded is not None:
                    return recorded
                found = self._look_up(site, target, nonce)
                if isinstance(found, Hit):
                    return self._from_hit(site, plan, found.entry)
                work = self._work(self._publish(plan), target, found.reason, replace_entry=found.dead)
            way = self._start(site)
            with self._operator.cluster_access() if self.pods else contextlib.nullcontext():
                return self._done(way.begin(work))

    def resume(self, event: Mapping[str, Any]) -> Finished:
        """Go on when the trigger has seen something of the step's pod.

        :raises StepbridgeError: where the run's record is gone or the result could not be read.
        :raises AirflowException: where the step failed.
        :raises TaskDeferred: where a trigger waits again.
        """
        site = self._site()
        run = PodRun(site, self._attempts(), self._plain)
        self._way = run
        with self._operator.cluster_access():
            request = run.take_up(event)
            if request.lease and request.cache is not None:
                self._flight = Flight(site, request.cache, request.attempt.prefix, request.lease)
                self._flight.keep()
            with self._flying():
                return self._done(run.resume(event))

    def _look_up(self, site: Site, target: CacheTarget | None, nonce: str) -> Hit | Miss:
        """What the cache has; with ``single_flight`` the lease is ours after a miss."""
        if target is None:
            return Miss("")
        if self._step.cache == "refresh":
            self._log.info(
                "cache: not asked: cache='refresh', this run replaces the entry (key %s)", target.key[:12]
            )
            return Miss("cache='refresh'", dead=True)
        if self._step.single_flight:
            nonce = nonce or earlier.lease(self._attempts(), target)
            self._flight = Flight(site, target, self._first.prefix, nonce)
        found = look_up(self._store, target, max_age=self._step.max_age)
        if isinstance(found, Miss):
            found = self._say_miss(target, found)
            if self._flight is not None:
                found = self._flight.take(found)
        compat.count(f"stepbridge.cache.{_outcome_of(found)}", dag_id=self._first.dag_id, step=target.step)
        return found

    @contextlib.contextmanager
    def _flying(self) -> Iterator[None]:
        """Keep the lease, if there is one, while the step runs; give it up at the end."""
        try:
            yield
        except compat.TaskDeferred:
            if self._flight is not None:
                self._flight.hand_over(pod_watch.whole(self._step.filled_budgets) + TTL)
                self._flight = None
            raise
        finally:
            if self._flight is not None:
                self._flight.end()

    def _site(self) -> Site:
        self._settings = config.read(store=self._step.store)
        self._store = open_store(self._settings.store)
        return Site(self._operator, self._context, self._settings, self._store, self._log)

    @property
    def _in_pods(self) -> bool:
        return self._settings.in_pods(self._step.backend)

    def _attempts(self) -> Attempts:
        return Attempts(self._store, self._first, self._tags("runs"))

    def _start(self, site: Site) -> LocalRun | PodRun:
        way: LocalRun | PodRun
        if self._in_pods:
            way = PodRun(site, self._attempts(), self._plain)
        else:
            way = LocalRun(site, self._attempts(), self._first)
        self._way = way
        if self._cancelled:
            way.cancel()
        return way

    def _say_miss(self, target: CacheTarget, miss: Miss) -> Miss:
        """Log why, against the step's newest result; the miss with that reason."""
        from stepbridge.cache.explain import explain_miss

        reason = explain_miss(self._store, target, miss)
        say = self._log.warning if miss.failed else self._log.info
        say("cache: %s (key %s)", reason, target.key[:12])
        return replace(miss, reason=reason)

    # resumed -----------------------------------------------------------------------------------------

    def _recorded(self, site: Site, plan: Plan, target: CacheTarget | None) -> Finished | None:
        """What an earlier attempt gave, where the whole run is resumed and the work is the same."""
        try:
            left = earlier.left(self._store, self._attempts())
            if left is None:
                return None
            source = left.result.attempt
            asked = self._request(source, self._publish(plan), target, self._ship(plan))
            reason = left.stale(self._store, asked)
            if reason:
                self._log.info("resumed: the result of %s is not taken: %s", source.prefix, reason)
                return None
            self._first = left.free
            at = now()
            result = replace(
                left.result,
                attempt=self._first,
                cache="resumed",
                source=source.prefix,
                started=at,
                finished=at,
                request_digest="",
            )
            self._store.put(self._first.prefix + "result.json", documents.dump(result))
        except StoreProblem as problem:
            self._log.warning("resumed: the run's record cannot be used, so the step runs: %s", problem)
            return None
        self._log.info("resumed: the result of %s stands, its code and inputs are the same", source.prefix)
        self._leave_earlier(site)
        return self._finished(plan.step, result, "the run was resumed, and this attempt did the same work")

    # hit ---------------------------------------------------------------------------------------------

    def _from_hit(self, site: Site, plan: Plan, entry: CacheEntry) -> Finished:
        self._log.info(
            "cache hit for key %s: the result of %s from %s stands, which saves %.1f s",
            entry.key[:12],
            entry.source,
            entry.created,
            entry.seconds,
        )
        warning = self._pinned(plan, entry)
        if warning:
            self._log.warning("%s", warning)
        at = now()
        result = Result(
            attempt=self._first,
            output=entry.output,
            xcoms=entry.xcoms,
            cache="hit",
            key=entry.key,
            source=entry.source,
            started=at,
            finished=at,
        )
        try:
            self._store.put(self._first.prefix + "result.json", documents.dump(result))
        except StoreProblem as problem:
            self._log.warning("the run's record could not be written: %s", problem)
        self._leave_earlier(site)
        return self._finished(plan.step, result, "", taken=entry, warning=warning)

    def _leave_earlier(self, site: Site) -> None:
        """A result is taken: the pod of an earlier try, whose worker died, has nothing to do any more."""
        if self._in_pods and self._first.try_number > 1:
            with self._operator.cluster_access():
                PodRun(site, self._attempts(), self._plain).leave_earlier()

    def _pinned(self, plan: Plan, entry: CacheEntry) -> str:
        """The warning that code changed under a pin: the new code does not run before the pin moves."""
        made = entry.record.get("code")
        if not self._step.cache_version or plan.key is None or made == plan.key.record["code"]:
            return ""
        return (
            f"the code changed since this result was made, and cache_version={self._step.cache_version!r} "
            "pins it: the result is the old code's. Set another cache_version, or leave it out"
        )

    # run ---------------------------------------------------------------------------------------------

    def _work(self, plan: Plan, target: CacheTarget | None, reason: str, *, replace_entry: bool) -> Work:
        """What is to be run: all that it needs is in the store then."""
        bundle = self._ship(plan)

        def make(attempt: Attempt) -> Request:
            return self._request(attempt, plan, target, bundle)

        return Work(
            make=make,
            inputs=InputsRecord(
                plan.step, plan.args, plan.kwargs, plan.key.record if plan.key else {}, reason
            ),
            variables=plan.variables,
            connections=plan.connections,
            values=plan.values,
            reason=reason,
            replace_entry=replace_entry,
        )

    def _publish(self, plan: Plan) -> Plan:
        """The plan with its inputs in the store and every reference complete."""
        from stepbridge import publishing

        attempt = self._first
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

    def _request(self, attempt: Attempt, plan: Plan, target: CacheTarget | None, bundle: str) -> Request:
        step = self._step
        return Request(
            attempt=attempt,
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
            created=now(),
            secrets=step.secrets,
            lease=self._flight.nonce if self._flight is not None else "",
        )

    def _done(self, done: Done) -> Finished:
        target = done.request.cache
        if done.replace_entry and target is not None:
            self._replace_entry(target, done.result)
        return self._finished(done.request.step, done.result, done.reason, done)

    def _replace_entry(self, target: CacheTarget, result: Result) -> None:
        entry = CacheEntry(
            step=target.step,
            key=target.key,
            output=result.output,
            xcoms=result.xcoms,
            record=target.record,
            source=result.attempt.prefix,
            created=now(),
            nonce=secrets.token_hex(16),
            seconds=time.monotonic() - self._started,
        )
        try:
            self._store.put(target.path, documents.dump(entry), tags=self._tags("cache"))
        except StoreProblem as problem:
            self._log.warning("the result was not cached: %s", problem)

    def _tags(self, kind: str) -> dict[str, str]:
        return {"stepbridge:class": kind, "stepbridge:dag": self._first.dag_id}

    # end ---------------------------------------------------------------------------------------------

    def _finished(
        self,
        step: str,
        result: Result,
        reason: str,
        done: Done | None = None,
        taken: CacheEntry | None = None,
        warning: str = "",
    ) -> Finished:
        load = self._load if self._step.xcom == "value" else None
        pushed = {key: xcom.view(value, load) for key, value in result.xcoms.items()}
        if self._operator.do_xcom_push:
            pushed[DETAILS] = xcom.details(
                step=step,
                outputs={"return_value": result.output, **result.xcoms},
                cache=result.cache,
                key=result.key,
                reason=reason,
                run=self.record_uri,
                source=result.source,
                seconds=time.monotonic() - self._started,
                done=done,
                taken=taken,
                warning=warning,
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


def _outcome_of(found: Hit | Miss) -> str:
    if isinstance(found, Hit):
        return "hit"
    return "failed" if found.failed else "miss"
