"""Objects that stand for what the project's Airflow environment has not: modules, operators, Variables.

Used by ``airflow_side.py`` in the project's interpreter (Python 3.8 and newer), and only where it was asked
for. What was replaced is reported, so that nobody takes the answer for one of the real environment.
"""

# ruff: noqa: ARG001, ARG002, PTH100, PTH118, PTH120, UP017, UP033 - the signatures are not ours, the Python is 3.8

from __future__ import annotations

import ast
import datetime
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import types
from typing import Any

_ENDINGS = ("Operator", "Sensor", "OperatorAsync", "SensorAsync")
_MOVED = {"DummyOperator": "EmptyOperator"}
_HOMES = (
    "airflow.sdk",
    "airflow.decorators",
    "airflow.models",
    "airflow.providers.standard.operators.python",
    "airflow.operators.python",
    "airflow.providers.standard.operators.bash",
    "airflow.operators.bash",
    "airflow.providers.standard.operators.empty",
    "airflow.operators.empty",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.operators.trigger_dagrun",
    "airflow.providers.standard.sensors.external_task",
    "airflow.sensors.external_task",
    "airflow.utils.task_group",
    "airflow.utils.trigger_rule",
    "airflow.hooks.base",
)
"""Where a name of Airflow's may live in this version; the first that has it counts."""


def install() -> list[str]:
    """Stand in for modules that nothing else finds, and for Variables that have no value.

    :returns: a list that grows with each name that is replaced.
    """
    stood: list[str] = []
    steps = None
    if importlib.util.find_spec("stepbridge_airflow") is None:
        steps = _steps().names(lambda: stood.append("stepbridge_airflow"))
    sys.meta_path.append(_Finder(stood, steps))
    _variables(stood)
    return stood


class Anything:
    """Takes every use that a DAG file makes of an object while it is read."""

    def __init__(self, name: str = "?") -> None:
        self.__dict__["_name"] = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return _named(f"{self._name}.{name}", name)

    def __call__(self, *args: Any, **options: Any) -> Any:  # noqa: D102
        plain = len(args) == 1 and not options and inspect.isroutine(args[0])
        return args[0] if plain else Anything(f"{self._name}()")

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (Anything,)

    def __repr__(self) -> str:
        return f"<stand-in {self._name}>"

    def __iter__(self) -> Any:
        return iter(())

    def __getitem__(self, key: Any) -> Any:
        return Anything(f"{self._name}[]")

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return True

    def __int__(self) -> int:
        return 1

    __index__ = __int__

    def __float__(self) -> float:
        return 1.0

    def __fspath__(self) -> str:
        return "stand-in"

    def __same(self, *_: Any) -> Any:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __same
    __mod__ = __or__ = __ror__ = __and__ = __rshift__ = __rrshift__ = __lshift__ = __rlshift__ = __same


def _named(full: str, name: str) -> Any:
    """What an attribute of a missing module may be: Airflow's own elsewhere, an operator, anything."""
    real = _real(_MOVED.get(name, name)) if full.startswith("airflow.") else None
    if real is not None:
        return real
    if name.endswith(_ENDINGS):
        return _operator(name)
    if name == "days_ago":
        return _days_ago
    return Anything(full)


def _days_ago(days: int, **_: Any) -> datetime.datetime:
    return datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc) - datetime.timedelta(days=days)


def _real(name: str) -> Any:
    for home in _HOMES:
        try:
            module = importlib.import_module(home)
        except ImportError:
            continue
        if not isinstance(module, _Module) and name in vars(module):
            return vars(module)[name]
        try:
            found = None if isinstance(module, _Module) else getattr(module, name, None)
        except (ImportError, RuntimeError):
            found = None
        if found is not None:
            return found
    return None


def _operator(name: str) -> type:
    """An operator that takes every argument and keeps those that all operators have."""
    base: Any = _real("BaseOperator")
    known = set(inspect.signature(base.__init__).parameters)

    def start(self: Any, **options: Any) -> None:
        base.__init__(self, **{key: value for key, value in options.items() if key in known})

    def execute(self: Any, context: Any) -> None:
        return None

    made: type = type(base)(name, (base,), {"__init__": start, "execute": execute, "__module__": __name__})
    return made


class _Module(types.ModuleType):
    """A module that has every attribute."""

    __path__: list[str]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        value = _named(f"{self.__name__}.{name}", name)
        setattr(self, name, value)
        return value


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The last to be asked for a module."""

    def __init__(self, stood: list[str], steps: dict[str, Any] | None) -> None:
        self.stood = stood
        self.steps = steps

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        top = fullname.split(".")[0]
        if top.startswith("_") or not _asked_by_the_project():
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: Any) -> Any:
        self.stood.append(spec.name)
        module = _Module(spec.name)
        if spec.name == "stepbridge_airflow" and self.steps is not None:
            vars(module).update(self.steps)
        return module

    def exec_module(self, module: Any) -> None:
        module.__path__ = []


def _steps() -> Any:
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stand_in_steps.py")
    spec = importlib.util.spec_from_file_location("_stand_in_steps", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _asked_by_the_project() -> bool:
    """The import stands in the project's code: libraries try optional modules and live without them."""
    frame: Any = sys._getframe(2)
    while frame is not None and (
        "importlib" in frame.f_code.co_filename or frame.f_code.co_filename == __file__
    ):
        frame = frame.f_back
    if frame is None:
        return False
    if isinstance(sys.modules.get(frame.f_globals.get("__name__", "")), _Module):
        return True
    if _guarded(frame.f_code.co_filename, frame.f_lineno):
        return False
    return "site-packages" not in frame.f_code.co_filename and not frame.f_code.co_filename.startswith(
        (sys.base_prefix, sys.prefix)
    )


def _variables(stood: list[str]) -> None:
    """A Variable that has no value here has one that stands for it."""
    for home in ("airflow.models", "airflow.models.variable", "airflow.sdk"):
        try:
            variable: Any = importlib.import_module(home).Variable
        except (ImportError, AttributeError):
            continue
        if "_stepbridge_real" not in vars(variable):
            variable._stepbridge_real = variable.get
            variable.get = _get(variable._stepbridge_real, stood)


def _guarded(path: str, line: int) -> bool:
    """The line stands in a ``try`` that goes on without the module."""
    return any(start <= line <= end for start, end in _tries(path))


@functools.lru_cache(maxsize=None)
def _tries(path: str) -> tuple[tuple[int, int], ...]:
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return ()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and any(_takes_import_error(one.type) for one in node.handlers):
            found.append((node.body[0].lineno, max(one.end_lineno or one.lineno for one in node.body)))
    return tuple(found)


def _takes_import_error(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    names = {node.id for node in ast.walk(caught) if isinstance(node, ast.Name)}
    return bool(names & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def _get(real: Any, stood: list[str]) -> Any:
    def get(key: str, *args: Any, **options: Any) -> Any:
        try:
            return real(key, *args, **options)
        except Exception:  # noqa: BLE001 - no such Variable is another exception in each version
            stood.append(f"Variable {key}")
            return Anything(key) if options.get("deserialize_json") else f"stand-in-{key}"

    return get
