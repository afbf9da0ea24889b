"""What a step pushes: values as old readers know them, and the details under a key of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stepbridge.artifact import Artifact
from stepbridge.contract import CacheEntry, Fields, Items, Stored, Value
from stepbridge_airflow.work import Done

SHOWN = 20
"""How many artifacts of one result the details list."""


def view(value: Value, load: Callable[[Artifact], object] | None = None) -> Any:
    """*value* for XCom: plain where it is plain, a URI where it is stored, lists and dicts of those.

    :param load: gives the object of a stored value, for ``xcom="value"``; None for its URI.
    """
    from stepbridge.values import xcom_view

    if load is None:
        return xcom_view(value)
    match value:
        case Stored():
            return load(value.artifact)
        case Items():
            items = [view(item, load) for item in value.items]
            return tuple(items) if value.type == "tuple" else items
        case Fields():
            return {name: view(item, load) for name, item in value.fields.items()}
        case _:
            return xcom_view(value)


def artifacts(value: Value, place: str = "return_value") -> dict[str, Artifact]:
    """Every stored value in *value* by where it stands."""
    match value:
        case Stored():
            return {place: value.artifact}
        case Items():
            parts = {f"{place}[{n}]": item for n, item in enumerate(value.items)}
        case Fields():
            parts = {f"{place}.{name}": item for name, item in value.fields.items()}
        case _:
            return {}
    return {key: found for at, item in parts.items() for key, found in artifacts(item, at).items()}


def details(
    *,
    step: str,
    outputs: Mapping[str, Value],
    cache: str,
    key: str,
    reason: str,
    run: str,
    source: str,
    seconds: float,
    done: Done | None = None,
    taken: CacheEntry | None = None,
    warning: str = "",
) -> dict[str, Any]:
    """What people and links want to know of a run; plain JSON without anything secret.

    :param run: URI of the attempt's record.
    :param source: run prefix of the attempt that did the work, for a hit.
    :param seconds: from the start of the task to its result; after a deferral, of its last part.
    :param done: how it ran; None for a hit.
    :param taken: the entry of a hit: when it was made, and the seconds that its run took.
    :param warning: what people should look at.
    """
    found = {at: one for place, value in outputs.items() for at, one in artifacts(value, place).items()}
    listed = {
        at: {
            "uri": one.uri,
            "type": one.type,
            "digest": one.digest,
            "content": one.content,
            "size": one.size,
            "files": one.files,
        }
        for at, one in list(found.items())[:SHOWN]
    }
    return {
        "step": step,
        "cache": cache,
        "key": key,
        "reason": reason,
        "run": run,
        "source": source,
        "seconds": round(seconds, 3),
        "artifacts": listed,
        "more_artifacts": max(0, len(found) - SHOWN),
        **_ran(done),
        **({"created": taken.created, "saved": round(taken.seconds, 3)} if taken is not None else {}),
        **({"warning": warning} if warning else {}),
    }


def _ran(done: Done | None) -> dict[str, Any]:
    """The pod, and what went wrong before it went right."""
    if done is None or not (done.pod or done.earlier):
        return {}
    said: dict[str, Any] = {"pod": done.pod, "namespace": done.namespace}
    if done.image_id:
        said["image_id"] = done.image_id
    if done.earlier:
        said["earlier"] = [
            {"kind": one.kind, "code": one.code, "message": one.message, "pod": one.pod}
            for one in done.earlier
        ]
    if done.memory:
        said["memory"] = done.memory
        said["suggestion"] = f"Resources(memory={done.memory!r})"
    return said
