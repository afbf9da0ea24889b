"""What is known of a file before anything is selected: who binds and changes a name, what builds a DAG."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property

from stepbridge.code.airflow_names import DROPPED_REFUSED, is_airflow
from stepbridge.code.bound import Chain, bound_in, parameters, root
from stepbridge.code.fixed_ids import fixed_ids
from stepbridge.code.nodes import DEFINITIONS, FUNCTIONS, Imported, Node, absolute, flatten
from stepbridge.code.source import Source
from stepbridge.code.uses import Uses, analyse
from stepbridge.failures import CodeProblem

Place = tuple[int, str]
"""A name and the level it belongs to."""

Builds = Callable[[str, Chain, bool], bool]
"""``(module, chain, called)``: True where that name of a first-party module makes parts of a DAG."""


def nowhere(_module: str, _chain: Chain, _called: bool) -> bool:
    """No module builds anything."""
    return False


def foreign(_module: str) -> bool:
    """No module is the project's."""
    return False


class Facts:
    """The nodes of a file and the relations between them.

    :param module: the name the file is imported by; relative imports are resolved against it.
    :param opened: functions and classes around the definition that is sliced, outermost first.
    :param elsewhere: answers for names of other first-party modules.
    :param own: True for the name of a first-party module.
    :param derived: the code lists the subclasses of classes: to derive from a class changes it.
    """

    def __init__(
        self,
        source: Source,
        module: str,
        package: bool = False,
        opened: Sequence[ast.AST] = (),
        elsewhere: Builds = nowhere,
        own: Callable[[str], bool] = foreign,
        derived: bool = False,
    ) -> None:
        self.source = source
        self.module = module
        self.package = package
        self.elsewhere = elsewhere
        self.own = own
        self.derived = derived
        functions = [node for node in opened if isinstance(node, FUNCTIONS)]
        self.opened = functions
        self.locals = [
            bound_in(node.body) | {item.arg for item in parameters(node.args)} for node in functions
        ]
        self.nodes = flatten(source.tree.body, opened)
        self.headers = {id(node.stmt): node for node in self.nodes if node.header}
        self.leaves = {id(node.stmt): node for node in self.nodes if not node.header and node.alias is None}
        self.imports: dict[Place, list[Imported]] = defaultdict(list)
        self.bound: dict[Place, list[Node]] = defaultdict(list)
        self.touching: dict[Place, list[Node]] = defaultdict(list)
        self.stars: list[tuple[Node, str]] = []
        self.futures: list[Node] = []
        self.settings: dict[str, list[Node]] = defaultdict(list)
        self.environment: list[Node] = []
        self._read_imports()
        for node in self.nodes:
            for name in node.bare.binds:
                self.bound[node.level, name].append(node)
        self._find_builders()
        self._drop_decorators()
        self._find_effects()

    # names -------------------------------------------------------------------------------------------------

    def home(self, name: str, level: int) -> int:
        """The level that *name*, read on *level*, belongs to."""
        while level and name not in self.locals[level - 1]:
            level -= 1
        return level

    def imported(self, name: str, level: int) -> list[Imported]:
        """What imports make of *name*."""
        return self.imports.get((self.home(name, level), name), [])

    def binding(self, name: str, level: int) -> list[Node]:
        """The nodes that bind *name*."""
        return self.bound.get((self.home(name, level), name), [])

    @property
    def names(self) -> set[str]:
        """The names that the module binds."""
        return {name for level, name in self.bound if not level}

    @cached_property
    def ids(self) -> dict[tuple[str, str], str]:
        """The ids that the text says: of ``(operator's name, "task_id")`` and ``(DAG's name, "dag_id")``."""
        return fixed_ids(self.source.tree, self._names_airflow)

    def _names_airflow(self, node: ast.expr) -> bool:
        name = root(node)
        level = len(self.opened)
        return name is not None and any(is_airflow(entry.module) for entry in self.imported(name, level))

    def _read_imports(self) -> None:
        for node in self.nodes:
            if node.alias is None or not isinstance(node.stmt, ast.Import | ast.ImportFrom):
                continue
            module, attribute = absolute(node.stmt, node.alias, self.module, self.package)
            if module == "__future__":
                self.futures.append(node)
            elif attribute == "*":
                self.stars.append((node, module))
            else:
                plain = isinstance(node.stmt, ast.Import) and node.alias.asname is None
                target = module.partition(".")[0] if plain else module
                name = next(iter(node.bare.binds))
                self.imports[node.level, name].append(Imported(target, attribute, node, plain))

    # what builds a DAG -------------------------------------------------------------------------------------

    def _find_builders(self) -> None:
        nodes = [node for node in self.nodes if node.alias is None]
        changed = True
        while changed:
            changed = False
            for node in nodes:
                changed |= self._mark(node)

    def _mark(self, node: Node) -> bool:
        before = (node.tainted, node.tainted_late, node.airflow_decorated)
        definition = isinstance(node.stmt, DEFINITIONS)
        if not node.tainted and not isinstance(node.stmt, ast.ClassDef):
            node.tainted = any(self._builder(name, node, called=False) for name in node.bare.now) or any(
                self._builder(name, node, called=True) for name in node.bare.calls
            )
        if definition and not node.tainted_late:
            names = node.bare.names() if isinstance(node.stmt, ast.ClassDef) else node.bare.late
            node.tainted_late = any(self._builder(name, node, called=True) for name in names)
        if definition and not node.airflow_decorated:
            decorators = node.stmt.decorator_list  # type: ignore[attr-defined]
            node.airflow_decorated = any(self.is_airflow_decorator(item, node.level) for item in decorators)
        return before != (node.tainted, node.tainted_late, node.airflow_decorated)

    def _builder(self, name: str, node: Node, called: bool) -> bool:
        chains = node.bare.chains(name) or {()}
        for entry in self.imported(name, node.level):
            if any(entry.builder(chain) for chain in chains):
                return True
            if not is_airflow(entry.module) and any(
                self.elsewhere(entry.module, entry.path(chain), called) for chain in chains
            ):
                return True
        for other in self.binding(name, node.level):
            if other is node or other.alias is not None:
                continue
            if other.tainted or (called and (other.tainted_late or other.airflow_decorated)):
                return True
        return False

    def is_airflow_decorator(self, node: ast.expr, level: int) -> bool:
        """True for a decorator of Airflow's, or one that a project makes from Airflow's."""
        name = root(node)
        if name is None:
            return False
        if any(is_airflow(entry.module) for entry in self.imported(name, level)):
            return True
        chain = _chain(node)
        return any(other.tainted or other.tainted_late for other in self.binding(name, level)) or any(
            self.elsewhere(entry.module, entry.path(chain), True) for entry in self.imported(name, level)
        )

    def _drop_decorators(self) -> None:
        for node in self.nodes:
            if node.header or not isinstance(node.stmt, DEFINITIONS):
                continue
            for definition in _definitions(node.stmt):
                for decorator in definition.decorator_list:
                    if self.is_airflow_decorator(decorator, node.level):
                        node.dropped.add(id(decorator))

    def check_decorators(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, level: int
    ) -> None:
        """Refuse Airflow's decorators that change how a function is called.

        :raises CodeProblem: SB204.
        """
        for decorator in node.decorator_list:
            name = (_chain(decorator) or (root(decorator) or "",))[-1]
            originals = [entry.attribute for entry in self.imported(name, level)]
            if DROPPED_REFUSED & {name, *originals}:
                raise CodeProblem(
                    "SB204",
                    f"{node.name} is decorated by Airflow's {name}, which hands it a live session",
                    place=self.source.place(decorator),
                    hint="read what it needs in a task before, and pass the values as arguments",
                )

    # who changes what --------------------------------------------------------------------------------------

    def _find_effects(self) -> None:
        by_call = self._call_effects()
        aliases: dict[Place, set[str]] = defaultdict(set)
        for node in self.nodes:
            for name, roots in node.uses.aliases.items():
                aliases[node.level, name] |= {item for item in roots if not self.imported(item, node.level)}
        held: dict[Place, set[str]] = defaultdict(
            set, {place: set(names) for place, names in aliases.items()}
        )
        for node in self.nodes:
            for made in node.uses.made if not node.tainted else ():
                if self._is_own(made.callee, node.level):
                    given = {item for item in made.given if not self.imported(item, node.level)}
                    held[node.level, made.name] |= given - {made.callee}
        for node in self.nodes:
            node.effects = self._effects(node, by_call, aliases if node.tainted else held)
        for node in self.nodes:
            for name in node.uses.binds | node.effects:
                self.touching[self.home(name, node.level), name].append(node)
            self._note_settings(node)

    def _is_own(self, name: str, level: int) -> bool:
        """True for a function or class of the file or of a first-party module."""
        return any(
            other.alias is None and isinstance(other.stmt, DEFINITIONS) and not other.airflow_decorated
            for other in self.binding(name, level)
        ) or any(self.own(entry.module) for entry in self.imported(name, level))

    def side_imports(self) -> list[tuple[Node, str]]:
        """The first-party modules that the file imports and never names: for what importing them does."""
        read = {name for node in self.nodes for name in node.bare.names() | _annotated(node.bare)}
        read |= {name for node in self.nodes for name in node.bare.late_changes | node.bare.changes}
        found = []
        for (level, name), entries in self.imports.items():
            for entry in entries if not level and name not in read else ():
                below = f"{entry.module}.{entry.attribute}" if entry.attribute else ""
                module = below or (entry.node.alias.name if entry.node.alias else entry.module)
                if not is_airflow(module) and self.own(module) and not self._guarded(entry.node):
                    found.append((entry.node, module))
        return found

    def _guarded(self, node: Node) -> bool:
        """True for an import for type checkers, or below what Airflow alone decides."""
        for step in node.parents:
            header = self.headers.get(id(step.node))
            if isinstance(step.node, ast.If) and "TYPE_CHECKING" in ast.unparse(step.node.test):
                return True
            if header is not None and header.tainted and not isinstance(step.node, ast.With | ast.AsyncWith):
                return True
        return False

    def _note_settings(self, node: Node) -> None:
        """A statement that changes a module, ``matplotlib.use("Agg")``, concerns all of that package."""
        if node.tainted or node.level or node.header:
            return
        for name in node.effects:
            for entry in self.imported(name, 0):
                if not is_airflow(entry.module) and entry.module.partition(".")[0] != "os":
                    self.settings[entry.module.partition(".")[0]].append(node)
                if entry.module == "os" and any(
                    chain[:1] == ("environ",) for chain in node.uses.chains(name)
                ):
                    self.environment.append(node)

    def _effects(
        self, node: Node, by_call: dict[Place, set[str]], aliases: dict[Place, set[str]]
    ) -> set[str]:
        changed = set(node.uses.changes)
        if self.derived and isinstance(node.stmt, ast.ClassDef):
            changed |= {name for base in node.stmt.bases if (name := root(base)) is not None}
        for name in node.uses.decorated_by:
            if not any(not entry.attribute for entry in self.imported(name, node.level)):
                changed.add(name)
        if not node.tainted:
            changed |= node.uses.may_change
            for made in node.uses.made:
                if any(fills(other.stmt) for other in self.binding(made.callee, node.level)):
                    changed |= made.given
        for name in node.uses.calls:
            if any(other.airflow_decorated for other in self.binding(name, node.level)):
                continue
            if not isinstance(node.stmt, FUNCTIONS) or name not in node.uses.binds:
                changed |= by_call.get((self.home(name, node.level), name), set())
        pending = list(changed)
        while pending:
            name = pending.pop()
            fresh = aliases.get((self.home(name, node.level), name), set()) - changed
            changed |= fresh
            pending.extend(fresh)
        if node.tainted:
            changed = {name for name in changed if not self.imported(name, node.level)}
        return changed - node.uses.binds

    def _call_effects(self) -> dict[Place, set[str]]:
        found: dict[Place, set[str]] = {}
        definitions = [node for node in self.nodes if not node.header and isinstance(node.stmt, DEFINITIONS)]
        for node in definitions:
            for name in node.uses.binds:
                found.setdefault((node.level, name), set()).update(node.uses.late_changes)
        changed = True
        while changed:
            changed = False
            for node in definitions:
                mine = found[node.level, node.stmt.name]  # type: ignore[attr-defined]
                size = len(mine)
                for name in node.uses.names():
                    mine |= found.get((self.home(name, node.level), name), set())
                changed |= len(mine) != size
        return found


def _chain(node: ast.expr) -> Chain:
    parts: list[str] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Call):
            parts.clear()
            node = node.func
        else:
            return ()
    return tuple(reversed(parts))


def fills(node: ast.stmt) -> bool:
    """True for a function, or a class whose ``__init__``, changes what it is given."""
    if isinstance(node, ast.ClassDef):
        return any(fills(item) for item in node.body if getattr(item, "name", "") == "__init__")
    if not isinstance(node, FUNCTIONS):
        return False
    given = {item.arg for item in parameters(node.args)} - {"self"}
    return any(given & analyse(statement).changes for statement in node.body)


def _annotated(uses: Uses) -> set[str]:
    return {name for item in uses.annotations for name in item.names}


def _definitions(node: ast.stmt) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    assert isinstance(node, DEFINITIONS)
    inner = node.body if isinstance(node, ast.ClassDef) else []
    return [node, *(item for item in inner if isinstance(item, DEFINITIONS))]
