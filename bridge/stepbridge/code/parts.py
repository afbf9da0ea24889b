"""The digests of a slice, one per definition: independent of order, layout and the Python version."""

from __future__ import annotations

import ast
from collections import defaultdict

from stepbridge.code.airflow_names import STAND_INS, is_airflow
from stepbridge.code.facts import Place
from stepbridge.code.nodes import Node, absolute
from stepbridge.code.normal import form, text_digest
from stepbridge.code.region import Region

_FLOW = "(control flow)"


class _Units:
    """The normal forms of a region's selected statements."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.facts = region.facts
        self.docstrings = b"__doc__" in region.source.data
        self.nodes = region.parts_first()
        self.by_name: dict[Place, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for name in node.uses.binds | node.effects:
                self.by_name[self.facts.home(name, node.level), name].append(node)

    def form(self, node: Node) -> str:
        """What stands for one node: the headers around it, itself, and what ran before it."""
        around = [
            f"{step.block}:{self._header(step.node)}"
            for step in node.parents
            if self.facts.headers.get(id(step.node)) in self.region.selected
        ]
        if node.alias is not None:
            own = self._import(node)
        elif node.header:
            own = self._header(node.stmt)
        else:
            own = form([node.stmt], node.dropped, self.docstrings)
        return "|".join([*around, own, self._order(node)])

    def _import(self, node: Node) -> str:
        assert node.alias is not None
        assert isinstance(node.stmt, ast.Import | ast.ImportFrom)
        module, attribute = absolute(node.stmt, node.alias, self.facts.module, self.facts.package)
        if is_airflow(module) and attribute in STAND_INS:
            module = "stepbridge.facade"
        kind = "import" if isinstance(node.stmt, ast.Import) else "from"
        return f"{kind} {module}:{attribute}:{node.alias.asname or ''}"

    def _header(self, stmt: ast.stmt) -> str:
        match stmt:
            case ast.If() | ast.While():
                return f"{type(stmt).__name__}:{form([stmt.test])}"
            case ast.For() | ast.AsyncFor():
                return f"For:{form([stmt.target, stmt.iter])}"
            case ast.With() | ast.AsyncWith():
                return f"With:{form(stmt.items)}"
            case ast.Try() | ast.TryStar():
                types = [form([handler.type]) if handler.type else "" for handler in stmt.handlers]
                names = [handler.name or "" for handler in stmt.handlers]
                return f"{type(stmt).__name__}:{list(zip(types, names, strict=True))}"
        return type(stmt).__name__

    def _order(self, node: Node) -> str:
        """For each name with several statements that the node reads at once: how many of them ran before."""
        counts = []
        for level, name in sorted(self._read_at_once(node)):
            nodes = [other for other in self.by_name.get((level, name), ()) if other is not node]
            if len(nodes) > 1 or (nodes and node.loops):
                counts.append(f"{name}={sum(other.index < node.index for other in nodes)}")
        return ",".join(counts)

    def _read_at_once(self, node: Node) -> set[Place]:
        """The names read while the statement runs, those inside functions that it calls included."""
        seen: set[Place] = set()
        pending = [(self.facts.home(name, node.level), name) for name in node.uses.now]
        while pending:
            place = pending.pop()
            if place in seen:
                continue
            seen.add(place)
            for other in self.by_name.get(place, ()):
                pending += [(self.facts.home(name, other.level), name) for name in other.uses.late]
        return seen


def region_parts(region: Region, prefix: str) -> dict[str, str]:
    """The digest of each name that a region selects, by a name that a person understands."""
    units = _Units(region)
    texts: dict[str, list[str]] = defaultdict(list)
    for node in units.nodes:
        if node in region.facts.futures:
            texts["__future__"].append(units.form(node))
            continue
        for name in _names(region, node):
            texts[name].append(units.form(node))
    return {prefix + name: text_digest(*found) for name, found in texts.items()}


def _names(region: Region, node: Node) -> list[str]:
    if node is region.lambda_node:
        return ["<lambda>"]
    target = region.target
    if target is not None and node.stmt is target.node:
        return [target.result]
    names = node.uses.binds | node.effects
    needed = {name for name in names if (region.facts.home(name, node.level), name) in region.needed}
    if not needed and node.header:
        return []
    return sorted(needed or names) or [_FLOW]
