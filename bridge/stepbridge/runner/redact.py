"""Keeps values that are known to be secret out of logs and messages: each is replaced by ``***``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

MASK = b"***"
SHORTEST = 6
"""Characters below which a value is too common to be hidden."""
_LINE = 16
"""Characters from which a line of a value of several lines is hidden by itself."""
_HEAD = 64
"""Bytes that are compared before a whole value is."""
_CONNECTION = "AIRFLOW_CONN_"
_VARIABLE = "AIRFLOW_VAR_"
_OWN = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SENSITIVE = (
    "access_key",
    "access_token",
    "api_key",
    "apikey",
    "auth_header",
    "authorization",
    "bearer",
    "connection_string",
    "dsn",
    "keyfile",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "proxies",
    "proxy",
    "secret",
    "service_account",
    "service_key",
    "token",
    "webhook_url",
)
"""Parts of the names of a connection's extras that Airflow hides as well."""


class Redactor:
    """Finds the secret values of one attempt.

    :param values: each is found as it is, quoted as in a URL and as in ``repr`` or JSON; of a JSON document
        also every member. What is shorter than :data:`SHORTEST` is not.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values for part in _parts(value) for form in _forms(part)}
        self._values = tuple(sorted((form.encode("utf-8", "surrogatepass") for form in forms), key=len))

    def __bool__(self) -> bool:
        return bool(self._values)

    @property
    def longest(self) -> int:
        """Bytes of the longest value."""
        return len(self._values[-1]) if self._values else 0

    def text(self, text: str) -> str:
        """*text* without the values."""
        if not self._values:
            return text
        stream = Stream(self)
        data = text.encode("utf-8", "surrogatepass")
        return (stream.feed(data) + stream.flush()).decode("utf-8", "surrogatepass")

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Where values stand in *data*, whole ones only: from, to."""
        found: list[tuple[int, int]] = []
        for value in self._values:
            at = data.find(value)
            while at >= 0:
                found.append((at, at + len(value)))
                at = data.find(value, at + 1)
        return found

    def beginnings(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where the end of *data* may be the beginning of a value: from there, and the value's length."""
        for value in self._values:
            at = data.find(value[:4], max(0, len(data) - len(value) + 1))
            while at >= 0:
                if value.startswith(data[at : at + _HEAD]) and value.startswith(data[at:]):
                    yield at, len(value)
                at = data.find(value[:4], at + 1)
            for size in (3, 2, 1):
                if data.endswith(value[:size]):
                    yield len(data) - size, len(value)


class Stream:
    """Hides values in a stream of bytes that comes in pieces, however it is cut.

    What may be the beginning of a value is kept back until more comes; :meth:`flush` ends the waiting.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._kept = b""
        self._done = 0
        self._masked = False

    @property
    def waiting(self) -> bool:
        """Whether something is kept back."""
        return self._done < len(self._kept)

    def feed(self, data: bytes) -> bytes:
        """What may be shown now that *data* has come."""
        if not self._redactor:
            return data
        data = self._kept + data
        hold = min((at for at, _ in self._redactor.beginnings(data)), default=len(data))
        return self._shown(data, hold, self._redactor.spans(data))

    def flush(self) -> bytes:
        """What was kept back: hidden where it is a good part of a value, else shown.

        What comes next is still known to follow it, so the rest of the value is hidden in any case.
        """
        if not self.waiting:
            return b""
        data, size = self._kept, len(self._kept)
        likely = [(at, size) for at, whole in self._redactor.beginnings(data) if 4 * (size - at) > whole]
        out = self._shown(data, size, [*self._redactor.spans(data), *likely])
        self._kept, self._done = data, size
        return out

    def _shown(self, data: bytes, hold: int, spans: list[tuple[int, int]]) -> bytes:
        """*data* from where it was left to *hold*, masked; spans that begin before *hold* to their end."""
        out: list[bytes] = []
        at = self._done
        for start, end in sorted(spans):
            if start >= hold:
                break
            if end <= at:
                continue
            if start > at:
                out.append(data[at:start])
            if start > at or not self._masked:
                out.append(MASK)
            at, self._masked = end, True
        if at < hold:
            out.append(data[at:hold])
            at, self._masked = hold, False
        self._kept, self._done = data[hold:], at - hold
        return b"".join(out)


def values_of_environment(environment: Mapping[str, str]) -> Iterator[str]:
    """Values of *environment* that are secret by their variable's name: connections, AWS credentials.

    Of Airflow's Variables those that Airflow itself hides: by their name, or by the name of a JSON member.
    """
    for name, text in environment.items():
        if name.startswith(_CONNECTION):
            yield from _of_connection(text)
        elif name.startswith(_VARIABLE):
            yield from (text,) if _is_sensitive(name) else _sensitive(_json(text))
        elif name in _OWN:
            yield text


def _of_connection(text: str) -> Iterator[str]:
    """The whole of a connection, its password, and those of its extras that are secret by their name."""
    yield text
    document = _json(text)
    if isinstance(document, dict):
        yield from _leaves(document.get("password"))
        extra = document.get("extra")
        yield from _sensitive(_json(extra) if isinstance(extra, str) else extra)
        return
    from urllib.parse import unquote, unquote_plus, urlsplit

    with suppress(ValueError):
        parts = urlsplit(text)
        if parts.password:
            yield from (parts.password, unquote(parts.password))
        for item in parts.query.split("&"):
            name, _, value = item.partition("=")
            if unquote_plus(name) == "__extra__":
                yield from _sensitive(_json(unquote_plus(value)))
            elif _is_sensitive(unquote_plus(name)):
                yield from (value, unquote_plus(value))


def _is_sensitive(name: str) -> bool:
    return any(word in name.lower() for word in _SENSITIVE)


def _sensitive(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, item in node.items():
            yield from _leaves(item) if _is_sensitive(str(name)) else _sensitive(item)
    elif isinstance(node, list):
        for item in node:
            yield from _sensitive(item)


def _leaves(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for item in node.values():
            yield from _leaves(item)
    elif isinstance(node, list):
        for item in node:
            yield from _leaves(item)
    elif isinstance(node, str | int | float) and not isinstance(node, bool):
        yield str(node)


def _json(text: str) -> object:
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return None


def _parts(value: str) -> Iterator[str]:
    """*value* and what of it may be shown alone: the members of a JSON document, else its long lines."""
    yield value
    document = _json(value)
    if document is not None:
        yield from _leaves(document)
        return
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line.strip()) >= _LINE and not line.startswith("-----"))


def _forms(value: str) -> Iterator[str]:
    """The texts that show *value*."""
    value = value.strip()
    if len(value) < SHORTEST:
        return
    from urllib.parse import quote, quote_plus

    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    with suppress(UnicodeEncodeError):
        yield quote(value, safe="")
        yield quote(value)
        yield quote_plus(value)
