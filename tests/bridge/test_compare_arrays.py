"""Arrays: dtype and shape are strict, distances are measured, tolerances are by name or dtype."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stepbridge.compare.arrays import ArrayComparator, compare_arrays
from stepbridge.compare.base import Side
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.rules import Compare, Tolerance
from stepbridge.failures import StepbridgeError


def compared(control: Any, candidate: Any, **rules: Any) -> Part:
    return compare_arrays(np.asarray(control), np.asarray(candidate), Compare(**rules), "value")


@pytest.mark.parametrize(
    ("control", "candidate", "path"),
    [
        (np.array([1, 2, 3]), np.array([1, 5, 3]), "[1]"),
        (np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.5, 4.0]]), "[1, 0]"),
        (np.array(1.0), np.array(2.0), "[]"),
        (np.array([0.0]), np.array([-0.0]), "[0]"),
        (np.array([1.0]), np.array([np.nan]), "[0]"),
        (np.array(["a", "b"]), np.array(["a", "c"]), "[1]"),
        (np.array(["2026-01-01"], "M8[D]"), np.array(["NaT"], "M8[D]"), "[0]"),
        (np.array([True]), np.array([False]), "[0]"),
        (np.array([1 + 2j]), np.array([1 + 3j]), "[0]"),
        (np.array([(1, 2.0)], "i4,f8"), np.array([(1, 3.0)], "i4,f8"), "[0]"),
        (np.zeros((2, 2)), np.zeros((4,)), "shape"),
        (np.zeros(2, "f4"), np.zeros(2, "f8"), "dtype"),
        (np.zeros(2, "i8"), np.zeros(2, "f8"), "dtype"),
        (np.array(["1"]), np.array([1]), "dtype"),
    ],
)
def test_a_difference_has_its_place(control: Any, candidate: Any, path: str) -> None:
    part = compared(control, candidate)
    assert part.verdict is Verdict.DIFFERENT
    assert part.differences[0].path == path
    assert compared(control, control).verdict is Verdict.IDENTICAL


def test_nan_is_nan_and_nat_is_nat() -> None:
    for value in (
        np.array([np.nan, 1.0]),
        np.array(["NaT", "2026-01-01"], "M8[s]"),
        np.array([complex(np.nan, 1)]),
    ):
        assert compared(value, value.copy()).verdict is Verdict.IDENTICAL


@pytest.mark.parametrize(
    ("control", "candidate", "rules"),
    [
        (np.array([1.0]), np.array([1.0 + 1e-9]), {"rtol": 1e-8}),
        (np.array([1.0]), np.array([1.5]), {"columns": {"value": Tolerance(atol=1)}}),
        (np.array([100]), np.array([101]), {"dtypes": {"int64": Tolerance(atol=1)}}),
        (
            np.array([1.0], "f4"),
            np.array([np.nextafter(np.float32(1), np.float32(2))]),
            {"dtypes": {"float32": Tolerance(ulp=1)}},
        ),
        (np.array([1.0], "f4"), np.array([1.0], "f8"), {"equal": ("width",)}),
        (np.array([1]), np.array([1.0]), {"equal": ("int-is-float",)}),
        (np.array([0.0, 1.0]), np.array([-0.0, 1.0]), {"equal": ("negative-zero",)}),
    ],
)
def test_a_relaxation_lets_pass(control: Any, candidate: Any, rules: dict[str, Any]) -> None:
    assert compared(control, candidate).verdict is Verdict.DIFFERENT
    part = compared(control, candidate, **rules)
    assert part.verdict is Verdict.EQUIVALENT
    assert part.relaxations


def test_integers_are_exact_under_the_general_tolerance() -> None:
    assert compared(np.array([1000]), np.array([1001]), rtol=0.5).verdict is Verdict.DIFFERENT


def test_all_differences_are_counted_beyond_the_samples() -> None:
    part = compared(np.zeros(10_000), np.ones(10_000), samples=3)
    assert (part.total, len(part.differences)) == (10_000, 3)
    assert part.columns[0].max_abs == 1.0


def test_order_in_memory_does_not_matter() -> None:
    value = np.arange(3_000_000.0).reshape(1000, 3000)
    other = np.asfortranarray(value).copy(order="F")
    assert compared(value, other).verdict is Verdict.IDENTICAL
    other[999, 2999] += 1
    assert compared(value, other).differences[0].path == "[999, 2999]"


def test_empty_arrays_are_said_to_be_empty() -> None:
    part = compared(np.zeros((0, 3)), np.zeros((0, 3)))
    assert (part.verdict, part.of) == (Verdict.IDENTICAL, 0)
    assert part.rule.startswith("both are empty")


def test_files_are_read_without_unpickling(tmp_path: Path) -> None:
    good, objects, cut = tmp_path / "a.npy", tmp_path / "b.npy", tmp_path / "c.npy"
    np.save(good, np.arange(3))
    np.save(objects, np.array([object()]), allow_pickle=True)
    cut.write_bytes(good.read_bytes()[:-4])
    sides = {path: Side(str(path), "stepbridge.File", path=path) for path in (good, objects, cut)}
    comparator = ArrayComparator()
    assert comparator.takes(sides[good], sides[good])
    assert comparator.compare(sides[good], sides[good], Compare(), "x").verdict is Verdict.IDENTICAL
    for bad in (objects, cut):
        with pytest.raises(StepbridgeError, match="SB704"):
            comparator.compare(sides[good], sides[bad], Compare(), "x")


DTYPES = (
    hnp.integer_dtypes()
    | hnp.floating_dtypes(sizes=(16, 32, 64))
    | hnp.boolean_dtypes()
    | hnp.complex_number_dtypes()
)
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=3, max_side=5)))


@given(ARRAYS)
def test_an_array_is_identical_with_its_copy(value: Any) -> None:
    assert compared(value, value.copy()).verdict is Verdict.IDENTICAL


@settings(max_examples=60)
@given(
    hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=5), elements=st.floats(-1e6, 1e6)), st.data()
)
def test_one_change_is_found_at_its_place(value: Any, data: st.DataObject) -> None:
    index = tuple(data.draw(st.integers(0, side - 1)) for side in value.shape)
    other = value.copy()
    other[index] += 1e7
    part = compared(value, other)
    assert part.total == 1
    assert part.differences[0].path == f"[{', '.join(map(str, index))}]"
