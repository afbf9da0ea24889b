"""Where control and candidate write what they do not return, and how the candidate is told its own place."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from stepbridge.artifact import safe_segment
from stepbridge.compare.rules import Output
from stepbridge.contract import StoreSettings
from stepbridge.failures import OperatorProblem, StepbridgeError
from stepbridge_airflow import arguments

SCHEMA = "{schema}"
"""Stands in a query for the name under which one side's tables are found."""
REPEAT = "{repeat}"
"""Stands in a candidate's place or name for nothing, and for ``_1``, ``_2`` in those of its repeats."""
NOISE = "__noise_"
"""Stands in a repeat's task id between the control's and its number."""
_NAMES = ("control", "candidate")
_FOLDER = "outputs"
_RESERVED = frozenset({"return_value", "metrics"})
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NO_FILE = "{# not the name of a template file #}"


@dataclass(frozen=True)
class Place:
    """Where one output lies, rendered.

    :param name: the output's. :param control: :param candidate: a path or URI, or for a query what stands in
        place of ``{schema}``.
    """

    name: str
    control: str
    candidate: str

    @classmethod
    def of(cls, found: object) -> tuple[Place, ...]:
        """The places in what a candidate pushed."""
        rows = found if isinstance(found, list | tuple) else ()
        return tuple(
            cls(*(str(row.get(key, "")) for key in ("name", "control", "candidate")))
            for row in rows
            if isinstance(row, Mapping)
        )


@dataclass(frozen=True)
class Asked:
    """What the places of one candidate's run follow from.

    :param outputs: as the user gave them. :param idempotent: writing to the control's place does no harm.
    :param settings: of the store of candidates.
    :param lead: key prefix in it, below which places are made for this task instance.
    :param in_pods: the candidate runs in a pod.
    :param render: a template's text as this task instance sees it.
    :param repeat: which repeat of the candidate this is, from 1; 0 for the candidate.
    """

    outputs: Sequence[Output]
    idempotent: bool
    settings: StoreSettings
    lead: str
    in_pods: bool
    render: Callable[[str], str]
    repeat: int = 0


# when the DAG is read -------------------------------------------------------------------------------------


def check(
    outputs: Sequence[Output],
    function: Callable[..., Any] | None,
    *,
    idempotent: bool,
    noise: int,
    place: str,
) -> None:
    """Refuse outputs that the candidate could not be told of, or where it would write to the control's place.

    :param function: what the candidate calls; None where only a run knows.
    :raises OperatorProblem: SB510.
    """
    for output in outputs:
        named = f"Output({output.name!r})"
        if not output.name or output.name in _RESERVED:
            raise _problem(f"{named}: this name is taken", place, "give it another")
        if output.sql:
            _check_query(output, f"{place}, {named}")
        else:
            _check_places(output, idempotent, f"{place}, {named}")
        if output.environment and not _VARIABLE.fullmatch(output.environment):
            raise _problem(
                f"{output.environment!r} is no environment variable's name", f"{place}, {named}", "correct it"
            )
        if output.argument and function is not None:
            _check_argument(function, output.argument, f"{place}, {named}")
        if noise:
            _check_repeats(output, noise, f"{place}, {named}")
    told = [one.argument or one.environment for one in outputs if one.argument or one.environment]
    twice = sorted({one for one in told if told.count(one) > 1})
    if twice:
        raise _problem(
            f"{twice[0]!r} cannot say two places",
            place,
            "name the folder that holds both as one output, with a closing slash",
        )


def _check_repeats(output: Output, noise: int, place: str) -> None:
    """Refuse a place that the candidate's repeats would share with it, or with the folder that holds it.

    A query's name that no argument tells is let be: the report says that its noise is not known.
    """
    if not output.candidate or (output.sql and not (output.argument or output.environment)):
        return
    first, second = (_numbered(output.candidate, repeat) for repeat in (0, 1))
    if first == second:
        raise _problem(
            f"the repetitions of noise={noise} would all write to {output.candidate!r}",
            place,
            f"write {REPEAT} into it, which is nothing for the candidate and _1, _2 for its repetitions; or "
            "leave candidate= out, so that each gets a place of its own; or leave noise= out",
        )
    if not output.sql and _overlap(first, second):
        raise _problem(
            f"the repetitions of noise={noise} would write into the candidate's {first!r}",
            place,
            f"write {REPEAT} into the name of the folder itself: s3://bucket/shadow{REPEAT}/",
        )


def _numbered(text: str, repeat: int) -> str:
    return text.replace(REPEAT, f"_{repeat}" if repeat else "")


def repeat_of(task_id: str, control: str) -> int:
    """Which repeat of the candidate of *control* a task is, from 1; 0 for the candidate itself."""
    number = task_id.removeprefix(control + NOISE)
    return int(number) if number != task_id and number.isdecimal() else 0


