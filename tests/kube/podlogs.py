"""The log of a pod's container as the API server answers it: options, refusals, the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from kube.clock import from_stamp
from kube.errors import ApiError, Json, bad_request
from kube.logs import ContainerLog, LogOptions
from kube.pods import PodRun

_PULLING = ("ErrImagePull", "ImagePullBackOff")


def options(query: Mapping[str, str], now: float) -> LogOptions:
    """:raises ApiError: 400 and 422 for options that cannot be read."""
    since: float | None = None
    try:
        if query.get("sinceSeconds"):
            seconds = int(query["sinceSeconds"])
            if seconds < 1:
                text = f"sinceSeconds: Invalid value: {seconds}: must be greater than 0"
                raise ApiError(422, "Invalid", f'PodLogOptions "" is invalid: {text}')
            since = now - seconds
        if query.get("sinceTime"):
            since = float(int(from_stamp(query["sinceTime"])))
        return LogOptions(
            follow=_true(query, "follow"),
            timestamps=_true(query, "timestamps"),
            tail=int(query["tailLines"]) if query.get("tailLines") else None,
            limit=int(query["limitBytes"]) if query.get("limitBytes") else None,
            since=since,
        )
    except ValueError as error:
        raise bad_request(str(error)) from error


def _true(query: Mapping[str, str], key: str) -> bool:
    return query.get(key, "").lower() in ("true", "1")


def container_of(pod: Json, asked: str) -> str:
    """:raises ApiError: 400 when the name is needed, or is of no container."""
    name = pod["metadata"]["name"]
    inits = [c["name"] for c in pod["spec"].get("initContainers") or []]
    names = [c["name"] for c in pod["spec"]["containers"]]
    if asked:
        if asked not in [*names, *inits]:
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(names) + len(inits) > 1:
        text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        if inits:
            text += f" or one of the init containers: [{' '.join(inits)}]"
        raise bad_request(text)
    return str(names[0])


async def stream(pod: Json, run: PodRun, query: Mapping[str, str]) -> AsyncIterator[bytes]:
    """The log's bytes; what is refused is refused here, before the first byte.

    :raises ApiError: 400 before the container ran, 500 when its node is lost.
    """
    container = container_of(pod, query.get("container", ""))
    asked = options(query, run.clock.seconds())
    if not pod["spec"].get("nodeName"):
        return _nothing()
    name = pod["metadata"]["name"]
    if run.silent:
        raise ApiError(
            500,
            "InternalError",
            f'Get "https://10.0.0.1:10250/containerLogs/{run.namespace}/{name}/{container}": dial tcp '
            "10.0.0.1:10250: connect: no route to host",
        )
    return _log(pod, run, container, previous=_true(query, "previous")).read(asked)


def _log(pod: Json, run: PodRun, container: str, *, previous: bool) -> ContainerLog:
    name, status = pod["metadata"]["name"], pod["status"]
    every = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    held = next((found for found in every if found["name"] == container), None)
    if held is None:
        raise bad_request(f'container "{container}" in pod "{name}" is not available')
    waiting = held["state"].get("waiting")
    if previous and not held["lastState"]:
        raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
    if waiting and not held["lastState"]:
        reason = "trying and failing to pull image" if waiting["reason"] in _PULLING else waiting["reason"]
        raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
    logs = run.logs[container]
    return logs[-2] if previous and not waiting else logs[-1]


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for piece in nothing:
        yield piece
