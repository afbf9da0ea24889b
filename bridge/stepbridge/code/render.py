"""From the selected statements to the text that ships: same lines, same indentation, kept headers."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from stepbridge.code.airflow_names import FACADE, STAND_INS, is_airflow
from stepbridge.code.bound import Import
from stepbridge.code.canvas import Canvas, block_indent, decorator_range, header_end, keyword
from stepbridge.code.nodes import COMPOUND, DEFINITIONS, FUNCTIONS, Node, absolute, block_of, blocks
from stepbridge.code.region import Region, nested_imports
from stepbridge.code.scope import LAMBDA
from stepbridge.code.signs import AIRFLOW
from stepbridge.code.source import Edit, Source
from stepbridge.failures import CodeProblem


def import_text(
    node: Import, aliases: Sequence[ast.alias], stand_ins: Sequence[ast.alias], lines: int = 0
) -> str:
    """Text that imports *aliases* as written and *stand_ins* from the facade, in as many lines."""
    parts = []
    if aliases:
        names = ", ".join(_alias(alias) for alias in aliases)
        if isinstance(node, ast.Import):
            parts.append(f"import {names}")
        else:
            parts.append(
                f"from {'.' * node.level}{node.module or ''} import "
                + _wrapped(names, 0 if stand_ins else lines)
            )
    if stand_ins:
        parts.append(f"from {FACADE} import {_wrapped(', '.join(_alias(item) for item in stand_ins), lines)}")
    return "; ".join(parts)


def _wrapped(names: str, lines: int) -> str:
    return "(" + names + "\n" * lines + ")" if lines else names


def _alias(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


def split(
    node: Import, aliases: Iterable[ast.alias], module: str, package: bool
) -> tuple[list[ast.alias], list[ast.alias]]:
    """*aliases* apart: those that stay, and those that a stand-in replaces."""
    stay: list[ast.alias] = []
    replaced: list[ast.alias] = []
    for alias in aliases:
        origin, attribute = absolute(node, alias, module, package)
        (replaced if is_airflow(origin) and attribute in STAND_INS else stay).append(alias)
    return stay, replaced


def stand_in_edits(source: Source, nodes: list[ast.AST], module: str, package: bool) -> list[Edit]:
    """The edits that put stand-ins in place of Airflow's names in the imports below *nodes*."""
    edits = []
    for node in nested_imports(nodes):
        stay, replaced = split(node, node.names, module, package)
        if replaced:
            start, end = source.start(node), source.end(node)
            edits.append(Edit(start, end, import_text(node, stay, replaced, end[0] - start[0])))
    return edits


