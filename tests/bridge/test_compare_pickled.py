"""Arrays and values in pickles and joblib files: compared as what they are, and no code is run."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import zlib
from collections import OrderedDict, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stepbridge.compare import pickled as reader
from stepbridge.compare.base import Side
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.pickled import pickled
from stepbridge.compare.rules import Compare, Ignore, Tolerance
from stepbridge.compare.weights import WeightsComparator
from stepbridge.failures import StepbridgeError

RNG = np.random.default_rng(5)
X = RNG.random((60, 3))
Y = (X[:, 0] > 0.5).astype(int)


class Model:
    """What a training leaves behind; never looked up by what is tested here."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Slotted:
    __slots__ = ("weights",)

    def __init__(self, weights: Any) -> None:
        self.weights = weights


def compared(control: Path, candidate: Path, **rules: Any) -> Part:
    sides = [Side(str(path), "stepbridge.File", path=path) for path in (control, candidate)]
    assert WeightsComparator().takes(sides[0], sides[1])
    return WeightsComparator().compare(sides[0], sides[1], Compare(**rules), "model")


def written(path: Path, value: Any, form: Any) -> Path:
    """*form* is a pickle protocol, or ``joblib`` with what ``compress`` takes."""
    if isinstance(form, int):
        path.write_bytes(pickle.dumps(value, form))
    else:
        joblib.dump(value, path, compress=form[1])
    return path


FORMS = [0, 2, 3, 4, 5, ("joblib", 0), ("joblib", 3), ("joblib", ("gzip", 3)), ("joblib", ("xz", 1))]


def pair(folder: Path, control: Any, candidate: Any, form: Any = 5) -> tuple[Path, Path]:
    return written(folder / "a.pkl", control, form), written(folder / "b.pkl", candidate, form)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_coefficients_that_moved_a_little(form: Any, tmp_path: Path) -> None:
    paths = [tmp_path / "a.pkl", tmp_path / "b.pkl"]
    for n, path in enumerate(paths):
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
        model[-1].coef_ = model[-1].coef_ * (1 + n * 1e-12)
        written(path, model, form)
    strict = compared(*paths)
    assert strict.verdict is Verdict.DIFFERENT
    (found,) = strict.parts
    assert found.name == "steps[1][1].coef_"
    (column,) = found.columns
    assert column.max_rel == pytest.approx(1e-12, rel=1e-3)
    assert column.max_abs is not None
    assert column.max_abs < 1e-10
    assert any("ulp" in fact.name for fact in found.facts)
    for rules in (
        {"rtol": 1e-9},
        {"atol": 1e-9},
        {"dtypes": {"float64": Tolerance(ulp=20_000)}},
        {"columns": {"*.coef_": Tolerance(rtol=1e-9)}},
    ):
        part = compared(*paths, **rules)
        assert part.verdict is Verdict.EQUIVALENT
        assert part.parts[0].relaxations
    assert compared(*paths, ignore=(Ignore("*.coef_", "retrained"),)).verdict is Verdict.EXPLAINED


@pytest.mark.parametrize("form", [4, 5, ("joblib", 0)], ids=str)
def test_a_tree_of_a_forest_is_named_down_to_its_field(form: Any, tmp_path: Path) -> None:
    paths = [tmp_path / "a.joblib", tmp_path / "b.joblib"]
    for n, path in enumerate(paths):
        model = RandomForestClassifier(4, random_state=1).fit(X, Y)
        model.estimators_[3].tree_.threshold[0] += n * 0.125
        written(path, model, form)
    part = compared(*paths)
    assert [one.name for one in part.parts] == ["estimators_[3].tree_.nodes.threshold"]
    assert part.parts[0].columns[0].max_abs == 0.125
    assert [one.path for one in part.parts[0].differences] == ["[0]"]


