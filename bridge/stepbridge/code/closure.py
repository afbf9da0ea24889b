"""What a definition needs of its live function: defaults that only that knows, closures, lambdas by place."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepbridge.code.nodes import DEFINITIONS, FUNCTIONS, Node
from stepbridge.code.scope import (
    DEFAULT,
    file_of,
    is_plain,
    live_defaults,
    reference_to,
    refuse_capture,
    refuse_local,
    unwrapped,
)
from stepbridge.code.source import Edit
from stepbridge.code.uses import Uses, analyse
from stepbridge.failures import CodeProblem

if TYPE_CHECKING:
    from stepbridge.code.region import Region


@dataclass
class Target:
    """The definition that a step calls, where it is picked by its place and not by its name.

    :param node: the ``def``, class or lambda.
    :param function: its live function, for closures and defaults.
    :param result: the expression that gives it inside its scope: ``train`` or ``Jobs.train``.
    :param opened: the functions and classes around it, outermost first.
    """

    node: ast.AST
    function: object
    result: str
    opened: tuple[ast.AST, ...] = ()


class Closure:
    """The closure and the defaults of a region's target.

    :param region: where what they lead to is selected.
    """

    def __init__(self, region: Region) -> None:
        self.region = region
        self.around_lambda: frozenset[str] = frozenset()

    def settle_defaults(self, node: Node) -> Uses:
        """The target's uses without those defaults that only its live function knows."""
        assert self.region.target is not None
        function = self.region.target.node
        if not isinstance(function, (*FUNCTIONS, ast.Lambda)):
            return node.uses
        fixed: set[int] = set()
        arguments = function.args
        positional = [item.arg for item in (*arguments.posonlyargs, *arguments.args)]
        pairs = list(
            zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True)
        )
        keywords = [item.arg for item in arguments.kwonlyargs]
        pairs += [
            (item.arg, default)
            for item, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if default is not None
        ]
        live = live_defaults(self.region.target.function, positional, keywords)
        for name, default in pairs:
            if self._unstable(default, node):
                self._fix_default(name, default, live)
                fixed.add(id(default))
        return analyse(node.stmt, node.dropped | fixed) if fixed else node.uses

    def _fix_default(self, name: str, default: ast.expr, live: dict[str, Any]) -> None:
        assert self.region.target is not None
        if name not in live or not is_plain(live[name]):
            raise refuse_capture(
                name, live.get(name), self.region.source.place(default), self.region.target.result
            )
        self.region.captured.values[DEFAULT + name] = live[name]
        start, end = self.region.source.start(default), self.region.source.end(default)
        lines = end[0] - start[0]
        text = DEFAULT + name
        self.region.edits.append(Edit(start, end, "(" + text + "\n" * lines + ")" if lines else text))

    def _unstable(self, default: ast.expr, node: Node) -> bool:
        """True where a default depends on the pass of a loop or on a local of an enclosing function."""
        made = {
            name
            for other in self.region.facts.nodes
            if any(loop in other.loops or other.stmt is loop for loop in node.loops)
            for name in other.uses.binds
        }
        for name in analyse(default).now:
            home = self.region.facts.home(name, node.level)
            if home or name in made or name in self.around_lambda:
                return True
        return False

    def select_lambda(self, node: ast.Lambda) -> None:
        """Select a lambda at its place, as the target."""
        assert self.region.target is not None
        holders = [
            other
            for other in self.region.facts.nodes
            if not other.header and other.alias is None and other.level == 0 and _holds(other.stmt, node)
        ]
        if not holders:
            raise CodeProblem(
                "SB202",
                "the lambda stands in the header of a compound statement or in a module's guard",
                place=self.region.source.place(node),
                hint="write it as a function (def) at module level",
            )
        holder = holders[0]
        statement = ast.copy_location(ast.Expr(value=node), node)
        self.region.lambda_node = Node(holder.index, statement, holder.parents, 0)
        self.region.target = Target(statement.value, self.region.target.function, self.region.target.result)
        around = set(self.region.captured.cells)
        for other in ast.walk(holder.stmt):
            if isinstance(other, FUNCTIONS) and _holds(other, node):
                around |= {item.arg for item in other.args.args} | analyse(other).binds
                around |= set().union(*(analyse(item).binds for item in other.body))
        self.around_lambda = frozenset(around)
        self.region.selected.add(self.region.lambda_node)
        uses = self.settle_defaults(self.region.lambda_node)
        self.region.lambda_node.__dict__["uses"] = uses
        self.region.follow_later(self.region.lambda_node)

    def capture(self, name: str, line: int, level: int = 0) -> None:
        """Make the local *name* of an enclosing function available to the slice."""
        assert self.region.target is not None
        place = self.region.source.place(line)
        if name in self.region.captured.clashes:
            raise refuse_local(name, place, self.region.target.result)
        nodes = self.region.facts.bound.get((level, name), []) if level else []
        imports = [node for node in nodes if node.alias is not None]
        if imports:
            self.region.select_all(imports)
        elif name not in self.region.captured.cells:
            self._capture_unheld(name, nodes, place)
        else:
            self._capture_held(name, nodes, place)

    def _capture_unheld(self, name: str, nodes: list[Node], place: str) -> None:
        assert self.region.target is not None
        if not nodes or any(node.tainted for node in nodes):
            raise refuse_local(name, place, self.region.target.result)
        self.region.select_all(nodes)

    def _capture_held(self, name: str, nodes: list[Node], place: str) -> None:
        assert self.region.target is not None
        value = unwrapped(self.region.captured.cells[name])
        definitions = [node for node in nodes if isinstance(node.stmt, DEFINITIONS)]
        local = "<locals>" in getattr(value, "__qualname__", "")
        if definitions and local and (isinstance(value, type) or self._here(value)):
            self.region.captured.take(value)
            self.region.select_all(definitions)
        elif is_plain(value):
            self.region.captured.values[name] = value
        else:
            found = reference_to(value, self.region.live, str(self.region.live.get("__name__", "")))
            if found is None:
                raise refuse_capture(name, value, place, self.region.target.result)
            self.region.captured.references[name] = found
            if found.module:
                self.region.project.require(found.module, place)
                self.region.project.want(found.module, (found.name,) if found.name else (), place)
            else:
                self.region.need_at(found.name, 0, 0)

    def _here(self, value: object) -> bool:
        inner = value
        while inner is not None:
            if file_of(inner) == self.region.source.path:
                return True
            inner = getattr(inner, "__wrapped__", None)
        return False


def _holds(node: ast.AST, target: ast.AST) -> bool:
    return any(child is target for child in ast.walk(node))
