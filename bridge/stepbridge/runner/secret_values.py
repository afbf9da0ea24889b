"""Secrets where the step runs: asks AWS Secrets Manager, checks what Kubernetes gave, lays files."""

from __future__ import annotations

import json
import os
import secrets as randomness
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepbridge.contract import StoreSettings
from stepbridge.failures import RunProblem
from stepbridge.secrets import HIDDEN_FILES, HIDDEN_VARIABLES, Secret

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

_AT_ONCE = 8
_CONNECT = 5.0
_ANSWER = 10.0
_TRIES = 4
_LARGEST = 1024 * 1024
"""Bytes of a file up to which its content can be one of Kubernetes' secrets."""
_FILES = 200
_ROLE = "give the pod's role secretsmanager:GetSecretValue on the secret and kms:Decrypt on its key"
_PASSING = frozenset(
    {
        "InternalServiceError",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


def given(secrets: Iterable[Secret], environment: Mapping[str, str]) -> dict[Secret, bytes]:
    """What the pod or the worker gave: every secret of Kubernetes, as variable or file.

    :raises RunProblem: SB439 naming the one that is missing.
    """
    return {one: _given(one, environment) for one in secrets if one.source == "kubernetes"}


def _given(secret: Secret, environment: Mapping[str, str]) -> bytes:
    hint = f"give the worker {secret.env or secret.file} itself, or run the step as a pod"
    if secret.env:
        if secret.env not in environment:
            raise _problem(secret, f"the variable {secret.env} is not set", hint)
        return environment[secret.env].encode("utf-8", "surrogateescape")
    path = Path(secret.file)
    try:
        if path.stat().st_size > _LARGEST:
            return b""
        return path.read_bytes()
    except OSError as error:
        raise _problem(secret, f"the file {secret.file} cannot be read: {error.strerror}", hint) from error


def placed(environment: Mapping[str, str]) -> Iterator[str]:
    """The secrets that the pod brought without the step's own references, where its operator named them."""
    for name in environment.get(HIDDEN_VARIABLES, "").split(","):
        yield environment.get(name, "")
    for place in environment.get(HIDDEN_FILES, "").split(os.pathsep):
        for path in _files_at(Path(place)) if place else ():
            with suppress(OSError, UnicodeDecodeError):
                if path.stat().st_size <= _LARGEST:
                    yield path.read_text(encoding="utf-8")


def _files_at(place: Path) -> list[Path]:
    """The file *place*, or the files of that folder, one for each key of a Secret."""
    try:
        return [one for one in place.iterdir() if one.is_file()][:_FILES]
    except NotADirectoryError:
        return [place]
    except OSError:
        return []


def fetch(secrets: Iterable[Secret], store: StoreSettings) -> dict[Secret, bytes]:
    """The values of all secrets of AWS Secrets Manager, each name asked for once, several at a time.

    Credentials, endpoint and proxies are those that boto3 finds by itself: in a pod, its role.

    :param store: whose region holds where a secret's ARN names none.
    :raises RunProblem: SB439 where a secret is missing, refused or of another form; SB305 where AWS could not
        be reached or answered with a failure that passes. Neither says anything of a value.
    """
    wanted = [one for one in secrets if one.source == "aws"]
    if not wanted:
        return {}
    first = {one.name: one for one in reversed(wanted)}
    clients = {region: _client(region, wanted[0]) for region in {_region(name, store) for name in first}}

    def ask(one: Secret) -> Mapping[str, Any]:
        return _ask(clients[_region(one.name, store)], one)

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_ONCE, "stepbridge-secret") as pool:
        answers = dict(zip(first, pool.map(ask, first.values()), strict=True))
    return {one: _value(one, answers[one.name]) for one in wanted}


def _region(name: str, store: StoreSettings) -> str:
    parts = name.split(":")
    if parts[0] == "arn" and len(parts) > 6:
        return parts[3]
    return store.region or os.environ.get("AWS_REGION", "") or os.environ.get("AWS_DEFAULT_REGION", "")


def _client(region: str, secret: Secret) -> Any:
    import boto3.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        connect_timeout=_CONNECT,
        read_timeout=_ANSWER,
        retries={"total_max_attempts": _TRIES, "mode": "standard"},
        max_pool_connections=_AT_ONCE,
    )
    hint = "set AWS_REGION, or the store's region, or give the secret's ARN"
    try:
        session = boto3.session.Session(region_name=region or None)
        if not session.region_name:
            raise _problem(secret, "no region says where the secret lies", hint)
        return session.client("secretsmanager", config=config)
    except (BotoCoreError, ValueError) as error:
        raise _problem(secret, f"AWS cannot be asked: {error}", hint) from error


