"""How a store is reached, and what it says of an object in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class StoreSettings:
    """How to reach a store; credentials come from the environment of whoever opens it, never from here.

    :param root: ``s3://bucket/prefix`` or ``file:///dir``, without a closing slash.
    :param endpoint: another S3 endpoint's URL; ``http://`` is allowed only when it is given here or in
        ``AWS_ENDPOINT_URL``.
    :param encryption: ``""``, ``AES256`` or ``aws:kms``.
    :param kms_key: the KMS key's id or ARN for ``aws:kms``.
    :param path_style: address buckets by path instead of by host name; None: by path where an endpoint is
        given.
    """

    root: str
    endpoint: str = ""
    region: str = ""
    encryption: str = ""
    kms_key: str = ""
    path_style: bool | None = None


class ObjectInfo(NamedTuple):
    """What a store says of an object without reading it.

    :param modified: POSIX seconds by the store's clock, or None where it does not say.
    """

    key: str
    size: int
    etag: str = ""
    version: str = ""
    modified: float | None = None
