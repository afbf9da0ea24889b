"""The object store: resource versions, history and watchers of every kind of object."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kube.clock import Clock
from kube.errors import ApiError, Json, already_exists, conflict, gone, not_found

KINDS = {
    "namespaces": "Namespace",
    "nodes": "Node",
    "pods": "Pod",
    "secrets": "Secret",
    "configmaps": "ConfigMap",
    "events": "Event",
    "resourcequotas": "ResourceQuota",
    "serviceaccounts": "ServiceAccount",
    "persistentvolumeclaims": "PersistentVolumeClaim",
}
CLUSTER_WIDE = ("namespaces", "nodes")
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Change:
    """One step of history; the objects in it are never changed again."""

    version: int
    type: str
    plural: str
    found: Json
    before: Json | None = None


@dataclass(eq=False)
class Watcher:
    """A queue of one watch's changes."""

    plural: str
    queue: asyncio.Queue[Change | None] = field(default_factory=asyncio.Queue)


class ObjectStore:
    """Objects by plural, namespace and name; used in the server's loop only.

    An object that was handed out is a version: who changes one copies it first.
    """

    def __init__(self, clock: Clock, history: int = 5000) -> None:
        self.clock = clock
        self.version = 1000
        self._objects: dict[Key, Json] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self._watchers: set[Watcher] = set()
        self._listeners: list[Callable[[Change], None]] = []
        self._forgotten = 0

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Have every change from now on, in the store's own call."""
        self._listeners.append(listener)

    def get(self, plural: str, namespace: str, name: str) -> Json:
        """:raises ApiError: 404."""
        found = self.find(plural, namespace, name)
        if found is None:
            raise not_found(plural, name)
        return found

    def find(self, plural: str, namespace: str, name: str) -> Json | None:
        return self._objects.get((plural, "" if plural in CLUSTER_WIDE else namespace, name))

    def all(self, plural: str, namespace: str | None = None) -> Iterator[Json]:
        """Objects by namespace and name."""
        for key in sorted(key for key in self._objects if key[0] == plural):
            if namespace is None or key[1] == namespace:
                yield self._objects[key]

    def create(self, plural: str, found: Json) -> Json:
        """:raises ApiError: 409 for a name that is taken."""
        meta = found["metadata"]
        key = (plural, meta.get("namespace", "") if plural not in CLUSTER_WIDE else "", meta["name"])
        if key in self._objects:
            raise already_exists(plural, meta["name"])
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = self.clock.stamp()
        found.setdefault("apiVersion", "v1")
        found.setdefault("kind", KINDS[plural])
        self._commit("ADDED", plural, key, found, None)
        return found

    def update(self, plural: str, found: Json) -> Json:
        """Take the object's new version; a stale ``resourceVersion`` in it is a 409, none is no check."""
        meta = found["metadata"]
        key = (plural, meta.get("namespace", "") if plural not in CLUSTER_WIDE else "", meta["name"])
        held = self._objects.get(key)
        if held is None:
            raise not_found(plural, meta["name"])
        asked = meta.get("resourceVersion")
        if asked and asked != held["metadata"]["resourceVersion"]:
            raise conflict(plural, meta["name"])
        meta["resourceVersion"] = held["metadata"]["resourceVersion"]
        if found == held:
            return held
        self._commit("MODIFIED", plural, key, found, held)
        return found

    def change(self, plural: str, namespace: str, name: str, edit: Callable[[Json], Any]) -> Json:
        """Edit a copy of the newest version and keep it.

        :raises ApiError: 404.
        """
        found = json.loads(json.dumps(self.get(plural, namespace, name)))
        edit(found)
        return self.update(plural, found)

    def remove(self, plural: str, namespace: str, name: str) -> Json:
        """:raises ApiError: 404."""
        held = self.get(plural, namespace, name)
        found = {**held, "metadata": dict(held["metadata"])}
        key = (plural, "" if plural in CLUSTER_WIDE else namespace, name)
        self._commit("DELETED", plural, key, found, held)
        return found

    def watch(self, plural: str, since: int | None) -> tuple[Watcher, list[Change]]:
        """A watcher, and the changes after ``since`` that it has missed.

        :raises ApiError: 410 when these are forgotten.
        """
        missed: list[Change] = []
        if since:
            if since < self._forgotten:
                raise gone(self._forgotten, since)
            missed = [c for c in self._history if c.plural == plural and c.version > since]
        watcher = Watcher(plural)
        self._watchers.add(watcher)
        return watcher, missed

    def unwatch(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    def forget_history(self) -> None:
        """Make every older resourceVersion too old for a watch."""
        self._history.clear()
        self.version += 1
        self._forgotten = self.version

    def _commit(self, verb: str, plural: str, key: Key, found: Json, before: Json | None) -> None:
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        if verb == "DELETED":
            del self._objects[key]
        else:
            self._objects[key] = found
        change = Change(self.version, verb, plural, found, before)
        if len(self._history) == self._history.maxlen:
            self._forgotten = self._history[0].version
        self._history.append(change)
        for watcher in self._watchers:
            if watcher.plural == plural:
                watcher.queue.put_nowait(change)
        for listener in self._listeners:
            listener(change)


__all__ = ["CLUSTER_WIDE", "KINDS", "ApiError", "Change", "Json", "ObjectStore", "Watcher"]