def _ask(client: Any, secret: Secret) -> Mapping[str, Any]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found: Mapping[str, Any] = client.get_secret_value(SecretId=secret.name)
        return found
    except ClientError as error:
        raise _refused(secret, error, client.meta.endpoint_url) from error
    except BotoCoreError as error:
        raise _unasked(secret, error, client.meta.endpoint_url) from error


def _refused(secret: Secret, error: ClientError, endpoint: str) -> RunProblem:
    told = error.response.get("Error", {})
    code, text = told.get("Code", ""), told.get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _PASSING or status >= 500 or status == 429:
        return _unreachable(secret, f"{endpoint} answered {code or status}: {text}")
    if code == "ResourceNotFoundException":
        hint = f"make the secret in this account and region, or correct its name; {_ROLE}"
        return _problem(secret, f"{endpoint} has no secret {secret.name!r}: {text}", hint)
    return _problem(secret, f"{endpoint} refused {secret.name!r} ({code or status}): {text}", _ROLE)


def _unasked(secret: Secret, error: BotoCoreError, endpoint: str) -> RunProblem:
    from botocore import exceptions

    passing = (
        exceptions.HTTPClientError,
        exceptions.ConnectionError,
        exceptions.CredentialRetrievalError,
        exceptions.MetadataRetrievalError,
    )
    if isinstance(error, passing):
        return _unreachable(secret, f"{endpoint} could not be asked: {error}")
    return _problem(secret, f"{endpoint} could not be asked for {secret.name!r}: {error}", _ROLE)


def _unreachable(secret: Secret, cause: str) -> RunProblem:
    hint = "check that AWS Secrets Manager can be reached from where the step runs, then run the task again"
    return RunProblem("SB305", cause, place=_place(secret), hint=hint)


def _problem(secret: Secret, cause: str, hint: str) -> RunProblem:
    return RunProblem("SB439", cause, place=_place(secret), hint=hint)


def _place(secret: Secret) -> str:
    return f"Secret({secret.name!r}, {secret.key!r})"


def _value(secret: Secret, answer: Mapping[str, Any]) -> bytes:
    text = answer.get("SecretString")
    if text is None and secret.key:
        raise _problem(secret, "the secret is binary and has no members", "leave its key out, and use file=")
    data = bytes(answer.get("SecretBinary", b"")) if text is None else _member(secret, text).encode()
    if secret.env and (text is None or b"\0" in data):
        raise _problem(secret, "the secret is binary: no variable can hold it", "use file= instead of env=")
    return data


def _member(secret: Secret, text: str) -> str:
    if not secret.key:
        return text
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        hint = "leave the key out to get the whole secret, or store a JSON object"
        raise _problem(secret, f"the secret {secret.name!r} is not a JSON object", hint)
    if document.get(secret.key) is None:
        hint = "correct the key, or add it to the secret"
        raise _problem(secret, f"the secret {secret.name!r} has no member {secret.key!r}", hint)
    found = document[secret.key]
    return found if isinstance(found, str) else json.dumps(found)


class SecretFiles:
    """Files with secrets, there until :meth:`clear`."""

    def __init__(self) -> None:
        self._files: list[Path] = []
        self._directories: list[Path] = []

    def write(self, secret: Secret, data: bytes) -> None:
        """Lay *data* at ``secret.file``, for the owner alone, whole or not at all.

        A file that has this very content already is used and stays afterwards.

        :raises RunProblem: SB439 where the path cannot be written or another file is there.
        """
        target = Path(secret.file)
        try:
            if target.exists() or target.is_symlink():
                if target.read_bytes() == data:
                    return
                hint = "give the secret a path of its own, or remove the file"
                raise _problem(secret, f"another file is at {secret.file}", hint)
            self._make(target.parent)
            temporary = target.with_name(f".{target.name}.{randomness.token_hex(8)}")
            self._files += [temporary, target]
            _write_private(temporary, data)
            temporary.replace(target)
        except OSError as error:
            hint = "give the secret a path that the container's user can write, below /run or an emptyDir"
            raise _problem(secret, f"{secret.file} cannot be written: {error.strerror}", hint) from error

    def _make(self, directory: Path) -> None:
        missing = [one for one in (directory, *directory.parents) if not one.exists()]
        for one in reversed(missing):
            self._directories.append(one)
            one.mkdir(0o700, exist_ok=True)

    def clear(self) -> None:
        """Remove the files that were written, and of the directories made for them those that are empty."""
        for path in self._files:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        for directory in reversed(self._directories):
            with suppress(OSError):
                directory.rmdir()
        self._files, self._directories = [], []


def _write_private(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, 0o600)
        file.write(data)
