"""Runs a step beside the worker, in a process of its own, again where the infrastructure broke it."""

from __future__ import annotations

import hashlib

from stepbridge.backends.base import outcome
from stepbridge.backends.local import LocalBackend
from stepbridge.contract import Attempt, ErrorDocument, Request, Result
from stepbridge.failures import RunProblem
from stepbridge_airflow import environment, outcomes
from stepbridge_airflow.attempts import Attempts, EarlierEnd
from stepbridge_airflow.work import Done, Site, Work


class LocalRun:
    """One task instance's step in processes of this machine, one after another."""

    def __init__(self, site: Site, attempts: Attempts, first: Attempt) -> None:
        self._site = site
        self._attempts = attempts
        self._backend: LocalBackend | None = None
        self._killed = False
        self.attempt = first

    def cancel(self) -> None:
        """End what runs; safe from a signal handler."""
        self._killed = True
        if self._backend is not None:
            self._backend.cancel()

    def begin(self, work: Work) -> Done:
        """Run *work*.

        :raises AirflowException: where the step failed; see :mod:`stepbridge_airflow.outcomes`.
        """
        earlier: tuple[EarlierEnd, ...] = ()
        for left in range(self._site.step.infra_retries, -1, -1):
            request, data = self._attempts.claim(work.make, work.inputs)
            self.attempt = request.attempt
            ended = self._once(request, data, work)
            if isinstance(ended, Result):
                return Done(request, ended, work.reason, work.replace_entry, earlier=earlier)
            if not left or self._killed or not outcomes.repeats(ended):
                raise outcomes.exception_of(ended, skip_on=self._site.operator.skip_on_exit_code)
            earlier = (*earlier, EarlierEnd(ended.kind, ended.code, ended.message[:500], ""))
            self._site.log.warning("%s: %s; the run is repeated, %d left", ended.code, ended.message, left)
        raise AssertionError("a run ends with a result or an error")

    def _once(self, request: Request, data: bytes, work: Work) -> Result | ErrorDocument:
        site = self._site
        digest = hashlib.sha256(data).hexdigest()
        site.log.info("step %s runs; its record is at %s", request.step, site.uri(request.attempt.prefix))
        backend = LocalBackend(
            site.settings.store,
            python=site.step.python or site.settings.python,
            grace=site.settings.grace + 20,
        )
        self._backend = backend
        if self._killed:
            raise RunProblem("SB405", "the task was killed before the step started", place=site.place)
        try:
            status = backend.run(
                site.store.uri(request.attempt.prefix + "request.json"),
                digest,
                environment={**environment.asked(work.variables), **work.values},
                on_line=site.log.info,
            )
        finally:
            self._backend = None
        ended = outcome(site.store, request.attempt, request_digest=digest)
        return ended or self._lost(request.attempt, status)

    def _lost(self, attempt: Attempt, status: int) -> ErrorDocument:
        code, kind = ("SB405", "interrupted") if self._killed else ("SB409", "infra")
        return ErrorDocument(
            attempt=attempt,
            kind=kind,  # type: ignore[arg-type]
            type="RunProblem",
            message=f"the runner ended with status {status} and left neither a result nor an error",
            code=code,
            retryable=True,
        )