class Renderer:
    """Writes one region's text."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.facts = region.facts
        self.source = region.source
        self.canvas = Canvas(region.source)
        target = region.target
        self.opened = {id(node) for node in target.opened} if target else set()
        self.aliases: dict[int, list[ast.alias]] = {}
        self.alive: set[int] = set()
        self.lambda_holder: ast.stmt | None = None
        for node in region.parts_first():
            self._note(node)
        self.carrier = self._carrier()
        self.returns: tuple[ast.stmt, str] | None = None

    def _note(self, node: Node) -> None:
        self.alive.update(id(step.node) for step in node.parents)
        if node.header:
            self.alive.add(id(node.stmt))
        if node.alias is not None:
            self.aliases.setdefault(id(node.stmt), []).append(node.alias)
        if node is self.region.lambda_node:
            self.lambda_holder = self.facts.nodes[node.index].stmt

    def _carrier(self) -> ast.stmt | None:
        """The statement whose header becomes the scope function's."""
        region = self.region
        if not region.is_scope or region.lambda_node is not None or region.target is None:
            return None
        functions = [node for node in region.target.opened if isinstance(node, FUNCTIONS)]
        if functions:
            return functions[0]
        loops = self.facts.leaves[id(region.target.node)].loops
        if not loops or self.facts.headers[id(loops[0])] in region.selected:
            raise CodeProblem(
                "SB205",
                f"{region.target.result} is made in a loop whose names its defaults and its body both use",
                place=self.source.place(region.target.node),
                hint="define it before the loop, and pass what changes as arguments",
            )
        return loops[0]

    def text(self) -> str:
        """The text of the region."""
        self.block(self.source.tree.body, "")
        if self.returns is not None:
            self._return(*self.returns)
        closing = self.region.captured.closing() if self.region.is_scope else ""
        return self.canvas.text() + (f"{closing}\n" if closing else "")

    def _return(self, carrier: ast.stmt, text: str) -> None:
        line = (carrier.end_lineno or carrier.lineno) - 1
        while not self.canvas.lines[line]:
            line -= 1
        self.canvas.insert(line + 1, text)

    def block(self, body: Sequence[ast.stmt], outer: str) -> bool:
        """Place what is selected of a block; False where nothing is."""
        indent = "" if body is self.source.tree.body else block_indent(self.source, body, outer)
        placed = [self.statement(stmt, indent) for stmt in body]
        return any(placed)

    def statement(self, stmt: ast.stmt, indent: str) -> bool:
        """Place one statement; False where it is not selected."""
        if isinstance(stmt, COMPOUND):
            return id(stmt) in self.alive and self.compound(stmt, indent)
        if isinstance(stmt, ast.Import | ast.ImportFrom):
            return self.imports(stmt, indent)
        leaf = self.facts.leaves.get(id(stmt))
        selected = leaf is not None and leaf in self.region.selected
        inside = id(stmt) in self.opened and id(stmt) in self.alive
        if selected and (inside or (stmt is self.lambda_holder and isinstance(stmt, DEFINITIONS))):
            raise CodeProblem(
                "SB202",
                f"{getattr(stmt, 'name', 'the statement')} makes the step's function and is also used by it",
                place=self.source.place(stmt),
                hint="define the step's function at module level",
            )
        if selected:
            self.leaf(stmt, indent)
        elif inside:
            self.opened_definition(stmt, indent)
        if stmt is self.lambda_holder:
            self.lambda_(stmt, indent, selected)
            return True
        return selected or inside

    def leaf(self, stmt: ast.stmt, indent: str) -> None:
        """Copy a selected statement, without Airflow's decorators."""
        node = self.facts.leaves[id(stmt)]
        edits = [
            *self.region.edits,
            *stand_in_edits(self.source, [stmt], self.facts.module, self.facts.package),
        ]
        if isinstance(stmt, DEFINITIONS):
            edits += self._inner_decorators(stmt, node)
            floor = (stmt.lineno - 1, 0)
            for decorator in stmt.decorator_list:
                floor = min(floor, (decorator.lineno - 1, 0))
            for decorator in stmt.decorator_list:
                start, end = decorator_range(self.source, decorator, floor)
                floor = end
                if id(decorator) not in node.dropped:
                    self.canvas.statement(start, end, indent, edits)
        self.canvas.statement(self.source.start(stmt), self.source.end(stmt), indent, edits)

    def _inner_decorators(self, stmt: ast.stmt, node: Node) -> list[Edit]:
        """Airflow's decorators of methods, replaced by empty lines."""
        edits = []
        for method in stmt.body if isinstance(stmt, ast.ClassDef) else ():
            for decorator in getattr(method, "decorator_list", ()):
                if id(decorator) in node.dropped:
                    start, end = decorator_range(self.source, decorator, (decorator.lineno - 1, 0))
                    edits.append(Edit(start, end, "\n" * (end[0] - start[0])))
        return edits

    def imports(self, stmt: Import, indent: str) -> bool:
        """Write the selected aliases of an import; False where none is."""
        chosen = self.aliases.get(id(stmt), [])
        if not chosen:
            return False
        stay, replaced = split(stmt, chosen, self.facts.module, self.facts.package)
        if len(stay) == len(stmt.names):
            self.canvas.statement(self.source.start(stmt), self.source.end(stmt), indent)
        else:
            self.canvas.place(stmt.lineno - 1, import_text(stmt, stay, replaced), indent)
        return True

    def opened_definition(self, stmt: ast.stmt, indent: str) -> None:
        """Place a function or class around the target: the outermost function becomes the scope."""
        line = stmt.lineno - 1
        if stmt is self.carrier:
            self._scope_header(stmt, indent)
        else:
            self.canvas.line(line, "if True:", indent, header=True)
        assert isinstance(stmt, DEFINITIONS)
        if not self.block(stmt.body, indent):
            self.canvas.line(line, "pass", indent)

    def _scope_header(self, stmt: ast.stmt, indent: str) -> None:
        assert self.region.target is not None
        captured = self.region.captured
        text = f"def {captured.name}({captured.parameters()}):"
        self.canvas.line(stmt.lineno - 1, text, indent, header=True)
        body: list[ast.stmt] = stmt.body  # type: ignore[attr-defined]
        inner = block_indent(self.source, body, indent)
        self.returns = (stmt, f"{inner}return {self.region.target.result}")

    def lambda_(self, holder: ast.stmt, indent: str, selected: bool) -> None:
        """Write the target lambda as the value of a name, where the statement stood that holds it."""
        region = self.region
        assert region.target is not None
        assert isinstance(region.target.node, ast.Lambda)
        node = region.target.node
        text = "(" + self.source.cut(self.source.start(node), self.source.end(node), region.edits) + ")"
        if region.is_scope:
            parameters = region.captured.parameters()
            text = f"{region.captured.name} = lambda {parameters}: {text}".replace("lambda :", "lambda:")
        else:
            text = f"{LAMBDA} = {text}"
        line = (holder.end_lineno or holder.lineno) - 1 if selected else node.lineno - 1
        self.canvas.place(line, text, indent)

    # compound statements -----------------------------------------------------------------------------------

    def compound(self, stmt: ast.stmt, indent: str) -> bool:
        """Place a compound statement, with its header or without; False where nothing of it is selected."""
        if self.facts.headers[id(stmt)] in self.region.selected:
            self._kept(stmt, indent)
            return True
        return self._replaced(stmt, indent)

    def _replaced(self, stmt: ast.stmt, indent: str) -> bool:
        """A compound statement without its header: ``if True:`` before the block that holds something."""
        placed = False
        for name in blocks(stmt):
            body = block_of(stmt, name)
            if not self._alive(body):
                continue
            placed = True
            if self._is_elif(stmt, name):
                self.statement(body[0], indent)
                continue
            line = self._block_line(stmt, name)
            if stmt is self.carrier and name == "body":
                self._scope_header(stmt, indent)
            else:
                self.canvas.line(line, "if True:", indent, header=True)
            self.block(body, indent)
        return placed

    def _alive(self, body: Sequence[ast.stmt]) -> bool:
        for stmt in body:
            leaf = self.facts.leaves.get(id(stmt))
            if id(stmt) in self.alive or id(stmt) in self.aliases or stmt is self.lambda_holder:
                return True
            if leaf is not None and leaf in self.region.selected:
                return True
        return False

    def _block_line(self, stmt: ast.stmt, name: str) -> int:
        if name.startswith("handler:"):
            return stmt.handlers[int(name[8:])].lineno - 1  # type: ignore[attr-defined, no-any-return]
        if name in ("orelse", "finalbody"):
            return self._keyword(stmt, name)[0][0]
        return stmt.lineno - 1

    def _keyword(self, stmt: ast.stmt, name: str) -> tuple[tuple[int, int], tuple[int, int]]:
        word = "else" if name == "orelse" else "finally"
        before: Sequence[ast.stmt] = stmt.body  # type: ignore[attr-defined]
        if isinstance(stmt, ast.Try | ast.TryStar):
            if stmt.handlers:
                before = stmt.handlers[-1].body
            if name == "finalbody" and stmt.orelse:
                before = stmt.orelse
        return keyword(self.source, before, word)

    def _is_elif(self, stmt: ast.stmt, name: str) -> bool:
        if not isinstance(stmt, ast.If) or name != "orelse" or len(stmt.orelse) != 1:
            return False
        inner = stmt.orelse[0]
        line, column = self.source.start(inner)
        return isinstance(inner, ast.If) and self.source.lines[line].startswith("elif", column)

    def _kept(self, stmt: ast.stmt, indent: str) -> None:
        end = header_end(self.source, stmt)
        self.canvas.header(self.source.start(stmt), end, indent, self.region.edits)
        self._body(stmt.body, end[0], indent)  # type: ignore[attr-defined]
        for handler in getattr(stmt, "handlers", ()):
            end = header_end(self.source, handler)
            self.canvas.header(self.source.start(handler), end, indent, self.region.edits)
            self._body(handler.body, end[0], indent)
        for name in ("orelse", "finalbody"):
            body = getattr(stmt, name, None)
            if not body or not self._alive(body):
                continue
            if self._is_elif(stmt, name):
                self.statement(body[0], indent)
                continue
            start, end = self._keyword(stmt, name)
            self.canvas.header(start, end, indent)
            self._body(body, end[0], indent)

    def _body(self, body: Sequence[ast.stmt], line: int, indent: str) -> None:
        if not self._alive(body):
            self.canvas.line(line, "pass", indent)
            return
        if not self.block(body, indent):
            self.canvas.line(line, "pass", indent)


def render(region: Region) -> bytes:
    """The bytes of a region's module."""
    return Renderer(region).text().encode()


def render_whole(source: Source, module: str, package: bool) -> bytes:
    """The bytes of a module that ships whole: its own, unless stand-ins replace Airflow's names."""
    if AIRFLOW not in source.signs:
        return source.data
    edits = stand_in_edits(source, [source.tree], module, package)
    if not edits:
        return source.data
    last = len(source.lines) - 1
    return source.cut((0, 0), (last, len(source.lines[last])), edits).encode(source.encoding)