def _check_query(output: Output, place: str) -> None:
    if SCHEMA not in output.sql:
        raise _problem(
            f"the query has no {SCHEMA}, so both sides would read the same rows",
            place,
            "write FROM {schema}.table; control= and candidate= say what stands there for each side",
        )
    if (output.control or _NAMES[0]) == (_numbered(output.candidate, 0) or _NAMES[1]):
        raise _problem(
            f"control and candidate both stand for {output.control!r}", place, "give candidate= another name"
        )


def _check_places(output: Output, idempotent: bool, place: str) -> None:
    own = _numbered(output.candidate, 0)
    for text in filter(None, (output.control, own)):
        if not text.lstrip().startswith(("{{", "{%", "{#")):
            _check_form(text, place)
    plain = "{" not in output.control + own
    same = output.control == own or (plain and _overlap(output.control, own))
    if output.candidate and same and not idempotent:
        raise _same_place(output.control, output.candidate, place)


def _check_form(text: str, place: str) -> None:
    scheme = _SCHEME.match(text)
    known = scheme[1] in ("s3", "file") if scheme else text.startswith("/")
    bucket_alone = re.fullmatch(r"s3://[^/{]*/*", text) is not None
    if not known or bucket_alone or "\0" in text:
        raise _problem(
            f"{text!r} is no place that a comparison can read",
            place,
            "write s3://bucket/key, with a closing slash a folder, file:///path or an absolute path",
        )


def _check_argument(function: Callable[..., Any], name: str, place: str) -> None:
    parameters = arguments.parameters_of(arguments.plain_function(function), place=place)
    named = parameters.get(name)
    wild = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    if (named is None and not wild) or (named is not None and named.kind not in _BY_NAME):
        known = ", ".join(one for one, by in parameters.items() if by.kind in _BY_NAME) or "none"
        raise _problem(
            f"{arguments.place_of(function)} has no parameter {name!r} that can be named",
            place,
            f"its parameters: {known}",
        )
    fixed, _ = arguments.bound(function)
    if name in [one for one, by in parameters.items() if by.kind in _POSITIONAL][: len(fixed)]:
        raise _problem(
            f"functools.partial fixes the parameter {name!r} by its position", place, "fix it by its name"
        )


# when the candidate starts --------------------------------------------------------------------------------


def lead_of(dag_id: str, task_id: str, run_id: str, map_index: int) -> str:
    """The key prefix below which a candidate's own places lie in the store of candidates.

    :param task_id: the candidate's, for each repetition has its own.
    """
    element = [str(map_index)] if map_index >= 0 else []
    parts = [safe_segment(one) for one in (dag_id, task_id, run_id)]
    return "/".join([_FOLDER, *parts, *element])


def places_of(asked: Asked) -> tuple[Place, ...]:
    """Where each output lies in this run.

    :raises OperatorProblem: SB510 where the candidate must not run, for it has no place or the control's.
    """
    found = tuple(_place(output, asked) for output in asked.outputs)
    written = [(one, output) for one, output in zip(found, asked.outputs, strict=True) if not output.sql]
    for one, _ in written:
        for other, _ in written:
            if not asked.idempotent and _overlap(other.control, one.candidate):
                raise _same_place(other.control, one.candidate, f"Output({one.name!r})")
    return found


