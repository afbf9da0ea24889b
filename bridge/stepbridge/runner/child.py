"""The process that runs the user's function: ``python -m stepbridge.runner.child <working directory>``.

It reads what its runner put there, calls the function, encodes what comes back and writes its outcome last.
It talks to no store. Whatever the function does to its process, only the process that started here may write
the outcome, and only whole.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepbridge import documents
from stepbridge.contract import Fields, Outside, Request, Stored, Value
from stepbridge.failures import RunProblem, StepbridgeError, TypeProblem
from stepbridge.runner import linux
from stepbridge.runner.workspace import (
    Failure,
    Inputs,
    Outcome,
    Workspace,
    clipped,
    is_retryable,
    leaf_key,
    tail,
    write,
)

if TYPE_CHECKING:
    from stepbridge.facade.context import Context
    from stepbridge.interface import Interface
    from stepbridge.values import Located


def main(arguments: list[str]) -> int:
    """Run the step that lies in the directory ``arguments[0]``; the outcome says how it went."""
    linux.die_with_parent(signal.SIGKILL, int(os.environ.pop("STEPBRIDGE_PARENT", "0")) or os.getppid())
    _prepare_streams()
    work = Workspace(Path(arguments[0]))
    owner = os.getpid()
    try:
        outcome = _run(work, owner)
    except BaseException as error:  # noqa: BLE001 - user code may raise anything, and all of it is an outcome
        outcome = Outcome(failure=_failure(error, work))
    if os.getpid() != owner:
        _leave(1)
    write(work.outcome, outcome)
    _flush()
    return 0 if outcome.failure is None else 1


def _prepare_streams() -> None:
    import faulthandler

    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True, errors="backslashreplace")
    _show_log_records()


def _show_log_records() -> None:
    """Show records from INFO up, as a task's log in Airflow does."""
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


def _leave(status: int) -> None:
    """End a copy of this process that the function forked and that came back here."""
    _flush()
    os._exit(status)


def _run(work: Workspace, owner: int) -> Outcome:
    request = documents.load(Request, work.request.read_bytes(), place=str(work.request))
    inputs = documents.load(Inputs, work.index.read_bytes(), place=str(work.index))
    step = Step(request, work, _locator(inputs))
    function = step.load()
    from stepbridge.interface import Interface

    interface = Interface.of(function)
    args, kwargs, context = step.arguments(function, interface)
    result = _call(function, args, kwargs, context)
    if os.getpid() != owner:
        _leave(0)
    return step.outcome(result, interface)


def _locator(inputs: Inputs) -> Callable[[Stored | Outside], Located]:
    from stepbridge.values import Located

    def locate(leaf: Stored | Outside) -> Located:
        fetched = inputs.located[leaf_key(leaf)]
        return Located(fetched.manifest, Path(fetched.path))

    return locate


