"""The slice of a callable: the one place where code, data files and digests come together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepbridge import hashing
from stepbridge.code import kept, locate
from stepbridge.code.datafiles import Spot
from stepbridge.code.normal import text_digest
from stepbridge.code.project import missing_file
from stepbridge.code.reach import Reach, Reached
from stepbridge.code.reads import Reads
from stepbridge.code.requires import requirements
from stepbridge.code.resolve import Finder, absolute
from stepbridge.code.scope import file_of
from stepbridge.code.signs import SUBCLASSES
from stepbridge.code.source import no_collection
from stepbridge.failures import CodeProblem


@dataclass(frozen=True)
class Slice:
    """All that a callable reaches of its project.

    :param entry: ``module:qualname`` of what is called in the step's process.
    :param modules: source files by their path in the bundle.
    :param files: data files by their path in the bundle.
    :param captured: values of the function's closure, handed to the scope; not part of ``digest``.
    :param is_scope: True where ``entry`` is a maker to be called with ``captured`` to get the function.
    :param digest: of the normalised code and data files.
    :param parts: kind and digest of each definition, module and file, by a readable name: for explanations.
    :param requires: installed distributions that the code imports, with version or "".
    :param airflow: names of Airflow's that the code needs in the step's image, with the places.
    :param bound_args: positional arguments that ``functools.partial`` bound.
    :param reports: what a person should know about how the slice was made.
    """

    entry: str
    modules: Mapping[str, bytes]
    digest: str
    parts: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    captured: Mapping[str, object] = field(default_factory=dict)
    is_scope: bool = False
    requires: Mapping[str, str] = field(default_factory=dict)
    airflow: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reads: Reads = field(default_factory=Reads)
    bound_args: tuple[object, ...] = ()
    bound_kwargs: Mapping[str, object] = field(default_factory=dict)
    reports: tuple[str, ...] = ()


def slice_callable(
    function: Callable[..., Any],
    *,
    source_file: Path | None = None,
    roots: Sequence[Path] = (),
    files: Sequence[str] = (),
    given: frozenset[str] = frozenset(),
) -> Slice:
    """The slice of *function*, by its live object and the text of its files; nothing is imported.

    :param source_file: the DAG file, where the callable may come from another; its own file if None.
    :param roots: directories of the project's own modules, besides the DAG file's.
    :param files: data files to ship: paths or patterns relative to the DAG file or a root.
    :param given: names of parameters that the caller fills itself: they are no context keys.
    :raises CodeProblem: SB201 to SB206 and SB209, with file, line and the next step.
    """
    with no_collection():
        callee = locate.callee_of(function)
        own = next((file for layer in locate.layers(callee.function) if (file := file_of(layer))), None)
        dag_file = absolute(source_file) if source_file else own
        bases = [*([dag_file.parent] if dag_file else []), *(absolute(root) for root in roots)]
        finder = Finder(bases)
        question = kept.question_of(callee, dag_file, finder, given, declared=bool(files))
        reached = kept.recall(question, callee, finder) if question is not None else None
        if reached is None:
            reach = Reach(callee, dag_file, finder)
            derived = reach.shows(SUBCLASSES)
            if derived:
                reach = Reach(callee, dag_file, finder, derived=True)
            reached = reach.reached(given, bool(files))
            if question is not None and not derived:
                kept.keep(question, reach, reached)
        data = _beside(reached.beside)
        for pattern in files:
            data |= _matches(pattern, bases)
        return _slice(reached, dict(sorted(data.items())), callee)


def _slice(reached: Reached, data: Mapping[str, bytes], callee: locate.Callee) -> Slice:
    content = {f"file:{path}": hashing.digest_bytes(content) for path, content in data.items()}
    counted = {**reached.counted, **content}
    parts = {**reached.parts, **{name: f"file {digest}" for name, digest in content.items()}}
    return Slice(
        entry=reached.entry,
        modules=dict(reached.modules),
        digest=text_digest(
            "scope" if reached.is_scope else "name",
            reached.home,
            *(f"{name}={digest}" for name, digest in sorted(counted.items())),
        ),
        parts=dict(sorted(parts.items())) if content else parts,
        files=data,
        captured=reached.captured,
        is_scope=reached.is_scope,
        requires=requirements(reached.outside),
        airflow=reached.airflow,
        reads=reached.reads,
        bound_args=callee.args,
        bound_kwargs=dict(callee.kwargs),
        reports=reached.reports,
    )


def _beside(spots: Sequence[Spot]) -> dict[str, bytes]:
    """The data files that the code reads, by their path in the bundle."""
    found: dict[str, bytes] = {}
    for spot in spots:
        name, content = spot.path.relative_to(spot.base).as_posix(), _content(spot.path)
        if found.setdefault(name, content) != content:
            raise CodeProblem(
                "SB209",
                f"two files would ship as {name!r}",
                place=str(spot.path),
                hint="give one of them another name: the step's process has one directory for all roots",
            )
    return found


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CodeProblem(
            "SB209",
            f"the data file cannot be read: {error.strerror or error}",
            place=str(path),
            hint="keep the file readable on the worker",
        ) from error


def _matches(pattern: str, bases: Sequence[Path]) -> dict[str, bytes]:
    relative = Path(pattern)
    if relative.is_absolute() or ".." in relative.parts or not pattern:
        raise CodeProblem(
            "SB209",
            f"files={pattern!r} leaves the DAG file's directory",
            hint="declare the directory above as a root and give a path relative to it",
        )
    for base in bases:
        hits = [path for path in sorted(base.glob(pattern)) if path.is_file()]
        hits += [
            path
            for directory in sorted(base.glob(pattern))
            if directory.is_dir() and "*" not in relative.name
            for path in sorted(directory.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        ]
        if hits:
            return {path.relative_to(base).as_posix(): path.read_bytes() for path in hits}
    raise missing_file(pattern, bases)
