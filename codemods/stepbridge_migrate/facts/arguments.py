"""The arguments of calls as records, ``**common`` of one literal mapping among them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from stepbridge_migrate.facts.project import Given, Module
from stepbridge_migrate.facts.scopes import Bound, Scope, dotted
from stepbridge_migrate.facts.values import Evaluator, keyword
from stepbridge_migrate.model import Argument, Span

_DEPTH = 6
Pair = tuple[str, ast.expr, Module]


class Arguments:
    """Reads the arguments of the calls of one file."""

    def __init__(self, module: Module, evaluator: Evaluator) -> None:
        self.module = module
        self.file = module.file
        self.evaluator = evaluator

    def of(self, call: ast.Call, scope: Scope) -> tuple[Argument, ...]:
        """All arguments of *call* in the order of the text."""
        found: list[Argument] = []
        for item in call.args:
            starred = isinstance(item, ast.Starred)
            inner = item.value if isinstance(item, ast.Starred) else item
            found.append(
                Argument(
                    None,
                    self._text(inner),
                    self._span(item),
                    self.file.place_of(item),
                    "*" if starred else "",
                    not starred and is_literal(inner),
                )
            )
        for word in call.keywords:
            found.append(self._keyword(word, scope))
        return tuple(sorted(found, key=lambda item: item.span))

    def _keyword(self, word: ast.keyword, scope: Scope) -> Argument:
        span = self._keyword_span(word)
        place = self.file.place(span.start)
        if word.arg is not None:
            return Argument(word.arg, self._text(word.value), span, place, "", is_literal(word.value))
        pairs = self.mapping(word.value, self.module, scope)
        common = tuple(self._common(pair, span) for pair in pairs or ())
        return Argument(None, self._text(word.value), span, place, "**", pairs is not None, common)

    def _common(self, pair: Pair, span: Span) -> Argument:
        name, value, module = pair
        file = module.file
        return Argument(name, file.cut(file.span(value)), span, file.place_of(value), "", is_literal(value))

    def _text(self, node: ast.expr) -> str:
        return self.file.cut(self._span(node))

    def _span(self, node: ast.expr) -> Span:
        """The span with the brackets around a value."""
        span = self.file.span(node)
        text, start, end = self.file.text, span.start, span.end
        while True:
            before = _skip_back(text, start)
            after = _skip_ahead(text, end)
            if before and text[before - 1] == "(" and after < len(text) and text[after] == ")":
                opened = before - 1
                ahead = _skip_back(text, opened)
                if ahead and (text[ahead - 1].isalnum() or text[ahead - 1] in "_)]\"'"):
                    return Span(start, end)
                start, end = opened, after + 1
                continue
            return Span(start, end)

    def _keyword_span(self, word: ast.keyword) -> Span:
        start = self.file.offset(word.lineno, word.col_offset)
        return Span(start, self._span(word.value).end)

    def open(self, call: ast.Call) -> int:
        """The offset just after the bracket that opens the arguments of *call*."""
        text = self.file.text
        at = self.file.span(call.func).end
        while True:
            at = _skip_ahead(text, at)
            if text[at] == "(":
                return at + 1
            at += 1

    # values ------------------------------------------------------------------------------------------------

    def find(self, call: ast.Call, name: str, scope: Scope) -> ast.expr | None:
        """The value of one argument, by its name or inside ``**common``."""
        found = keyword(call, name)
        if found is not None:
            return found
        for word in call.keywords:
            if word.arg is None:
                for key, value, module in self.mapping(word.value, self.module, scope) or ():
                    if key == name and module is self.module:
                        return value
        return None

    def default_args(self, call: ast.Call | None, module: Module) -> tuple[Argument, ...]:
        """The entries of a DAG's ``default_args`` where they are one literal mapping."""
        given = keyword(call, "default_args") if call is not None else None
        if given is None:
            return ()
        pairs = self.mapping(given, module, module.scope) or []
        span = module.file.span(given)
        return tuple(self._common(pair, span) for pair in pairs)

    def mapping(self, node: ast.expr, module: Module, scope: Scope, depth: int = 0) -> list[Pair] | None:
        """The entries of a mapping that is one literal; None where it is not."""
        if depth > _DEPTH:
            return None
        if isinstance(node, ast.Dict):
            return self._dict(node, module, scope, depth)
        if isinstance(node, ast.Call):
            return self._dict_call(node, module, scope, depth)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            left = self.mapping(node.left, module, scope, depth + 1)
            right = self.mapping(node.right, module, scope, depth + 1)
            return None if left is None or right is None else _merged([*left, *right])
        chain = dotted(node)
        found = scope.find(chain[0]) if chain else None
        if found is not None and len(found[1]) == 1 and not _changed(chain, module):
            for target in self.evaluator.project.resolve(module, scope, chain):
                if (
                    isinstance(target, Given)
                    and not target.rest
                    and target.binding.how is Bound.ASSIGN
                    and target.binding.value is not None
                ):
                    return self.mapping(target.binding.value, target.module, target.scope, depth + 1)
        return None

    def _dict(self, node: ast.Dict, module: Module, scope: Scope, depth: int) -> list[Pair] | None:
        pairs: list[Pair] = []
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                inner = self.mapping(value, module, scope, depth + 1)
                if inner is None:
                    return None
                pairs += inner
            elif isinstance(key, ast.Constant) and isinstance(key.value, str):
                pairs.append((key.value, value, module))
            else:
                return None
        return _merged(pairs)

    def _dict_call(self, node: ast.Call, module: Module, scope: Scope, depth: int) -> list[Pair] | None:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "copy" and not node.args:
            return self.mapping(node.func.value, module, scope, depth + 1)
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or scope.find("dict"):
            return None
        pairs: list[Pair] = []
        for given in [*node.args, *(word.value for word in node.keywords if word.arg is None)]:
            inner = self.mapping(given, module, scope, depth + 1)
            if inner is None:
                return None
            pairs += inner
        return _merged([*pairs, *((word.arg, word.value, module) for word in node.keywords if word.arg)])


