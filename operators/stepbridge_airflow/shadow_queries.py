"""A query of an output through an Airflow connection: its rows as a table, and errors without secrets."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from stepbridge.failures import StepbridgeError
from stepbridge_airflow import compat

_ROWS = 10_000
_SECRET = re.compile(r"pass|secret|token|key|private|credential", re.IGNORECASE)
_HINT = "see that the connection's provider is installed, and that the query runs with the connection by hand"


def table(connection: str, query: str, *, memory: int) -> Any:
    """The rows of *query* as a pandas frame with named columns; the values are as the database gave them.

    :param connection: id of an Airflow connection whose hook runs SQL.
    :param memory: about how many bytes the rows may take.
    :raises StepbridgeError: SB305 with the database's words, where there is no such hook, the query does not
        run, it gives no rows, or they take more than *memory*.
    """
    import pandas as pd

    found: Any = None
    try:
        found = compat.connection(connection)
        names, rows = _fetched(found.get_hook(), query, memory)
    except StepbridgeError:
        raise
    except Exception as error:  # noqa: BLE001 - every driver raises its own
        said = _without_secrets(f"{type(error).__name__}: {error}", found)
        raise _problem(connection, said, _HINT) from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _problem(connection, f"the query gives two columns {twice[0]!r}", "name them apart: AS")
    columns = {name: [_plain(row[at]) for row in rows] for at, name in enumerate(names)}
    return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in columns.items()})


def _fetched(hook: Any, query: str, memory: int) -> tuple[list[str], list[Any]]:
    if not hasattr(hook, "run"):
        raise TypeError(f"the hook {type(hook).__name__} runs no SQL")
    names: list[str] = []

    def fetch(cursor: Any) -> list[Any]:
        if cursor.description is None:
            raise ValueError("the query gives no rows")
        names.extend(str(column[0]) for column in cursor.description)
        rows: list[Any] = []
        held = 0
        while part := cursor.fetchmany(_ROWS):
            rows.extend(part)
            held += sum(sys.getsizeof(value) for row in part for value in row)
            if held > memory:
                raise MemoryError(
                    f"more than {len(rows) - len(part)} rows take more than {memory} bytes; narrow the query "
                    "or allow more: Compare(memory=...)"
                )
        return rows

    rows = hook.run(query, handler=fetch)
    return names, list(rows or [])


def _plain(value: object) -> object:
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


def _without_secrets(text: str, connection: Any) -> str:
    for secret in sorted(set(_secrets(connection)), key=len, reverse=True):
        for form in (secret, quote(secret, safe=""), quote_plus(secret)):
            text = text.replace(form, "***")
    return text


def _secrets(connection: Any) -> Iterator[str]:
    if connection is None:
        return
    if connection.password:
        yield str(connection.password)
    yield from _named_secret(connection.extra_dejson)


def _named_secret(found: object, named: bool = False) -> Iterator[str]:
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield from _named_secret(value, named or bool(_SECRET.search(str(key))))
    elif named and isinstance(found, str) and found:
        yield found


def _problem(connection: str, cause: str, hint: str) -> StepbridgeError:
    return StepbridgeError("SB305", cause, place=f"connection {connection!r}", hint=hint)
