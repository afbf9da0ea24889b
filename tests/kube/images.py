"""Images and their pulls: what a container waits for, in the kubelet's words."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass

from kube import faults
from kube.errors import Json

Images = Collection[str] | Callable[[str], bool] | None
_REFERENCE = re.compile(
    r"([\w.-]+(:\d+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


@dataclass(frozen=True)
class Step:
    """One moment of a pull.

    :param reason: of the waiting state; empty to leave it. :param event: reason of an event; empty for none.
    :param seconds: until the next moment.
    """

    reason: str = ""
    message: str = ""
    event: str = ""
    told: str = ""
    seconds: float = 0.0


def there(images: Images, name: str) -> bool:
    if images is None:
        return True
    return images(name) if callable(images) else name in images


def _not_found(image: str) -> str:
    full = image if "/" in image else f"docker.io/library/{image}"
    full = full if ":" in full.rsplit("/", 1)[-1] else f"{full}:latest"
    return (
        f'rpc error: code = NotFound desc = failed to pull and unpack image "{full}": failed to resolve '
        f'reference "{full}": {full}: not found'
    )


async def pull(
    images: Images, container: Json, fault: faults.ImagePull | None, slow: float
) -> AsyncIterator[Step]:
    """The moments until the image is there; never ends for one that cannot be had."""
    image, policy = container["image"], container["imagePullPolicy"]
    if not _REFERENCE.fullmatch(image):
        told = (
            f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": '
            "invalid reference format"
        )
        while True:
            yield Step("InvalidImageName", told, "InspectFailed", told, 0.3)
    known = there(images, image)
    if fault is None and policy == "Never" and not known:
        told = f'Container image "{image}" is not present with pull policy of Never'
        while True:
            yield Step("ErrImageNeverPull", told, "ErrImageNeverPull", told, 0.3)
    if fault is not None or not known:
        async for step in _failing(image, fault):
            yield step
    if fault is None and (policy == "Never" or (policy == "IfNotPresent" and not slow)):
        yield Step(event="Pulled", told=f'Container image "{image}" already present on machine')
        return
    yield Step(event="Pulling", told=f'Pulling image "{image}"', seconds=slow)
    took = f"{int(slow * 1000) + 1}ms"
    yield Step(
        event="Pulled",
        told=f'Successfully pulled image "{image}" in {took} ({took} including waiting). '
        "Image size: 120 bytes.",
    )


async def _failing(image: str, fault: faults.ImagePull | None) -> AsyncIterator[Step]:
    why = (fault.message if fault else "") or _not_found(image)
    reason = fault.reason if fault else "ErrImagePull"
    left = fault.seconds if fault and fault.seconds is not None else 10.0**9
    pause = 0.2
    while left > 0:
        yield Step(event="Pulling", told=f'Pulling image "{image}"')
        yield Step(event="Failed", told=f'Failed to pull image "{image}": {why}', reason=reason, message=why)
        yield Step(seconds=min(pause, left))
        left -= pause
        if left <= 0 or reason != "ErrImagePull":
            continue
        yield Step(event="BackOff", told=f'Back-off pulling image "{image}"')
        backed = f'Back-off pulling image "{image}": ErrImagePull: {why}'
        yield Step(reason="ImagePullBackOff", message=backed, seconds=min(2 * pause, left))
        left -= 2 * pause
