"""The slice of one file: from the names that are needed to the statements that make them, and no others."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from stepbridge.code.airflow_names import DAG_TYPES, STAND_INS, is_airflow
from stepbridge.code.bound import Chain, Import
from stepbridge.code.closure import Closure, Target
from stepbridge.code.dynamic_names import named_module, renames_import_module
from stepbridge.code.facts import Facts
from stepbridge.code.fixed_ids import reads_in
from stepbridge.code.nodes import DEFINITIONS, FUNCTIONS, Imported, Node, absolute
from stepbridge.code.python_names import BUILTINS
from stepbridge.code.scope import (
    Captured,
    unwrapped,
)
from stepbridge.code.source import Edit, Source
from stepbridge.code.uses import Annotation, LocalImport, Uses
from stepbridge.failures import CodeProblem

_IDS = ("task_id", "dag_id")


class Project(Protocol):
    """What a region asks of the modules around it."""

    def want(self, module: str, path: Chain, place: str) -> None:
        """The code reads the attributes *path* of *module*."""

    def require(self, module: str, place: str) -> None:
        """The code imports *module*."""

    def member(self, module: str, name: str, place: str) -> None:
        """The code imports *name* from *module*, which may be a module itself."""

    def run(self, module: str, place: str) -> None:
        """The code imports *module* for what importing it does."""

    def exports(self, module: str) -> set[str] | None:
        """The names a star import of *module* binds; None where that is not known."""

    def airflow(self, module: str, name: str, place: str) -> None:
        """The code that ships needs this name of Airflow's."""

    def dynamic(self, kind: str, node: ast.AST, facts: Facts) -> None:
        """The code names something at run time."""


