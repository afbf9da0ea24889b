"""All that a callable reaches of its project's code: followed, selected, rendered and digested."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from stepbridge.code import locate
from stepbridge.code.datafiles import DataFiles, File, Spot
from stepbridge.code.entry import Entry
from stepbridge.code.facts import Facts
from stepbridge.code.locate import Callee
from stepbridge.code.memo import memo_of
from stepbridge.code.nodes import DEFINITIONS
from stepbridge.code.normal import text_digest
from stepbridge.code.outside import region_outside, selected_code, whole_outside, whole_statements
from stepbridge.code.parts import ModuleParts, Part, region_parts
from stepbridge.code.project import Code, Whole
from stepbridge.code.reading import Reader
from stepbridge.code.reads import Reads
from stepbridge.code.region import Region
from stepbridge.code.render import render, render_whole
from stepbridge.code.resolve import Finder, Module, installed
from stepbridge.code.scope import file_of
from stepbridge.code.signs import DOCSTRINGS, PATHS

MOST_DEFINITIONS = 1000
"""How many definitions of whole modules a slice names, so that the records of a large project stay small."""


@dataclass(frozen=True)
class Reached:
    """What a callable reaches; the data files that are declared come on top.

    :param entry: ``module:qualname`` of what is called in the step's process.
    :param home: what stands for the callable in the digest.
    :param modules: source files by their path in the bundle.
    :param counted: the digest of each part that counts, by its name.
    :param parts: kind and digest of each part, and of what whole modules define, for explanations.
    :param beside: data files that the code reads.
    :param outside: top-level names of the installed modules that it imports.
    :param captured: values of the function's closure.
    :param is_scope: True where ``entry`` is a maker to be called with ``captured``.
    """

    entry: str
    home: str
    modules: Mapping[str, bytes]
    counted: Mapping[str, str]
    parts: Mapping[str, str]
    beside: tuple[Spot, ...]
    outside: tuple[str, ...]
    airflow: Mapping[str, tuple[str, ...]]
    reads: Reads
    reports: tuple[str, ...]
    captured: Mapping[str, object]
    is_scope: bool


class Reach:
    """Follows the code of a callable.

    :param given: names of parameters that the caller fills itself: they are no context keys.
    :param declared: some data files are declared, and the code may read those.
    :param derived: subclasses count as used where their base is.
    """

    def __init__(
        self, callee: Callee, dag_file: Path | None, finder: Finder, *, derived: bool = False
    ) -> None:
        self.callee = callee
        self.finder = finder
        self.code = Code(finder, derived, memo_of(dag_file))
        self.start = Entry(callee, dag_file, self.code)
        self.start.find()
        self.beside = DataFiles(finder.find, self._file_of_module, self.code.source_of)

    @property
    def region(self) -> Region | None:
        """The file that the entry lies in, where it is sliced."""
        return self.start.region

    def reached(self, given: frozenset[str], declared: bool) -> Reached:
        """All of it.

        :param given: names of parameters that the caller fills itself: they are no context keys.
        :param declared: data files are declared: what the code reads beside its source may be among them.
        """
        self._find_files()
        modules, parts = self._modules()
        region, entry = self.region, self.start.name
        if region is not None:
            for name, found in region.captured.references.items():
                parts[f"captured {name}"] = Part("value", text_digest(found.module, found.expression))
        scope = region is not None and region.is_scope
        module, _, qualname = entry.partition(":")
        reached = Reached(
            entry=entry,
            home=qualname if region is not None and region.shipped == module else entry,
            modules=modules,
            counted={name: part.digest for name, part in parts.items()},
            parts={name: str(part) for name, part in sorted(self._explained(parts).items())},
            beside=tuple(self.beside.spots.values()),
            outside=tuple(sorted(self.code.outside)),
            airflow={name: tuple(places) for name, places in sorted(self.code.airflow_names.items())},
            reads=self._reads(given, declared),
            reports=tuple(self.code.reports),
            captured=dict(region.captured.values) if region is not None and scope else {},
            is_scope=scope,
        )
        self.code.memo.save()
        return reached

    def shows(self, sign: str) -> bool:
        """True where some file that the slice reaches holds words of the kind *sign*."""
        sources = [item.source for item in self.code.wholes.values()]
        sources += [item.source for item in self.code.regions.values()]
        return any(sign in source.signs for source in sources)

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
        return self.shows(DOCSTRINGS)

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
        module, _, qualname = self.start.name.partition(":")
        own = qualname.partition(".")[0]
        if self.region is not None:
            target = self.region.target
            return {own, "<lambda>", *([target.result] if target is not None else [])}
        whole = self.code.wholes.get(module)
        return {f"{whole.module.shipped}:{own}"} if whole is not None else set()

    def _reads(self, given: frozenset[str], declared: bool) -> Reads:
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
            outside=self._outside(declared),
        )

    def _outside(self, declared: bool) -> tuple[str, ...]:
        found = [item for _, region in sorted(self.code.regions.items()) for item in region_outside(region)]
        for _, whole in sorted(self.code.wholes.items()):
            found += whole_outside(whole.source, whole.module.name, whole.module.package)
        return tuple(dict.fromkeys([*found, *(() if declared else self.beside.unclear)]))

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

    def _find_files(self) -> None:
        """Find the data files that the code reads; packages that it finds them in ship as well."""
        found = self.beside
        searched: set[str] = set()
        if not self.shows(PATHS):
            return
        while True:
            todo = [name for name in (*self.code.wholes, *self.code.regions) if name not in searched]
            if not todo:
                return
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
