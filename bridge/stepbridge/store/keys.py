"""Object keys: which ones a store takes, and where an object lies for people."""

from __future__ import annotations

import re

from stepbridge.failures import StoreProblem

_KEY = re.compile(r"[A-Za-z0-9._=/-]+")
LONGEST = 900


def check_key(key: str, *, place: str) -> str:
    """*key*, when every store keeps it as it is.

    :param place: the store's root, for the error.
    :raises StoreProblem: SB310.
    """
    parts = key.split("/")
    if _KEY.fullmatch(key) and len(key) <= LONGEST and not any(part in {"", ".", ".."} for part in parts):
        return key
    raise StoreProblem(
        "SB310",
        f"{key!r} is not a key: letters, digits, '._=/-', no empty or dotted part, at most {LONGEST} bytes",
        place=place,
        hint="make the key with stepbridge.artifact.safe_key",
    )


def check_foreign(key: str, *, place: str) -> str:
    """*key*, the name of an object that others made, when the client can ask for it.

    :raises StoreProblem: SB301.
    """
    if key.isprintable() and not any(part in {"", ".", ".."} for part in key.split("/")):
        return key
    raise StoreProblem(
        "SB301",
        f"the object's name {key!r} has a control character, an empty or a dotted part",
        place=place,
        hint="copy the object to another name, or read it in the step itself",
    )


def check_prefix(prefix: str, *, place: str) -> str:
    """*prefix* for a listing: empty, or what a key may begin with."""
    if prefix:
        check_key(prefix.rstrip("/") or "/", place=place)
    return prefix
