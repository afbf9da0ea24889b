"""The modules of a project that a step reaches: which ship whole, which are sliced, and what they import."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stepbridge.code import locate
from stepbridge.code.abstract import inside
from stepbridge.code.airflow_names import STAND_INS, is_airflow
from stepbridge.code.bound import Chain
from stepbridge.code.dynamic_names import loads_unseen, named_module
from stepbridge.code.facts import Facts
from stepbridge.code.links import Link
from stepbridge.code.memo import Memo
from stepbridge.code.region import Region
from stepbridge.code.resolve import Finder, Module
from stepbridge.code.signs import AIRFLOW, LOADS
from stepbridge.code.source import Edit, Source, read_source
from stepbridge.code.uses import analyse
from stepbridge.failures import CodeProblem


@dataclass
class Whole:
    """A module that ships as it is.

    :param edits: imports of Airflow's names that stand-ins replace.
    """

    module: Module
    source: Source
    edits: list[Edit] = field(default_factory=list)


@dataclass
class Code:
    """All first-party code that a slice reaches; regions ask it for what they import."""

    finder: Finder
    derived: bool = False
    memo: Memo = field(default_factory=Memo)
    wholes: dict[str, Whole] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=dict)
    outside: dict[str, str] = field(default_factory=dict)
    airflow_names: dict[str, list[str]] = field(default_factory=dict)
    dynamic_places: list[str] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    _touching: dict[str, bool] = field(default_factory=dict)
    _facts: dict[str, Facts] = field(default_factory=dict)
    _sources: dict[Path, Source] = field(default_factory=dict)
    _asked: set[tuple[str, Chain]] = field(default_factory=set)
    _known: set[str] = field(default_factory=set)

    # the Project protocol ----------------------------------------------------------------------------------

    def require(self, module: str, place: str) -> None:
        """Ship *module* and the packages around it, or note it as installed."""
        if module in self._known:
            return
        self._known.add(module)
        found = self.finder.find(module)
        if found is None:
            self._outside(module, place)
            return
        parts = module.split(".")
        for count in range(1, len(parts)):
            self.require(".".join(parts[:count]), place)
        if found.path is None:
            return
        if self.touches_airflow(found):
            region = Region(self.facts_of(found), module, self, live=locate.globals_of(module))
            self.regions[module] = region
            region.prepare()
        else:
            self._ship(found)

    def want(self, module: str, path: Chain, place: str) -> None:
        """Make sure that the attributes *path* of *module* ship."""
        if (module, path) in self._asked:
            return
        self._asked.add((module, path))
        if loads_unseen(module, path):
            self.dynamic_places.append(
                f"{place}: {'.'.join([module, *path])} loads code that is named when it runs"
            )
        found = self.finder.find(module)
        if found is None:
            self._outside(".".join([module, *path[:1]]) if self.finder.find(module) else module, place)
            return
        self.require(module, place)
        if not path:
            self._want_value(module)
            return
        below = self.finder.find(f"{module}.{path[0]}") if found.package else None
        if below is not None:
            self.require(below.name, place)
            if found.path is None or path[0] not in self.facts_of(found).names:
                if path[1:]:
                    self.want(below.name, path[1:], place)
                elif below.name in self.regions:
                    self.want(below.name, (), place)
                return
        self._want_symbol(module, path[0])

    def member(self, module: str, name: str, place: str) -> None:
        """Ship what ``from module import name`` gives: a module, or what makes the name."""
        found = self.finder.find(module)
        below = self.finder.find(f"{module}.{name}") if found is not None and found.package else None
        if below is not None:
            self.require(below.name, place)
        if found is not None and (below is None or (found.path and name in self.facts_of(found).names)):
            self.require(module, place)
            self._want_symbol(module, name)

    def _want_value(self, module: str) -> None:
        region = self.regions.get(module)
        if region is not None and not region.whole:
            self.reports.append(f"{module} is shipped whole: which of its names are used is not known")
            region.need_all()

    def run(self, module: str, place: str) -> None:
        """Ship *module* with all that it does when it is imported."""
        self.require(module, place)
        region = self.regions.get(module)
        if region is None or region.whole:
            return
        if any(node.tainted for node in region.facts.nodes):
            self.reports.append(
                f"{place}: {module} builds parts of a DAG: what importing it does is left out"
            )
        else:
            region.need_all()
            region.run_all()

    def owns(self, module: str) -> bool:
        """True for a first-party module."""
        return self.finder.find(module) is not None

    def _want_symbol(self, module: str, name: str) -> None:
        region = self.regions.get(module)
        if region is None:
            return
        names = region.facts.names
        if name in names or any(name in (self.exports(star) or ()) for _, star in region.facts.stars):
            region.need(name)
        elif "__getattr__" in names:
            region.need("__getattr__")

    def exports(self, module: str) -> set[str] | None:
        """The names that a star import of *module* binds; None for modules of others."""
        found = self.finder.find(module)
        if found is None or found.path is None:
            return None
        facts = self.facts_of(found)
        listed, complete = _listed(facts.source.tree)
        if listed is not None and complete:
            return listed
        names = {name for name in facts.names if listed is not None or not name.startswith("_")}
        names |= listed or set()
        for _, star in facts.stars:
            if star != module:
                names |= self.exports(star) or set()
        return names

    def airflow(self, module: str, name: str, place: str) -> None:
        """Note a name of Airflow's that the shipped code needs."""
        full = f"{module}.{name}" if name else module
        places = self.airflow_names.setdefault(full, [])
        if place not in places:
            places.append(place)

    def dynamic(self, kind: str, node: ast.AST, facts: Facts) -> None:
        """Follow a literal import; note all else that is named at run time."""
        source = facts.source
        place = source.place(node)
        if kind == "import":
            assert isinstance(node, ast.Call)
            name = named_module(node, facts)
            if name and is_airflow(name):
                self.dynamic_places.append(f"{place}: {name} is imported by a call")
                return
            if name:
                self.require(name, place)
                self.want(name, (), place)
                return
            kind = "import_module"
        if kind.startswith("getattr:"):
            name = kind[8:]
            if not any(self._is_module(entry.module, entry.attribute) for entry in facts.imported(name, 0)):
                return
            kind = f"getattr({name}, ...)"
        line = source.lines[getattr(node, "lineno", 1) - 1].strip()
        self.dynamic_places.append(f"{place}: {kind}: {line}")

    def _is_module(self, module: str, attribute: str) -> bool:
        full = f"{module}.{attribute}" if attribute else module
        return self.finder.find(full) is not None

    # modules -----------------------------------------------------------------------------------------------

    def facts_of(self, module: Module) -> Facts:
        """The facts of a first-party module's file."""
        if module.name not in self._facts:
            assert module.path is not None
            source = self.source_of(module)
            self._facts[module.name] = Facts(
                source,
                module.name,
                module.package,
                elsewhere=self.builds,
                own=self.owns,
                derived=self.derived,
            )
        return self._facts[module.name]

    def source_of(self, module: Module) -> Source:
        """The file of a first-party module."""
        assert module.path is not None
        return self.read(module.path)

    def read(self, path: Path) -> Source:
        """The file at *path*, read once per slice: what is digested is what ships."""
        found = self._sources.get(path)
        if found is None:
            found = self._sources[path] = read_source(path)
        return found

    @property
    def sources(self) -> Mapping[Path, Source]:
        """All files that were read."""
        return self._sources

    def links(self, module: Module) -> tuple[Link, ...]:
        """What a first-party module imports."""
        return self.memo.links(self.source_of(module), module.name, module.package)

    def builds(self, module: str, chain: Chain, called: bool) -> bool:
        """True where a name of a first-party module makes parts of a DAG."""
        found, chain = self.finder.innermost(module, chain)
        if found is None or found.path is None or not chain or not self.touches_airflow(found):
            return False
        if found.name not in self._facts and found.name in self._touching and self._busy(found.name):
            return False
        facts = self._facts_guarded(found)
        if facts is None:
            return False
        for node in facts.binding(chain[0], 0):
            if node.alias is not None:
                entries = [entry for entry in facts.imported(chain[0], 0) if entry.node is node]
                if any(
                    entry.builder(chain[1:])
                    or (
                        not is_airflow(entry.module)
                        and self.builds(entry.module, entry.path(chain[1:]), called)
                    )
                    for entry in entries
                ):
                    return True
            elif node.tainted or (called and (node.tainted_late or node.airflow_decorated)):
                return True
        return False

    _building: set[str] = field(default_factory=set)

    def _busy(self, name: str) -> bool:
        return name in self._building

    def _facts_guarded(self, module: Module) -> Facts | None:
        if module.name in self._facts:
            return self._facts[module.name]
        if module.name in self._building:
            return None
        self._building.add(module.name)
        try:
            return self.facts_of(module)
        finally:
            self._building.discard(module.name)

    def touches_airflow(self, module: Module) -> bool:
        """True where importing *module* imports Airflow, itself or through other first-party modules."""
        if module.name in self._touching:
            return self._touching[module.name]
        seen: dict[str, Module] = {}
        pending = [module]
        while pending:
            current = pending.pop()
            if current.name in seen or current.path is None:
                continue
            seen[current.name] = current
            if self._touching.get(current.name):
                self._touching[module.name] = True
                return True
            for link in self.links(current):
                name = link.target
                if not link.at_once:
                    continue
                if is_airflow(name):
                    self._touching[module.name] = True
                    return True
                below = self._nearest(name)
                if below is not None:
                    pending.append(below)
        self._touching.update(dict.fromkeys(seen, False))
        return False

    def _nearest(self, name: str) -> Module | None:
        """The module *name*, or the one of which it is an attribute."""
        return self.finder.find(name) or self.finder.find(name.rpartition(".")[0] or name)

    def _ship(self, module: Module) -> None:
        assert module.path is not None
        source = self.source_of(module)
        whole = Whole(module, source)
        self.wholes[module.name] = whole
        place = str(module.path)
        asks_symbols = False
        for link in self.links(module):
            name, attribute = link.module, link.attribute
            if link.renames:
                self.dynamic_places.append(f"{place}:{link.line}: import_module by another name")
            if is_airflow(name):
                if attribute not in STAND_INS:
                    self.airflow(name, attribute, f"{place}:{link.line}")
                continue
            self.require(name, place)
            for member in sorted(self.exports(name) or ()) if attribute == "*" else [attribute]:
                below = self.finder.find(f"{name}.{member}") if member else None
                if below is not None:
                    self.require(below.name, place)
            asks_symbols |= name in self.regions or f"{name}.{attribute}" in self.regions
        if asks_symbols or LOADS in source.signs:
            self._scan(module, source)

    def _scan(self, module: Module, source: Source) -> None:
        """Follow what only an analysis of names shows: symbols of sliced modules, imports by literal name."""
        facts = self.facts_of(module)
        probe = Region(facts, module.name, self)
        for statement in source.tree.body:
            uses = analyse(statement)
            for kind, node in uses.dynamic:
                if not kind.startswith("getattr:") and kind != "globals":
                    self.dynamic(kind, node, facts)
            for entry in uses.imports:
                probe.local_import(entry)
            for name in uses.names():
                for imported in facts.imported(name, 0):
                    for chain in uses.chains(name):
                        self.want(imported.module, imported.path(chain), source.place(statement))

    def lookup(self, module: str, chain: Chain, needed: bool) -> tuple[Facts, ast.stmt] | None:
        """The statement that defines ``module.chain``, through re-exports, and its file's facts."""
        found, chain = self.finder.innermost(module, chain)
        if found is None or found.path is None or not chain:
            return None
        region = self.regions.get(found.name)
        if region is None and not needed and not self._signs():
            return None
        facts = region.facts if region is not None else self.facts_of(found)
        for node in reversed(facts.binding(chain[0], 0)):
            if node.alias is None:
                return inside(facts, node.stmt, chain[1:])
            for entry in facts.imported(chain[0], 0):
                if entry.node is node and not is_airflow(entry.module) and entry.module != module:
                    return self.lookup(entry.module, entry.path(chain[1:]), needed)
        return None

    def origin(self, module: str, chain: Chain) -> tuple[str, Chain]:
        """The module that ``module.chain`` is imported from, through re-exports of first-party modules."""
        for _ in range(8):
            found, chain = self.finder.innermost(module, chain)
            if found is None or found.path is None or not chain or not self.touches_airflow(found):
                break
            facts = self.facts_of(found)
            entries = facts.imported(chain[0], 0)
            stars = [star for _, star in facts.stars if is_airflow(star)] if chain[0] in STAND_INS else []
            if entries:
                module, chain = entries[-1].module, entries[-1].path(chain[1:])
            elif stars and chain[0] not in facts.names:
                return stars[0], chain
            else:
                break
        return module, chain

    def _signs(self) -> bool:
        """True where some module that ships whole may read something of Airflow's inside its functions."""
        if self._sign is None or self._sign[0] != len(self.wholes):
            found = any(AIRFLOW in whole.source.signs for whole in self.wholes.values())
            self._sign = (len(self.wholes), found)
        return self._sign[1]

    _sign: tuple[int, bool] | None = None

    def _outside(self, module: str, place: str) -> None:
        top = module.partition(".")[0]
        origin = self.finder.origin(top)
        if origin in ("third", "missing"):
            self.outside.setdefault(top, place)


def _listed(tree: ast.Module) -> tuple[set[str] | None, bool]:
    """The names in the literals of ``__all__``, None where there is none; False where there is more to it."""
    found: set[str] | None = None
    complete, literal = True, 0
    for statement in tree.body:
        target = (
            statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        )
        if not isinstance(target, ast.Name) or target.id != "__all__":
            continue
        value = statement.value  # type: ignore[attr-defined]
        found, literal = found or set(), literal + 1
        if isinstance(value, ast.List | ast.Tuple):
            items = {item.value for item in value.elts if isinstance(item, ast.Constant)}
            found |= {item for item in items if isinstance(item, str)}
            complete &= len(items) == len(value.elts)
        else:
            complete = False
    if found is not None:
        named = sum(isinstance(node, ast.Name) and node.id == "__all__" for node in ast.walk(tree))
        complete &= named == literal
    return found, complete


def missing_file(pattern: str, tried: Sequence[Path]) -> CodeProblem:
    """The error for a declared data file that is not there."""
    return CodeProblem(
        "SB209",
        f"files={pattern!r} matches nothing below {', '.join(str(item) for item in tried)}",
        place=str(tried[0]) if tried else "",
        hint="give a path or pattern relative to the DAG file or a root, of files that are on the worker",
    )