class Step:
    """One step inside its process: from the request to arguments, from the result to values.

    :param locate: where an input lies on this machine.
    """

    def __init__(
        self, request: Request, work: Workspace, locate: Callable[[Stored | Outside], Located]
    ) -> None:
        self._request = request
        self._work = work
        self._locate = locate
        self._pushed: dict[str, Value] = {}
        self._stagings = 0

    def load(self) -> Callable[..., Any]:
        """The function, imported."""
        from stepbridge.annotations import UNANNOTATED
        from stepbridge.code.loading import load_entry

        captured = {
            name: self._decode(value, UNANNOTATED, f"captured {name!r}")
            for name, value in self._request.code.captured.items()
        }
        return load_entry(self._work.code, self._request.code, captured)

    def arguments(
        self, function: Callable[..., Any], interface: Interface
    ) -> tuple[tuple[Any, ...], dict[str, Any], Context | None]:
        """What to call the function with, and the context that is current meanwhile."""
        from stepbridge.facade import arguments

        context = self._context()
        positional = _positional(interface)
        args = tuple(
            self._decode(value, positional(number), f"argument {number + 1}")
            for number, value in enumerate(self._request.args)
        )
        kwargs = {
            name: self._decode(value, interface.annotation(name), f"argument {name!r}")
            for name, value in self._request.kwargs.items()
        }
        args, kwargs = arguments.arrange(function, args, kwargs, context, place=self._request.step)
        return args, kwargs, context

    def _context(self) -> Context | None:
        if self._request.context is None:
            return None
        from stepbridge.annotations import UNANNOTATED
        from stepbridge.facade import context

        return context.build(
            self._request.context,
            decode=lambda value, place: self._decode(value, UNANNOTATED, place),
            push=self._push,
        )

    def _decode(self, value: Value, annotation: object, place: str) -> object:
        from stepbridge import values

        return values.decode(value, annotation, self._locate, place=place)

    def _encode(self, value: object, annotation: object, place: str) -> Value:
        from stepbridge import values

        self._stagings += 1
        staging = self._work.staging / f"{os.getpid()}-{self._stagings}"
        staging.mkdir(parents=True)
        return values.encode(value, annotation, staging, place=place, inline_limit=self._request.inline_limit)

    def _push(self, key: str, value: object) -> None:
        from stepbridge.annotations import UNANNOTATED

        self._pushed[key] = self._encode(value, UNANNOTATED, f"xcom_push(key={key!r})")

    def outcome(self, result: object, interface: Interface) -> Outcome:
        """*result* and what was pushed, encoded."""
        _check_result(result)
        place = f"the result of {self._request.step}"
        if self._request.multiple_outputs and result is not None:
            output = self._several(result, interface, place)
        else:
            output = self._encode(result, interface.output, place)
        return Outcome(output=output, xcoms=self._pushed)

    def _several(self, result: object, interface: Interface, place: str) -> Value:
        """Several outputs: one value for each key, so that each is pushed as what it is."""
        if not isinstance(result, Mapping):
            output = self._encode(result, interface.output, place)
            if isinstance(output, Fields):
                return output
            raise TypeProblem(
                "SB103",
                f"multiple_outputs needs a mapping, the function returned {type(result).__qualname__}",
                place=place,
                hint="return a dict with string keys, or set multiple_outputs=False",
            )
        odd = [key for key in result if not isinstance(key, str)]
        if odd:
            raise TypeProblem(
                "SB103",
                f"multiple_outputs needs string keys, found {odd[0]!r}",
                place=place,
                hint="make the keys strings, or set multiple_outputs=False",
            )
        hints = _member_annotations(interface.output)
        return Fields(
            {key: self._encode(item, hints(key), f"{place}[{key!r}]") for key, item in result.items()}
        )


def _member_annotations(output: object) -> Callable[[str], object]:
    import typing

    from stepbridge.annotations import UNANNOTATED

    arguments = typing.get_args(output)
    origin = typing.get_origin(output)
    if isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2:
        return lambda _: arguments[1]
    if typing.is_typeddict(output):
        hints = typing.get_type_hints(output)
        return lambda key: hints.get(key, UNANNOTATED)
    return lambda _: UNANNOTATED


def _positional(interface: Interface) -> Callable[[int], object]:
    """The annotation of the n-th positional argument."""
    from stepbridge.annotations import UNANNOTATED

    ordered = [item.annotation for item in interface.parameters if item.kind in {"positional", "plain"}]
    collecting = [item.annotation for item in interface.parameters if item.kind == "args"]
    more = collecting[0] if collecting else UNANNOTATED
    return lambda number: ordered[number] if number < len(ordered) else more


def _call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Context | None
) -> Any:
    """The function's result; a coroutine is run to its end."""
    if context is None:
        return _finished(function(*args, **kwargs))
    from stepbridge.facade.context import current

    with current(context):
        return _finished(function(*args, **kwargs))


