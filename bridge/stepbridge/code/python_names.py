"""Python's names as data: builtins, methods that change their object, calls that change nothing."""

from __future__ import annotations

import builtins

MUTATORS = frozenset(
    [
        "__delattr__",
        "__delitem__",
        "__iadd__",
        "__iand__",
        "__imul__",
        "__ior__",
        "__isub__",
        "__ixor__",
        "__setattr__",
        "__setitem__",
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "extendleft",
        "insert",
        "pop",
        "popitem",
        "popleft",
        "register",
        "remove",
        "reverse",
        "seed",
        "setdefault",
        "sort",
        "update",
    ]
)
BUILTINS = frozenset(dir(builtins)) | {
    "__annotations__",
    "__builtins__",
    "__doc__",
    "__file__",
    "__loader__",
    "__class__",
    "__module__",
    "__qualname__",
    "__name__",
    "__package__",
    "__path__",
    "__spec__",
    "WindowsError",
    "reveal_type",
}
LOGGING = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
QUIET = frozenset({"print", "len", "repr", "str", "id", "type", "isinstance", "globals", "locals", "vars"})
