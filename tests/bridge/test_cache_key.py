"""The cache key: golden vectors, and what must and must not change it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.artifact import Artifact, Draft
from stepbridge.cache.key import Key, build_key, readable
from stepbridge.contract import Fields, Inline, Items, Outside, Stored, Value

LONG = st.builds(
    lambda part, n: part * n, st.sampled_from(["a", "'", '"', "\n", "é", "'\""]), st.integers(150, 260)
)
GOLDEN = Path(__file__).with_name("golden_keys.json")


def artifact(digest: str, uri: str = "file:///s/a", size: int = 1) -> Stored:
    return Stored(Artifact(uri, digest, "", "", "", size))


def key(**changes: Any) -> Key:
    fields: dict[str, Any] = {
        "step": "d.t",
        "interface": "(a: int) -> int",
        "inputs": {"a": Inline("json", 1), "b": artifact("ab" * 32)},
        "code": "c0" * 32,
        "parts": {"train": "11" * 32},
        "requires": {"numpy": "2.0"},
        "image": "",
        "environment": {"MODE": "fast"},
        "version": "",
        "salt": "",
        "context": {"ds": Inline("json", "2024-01-01")},
        "variables": {"threshold": "0.5"},
    }
    return build_key(**{**fields, **changes})


CASES: dict[str, dict[str, Any]] = {
    "base": {},
    "step": {"step": "d.u"},
    "interface": {"interface": "(a: float) -> int"},
    "input": {"inputs": {"a": Inline("json", 2), "b": artifact("ab" * 32)}},
    "input type": {"inputs": {"a": Inline("json", 1.0), "b": artifact("ab" * 32)}},
    "input bool": {"inputs": {"a": Inline("json", True), "b": artifact("ab" * 32)}},
    "input text": {"inputs": {"a": Inline("json", "1"), "b": artifact("ab" * 32)}},
    "input name": {"inputs": {"c": Inline("json", 1), "b": artifact("ab" * 32)}},
    "artifact": {"inputs": {"a": Inline("json", 1), "b": artifact("cd" * 32)}},
    "outside": {"inputs": {"a": Inline("json", 1), "b": Outside("s3://b/k", 1, {"etag": "x"})}},
    "outside changed": {"inputs": {"a": Inline("json", 1), "b": Outside("s3://b/k", 1, {"etag": "y"})}},
    "items": {"inputs": {"a": Items("list", (Inline("json", 1),))}},
    "items tuple": {"inputs": {"a": Items("tuple", (Inline("json", 1),))}},
    "fields": {"inputs": {"a": Fields({"x": Inline("json", 1)})}},
    "code": {"code": "c1" * 32},
    "requires": {"requires": {"numpy": "2.1"}},
    "image": {"image": "sha256:1"},
    "environment": {"environment": {"MODE": "slow"}},
    "salt": {"salt": "s"},
    "pinned": {"version": "1"},
    "pinned 2": {"version": "2"},
    "context": {"context": {"ds": Inline("json", "2024-01-02")}},
    "variable": {"variables": {"threshold": "0.6"}},
}


def test_golden() -> None:
    assert {name: key(**change).digest for name, change in CASES.items()} == json.loads(GOLDEN.read_text())


def test_every_field_counts() -> None:
    digests = {name: key(**change).digest for name, change in CASES.items()}
    assert len(set(digests.values())) == len(CASES)


def test_location_does_not_count() -> None:
    elsewhere = {"a": Inline("json", 1), "b": artifact("ab" * 32, "s3://other/bucket", 99)}
    assert key(inputs=elsewhere).digest == key().digest


def test_a_value_on_this_machine_and_the_same_in_the_store_are_one_input() -> None:
    draft = Draft("11" * 32, "stepbridge.File", "file", "x.csv", ())
    value: Value = artifact(draft.digest)
    assert key(inputs={"a": draft}).digest == key(inputs={"a": value}).digest


def test_ignored_inputs_stay_out() -> None:
    loud = {"a": Inline("json", 1), "b": artifact("ab" * 32), "verbose": Inline("json", True)}
    quiet = {**loud, "verbose": Inline("json", False)}
    assert key(inputs=loud, ignore=("verbose",)).digest == key(inputs=quiet, ignore=("verbose",)).digest
    assert key(inputs=loud).digest != key(inputs=quiet).digest


def test_a_pin_stands_for_code_and_requirements() -> None:
    assert key(version="1", code="c1" * 32, requires={}).digest == key(version="1").digest
    assert key(version="1", code="c1" * 32).record["code"] == "c1" * 32


def test_explanations_do_not_count() -> None:
    assert key(parts={}).digest == key().digest


def test_variables_are_not_shown() -> None:
    assert "hunter2" not in json.dumps(key(variables={"password": "hunter2"}).record)


@given(st.permutations(sorted(CASES["base"].get("inputs", {"a": 1, "b": 2, "c": 3}))))
def test_order_of_inputs_does_not_count(names: list[str]) -> None:
    assert (
        key(inputs={name: Inline("json", name) for name in names}).digest
        == key(inputs={name: Inline("json", name) for name in sorted(names)}).digest
    )


@pytest.mark.parametrize("text", ["x" * 500])
def test_readable_values_are_cut(text: str) -> None:
    shown = key(inputs={"a": Inline("json", text)}).record["fields"]["input:a"]["value"]
    assert len(shown) <= 200


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), LONG),
    lambda inner: st.one_of(st.lists(inner, max_size=8), st.dictionaries(st.text(max_size=8), inner)),
    max_leaves=40,
)


@given(JSON)
def test_what_people_see_of_a_value_is_the_beginning_of_it(value: object) -> None:
    shown, full = readable(Inline("json", value)), repr(value)
    assert shown == (full if len(full) <= 200 else full[:199] + "…")
