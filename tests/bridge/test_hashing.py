"""Canonical encoding: distinct values, distinct bytes; equal values, equal bytes everywhere."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import math
import os
import struct
import subprocess
import sys
import uuid
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepbridge import hashing
from stepbridge.failures import TypeProblem

GOLDEN = Path(__file__).with_name("golden_hashes.json")


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int


class Pair(NamedTuple):
    x: int
    y: int


VECTORS = {
    "none": None,
    "true": True,
    "one": 1,
    "one_float": 1.0,
    "one_text": "1",
    "one_bytes": b"1",
    "zero_negative": -0.0,
    "zero": 0.0,
    "nan": math.nan,
    "infinity": math.inf,
    "big": 10**5000,
    "empty_list": [],
    "empty_tuple": (),
    "empty_map": {},
    "empty_set": set(),
    "nested_a": [[1, 2], [3]],
    "nested_b": [[1], [2, 3]],
    "map_a": {"ab": {"c": 1}},
    "map_b": {"a": {"bc": 1}},
    "map_c": {"a": [], "b": ["x"]},
    "map_d": {"ab": ["x"]},
    "naive": dt.datetime(2024, 1, 2, 3, 4, 5),
    "utc": dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    "berlin": dt.datetime(2024, 1, 2, 4, 4, 5, tzinfo=ZoneInfo("Europe/Berlin")),
    "date": dt.date(2024, 1, 2),
    "time": dt.time(1, 2, 3),
    "delta": dt.timedelta(days=1, microseconds=1),
    "decimal": Decimal("1.10"),
    "decimal_b": Decimal("1.1"),
    "uuid": uuid.UUID(int=5),
    "enum": Colour.RED,
    "enum_b": Colour.BLUE,
    "int_enum": Level.LOW,
    "dataclass": Point(1, 2),
    "named_tuple": Pair(1, 2),
    "tuple": (1, 2),
    "complex": 1 + 2j,
    "surrogate": "\udc80",
}


def test_golden_vectors() -> None:
    found = {name: hashing.digest(value) for name, value in VECTORS.items()}
    assert found == json.loads(GOLDEN.read_text())


def test_golden_vectors_are_distinct() -> None:
    digests = [hashing.digest(value) for value in VECTORS.values()]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_stable_across_processes_and_hash_seeds(seed: str) -> None:
    script = (
        "from stepbridge import hashing\n"
        "print(hashing.digest([{'b', 'a', 'c'}, {'z': 1, 'a': frozenset({1, 2, 'x'})}, ('t', 1.5, None)]))"
    )
    env = {**os.environ, "PYTHONHASHSEED": seed}
    out = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == hashing.digest(
        [{"c", "b", "a"}, {"a": frozenset({"x", 2, 1}), "z": 1}, ("t", 1.5, None)]
    )


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.dates(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=4), st.integers()), inner, max_size=4),
    ),
    max_leaves=12,
)


def spelled(value: object) -> bytes:
    """The encoding of :data:`TREES`, item by item, as docs/cache-key.md says it."""

    def item(tag: bytes, payload: bytes) -> bytes:
        return tag + len(payload).to_bytes(8, "big") + payload

    match value:
        case bool():
            return item(b"b", b"1" if value else b"0")
        case int():
            return item(b"d", str(value).encode() if abs(value) < 10**4000 else b"x%x" % value)
        case float():
            return item(b"f", struct.pack(">d", math.nan if math.isnan(value) else value))
        case str():
            return item(b"s", value.encode("utf-8", "surrogatepass"))
        case bytes():
            return item(b"y", value)
        case None:
            return item(b"0", b"")
        case list() | tuple():
            return item(b"v" if isinstance(value, list) else b"t", b"".join(map(spelled, value)))
        case dict():
            pairs = sorted((spelled(key), spelled(inner)) for key, inner in value.items())
            return item(b"m", b"".join(key + inner for key, inner in pairs))
    return hashing.encode(value)


PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([2**62, -(2**62), 10**4000, -(10**4000) + 1, -0.0, math.inf]),
        st.floats(),
        st.text(st.characters(), max_size=5),
        st.sampled_from(["\udc80", "é" * 127, "é" * 128, "x" * 255, "x" * 256]),
        st.binary(max_size=3),
        st.dates(),
    ),
    lambda inner: st.one_of(
        st.lists(st.floats(), max_size=5),
        st.lists(st.text(st.characters(), max_size=3), max_size=5),
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(), st.booleans()), inner, max_size=4),
        st.dictionaries(st.one_of(st.floats(), st.text(max_size=3)), inner, min_size=33, max_size=36),
    ),
    max_leaves=20,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(PLAIN)
def test_every_way_of_encoding_gives_the_same_bytes(value: object) -> None:
    assert hashing.encode(value) == spelled(value)


def test_equal_keys_of_other_types_are_not_mistaken_for_each_other() -> None:
    pairs = [({1: "a"}, {True: "a"}), ({"a": 1}, {Word("a"): 1}), ({1: "a"}, {1.0: "a"})]
    for left, right in (*pairs, *[pair[::-1] for pair in pairs]):
        assert hashing.encode(left) == spelled(left)
        assert hashing.encode(right) == spelled(right)


class Word(str):
    """A text of a type of its own: encoded as text."""


@pytest.mark.parametrize("nested", [lambda v: [v], lambda v: (v,), lambda v: {"a": v}])
def test_values_nest_deeply(nested: Callable[[object], object]) -> None:
    value: object = 1
    for _ in range(250):
        value = nested(value)
    assert len(hashing.encode(value)) > 250 * 9


def typed(value: object) -> object:
    """A form in which Python's own equality is the one the encoding must have."""
    match value:
        case dict():
            return ("dict", frozenset((typed(k), typed(v)) for k, v in value.items()))
        case list() | tuple():
            return (type(value).__name__, tuple(typed(item) for item in value))
        case float():
            return ("float", value.hex())
        case Decimal():
            return ("Decimal", str(value))
        case _:
            return (type(value).__name__, value)


@given(TREES, TREES)
def test_injective(left: object, right: object) -> None:
    assert (hashing.encode(left) == hashing.encode(right)) == (typed(left) == typed(right))


@given(st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=4))
def test_regrouping_changes_the_encoding(groups: list[list[int]]) -> None:
    flat = [item for group in groups for item in group]
    regrouped = [flat[:1], flat[1:]]
    assert (hashing.encode(groups) == hashing.encode(regrouped)) == (groups == regrouped)


@given(st.dictionaries(st.text(), st.integers()))
def test_mapping_order_does_not_count(mapping: dict[str, int]) -> None:
    backwards = OrderedDict(reversed(list(mapping.items())))
    assert hashing.digest(mapping) == hashing.digest(backwards)


def test_one_nan() -> None:
    other = struct.unpack(">d", b"\x7f\xf8\x00\x00\x00\x00\x00\x01")[0]
    assert hashing.digest(other) == hashing.digest(math.nan)


def test_same_instant_same_zone_is_equal_and_other_zone_is_not() -> None:
    utc = dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC)
    assert hashing.digest(utc) == hashing.digest(utc.replace(tzinfo=ZoneInfo("UTC")))
    assert hashing.digest(utc) != hashing.digest(utc.astimezone(ZoneInfo("Europe/Berlin")))


@pytest.mark.parametrize("value", [object(), [1, {"a": object()}], lambda: None, int])
def test_refuses_what_has_no_stable_encoding(value: object) -> None:
    with pytest.raises(TypeProblem) as caught:
        hashing.digest(value, place="op_kwargs")
    assert caught.value.code.id == "SB105"
    assert "op_kwargs" in str(caught.value)
