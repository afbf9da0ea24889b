"""What hangs in a value: its drafts and references, and the same value once the drafts are in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stepbridge.carried import Fields, Inline, Items, Outside, Stored, Value
from stepbridge.references import Artifact, Draft


def _leaves(value: Value) -> Iterator[Inline | Stored | Outside | Draft]:
    match value:
        case Items():
            for item in value.items:
                yield from _leaves(item)
        case Fields():
            for item in value.fields.values():
                yield from _leaves(item)
        case _:
            yield value


def drafts(value: Value) -> tuple[Draft, ...]:
    """The drafts in *value*, in order."""
    return tuple(leaf for leaf in _leaves(value) if isinstance(leaf, Draft))


def stored(value: Value) -> tuple[Stored | Outside, ...]:
    """The references in *value*, in order."""
    return tuple(leaf for leaf in _leaves(value) if isinstance(leaf, Stored | Outside))


def with_artifacts(value: Value, artifacts: Sequence[Artifact]) -> Value:
    """*value* with its drafts replaced by the artifacts they became, in the order of :func:`drafts`."""
    return _filled((value,), artifacts)[0]


def published(
    values: Sequence[Value], publish_all: Callable[[tuple[Draft, ...]], Sequence[Artifact]]
) -> tuple[Value, ...]:
    """*values* with every draft in the store.

    :param publish_all: commits drafts and gives their artifacts in the same order; called once, and only
        where there is a draft.
    """
    found = tuple(draft for value in values for draft in drafts(value))
    return _filled(values, publish_all(found)) if found else tuple(values)


def _filled(values: Sequence[Value], artifacts: Sequence[Artifact]) -> tuple[Value, ...]:
    rest = iter(artifacts)
    filled = tuple(_replace(value, rest) for value in values)
    if next(rest, None) is not None:
        raise ValueError("more artifacts than drafts")
    return filled


def _replace(value: Value, artifacts: Iterator[Artifact]) -> Value:
    match value:
        case Draft():
            artifact = next(artifacts, None)
            if artifact is None:
                raise ValueError("fewer artifacts than drafts")
            return Stored(artifact)
        case Items():
            return Items(value.type, tuple(_replace(item, artifacts) for item in value.items))
        case Fields():
            return Fields({key: _replace(item, artifacts) for key, item in value.fields.items()}, value.name)
        case _:
            return value
