"""The cache key: which fields say "same work", each with its digest and its readable value."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stepbridge import hashing
from stepbridge.carried import Fields, Inline, Items, Outside, Stored, Value
from stepbridge.references import Draft

SCHEMA = "stepbridge.key/1"
_SHOWN = 200
_DEEP = 20


@dataclass(frozen=True)
class Key:
    """A cache key.

    :param digest: 64 hex digits.
    :param record: ``{"schema": ..., "fields": {name: {"digest": ..., "value": readable}}}``, kept beside the
        entry.
    """

    digest: str
    record: Mapping[str, Any]


def identity(value: Value) -> object:
    """What *value* is by content, as plain data for :mod:`stepbridge.hashing`; locations do not count."""
    match value:
        case Inline():
            return ("inline", value.codec, value.data)
        case Stored():
            return ("artifact", value.artifact.digest)
        case Draft():
            return ("artifact", value.digest)
        case Outside():
            return ("outside", value.size, dict(value.identity))
        case Items():
            return ("items", value.type, [identity(item) for item in value.items])
        case Fields():
            return ("fields", value.name, {name: identity(item) for name, item in value.fields.items()})


def readable(value: Value) -> str:
    """*value* for people, cut to 200 characters."""
    match value:
        case Inline():
            text = _start(value.data)
        case Stored():
            text = f"artifact {value.artifact.digest[:12]}"
        case Draft():
            text = f"{value.type} {value.digest[:12]}"
        case Outside():
            text = f"{value.uri} {dict(value.identity)}"
        case Items():
            text = "[" + ", ".join(readable(item) for item in value.items) + "]"
        case Fields():
            text = "{" + ", ".join(f"{name}: {readable(item)}" for name, item in value.fields.items()) + "}"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _start(data: object, depth: int = 0) -> str:
    """``repr(data)``, or where that is long at least as much of it as is shown and one character more."""
    if isinstance(data, str) and len(data) > _SHOWN and "'" not in data:
        return repr(data[: _SHOWN + 1])
    if type(data) is dict and depth < _DEEP:
        pairs = (f"{_start(key, depth + 1)}: {_start(item, depth + 1)}" for key, item in data.items())
        return "{" + _joined(pairs) + "}"
    if type(data) is list and depth < _DEEP:
        return "[" + _joined(_start(item, depth + 1) for item in data) + "]"
    return repr(data)


def _joined(texts: Iterable[str]) -> str:
    """*texts* with commas between them, as many as are shown."""
    found, size = [], 0
    for text in texts:
        found.append(text)
        size += len(text) + 2
        if size > _SHOWN + 2:
            break
    return ", ".join(found)


def build_key(
    *,
    step: str,
    interface: str,
    inputs: Mapping[str, Value],
    code: str,
    parts: Mapping[str, str],
    requires: Mapping[str, str],
    image: str = "",
    environment: Mapping[str, str] | None = None,
    version: str = "",
    salt: str = "",
    context: Mapping[str, Value] | None = None,
    variables: Mapping[str, str] | None = None,
    ignore: Collection[str] = (),
) -> Key:
    """The key of one call.

    :param interface: ``Interface.describe()``.
    :param inputs: arguments by parameter name; those in *ignore* stay out.
    :param code: the code digest; replaced by *version* where that is given.
    :param parts: the digest of each definition the code reaches, for explanations only.
    :param requires: third-party distributions and versions; they stay out where *version* pins the code.
    :param image: the image's digest or tag; empty for the local interpreter.
    :param context: context keys and resolved pulls that the function reads.
    :param variables: Airflow Variables that the function reads; only their digests are recorded.
    """
    fields: dict[str, tuple[object, str]] = {
        "step": (step, step),
        "interface": (interface, interface),
        "code": (("version", version), f"pinned: {version}") if version else (("digest", code), code),
        "image": (image, image),
        "salt": (salt, salt),
    }
    if not version:
        fields |= {f"requires:{name}": (found, found or "unknown") for name, found in requires.items()}
    fields |= {
        f"input:{name}": (identity(value), readable(value))
        for name, value in inputs.items()
        if name not in ignore
    }
    fields |= {
        f"context:{name}": (identity(value), readable(value)) for name, value in (context or {}).items()
    }
    fields |= {f"variable:{name}": (value, "(not shown)") for name, value in (variables or {}).items()}
    fields |= {f"env:{name}": (value, value) for name, value in (environment or {}).items()}
    digests = {name: hashing.digest(value, place=name) for name, (value, _) in fields.items()}
    record = {
        "schema": SCHEMA,
        "fields": {
            name: {"digest": digests[name], "value": shown} for name, (_, shown) in sorted(fields.items())
        },
        "parts": dict(sorted(parts.items())),
        "code": code,
        "ignored": sorted(ignore),
    }
    return Key(hashing.digest((SCHEMA, digests)), record)
