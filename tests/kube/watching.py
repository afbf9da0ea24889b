"""Lists and watches: what a selector shows of the store, now and as it changes."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping

from kube import selectors
from kube.errors import ApiError, Json, bad_request
from kube.objects import KINDS, Change, ObjectStore


def _number(query: Mapping[str, str], key: str) -> int | None:
    value = query.get(key)
    if value in (None, ""):
        return None
    try:
        return int(str(value))
    except ValueError:
        raise bad_request(
            f'invalid {key}: "{value}": strconv.ParseUint: parsing "{value}": invalid syntax'
        ) from None


class Selection:
    """What a request's path and selectors choose.

    :raises ApiError: 400 for selectors that cannot be read.
    """

    def __init__(
        self, store: ObjectStore, plural: str, namespace: str | None, query: Mapping[str, str]
    ) -> None:
        self.store, self.plural, self.namespace, self._query = store, plural, namespace, query
        self._labels = selectors.labels(query.get("labelSelector") or "")
        self._fields = selectors.fields(query.get("fieldSelector") or "", plural)

    def chooses(self, found: Json | None) -> bool:
        if found is None:
            return False
        if self.namespace is not None and found["metadata"].get("namespace") != self.namespace:
            return False
        return self._labels(found) and self._fields(found)

    def objects(self) -> list[Json]:
        return [found for found in self.store.all(self.plural, self.namespace) if self.chooses(found)]

    def listed(self) -> Json:
        """The List object, in pages where ``limit`` asks for them."""
        asked = _number(self._query, "resourceVersion")
        if asked and asked > self.store.version:
            raise ApiError(
                504,
                "Timeout",
                f"Too large resource version: {asked}, current: {self.store.version}",
                details={
                    "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
                },
            )
        items, meta = self.objects(), {"resourceVersion": str(self.store.version)}
        if token := self._query.get("continue"):
            after = tuple(json.loads(base64.urlsafe_b64decode(token)))
            items = [i for i in items if (i["metadata"].get("namespace", ""), i["metadata"]["name"]) > after]
        limit = _number(self._query, "limit")
        if limit and len(items) > limit:
            last = items[limit - 1]["metadata"]
            meta["continue"] = base64.urlsafe_b64encode(
                json.dumps([last.get("namespace", ""), last["name"]]).encode()
            ).decode()
            meta["remainingItemCount"] = len(items) - limit  # type: ignore[assignment]
            items = items[:limit]
        bare = [{k: v for k, v in item.items() if k not in ("kind", "apiVersion")} for item in items]
        return {"kind": f"{KINDS[self.plural]}List", "apiVersion": "v1", "metadata": meta, "items": bare}

    async def watched(self, cut: int | None) -> AsyncIterator[bytes]:
        """The events of a watch, one JSON line each.

        :param cut: stop after so many events; None for all.
        """
        asked = _number(self._query, "resourceVersion")
        seconds = _number(self._query, "timeoutSeconds")
        sent = 0
        async for line in self._lines(asked, seconds if seconds else 1800):
            if cut is not None and sent >= cut:
                return
            yield line
            sent += 1
            if cut is not None and sent >= cut:
                return

    async def _lines(self, asked: int | None, seconds: float) -> AsyncIterator[bytes]:
        try:
            watcher, missed = self.store.watch(self.plural, asked)
        except ApiError as error:
            yield _line("ERROR", error.body())
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            for found in [] if asked else self.objects():
                yield _line("ADDED", found)
            for change in missed:
                if line := self._shown(change):
                    yield line
            while True:
                try:
                    left = end - loop.time()
                    change_or_end = await asyncio.wait_for(watcher.queue.get(), left)
                except TimeoutError:
                    return
                if change_or_end is None:
                    return
                if line := self._shown(change_or_end):
                    yield line
        finally:
            self.store.unwatch(watcher)

    def _shown(self, change: Change) -> bytes | None:
        now = change.type != "DELETED" and self.chooses(change.found)
        before = self.chooses(change.before)
        if now:
            return _line("MODIFIED" if before else "ADDED", change.found)
        if before:
            return _line("DELETED", change.found)
        return None


def _line(kind: str, found: Json) -> bytes:
    return json.dumps({"type": kind, "object": found}, separators=(",", ":")).encode() + b"\n"