VALUES = {
    "C": np.arange(12.0).reshape(3, 4),
    "F": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "turned": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "big": np.arange(3, dtype=">i4"),
    "times": np.array(["2024-01-01", "NaT"], "M8[ns]"),
    "spans": np.array([1, 2], "m8[25us]"),
    "empty": np.zeros((0, 3), "f4"),
    "texts": np.array(["ab", "c"]),
    "octets": np.array([b"ab", b"c"]),
    "flags": np.array([True, False]),
    "complex": np.array([1 + 2j]),
    "half": np.array([1.5], "f2"),
    "nought": np.array(3.0),
    "scalar": np.float32(1.5),
    "matrix": np.ones((2, 2)).view(np.matrix),
    "readonly": np.frombuffer(b"\1\2\3\4", "u1"),
}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_kind_of_array_is_read_as_it_was(form: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "a.pkl", VALUES, form)
    found = pickled(path)
    assert not found.notes
    assert set(found.arrays) == set(VALUES)
    for name, array in VALUES.items():
        read = found.arrays[name].load()
        assert read.dtype == array.dtype
        assert read.shape == array.shape
        np.testing.assert_array_equal(read, np.asarray(array))
    assert not any(read.load().flags.writeable for read in found.arrays.values())


def test_forms_of_one_object_are_one_object(tmp_path: Path) -> None:
    model = Model(
        weights=VALUES["C"], rate=0.5, names=np.array(["a", None], object), seen={"x", "y"}, raw=b"ab"
    )
    vars(model).update(old=bytearray(b"cd"), none=b"", two={(1, 2): frozenset({3})}, scale=np.float64(0.1))
    paths = [written(tmp_path / f"{n}.pkl", model, form) for n, form in enumerate(FORMS)]
    for path in paths[1:]:
        part = compared(paths[0], path)
        assert part.verdict is Verdict.IDENTICAL, (path, part)
        assert "the bytes differ" in part.rule
        assert part.compared == part.of > 5


def test_numpy_1_and_2_name_the_same_things(tmp_path: Path) -> None:
    new, old = tmp_path / "new.pkl", tmp_path / "old.pkl"
    data = pickle.dumps({"w": VALUES["F"].T[::2], "s": np.float64(2), "o": np.array([None])}, 2)
    assert b"numpy._core" in data
    new.write_bytes(data)
    old.write_bytes(data.replace(b"cnumpy._core.", b"cnumpy.core."))
    assert compared(new, old).verdict is Verdict.IDENTICAL


MODELS = Path(__file__).parent / "models"
"""Written by numpy 1.26 with joblib 1.1 and scikit-learn 1.3, and by numpy 2.4 with joblib 1.6 and 1.9."""


@pytest.mark.parametrize("name", ["arrays.pkl", "arrays5.pkl", "arrays.joblib"])
def test_files_of_two_generations_of_numpy_are_equal(name: str) -> None:
    old, new = MODELS / f"numpy1-{name}", MODELS / f"numpy2-{name}"
    assert old.read_bytes() != new.read_bytes()
    for pair_ in ((old, new), (new, old)):
        part = compared(*pair_)
        assert part.verdict is Verdict.IDENTICAL, part
    found = {key: one.load() for key, one in pickled(old).arrays.items()}
    expected = {
        "C": VALUES["C"],
        "F": VALUES["F"],
        "nodes.n": np.array([1, 2], "i4"),
        "nodes.x": np.array([0.5, 0.25]),
        "times": np.array(["2024-01-01"], "M8[ns]"),
        "s": np.float64(0.1),
        "empty": np.zeros((0, 2), "f4"),
    }
    assert set(found) == set(expected)
    for key, array in expected.items():
        assert found[key].dtype == array.dtype
        np.testing.assert_array_equal(found[key], array)


def test_forests_of_two_generations_differ_where_the_library_changed() -> None:
    part = compared(MODELS / "numpy1-forest.joblib", MODELS / "numpy2-forest.joblib")
    assert part.verdict is Verdict.DIFFERENT
    assert [one.name for one in part.parts] == [
        "values",
        "estimators_[0].tree_.values",
        "estimators_[1].tree_.values",
    ]
    versions = part.parts[0].differences[0]
    assert (versions.path, versions.control, versions.candidate) == (
        "$.estimator._sklearn_version",
        "1.3.2",
        "1.9.1",
    )


