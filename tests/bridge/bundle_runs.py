"""Runs many bundles quickly: one bare interpreter without project and Airflow, which forks for each run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code_project import LIBRARY

from stepbridge.code.slicing import Slice

_FORKS = """
import json, os, sys, traceback
sys.path.insert(0, sys.argv[1])
class NoAirflow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("airflow", "stepbridge_airflow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoAirflow())
sys.dont_write_bytecode = True
from pathlib import Path
import asyncio, dataclasses, enum, functools, importlib.resources, pkgutil
from stepbridge.code.loading import load_entry
from stepbridge.contract import CodeRef
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
def run(order):
    os.chdir(order["directory"])
    try:
        code = CodeRef("bundle", order["entry"], "", scope=order["scope"])
        function = load_entry(Path(order["directory"]), code, order["captured"])
        values = []
        for args in order["inputs"]:
            try:
                values.append({"result": function(*args, **order["kwargs"])})
            except Exception as error:
                values.append({"error": repr(error)})
        return json.dumps(values)
    except BaseException as error:
        return json.dumps([{"error": repr(error), "trace": traceback.format_exc()}])
for line in sys.stdin:
    order = json.loads(line)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        with os.fdopen(write, "w") as out:
            out.write(run(order))
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as source:
        text = source.read()
    os.waitpid(child, 0)
    answers.write(text + "\\n")
    answers.flush()
"""


@dataclass
class Runs:
    """The interpreter; each run is a fork of it with modules of its own."""

    process: subprocess.Popen[str]
    directory: Path
    count: int = 0

    def outcomes(
        self, piece: Slice, inputs: Sequence[Sequence[object]] = ((),), **kwargs: object
    ) -> list[Mapping[str, Any]]:
        """What the slice's function returns or raises for each of *inputs*, all in one process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.count += 1
        target = self.directory / f"run{self.count}"
        for name, data in {**piece.modules, **piece.files}.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        target.mkdir(exist_ok=True)
        order = {
            "directory": str(target),
            "entry": piece.entry,
            "scope": piece.is_scope,
            "captured": dict(piece.captured),
            "inputs": [[*piece.bound_args, *args] for args in inputs],
            "kwargs": {**piece.bound_kwargs, **kwargs},
        }
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        found: list[Mapping[str, Any]] = json.loads(self.process.stdout.readline())
        return found

    def result(self, piece: Slice, *args: object, **kwargs: object) -> Any:
        """The value that the slice's function returns."""
        (found,) = self.outcomes(piece, [args], **kwargs)
        assert "result" in found, found.get("trace", found["error"])
        return found["result"]


@contextmanager
def forks(directory: Path) -> Iterator[Runs]:
    """Bundles are unpacked below *directory*."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _FORKS, str(LIBRARY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Runs(process, directory)
        assert process.stdin is not None
        process.stdin.close()
