"""Whether a function gives a table or an array, as far as its own text shows."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

_LIBRARIES = frozenset({"pandas", "numpy", "polars", "pyarrow", "geopandas"})
_MAKERS = frozenset(
    {
        "DataFrame", "Series", "GeoDataFrame", "LazyFrame", "concat", "merge", "pivot_table",
        "json_normalize", "array", "asarray", "zeros", "ones", "arange", "linspace", "table",
        "from_dict", "from_records", "from_pandas",
    }
)  # fmt: skip
"""What makes one; everything that begins with ``read_`` does too."""
_NAMES = ("DataFrame", "Series", "ndarray", "NDArray", "GeoDataFrame", "pa.Table", "pyarrow.Table")


def gives_table(code: ast.AST, own: Iterable[ast.AST], tree: ast.Module) -> bool:
    """True where the annotation or a returned value is one.

    :param own: the nodes of the function without those of functions inside it.
    """
    annotation = getattr(code, "returns", None)
    if annotation is not None and any(name in ast.unparse(annotation) for name in _NAMES):
        return True
    nodes = list(own)
    libraries = set(_aliases(tree.body)) | set(_aliases(nodes))
    if not libraries:
        return False
    made = {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and _makes(node.value, libraries)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    given = [node.value for node in nodes if isinstance(node, ast.Return)]
    given += [code.body] if isinstance(code, ast.Lambda) else []
    return any(
        one is not None and (_makes(one, libraries) or (isinstance(one, ast.Name) and one.id in made))
        for one in given
    )


def _aliases(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (one.asname or one.name for one in node.names if one.name in _LIBRARIES)
        elif isinstance(node, ast.ImportFrom) and node.module in _LIBRARIES:
            yield from (one.asname or one.name for one in node.names if one.name in _MAKERS)


def _makes(node: ast.expr, libraries: set[str]) -> bool:
    """``pd.DataFrame(...)`` and ``DataFrame(...)``; what methods of a table give is not looked at."""
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    if isinstance(function, ast.Name):
        return function.id in libraries and function.id in _MAKERS
    if not isinstance(function, ast.Attribute):
        return False
    name = function.attr
    return (
        isinstance(function.value, ast.Name)
        and function.value.id in libraries
        and (name in _MAKERS or name.startswith("read_"))
    )
