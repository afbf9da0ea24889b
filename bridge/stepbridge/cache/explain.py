"""Why a look-up missed: two key records compared field by field and definition by definition, in words.

A record is what :class:`stepbridge.cache.key.Key` keeps beside an entry. Those read here may be of another
version or be cut short: whatever is not as expected counts as not there, and nothing here raises for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from stepbridge import documents, hashing
from stepbridge.cache.key import SCHEMA
from stepbridge.cache.lookup import NO_ENTRY, Miss
from stepbridge.contract import Attempt, CacheEntry, CacheTarget
from stepbridge.failures import ObjectMissing, RunProblem, StoreProblem
from stepbridge.store.base import Store

Record = Mapping[str, Any]

DIGITS = 12
"""How many digits of a digest people see."""
_CHANGES = 3
_EQUALS = 3
_LONGEST = 300
_NAME = 40
_VALUE = 30
_UNKNOWN = "what changed is not known"


class Kind(StrEnum):
    """What differs, in the order in which it is told; the value is how it is called."""

    SCHEMA = "schema of the key"
    OWN = "function"
    HELPER = "helper"
    CLASS = "class"
    CONSTANT = "constant"
    FILE = "file"
    CAPTURED_CODE = "captured function"
    DEFINITION = "definition"
    MODULE = "module"
    IMPORT = "import"
    STATEMENTS = "statements"
    ORDER = "order of statements"
    CODE = "code"
    PIN = "cache_version"
    INPUT = "input"
    CONTENT = "content at input"
    CAPTURED = "captured value"
    CONTEXT = "context"
    PULL = "XCom of"
    VARIABLE = "Variable"
    ENVIRONMENT = "environment"
    PACKAGE = "package"
    INTERFACE = "interface"
    IMAGE = "image"
    SALT = "salt"
    STEP = "step"
    FIELD = "field"


class Change(StrEnum):
    """How it differs; the value is how it is told."""

    CHANGED = "changed"
    ADDED = "is new"
    REMOVED = "is gone"
    IGNORED = "no longer counts"
    COUNTED = "counts now"


_ORDER = {kind: place for place, kind in enumerate(Kind)}
_PART_KINDS = {
    "step": Kind.OWN,
    "function": Kind.HELPER,
    "class": Kind.CLASS,
    "value": Kind.CONSTANT,
    "import": Kind.IMPORT,
    "module": Kind.MODULE,
    "file": Kind.FILE,
    "code": Kind.STATEMENTS,
}
_PREFIXES = {
    "input": Kind.INPUT,
    "context": Kind.CONTEXT,
    "variable": Kind.VARIABLE,
    "env": Kind.ENVIRONMENT,
    "requires": Kind.PACKAGE,
}
_SINGLE = {
    "step": Kind.STEP,
    "interface": Kind.INTERFACE,
    "code": Kind.CODE,
    "image": Kind.IMAGE,
    "salt": Kind.SALT,
}
_UNSHOWN = frozenset({Kind.VARIABLE, Kind.INTERFACE})
"""Kinds whose values are secret or too long for one line."""


@dataclass(frozen=True)
class Difference:
    """One thing that differs between two keys.

    :param name: of the input, package, helper, ...; empty where there is only one.
    :param where: the file of a definition; empty for the DAG file's own.
    :param old: the value before, for people; empty where none is kept.
    """

    kind: Kind
    change: Change
    name: str = ""
    where: str = ""
    old: str = ""
    new: str = ""

    def text(self, *, longest: int = _VALUE) -> str:
        """For people: ``helper `clean` in features.py changed``.

        :param longest: how much is shown of what it was and is, where that is known; 0 for nothing.
        """
        values = self._values(longest) if longest else ""
        return f"{_called(self.kind, self.name, self.where)} {self.change}{values}"

    def _values(self, longest: int) -> str:
        if self.kind in _UNSHOWN or self.old == self.new:
            return ""
        old, new = _cut(self.old, longest), _cut(self.new, longest)
        match self.change:
            case Change.CHANGED:
                return f" ({old or 'empty'} → {new or 'empty'})"
            case Change.ADDED | Change.REMOVED:
                return f" ({old or new})"
        return ""


@dataclass(frozen=True)
class Row:
    """One field of a key.

    :param digest: its first digits.
    :param value: for people.
    """

    field: str
    digest: str
    value: str


@dataclass(frozen=True)
class _Field:
    digest: str
    value: str


@dataclass(frozen=True)
class _Part:
    kind: str
    digest: str


def rows(record: Record) -> tuple[Row, ...]:
    """The fields of a key's record."""
    return tuple(
        Row(name, found.digest[:DIGITS], found.value) for name, found in sorted(_fields(record).items())
    )


