"""Brings names into a file, and takes the old ones out where nothing needs them any more."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from stepbridge_migrate.model import Edit, Span
from stepbridge_migrate.problems import Exit, MigrateProblem
from stepbridge_migrate.rules.layout import skip
from stepbridge_migrate.rules.view import View, blocks

ALIASES = {
    "StepOperator": "StepbridgeOperator",
    "step": "stepbridge_step",
    "shadow": "stepbridge_shadow",
    "Resources": "StepbridgeResources",
    "timedelta": "stepbridge_timedelta",
}
"""What a name is called where the file uses its own name for something else."""
_Import = ast.Import | ast.ImportFrom
_KEEP = ("noqa", "isort", "pylint", "fmt:", "type:", "nosort")


@dataclass
class Names:
    """The names that an edit needs where a site stands.

    :param site: where the names are used.
    :param old: the name that the site uses now; a new one is imported beside it where that is in a function.
    """

    view: View
    site: Span
    old: str = ""
    _new: dict[str, list[str]] = field(default_factory=dict)
    _extended: list[Edit] = field(default_factory=list)
    _given: dict[tuple[str, str], str] = field(default_factory=dict)

    def need(self, module: str, name: str) -> str:
        """The name under which *name* of *module* can be used at the site; imports it where it is not there.

        :raises MigrateProblem: SM237 where every form of the name is taken.
        """
        known = self._given.get((module, name))
        if known is None:
            known = self._given[module, name] = self._there(module, name) or self._bring(module, name)
        return known

    def edits(self) -> list[Edit]:
        """The edits that import what was asked for and is not there yet."""
        lines = [
            f"from {module} import {', '.join(sorted(names, key=_order))}"
            for module, names in sorted(self._new.items(), key=lambda item: (item[0] != "datetime", item[0]))
        ]
        return [*self._extended, *([_placed(self.view, self._anchor(), lines)] if lines else [])]

    # what is there -----------------------------------------------------------------------------------------

    def _there(self, module: str, name: str) -> str | None:
        for statement in self._visible():
            if isinstance(statement, ast.ImportFrom) and statement.module == module and not statement.level:
                for alias in statement.names:
                    local = alias.asname or alias.name
                    if alias.name == name and self.view.bindings[local] == 1:
                        return local
        return None

    def _visible(self) -> list[_Import]:
        """The imports that have run wherever the site runs: before it, in its functions or the module."""
        found = []
        for owner, block, index in self.view.path_to(self.site):
            if isinstance(owner, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
                found += [one for one in block[:index] if isinstance(one, _Import)]
        return found

    # what is to come ---------------------------------------------------------------------------------------

    def _bring(self, module: str, name: str) -> str:
        local = name
        if self._taken(local):
            local = ALIASES.get(name, f"stepbridge_{name}")
        if self._taken(local):
            raise MigrateProblem(
                "SM237",
                f"both {name} and {local} are names of something else in this file",
                place=f"{self.view.path}:{self.view.line(self.site.start)}",
                hint=f"rename one of them, or import {name} before the DAG",
                exit_code=Exit.REFUSED,
            )
        entry = name if local == name else f"{name} as {local}"
        extended = self._extension(module)
        if extended is not None:
            self._extended.append(Edit(extended, "", f", {entry}", shared=True))
        else:
            self._new.setdefault(module, []).append(entry)
        return local

    def _taken(self, name: str) -> bool:
        return bool(self.view.bindings[name])

    def _extension(self, module: str) -> int | None:
        """Where a name can be added to an import of *module* that is there: a plain one of one line."""
        for statement in self._visible():
            if not isinstance(statement, ast.ImportFrom) or statement.module != module or statement.level:
                continue
            span = self.view.span(statement)
            text = self.view.text[span.start : span.end]
            if statement.names[-1].name == "*" or statement.lineno != statement.end_lineno:
                continue
            if "(" not in text and self.view.indent(span.start) is not None:
                return span.end
        return None

    def _anchor(self) -> Anchor:
        local = self._local_anchor()
        if local is not None:
            return local
        path = self.view.path_to(self.site)
        body = self.view.tree.body
        before = body[: path[0][2]] if path else body
        plain = [one for one in before if isinstance(one, _Import)]
        if plain:
            return _after(self.view, plain[-1], body)
        guarded = [one for one in before if isinstance(one, ast.Try | ast.If) and _imports_something(one)]
        if guarded:
            return _after(self.view, guarded[-1], body)
        if before and _is_docstring(body[0]):
            return _after(self.view, body[0], body)
        first = self.view.span(body[0]).start if body else 0
        return Anchor(self.view.line_start(first), "")

    def _local_anchor(self) -> Anchor | None:
        """After the function-level import of the old class, where it was imported so."""
        for owner, block, index in reversed(self.view.path_to(self.site)):
            if not isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef) or block is not owner.body:
                continue
            for statement in reversed(block[:index]):
                if isinstance(statement, _Import) and self.old in _locals(statement):
                    indent = self.view.indent(self.view.span(statement).start)
                    if indent is not None:
                        return _after(self.view, statement, block)
        return None


@dataclass(frozen=True)
class Anchor:
    """The begin of the line before which new lines go, and their indentation."""

    offset: int
    indent: str


def _order(name: str) -> tuple[bool, str]:
    return (not name[0].isupper(), name)


def _placed(view: View, anchor: Anchor, lines: list[str]) -> Edit:
    text = "".join(f"{anchor.indent}{line}{view.newline}" for line in lines)
    return Edit(anchor.offset, "", text, shared=True)


def _after(view: View, statement: ast.stmt, block: list[ast.stmt]) -> Anchor:
    """Below the line in which *statement* ends, and whatever else of the block is in that line."""
    span = view.span(statement)
    end = span.end
    for other in block:
        inner = view.span(other)
        if inner.start < view.next_line(end) and inner.end > end:
            end = inner.end
    return Anchor(view.next_line(end), view.indent(span.start) or "")


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _imports_something(statement: ast.stmt) -> bool:
    return any(isinstance(one, _Import) for block in blocks(statement) for one in block)


def _locals(statement: _Import) -> list[str]:
    return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]


# taking out ------------------------------------------------------------------------------------------------


def removal(view: View, name: str, *, used: int, source: str = "") -> list[Edit] | None:
    """The edits that take the import of *name* out; None where it has to stay.

    :param used: how many uses of the name the edit takes away.
    :param source: the module that it must come from, one of our own imports; empty for any.
    """
    if not source and (view.opaque or view.path.endswith("__init__.py")):
        return None
    if view.bindings[name] != 1 or view.uses[name] != used:
        return None
    for owner in ast.walk(view.tree):
        if not isinstance(owner, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for statement in owner.body:
            if isinstance(statement, _Import) and name in _locals(statement):
                if source and getattr(statement, "module", None) != source:
                    return None
                return _taken_out(view, statement, name, only=len(owner.body) == 1)
    return None


def _taken_out(view: View, statement: _Import, name: str, *, only: bool) -> list[Edit] | None:
    span = view.span(statement)
    begin, end = view.line_start(span.start), view.next_line(span.end)
    whole = view.text[begin:end]
    if view.indent(span.start) is None or view.text[span.end : view.line_end(span.end)].strip(" \t\f"):
        return None
    if any(word in whole for word in _KEEP) or "#" in whole or "\\" in whole:
        return None
    if len(statement.names) == 1:
        return None if only else [Edit(begin, whole, "", shared=True)]
    return [_without(view, statement, _locals(statement).index(name))]


def _without(view: View, statement: _Import, index: int) -> Edit:
    """The import without one of its names."""
    spans = [view.span(alias) for alias in statement.names]
    here = spans[index]
    text = view.text
    after = skip(text, here.end, also=",")
    alone = view.indent(here.start) is not None and view.line_start(here.start) != view.line_start(
        view.span(statement).start
    )
    if alone and text[here.end : view.line_end(here.end)].strip(" \t,") == "":
        start, end = view.line_start(here.start), view.next_line(here.end)
    elif index + 1 < len(spans):
        start, end = here.start, min(after, spans[index + 1].start)
    else:
        start, end = spans[index - 1].end, here.end
    return Edit(start, text[start:end], "", shared=True)
