"""Runs in the project's own Airflow: gives the DAGs of a file before and after an edit, as JSON.

A script for the standard library and whatever Airflow the interpreter has (2.4 to 3.x, Python 3.8 and
newer); ``project.py`` starts it as ``python airflow_side.py REQUEST``, with an Airflow home of its own in the
environment. Airflow is imported once; each side is then a fork of that process. The edited text is never put
into the tree: whoever opens the file for reading in the fork that is *after* gets the text of another file.
"""

# ruff: noqa: PTH100, PTH118, PTH120 - what is patched here is below pathlib

from __future__ import annotations

import builtins
import gc
import importlib.machinery
import importlib.util
import io
import json
import linecache
import os
import pathlib
import socket
import sys
import time
import tokenize
import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import Any

SIDES = ("before", "after")
HERE = os.path.dirname(os.path.abspath(__file__))


def main(request_path: str) -> int:
    """Load both sides; the exit status is 0 where each has left its file."""
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    sys.dont_write_bytecode = True
    gc.disable()  # a collection walks all of Airflow's objects, and in a fork copies their pages
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != HERE]
    sys.path.extend(path for path in request["paths"] if path not in sys.path)
    airflow = _Airflow()
    children = []
    sys.stdout.flush()
    sys.stderr.flush()
    for side in SIDES:
        child = os.fork()
        if child == 0:
            _child(airflow, request, side)
        children.append(child)
    return max(_status(child) for child in children)


def _status(child: int) -> int:
    status = os.waitpid(child, 0)[1]
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _child(airflow: _Airflow, request: dict[str, Any], side: str) -> None:
    code = 1
    try:
        _write(os.path.join(request["out"], side + ".json"), _side(airflow, request, side))
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this fork must end here and must say why
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _side(airflow: _Airflow, request: dict[str, Any], side: str) -> dict[str, Any]:
    stood: list[str] = []
    if request["stand_ins"]:
        stood = _stand_ins().install()
    _no_network()
    if side == "after":
        overlay(request["overlay"])
    result = airflow.load(request["entries"])
    if side == "before":
        _forget(request["first_party"])
        result["again"] = airflow.load(request["entries"])["dags"]
    result["stand_ins"] = sorted(set(stood))
    return result


