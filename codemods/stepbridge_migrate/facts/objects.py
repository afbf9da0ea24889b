"""Arguments of a task that are objects of the DAG file: classes, functions, modules, operators."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from stepbridge_migrate.facts.classify import Step, decompose
from stepbridge_migrate.facts.operators import is_airflow
from stepbridge_migrate.facts.project import Defined, Given, Module, Named, Project, Whole
from stepbridge_migrate.facts.scopes import Bound, Scope, dotted
from stepbridge_migrate.facts.sites import Draft, FileSites
from stepbridge_migrate.facts.values import DagValue, Env
from stepbridge_migrate.model import Handed, Kind

_DEPTH = 4
_LIBRARY = ", a library's class"
_CLASS = re.compile(r"_*[A-Z]\w*[a-z]")
_DATA = frozenset({"pandas", "numpy", "pyarrow", "polars", "pendulum", "dateutil", "stepbridge"})
_Value = tuple[ast.expr, Module, Scope]


def objects_of(found: FileSites, draft: Draft) -> tuple[Handed, ...]:
    """The arguments that no codec takes, or hardly one, each with what it is."""
    seen = {}
    for node, module, scope in _given(found, draft):
        for part, what in _Objects(found, module, scope).of(node):
            place = module.file.place_of(part)
            text = " ".join(module.file.cut(module.file.span(part)).split())
            seen[place] = Handed(f"{text[:60]}, {what}", place, not what.endswith(_LIBRARY))
    return tuple(seen[place] for place in sorted(seen))


def _given(found: FileSites, draft: Draft) -> Iterator[_Value]:
    """The values that the callable gets, where the source says them."""
    if draft.function is not None or "functional" in draft.site.marks:
        calls = [(seen, found.module) for seen in draft.made]
        calls += [(caller.seen, caller.home.module) for caller in draft.elsewhere]
        for seen, module in calls:
            for step in _calls(draft, seen.call):
                for value in (*step.call.args, *(word.value for word in step.call.keywords)):
                    yield value, module, seen.where.scope
        return
    for seen in draft.made:
        main, scope = decompose(seen.call)[1][0].call, seen.where.scope
        for name in ("op_args", "op_kwargs"):
            given = found.arguments.find(main, name, scope)
            if given is None:
                continue
            pairs = found.arguments.mapping(given, found.module, scope) if name == "op_kwargs" else None
            if pairs is None:
                yield given, found.module, scope
            for _, inner, module in pairs or ():
                yield inner, module, scope if module is found.module else module.scope


def _calls(draft: Draft, call: ast.Call) -> list[Step]:
    """The calls of a chain whose arguments go to the callable; not ``task(function)``."""
    steps = [step for step in decompose(call)[1] if step.method in ("", "partial")]
    if draft.function is not None:
        return steps
    given = [index for index, step in enumerate(steps) if draft.callable in step.call.args]
    return steps[given[-1] + 1 :] if given else []


class _Objects:
    def __init__(self, found: FileSites, module: Module, scope: Scope) -> None:
        self.found = found
        self.project: Project = found.project
        self.module = module
        self.scope = scope

    def of(self, node: ast.expr, depth: int = 0) -> Iterator[tuple[ast.expr, str]]:
        """The parts of *node* that are objects, and what they are."""
        if isinstance(node, ast.Lambda):
            yield node, "a function"
        elif isinstance(node, ast.List | ast.Tuple | ast.Set) and depth < _DEPTH:
            for item in node.elts:
                yield from self.of(item, depth + 1)
        elif isinstance(node, ast.Dict) and depth < _DEPTH:
            for item in node.values:
                yield from self.of(item, depth + 1)
        elif isinstance(node, ast.Call):
            what = self._made(node, self.module, self.scope)
            if what:
                yield node, what
        else:
            what = self._named(node)
            if what:
                yield node, what

    def _named(self, node: ast.expr) -> str:
        chain = dotted(node)
        targets = self.project.resolve(self.module, self.scope, chain) if chain else ()
        kinds = {self._kind(target) for target in targets}
        return kinds.pop() if len(kinds) == 1 else ""

    def _kind(self, target: object) -> str:
        if isinstance(target, Defined):
            return "a class" if isinstance(target.node, ast.ClassDef) else "a function"
        if isinstance(target, Whole):
            return "a module"
        if not isinstance(target, Given) or target.rest:
            return ""
        value = target.binding.value
        if target.binding.how is Bound.LOOP and value is not None:
            return self._each(value, target)
        if target.binding.how in (Bound.ASSIGN, Bound.WITH) and isinstance(value, ast.Call):
            return self._made(value, target.module, target.scope)
        return "a function" if isinstance(value, ast.Lambda) else ""

    def _each(self, node: ast.expr, target: Given) -> str:
        """What a loop's variable is, where it goes over classes or functions written in a row."""
        chain = dotted(node)
        if chain:
            found = self.project.resolve(target.module, target.scope, chain)
            values = [one.binding.value for one in found if isinstance(one, Given) and not one.rest]
            if len(values) != 1 or values[0] is None:
                return ""
            node = values[0]
        if not isinstance(node, ast.List | ast.Tuple):
            return ""
        inner = _Objects(self.found, target.module, target.scope)
        kinds = [inner._named(item) for item in node.elts if not isinstance(item, ast.Constant)]
        return kinds[0] if kinds and kinds[0] else ""

    def _made(self, call: ast.Call, module: Module, scope: Scope) -> str:
        """What a call gives: an object of a class of the project, an operator, a DAG."""
        if isinstance(self.found.evaluator.value(call, module, scope, Env()), DagValue):
            return "a DAG"
        node, steps = decompose(call)
        if module is self.found.module:
            maker = self.found.classifier.root(node, scope, steps).maker
            if maker is not None and not maker.decorator and maker.kind is not Kind.UNKNOWN:
                return "an operator"
        chain = dotted(call.func)
        targets = self.project.resolve(module, scope, chain) if chain else ()
        if len(targets) == 1 and isinstance(targets[0], Defined) and _opaque(targets[0].node):
            return f"an object of {targets[0].node.name}"
        names = [target.name for target in targets if isinstance(target, Named)]
        if names and len(names) == len(targets) and all(map(_is_library_class, names)):
            return f"an object of {names[0].rpartition('.')[2]}{_LIBRARY}"
        return ""


def _is_library_class(name: str) -> bool:
    """True for ``vendor.Client``; not for classes of the standard library and of libraries of data."""
    top, last = name.partition(".")[0], name.rpartition(".")[2]
    known = top in sys.stdlib_module_names or top in _DATA or is_airflow(name)
    return not known and "." in name and _CLASS.match(last) is not None


def _opaque(node: ast.AST) -> bool:
    """True for a class that says nothing of the data in it: no dataclass, and derived from nothing."""
    if not isinstance(node, ast.ClassDef):
        return False
    bases = [base for base in node.bases if not (isinstance(base, ast.Name) and base.id == "object")]
    return not bases and not node.keywords and not node.decorator_list