def _finished(result: Any) -> Any:
    if type(result).__name__ == "coroutine":
        import asyncio

        return asyncio.run(result)
    return result


def _check_result(result: object) -> None:
    kind = type(result).__name__
    if kind not in {"generator", "async_generator"}:
        return
    raise TypeProblem(
        "SB102",
        f"the function is a generator: it returned {result!r} and none of its code has run",
        place="return value",
        hint="return a list, list(...), or write the parts to a Directory",
    )


def _failure(error: BaseException, work: Workspace) -> Failure:
    """What *error*, raised on the way from the request to the outcome, means."""
    from stepbridge.facade.exceptions import signal_of

    shown = _traceback(error).replace(f"{work.code}{os.sep}", "")
    asked = signal_of(error)
    if asked != "skip":
        _show(shown)
    problem = _problem(error)
    if problem is None:
        return Failure(
            kind="user",
            code="SB402",
            type=type(error).__qualname__,
            message=clipped(_text(error) + _left_behind(error, work)),
            traceback=tail(shown),
            retryable=not asked,
            signal=asked,
        )
    return Failure(
        kind=problem.kind,
        code=problem.code.id,
        type=type(error).__qualname__,
        message=clipped(problem.describe()),
        traceback=tail(shown),
        retryable=is_retryable(problem.kind, problem.code.id),
        exit_status=_exit_status(error),
    )


def _exit_status(error: BaseException) -> int | None:
    """The status with which *error* would have ended the process; None where it is no ``SystemExit``."""
    if not isinstance(error, SystemExit):
        return None
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1


def _problem(error: BaseException) -> StepbridgeError | None:
    """The coded error that *error* is or stands for; None for any other exception of the user's code."""
    if isinstance(error, StepbridgeError):
        return error
    if isinstance(error, SystemExit):
        return RunProblem(
            "SB403",
            f"the function called sys.exit({'' if error.code is None else repr(error.code)})",
            hint="return from the function; raise an exception to fail the task",
        )
    if isinstance(error, MemoryError):
        return RunProblem(
            "SB406", f"MemoryError: {error}", hint="give the step more memory, or read its data in parts"
        )
    if isinstance(error, ModuleNotFoundError):
        from stepbridge.code.loading import missing_module

        return missing_module(error, "the function")
    return None


def _left_behind(error: BaseException, work: Workspace) -> str:
    """What to do about a file that lay beside the source and was not shipped, or in another folder."""
    if not isinstance(error, FileNotFoundError) or not isinstance(error.filename, str):
        return ""
    if Path(error.filename).is_relative_to(work.code):
        name = os.path.relpath(error.filename, work.code)
        return f". Next: ship the file with the step, files=[{name!r}]"
    if not os.path.isabs(error.filename):  # noqa: PTH117 - a name as the function wrote it
        return ". Next: a step runs in an empty folder; give an absolute path, or ship the file, files=[...]"
    return ""


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - __str__ is user code as well
        return f"<no message: {type(second).__name__} in __str__>"


_OURS = str(Path(__file__).resolve().parent.parent) + os.sep


def _is_users(filename: str) -> bool:
    return not filename.startswith((_OURS, "<frozen "))


def _traceback(error: BaseException) -> str:
    """The traceback with the user's frames only, and without those of the errors it came from."""
    import traceback

    try:
        told = traceback.TracebackException.from_exception(error)
        seen: set[int] = set()
        chain: list[traceback.TracebackException | None] = [told]
        while chain:
            one = chain.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            one.stack[:] = [frame for frame in one.stack if _is_users(frame.filename)]
            chain += [one.__cause__, one.__context__, *(one.exceptions or ())]
        return "".join(told.format())
    except Exception as second:  # noqa: BLE001 - formatting calls the user's __str__ and __repr__
        return f"{type(error).__qualname__} (its traceback cannot be shown: {type(second).__name__})\n"


def _show(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
