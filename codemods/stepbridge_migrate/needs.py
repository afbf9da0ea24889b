"""What a step needs, from options and settings: read, checked and put on top of each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace

from stepbridge.failures import StepbridgeError
from stepbridge.resources import Resources
from stepbridge_migrate.model import Needs
from stepbridge_migrate.near import did_you_mean
from stepbridge_migrate.problems import MigrateProblem

WRONG = "SM520"
"""The code of a setting or option whose value cannot be."""
TEXTS = ("gpu", "cpu", "memory", "image", "cache", "timeout", "backend", "xcom")
LISTS = {"context-keys": "context_keys", "variables": "variables", "connections": "connections"}
KEYS = (*TEXTS, *LISTS, "set")
"""The keys of ``[tool.stepbridge.step]`` and of each table below ``[tool.stepbridge.tasks]``."""
_CHOICES = {"cache": ("off", "auto", "refresh"), "backend": ("pod", "local"), "xcom": ("auto", "value")}
_DURATION = re.compile(r"^[1-9]\d*[dhms]$")
_OPTION_OF = {
    "resources": "--gpu, --cpu, --memory",
    "context_keys": "--context-keys",
    "variables": "--variable",
    "connections": "--connection",
    **{name: f"--{name}" for name in ("image", "cache", "timeout", "backend", "xcom")},
}
_NOT_OURS = ("task_id", "python_callable", "op_args", "op_kwargs", "dag")


def from_table(table: Mapping[str, object], *, place: str) -> Needs:
    """The needs that one table of pyproject.toml states.

    :param place: the table, for errors: ``pyproject.toml [tool.stepbridge.step]``.
    :raises MigrateProblem: SM520 for a key that is not known or a value that cannot be.
    """
    texts: dict[str, str] = {}
    for key, value in table.items():
        where = f"{place} {key}"
        if key not in KEYS:
            raise MigrateProblem(
                WRONG, f"{key!r} is not a key here", place=place, hint=did_you_mean(key, KEYS)
            )
        if key in TEXTS:
            number = isinstance(value, int) and not isinstance(value, bool) and key in {"gpu", "cpu"}
            if not isinstance(value, str) and not number:
                raise MigrateProblem(
                    WRONG, f"{value!r} is not a text", place=where, hint="write it in quotes"
                )
            texts[key] = str(value)
    return checked(
        Needs(
            **texts,
            context_keys=_strings(table, "context-keys", place),
            variables=_strings(table, "variables", place) or (),
            connections=_strings(table, "connections", place) or (),
            arguments=_table(table, place),
        ),
        place=place,
    )


def from_assignments(given: Iterable[str]) -> dict[str, str]:
    """``--set NAME=EXPR`` as names to source text.

    :raises MigrateProblem: SM520 where one has no ``=``.
    """
    arguments = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals:
            raise MigrateProblem(
                WRONG, f"{one!r} has no '='", place="--set", hint="write --set NAME=EXPRESSION"
            )
        arguments[name.strip()] = text.strip()
    return arguments


def over(below: Needs, above: Needs) -> Needs:
    """*above* where it says something, else *below*; arguments are joined by name."""
    said = {
        one.name: value
        for one in fields(Needs)
        if one.name != "arguments" and (value := getattr(above, one.name)) not in (None, ())
    }
    return replace(below, **said, arguments={**below.arguments, **above.arguments})


def checked(needs: Needs, *, place: str) -> Needs:
    """The same needs, each value checked.

    :raises MigrateProblem: SM520 with what may stand there.
    """

    def wrong(name: str, cause: str, hint: str) -> MigrateProblem:
        return MigrateProblem(WRONG, cause, place=f"{place} {name}", hint=hint)

    for name in ("gpu", "cpu", "memory"):
        value = getattr(needs, name)
        if value is not None:
            try:
                Resources(**{name: value})
            except StepbridgeError as error:
                raise wrong(name, error.cause, error.hint) from error
    for name, known in _CHOICES.items():
        value = getattr(needs, name)
        if value is not None and value not in known:
            raise wrong(name, f"{value!r} is not one of {', '.join(known)}", did_you_mean(value, known))
    if needs.timeout is not None and not _DURATION.match(needs.timeout):
        raise wrong("timeout", f"{needs.timeout!r} is not a duration", "write 30s, 90m, 2h or 1d")
    if needs.image is not None and (not needs.image or re.search(r"\s", needs.image)):
        raise wrong("image", f"{needs.image!r} is not the name of an image", "write registry/name:tag")
    for name in ("variables", "connections", "context_keys"):
        for value in getattr(needs, name) or ():
            if not value.strip():
                raise wrong(name, "a name is empty", "name what the step reads, or leave it out")
    _check_arguments(needs.arguments, wrong)
    return needs


def _check_arguments(arguments: Mapping[str, str], wrong: Callable[[str, str, str], MigrateProblem]) -> None:
    for name, text in arguments.items():
        if not name.isidentifier():
            raise wrong("set", f"{name!r} is not the name of an argument", "write NAME=EXPRESSION")
        if name in _OPTION_OF:
            raise wrong("set", f"{name} has a setting of its own", f"use {_OPTION_OF[name]}")
        if name in _NOT_OURS:
            raise wrong("set", f"{name} comes from the old call", "change it there")
        if not _is_expression(text):
            raise wrong("set", f"{text!r} is not one Python expression", f"quote texts: {name}='\"text\"'")


def _is_expression(text: str) -> bool:
    """*text* can stand behind ``name=`` in a call, and is one argument there."""
    try:
        call = ast.parse(f"_(_={text})", mode="eval").body
    except (SyntaxError, ValueError):
        return False
    return isinstance(call, ast.Call) and not call.args and len(call.keywords) == 1


def _strings(table: Mapping[str, object], key: str, place: str) -> tuple[str, ...] | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise MigrateProblem(WRONG, f"{value!r} is not a list of texts", place=f"{place} {key}")
    return tuple(value)


def _table(table: Mapping[str, object], place: str) -> dict[str, str]:
    value = table.get("set", {})
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise MigrateProblem(
            WRONG,
            f"{value!r} is not a table of texts",
            place=f"{place} set",
            hint="each value is the text of a Python expression: pool = \"'gpu'\"",
        )
    return dict(value)