@pytest.mark.parametrize(
    ("control", "candidate", "where"),
    [
        (Model(a=1), Model(a=2), "$.a"),
        (Model(a=1), Model(a=1.0), "$.a"),
        (Model(a=1), Model(a=True), "$.a"),
        (Model(a=1), Model(), "$.a"),
        ([1, [2, 3]], [1, [2, 4]], "$[1][1]"),
        ((1, 2), [1, 2], "$"),
        ({"a b": 1}, {"a b": 2}, "$['a b']"),
        ({1: "x"}, {True: "x"}, "$[1]"),
        ({(1, 2.0): "x"}, {(1, 2): "x"}, "$[(1, 2.0,)]"),
        ({np.int64(3): "x"}, {np.int64(4): "x"}, "$[numpy scalar int64() 3]"),
        (Model(a=b"x" * 500), Model(a=b"x" * 499 + b"y"), "$.a"),
        (Model(a=bytearray(b"x")), Model(a=b"x"), "$.a"),
        (OrderedDict(a=1), {"a": 1}, "$['(made by)']"),
        (defaultdict(int, a=1), defaultdict(list, a=1), "$['(arguments)'][0]"),
        (Slotted(1), Slotted(2), "$.weights"),
        (Model(f=len), Model(f=max), "$.f"),
        (date(2026, 1, 1), date(2026, 1, 2), "$['(arguments)'][0]"),
        ({1, 2}, {1, 3}, "$[0]"),
        (np.array(["a", None], object), np.array(["a", "b"], object), "$.items[1]"),
        (np.float64(1), 1.0, "$"),
    ],
)
def test_one_changed_value_is_found_in_place(
    control: Any, candidate: Any, where: str, tmp_path: Path
) -> None:
    a, b = pair(tmp_path, control, candidate)
    part = compared(a, b)
    assert part.verdict is Verdict.DIFFERENT
    found = [one.path for inner in part.parts for one in inner.differences]
    assert where in found or where.replace("[0]", "[1]") in found
    assert compared(b, a).verdict is Verdict.DIFFERENT


def test_floats_beside_the_arrays_have_the_same_tolerance(tmp_path: Path) -> None:
    a, b = pair(tmp_path, Model(loss=[0.5, 0.25]), Model(loss=[0.5, 0.25 + 1e-13]))
    assert compared(a, b).verdict is Verdict.DIFFERENT
    assert compared(a, b, rtol=1e-9).verdict is Verdict.EQUIVALENT
    assert compared(a, b, equal=("metadata",)).verdict is Verdict.DIFFERENT


def test_arrays_come_go_and_become_something_else(tmp_path: Path) -> None:
    a, b = pair(tmp_path, Model(w=np.ones(3), v=np.ones(2)), Model(w=None, u=np.ones(2)))
    part = compared(a, b)
    assert {(one.path, one.kind) for one in part.differences} == {
        ("u", "extra"),
        ("v", "missing"),
        ("w", "missing"),
    }
    a, b = pair(tmp_path, [np.ones(3)], [np.ones(3), np.ones(2)])
    assert compared(a, b).verdict is Verdict.DIFFERENT
    wide, narrow = pair(tmp_path, Model(w=np.ones(3)), Model(w=np.ones(3, "f4")))
    assert compared(wide, narrow).verdict is Verdict.DIFFERENT
    assert compared(wide, narrow, equal=("width",)).verdict is Verdict.EQUIVALENT


def test_padding_between_fields_does_not_count(tmp_path: Path) -> None:
    kind = np.dtype({"names": ["n", "x"], "formats": ["u1", "f8"], "offsets": [0, 8], "itemsize": 16})
    arrays = []
    for filler in (0, 255):
        raw = np.full(32, filler, "u1").view(kind)
        raw["n"], raw["x"] = [1, 2], [0.5, 0.25]
        arrays.append(raw)
    a, b = pair(tmp_path, *arrays)
    assert a.read_bytes() != b.read_bytes()
    assert compared(a, b).verdict is Verdict.IDENTICAL
    arrays[1]["x"][1] = 0.5
    a, b = pair(tmp_path, *arrays)
    assert [one.name for one in compared(a, b).parts] == ["array.x"]


