"""The slice of a callable: the one place where finding, selecting, rendering and digests come together."""

from __future__ import annotations

import ast
import dataclasses
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from stepbridge import hashing
from stepbridge.code import locate
from stepbridge.code.datafiles import DataFiles, File
from stepbridge.code.facts import Facts
from stepbridge.code.locate import Callee
from stepbridge.code.memo import memo_of
from stepbridge.code.nodes import DEFINITIONS
from stepbridge.code.normal import text_digest
from stepbridge.code.outside import region_outside, selected_code, whole_outside, whole_statements
from stepbridge.code.parts import ModuleParts, Part, region_parts
from stepbridge.code.project import Code, Whole, missing_file
from stepbridge.code.reading import Reader
from stepbridge.code.reads import Reads
from stepbridge.code.region import Region, Target
from stepbridge.code.render import render, render_whole
from stepbridge.code.requires import requirements
from stepbridge.code.resolve import Finder, Module, absolute, installed
from stepbridge.code.scope import SCOPE, file_of
from stepbridge.code.signs import DOCSTRINGS, PATHS, SUBCLASSES
from stepbridge.code.source import Source, no_collection, read_source
from stepbridge.failures import CodeProblem

PREFIX = "stepbridge_dag_"
MOST_DEFINITIONS = 1000
"""How many definitions of whole modules a slice names, so that the records of a large project stay small."""


@dataclass(frozen=True)
class Slice:
    """All that a callable reaches of its project.

    :param entry: ``module:qualname`` of what is called in the step's process.
    :param modules: source files by their path in the bundle.
    :param files: data files by their path in the bundle.
    :param captured: values of the function's closure, handed to the scope; not part of ``digest``.
    :param is_scope: True where ``entry`` is a maker to be called with ``captured`` to get the function.
    :param digest: of the normalised code and data files.
    :param parts: kind and digest of each definition, module and file, by a readable name: for explanations.
    :param requires: installed distributions that the code imports, with version or "".
    :param airflow: names of Airflow's that the code needs in the step's image, with the places.
    :param bound_args: positional arguments that ``functools.partial`` bound.
    :param reports: what a person should know about how the slice was made.
    """

    entry: str
    modules: Mapping[str, bytes]
    digest: str
    parts: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    captured: Mapping[str, object] = field(default_factory=dict)
    is_scope: bool = False
    requires: Mapping[str, str] = field(default_factory=dict)
    airflow: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reads: Reads = field(default_factory=Reads)
    bound_args: tuple[object, ...] = ()
    bound_kwargs: Mapping[str, object] = field(default_factory=dict)
    reports: tuple[str, ...] = ()


def slice_callable(
    function: Callable[..., Any],
    *,
    source_file: Path | None = None,
    roots: Sequence[Path] = (),
    files: Sequence[str] = (),
    given: frozenset[str] = frozenset(),
) -> Slice:
    """The slice of *function*, by its live object and the text of its files; nothing is imported.

    :param source_file: the DAG file, where the callable may come from another; its own file if None.
    :param roots: directories of the project's own modules, besides the DAG file's.
    :param files: data files to ship: paths or patterns relative to the DAG file or a root.
    :param given: names of parameters that the caller fills itself: they are no context keys.
    :raises CodeProblem: SB201 to SB206 and SB209, with file, line and the next step.
    """
    with no_collection():
        slicer = _Slicer(function, source_file, roots)
        slicer.find()
        if slicer.reads(SUBCLASSES):
            slicer = _Slicer(function, source_file, roots, derived=True)
            slicer.find()
        found = slicer.slice(files, given)
        slicer.code.memo.save()
        return found


def shipped_name(dag_file: Path) -> str:
    """The module name that a DAG file's slice ships under."""
    return PREFIX + re.sub(r"\W", "_", dag_file.stem)


