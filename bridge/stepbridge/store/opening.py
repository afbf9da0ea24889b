"""From settings or a URI to an open store."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from stepbridge.failures import StoreProblem
from stepbridge.store.records import StoreSettings

if TYPE_CHECKING:
    from pathlib import Path

    from stepbridge.store.base import Store

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}")


def open_store(settings: StoreSettings) -> Store:
    """The store that *settings* describe. Nothing is asked of it yet.

    :raises StoreProblem: SB301 for a root of another scheme, SB311 for settings that contradict each other.
    """
    scheme, rest = split_uri(settings.root)
    if scheme == "file":
        from stepbridge.store.local import LocalStore

        return LocalStore(settings, _local_path(settings.root, rest))
    from stepbridge.store.s3 import S3Store

    bucket, _, prefix = rest.strip("/").partition("/")
    check_bucket(bucket, place=settings.root)
    return S3Store(settings, bucket, prefix)


def store_at(root: str, base: StoreSettings | None = None) -> Store:
    """The store whose root is *root*, reached as :func:`settings_for` says."""
    root = root.rstrip("/")
    return open_store(dataclasses.replace(settings_for(f"{root}/", base), root=root))


def settings_for(uri: str, base: StoreSettings | None = None) -> StoreSettings:
    """Settings whose root is the bucket of an ``s3://`` URI, or the folder of a ``file://`` URI.

    :param base: whose endpoint, region and way of addressing hold for this bucket too.
    """
    scheme, rest = split_uri(uri)
    if scheme == "file":
        path = _local_path(uri, rest)
        folder = path if uri.endswith("/") else path.parent
        return StoreSettings(root=f"file://{folder}")
    bucket = rest.partition("/")[0]
    check_bucket(bucket, place=uri)
    if base is None or not base.root.startswith("s3://"):
        return StoreSettings(root=f"s3://{bucket}")
    return dataclasses.replace(base, root=f"s3://{bucket}")


def split_uri(uri: str) -> tuple[str, str]:
    """``("s3", "bucket/key")`` or ``("file", "/path")``.

    :raises StoreProblem: SB301 for anything else.
    """
    found = _SCHEME.match(uri)
    scheme = found[1].lower() if found else ""
    if found and scheme in {"s3", "file"}:
        return scheme, uri[found.end() :]
    what = f"the scheme {scheme}://" if scheme else "a URI without a scheme"
    raise StoreProblem(
        "SB301",
        f"{what} is not supported",
        place=uri,
        hint="use s3://bucket/prefix or file:///folder",
    )


def check_bucket(bucket: str, *, place: str) -> None:
    """Raise SB301 unless *bucket* can be a bucket's name."""
    if not _BUCKET.fullmatch(bucket):
        raise StoreProblem(
            "SB301",
            f"{bucket!r} is not the name of a bucket",
            place=place,
            hint="write s3://bucket/prefix; bucket names are 3 to 63 of a-z, 0-9, '.', '-'",
        )


def _local_path(uri: str, rest: str) -> Path:
    from pathlib import Path

    path = rest.removeprefix("localhost")
    if not path.startswith("/"):
        raise StoreProblem(
            "SB301",
            "a file URI needs an absolute path",
            place=uri,
            hint=f"write file:///{path.lstrip('./')} with three slashes",
        )
    return Path(path)
