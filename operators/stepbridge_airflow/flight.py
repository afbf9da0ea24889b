"""``single_flight``: one task instance's part in it, from its miss to its result."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import NoReturn

from stepbridge import documents
from stepbridge.cache.flight import take_turn
from stepbridge.cache.lease import TTL, Busy, Heart, Lease, LeaseLost
from stepbridge.cache.lookup import Hit, Miss
from stepbridge.contract import CacheTarget
from stepbridge.failures import StoreProblem
from stepbridge_airflow.lease_trigger import LeaseTrigger
from stepbridge_airflow.work import Site


class Flight:
    """The lease of one key, as one task instance asks for it, keeps it and gives it up.

    :param holder: run prefix of the attempt, for people.
    :param nonce: of a lease that is ours already; empty for none.
    """

    def __init__(self, site: Site, target: CacheTarget, holder: str, nonce: str = "") -> None:
        self._site = site
        self._target = target
        self._holder = holder
        self._given = bool(nonce)
        self._asked = False
        self._lease = Lease(site.store, target, holder, nonce=nonce)
        self._heart: Heart | None = None

    @property
    def nonce(self) -> str:
        """What the runner beats with; empty where the lease is not ours."""
        return self._lease.nonce if self._heart is not None else ""

    def take(self, miss: Miss) -> Hit | Miss:
        """A result that came meanwhile, or *miss* with the lease in hand.

        Where the store cannot keep a lease the run goes on without one: a second run costs time, not truth.

        :raises TaskDeferred: where another runs; a trigger waits for its result or for its lease.
        """
        from stepbridge.store.probe import conditional_writes

        log = self._site.log
        verdict = conditional_writes(self._site.store)
        if not verdict.ok:
            log.warning(
                "single_flight is off: the store does not keep conditional writes (%s). Equal runs at the "
                "same time may all run; each result is right",
                verdict.reason,
            )
            return miss
        self._asked = True
        try:
            turn = take_turn(self._site.store, self._target, self._lease, max_age=self._site.step.max_age)
        except StoreProblem as problem:
            log.warning("the lease could not be asked for (%s); the step runs without it", problem)
            return miss
        if isinstance(turn, Busy):
            log.info(
                "%s runs the same work; waiting for its result in the triggerer", turn.holder or "another"
            )
            self._wait()
        if isinstance(turn, Hit):
            return turn
        self.keep()
        return replace(turn.miss, reason=miss.reason) if turn.miss.dead == miss.dead else turn.miss

    def _wait(self) -> NoReturn:
        age: timedelta | None = self._site.step.max_age
        trigger = LeaseTrigger(
            store=documents.to_json(self._site.settings.store),
            step=self._target.step,
            key=self._target.key,
            holder=self._holder,
            max_age=None if age is None else age.total_seconds(),
        )
        operator = self._site.operator
        operator.defer(trigger=trigger, method_name="flight_reentry", timeout=operator.execution_timeout)
        raise AssertionError("a deferral leaves by an exception")

    def keep(self) -> None:
        """Beat for the lease from now on."""
        self._heart = Heart(self._lease, TTL / 3)
        self._heart.start()

    def hand_over(self, seconds: float) -> None:
        """Let the lease live *seconds* without a beat: a deferral ends this process; the runner beats."""
        if self._heart is None:
            return
        self._stop()
        try:
            self._lease.renew(ttl=seconds)
        except (LeaseLost, StoreProblem) as error:
            self._site.log.warning("the lease could not be handed over: %s", error)

    def end(self) -> None:
        """Give the lease up, if it is or may be ours."""
        self._stop()
        if self._asked or self._given:
            self._lease.release()

    def _stop(self) -> None:
        if self._heart is not None:
            self._heart.stop()
            if self._heart.lost:
                self._site.log.warning(
                    "another has taken the lease over; this run's result stands beside its"
                )
            self._heart = None