def part_rows(record: Record) -> tuple[Row, ...]:
    """The definitions that a key's code digest stands for; ``value`` is what each is."""
    return tuple(
        Row(name, part.digest[:DIGITS], str(_PART_KINDS.get(part.kind, Kind.DEFINITION)))
        for name, part in sorted(_parts(record).items())
    )


def key_of(record: Record) -> str:
    """The key whose record this is; empty for a record of another schema."""
    if record.get("schema") != SCHEMA:
        return ""
    return hashing.digest((SCHEMA, {name: found.digest for name, found in _fields(record).items()}))


def differences(old: Record, new: Record) -> tuple[Difference, ...]:
    """What makes the key of *new* another than that of *old*, the most telling first.

    Two records of different schemas differ in that alone: their digests cannot be compared.
    """
    schemas = _text(old.get("schema")), _text(new.get("schema"))
    if schemas[0] != schemas[1]:
        return (Difference(Kind.SCHEMA, Change.CHANGED, old=schemas[0], new=schemas[1]),)
    before, after = _fields(old), _fields(new)
    pins = _pin(before), _pin(after)
    found: list[Difference] = []
    for name in before.keys() | after.keys():
        one, other = before.get(name), after.get(name)
        if one and other and one.digest == other.digest:
            continue
        if name == "code" and (pins[0] is not None or pins[1] is not None):
            found.append(_difference(Kind.PIN, "", pins[0], pins[1]))
        elif name == "code":
            found += code_differences(old, new) or [_difference(Kind.CODE, "", "", "")]
        elif name.startswith("requires:") and (pins[0] is None) != (pins[1] is None):
            continue
        else:
            found.append(_field_difference(name, one, other, old, new))
    return tuple(sorted(found, key=_place))


def code_differences(old: Record, new: Record) -> list[Difference]:
    """Which definitions, modules and files differ, whether or not the key counts them: see ``cache_version``.

    Of a module that ships whole its definitions are told; the module itself only where they are not known.
    """
    before, after = _parts(old), _parts(new)
    modules = {name for name, part in {**before, **after}.items() if part.kind == "module"}
    inside: dict[str, set[str]] = {module: set() for module in modules}
    outer: set[str] = set()
    for name in before.keys() | after.keys():
        inside.get(_home(name), outer).add(name)
    found: list[Difference] = []
    for name in outer:
        one, other = before.get(name), after.get(name)
        if one and other and one.digest == other.digest:
            continue
        if name in modules and one and other:
            found += _in_module(name, inside[name], before, after)
        else:
            found.append(_part_difference(name, "", one, other))
    return sorted(found, key=_place)


def why(old: Record, new: Record) -> str:
    """Why a run with the key *new* does not get the result under the key *old*, in one line for a log.

    At most three changes and three equal inputs are named, in at most 300 characters.
    """
    found = differences(old, new)
    if found and found[0].kind is Kind.SCHEMA:
        return _cut(
            f"missed: the recorded key has the schema {found[0].old or '(none)'}, this version makes "
            f"{found[0].new or '(none)'}: every step runs once more",
            _LONGEST,
        )
    if not found:
        return "missed: nothing that the key counts differs"
    equal = _equal(old, new)
    text = _why(found, equal, _VALUE)
    if len(text) > _LONGEST:
        text = _why(found, equal, 0)
    return _cut(text, _LONGEST)


def equal_fields(old: Record, new: Record) -> tuple[Row, ...]:
    """The fields that are the same in both."""
    before, after = _fields(old), _fields(new)
    return tuple(
        Row(name, one.digest[:DIGITS], one.value)
        for name, one in sorted(after.items())
        if name in before and before[name].digest == one.digest and one.digest
    )


