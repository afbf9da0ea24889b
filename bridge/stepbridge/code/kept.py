"""Keeps whole slices, in this process and on disk; one counts only while what it was made of still stands.

A slice is found by its callable and what else it depends on, the :class:`Question`. Callables that are more
than plain functions of a file, closures and those that decorators have wrapped among them, are sliced anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
import types
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from stepbridge.code import locate
from stepbridge.code.datafiles import Spot
from stepbridge.code.evidence import Evidence, evidence_of, standing
from stepbridge.code.locate import Callee
from stepbridge.code.memo import read_record, records_folder, write_record
from stepbridge.code.reach import Reach, Reached
from stepbridge.code.reads_record import reads_from, reads_record
from stepbridge.code.resolve import Finder, installed
from stepbridge.code.scope import file_of

WORTH = 20
"""A slice of so many files is worth a record on disk."""


class Question(NamedTuple):
    """All that a slice depends on besides files and the values of loaded modules.

    :param dag_file: its path, and where it really lies.
    :param own: the same of the file that holds the function's code.
    :param code: the name in the code object, and its first line.
    :param alias: the name that the DAG file gives to the function.
    :param given: as in ``slice_callable``.
    :param declared: data files are declared.
    :param bound: how many positional arguments are bound already, and which keywords.
    :param directories: where modules are looked for.
    :param prefix: of the interpreter.
    """

    dag_file: tuple[str, str]
    own: tuple[str, str]
    module: str
    qualname: str
    code: tuple[str, int]
    alias: str
    given: tuple[str, ...]
    declared: bool
    bound: tuple[int, tuple[str, ...]]
    directories: tuple[tuple[str, ...], tuple[str, ...]]
    prefix: str

    @property
    def path(self) -> Path | None:
        """The file of its record: one for each function, however often that changes; None without records."""
        folder = records_folder()
        name = "\0".join((self.dag_file[0], self.own[0], self.module, self.qualname))
        return folder / f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.slice" if folder else None


@dataclass(frozen=True)
class Kept:
    """A slice that is kept.

    :param own: modules that ship as they are: the path in the bundle, and where the file lies.
    :param reached: the slice, without the modules in *own*.
    """

    evidence: Evidence
    own: dict[str, str]
    reached: Reached


@dataclass
class _Place:
    """Where this process keeps a slice."""

    kept: Kept | None = None


@lru_cache(maxsize=128)
def _place(_: Question) -> _Place:
    return _Place()


def forget() -> None:
    """Forget what this process keeps."""
    _place.cache_clear()


def question_of(
    callee: Callee, dag_file: Path | None, finder: Finder, given: frozenset[str], *, declared: bool
) -> Question | None:
    """What is asked; None for a callable whose slice depends on more than can be checked."""
    function = callee.function
    if dag_file is None or callee.owner is not None or not isinstance(function, types.FunctionType):
        return None
    code, own = function.__code__, file_of(function)
    inner = function.__closure__ is not None or "<" in code.co_qualname or hasattr(function, "__wrapped__")
    if own is None or own.name.startswith("<") or inner:
        return None
    real = os.path.realpath(own)
    if installed(Path(real)):
        return None
    alias = locate.global_name(function, locate.live_globals(function, dag_file)) or ""
    if own == dag_file and "." not in code.co_qualname and alias != code.co_name:
        return None
    return Question(
        dag_file=(str(dag_file), real if own == dag_file else os.path.realpath(dag_file)),
        own=(str(own), real),
        module=function.__module__,
        qualname=function.__qualname__,
        code=(code.co_name, code.co_firstlineno),
        alias=alias,
        given=tuple(sorted(given)),
        declared=declared,
        bound=(len(callee.args), tuple(sorted(callee.kwargs))),
        directories=(tuple(map(str, finder.first)), tuple(map(str, finder.rest))),
        prefix=sys.prefix,
    )


def keep(question: Question, reach: Reach, reached: Reached) -> None:
    """Keep what *reach* has found."""
    if reached.is_scope or reached.captured:
        return
    own = {
        whole.module.shipped: str(whole.source.path)
        for whole in reach.code.wholes.values()
        if reached.modules[whole.module.shipped] == whole.source.data
    }
    others = {name: data for name, data in reached.modules.items() if name not in own}
    kept = Kept(evidence_of(reach), own, dataclasses.replace(reached, modules=others))
    _place(question).kept = kept
    path = question.path
    if path is not None and len(kept.evidence.files) >= WORTH:
        write_record(path, _record(question, kept))


def recall(question: Question, callee: Callee, finder: Finder) -> Reached | None:
    """What is kept for *question*, where all that it was made of still stands."""
    place = _place(question)
    if place.kept is None and (path := question.path) is not None:
        place.kept = _read(path, question)
    kept = place.kept
    contents = standing(kept.evidence, callee.function, finder) if kept is not None else None
    if kept is None or contents is None:
        return None
    modules = {**kept.reached.modules, **{name: contents[path] for name, path in kept.own.items()}}
    return dataclasses.replace(kept.reached, modules=dict(sorted(modules.items())))


# records -----------------------------------------------------------------------------------------------


def _record(question: Question, kept: Kept) -> dict[str, object]:
    """*kept* as JSON."""
    reached = kept.reached
    fields = {field.name: getattr(reached, field.name) for field in dataclasses.fields(reached)}
    return {
        "question": question,
        "evidence": {**vars(kept.evidence)},
        "own": kept.own,
        "reached": fields
        | {
            "modules": {name: data.decode("latin-1") for name, data in reached.modules.items()},
            "beside": [(str(spot.path), str(spot.base)) for spot in reached.beside],
            "reads": reads_record(reached.reads),
        },
    }


def _read(path: Path, question: Question) -> Kept | None:
    """The slice in a record; None where there is none, or one for another question."""
    record = read_record(path)
    try:
        return _kept(record) if record is not None and _frozen(record["question"]) == question else None
    except (KeyError, TypeError, ValueError):
        return None


def _kept(record: dict[str, Any]) -> Kept:
    evidence, reached = record["evidence"], record["reached"]
    return Kept(
        Evidence(
            files=evidence["files"],
            tops={name: _frozen(place) for name, place in evidence["tops"].items()},
            absent=_frozen(evidence["absent"]),
            present=_frozen(evidence["present"]),
            folders=_frozen(evidence["folders"]),
            disk=_frozen(evidence["disk"]),
            names=_frozen(evidence["names"]),
        ),
        record["own"],
        Reached(
            **reached
            | {
                "modules": {name: text.encode("latin-1") for name, text in reached["modules"].items()},
                "beside": tuple(Spot(Path(path), Path(base)) for path, base in reached["beside"]),
                "outside": tuple(reached["outside"]),
                "airflow": {name: tuple(places) for name, places in reached["airflow"].items()},
                "reads": reads_from(reached["reads"]),
                "reports": tuple(reached["reports"]),
            }
        ),
    )


def _frozen(value: Any) -> Any:
    """Lists as tuples, however deep."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
