"""What a function has captured from the functions around it: plain values, and references to other code."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepbridge import hashing
from stepbridge.failures import CodeProblem, TypeProblem

SCOPE = "__stepbridge_scope_1"
BODY = "__stepbridge_body_1"
LAMBDA = "__stepbridge_lambda_1"
DEFAULT = "__stepbridge_default_"


@dataclass(frozen=True)
class Reference:
    """An object that importing gives again.

    :param expression: Python text that evaluates to it.
    :param module: the module it comes from.
    :param name: the first part of its name there; empty for the module itself.
    """

    expression: str
    module: str
    name: str


@dataclass
class Captured:
    """The closure of the definition that is sliced.

    :param cells: what the live functions hold, by name.
    :param values: what is handed to the scope when the step runs.
    :param references: what is found again by importing, or by its name in the module.
    """

    cells: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    references: dict[str, Reference] = field(default_factory=dict)
    clashes: set[str] = field(default_factory=set)

    def take(self, function: object) -> None:
        """Add the cells of a live function, or of all functions of a class."""
        for name, value in cells_of(function):
            if name in self.cells and self.cells[name] is not value:
                self.clashes.add(name)
            self.cells[name] = value

    @property
    def name(self) -> str:
        """The name of the function that stands in place of the enclosing one."""
        return BODY if self.references else SCOPE

    def parameters(self) -> str:
        """Its parameters as text."""
        return ", ".join([*sorted(self.values), *sorted(self.references)])

    def closing(self) -> str:
        """The last line of the module, where all that references name is defined; empty if there are none."""
        if not self.references:
            return ""
        plain = ", ".join(sorted(self.values))
        given = [f"{name}={name}" for name in sorted(self.values)]
        given += [f"{name}={self.references[name].expression}" for name in sorted(self.references)]
        return f"{SCOPE} = lambda {plain}: {BODY}({', '.join(given)})".replace("lambda :", "lambda:")


def cells_of(function: object) -> Iterator[tuple[str, Any]]:
    """The names and values that a function's or a class's closures hold."""
    if isinstance(function, type):
        for member in vars(function).values():
            yield from cells_of(getattr(member, "__func__", getattr(member, "fget", member)))
    elif isinstance(function, types.FunctionType):
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                if name != "__class__":
                    yield name, cell.cell_contents
            except ValueError:
                continue


def unwrapped(value: object) -> object:
    """The function inside Airflow's decorator objects, *value* itself otherwise."""
    inner = getattr(value, "function", None)
    known = type(value).__module__.partition(".")[0] in {"airflow", "stepbridge_airflow"}
    return inner if known and callable(inner) else value


def is_plain(value: object) -> bool:
    """True for values that have a canonical encoding."""
    try:
        hashing.encode(value)
    except (TypeProblem, RecursionError):
        return False
    return True


def reference_to(value: object, home: Mapping[str, Any], home_name: str) -> Reference | None:
    """How to find a module, function or class again by importing, None where that would not give it.

    :param home: the live globals of the file that is sliced.
    :param home_name: the module name that those globals carry.
    """
    if isinstance(value, types.ModuleType):
        return Reference(f"__import__({value.__name__!r}, fromlist=['_'])", value.__name__, "")
    module = getattr(value, "__module__", None)
    qualname = getattr(value, "__qualname__", None)
    if isinstance(value, types.BuiltinFunctionType) and module is None:
        return None
    if not isinstance(module, str) or not isinstance(qualname, str) or "<" in qualname:
        return None
    first = qualname.partition(".")[0]
    if module == home_name and first in home:
        return Reference(qualname, "", first) if _follow(home[first], qualname) is value else None
    import sys

    live = sys.modules.get(module)
    if live is None or _follow(getattr(live, first, None), qualname) is not value:
        return None
    return Reference(f"__import__({module!r}, fromlist=['_']).{qualname}", module, first)


def _follow(value: object, qualname: str) -> object:
    for part in qualname.split(".")[1:]:
        value = getattr(value, part, None)
    return unwrapped(value)


def refuse_capture(name: str, value: object, place: str, function: str) -> CodeProblem:
    """The error for a captured value that cannot ship."""
    cls = type(value)
    return CodeProblem(
        "SB205",
        f"{function} captures {name!r} from the function around it, a {cls.__module__}.{cls.__qualname__}",
        place=place,
        hint=f"pass it as an argument ({name}=...), or make it inside {function}",
    )


def refuse_local(name: str, place: str, function: str) -> CodeProblem:
    """The error for a local of an enclosing function that no live closure holds."""
    return CodeProblem(
        "SB205",
        f"{function} needs {name!r}, a local of the function around it, when it is defined",
        place=place,
        hint=f"pass {name} as an argument of the step, or define it at module level",
    )


def live_defaults(function: object, names: list[str], keywords: list[str]) -> dict[str, Any]:
    """The live default values by parameter.

    :param names: the positional parameters in order.
    :param keywords: the keyword-only parameters.
    """
    found: dict[str, Any] = {}
    defaults = getattr(function, "__defaults__", None) or ()
    if defaults:
        found.update(zip(names[-len(defaults) :], defaults, strict=False))
    more = getattr(function, "__kwdefaults__", None) or {}
    found.update({name: more[name] for name in keywords if name in more})
    return found


def file_of(function: object) -> Path | None:
    """The file of a Python function's code."""
    code = getattr(function, "__code__", None)
    return Path(code.co_filename) if isinstance(code, types.CodeType) else None
