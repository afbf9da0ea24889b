"""Helpers of the slice tests: write a project, load its DAG file as Airflow does, run a slice alone."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import stepbridge
from stepbridge.code.bundle import build
from stepbridge.code.slicing import Slice, slice_callable

LIBRARY = Path(stepbridge.__file__).parent.parent

RUNNER = """
import json, sys
class NoAirflow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("airflow", "stepbridge_airflow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoAirflow())
library, bundle, directory, order = sys.argv[1:]
sys.path.insert(0, library)
order = json.loads(order)
sys.path[1:1] = order["path"]
from pathlib import Path
from stepbridge.code.bundle import extract
from stepbridge.code.loading import load_entry
from stepbridge.contract import CodeRef
extract(Path(bundle).read_bytes(), Path(directory))
code = CodeRef("bundle", order["entry"], "", scope=order["scope"])
function = load_entry(Path(directory), code, order["captured"])
import traceback
try:
    result = function(*order["args"], **order["kwargs"])
    print("\\n@@" + json.dumps({"result": result}))
except Exception as error:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)]
    print("\\n@@" + json.dumps({"error": repr(error), "lines": lines}))
"""


class Project:
    """A directory of source files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.loaded: list[str] = []

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(textwrap.dedent(text).lstrip("\n").encode())

    def load(self, name: str = "dag.py") -> ModuleType:
        """Load a file under a name of Airflow's making; the root is importable meanwhile."""
        importlib.invalidate_caches()
        path = self.root / name
        mangled = f"unusual_prefix_{hashlib.sha1(str(path).encode()).hexdigest()}_{path.stem}"
        spec = importlib.util.spec_from_file_location(mangled, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        before = set(sys.modules)
        sys.modules[mangled] = module
        sys.path.insert(0, str(self.root))
        try:
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(self.root))
            self.loaded += [mangled, *(name for name in set(sys.modules) - before if self._own(name))]
        return module

    def _own(self, name: str) -> bool:
        """True for a loaded module that lies in the project; a namespace package has no file."""
        found = getattr(sys.modules[name], "__dict__", {})
        places = [found.get("__file__"), *(found.get("__path__") or ())]
        return any(str(place).startswith(str(self.root)) for place in places if place)

    def unload(self) -> None:
        for name in [*self.loaded, *(name for name in list(sys.modules) if self._own(name))]:
            sys.modules.pop(name, None)
        self.loaded.clear()

    def slice(self, pick: str, texts: Mapping[str, str] | None = None, **more: Any) -> Slice:
        """Write *texts*, load ``dag.py``, slice the global or expression *pick* of it."""
        if texts:
            self.write(texts)
        self.unload()
        module = self.load()
        found = eval(pick, vars(module))
        return slice_callable(found, source_file=self.root / "dag.py", **more)


@contextmanager
def project(root: Path) -> Iterator[Project]:
    """*root* as a project; no bytecode is kept, which could be taken for that of an edited file."""
    made = Project(root)
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield made
    finally:
        made.unload()
        sys.dont_write_bytecode = kept


def outcome(
    piece: Slice,
    directory: Path,
    *args: object,
    python: Sequence[str] = (sys.executable, "-I", "-S"),
    path: Sequence[str] = (),
    **kwargs: object,
) -> dict[str, Any]:
    """What the slice's function does in a process that has neither the project nor Airflow."""
    directory.mkdir(parents=True, exist_ok=True)
    bundle = directory / "bundle.zip"
    bundle.write_bytes(build(piece))
    order = {
        "entry": piece.entry,
        "scope": piece.is_scope,
        "captured": piece.captured,
        "args": [*piece.bound_args, *args],
        "kwargs": {**piece.bound_kwargs, **kwargs},
        "path": list(path),
    }
    done = subprocess.run(
        [*python, "-c", RUNNER, str(LIBRARY), str(bundle), str(directory / "code"), json.dumps(order)],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        timeout=60,
    )
    marked = [line for line in done.stdout.splitlines() if line.startswith("@@")]
    if not marked:
        return {"error": done.stderr, "lines": []}
    found: dict[str, Any] = json.loads(marked[-1][2:])
    return found


def result(piece: Slice, directory: Path, *args: object, **more: Any) -> Any:
    """The value that the slice's function returns there."""
    found = outcome(piece, directory, *args, **more)
    assert "result" in found, found["error"]
    return found["result"]
