"""Words whose absence from a file's bytes spares an analysis of its code; found once per content."""

from __future__ import annotations

import re

AIRFLOW = "airflow"
DOCSTRINGS = "docstrings"
LOADS = "loads"
OUTSIDE = "outside"
PATHS = "paths"
SUBCLASSES = "subclasses"

_WORDS = {
    AIRFLOW: (b"airflow", b"stepbridge"),
    DOCSTRINGS: (b"__doc__", b"getdoc", b"getcomments", b"getsource"),
    LOADS: (
        b"import_module",
        b"__import__",
        b"globals",
        b"runpy",
        b"spec_from_file",
        b"module_from_spec",
        b"SourceFileLoader",
        b"entry_points",
        b"zipimporter",
    ),
    OUTSIDE: (b"environ", b"getenv", b"open", b"read_"),
    PATHS: (b"__file__", b"resources", b"get_data", b"__path__"),
    SUBCLASSES: (b"__subclasses__",),
}
_RUNS_TEXT = re.compile(rb"\b(?:exec|eval)\b\s*\(")


def signs_of(data: bytes) -> frozenset[str]:
    """The kinds of words that stand in *data*."""
    found = {kind for kind, words in _WORDS.items() if any(word in data for word in words)}
    if (b"exec" in data or b"eval" in data) and _RUNS_TEXT.search(data):
        found.add(LOADS)
    return frozenset(found)
