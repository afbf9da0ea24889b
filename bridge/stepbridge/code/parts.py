"""The digests of a slice, one per definition: independent of order, layout and the Python version."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stepbridge import hashing
from stepbridge.code.airflow_names import STAND_INS, is_airflow
from stepbridge.code.facts import Place
from stepbridge.code.nodes import Node, absolute
from stepbridge.code.normal import form, forms_digest, module_forms, text_digest
from stepbridge.code.region import Region
from stepbridge.code.source import Source

_FLOW = "(control flow)"
_REST = "(other statements)"
_SHORT = 16


@dataclass(frozen=True)
class Part:
    """One definition of the code.

    :param kind: ``step`` (the function that is called), ``function``, ``class``, ``value``, ``import``,
        ``module``, ``file`` or ``code``.
    :param digest: hex digits; 16 of them where the digest only explains and does not count.
    """

    kind: str
    digest: str

    def __str__(self) -> str:
        """As :mod:`stepbridge.cache.explain` reads it back."""
        return f"{self.kind} {self.digest}"


@dataclass(frozen=True)
class ModuleParts:
    """A module that ships whole.

    :param digest: of all of it, which counts.
    :param definitions: of each name that a statement at its top level binds, which explains.
    """

    digest: str
    definitions: Mapping[str, Part]


_MAKES = {ast.FunctionDef: "function", ast.AsyncFunctionDef: "function", ast.ClassDef: "class"}


def module_parts(source: Source, docstrings: bool) -> ModuleParts:
    """The parts of a whole module."""
    forms = module_forms(source, docstrings)
    texts: dict[str, list[str]] = defaultdict(list)
    kinds: dict[str, str] = {}
    for node, text in forms:
        made = _MAKES.get(node.__class__)
        if made is not None and node.name not in kinds:  # type: ignore[attr-defined]
            texts[node.name].append(text)  # type: ignore[attr-defined]
            kinds[node.name] = made  # type: ignore[attr-defined]
            continue
        for name, kind in (_bound(node) or {_REST: "code"}).items():
            texts[name].append(text)
            kinds[name] = _stronger(kinds.get(name), kind)
    definitions = {
        name: Part(kinds[name], hashing.digest_bytes(";".join(found).encode())[:_SHORT])
        for name, found in texts.items()
    }
    return ModuleParts(forms_digest(text for _, text in forms), definitions)


def kind_of(node: ast.stmt) -> str:
    """What a statement makes: ``function``, ``class``, ``value``, ``import`` or, by its effects, ``code``."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return "function"
        case ast.ClassDef():
            return "class"
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            return "value"
        case ast.Import() | ast.ImportFrom():
            return "import"
    return "code"


_STRENGTH = ("code", "import", "value", "class", "function")


def _stronger(known: str | None, found: str) -> str:
    """What a name is that several statements make."""
    return max(known or "code", found, key=_STRENGTH.index)


def _bound(node: ast.stmt) -> dict[str, str]:
    """The names that a statement makes or changes, with what each is; those inside its blocks included."""
    kind = kind_of(node)
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {node.name: kind}
        case ast.Import() | ast.ImportFrom():
            return {(alias.asname or alias.name).partition(".")[0]: kind for alias in node.names}
        case ast.Assign():
            return dict.fromkeys(_names_in(node.targets), kind)
        case ast.AnnAssign() | ast.AugAssign():
            return dict.fromkeys(_names_in([node.target]), kind)
    inner = (
        statement
        for field in ("body", "orelse", "finalbody", "handlers", "cases")
        for item in getattr(node, field, ())
        for statement in (getattr(item, "body", ()) if not isinstance(item, ast.stmt) else (item,))
    )
    found: dict[str, str] = {}
    for statement in inner:
        found |= {name: _stronger(found.get(name), one) for name, one in _bound(statement).items()}
    return found


def _names_in(targets: Iterable[ast.expr]) -> list[str]:
    """The names at the roots of assignment targets: ``a`` of ``a``, ``a.b``, ``a[0]`` and ``(a, b)``."""
    found: list[str] = []
    for target in targets:
        match target:
            case ast.Name():
                found.append(target.id)
            case ast.Attribute() | ast.Subscript() | ast.Starred():
                found += _names_in([target.value])
            case ast.Tuple() | ast.List():
                found += _names_in(target.elts)
    return list(dict.fromkeys(found))


class _Units:
    """The normal forms of a region's selected statements."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.facts = region.facts
        self.docstrings = region.docstrings
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


def region_parts(region: Region, prefix: str) -> dict[str, Part]:
    """What each name is that a region selects, by a name that a person understands."""
    units = _Units(region)
    texts: dict[str, list[str]] = defaultdict(list)
    kinds: dict[str, str] = {}
    for node in units.nodes:
        names = ["__future__"] if node in region.facts.futures else _names(region, node)
        for name in names:
            texts[name].append(units.form(node))
            kinds[name] = _stronger(kinds.get(name), _kind(region, node))
    parts = {prefix + name: Part(kinds[name], text_digest(*found)) for name, found in texts.items()}
    return parts | {prefix + name: Part("value", text_digest(text)) for name, text in region.ids.items()}


def _kind(region: Region, node: Node) -> str:
    if node is region.lambda_node:
        return "function"
    return "code" if node.header else kind_of(node.stmt)


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
