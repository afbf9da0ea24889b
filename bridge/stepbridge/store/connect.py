"""From store settings and the environment to an obstore client: endpoint, region, credentials, retries."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from stepbridge.failures import StoreProblem
from stepbridge.store.records import StoreSettings

ENCRYPTIONS = ("", "AES256", "aws:kms")
_ENDPOINT = re.compile(r"(https?)://([^\s/?#@]+)((?:/[^\s?#]*)?)", re.IGNORECASE)
_GIVES_CREDENTIALS = frozenset(
    {
        "aws_access_key_id",
        "credential_process",
        "credential_source",
        "login_session",
        "role_arn",
        "source_profile",
        "sso_account_id",
        "sso_session",
        "web_identity_token_file",
    }
)
_NATIVE = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)


class Patience(NamedTuple):
    """How long a request is tried.

    :param retries: further tries after a 5xx, a 429 or a broken connection.
    :param first: seconds before the first of them; doubled and jittered from then on.
    :param total: seconds after which no further try begins.
    """

    retries: int = 9
    first: float = 0.1
    longest: float = 8.0
    total: float = 120.0


class _Runtime:
    """Which process the client's threads live in: they are one set per process and do not survive a fork."""

    pid: int | None = None

    def enter(self, place: str) -> None:
        """Raise where this process was forked from one that had used the client: a request would hang."""
        if self.pid is None:
            self.pid = os.getpid()
        if self.pid != os.getpid():
            raise StoreProblem(
                "SB305",
                f"process {os.getpid()} was forked from {self.pid} after that had used the store",
                place=place,
                hint="use the store only in the child, or start the child with spawn instead of fork",
            )


RUNTIME = _Runtime()
"""Process-wide because the client library's threads are."""


def endpoint_of(settings: StoreSettings, environment: Mapping[str, str] | None = None) -> str:
    """The endpoint's URL: from the settings, else from the environment or profile, else empty for AWS."""
    env = os.environ if environment is None else environment
    return (
        settings.endpoint
        or env.get("AWS_ENDPOINT_URL_S3", "")
        or env.get("AWS_ENDPOINT_URL", "")
        or _profile(env).get("endpoint_url", "")
    )


def region_of(settings: StoreSettings, environment: Mapping[str, str] | None = None) -> str:
    """The region: from the settings, else from the environment or profile, else ``us-east-1``."""
    env = os.environ if environment is None else environment
    return (
        settings.region
        or env.get("AWS_REGION", "")
        or env.get("AWS_DEFAULT_REGION", "")
        or _profile(env).get("region", "")
        or "us-east-1"
    )


def connect(settings: StoreSettings, bucket: str, patience: Patience, *, unsigned: bool = False) -> Any:
    """An obstore client for *bucket*. Asks nothing of the server.

    :param unsigned: leave the bytes of bodies out of the signature.
    :raises StoreProblem: SB311 where the settings contradict each other.
    """
    from obstore.store import S3Store

    config = _config(settings, bucket)
    if unsigned:
        config["unsigned_payload"] = True
    provider = _shared_credentials()
    return S3Store(
        bucket,
        config=config,
        client_options=_client_options(config.get("endpoint", "")),
        retry_config={
            "max_retries": patience.retries,
            "retry_timeout": timedelta(seconds=patience.total),
            "backoff": {
                "init_backoff": timedelta(seconds=patience.first),
                "max_backoff": timedelta(seconds=patience.longest),
                "base": 2,
            },
        },
        **({"credential_provider": provider} if provider is not None else {}),
    )


def _config(settings: StoreSettings, bucket: str) -> dict[str, Any]:
    config: dict[str, Any] = {"region": region_of(settings)}
    endpoint = endpoint_of(settings).rstrip("/")
    by_path = settings.path_style if settings.path_style is not None else bool(endpoint) or "." in bucket
    config["virtual_hosted_style_request"] = not by_path
    if endpoint:
        address = _address(endpoint, bucket, by_path, settings.root)
        config.update(endpoint=address, aws_endpoint_url_s3=address)
    if settings.encryption not in ENCRYPTIONS or (settings.kms_key and settings.encryption != "aws:kms"):
        raise StoreProblem(
            "SB311",
            f"encryption {settings.encryption!r} with kms_key {settings.kms_key!r}",
            place=settings.root,
            hint="encryption is empty, AES256 or aws:kms; kms_key goes with aws:kms only",
        )
    if settings.encryption:
        config["server_side_encryption"] = settings.encryption
    if settings.kms_key:
        config.update(sse_kms_key_id=settings.kms_key, sse_bucket_key_enabled=True)
    return config


def _address(endpoint: str, bucket: str, by_path: bool, place: str) -> str:
    found = _ENDPOINT.fullmatch(endpoint)
    if found is None:
        raise StoreProblem(
            "SB311",
            "the endpoint is not a plain http:// or https:// URL without user name and query",
            place=place,
            hint="write the endpoint as https://host:port; credentials come from the environment",
        )
    if by_path:
        return endpoint
    scheme, host, path = found.groups()
    return f"{scheme}://{bucket}.{host}{path}"


def _client_options(endpoint: str) -> dict[str, Any]:
    return {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=5),
        "read_timeout": timedelta(seconds=120),
        "timeout": timedelta(minutes=15),
        "pool_idle_timeout": timedelta(seconds=20),
    }


def _shared_credentials() -> Any:
    """boto3's credentials, only where a profile supplies them: everything else obstore reads itself."""
    if any(os.environ.get(name) for name in _NATIVE) or not _GIVES_CREDENTIALS & _profile(os.environ).keys():
        return None
    from obstore.auth.boto3 import Boto3CredentialProvider

    return Boto3CredentialProvider()


def _profile(env: Mapping[str, str]) -> dict[str, str]:
    """The settings of the active profile in the shared AWS files; none where they cannot be read."""
    import configparser
    from pathlib import Path

    name = env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE") or "default"
    home = Path(env.get("HOME") or "~").expanduser()
    files = (
        (env.get("AWS_CONFIG_FILE") or str(home / ".aws/config"), (f"profile {name}", name)),
        (env.get("AWS_SHARED_CREDENTIALS_FILE") or str(home / ".aws/credentials"), (name,)),
    )
    found: dict[str, str] = {}
    for path, sections in files:
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(Path(path).expanduser(), encoding="utf-8")
        except (OSError, configparser.Error, UnicodeDecodeError):
            continue
        for section in sections:
            if parser.has_section(section):
                found.update(parser.items(section))
                break
    return found