def prepare(asked: Asked) -> None:
    """Empty the places of the candidate's own in the store, and make the folders that hold them.

    What an earlier try left there must not be taken for this one's.

    :raises StepbridgeError: SB510 as :func:`places_of`; SB305 where the store refuses.
    """
    for output, place in zip(asked.outputs, places_of(asked), strict=True):
        if not _is_made(output):
            continue
        folder = f"{asked.settings.root}/{asked.lead}/{safe_segment(output.name)}/"
        try:
            if folder.startswith("s3://"):
                _remove_objects(folder, asked.settings)
            else:
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(path_of(folder))
                path = path_of(place.candidate)
                (path if place.candidate.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StepbridgeError(
                "SB305", f"the candidate's place cannot be made: {error}", place=place.candidate
            ) from error


def tell(operator: Any, outputs: Sequence[Output], places: Sequence[Place]) -> None:
    """Put the candidate's places where its function looks for them; the operator is this run's alone."""
    for output, place in zip(outputs, places, strict=True):
        if output.argument:
            _set_argument(operator, output.argument, place.candidate)
        elif output.environment:
            step = operator.step
            told = {**step.environment, output.environment: place.candidate}
            operator.step = replace(step, environment=told)


def _place(output: Output, asked: Asked) -> Place:
    named = f"Output({output.name!r})"
    own = output.candidate or (_NAMES[1] + REPEAT if output.sql else "")
    control, candidate = (
        _rendered(text, asked, f"{named}.{side}")
        for text, side in zip((output.control, _own_name(own, output, asked)), _NAMES, strict=True)
    )
    if output.sql:
        place = Place(output.name, control or _NAMES[0], candidate)
        if place.control == place.candidate:
            raise _problem(f"both sides are named {place.control!r}", named, "give candidate= another name")
        return place
    _check_form(control, named)
    if candidate:
        _check_form(candidate, named)
    elif _is_made(output):
        candidate = _made(output, control, asked)
    else:
        candidate = control
    return Place(output.name, control, candidate)


def _own_name(text: str, output: Output, asked: Asked) -> str:
    """A repeat's place, with its number; the name in a query stays the candidate's where nothing tells it."""
    told = not output.sql or output.argument or output.environment
    return _numbered(text, asked.repeat if told else 0)


def _is_made(output: Output) -> bool:
    """Whether the candidate's place is one that we make for it."""
    return not (output.sql or output.candidate) and bool(output.argument or output.environment)


def _made(output: Output, control: str, asked: Asked) -> str:
    named = f"Output({output.name!r})"
    root = asked.settings.root
    scheme = "s3://" if control.startswith("s3://") else "file://"
    if not root.startswith(scheme):
        raise _problem(
            f"the control writes to {control}, and the store is {root}",
            named,
            "say where the candidate writes: candidate='...'",
        )
    if asked.in_pods and scheme == "file://":
        raise _problem(
            f"the candidate runs in a pod, and what it writes to a local path as {control} is lost with it",
            named,
            "say candidate='s3://...' where the function takes a URI, or a path on a volume that the workers "
            "have too",
        )
    last = control.rstrip("/").rpartition("/")[2]
    if last in ("", ".", ".."):
        raise _problem(f"{control} names no file and no folder", named, "name the folder itself")
    closing = "/" if control.endswith("/") else ""
    place = f"{root}/{asked.lead}/{safe_segment(output.name)}/{last}{closing}"
    return place if control.startswith(scheme) else str(path_of(place)) + closing


def _rendered(text: str, asked: Asked, place: str) -> str:
    if "{" not in text:
        return text
    try:
        return asked.render(text)
    except Exception as error:
        raise _problem(f"{text!r} cannot be rendered: {error}", place, "correct the template") from error


def renderer(operator: Any, seen: Mapping[str, Any]) -> Callable[[str], str]:
    """What renders a text with Airflow's context *seen*; its result is text, and never a file's content."""
    return lambda text: str(operator.render_template(text + _NO_FILE, seen))


def _set_argument(operator: Any, name: str, value: str) -> None:
    function = operator.python_callable
    parameters = arguments.parameters_of(
        arguments.plain_function(function), place=arguments.place_of(function)
    )
    positional = [one for one, by in parameters.items() if by.kind in _POSITIONAL]
    fixed, by_name = arguments.bound(function)
    given = list(operator.op_args or ())
    at = positional.index(name) - len(fixed) if name in positional else len(given)
    if 0 <= at < len(given):
        given[at] = _like(given[at], value)
        operator.op_args = given
        return
    kwargs = dict(operator.op_kwargs or {})
    operator.op_kwargs = {**kwargs, name: _like(kwargs.get(name, by_name.get(name)), value)}


def _like(before: object, value: str) -> object:
    return Path(value) if isinstance(before, PurePath) else value


def _remove_objects(uri: str, settings: StoreSettings) -> None:
    from stepbridge.store.opening import settings_for
    from stepbridge.store.s3 import S3Store

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    store = S3Store(settings_for(uri, settings), bucket, "", foreign=True)
    for info in list(store.list(prefix)):
        store.delete(info.key)


# places ---------------------------------------------------------------------------------------------------


def is_local(place: str) -> bool:
    """Whether *place* is on this machine's disk."""
    return not place.startswith("s3://")


def local_files(place: str) -> Iterator[Path]:
    """What lies at a local place: the file or folder itself, and everything below it."""
    path = path_of(place)
    if path.exists():
        yield path
    for folder, folders, files in os.walk(path):
        folders.sort()
        yield from (Path(folder, name) for name in sorted([*folders, *files]))


def same(control: str, candidate: str) -> bool:
    """Whether two places are one."""
    return _normal(control) == _normal(candidate)


def _overlap(one: str, other: str) -> bool:
    """Whether two places are one, or one of them lies in the other."""
    first, second = _normal(one), _normal(other)
    return first == second or first.startswith(f"{second}/") or second.startswith(f"{first}/")


def _normal(place: str) -> str:
    if place.startswith("s3://"):
        return place.rstrip("/")
    return "file://" + os.path.realpath(path_of(place)).rstrip("/")


def path_of(place: str) -> Path:
    """The path of a local place."""
    return Path(place.removeprefix("file://").removeprefix("localhost"))


def _same_place(control: str, candidate: str, place: str) -> OperatorProblem:
    return _problem(
        f"the candidate would write to {candidate}, and the control writes to {control}",
        place,
        "give it another place; Compare(idempotent=True) says that writing there twice does no harm",
    )


def _problem(cause: str, place: str, hint: str) -> OperatorProblem:
    return OperatorProblem("SB510", cause, place=place, hint=hint)
