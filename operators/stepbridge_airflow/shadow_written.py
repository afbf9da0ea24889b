"""What control and candidate wrote, as values to compare; what changes while it is read is not compared."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stepbridge.compare import sides
from stepbridge.compare.engine import tool_error
from stepbridge.compare.model import Part, Skipped, Verdict
from stepbridge.compare.rules import Compare, Output
from stepbridge.contract import StoreSettings, Value
from stepbridge.failures import ObjectMissing, StepbridgeError
from stepbridge_airflow import shadow_outputs, shadow_queries
from stepbridge_airflow.shadow_outputs import Place

_Marks = tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True)
class Written:
    """One output of both sides.

    :param control: :param candidate: what each wrote; None where nothing is there.
    :param part: what is said instead of a comparison.
    :param seen: local places, and how their files were when they were looked at.
    """

    name: str
    control: Value | None = None
    candidate: Value | None = None
    part: Part | None = None
    seen: Mapping[str, _Marks] = field(default_factory=dict)

    def settled(self, part: Part) -> Part:
        """*part*, or TOOL_ERROR where a file was changed since it was looked at."""
        changed = [place for place, marks in self.seen.items() if _marks(place) != marks]
        if not changed:
            return part
        return tool_error(part.name, f"{', '.join(changed)} changed while it was compared")


@dataclass(frozen=True)
class Own:
    """One output of a candidate or a repeat, by itself.

    :param name: the output's. :param place: where it lies, or for a query what stands for ``{schema}``.
    :param value: what was written; None where nothing is there, or it is not known.
    :param why: why it is not known; empty where it is.
    """

    name: str
    place: str
    value: Value | None = None
    why: str = ""
    seen: _Marks | None = None

    def changed(self) -> bool:
        """Whether a file was changed since it was looked at."""
        return self.seen is not None and _marks(self.place) != self.seen


def own(
    rules: Compare,
    places: tuple[Place, ...],
    settings: StoreSettings,
    folder: Path,
    render: Callable[[str], str],
) -> Iterator[Own]:
    """What one instance of a candidate or repeat wrote; the parameters are those of :func:`read`."""
    known = {place.name: place for place in places}
    for output in rules.outputs:
        place = known.get(output.name)
        if place is None:
            yield Own(output.name, "", why="it did not say where it wrote this")
        elif output.sql:
            try:
                target = Path(tempfile.mkdtemp(dir=folder))
                yield Own(output.name, place.candidate, _rows(output, place.candidate, rules, target, render))
            except StepbridgeError as error:
                yield Own(output.name, place.candidate, why=f"the query ({place.candidate}): {error}")
        else:
            seen = _marks(place.candidate) if shadow_outputs.is_local(place.candidate) else None
            try:
                yield Own(output.name, place.candidate, _at(place.candidate, settings), seen=seen)
            except StepbridgeError as error:
                yield Own(output.name, place.candidate, why=str(error))


def read(
    rules: Compare,
    places: tuple[Place, ...],
    settings: StoreSettings,
    folder: Path,
    render: Callable[[str], str],
) -> Iterator[Written]:
    """What one instance of both sides wrote, in the order of the rules.

    :param places: as the candidate left them.
    :param settings: of the store, for the endpoint and region of ``s3://`` URIs.
    :param folder: holds the rows of queries; it must outlive the values.
    :param render: a query's template as the control sees it.
    """
    known = {place.name: place for place in places}
    for output in rules.outputs:
        place = known.get(output.name)
        if place is None:
            why = "the candidate did not say where it wrote this: it ran before the output was named"
            yield _unread(output.name, Verdict.INCOMPARABLE, why)
        elif output.sql:
            yield _queried(output, place, rules, Path(tempfile.mkdtemp(dir=folder)), render)
        elif shadow_outputs.same(place.control, place.candidate):
            why = f"both sides write to {place.control}, so neither's can be told from the other's"
            yield _unread(output.name, Verdict.SKIPPED, why)
        else:
            yield _stored(output.name, place, settings)


def _stored(name: str, place: Place, settings: StoreSettings) -> Written:
    seen = {one: _marks(one) for one in (place.control, place.candidate) if shadow_outputs.is_local(one)}
    try:
        control, candidate = (_at(one, settings) for one in (place.control, place.candidate))
    except StepbridgeError as error:
        return Written(name, part=tool_error(name, str(error)))
    if control is None and _is_empty(place.candidate, seen):
        candidate = None  # the folder that was made for it
    if control is None and candidate is None:
        why = f"there is nothing at {place.control} and nothing at {place.candidate}"
        return _unread(name, Verdict.INCOMPARABLE, f"{why}; a folder in S3 is named with a closing slash")
    return Written(name, control, candidate, seen=seen)


def _queried(
    output: Output, place: Place, rules: Compare, folder: Path, render: Callable[[str], str]
) -> Written:
    found: dict[str, Value] = {}
    for side, schema in (("control", place.control), ("candidate", place.candidate)):
        try:
            target = folder / side
            target.mkdir()
            found[side] = _rows(output, schema, rules, target, render)
        except StepbridgeError as error:
            return Written(
                output.name, part=tool_error(output.name, f"the query of the {side} ({schema}): {error}")
            )
    return Written(output.name, found["control"], found["candidate"])


def _rows(output: Output, schema: str, rules: Compare, folder: Path, render: Callable[[str], str]) -> Value:
    """The rows of an output's query on one side.

    :raises StepbridgeError: SB305 with the database's words, or what the template says.
    """
    try:
        query = render(output.sql.replace(shadow_outputs.SCHEMA, schema))
        frame = shadow_queries.table(output.connection, query, memory=rules.memory)
        return sides.value_of(frame, folder, place=f"the query with {schema}")
    except StepbridgeError:
        raise
    except Exception as error:
        raise StepbridgeError(
            "SB305",
            f"{type(error).__name__}: {error}",
            place=f"Output({output.name!r})",
            hint="see that the template of the query can be rendered; the other outputs are compared",
        ) from error


def _at(place: str, settings: StoreSettings) -> Value | None:
    at = str(shadow_outputs.path_of(place)) if shadow_outputs.is_local(place) else place
    try:
        return sides.value_at(at, settings)
    except ObjectMissing:
        return None


def _unread(name: str, verdict: Verdict, why: str) -> Written:
    return Written(name, part=Part(name, "none", verdict, why, skipped=(Skipped(name, why),)))


def _is_empty(place: str, seen: Mapping[str, _Marks]) -> bool:
    return place in seen and len(seen[place]) == 1 and shadow_outputs.path_of(place).is_dir()


def _marks(place: str) -> _Marks:
    """Of each file and folder at *place* what changes whenever it does."""
    found = []
    for path in shadow_outputs.local_files(place):
        try:
            stat = path.stat()
        except OSError:
            found.append((str(path), -1, -1, -1, -1))  # a dangling link, or gone already
            continue
        found.append((str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))
    return tuple(found)