class _Slicer:
    def __init__(
        self,
        function: Callable[..., Any],
        source_file: Path | None,
        roots: Sequence[Path],
        derived: bool = False,
    ) -> None:
        self.callee: Callee = locate.callee_of(function)
        own = next((file for layer in locate.layers(self.callee.function) if (file := file_of(layer))), None)
        self.dag_file = absolute(source_file) if source_file else own
        self.roots = [absolute(root) for root in roots]
        here = [self.dag_file.parent] if self.dag_file else []
        self.finder = Finder([*here, *self.roots])
        self.code = Code(self.finder, derived, memo_of(self.dag_file))
        self.region: Region | None = None
        self.entry = ""

    def slice(self, files: Sequence[str], given: frozenset[str]) -> Slice:
        found_files = self._beside()
        modules, parts = self._modules()
        data = self._files(files, found_files)
        parts.update(
            {f"file:{path}": Part("file", hashing.digest_bytes(content)) for path, content in data.items()}
        )
        region = self.region
        if region is not None:
            for name, found in region.captured.references.items():
                parts[f"captured {name}"] = Part("value", text_digest(found.module, found.expression))
        scope = region is not None and region.is_scope
        qualname = self.entry.partition(":")[2]
        home = "" if region is not None and region.shipped == self.entry.partition(":")[0] else self.entry
        digest = text_digest(
            "scope" if scope else "name",
            home or qualname,
            *(f"{name}={part.digest}" for name, part in sorted(parts.items())),
        )
        return Slice(
            entry=self.entry,
            modules=modules,
            digest=digest,
            parts={name: str(part) for name, part in sorted(self._explained(parts).items())},
            files=data,
            captured=dict(region.captured.values) if region and scope else {},
            is_scope=scope,
            requires=requirements(self.code.outside),
            airflow={name: tuple(places) for name, places in sorted(self.code.airflow_names.items())},
            reads=self._reads(given, bool(files), found_files),
            bound_args=self.callee.args,
            bound_kwargs=dict(self.callee.kwargs),
            reports=tuple(self.code.reports),
        )

    # finding -----------------------------------------------------------------------------------------------

    def reads(self, sign: str) -> bool:
        """True where some file that the slice reaches holds words of the kind *sign*."""
        sources = [item.source for item in self.code.wholes.values()]
        sources += [item.source for item in self.code.regions.values()]
        return any(sign in source.signs for source in sources)

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
            source = read_source(self.dag_file)
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
                source = read_source(self.dag_file)
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
        source = read_source(path)
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
        self.entry = f"{module}:{qualname}"

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
        self.entry = f"{module}:{qualname}"

    # regions -----------------------------------------------------------------------------------------------

    def _dag_region(self) -> Region:
        assert self.dag_file is not None
        return self._region(read_source(self.dag_file), shipped_name(self.dag_file))

    def _region(self, source: Source, shipped: str, opened: Sequence[ast.AST] = ()) -> Region:
        module = self.finder.name_of(source.path) or source.path.stem
        package = source.path.name == "__init__.py"
        facts = Facts(source, module, package, opened, self.code.builds, self.code.owns, self.code.derived)
        return Region(facts, shipped, self.code, live=self._live(source.path))

    def _live(self, path: Path) -> Mapping[str, Any]:
        """The live globals of a file: those of the callable where it comes from there."""
        for layer in locate.layers(self.callee.function):
            found = getattr(layer, "__globals__", {})
            file = found.get("__file__")
            if isinstance(file, str) and locate.same_file(Path(file), path):
                return dict(found)
        return locate.live_module(path)

    def _enter(self, region: Region, qualname: str) -> None:
        region.prepare()
        self.region = region
        self.code.regions[region.shipped] = region
        self.entry = f"{region.shipped}:{qualname}"

    # results -----------------------------------------------------------------------------------------------

    def _modules(self) -> tuple[dict[str, bytes], dict[str, Part]]:
        modules: dict[str, bytes] = {}
        parts: dict[str, Part] = {}
        for name, whole in self.code.wholes.items():
            modules[whole.module.shipped] = render_whole(whole.source, name, whole.module.package)
            parts[whole.module.shipped] = Part("module", self._whole(whole).digest)
        for name, region in sorted(self.code.regions.items()):
            found = self.finder.find(name)
            path = found.shipped if found is not None else f"{name.replace('.', '/')}.py"
            modules[path] = render(region)
            region.docstrings = self._docstrings
            found_parts = region_parts(region, "" if region is self.region else f"{name}.")
            parts.update(
                {f"{path}:{part}" if part in parts else part: value for part, value in found_parts.items()}
            )
        return dict(sorted(modules.items())), parts

    def _whole(self, whole: Whole) -> ModuleParts:
        return self.code.memo.parts(whole.source, self._docstrings)

    @cached_property
    def _docstrings(self) -> bool:
        """True where some of the code may read docstrings, which then count everywhere."""
        return self.reads(DOCSTRINGS)

    def _explained(self, parts: Mapping[str, Part]) -> dict[str, Part]:
        """*parts*, which count, and what whole modules define, small ones first, which only explains."""
        found = dict(parts)
        left = MOST_DEFINITIONS
        wholes = {one.module.shipped: self._whole(one).definitions for one in self.code.wholes.values()}
        for shipped, definitions in sorted(wholes.items(), key=lambda item: (len(item[1]), item[0])):
            left -= len(definitions)
            if left < 0:
                break
            found |= {f"{shipped}:{name}": part for name, part in definitions.items()}
        for name in self._entry_names() & found.keys():
            if found[name].kind == "function":
                found[name] = Part("step", found[name].digest)
        return found

    def _entry_names(self) -> set[str]:
        """Under which names the step's own function can stand among the parts."""
        module, _, qualname = self.entry.partition(":")
        own = qualname.partition(".")[0]
        if self.region is not None:
            target = self.region.target
            return {own, "<lambda>", *([target.result] if target is not None else [])}
        whole = self.code.wholes.get(module)
        return {f"{whole.module.shipped}:{own}"} if whole is not None else set()

    def _reads(self, given: frozenset[str], declared: bool, beside: DataFiles) -> Reads:
        found = self._definition()
        names = set(given) | set(self.callee.kwargs)
        if found is not None:
            bound = [item.arg for item in (*found[1].args.posonlyargs, *found[1].args.args)]
            names.update(bound[: len(self.callee.args)])
        reader = Reader(self.code, frozenset(names))
        for region in self.code.regions.values():
            reader.statements(region.facts, _run_at_import(region))
        if found is not None:
            reader.entry(*found)
        reads = reader.reads()
        return dataclasses.replace(
            reads,
            dynamic=tuple(dict.fromkeys((*self.code.dynamic_places, *reads.dynamic))),
            outside=self._outside(declared, beside),
        )

    def _outside(self, declared: bool, beside: DataFiles) -> tuple[str, ...]:
        found = [item for _, region in sorted(self.code.regions.items()) for item in region_outside(region)]
        for _, whole in sorted(self.code.wholes.items()):
            found += whole_outside(whole.source, whole.module.name, whole.module.package)
        return tuple(dict.fromkeys([*found, *(() if declared else beside.unclear)]))

    def _definition(self) -> tuple[Facts, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda] | None:
        """The innermost ``def`` of the callable, and the facts of its file."""
        for layer in reversed(list(locate.layers(self.callee.function))):
            path = file_of(layer)
            if path is None or installed(path):
                continue
            for region in self.code.regions.values():
                if locate.same_file(region.source.path, path):
                    node = locate.definition(region.source, layer)
                    if node is not None:
                        return region.facts, node
            for whole in self.code.wholes.values():
                if locate.same_file(whole.source.path, path):
                    node = locate.definition(whole.source, layer)
                    if node is not None:
                        return self.code.facts_of(whole.module), node
        return None

    # data --------------------------------------------------------------------------------------------------

    def _beside(self) -> DataFiles:
        """The data files that the code reads; packages that it finds them in ship as well."""
        found = DataFiles(self.finder.find, self._file_of_module, self.code.source_of)
        searched: set[str] = set()
        if not self.reads(PATHS):
            return found
        while True:
            todo = [name for name in (*self.code.wholes, *self.code.regions) if name not in searched]
            if not todo:
                return found
            for name in todo:
                searched.add(name)
                whole = self.code.wholes.get(name)
                if whole is not None:
                    found.search(self._file_of_module(whole.module), partial(whole_statements, whole.source))
                else:
                    region = self.code.regions[name]
                    found.search(_file_of_region(region), partial(selected_code, region))
            for package, place in list(found.packages.items()):
                self.code.require(package, place)

    def _file_of_module(self, module: Module) -> File:
        assert module.path is not None
        base = module.path.parents[module.shipped.count("/")]
        imported = {name for link in self.code.links(module) for name in (link.module, link.target)}
        return File(self.code.source_of(module), module.name, module.package, base, frozenset(imported))

    def _files(self, patterns: Sequence[str], beside: DataFiles) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path, spot in beside.spots.items():
            name, content = path.relative_to(spot.base).as_posix(), _content(path)
            if found.setdefault(name, content) != content:
                raise CodeProblem(
                    "SB209",
                    f"two files would ship as {name!r}",
                    place=str(path),
                    hint="give one of them another name: the step's process has one directory for all roots",
                )
        bases = [*([self.dag_file.parent] if self.dag_file else []), *self.roots]
        for pattern in patterns:
            found.update(_matches(pattern, bases))
        return dict(sorted(found.items()))