def _merged(pairs: list[Pair]) -> list[Pair]:
    return list({name: (name, value, module) for name, value, module in pairs}.values())


def _changed(chain: tuple[str, ...], module: Module) -> bool:
    """True where the file changes the mapping after it was made."""
    known = module.memo.get("changed")
    if known is None:
        known = module.memo["changed"] = frozenset(_changes(module))
    return chain[0] in known  # type: ignore[operator]


def _changes(module: Module) -> Iterator[str]:
    for seen in module.walked.calls:
        function = seen.call.func
        if (
            isinstance(function, ast.Attribute)
            and function.attr in ("update", "pop", "setdefault", "clear", "popitem")
            and isinstance(function.value, ast.Name)
        ):
            yield function.value.id
    for node in ast.walk(module.file.tree):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Store | ast.Del)
            and isinstance(node.value, ast.Name)
        ):
            yield node.value.id


def is_literal(node: ast.expr) -> bool:
    """True for a constant, and for lists, tuples, sets and dicts of constants."""
    pending: list[ast.expr | None] = [node]
    while pending:
        item = pending.pop()
        if isinstance(item, ast.UnaryOp) and isinstance(item.operand, ast.Constant):
            continue
        if isinstance(item, ast.List | ast.Tuple | ast.Set):
            pending += item.elts
        elif isinstance(item, ast.Dict):
            pending += [*item.keys, *item.values]
        elif not isinstance(item, ast.Constant):
            return False
    return True


def _skip_ahead(text: str, at: int) -> int:
    """The offset of the next character that is no blank, comment or continued line."""
    while at < len(text):
        if text[at] == "#":
            while at < len(text) and text[at] not in "\r\n":
                at += 1
        elif text[at].isspace() or text[at] == "\\":
            at += 1
        else:
            break
    return at


def _skip_back(text: str, at: int) -> int:
    """The offset after the last character before *at* that is no blank."""
    while at and (text[at - 1].isspace() or text[at - 1] == "\\"):
        at -= 1
    return at
