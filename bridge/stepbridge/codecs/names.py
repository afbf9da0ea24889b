"""Types by name: tells what a type is without importing the library it comes from."""

from __future__ import annotations

import typing

FRAME = "pandas.DataFrame"
SERIES = "pandas.Series"
TABLE = "pyarrow.Table"
POLARS = "polars.DataFrame"


def full_name(cls: object) -> str:
    """``module.qualname`` of a class, or an empty string for anything else."""
    if not isinstance(cls, type):
        return ""
    return f"{cls.__module__}.{cls.__qualname__}"


def lineage(cls: object) -> frozenset[str]:
    """The full names of a class and its bases; empty for anything that is no class."""
    if not isinstance(cls, type):
        return frozenset()
    return frozenset(full_name(base) for base in cls.__mro__)


def class_of(annotation: object) -> object:
    """The class behind an annotation: ``numpy.ndarray`` for ``NDArray[float64]``."""
    return typing.get_origin(annotation) or annotation


def readable(annotation: object) -> str:
    """An annotation as an error message shows it."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        hidden = {"builtins", "__main__", "pathlib", "pathlib._local", "datetime", "decimal", "uuid"}
        return annotation.__qualname__ if annotation.__module__ in hidden else full_name(annotation)
    return str(annotation).replace("typing.", "")
