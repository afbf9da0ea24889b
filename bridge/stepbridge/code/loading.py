"""From an unpacked bundle to the function to call, in the step's own process."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stepbridge.code.scope import unwrapped
from stepbridge.contract import CodeRef
from stepbridge.failures import CodeProblem


def load_entry(directory: Path, code: CodeRef, captured: Mapping[str, object]) -> Callable[..., Any]:
    """Import what *code* names and resolve it.

    :param directory: where the bundle was unpacked; it comes first on ``sys.path``. Not used for ``image``.
    :param captured: the decoded values of the function's closure.
    :raises CodeProblem: SB208 for a module that is missing here, SB203 for a name that is.
    """
    if code.source == "bundle" and str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
        importlib.invalidate_caches()
    module, _, qualname = code.entry.partition(":")
    try:
        value: Any = importlib.import_module(module)
    except ImportError as error:
        problem = missing_module(error, code.entry)
        if problem is None:
            raise
        raise problem from error
    for part in qualname.split("."):
        try:
            value = getattr(value, part)
        except AttributeError as error:
            raise CodeProblem(
                "SB203",
                f"{module} has no {qualname!r}",
                place=str(getattr(sys.modules.get(module), "__file__", module)),
                hint="the module in the image is another than the one the task was made from",
            ) from error
    if code.scope:
        value = value(**captured)
    found: Callable[..., Any] = unwrapped(value)  # type: ignore[assignment]
    return found


def missing_module(error: ImportError, entry: str) -> CodeProblem | None:
    """SB208 for an import that failed, with the line that asks for it; None where it names no module."""
    if not error.name:
        return None
    where = _asking(error)
    top = error.name.partition(".")[0]
    if not isinstance(error, ModuleNotFoundError):
        cause = f"{error.msg}"
        hint = f"the image holds another version of {top} than the worker; install the same one"
    elif top == "airflow":
        cause = f"the code imports {error.name}, and Airflow is not installed where the step runs"
        hint = "use an image with Airflow, or bind what the step needs of Airflow as arguments"
    else:
        cause = f"there is no module {error.name!r} where the step runs"
        hint = (
            f"add {top} to the image; if it is part of the project, "
            "declare the directory it lies in as a root (roots=[...])"
        )
    return CodeProblem("SB208", cause, place=where or entry, hint=hint)


def _asking(error: BaseException) -> str:
    """The file and line of the innermost import statement that failed."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
        and Path(frame.filename).name != "loading.py"
        and "importlib" not in Path(frame.filename).parts
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
