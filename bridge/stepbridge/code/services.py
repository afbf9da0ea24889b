"""Finds the Variables and connections that code asks Airflow for, by literal names and by its arguments."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from stepbridge.code.abstract import Each, Evaluator, Frame, Nothing, as_text
from stepbridge.code.airflow_names import TEXT_KEYS
from stepbridge.code.reads import Joined, Literal, Lookup, LookupKind, Parameter, parameter_names

_CONNECTION_CALLS = frozenset({"get_connection", "get_connection_from_secrets", "get_hook"})
_SECOND = frozenset({"HttpHook", "HttpAsyncHook", "SparkSubmitHook"})
"""Hooks whose connection is the second positional argument, not the first."""


@dataclass
class Services(Evaluator):
    """Collects the names of Variables and connections."""

    variables: set[str] = field(default_factory=set)
    connections: set[str] = field(default_factory=set)
    lookups: list[Lookup] = field(default_factory=list)
    dynamic: list[str] = field(default_factory=list)

    def unclear(self, node: ast.AST, frame: Frame, what: str) -> None:
        """Note what is named only when the code runs."""
        self.dynamic.append(f"{frame.facts.source.place(node)}: {what}")

    def service(self, node: ast.Call, frame: Frame) -> bool:
        """Read a call of ``Variable.get``, ``get_connection`` or a hook; False for all other calls."""
        chain = self.airflow_name(node.func, frame)
        if chain[-2:] == ("Variable", "get"):
            self._named(node, "key", "variable", "Variable.get", frame)
        elif chain and chain[-1] in _CONNECTION_CALLS:
            self._named(node, "conn_id", "connection", chain[-1], frame)
        elif chain[-2:] == ("Connection", "get"):
            self._named(node, "conn_id", "connection", "Connection.get", frame)
        elif chain and chain[-1].endswith("Hook"):
            self._hook(node, chain[-1], frame)
        else:
            return False
        return True

    def take(self, item: ast.expr, kind: LookupKind, what: str, node: ast.AST, frame: Frame) -> None:
        """Note the Variable or connection that *item* names in the call *node*."""
        value = self.value(item, frame)
        said = f"{what} of a computed name: {ast.unparse(item)}"
        for one in value.values if isinstance(value, Each) else (value,):
            option = as_text(one)
            if isinstance(option, Literal):
                (self.variables if kind == "variable" else self.connections).add(str(option.value))
            elif isinstance(option, Parameter | Joined):
                context = tuple(sorted((parameter_names(option) & TEXT_KEYS) - self.given))
                self.lookups.append(Lookup(kind, option, said, frame.facts.source.place(node), context))
            elif not isinstance(option, Nothing):
                self.unclear(node, frame, said)

    def _hook(self, node: ast.Call, name: str, frame: Frame) -> None:
        words = [word.value for word in node.keywords if word.arg and word.arg.endswith("conn_id")]
        first = 1 if name in _SECOND else 0
        given = words or node.args[first : first + 1]
        if not given:
            self.unclear(node, frame, f"{name}() takes its default connection")
        for item in given:
            self.take(item, "connection", name, node, frame)

    def _named(self, node: ast.Call, word: str, kind: LookupKind, what: str, frame: Frame) -> None:
        named = [one.value for one in node.keywords if one.arg == word]
        found = [*named, *node.args][:1]
        if not found:
            self.unclear(node, frame, f"{what} of a computed name")
        for item in found:
            self.take(item, kind, what, node, frame)
