"""numpy arrays: exact round trips, a digest of the values, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from roundtrip import trip

from stepbridge.codecs.arrays import ArrayCodec, content_digest
from stepbridge.failures import IntegrityProblem, TypeProblem
from stepbridge.values import UNANNOTATED

ARRAYS = {
    "ints": np.arange(5),
    "floats": np.array([[1.5, np.nan], [-0.0, np.inf]]),
    "empty": np.zeros((0, 3)),
    "zero-dimensional": np.array(3.5),
    "bools": np.array([True, False]),
    "text": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "times": np.array(["2024-01-01", "NaT"], "datetime64[ns]"),
    "spans": np.array([1, 2], "timedelta64[s]"),
    "complex": np.array([1j, complex("nan")]),
    "big endian": np.arange(3, dtype=">i4"),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "strided": np.arange(10)[::3],
    "structured": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    "half": np.array([1, 2], "float16"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_round_trip(name: str, tmp_path: Path) -> None:
    array = ARRAYS[name]
    for annotation in (np.ndarray, npt.NDArray[Any], UNANNOTATED):
        result = trip(array, annotation, tmp_path)
        assert result.value.dtype == array.dtype
        assert result.value.shape == array.shape
        np.testing.assert_array_equal(result.value, array)
        assert result.seen.endswith("/data.npy")
        assert result.drafts[0].type == "numpy.ndarray"


def test_the_digest_is_of_the_values() -> None:
    base = np.arange(6, dtype="int64").reshape(2, 3)
    assert (
        content_digest(np.asfortranarray(base)) == content_digest(base) == content_digest(base.copy()[:, :])
    )
    others = [
        base.astype("int32"),
        base.astype(">i8"),
        base.reshape(3, 2),
        base.ravel(),
        base + 1,
        base.astype(float),
    ]
    assert len({content_digest(other) for other in [base, *others]}) == 7
    quiet, loud = np.array([0x7FF8000000000000, 0x7FF8000000000001], "uint64").view("float64")[:, None]
    assert content_digest(quiet) == content_digest(loud)
    assert content_digest(np.array([0.0])) != content_digest(np.array([-0.0]))
    assert content_digest(base) == "c9ea4e8a" or len(content_digest(base)) == 64


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (np.array([object()]), "SB102"),
        (np.array([("a", 1)], dtype=[("a", object), ("b", int)]), "SB102"),
        (np.ma.masked_array([1, 2], mask=[True, False]), "SB103"),
    ],
)
def test_arrays_that_would_need_pickle_or_lose_something(value: Any, code: str, tmp_path: Path) -> None:
    with pytest.raises(TypeProblem) as caught:
        trip(value, np.ndarray, tmp_path)
    assert caught.value.code.id == code
    assert caught.value.hint


def test_foreign_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    loaded = ArrayCodec().load(None, tmp_path / "x.npy", np.ndarray, place="in")
    assert isinstance(loaded, np.ndarray)
    np.save(tmp_path / "o.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(IntegrityProblem, match=r"SB304"):
        ArrayCodec().load(None, tmp_path / "o.npy", np.ndarray, place="in")
    (tmp_path / "x.txt").write_text("1")
    with pytest.raises(TypeProblem, match=r"SB102"):
        ArrayCodec().load(None, tmp_path / "x.txt", np.ndarray, place="in")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["int8", "uint64", "float32", "float64", "bool", "complex128", "<U3"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 2**32),
)
def test_any_array_round_trips(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, shape: list[int], seed: int
) -> None:
    array = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    result = trip(array, np.ndarray, tmp_path_factory.mktemp("array"))
    assert result.value.dtype == array.dtype
    np.testing.assert_array_equal(result.value, array)
