"""What a callable reads of Airflow's context, found by the same analysis that ships steps."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepbridge.code.abstract import inside
from stepbridge.code.airflow_names import is_airflow
from stepbridge.code.facts import Facts
from stepbridge.code.reading import Reader
from stepbridge.code.reads import (
    Expression,
    Joined,
    Listed,
    Literal,
    Lookup,
    LookupKind,
    Parameter,
    PullCall,
    Reads,
    Unresolved,
)
from stepbridge.code.source import Source
from stepbridge.failures import StepbridgeError
from stepbridge_migrate.facts.body import Code
from stepbridge_migrate.facts.project import Module, Project
from stepbridge_migrate.facts.scopes import Scope
from stepbridge_migrate.model import Effect, Place, Pull

Chain = tuple[str, ...]

_PLACE = re.compile(r"^(?P<path>.*):(?P<line>\d+)(?:: (?P<what>.*))?$", re.DOTALL)


class _Modules:
    """Answers the reader's questions about other modules of the project."""

    def __init__(self, project: Project, origin: Path) -> None:
        self.project = project
        self.origin_path = origin

    def _find(self, module: str, chain: Chain) -> tuple[Facts, Chain] | None:
        found = self.project.find(self.origin_path, module, chain)
        if found is None:
            return None
        other = self.project.try_module(found[0])
        return None if other is None else (facts_of(other, ()), chain[found[1] :])

    def lookup(self, module: str, chain: Chain, needed: bool) -> tuple[Facts, ast.stmt] | None:  # noqa: ARG002 - the protocol's
        """The statement that defines ``module.chain``, through re-exports."""
        for _ in range(8):
            found = self._find(module, chain)
            if found is None or not found[1]:
                return None
            facts, chain = found
            entries = facts.imported(chain[0], 0)
            if not entries:
                nodes = [node for node in facts.binding(chain[0], 0) if node.alias is None]
                return inside(facts, nodes[-1].stmt, chain[1:]) if nodes else None
            if is_airflow(entries[-1].module):
                return None
            module, chain = entries[-1].module, entries[-1].path(chain[1:])
        return None

    def origin(self, module: str, chain: Chain) -> tuple[str, Chain]:
        """The module that ``module.chain`` is imported from, through re-exports."""
        for _ in range(8):
            found = self._find(module, chain)
            if found is None or not found[1]:
                break
            facts, rest = found
            entries = facts.imported(rest[0], 0)
            if not entries:
                break
            module, chain = entries[-1].module, entries[-1].path(rest[1:])
        return module, chain


def facts_of(module: Module, opened: Sequence[ast.AST]) -> Facts:
    """The relations between the statements of a file, as the code that ships steps sees them."""
    key = ("facts", tuple(id(node) for node in opened))
    known = module.memo.get(key)
    if known is None:
        source = Source(Path(module.file.path), module.file.data)
        source.__dict__["tree"] = module.file.tree
        known = module.memo[key] = Facts(source, module.name, module.package, opened)
    assert isinstance(known, Facts)
    return known


def read(project: Project, module: Module, code: Code, scope: Scope, given: Sequence[str]) -> Reads | None:
    """What *code* reads of Airflow; None where it is beyond the analysis.

    :param given: parameters that the task's arguments fill.
    """
    key = ("reads", id(code), tuple(sorted(given)))
    if key not in module.memo:
        module.memo[key] = _read(project, module, code, scope, given)
    found = module.memo[key]
    assert found is None or isinstance(found, Reads)
    return found


def _read(project: Project, module: Module, code: Code, scope: Scope, given: Sequence[str]) -> Reads | None:
    opened: list[ast.AST] = []
    around: Scope | None = scope
    while around is not None and around.parent is not None:
        if isinstance(around.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            opened.append(around.node)
        around = around.parent
    try:
        reader = Reader(_Modules(project, module.path), frozenset(given))
        reader.entry(facts_of(module, opened[::-1]), code)
    except (RecursionError, StepbridgeError):
        return None
    return reader.reads()


def effects(texts: Sequence[str], what: str) -> tuple[Effect, ...]:
    """``path:line: what`` as records."""
    found = []
    for text in texts:
        match = _PLACE.match(text)
        if match is not None:
            found.append(Effect(match["what"] or what, Place(match["path"], int(match["line"]))))
    return tuple(dict.fromkeys(found))


def pulls(calls: Sequence[PullCall], runs: Sequence[Mapping[str, Any]]) -> tuple[Pull, ...]:
    """The pulls of a callable, with the values that its arguments have in each run."""
    found: list[Pull] = []
    for call in calls:
        match = _PLACE.match(call.place)
        place = Place(match["path"], int(match["line"])) if match else Place(call.place, 1)
        if call.options:
            found.append(Pull(_shown(call.task_ids), _key(call.key), place, False, elsewhere=True))
            continue
        try:
            resolved = [call.resolve(arguments) for arguments in runs]
        except Unresolved:
            found.append(Pull(_shown(call.task_ids), _key(call.key), place, False))
            continue
        for key in dict.fromkeys(item.key for item in resolved):
            ids = dict.fromkeys(name for item in resolved if item.key == key for name in item.task_ids)
            found.append(Pull(tuple(ids) or None, key, place))
    return tuple(dict.fromkeys(found))


def named(lookups: Sequence[Lookup], runs: Sequence[Mapping[str, Any]]) -> dict[LookupKind, set[str]]:
    """The Variables and connections that arguments name; ``{conn_id}`` by a value not known here."""
    found: dict[LookupKind, set[str]] = {"variable": set(), "connection": set()}
    for lookup in lookups:
        for arguments in runs:
            try:
                name = lookup.resolve(arguments)
            except Unresolved:
                name = _one(lookup.name)
            found[lookup.kind] |= {name} - {""}
    return found


def _shown(expression: Expression | None) -> tuple[str, ...] | None:
    if expression is None:
        return None
    if isinstance(expression, Listed):
        return tuple(_one(item) for item in expression.items)
    return (_one(expression),)


def _key(expression: Expression | None) -> str:
    return "return_value" if expression is None else _one(expression)


def _one(expression: Expression) -> str:
    match expression:
        case Literal(value):
            return str(value)
        case Parameter(name=name):
            return f"{{{name}}}"
        case Joined(parts):
            return "".join(_one(part) for part in parts)
    return "..."