def explain_miss(store: Store, target: CacheTarget, miss: Miss | None = None) -> str:
    """Why there is no result for *target*, in one line; at most one request, and no failure of it raises.

    :param miss: what the look-up said.
    """
    reason = miss.reason if miss is not None else NO_ENTRY
    if miss is not None and miss.failed:
        return f"missed: {reason}"
    dead = miss is not None and miss.dead
    try:
        entry = _entry(store, target.path if dead else target.latest_path)
    except ObjectMissing:
        return f"missed: {reason}" if dead else "missed: first run of this step"
    except (StoreProblem, OverflowError, RecursionError) as error:
        cause = error.cause if isinstance(error, StoreProblem) else error
        return f"missed: {reason}" if dead else _cut(f"missed: {reason}; {_UNKNOWN}: {cause}", _LONGEST)
    if dead:
        return f"missed: {reason}; the entry is by {_by(entry)}"
    return explain_between(entry, target)


def explain_between(entry: CacheEntry, target: CacheTarget) -> str:
    """Why *entry*, which is another run's, is no result for *target*, in one line."""
    if entry.key == target.key:
        return f"missed: the entry of this key, by {_by(entry)}, is gone"
    return f"{why(entry.record, target.record)} (against {_by(entry)})"


def _by(entry: CacheEntry) -> str:
    return f"{describe(entry.source)}, {moment(entry.created)}"


def describe(source: str) -> str:
    """The attempt whose run prefix is *source*, for people."""
    attempt = attempt_at(source)
    if attempt is None:
        return _cut(source, 2 * _NAME) or "an unknown run"
    index = f", map index {attempt.map_index}" if attempt.map_index >= 0 else ""
    number = f", try {attempt.try_number}" if attempt.try_number != 1 else ""
    return f"{attempt.dag_id}/{attempt.run_id}/{attempt.task_id}{index}{number}"


def attempt_at(prefix: str) -> Attempt | None:
    """The attempt whose record lies at *prefix*; None where it is no attempt's."""
    try:
        return Attempt.of_uri(f"/{prefix.strip('/')}/request.json")
    except RunProblem:
        return None


def moment(text: str) -> str:
    """An ISO 8601 time as ``2026-01-31 10:00:00 UTC``; other text as it is."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError):
        return _cut(text, _NAME) or "at an unknown time"


def _entry(store: Store, key: str) -> CacheEntry:
    return documents.read(CacheEntry, store, key)


# reading records ---------------------------------------------------------------------------------------


def _fields(record: Record) -> dict[str, _Field]:
    fields = record.get("fields")
    if not isinstance(fields, Mapping):
        return {}
    return {
        _text(name): _Field(_text(one.get("digest")), _text(one.get("value")))
        for name, one in fields.items()
        if isinstance(one, Mapping)
    }


def _parts(record: Record) -> dict[str, _Part]:
    """A part's value is its kind and its digest; of older records the digest alone."""
    parts = record.get("parts")
    if not isinstance(parts, Mapping):
        return {}
    split = {_text(name): _text(value).rpartition(" ") for name, value in parts.items()}
    return {name: _Part(kind, digest) for name, (kind, _, digest) in split.items() if digest}


def _ignored(record: Record) -> frozenset[str]:
    ignored = record.get("ignored")
    return frozenset(map(_text, ignored)) if isinstance(ignored, list | tuple) else frozenset()


def _pin(fields: Mapping[str, _Field]) -> str | None:
    """The ``cache_version`` that stands for the code; None where the code's own digest does."""
    code = fields.get("code")
    if code is None or not code.value.startswith("pinned: "):
        return None
    return code.value.removeprefix("pinned: ")


def _text(value: object) -> str:
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return text.encode("utf-8", "replace").decode()


# differences -------------------------------------------------------------------------------------------


def _place(one: Difference) -> tuple[int, str, str]:
    return _ORDER[one.kind], one.where, one.name


def _difference(kind: Kind, name: str, old: str | None, new: str | None, where: str = "") -> Difference:
    change = Change.ADDED if old is None else Change.REMOVED if new is None else Change.CHANGED
    return Difference(kind, change, name, where, old or "", new or "")


