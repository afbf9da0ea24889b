"""Who reads whose result: pulls in callables, templates, XComArgs and mapped arguments of one file."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from stepbridge_migrate.facts.classify import decompose
from stepbridge_migrate.facts.project import Module
from stepbridge_migrate.facts.scopes import Binding, Bound, Scope, Seen
from stepbridge_migrate.facts.sites import Draft
from stepbridge_migrate.model import Place, Pull, Reader, Site

_PULL = re.compile(r"xcom_pull\s*\(")
_SKIPPED = frozenset({"python_callable", "task_id", "dag", "task_group"})
Link = tuple[int, str, str, Place]
"""A producer's index, how it is read, the key, and where."""


class Readers:
    """Connects the sites of one file."""

    def __init__(self, module: Module, drafts: Sequence[Draft]) -> None:
        self.module = module
        self.drafts = drafts
        self.by_call: dict[int, int] = {}
        for index, draft in enumerate(drafts):
            for seen in draft.made:
                self.by_call[id(seen.call)] = index
                for step in decompose(seen.call)[1]:
                    self.by_call.setdefault(id(step.call), index)
        self.appended = self._appended()

    def connect(self) -> list[Site]:
        """The sites with their readers, producers and the XComs of their arguments."""
        reads: dict[int, list[Reader]] = defaultdict(list)
        sites = [draft.site for draft in self.drafts]
        for index, draft in enumerate(self.drafts):
            site = sites[index]
            pulls: list[Pull] = []
            for number, how, key, place in dict.fromkeys(self._links(index, draft)):
                producer = sites[number]
                reads[number].append(Reader(site.id, how, key, place))
                ids = producer.task.ids or (producer.task.pattern,)
                pulls.append(Pull(ids, key, place, bool(producer.task.ids), (producer.id,)))
            for pull in self._templates(draft):
                pulls.append(self._produced(pull, index, "template", reads))
            facts = site.callable
            if facts is not None and facts.pulls:
                named = tuple(self._produced(pull, index, "xcom_pull", reads) for pull in facts.pulls)
                site = replace(site, callable=replace(facts, pulls=named))
            if pulls:
                site = replace(site, upstream_pulls=tuple(dict.fromkeys(pulls)))
            sites[index] = site
        for number, found in reads.items():
            ordered = sorted(set(found), key=lambda item: (item.place, item.task, item.key, item.how))
            sites[number] = replace(sites[number], readers=tuple(ordered))
        return sites

    # by id -------------------------------------------------------------------------------------------------

    def _produced(self, pull: Pull, index: int, how: str, reads: dict[int, list[Reader]]) -> Pull:
        mine = self.drafts[index].site
        producers: list[str] = []
        known = pull.literal and not pull.elsewhere
        for number in self._with_ids(pull.task_ids or (), mine) if known else ():
            producers.append(self.drafts[number].site.id)
            reads[number].append(Reader(mine.id, how, pull.key, pull.place))
        return replace(pull, producers=tuple(dict.fromkeys(producers)))

    def _with_ids(self, ids: Sequence[str], mine: Site) -> Iterator[int]:
        for number, draft in enumerate(self.drafts):
            site = draft.site
            if mine.dag.place != site.dag.place and mine.dag.how != "none" and site.dag.how != "none":
                continue
            exact = site.task.complete
            for name in ids:
                if name in site.task.ids or (
                    not exact and site.task.pattern != "*" and fnmatchcase(name, site.task.pattern)
                ):
                    yield number
                    break

    # templates ---------------------------------------------------------------------------------------------

    def _templates(self, draft: Draft) -> Iterator[Pull]:
        for node, _ in self._expressions(draft):
            for part in ast.walk(node):
                if (
                    isinstance(part, ast.Constant)
                    and isinstance(part.value, str)
                    and "xcom_pull" in part.value
                ):
                    place = self.module.file.place_of(part)
                    for found in _PULL.finditer(part.value):
                        yield _template(part.value, found.end(), place)

    # XComArgs ----------------------------------------------------------------------------------------------

    def _expressions(self, draft: Draft) -> Iterator[tuple[ast.expr, str]]:
        """The arguments of the calls that make the tasks, and how they read."""
        for seen in draft.made:
            yield from self._expressions_of(seen)

    @staticmethod
    def _expressions_of(seen: Seen) -> Iterator[tuple[ast.expr, str]]:
        for step in decompose(seen.call)[1]:
            if step.method == "override":
                continue
            how = "expand" if step.method.startswith("expand") else "argument"
            yield from ((item, how) for item in step.call.args)
            for word in step.call.keywords:
                if word.arg not in _SKIPPED:
                    yield word.value, how

    def _links(self, index: int, draft: Draft) -> Iterator[Link]:
        for seen in draft.made:
            scope = seen.where.scope
            for node, how in self._expressions_of(seen):
                for number, key, place in self._producers(node, scope):
                    if number != index:
                        yield number, how, key, place

    def _producers(self, node: ast.expr, scope: Scope) -> Iterator[tuple[int, str, Place]]:
        pending: list[tuple[ast.AST, str]] = [(node, "return_value")]
        while pending:
            part, key = pending.pop()
            if isinstance(part, ast.Lambda):
                continue
            if isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Constant):
                inner = str(part.slice.value) if key == "return_value" else key
                pending.append((part.value, inner))
                continue
            if isinstance(part, ast.Attribute) and part.attr == "output":
                for number in self._tasks(part.value, scope, True):
                    yield number, key, self.module.file.place_of(part)
                continue
            if isinstance(part, ast.Name | ast.Call):
                found = list(self._tasks(part, scope, False))
                for number in found:
                    yield number, key, self.module.file.place_of(part)
                if found and isinstance(part, ast.Call):
                    continue
            pending.extend((child, "return_value") for child in ast.iter_child_nodes(part))

    def _tasks(self, node: ast.expr, scope: Scope, operator: bool) -> Iterator[int]:
        """The tasks whose result an expression is; of operators only ``.output`` is."""
        if isinstance(node, ast.Call):
            index = self.by_call.get(id(node))
            if index is not None and (operator or self._gives(index)):
                yield index
        elif isinstance(node, ast.Name):
            found = scope.find(node.id)
            for binding in found[1] if found is not None else ():
                yield from self._bound(binding, operator)
            for index in self.appended.get(node.id, ()):
                if operator or self._gives(index):
                    yield index

    def _bound(self, binding: Binding, operator: bool) -> Iterator[int]:
        value = binding.value
        if binding.how not in (Bound.ASSIGN, Bound.WITH) or value is None:
            return
        if isinstance(value, ast.Call):
            index = self.by_call.get(id(value))
            if index is not None and (operator or self._gives(index)):
                yield index
                return
        if isinstance(value, ast.ListComp | ast.List | ast.Tuple | ast.DictComp | ast.Dict | ast.Subscript):
            for part in ast.walk(value):
                index = self.by_call.get(id(part)) if isinstance(part, ast.Call) else None
                if index is not None and (operator or self._gives(index)):
                    yield index

    def _gives(self, index: int) -> bool:
        """True where the call itself gives an XComArg."""
        draft = self.drafts[index]
        return draft.function is not None or "functional" in draft.site.marks

    def _appended(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for seen in self.module.walked.calls:
            function = seen.call.func
            if (
                isinstance(function, ast.Attribute)
                and function.attr in ("append", "extend", "add", "insert")
                and isinstance(function.value, ast.Name)
            ):
                for item in seen.call.args:
                    index = self.by_call.get(id(item))
                    if index is not None:
                        found[function.value.id].append(index)
        return found


def _template(text: str, start: int, place: Place) -> Pull:
    """The pull that a template has at *start*, just after its opening bracket."""
    depth, end, quote = 1, start, ""
    while end < len(text) and depth:
        sign = text[end]
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        else:
            depth += (sign in "([{") - (sign in ")]}")
        end += 1
    try:
        call = ast.parse(f"f({text[start : end - 1].strip()})", mode="eval").body
    except (SyntaxError, ValueError):
        return Pull((text[start : end - 1].strip(),), "return_value", place, False)
    assert isinstance(call, ast.Call)
    given: dict[str, ast.expr] = dict(zip(("task_ids", "dag_id", "key"), call.args, strict=False))
    given.update({word.arg: word.value for word in call.keywords if word.arg})
    key = given.get("key")
    ids = given.get("task_ids")
    name = str(key.value) if isinstance(key, ast.Constant) and key.value is not None else "return_value"
    if ids is None:
        return Pull(None, name, place)
    items = ids.elts if isinstance(ids, ast.List | ast.Tuple) else [ids]
    literal = all(isinstance(item, ast.Constant) and isinstance(item.value, str) for item in items)
    literal &= key is None or isinstance(key, ast.Constant)
    elsewhere = bool({"dag_id", "include_prior_dates", "run_id", "map_indexes"} & set(given))
    texts = tuple(item.value if isinstance(item, ast.Constant) else "..." for item in items)
    return Pull(tuple(str(item) for item in texts), name, place, literal, elsewhere=elsewhere)
