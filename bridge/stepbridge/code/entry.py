"""Where a slice begins: from a live callable to the place in a file that its code starts from."""

from __future__ import annotations

import ast
import re
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepbridge.code import locate
from stepbridge.code.closure import Target
from stepbridge.code.facts import Facts
from stepbridge.code.locate import Callee
from stepbridge.code.project import Code
from stepbridge.code.region import Region
from stepbridge.code.resolve import installed
from stepbridge.code.scope import SCOPE, file_of
from stepbridge.code.source import Source
from stepbridge.failures import CodeProblem

PREFIX = "stepbridge_dag_"


def shipped_name(dag_file: Path) -> str:
    """The module name that a DAG file's slice ships under."""
    return PREFIX + re.sub(r"\W", "_", dag_file.stem)


class Entry:
    """The entry of a slice; finding it follows the code from there to all that it reaches.

    :param dag_file: the file whose names the callable may have.
    :param code: what is reached, filled by :meth:`find`.
    """

    def __init__(self, callee: Callee, dag_file: Path | None, code: Code) -> None:
        self.callee = callee
        self.dag_file = dag_file
        self.code = code
        self.finder = code.finder
        self.region: Region | None = None
        self.name = ""

    def find(self) -> None:
        """Follow the code from the callable to all that it reaches."""
        function = self.callee.function
        if self.callee.owner is not None:
            cls, method = self.callee.owner
            if "<locals>" in cls.__qualname__:
                raise CodeProblem(
                    "SB202",
                    f"{cls.__qualname__}.{method} is a method of a class that a function makes",
                    place=locate.place_of(function),
                    hint="define the class at module level",
                )
            self._by_module(cls.__module__, f"{cls.__qualname__}.{method}", function)
            return
        if isinstance(function, type):
            self._class(function)
            return
        if self.dag_file is not None and self._in_dag_file(function):
            return
        for layer in locate.layers(function):
            path = file_of(layer)
            if path is not None and path.name.startswith("<"):
                raise _stale(layer, self.dag_file or path)
            if path is None or installed(path) or (self.dag_file and locate.same_file(path, self.dag_file)):
                continue
            self._in_project(function, layer, path)
            return
        self._installed(function)

    def _class(self, cls: type) -> None:
        if "<locals>" in cls.__qualname__:
            raise CodeProblem(
                "SB202",
                f"{cls.__qualname__} is a class that a function makes",
                place=cls.__module__,
                hint="define the class at module level, or pass a function",
            )
        self._by_module(cls.__module__, cls.__qualname__, cls)

    def _by_module(self, module: str, qualname: str, function: object) -> None:
        """The entry is a name of a live module, which may be the DAG file under Airflow's name for it."""
        import sys

        live = sys.modules.get(module)
        file = getattr(live, "__file__", None) or file_of(function)
        if file is None or installed(Path(file)):
            self._installed(function, (module, qualname))
            return
        path = Path(file)
        if self.dag_file is not None and locate.same_file(path, self.dag_file):
            region = self._dag_region()
            region.need(qualname.partition(".")[0])
            self._enter(region, qualname)
            return
        self._by_name(self._module_name(path, module), qualname, path)

    def _in_dag_file(self, function: object) -> bool:
        assert self.dag_file is not None
        own = file_of(function)
        if own is not None and locate.same_file(own, self.dag_file) and not hasattr(function, "__wrapped__"):
            source = self.code.read(self.dag_file)
            node = locate.definition(source, function)
            if node is None and isinstance(function, types.FunctionType):
                raise _stale(function, self.dag_file)
            if node is not None and not isinstance(node, ast.Lambda):
                way = locate.way_to(source, node)
                nested = any(isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) for item in way)
                live = self._live(self.dag_file)
                deleted = bool(live) and not way and node.name not in live
                if not nested:
                    if not (deleted and self._by_identity(function)):
                        self._at(source, node, way, function, shipped_name(self.dag_file))
                    return True
        return self._by_identity(function) or self._by_place(function)

    def _by_identity(self, function: object) -> bool:
        """The DAG file binds the callable to a name: the statements that make that name are the slice."""
        assert self.dag_file is not None
        live = self._live(self.dag_file)
        name = locate.global_name(function, live)
        if name is None:
            return False
        region = self._dag_region()
        nodes = region.facts.bound.get((0, name), [])
        if any(isinstance(node.stmt, ast.Expr) for node in nodes):
            return False
        if not nodes or any(node.loops for node in nodes) or any(node.tainted for node in nodes):
            return False
        imported = region.facts.imported(name, 0)
        if len(imported) == len(nodes):
            entry = imported[-1]
            return self._imported(entry.module, entry.attribute)
        region.need(name)
        self._enter(region, name)
        return True

    def _imported(self, module: str, attribute: str) -> bool:
        found = self.finder.find(module)
        if found is None or found.path is None or not attribute:
            return False
        self._by_name(module, attribute, found.path)
        return True

    def _by_place(self, function: object) -> bool:
        assert self.dag_file is not None
        for layer in reversed(list(locate.layers(function))):
            path = file_of(layer)
            if path is not None and locate.same_file(path, self.dag_file):
                source = self.code.read(self.dag_file)
                node = locate.definition(source, layer)
                if node is None:
                    raise _stale(layer, path)
                self._at(source, node, locate.way_to(source, node), layer, shipped_name(self.dag_file))
                return True
        return False

    def _at(
        self,
        source: Source,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
        way: tuple[ast.AST, ...],
        function: object,
        shipped: str,
    ) -> None:
        """Slice the definition at its place in *source*."""
        result = locate.result_of(node, way)
        functions = [item for item in way if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
        lambda_ = isinstance(node, ast.Lambda)
        if way and not functions and not lambda_:
            region = self._region(source, shipped)
            region.need(result.partition(".")[0])
            self._enter(region, result)
            return
        target, opened = node, way
        if functions and isinstance(way[-1], ast.ClassDef):
            last = max(way.index(item) for item in functions)
            target, opened = way[last + 1], way[: last + 1]  # type: ignore[assignment]
        region = self._region(source, shipped, () if lambda_ else opened)
        region.need_target(Target(target, function, result, () if lambda_ else opened))
        self._enter(region, SCOPE if region.is_scope else result)

    def _in_project(self, function: object, layer: object, path: Path) -> None:
        """The callable was made in another module of the project."""
        module = self._module_name(path, getattr(layer, "__module__", ""))
        source = self.code.read(path)
        node = locate.definition(source, layer)
        live = self._live(path)
        name = locate.global_name(function, live)
        if node is not None:
            way = locate.way_to(source, node)
            nested = isinstance(node, ast.Lambda) or any(not isinstance(item, ast.ClassDef) for item in way)
            if not nested:
                self._by_name(module, locate.result_of(node, way), path)
                return
        if name is not None:
            self._by_name(module, name, path)
            return
        if node is None:
            raise _stale(layer, path)
        parent, _, last = module.rpartition(".")
        if parent:
            self.code.require(parent, str(path))
        shipped = f"{parent}.stepbridge_scope_{last}".lstrip(".")
        self._at(source, node, locate.way_to(source, node), layer, shipped)

    def _by_name(self, module: str, qualname: str, path: Path) -> None:
        place = str(path)
        self.code.require(module, place)
        self.code.want(module, (qualname.partition(".")[0],), place)
        self.region = self.code.regions.get(module)
        self.name = f"{module}:{qualname}"

    def _module_name(self, path: Path, known: str) -> str:
        found = self.finder.find(known) if known else None
        if found is not None and found.path is not None and locate.same_file(found.path, path):
            return known
        name = self.finder.name_of(path)
        if name is None:
            raise CodeProblem(
                "SB201",
                f"{path} lies below no directory that modules are imported from",
                place=str(path),
                hint="declare the directory above it as a root (roots=[...])",
            )
        return name

    def _installed(self, function: object, found: tuple[str, str] | None = None) -> None:
        found = found or locate.importable(function)
        if found is None or found[0] in {"builtins", "__main__"} or self.finder.origin(found[0]) == "first":
            raise CodeProblem(
                "SB201",
                f"{getattr(function, '__qualname__', function)!r} has no Python source in the project",
                place=locate.place_of(function),
                hint="wrap it in a function of the DAG file or of a module of the project",
            )
        module, qualname = found
        self.code.require(module, locate.place_of(function))
        self.name = f"{module}:{qualname}"

    # regions -----------------------------------------------------------------------------------------------

    def _dag_region(self) -> Region:
        assert self.dag_file is not None
        return self._region(self.code.read(self.dag_file), shipped_name(self.dag_file))

    def _region(self, source: Source, shipped: str, opened: Sequence[ast.AST] = ()) -> Region:
        module = self.finder.name_of(source.path) or source.path.stem
        package = source.path.name == "__init__.py"
        facts = Facts(source, module, package, opened, self.code.builds, self.code.owns, self.code.derived)
        return Region(facts, shipped, self.code, live=self._live(source.path))

    def _live(self, path: Path) -> Mapping[str, Any]:
        return dict(locate.live_globals(self.callee.function, path))

    def _enter(self, region: Region, qualname: str) -> None:
        region.prepare()
        self.region = region
        self.code.regions[region.shipped] = region
        self.name = f"{region.shipped}:{qualname}"


def _stale(function: object, path: Path) -> CodeProblem:
    return CodeProblem(
        "SB201",
        f"{getattr(function, '__qualname__', function)!r} is not in its file: "
        "it was made by exec() or the file has changed since it was loaded",
        place=locate.place_of(function),
        hint=f"let Airflow parse {path} again, or define the function in a file",
    )
