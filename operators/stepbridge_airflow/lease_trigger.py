"""Waits in the triggerer for the result that another run of the same key is making, or for its lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from stepbridge import documents
from stepbridge.cache.flight import Held, pause, take_turn
from stepbridge.cache.lease import Busy, Lease
from stepbridge.cache.lookup import Hit
from stepbridge.contract import CacheTarget, StoreSettings
from stepbridge.failures import StoreProblem
from stepbridge.store.opening import open_store
from stepbridge_airflow.compat import BaseTrigger, TriggerEvent

HANDOVER = 300.0
"""Seconds that a lease taken here holds, until the worker that is woken beats for it."""


class LeaseTrigger(BaseTrigger):
    """Fires when there is a result to take, or when the lease is ours.

    The lease is taken here, so that of many that wait for a dead holder one worker is woken, not all.

    :param store: ``StoreSettings`` as JSON. No credentials: the triggerer has its own.
    :param step: the step's id, :param key: and the cache key.
    :param holder: run prefix of the attempt that waits, for people.
    :param max_age: seconds; how old a result may be, None for any age.
    """

    def __init__(
        self, *, store: dict[str, Any], step: str, key: str, holder: str, max_age: float | None = None
    ) -> None:
        super().__init__()
        self.store = store
        self.step = step
        self.key = key
        self.holder = holder
        self.max_age = max_age

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger's class path and arguments, as Airflow keeps them."""
        kwargs = {
            "store": self.store,
            "step": self.step,
            "key": self.key,
            "holder": self.holder,
            "max_age": self.max_age,
        }
        return "stepbridge_airflow.lease_trigger.LeaseTrigger", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look now and then; one event: ``{"status": "hit"}``, or ``"held"`` with the lease's nonce."""
        store = open_store(documents.from_json(StoreSettings, self.store, place="the trigger's store"))
        target = CacheTarget(self.step, self.key)
        lease = Lease(store, target, self.holder, ttl=HANDOVER)
        age = None if self.max_age is None else timedelta(seconds=self.max_age)
        began = time.monotonic()
        while True:
            try:
                turn = await asyncio.to_thread(take_turn, store, target, lease, max_age=age)
            except StoreProblem as problem:
                self.log.warning("the store did not answer, still waiting: %s", problem)
                turn = Busy("", HANDOVER)
            if isinstance(turn, Hit):
                yield TriggerEvent({"status": "hit", "key": self.key, "nonce": ""})
                return
            if isinstance(turn, Held):
                yield TriggerEvent({"status": "held", "key": self.key, "nonce": lease.nonce})
                return
            await asyncio.sleep(pause(turn, time.monotonic() - began))
