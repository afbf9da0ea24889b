"""What was asked for the step, as the arguments of its call."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from stepbridge_migrate.model import Finding, Needs, Place
from stepbridge_migrate.rules.imports import Names

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TEXTS = ("backend", "xcom")
_LISTS = ("context_keys", "variables", "connections")
_AMOUNTS = ("gpu", "cpu", "memory")


def arguments_of(needs: Needs, names: Names) -> list[tuple[str, str]]:
    """The arguments that say *needs*: name and source text.

    :param names: imports what the texts use.
    """
    return list(_arguments(needs, names))


def _arguments(needs: Needs, names: Names) -> Iterator[tuple[str, str]]:
    if needs.image is not None:
        yield "image", quoted(needs.image)
    amounts = [f"{name}={_amount(value)}" for name in _AMOUNTS if (value := getattr(needs, name)) is not None]
    if amounts:
        yield "resources", f"{names.need('stepbridge', 'Resources')}({', '.join(amounts)})"
    if needs.cache is not None:
        yield "cache", quoted(needs.cache)
    if needs.timeout is not None:
        local = names.need("datetime", "timedelta")
        yield "timeout", f"{local}({_UNITS[needs.timeout[-1]]}={int(needs.timeout[:-1])})"
    for name in _TEXTS:
        if getattr(needs, name) is not None:
            yield name, quoted(getattr(needs, name))
    for name in _LISTS:
        given = getattr(needs, name)
        if given or (name == "context_keys" and given is not None):
            yield name, f"[{', '.join(map(quoted, given))}]"
    yield from needs.arguments.items()


def joined(own: Needs, asked: Needs) -> Needs:
    """What the old call asked for in other words, under what the user asks for."""
    from dataclasses import replace

    said = {name: getattr(asked, name) or getattr(own, name) for name in _AMOUNTS}
    return replace(asked, **said)


def conflicts(
    wanted: Sequence[tuple[str, str]], there: dict[str, str], place: Place
) -> tuple[list[tuple[str, str]], list[Finding]]:
    """What is not there yet, and what is there with another value.

    :param there: the arguments that the call keeps, with their texts.
    """
    fresh: list[tuple[str, str]] = []
    found: list[Finding] = []
    for name, text in wanted:
        if name not in there:
            fresh.append((name, text))
        elif not same(text, there[name]):
            shown = " ".join(there[name].split())[:60]
            found.append(Finding("SM235", f"the call has {name}={shown}, and {text} is asked for", place))
    return fresh, found


def same(one: str, other: str) -> bool:
    """True for two texts of one expression."""
    try:
        return ast.dump(ast.parse(one.strip(), mode="eval")) == ast.dump(
            ast.parse(other.strip(), mode="eval")
        )
    except (SyntaxError, ValueError):
        return one.strip() == other.strip()


def quoted(text: str) -> str:
    """*text* as a Python literal in double quotes where it can be."""
    shown = repr(text)
    if shown.startswith("'") and '"' not in shown and "\\" not in shown:
        return f'"{shown[1:-1]}"'
    return shown


def _amount(text: str) -> str:
    return text if text.isascii() and text.replace(".", "", 1).isdigit() and text[0] != "0" else quoted(text)