def _run_at_import(region: Region) -> list[ast.AST]:
    """What the selected statements of a file run when it is imported."""
    found: list[ast.AST] = []
    for node in region.parts_first():
        if node is region.lambda_node or node.alias is not None or node.level:
            continue
        if isinstance(node.stmt, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.stmt.args
            found += [item for item in (*arguments.defaults, *arguments.kw_defaults) if item is not None]
            found += [item for item in node.stmt.decorator_list if id(item) not in node.dropped]
        elif node.header:
            found += [getattr(node.stmt, name) for name in ("test", "iter") if hasattr(node.stmt, name)]
            found += [item.context_expr for item in getattr(node.stmt, "items", ())]
        elif isinstance(node.stmt, ast.ClassDef):
            found += [
                *node.stmt.bases,
                *(item for item in node.stmt.body if not isinstance(item, DEFINITIONS)),
            ]
        else:
            found.append(node.stmt)
    return found


def _file_of_region(region: Region) -> File:
    facts, path = region.facts, region.source.path
    depth = region.shipped.count(".") + facts.package
    imported = {
        name
        for entries in facts.imports.values()
        for entry in entries
        for name in (entry.module, f"{entry.module}.{entry.attribute}")
    }
    return File(facts.source, facts.module, facts.package, path.parents[depth], frozenset(imported))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CodeProblem(
            "SB209",
            f"the data file cannot be read: {error.strerror or error}",
            place=str(path),
            hint="keep the file readable on the worker",
        ) from error


def _matches(pattern: str, bases: Sequence[Path]) -> dict[str, bytes]:
    relative = Path(pattern)
    if relative.is_absolute() or ".." in relative.parts or not pattern:
        raise CodeProblem(
            "SB209",
            f"files={pattern!r} leaves the DAG file's directory",
            hint="declare the directory above as a root and give a path relative to it",
        )
    for base in bases:
        hits = [path for path in sorted(base.glob(pattern)) if path.is_file()]
        hits += [
            path
            for directory in sorted(base.glob(pattern))
            if directory.is_dir() and "*" not in relative.name
            for path in sorted(directory.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        ]
        if hits:
            return {path.relative_to(base).as_posix(): path.read_bytes() for path in hits}
    raise missing_file(pattern, bases)


def _stale(function: object, path: Path) -> CodeProblem:
    return CodeProblem(
        "SB201",
        f"{getattr(function, '__qualname__', function)!r} is not in its file: "
        "it was made by exec() or the file has changed since it was loaded",
        place=locate.place_of(function),
        hint=f"let Airflow parse {path} again, or define the function in a file",
    )
