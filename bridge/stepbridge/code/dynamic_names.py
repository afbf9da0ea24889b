"""What code loads by a call instead of an import: which names are known, and which calls hide them."""

from __future__ import annotations

import ast

from stepbridge.code.bound import Chain
from stepbridge.code.facts import Facts

_LOADERS = frozenset(
    [
        ("runpy", "run_path"),
        ("runpy", "run_module"),
        ("importlib.util", "spec_from_file_location"),
        ("importlib.util", "module_from_spec"),
        ("importlib.machinery", "SourceFileLoader"),
        ("importlib.metadata", "entry_points"),
        ("pkg_resources", "iter_entry_points"),
        ("zipimport", "zipimporter"),
    ]
)


def loads_unseen(module: str, path: Chain) -> bool:
    """True for a function of the library that loads code by a name that analysis does not follow."""
    full = (*module.split("."), *path)
    return any(full[: len(way)] == way for way in _WAYS)


_WAYS = [(*module.split("."), name) for module, name in sorted(_LOADERS)]


def renames_import_module(alias: ast.alias) -> bool:
    """True for ``from importlib import import_module as load``: its calls are not recognised."""
    return alias.name in ("import_module", "__import__") and alias.asname not in (None, alias.name)


def named_module(call: ast.Call, facts: Facts) -> str:
    """The module that ``import_module("literal")`` imports; empty where that is not known."""
    first = call.args[0] if call.args else None
    name = _text(first, facts)
    if not name.startswith("."):
        return name
    given = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "package")]
    package = _text(given[0], facts) if given else ""
    level = len(name) - len(name.lstrip("."))
    parts = package.split(".")
    if not package or level > len(parts):
        return ""
    return ".".join([*parts[: len(parts) - level + 1], name[level:]]).rstrip(".")


def _text(node: ast.expr | None, facts: Facts) -> str:
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.Name(id="__name__"):
            return facts.module
        case ast.Name(id="__package__"):
            return facts.module if facts.package else facts.module.rpartition(".")[0]
        case ast.Name(id=name):
            match facts.bound.get((0, name), []):
                case [only] if not only.parents and only.alias is None:
                    value = getattr(only.stmt, "value", None)
                    return _text(value, facts) if isinstance(value, ast.Constant) else ""
    return ""
