"""Bounds the pod trigger of providers that know no deadline, and miss pods that end without a container."""

from __future__ import annotations

import asyncio
import pkgutil
import time
from collections.abc import AsyncIterator
from typing import Any

from stepbridge_airflow.compat import BaseTrigger, TriggerEvent

_LOOKS = 5.0
"""A pod's phase is looked at so many times as seldom as the provider's trigger looks at its container."""


def bounded(trigger: BaseTrigger, seconds: float) -> BaseTrigger:
    """*trigger*, or what wakes the task after *seconds* where the trigger itself has no deadline."""
    known = getattr(trigger, "trigger_kwargs", None) or {}
    if "_execution_deadline" in known:
        return trigger
    classpath, kwargs = trigger.serialize()
    return BoundedPodTrigger(classpath=classpath, kwargs=kwargs, until=time.time() + seconds)


class BoundedPodTrigger(BaseTrigger):
    """Fires with the provider's trigger, or with ``{"status": "timeout"}`` where that has nothing to say.

    Triggers of ``cncf-kubernetes`` providers that know no deadline wait for ever for a pod that
    its node refused or lost: it has ended, and no container of it ever says so.

    :param classpath: of the provider's trigger, :param kwargs: and its arguments.
    :param until: POSIX seconds after which the task is woken to look itself.
    """

    def __init__(self, *, classpath: str, kwargs: dict[str, Any], until: float) -> None:
        super().__init__()
        self.classpath = classpath
        self.kwargs = kwargs
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger's class path and arguments, as Airflow keeps them."""
        kwargs = {"classpath": self.classpath, "kwargs": self.kwargs, "until": self.until}
        return "stepbridge_airflow.pod_trigger.BoundedPodTrigger", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event, in the form of the provider's."""
        inner = pkgutil.resolve_name(self.classpath)(**self.kwargs)
        events = inner.run()
        watching = asyncio.ensure_future(anext(events))
        ending = asyncio.ensure_future(self._ended(inner))
        try:
            left = max(0.0, self.until - time.time())
            await asyncio.wait({watching, ending}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not watching.done():
                # the provider's own look comes at most one of its intervals after the pod's end
                await asyncio.wait({watching}, timeout=2 * inner.poll_interval if ending.done() else 0)
            event = watching.result() if watching.done() else self._timeout(inner)
        finally:
            for task in (watching, ending):
                task.cancel()
            await asyncio.gather(watching, ending, return_exceptions=True)
            await events.aclose()
        yield event

    async def _ended(self, inner: Any) -> None:
        """Return once the pod's phase says that it has ended; what cannot be asked is asked again."""
        while True:
            await asyncio.sleep(_LOOKS * inner.poll_interval)
            try:
                pod = await inner.hook.get_pod(name=inner.pod_name, namespace=inner.pod_namespace)
            except Exception as error:  # noqa: BLE001 - the client's errors are its versions'; the bound stays
                self.log.debug("the pod could not be looked at: %s", error)
                continue
            if pod is not None and pod.status is not None and pod.status.phase in {"Succeeded", "Failed"}:
                return

    @staticmethod
    def _timeout(inner: Any) -> TriggerEvent:
        return TriggerEvent(
            {
                "status": "timeout",
                "name": inner.pod_name,
                "namespace": inner.pod_namespace,
                "message": "the trigger saw no end of the pod's container",
            }
        )