def test_what_holds_itself_and_what_is_shared(tmp_path: Path) -> None:
    loops = []
    for n in (1, 2):
        model = Model(n=n)
        model.parent = [model]
        loops.append(model)
    a, b = pair(tmp_path, *loops)
    assert [one.path for one in compared(a, b).parts[0].differences] == ["$.n"]
    row = [1, 2]
    part = compared(*pair(tmp_path, [row, row], [row, list(row)]))
    assert part.verdict is Verdict.EQUIVALENT
    assert "one and the same" in part.skipped[0].what


def test_a_frame_in_a_pickle(tmp_path: Path) -> None:
    times = ["2024-01-01", "2025-01-01"]
    control, candidate = (
        pd.DataFrame({"a": [1.0, last], "b": ["x", "y"], "c": pd.to_datetime(times)})
        for last in (2.5, 2.5 + 1e-12)
    )
    a, b = pair(tmp_path, control, candidate)
    part = compared(a, b)
    assert [found.total for found in part.parts] == [1]
    assert compared(a, b, rtol=1e-9).verdict is Verdict.EQUIVALENT


# what is not understood, cut off or hostile ----------------------------------------------------------


@pytest.mark.parametrize("form", [0, 2, 5, ("joblib", 0), ("joblib", 3)], ids=str)
def test_cut_files_are_compared_by_their_bytes_and_it_is_said(form: Any, tmp_path: Path) -> None:
    whole = written(tmp_path / "a.pkl", Model(w=np.arange(40.0), names=["a", "b"]), form).read_bytes()
    a, b = tmp_path / "a.pkl", tmp_path / "b.pkl"
    step = max(1, len(whole) // 40)
    for end in (0, 1, 2, *range(3, len(whole) - 1, step), len(whole) - 1):
        b.write_bytes(whole[:end])
        part = compared(a, b)
        assert part.verdict is Verdict.DIFFERENT
        assert part.comparator == "file"
        assert "the pickle cannot be read" in part.skipped[0].why
        assert str(b) in part.skipped[0].why


def test_what_lies_behind_the_end_counts(tmp_path: Path) -> None:
    a, b = tmp_path / "a.pkl", tmp_path / "b.pkl"
    data = pickle.dumps([1])
    for tail in (b"\0", pickle.dumps([2])):
        a.write_bytes(data)
        b.write_bytes(data + tail)
        assert compared(a, b).verdict is Verdict.DIFFERENT
    for pack in (zlib.compress, gzip.compress, bz2.compress, lzma.compress):
        a.write_bytes(pack(data))
        assert pickled(a).values == [1]
        b.write_bytes(a.read_bytes() + b"more")
        part = compared(a, b)
        assert (part.verdict, part.comparator) == (Verdict.DIFFERENT, "file")
        assert "after the end" in part.skipped[0].why


def test_what_is_made_and_thrown_away_counts(tmp_path: Path) -> None:
    a, b = tmp_path / "a.pkl", tmp_path / "b.pkl"
    a.write_bytes(b"\x80\x02K\x01.")
    for besides in (
        b"cos\nsystem\n(X\x02\x00\x00\x00lstR0",
        b"cos\nsystem\n0",
        b"(cos\nsystem\n(X\x01\x00\x00\x00atR1",
    ):
        b.write_bytes(b"\x80\x02" + besides + b"K\x01.")
        part = compared(a, b)
        assert part.verdict is Verdict.DIFFERENT
        assert "not part of the result" in str(part.parts)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("memory", b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x0f.", "ends before"),
        ("text", b"\x80\x05\x8d\xff\xff\xff\xff\xff\xff\xff\x0f.", ""),
        ("number", b"\x80\x05\x8b\xff\xff\xff\x7f\x01.", ""),
        ("depth", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "Recursion"),
        ("stack", b"\x80\x02R.", "there is none"),
        ("memo", b"\x80\x02h\x05.", "does not have"),
        ("opcode", b"\x80\x02\xff.", "no opcode"),
        ("lz4", b"\x04\x22\x4d\x18aaaa", "lz4"),
        ("state", b"\x80\x02]K\x01b.", "sets the state"),
        ("module", b"\x80\x04K\x01K\x02\x93.", "no text"),
    ],
)
def test_hostile_files_are_named(name: str, data: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.pkl"
    path.write_bytes(data)
    with pytest.raises(StepbridgeError) as caught:
        pickled(path)
    assert caught.value.code.id == "SB704"
    assert caught.value.place == str(path)
    assert why in str(caught.value)


def test_bombs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_MEMBERS", 20_000)
    monkeypatch.setattr(reader, "_UNPACKED", 1 << 20)
    laughs: Any = []
    for _ in range(60):
        laughs = [laughs, laughs]
    arrays = [np.zeros(1000)] * 1000
    path = tmp_path / "a.pkl"
    for data, why in (
        (pickle.dumps(laughs), "unfolds to more than 20,000"),
        (pickle.dumps(arrays), "times its own size"),
        (zlib.compress(bytes(2 << 20)), "unpacks to more"),
        (gzip.compress(bytes(2 << 20)), "unpacks to more"),
        (bz2.compress(bytes(2 << 20)), "unpacks to more"),
        (lzma.compress(bytes(2 << 20)), "unpacks to more"),
    ):
        path.write_bytes(data)
        with pytest.raises(StepbridgeError, match=why):
            pickled(path)


def test_an_array_that_is_not_understood_is_compared_by_its_bytes(tmp_path: Path) -> None:
    good = pickle.dumps(Model(w=np.arange(3, dtype="i4")), 4)
    for old, new in ((b"i4", b"q9"), (b"K\x03\x85", b"K\x04\x85")):
        assert old in good
        a, b = tmp_path / "a.pkl", tmp_path / "b.pkl"
        a.write_bytes(good.replace(old, new))
        b.write_bytes(good.replace(old, new).replace(b"\2\0\0\0", b"\3\0\0\0"))
        part = compared(a, b)
        assert part.verdict is Verdict.DIFFERENT
        assert any(fact.name == "w compared as its bytes" for fact in part.facts)
        assert compared(a, b, atol=10).verdict is Verdict.DIFFERENT


def test_what_lies_outside_of_the_file_is_not_called_equal(tmp_path: Path) -> None:
    a, b = tmp_path / "a.pkl", tmp_path / "b.pkl"
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps([np.arange(3.0)], 5, buffer_callback=buffers.append)
    assert buffers
    a.write_bytes(data)
    b.write_bytes(b"\x80\x05" + data[data.index(b"]") :])
    part = compared(a, b)
    assert part.verdict is Verdict.INCOMPARABLE
    assert "out-of-band" in part.skipped[0].why
    for path, key in ((a, b"K\x01"), (b, b"I1\n")):
        path.write_bytes(b"\x80\x02" + key + b"Q.")
    part = compared(a, b)
    assert part.verdict is Verdict.INCOMPARABLE
    assert "persistent id" in part.skipped[0].why


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_change_of_a_byte_is_called_identical_unless_it_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    model = {"w": np.arange(4.0), "n": [1, "two", None], "s": np.float64(2), "r": b"raw"}
    form = data.draw(st.sampled_from([2, 5, ("joblib", 0)]))
    path = written(folder / "a.pkl", model, form)
    good = path.read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    bad = folder / "b.pkl"
    bad.write_bytes(good[:at] + bytes([data.draw(st.integers(0, 255))]) + good[at + 1 :])
    if compared(path, bad).verdict is not Verdict.IDENTICAL:
        return
    read = joblib.load(bad) if isinstance(form, tuple) else pickle.loads(bad.read_bytes())
    assert set(read) == set(model)
    np.testing.assert_array_equal(read["w"], model["w"])
    assert (read["n"], read["s"], read["r"]) == (model["n"], model["s"], model["r"])