def _stand_ins() -> Any:
    spec = importlib.util.spec_from_file_location("_stand_ins", os.path.join(HERE, "stand_ins.py"))
    if spec is None or spec.loader is None:
        raise ImportError("stand_ins.py is not beside airflow_side.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write(path: str, value: dict[str, Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, default=repr)


class _Airflow:
    """The Airflow of this interpreter, imported."""

    def __init__(self) -> None:
        import airflow

        self.version = airflow.__version__
        try:
            from airflow.dag_processing.dagbag import DagBag
        except ImportError:
            from airflow.models.dagbag import DagBag
        try:
            from airflow.serialization.serialized_objects import DagSerialization as Serialized
        except ImportError:
            from airflow.serialization.serialized_objects import SerializedDAG as Serialized
        self.bag_type = DagBag
        self.serialized = Serialized
        _tables()

    def load(self, entries: list[str]) -> dict[str, Any]:
        """Import the files as the DAG processor does, and serialize what they make."""
        started = time.monotonic()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            bag = self.bag_type(dag_folder=os.devnull, collect_dags=False)
            for path in entries:
                bag.process_file(path, only_if_updated=False, safe_mode=False)
        seconds = time.monotonic() - started
        errors = {str(path): str(text) for path, text in bag.import_errors.items()}
        dags = {}
        for dag_id, dag in bag.dags.items():
            try:
                dags[dag_id] = self.serialized.to_dict(dag)
            except Exception:  # noqa: BLE001 - Airflow's serializers raise anything; it is an import error there too
                errors["serializing " + dag_id] = traceback.format_exc()
        return {
            "airflow": self.version,
            "python": sys.version.split()[0],
            "dags": dags,
            "errors": errors,
            "seconds": seconds,
            "warnings": sorted({_warning(one) for one in _warnings(bag, caught)}),
        }


def _warnings(bag: Any, caught: Iterable[warnings.WarningMessage]) -> list[str]:
    """What Airflow caught itself, and the rest."""
    own = [text for texts in getattr(bag, "captured_warnings", {}).values() for text in texts]
    return [*own, *(f"{one.category.__name__}: {one.message}" for one in caught)]


def _warning(text: str) -> str:
    """A warning without the place, which moves with the lines."""
    parts = text.split(": ", 1)
    return parts[1] if len(parts) == 2 and ".py:" in parts[0] else text


def _tables() -> None:
    """Empty tables of Variables and Connections, so that a default in ``Variable.get`` counts."""
    try:
        from airflow import settings
        from airflow.models import Connection, Variable

        for model in (Variable, Connection):
            model.__table__.create(bind=settings.engine, checkfirst=True)
        settings.engine.dispose()
    except Exception:  # noqa: BLE001 - without them a file that asks for a Variable fails on both sides alike
        traceback.print_exc()


def _no_network() -> None:
    """Let no connection leave this machine or this process, sockets of the file system apart."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("the verification of stepbridge runs without network")

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: Any) -> Any:
            return real(self, address) if self.family == socket.AF_UNIX else refuse()

        return connect

    socket.socket.connect = guarded(socket.socket.connect)  # type: ignore[method-assign]
    socket.socket.connect_ex = guarded(socket.socket.connect_ex)  # type: ignore[method-assign]
    socket.getaddrinfo = refuse


def _forget(folders: list[str]) -> None:
    """Drop the project's own modules, so that the next import runs them again."""
    inside = tuple(os.path.join(folder, "") for folder in folders)
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.startswith(inside) and "site-packages" not in path:
            del sys.modules[name]


def overlay(texts: dict[str, str]) -> None:
    """From now on who reads one of these paths gets the bytes of the other file.

    :param texts: a path, absolute, to the path that stands for it.
    """
    instead = {}
    for path, other in texts.items():
        instead[path] = instead[os.path.realpath(path)] = other

    def reads(path: Any) -> str | None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return None
        return instead.get(os.path.abspath(os.fsdecode(path)))

    real_open, real_os_open, real_code = io.open, os.open, io.open_code

    def open_(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        other = reads(file) if not set(mode) & set("wax+") else None
        if other is not None:
            options.pop("opener", None)  # pathlib's of Python 3.9 opens its own path, whatever the name is
        return real_open(other or file, mode, *args, **options)

    def os_open(path: Any, flags: int, *args: Any, **options: Any) -> int:
        other = reads(path) if not flags & (os.O_WRONLY | os.O_RDWR) else None
        return real_os_open(other or path, flags, *args, **options)

    builtins.open = io.open = open_
    tokenize._builtin_open = open_  # type: ignore[attr-defined]
    if sys.version_info[:2] == (3, 10):  # the only one whose pathlib keeps a name of its own for it
        pathlib._NormalAccessor.open = staticmethod(open_)  # type: ignore[attr-defined]
    io.open_code = lambda path: real_code(reads(path) or path)
    os.open = os_open
    for path in instead:
        linecache.cache.pop(path, None)
    _source_of(reads)


def _source_of(reads: Callable[[Any], str | None]) -> None:
    """Have the import system compile the other text too, and never take a ``.pyc`` of the old one."""
    loader = importlib.machinery.SourceFileLoader
    real_data, real_code = loader.get_data, loader.get_code

    def get_data(self: Any, path: str) -> bytes:
        return real_data(self, reads(path) or path)

    def get_code(self: Any, fullname: str) -> Any:
        path = self.get_filename(fullname)
        if reads(path) is None:
            return real_code(self, fullname)
        return self.source_to_code(self.get_data(path), path)

    loader.get_data = get_data  # type: ignore[method-assign]
    loader.get_code = get_code  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