@dataclass
class Region:
    """A file, and what of it has been selected so far.

    :param shipped: the module name that it ships under.
    :param live: the live module's globals, where the file is loaded.
    :param docstrings: True where docstrings count.
    :param needed: names that the selected code reads, with the levels they belong to.
    :param ids: the ids of operators and DAGs that stand in the text that ships, by what the code writes.
    """

    facts: Facts
    shipped: str
    project: Project
    live: Mapping[str, Any] = field(default_factory=dict)
    target: Target | None = None
    selected: set[Node] = field(default_factory=set)
    captured: Captured = field(default_factory=Captured)
    edits: list[Edit] = field(default_factory=list)
    lambda_node: Node | None = None
    whole: bool = False
    docstrings: bool = False
    needed: set[tuple[int, str]] = field(default_factory=set)
    ids: dict[str, str] = field(default_factory=dict)
    _pending: list[Node] = field(default_factory=list)

    @cached_property
    def closure(self) -> Closure:
        """What the target needs of its live function."""
        return Closure(self)

    def follow_later(self, node: Node) -> None:
        """Follow what *node*, which is selected, reads."""
        self._pending.append(node)

    @property
    def source(self) -> Source:
        """The file."""
        return self.facts.source

    # selection ---------------------------------------------------------------------------------------------

    def need(self, name: str, line: int = 0) -> None:
        """Select what makes the module-level *name*."""
        self.need_at(name, 0, line)
        self._drain()

    def need_all(self) -> None:
        """Select everything, where it is not known which names are used."""
        self.whole = True
        for name in sorted(self.facts.names):
            self.need(name)

    def run_all(self) -> None:
        """Select the statements too that bind no name."""
        for node in self.facts.nodes:
            if not node.header and node.alias is None and not node.level:
                self._select(node)
        self._drain()

    def need_target(self, target: Target) -> None:
        """Select the definition at a place."""
        self.target = target
        self.captured.take(target.function)
        if isinstance(target.node, ast.Lambda):
            self.closure.select_lambda(target.node)
        else:
            node = self.facts.leaves[id(target.node)]
            self._select(node, around=False)
        self._drain()

    def prepare(self) -> None:
        """Select what concerns all code: ``__future__`` imports, the environment, imports for effect."""
        self.selected.update(self.facts.futures)
        for node in self.facts.environment:
            self._select(node)
        for node, module in self.facts.side_imports():
            self._select(node)
            self.project.run(module, self.source.place(node.line))
        self._drain()
        self._prepare_dynamic()

    def _prepare_dynamic(self) -> None:
        """Follow what the file runs by text or imports by a call, whether or not a name leads there."""
        for node in self.facts.nodes:
            if node.level or node.tainted or node.alias is not None or isinstance(node.stmt, DEFINITIONS):
                continue
            for kind, where in node.uses.dynamic:
                if kind == "import" and isinstance(node.stmt, ast.Expr) and self._imports_own(where):
                    self._select(node)
                    self._drain()
                    self.project.run(self._called_module(where), self.source.place(node.line))
                elif kind in ("exec", "globals") and node not in self.selected:
                    self.project.dynamic(kind, where, self.facts)

    def _imports_own(self, call: ast.AST) -> bool:
        name = self._called_module(call)
        return bool(name) and self.facts.own(name)

    def _called_module(self, call: ast.AST) -> str:
        return named_module(call, self.facts) if isinstance(call, ast.Call) else ""

    def _drain(self) -> None:
        while self._pending:
            while self._pending:
                self._follow(self._pending.pop())
            self._select_flags()

    def _select(self, node: Node, around: bool = True) -> None:
        if node in self.selected:
            return
        if node.tainted and not node.header:
            raise self._builder_problem(node)
        self.selected.add(node)
        if around:
            for step in node.parents:
                header = self.facts.headers.get(id(step.node))
                if header is not None and not self._replaced(header):
                    self._select(header)
        if node.header:
            self._select_control(node)
            self._select_attempts(node)
        self._pending.append(node)

    def _replaced(self, header: Node) -> bool:
        """True for ``with DAG(...)``, whose header becomes ``if True:``."""
        if not header.tainted:
            return False
        if isinstance(header.stmt, ast.With | ast.AsyncWith):
            return True
        raise self._builder_problem(header)

    def _select_control(self, header: Node) -> None:
        """Select what steers a kept loop or handler: ``break``, ``continue``, and ``raise`` in handlers."""
        for node in self.facts.nodes:
            for step in node.parents:
                if step.node is not header.stmt:
                    continue
                loop = isinstance(header.stmt, ast.For | ast.While) and isinstance(
                    node.stmt, ast.Break | ast.Continue
                )
                handler = step.block.startswith("handler:") and isinstance(node.stmt, ast.Raise)
                if (loop or handler) and not self._needs_airflow(node):
                    self._select(node)

    def _select_attempts(self, header: Node) -> None:
        """Select all that a ``try`` with handlers attempts: whether it succeeds decides what runs next."""
        if not isinstance(header.stmt, ast.Try | ast.TryStar) or not header.stmt.handlers:
            return
        for node in self._attempts(header):
            if not self._imports_airflow(node) and not self._needs_airflow(node):
                self._select(node)

    def _select_flags(self) -> None:
        """Where a ``try`` does more than import, imports of Airflow's in it decide as well."""
        for header in [node for node in self.selected if isinstance(node.stmt, ast.Try | ast.TryStar)]:
            inside = [
                node for node in self.selected if any(step.node is header.stmt for step in node.parents)
            ]
            if any(self._decides(node) for node in inside):
                for node in self._attempts(header):
                    if self._imports_airflow(node):
                        self._select(node)

    def _decides(self, node: Node) -> bool:
        names = node.uses.binds | node.effects if node.alias is None and not node.header else set()
        return any((self.facts.home(name, node.level), name) in self.needed for name in names)

    def _attempts(self, header: Node) -> list[Node]:
        return [
            node
            for node in self.facts.nodes
            if any(step.node is header.stmt and step.block == "body" for step in node.parents)
            and not node.tainted
            and node.level == header.level
            and not _cannot_fail(node)
        ]

    def _imports_airflow(self, node: Node) -> bool:
        return any(entry.node is node and is_airflow(entry.module) for entry in self._entries(node))

    def _entries(self, node: Node) -> list[Imported]:
        if node.alias is None:
            return []
        return [entry for name in node.uses.binds for entry in self.facts.imported(name, node.level)]

    def _needs_airflow(self, node: Node) -> bool:
        return any(
            is_airflow(entry.module) and entry.attribute not in STAND_INS
            for name in node.uses.now
            for entry in self.facts.imported(name, node.level)
        )

    def _builder_problem(self, node: Node, name: str = "") -> CodeProblem:
        what = name or ", ".join(sorted(node.uses.binds | node.effects)) or "this statement"
        return CodeProblem(
            "SB204",
            f"the step's code reaches {what}, which Airflow makes when the DAG file is parsed",
            place=self.source.place(node.line),
            hint="pass what the step needs of it (an id, a path, a number) as an argument",
        )

    # names -------------------------------------------------------------------------------------------------

    def _follow(self, node: Node) -> None:
        if node.alias is not None:
            self._follow_import(node)
            return
        uses = node.uses
        if isinstance(node.stmt, DEFINITIONS) and not node.header:
            self.facts.check_decorators(node.stmt, node.level)
        skipped = (
            self.closure.settle_defaults(node) if self.target and node.stmt is self.target.node else uses
        )
        self._annotations(node, skipped)
        for entry in skipped.imports:
            self.local_import(entry)
        for kind, where in skipped.dynamic:
            self.project.dynamic(kind, where, self.facts)
        for name in sorted(skipped.names()):
            self._read(name, skipped.chains(name), node, skipped.lines.get(name, node.line), skipped)
        for name in sorted(node.effects):
            self.need_at(name, node.level, node.line, optional=True)

    def _read(self, name: str, chains: set[Chain], node: Node, line: int, uses: Uses) -> None:
        if self._fixed(name, chains, node):
            return
        level = 0 if self._is_lambda(node) else node.level
        if self._is_lambda(node) and name in self.captured.cells:
            self.closure.capture(name, line)
            return
        for entry in self.facts.imported(name, level):
            self._used(entry, chains, line)
        self.need_at(name, level, line, optional=name in uses.guarded)

    def _fixed(self, name: str, chains: set[Chain], node: Node) -> bool:
        """Write the ids themselves where code reads only ``operator.task_id``, and no object of the DAG."""
        if not chains or not all(chain and chain[0] in _IDS for chain in chains):
            return False
        ids = {(name, chain[0]): self.facts.ids.get((name, chain[0])) for chain in chains}
        known = {place: text for place, text in ids.items() if text is not None}
        found = reads_in(node.stmt, known)
        if len(known) < len(ids) or not found:
            return False
        for read, text in found.items():
            start, end = self.source.start(read), self.source.end(read)
            edit = Edit(start, end, "(" + repr(text) + "\n" * (end[0] - start[0]) + ")")
            if edit not in self.edits:
                self.edits.append(edit)
        self.ids |= {".".join(place): text for place, text in known.items()}
        return True

    def _used(self, entry: Imported, chains: set[Chain], line: int) -> None:
        place = self.source.place(line)
        for chain in sorted(chains):
            if not is_airflow(entry.module):
                self.project.want(entry.module, entry.path(chain), place)
            elif entry.attribute not in STAND_INS:
                self.project.airflow(entry.module, entry.attribute, place)

    def need_at(self, name: str, level: int, line: int, optional: bool = False) -> None:
        """Select what makes *name*, as code at *level* sees it."""
        home = self.facts.home(name, level)
        if (home, name) in self.needed:
            return
        self.needed.add((home, name))
        if home:
            self.closure.capture(name, line, home)
            return
        nodes = self.facts.touching.get((0, name), [])
        bound = any(name in node.uses.binds for node in nodes)
        if not self._starred(name, bound) and not bound:
            if name in BUILTINS or optional or self._bound_late(name):
                self.select_all(nodes)
                return
            raise CodeProblem(
                "SB203",
                f"the code reads {name!r}, and nothing in the file binds that name",
                place=self.source.place(line or 1),
                hint="import or define it by name; exec(), globals() and star imports cannot be followed",
            )
        self._refuse_live(name, nodes)
        self.select_all(nodes)

    def select_all(self, nodes: list[Node]) -> None:
        """Select *nodes*, which bind a name that is needed."""
        for node in nodes:
            if node.header and node.tainted:
                raise self._builder_problem(node)
            if self.target is not None and node.stmt is self.target.node and node.level == 0:
                self._select_around(node)
            self._select(node)

    def _select_around(self, node: Node) -> None:
        """The target is read by its name as well: what surrounds it counts."""
        for step in node.parents:
            header = self.facts.headers.get(id(step.node))
            if header is not None and not self._replaced(header):
                self._select(header)

    def _bound_late(self, name: str) -> bool:
        return any(name in node.uses.late_binds for node in self.facts.nodes if node.alias is None)

    def _refuse_live(self, name: str, nodes: list[Node]) -> None:
        if builds_dag(self.live.get(name)):
            raise self._builder_problem(nodes[-1], name)

    def _starred(self, name: str, bound: bool) -> bool:
        """Select the star imports that may bind *name*; True where one does or cannot be ruled out.

        :param bound: the file binds the name itself.
        """
        unknown, known = [], False
        for node, module in self.facts.stars:
            exported = self.project.exports(module)
            if exported is None:
                unknown.append(node)
            elif name in exported:
                known = True
                node.effects.add(name)
                self.project.want(module, (name,), self.source.place(node.line))
                self._select(node)
        if known or bound or name in BUILTINS:
            return known
        for node in unknown:
            self._select(node)
        return bool(unknown)

    # imports -----------------------------------------------------------------------------------------------

    def _follow_import(self, node: Node) -> None:
        assert node.alias is not None
        assert isinstance(node.stmt, ast.Import | ast.ImportFrom)
        self._import(node.stmt, node.alias)
        module, _ = absolute(node.stmt, node.alias, self.facts.module, self.facts.package)
        for other in self.facts.settings.get(module.partition(".")[0], ()):
            self._select(other)

    def _import(self, stmt: Import, alias: ast.alias) -> None:
        module, attribute = absolute(stmt, alias, self.facts.module, self.facts.package)
        place = self.source.place(stmt)
        if renames_import_module(alias):
            self.project.dynamic("import_module by another name", stmt, self.facts)
        if is_airflow(module):
            if attribute not in STAND_INS:
                self.project.airflow(module, attribute, place)
        elif module != "__future__":
            self.project.require(module, place)
            if attribute and attribute != "*":
                self.project.member(module, attribute, place)

    def local_import(self, entry: LocalImport) -> None:
        """Follow an import inside a function, and how its name is used there."""
        self._import(entry.node, entry.alias)
        module, attribute = absolute(entry.node, entry.alias, self.facts.module, self.facts.package)
        if is_airflow(module):
            return
        plain = isinstance(entry.node, ast.Import) and entry.alias.asname is None
        module = module.partition(".")[0] if plain else module
        for chain in sorted(entry.chains):
            path = (attribute, *chain) if attribute else chain
            self.project.want(module, path, self.source.place(entry.node))

    # annotations and defaults ------------------------------------------------------------------------------

    def _annotations(self, node: Node, uses: Uses) -> None:
        for item in uses.annotations:
            quoted = item.quoted or bool(self.facts.futures)
            unusable = any(self._airflow_only(name, node.level) for name in item.names)
            if unusable and not quoted:
                self._quote(item)
            for name, chains in sorted(item.names.items()):
                if self._airflow_only(name, node.level):
                    continue
                if unusable or quoted:
                    self._need_softly(name, chains, node, item)
                else:
                    self._read(name, chains, node, item.node.lineno, uses)

    def _need_softly(self, name: str, chains: set[Chain], node: Node, item: Annotation) -> None:
        home = self.facts.home(name, node.level)
        nodes = self.facts.bound.get((home, name), [])
        if home == 0 and nodes and not any(other.tainted for other in nodes):
            self._read(name, chains, node, item.node.lineno, node.uses)

    def _airflow_only(self, name: str, level: int) -> bool:
        nodes = self.facts.binding(name, level)
        entries = self.facts.imported(name, level)
        return (
            bool(entries) and len(entries) == len(nodes) and all(is_airflow(item.module) for item in entries)
        )

    def _quote(self, item: Annotation) -> None:
        start, end = self.source.start(item.node), self.source.end(item.node)
        text = repr(ast.unparse(item.node))
        if end[0] > start[0]:
            text = "(" + text + "\n" * (end[0] - start[0]) + ")"
        self.edits.append(Edit(start, end, text))

    def _is_lambda(self, node: Node) -> bool:
        return node is self.lambda_node

    # results -----------------------------------------------------------------------------------------------

    @property
    def is_scope(self) -> bool:
        """True where the definition is made by calling a scope function."""
        if self.target is None:
            return False
        opened = any(isinstance(node, FUNCTIONS) for node in self.target.opened)
        return opened or bool(self.captured.values or self.captured.references)

    def parts_first(self) -> list[Node]:
        """The selected nodes in the order of the file."""
        return sorted(self.selected, key=lambda node: (node.index, node is self.lambda_node))


def builds_dag(value: object) -> bool:
    """True for a live DAG, task group or operator of Airflow's."""
    kinds = [cls for cls in type(value).__mro__ if cls.__module__.partition(".")[0] == "airflow"]
    return any(cls.__name__ in DAG_TYPES for cls in kinds) and unwrapped(value) is value


def _cannot_fail(node: Node) -> bool:
    match node.stmt:
        case ast.Pass():
            return True
        case ast.Assign(targets=[ast.Name()], value=ast.Constant()):
            return True
        case ast.FunctionDef(decorator_list=[]):
            return not node.uses.now
    return False


def nested_imports(nodes: list[ast.AST]) -> list[Import]:
    """The import statements anywhere below *nodes*."""
    return [
        child for node in nodes for child in ast.walk(node) if isinstance(child, ast.Import | ast.ImportFrom)
    ]