def _field_difference(
    field: str, one: _Field | None, other: _Field | None, old: Record, new: Record
) -> Difference:
    kind, name = _named(field)
    found = _difference(kind, name, one.value if one else None, other.value if other else None)
    plain = field.partition(":")[2].removesuffix(":content")
    if found.change is Change.REMOVED and plain in _ignored(new):
        return Difference(kind, Change.IGNORED, name)
    if found.change is Change.ADDED and plain in _ignored(old):
        return Difference(kind, Change.COUNTED, name)
    return found


def _named(field: str) -> tuple[Kind, str]:
    """What a field of a key is, and its name for people."""
    if field in _SINGLE:
        return _SINGLE[field], ""
    prefix, _, name = field.partition(":")
    kind = _PREFIXES.get(prefix, Kind.FIELD)
    if kind is Kind.FIELD:
        return kind, field
    if kind is Kind.INPUT and name.endswith(":content"):
        return Kind.CONTENT, name.removesuffix(":content").removeprefix("captured:")
    if kind is Kind.INPUT and name.startswith("captured:"):
        return Kind.CAPTURED, name.removeprefix("captured:")
    if kind is Kind.CONTEXT and name.startswith("xcom_pull("):
        tasks, _, rest = name.removeprefix("xcom_pull(").removesuffix(")").partition("|")
        key = rest.rpartition("|")[0]
        return Kind.PULL, tasks if key in {"", "return_value"} else f"{tasks}:{key}"
    return kind, name


def _home(name: str) -> str:
    """What stands before the colon of a definition's name; empty where there is none."""
    path, colon, _ = name.partition(":")
    return path if colon else ""


def _in_module(
    module: str, names: set[str], before: Mapping[str, _Part], after: Mapping[str, _Part]
) -> list[Difference]:
    if not (names & before.keys() and names & after.keys()):
        return [Difference(Kind.MODULE, Change.CHANGED, module)]
    found = [
        _part_difference(name.partition(":")[2], module, before.get(name), after.get(name))
        for name in names
        if name not in before or name not in after or before[name].digest != after[name].digest
    ]
    return found or [Difference(Kind.ORDER, Change.CHANGED, where=module)]


def _part_difference(name: str, where: str, one: _Part | None, other: _Part | None) -> Difference:
    part = other or one
    kind = _PART_KINDS.get(part.kind if part else "", Kind.DEFINITION)
    if name.startswith("file:"):
        kind, name = Kind.FILE, name.removeprefix("file:")
    elif name.startswith("captured "):
        kind, name = Kind.CAPTURED_CODE, name.removeprefix("captured ")
    return _difference(kind, name, "" if one else None, "" if other else None, where)


# words -------------------------------------------------------------------------------------------------


def _called(kind: Kind, name: str, where: str = "") -> str:
    at = f" in {_cut(where, _NAME)}" if where else ""
    if not name:
        return f"{kind}{at}"
    if kind is Kind.STATEMENTS:
        return f"{_cut(name.strip('()'), _NAME)}{at}"
    own = "the step's " if kind is Kind.OWN else ""
    return f"{own}{kind} `{_cut(name, _NAME)}`{at}"


def _equal(old: Record, new: Record) -> list[str]:
    """What is the same in both, of what people look for first."""
    same = {row.field for row in equal_fields(old, new)}
    inputs = [name for kind, name in map(_named, sorted(same)) if kind is Kind.INPUT]
    listed = [f"`{_cut(name, _NAME)}`" for name in inputs[:_EQUALS]]
    if len(inputs) > _EQUALS:
        listed.append(f"{len(inputs) - _EQUALS} more")
    said = [f"input{'s' if len(inputs) > 1 else ''} {_joined(listed)}"] if inputs else []
    pinned = _pin(_fields(new)) is not None
    return ["cache_version" if pinned else "code", *said] if "code" in same else said


def _why(found: tuple[Difference, ...], equal: list[str], longest: int) -> str:
    said = [one.text(longest=longest) for one in found[:_CHANGES]]
    if len(found) > _CHANGES:
        said.append(f"and {len(found) - _CHANGES} more")
    if equal:
        said.append(f"{_joined(equal)} equal")
    return "missed: " + "; ".join(said)


def _joined(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _cut(text: str, longest: int) -> str:
    plain = _text(" ".join(text.split()))
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"
