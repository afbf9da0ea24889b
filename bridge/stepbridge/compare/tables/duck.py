"""Matching rows by key or as multisets in DuckDB, within a limit of memory; what is too much goes to disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepbridge.compare.tables.aligned import wired
from stepbridge.compare.tables.pairing import Pair
from stepbridge.compare.tables.source import Source
from stepbridge.compare.tables.wire import native
from stepbridge.failures import StepbridgeError

_FLOOR = 64 << 20
_BATCH = 1 << 17


@dataclass(frozen=True)
class Scan:
    """One side as DuckDB reads it.

    :param names: for each pair its column.
    :param width: how many columns the file has.
    """

    path: Path
    names: tuple[str, ...]
    width: int

    def sql(self, places: Sequence[int], extra: str = "") -> str:
        """A query of the columns at *places* of the pairs, as ``v0``, ``v1`` by place."""
        all_names = ", ".join(f"f{n}" for n in range(self.width))
        chosen = ", ".join([*(f"{self.names[n]} AS v{n}" for n in places), *([extra] if extra else [])])
        path = str(self.path).replace("'", "''")
        return f"(SELECT {chosen} FROM read_parquet('{path}', hive_partitioning=false) AS t({all_names}))"


@dataclass
class Excess:
    """Keys that occur more than once: how many, and the first ones with how often."""

    keys: int = 0
    first: list[tuple[list[Any], int]] = field(default_factory=list)


def prepare(source: Source, pairs: Sequence[Pair], side: str, folder: Path) -> Scan:
    """A file that DuckDB reads exactly: the source's own, or one in wire types below *folder*.

    :raises Unfit: where a value has no place in its wire type.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [getattr(pair, side) for pair in pairs]
    wires = [pair.wire for pair in pairs]
    exact = all(
        wire is not None and native(one.kind, wire) and not one.slow
        for one, wire in zip(fields, wires, strict=True)
    )
    if exact:
        link = folder / f"{side}-{len(os.listdir(folder))}.parquet"  # noqa: PTH208 - a count
        link.symlink_to(source.path.absolute())
        return Scan(link, tuple(f"f{one.at}" for one in fields), len(source.fields))
    target = folder / f"{side}-wire-{len(os.listdir(folder))}.parquet"  # noqa: PTH208 - a count
    schema = pa.schema([(f"f{n}", wire.type) for n, wire in enumerate(wires) if wire is not None])
    with pq.ParquetWriter(
        target, schema, compression="lz4", use_dictionary=False, write_statistics=False
    ) as writer:
        for arrays in source.batches([one.at for one in fields]):
            made = [wired(pair, array) for pair, array in zip(pairs, arrays, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(made, schema=schema))
    return Scan(target, tuple(f"f{n}" for n in range(len(pairs))), len(pairs))


class Engine:
    """A DuckDB of its own, closed with the ``with`` block that makes it.

    :param memory: bytes for the whole comparison; DuckDB gets the larger part.
    """

    def __init__(self, folder: Path, memory: int) -> None:
        self._folder, self._memory = folder, memory

    def __enter__(self) -> Engine:
        try:
            import duckdb
        except ImportError as error:
            raise StepbridgeError(
                "SB208",
                "comparing tables by key or as multisets needs duckdb, which is not installed here",
                place="Compare",
                hint="install stepbridge[compare]",
            ) from error
        spill = self._folder / "spill"
        spill.mkdir(exist_ok=True)
        limit = max(self._memory * 3 // 4, _FLOOR)
        self._error: type[BaseException] = duckdb.Error
        self._connection = duckdb.connect(
            config={
                "memory_limit": f"{limit >> 10}KiB",
                "temp_directory": str(spill),
                "preserve_insertion_order": "false",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "threads": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2),
            }
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            raise StepbridgeError(
                "SB304",
                f"the tables could not be compared by DuckDB: {error}",
                place="Compare",
                hint="raise Compare(memory=...), free disk for its spill, or see that both files are whole",
            ) from error

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        with self._speaking():
            found: list[tuple[Any, ...]] = self._connection.execute(query).fetchall()
            return found

    def run(self, query: str) -> None:
        """Run a statement."""
        with self._speaking():
            self._connection.execute(query)

    def batches(self, query: str) -> Iterator[Any]:
        """The result as Arrow record batches, never whole in memory."""
        with self._speaking():
            relation = self._connection.sql(query)
            reader = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
            yield from reader(_BATCH)

    def excess(self, scan: Scan, keys: Sequence[int], rows: int, shown: int) -> Excess:
        """The keys that occur more than once; none is proof that the key identifies a row.

        Hashes are sorted first: where none repeats no key does; else the keys are counted exactly.
        """
        if not self._hashes_repeat(scan, keys, rows):
            return Excess()
        names = ", ".join(f"v{n}" for n in keys)
        self.run(
            f"CREATE OR REPLACE TEMP TABLE excess AS SELECT {names}, count(*) AS times "
            f"FROM {scan.sql(keys)} GROUP BY {names} HAVING count(*) > 1"
        )
        found = Excess(int(self.rows("SELECT count(*) FROM excess")[0][0]))
        for batch in self.batches(f"SELECT * FROM excess ORDER BY {names} LIMIT {max(shown, 1)}"):
            for row in range(batch.num_rows):
                scalars = [batch.column(n)[row] for n in range(len(keys))]
                found.first.append((scalars, int(batch.column(len(keys))[row].as_py())))
        self.run("DROP TABLE excess")
        return found

    def _hashes_repeat(self, scan: Scan, keys: Sequence[int], rows: int) -> bool:
        """Whether two rows have the same hash of their key; in several passes where there are many rows."""
        import numpy as np

        passes = max(1, -(-rows * 8 // max(self._memory // 8, _FLOOR // 2)))
        names = ", ".join(f"v{n}" for n in keys)
        for part in range(passes):
            where = f" WHERE hash({names}) % {passes} = {part}" if passes > 1 else ""
            parts = [
                batch.column(0).to_numpy()
                for batch in self.batches(f"SELECT hash({names}) FROM {scan.sql(keys)}{where}")
            ]
            hashes = np.concatenate(parts) if parts else np.zeros(0, "u8")
            del parts
            hashes.sort()
            if bool((hashes[1:] == hashes[:-1]).any()):
                return True
        return False

    def unmatched(
        self, control: Scan, candidate: Scan, pairs: Sequence[Pair], keys: Sequence[int], complete: bool
    ) -> Iterator[Any]:
        """Rows of a full join by key that are on one side only or differ in any bit.

        Where the keys of both sides are known to be the same, *complete*, an inner join finds the same rows,
        and leaves those that are equal while it looks them up.

        Columns: ``has_control``, ``has_candidate``, the keys ``k0``..., then ``a0, b0, a1, b1``... of all
        other pairs.
        """
        others = [n for n in range(len(pairs)) if n not in keys]
        chosen = ["l.here IS NOT NULL AS has_control", "r.here IS NOT NULL AS has_candidate"]
        chosen += [f"coalesce(l.v{key}, r.v{key}) AS k{n}" for n, key in enumerate(keys)]
        chosen += [f"l.v{n} AS a{n}, r.v{n} AS b{n}" for n in others]
        on = " AND ".join(f"l.v{n} IS NOT DISTINCT FROM r.v{n}" for n in keys)
        differ = [_differs(pairs[n], f"l.v{n}", f"r.v{n}") for n in others]
        left, right = (scan.sql(range(len(pairs)), "1 AS here") for scan in (control, candidate))
        if complete:
            joined = f"{left} l JOIN {right} r ON {on} AND ({' OR '.join(differ or ['false'])})"
        else:
            where = " OR ".join(["l.here IS NULL", "r.here IS NULL", *differ])
            joined = f"{left} l FULL JOIN {right} r ON {on} WHERE {where}"
        return self.batches(f"SELECT {', '.join(chosen)} FROM {joined}")

    def multiset(self, control: Scan, candidate: Scan, pairs: Sequence[Pair]) -> tuple[int, int]:
        """Make the table ``surplus`` of distinct rows that one side has more often, and count both sides'.

        Its columns: ``v0``... of all pairs, and ``times``: how many more the control has; negative where the
        candidate has more.
        """
        places = range(len(pairs))
        names = [f"v{n}" for n in places]
        signs = [_sign(pair, f"v{n}") for n, pair in enumerate(pairs)]
        group = ", ".join([*names, *(sign for sign in signs if sign)])
        both = " UNION ALL ".join(
            f"SELECT {', '.join(names)}, {weight} AS weight FROM {scan.sql(places)}"
            for scan, weight in ((control, 1), (candidate, -1))
        )
        self.run(
            f"CREATE OR REPLACE TEMP TABLE surplus AS SELECT {', '.join(names)}, sum(weight) AS times "
            f"FROM ({both}) GROUP BY {group} HAVING sum(weight) <> 0"
        )
        counted = self.rows(
            "SELECT coalesce(sum(greatest(times, 0)), 0), coalesce(sum(greatest(-times, 0)), 0) FROM surplus"
        )
        return int(counted[0][0]), int(counted[0][1])

    def surplus(self, pairs: Sequence[Pair], shown: int) -> Iterator[Any]:
        """The first *shown* rows of the table that :meth:`multiset` made."""
        names = ", ".join(f"v{n}" for n in range(len(pairs)))
        return self.batches(
            f"SELECT {names}, CAST(times AS BIGINT) AS times FROM surplus "
            f"ORDER BY times > 0 DESC, {names}, times LIMIT {shown}"
        )

    def paired(
        self, control: Scan, candidate: Scan, pairs: Sequence[Pair], exact: Sequence[int], near: Sequence[int]
    ) -> Iterator[Any]:
        """Rows of both sides paired by sorting *near* within groups of equal *exact*, where groups differ.

        Columns: ``has_control``, ``has_candidate``, then ``a0, b0``... of all pairs.
        """
        places = range(len(pairs))
        order = ", ".join(f"v{n}" for n in near)
        by = ", ".join([*(f"v{n}" for n in exact), *(s for n in exact if (s := _sign(pairs[n], f"v{n}")))])
        over = f"(PARTITION BY {by} ORDER BY {order})" if exact else f"(ORDER BY {order})"
        touched = " AND ".join(f"s.v{n} IS NOT DISTINCT FROM t.v{n}" for n in exact) or "true"
        sides = [
            f"(SELECT *, row_number() OVER {over} AS place, 1 AS here FROM {scan.sql(places)} t "
            f"WHERE EXISTS (SELECT 1 FROM surplus s WHERE {touched}))"
            for scan in (control, candidate)
        ]
        on = ["l.place = r.place"]
        for n in exact:
            on.append(f"l.v{n} IS NOT DISTINCT FROM r.v{n}")
            if sign := _sign(pairs[n], f"@.v{n}"):
                on.append(f"{sign.replace('@', 'l')} IS NOT DISTINCT FROM {sign.replace('@', 'r')}")
        chosen = ["l.here IS NOT NULL AS has_control", "r.here IS NOT NULL AS has_candidate"]
        chosen += [f"l.v{n} AS a{n}, r.v{n} AS b{n}" for n in places]
        return self.batches(
            f"SELECT {', '.join(chosen)} FROM {sides[0]} l FULL JOIN {sides[1]} r ON {' AND '.join(on)}"
        )


def _differs(pair: Pair, left: str, right: str) -> str:
    """Whether two values differ in any bit; DuckDB itself takes 0.0 and -0.0 for equal."""
    plain = f"{left} IS DISTINCT FROM {right}"
    sign = _sign(pair, "@")
    if not sign:
        return plain
    if _nested(pair):
        return f"{plain} OR {sign.replace('@', left)} IS DISTINCT FROM {sign.replace('@', right)}"
    return f"{plain} OR ({left} = 0 AND signbit({left}) <> signbit({right}))"


def _sign(pair: Pair, name: str) -> str:
    """An expression that tells 0.0 from -0.0; empty for types that hold no floats."""
    import pyarrow.types as t

    assert pair.wire is not None
    if t.is_floating(pair.wire.type):
        return f"({name} = 0 AND signbit({name}))"
    floats = any(word in str(pair.wire.type) for word in ("double", "float"))
    return f"CAST({name} AS VARCHAR)" if _nested(pair) and floats else ""


def _nested(pair: Pair) -> bool:
    import pyarrow.types as t

    assert pair.wire is not None
    return bool(t.is_nested(pair.wire.type))
