"""How strict a comparison is: strict, unless a relaxation is given here by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Equal = Literal[
    "int-is-float",
    "width",
    "nan-is-null",
    "missing-is-null",
    "name-case",
    "column-order",
    "text-case",
    "whitespace",
    "line-endings",
    "negative-zero",
    "time-zone",
    "time-unit",
    "list-is-tuple",
    "index",
    "category-is-text",
    "decimal-is-float",
    "metadata",
]
"""Names of things that may count as equal.

``int-is-float``: 1 and 1.0. ``width``: int32 and int64, float32 and float64. ``nan-is-null``: NaN, null.
``missing-is-null``: a key or column that is not there and one that is null. ``name-case``: columns and keys.
``time-zone``: instants, whatever their zone; a naive time is UTC. ``time-unit``: micro- and nanoseconds.
``index``: a frame's index is not compared. ``metadata``: an image's or a model file's headers.
"""


@dataclass(frozen=True)
class Tolerance:
    """Numbers are equal within ``atol + rtol * |control|``; NaN equals NaN.

    :param ulp: floats are equal also within that many units in the last place of their own type.
    """

    rtol: float = 0.0
    atol: float = 0.0
    ulp: int = 0


@dataclass(frozen=True)
class Ignore:
    """Differences there do not count, for a reason that the report shows.

    :param path: a glob of a column, a JSON path (``$.meta.*``), a file (``logs/**``), an XCom key.
    :param until: a date, ``2027-01-31``: after it the rule does not hold any more.
    """

    path: str
    reason: str
    until: str = ""


@dataclass(frozen=True)
class Metric:
    """A number that may move in one direction: ``auc >= control - 0.002``.

    :param rule: ``NAME (>=|<=|>|<|==) control [(+|-) NUMBER[%]]``; NAME is a key or JSON path.
    """

    rule: str


@dataclass(frozen=True)
class Output:
    """Something the old task writes instead of returning it.

    :param name: its name in the report.
    :param control: where the old task writes: an S3 URI or prefix (closing slash) or a path; templated.
    :param candidate: where the candidate writes its own; templated; ``{repeat}`` in it is nothing for the
        candidate, ``_1``, ``_2`` for its repeats. Empty: below ``shadow/`` in the store, by ``argument`` or
        ``environment``.
    :param sql: a query instead of a place, templated; run twice through ``connection``; ``{schema}`` in it is
        replaced by ``control`` and ``candidate``: by these words, or by what the two arguments say.
    :param connection: the Airflow connection of the query.
    :param argument: the parameter of the callable that says where to write; with ``sql`` it gets the schema.
    :param environment: the environment variable that says so.
    """

    name: str
    control: str = ""
    candidate: str = ""
    sql: str = ""
    connection: str = ""
    argument: str = ""
    environment: str = ""


@dataclass(frozen=True)
class Compare:
    """How results are compared.

    :param key: columns that identify a row; without it rows are matched by their place.
    :param unordered: row and list order do not count (multisets are compared).
    :param rtol: relative tolerance of floats; None: none for values, the defaults by dtype for arrays only
        where ``dtypes`` says so.
    :param columns: tolerance by column (glob) or JSON path.
    :param dtypes: tolerance by dtype: ``{"float32": Tolerance(rtol=1.3e-6, atol=1e-5)}``.
    :param equal: what counts as equal; see :data:`Equal`.
    :param pixels: how far a channel of a pixel may be off, 0 to 255.
    :param comparator: a comparator by name, for all outputs; None: by type.
    :param samples: how many differences are shown per part.
    :param mask: columns and paths (globs) whose values are never shown.
    :param memory: bytes the comparison of tables may hold; more goes to disk.
    :param idempotent: the user says that it does no harm if the candidate writes to the same place.
    :param drift: measure distributions where rows cannot be matched.
    """

    key: tuple[str, ...] = ()
    unordered: bool = False
    rtol: float | None = None
    atol: float | None = None
    columns: Mapping[str, Tolerance] = field(default_factory=dict)
    dtypes: Mapping[str, Tolerance] = field(default_factory=dict)
    equal: tuple[Equal, ...] = ()
    ignore: tuple[Ignore, ...] = ()
    metrics: tuple[Metric, ...] = ()
    outputs: tuple[Output, ...] = ()
    pixels: int = 0
    comparator: str | None = None
    samples: int = 10
    mask: tuple[str, ...] = ()
    memory: int = 1 << 30
    idempotent: bool = False
    drift: bool = True
