"""Model files: arrays by name in every format, and no code of a file is ever run."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import Raw, StateDict, Tensor, write
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from stepbridge.compare.base import Side
from stepbridge.compare.directories import DirectoryComparator
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.render.shared import walk
from stepbridge.compare.rules import Compare, Ignore, Tolerance
from stepbridge.compare.weights import WeightsComparator
from stepbridge.failures import StepbridgeError

RNG = np.random.default_rng(3)
WEIGHTS = {
    "layer.0.weight": RNG.random((4, 3), dtype=np.float32),
    "layer.0.bias": RNG.random(4, dtype=np.float32),
    "steps": np.array(1000, np.int64),
    "mask": np.array([True, False]),
}


def safetensors(path: Path, arrays: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    save_file(arrays, path, metadata)
    return path


def npz(path: Path, arrays: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    del metadata
    np.savez(path, **arrays)
    return path


def torch(path: Path, arrays: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    return write(path, {**{name: Tensor(array) for name, array in arrays.items()}, **(metadata or {})})


WRITERS = {"safetensors": safetensors, "npz": npz, "pt": torch}


def compared(control: Path, candidate: Path, **rules: Any) -> Part:
    sides = [Side(str(path), "stepbridge.File", path=path) for path in (control, candidate)]
    assert WeightsComparator().takes(sides[0], sides[1])
    return WeightsComparator().compare(sides[0], sides[1], Compare(**rules), "model")


def refused(path: Path, other: Path | None = None) -> StepbridgeError:
    with pytest.raises(StepbridgeError) as caught:
        compared(path, other or path)
    assert caught.value.code.id == "SB704"
    assert caught.value.place == str(path)
    return caught.value


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"layer.0.bias": WEIGHTS["layer.0.bias"] + np.float32([0, 0, 0.5, 0])}, "layer.0.bias"),
        ({"layer.0.bias": WEIGHTS["layer.0.bias"].astype("f8")}, "layer.0.bias"),
        ({"layer.0.weight": WEIGHTS["layer.0.weight"].reshape(3, 4)}, "layer.0.weight"),
        ({"steps": np.array(1001, np.int64)}, "steps"),
        ({"mask": np.array([True, True])}, "mask"),
    ],
)
def test_a_changed_array_is_found(form: str, change: dict[str, Any], where: str, tmp_path: Path) -> None:
    a = WRITERS[form](tmp_path / f"a.{form}", WEIGHTS)
    b = WRITERS[form](tmp_path / f"b.{form}", WEIGHTS | change)
    c = WRITERS[form](tmp_path / f"c.{form}", dict(reversed(WEIGHTS.items())))
    assert compared(a, a).verdict is Verdict.IDENTICAL
    assert compared(a, a).compared == compared(a, a).of == 4
    assert compared(a, c).verdict is Verdict.IDENTICAL
    for pair in ((a, b), (b, a)):
        part = compared(*pair)
        assert part.verdict is Verdict.DIFFERENT
        assert [one.name for one in part.parts] == [where]
        assert where in part.rule


@pytest.mark.parametrize("form", WRITERS)
def test_arrays_come_and_go(form: str, tmp_path: Path) -> None:
    less = {name: array for name, array in WEIGHTS.items() if name != "mask"}
    a = WRITERS[form](tmp_path / f"a.{form}", WEIGHTS)
    b = WRITERS[form](tmp_path / f"b.{form}", less)
    assert [(one.path, one.kind) for one in compared(a, b).differences] == [("mask", "missing")]
    assert [(one.path, one.kind) for one in compared(b, a).differences] == [("mask", "extra")]
    assert compared(a, b, ignore=(Ignore("mask", "a buffer"),)).verdict is Verdict.EXPLAINED


@pytest.mark.parametrize("form", WRITERS)
def test_tolerances_reach_the_arrays(form: str, tmp_path: Path) -> None:
    near = WEIGHTS | {"layer.0.weight": WEIGHTS["layer.0.weight"] * np.float32(1.00001)}
    a, b = (WRITERS[form](tmp_path / f"{n}.{form}", one) for n, one in (("a", WEIGHTS), ("b", near)))
    assert compared(a, b).verdict is Verdict.DIFFERENT
    for rules in ({"rtol": 1e-4}, {"columns": {"layer.*.weight": Tolerance(rtol=1e-4)}}):
        part = compared(a, b, **rules)
        assert part.verdict is Verdict.EQUIVALENT
        assert part.parts[0].relaxations
    ignored = compared(a, b, ignore=(Ignore("layer.0.*", "not trained"),))
    assert ignored.verdict is Verdict.EXPLAINED


@pytest.mark.parametrize("form", ["safetensors", "pt"])
def test_headers_are_compared(form: str, tmp_path: Path) -> None:
    a, b = (WRITERS[form](tmp_path / f"{n}.{form}", WEIGHTS, {"epoch": n}) for n in "12")
    part = compared(a, b)
    assert part.verdict is Verdict.DIFFERENT
    assert [one.path for one in part.parts[0].differences] == ["$.epoch"]
    assert compared(a, b, equal=("metadata",)).verdict is Verdict.EQUIVALENT


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_one_random_change_is_found_in_place(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("random")
    form = data.draw(st.sampled_from(sorted(WRITERS)))
    name = data.draw(st.sampled_from(sorted(WEIGHTS)))
    changed = {key: array.copy() for key, array in WEIGHTS.items()}
    flat = changed[name].reshape(-1)
    at = data.draw(st.integers(0, flat.size - 1))
    flat[at] = (not flat[at]) if flat.dtype == bool else flat[at] + 1
    a = WRITERS[form](folder / f"a.{form}", WEIGHTS)
    b = WRITERS[form](folder / f"b.{form}", changed)
    (found,) = compared(a, b).parts
    index = (
        ", ".join(str(int(i)) for i in np.unravel_index(at, changed[name].shape))
        if changed[name].shape
        else ""
    )
    assert (found.name, found.differences[0].path, found.total) == (name, f"[{index}]", 1)


def header(path: Path, entries: dict[str, Any], data: bytes) -> Path:
    text = json.dumps(entries).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_bfloat_is_not_float(tmp_path: Path) -> None:
    numbers = np.array([1.0, -2.5, np.inf, 3.0], "<f4")
    half = (numbers.view("<u4") >> 16).astype("<u2")
    a = header(
        tmp_path / "a.safetensors",
        {"w": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}},
        half.tobytes(),
    )
    b = safetensors(tmp_path / "b.safetensors", {"w": numbers})
    assert compared(a, a).verdict is Verdict.IDENTICAL
    assert compared(a, b).verdict is Verdict.DIFFERENT
    assert compared(a, b, rtol=1e-2).verdict is Verdict.DIFFERENT
    assert "BF16 and F32" in compared(a, b).rule
    assert compared(a, b, equal=("width",)).verdict is Verdict.EQUIVALENT
    close = safetensors(tmp_path / "c.safetensors", {"w": numbers * np.float32(1.001)})
    assert compared(a, close, rtol=1e-2).verdict is Verdict.DIFFERENT
    assert compared(a, close, rtol=1e-2, equal=("width",)).verdict is Verdict.EQUIVALENT


def test_types_that_numpy_lacks_are_compared_by_bytes_shape_and_name(tmp_path: Path) -> None:
    entry = {"dtype": "F8_E4M3", "shape": [2, 2], "data_offsets": [0, 4]}
    a = header(tmp_path / "a.safetensors", {"w": entry}, b"\1\2\3\4")
    for name, change, data in (
        ("b", {}, b"\1\2\3\5"),
        ("c", {"dtype": "F8_E5M2"}, b"\1\2\3\4"),
        ("d", {"shape": [4]}, b"\1\2\3\4"),
    ):
        b = header(tmp_path / f"{name}.safetensors", {"w": entry | change}, data)
        assert compared(a, b).verdict is Verdict.DIFFERENT
    assert compared(a, a).verdict is Verdict.IDENTICAL


@pytest.mark.parametrize(
    ("entries", "data"),
    [
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
        ({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"1234unseen"),
        ({"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"hiddenxx"),
        ({"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"1234"),
        ({"w": {"shape": [1]}}, b"1234"),
        ({"w": 3}, b""),
        ({"w": {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 0]}}, b""),
        ([], b""),
    ],
)
def test_a_safetensors_header_must_fit(entries: Any, data: bytes, tmp_path: Path) -> None:
    refused(header(tmp_path / "a.safetensors", entries, data))


@pytest.mark.parametrize("form", WRITERS)
def test_damaged_files_are_named(form: str, tmp_path: Path) -> None:
    good = WRITERS[form](tmp_path / f"good.{form}", WEIGHTS)
    data = good.read_bytes()
    bad = tmp_path / f"bad.{form}"
    for cut in (0, 4, len(data) // 2, len(data) - 1):
        bad.write_bytes(data[:cut])
        if form != "pt":
            refused(bad, good)
    if form != "safetensors":
        at = data.index(WEIGHTS["layer.0.bias"].tobytes())
        bad.write_bytes(data[:at] + bytes(4) + data[at + 4 :])
        refused(bad, good)
    bad.write_bytes(b"")
    if form == "pt":
        part = compared(bad, good)
        assert part.verdict is Verdict.DIFFERENT
        assert part.skipped


def test_a_name_twice_in_a_header_is_refused(tmp_path: Path) -> None:
    entry = b'"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    text = b"{" + entry + b"," + entry + b"}"
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"x")
    assert "twice" in str(refused(path))


def test_objects_in_an_npz_are_compared_by_bytes(tmp_path: Path) -> None:
    paths = []
    for n, last in enumerate(("b", "b", "c")):
        paths.append(tmp_path / f"{n}.npz")
        np.savez(paths[n], names=np.array(["a", last], object), n=np.arange(3))
    assert compared(paths[0], paths[1]).verdict is Verdict.IDENTICAL
    assert [one.name for one in compared(paths[0], paths[2]).parts] == ["names"]


# torch -----------------------------------------------------------------------------------------------


def test_a_checkpoint_as_training_writes_it(tmp_path: Path) -> None:
    def state(learned: float, version: int, seen: float) -> dict[str, Any]:
        weight = Tensor(np.full((2, 3), learned, "f4"), parameter=True)
        return {
            "model": StateDict({"fc.weight": weight}, {"": {"version": version}}),
            "optimizer": {
                "state": {0: {"exp_avg": Tensor(np.zeros(3, "f8"))}},
                "param_groups": [{"lr": seen}],
            },
            "dtype": Raw(b"ctorch\nfloat32\n"),
            "epoch": 3,
        }

    a = write(tmp_path / "a.ckpt", state(0.5, 1, 0.1))
    assert compared(a, a).verdict is Verdict.IDENTICAL
    for n, (other, name, path) in enumerate(
        (
            (state(0.6, 1, 0.1), "model.fc.weight", "[0, 0]"),
            (state(0.5, 2, 0.1), "metadata", "$['model@_metadata..version']"),
            (state(0.5, 1, 0.2), "metadata", "$['optimizer.param_groups[0].lr']"),
        )
    ):
        part = compared(a, write(tmp_path / f"{n}.ckpt", other))
        assert part.verdict is Verdict.DIFFERENT
        assert [(one.name, one.differences[0].path) for one in part.parts] == [(name, path)]


def test_names_that_collide_are_both_compared(tmp_path: Path) -> None:
    def made(last: int) -> dict[Any, Any]:
        return {"a.b": Tensor(np.zeros(1, "f4")), "a": {"b": Tensor(np.full(1, last, "f4"))}}

    a, b = write(tmp_path / "a.pt", made(1)), write(tmp_path / "b.pt", made(2))
    assert compared(a, b).verdict is Verdict.DIFFERENT
    assert compared(a, a).compared == 2


def test_views_share_a_storage(tmp_path: Path) -> None:
    base = np.arange(12, dtype="f4")
    a = write(tmp_path / "a.pt", {"t": Tensor(base.reshape(3, 4).T, raw=base.tobytes(), strides=(1, 4))})
    b = write(tmp_path / "b.pt", {"t": Tensor(np.ascontiguousarray(base.reshape(3, 4).T))})
    assert compared(a, b).verdict is Verdict.IDENTICAL
    row = write(tmp_path / "c.pt", {"t": Tensor(base[4:8], raw=base.tobytes(), offset=4)})
    same = write(tmp_path / "d.pt", {"t": Tensor(base[4:8])})
    assert compared(row, same).verdict is Verdict.IDENTICAL
    for bad in ({"offset": 10}, {"offset": -1}, {"strides": (-1,)}, {"strides": (1 << 20,)}):
        path = write(tmp_path / "bad.pt", {"t": Tensor(base[4:8], raw=base.tobytes(), **bad)})
        assert "beyond" in str(refused(path))


def test_the_other_byte_order_is_refused(tmp_path: Path) -> None:
    assert "most significant" in str(refused(write(tmp_path / "a.pt", {}, byteorder="big")))


def test_an_unknown_object_keeps_two_checkpoints_from_being_called_the_same(tmp_path: Path) -> None:
    paths = []
    for n in (1, 2):
        custom = Raw(b"cmycode\nConfig\n)\x81}X\x01\x00\x00\x00nK" + bytes([n]) + b"sb")
        paths.append(write(tmp_path / f"{n}.pt", {"w": Tensor(np.zeros(2, "f4")), "config": custom}))
    part = compared(*paths)
    assert part.verdict is Verdict.INCOMPARABLE
    assert [one.what for one in part.skipped] == ["config", "config"]


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cos\nsystem\n(X{:04}COMMANDtR",
        b"cbuiltins\nexec\n(X{:04}COMMANDtR",
        b"cposix\nsystem\n(X{:04}COMMANDtR",
        b"(X{:04}COMMANDios\nsystem\n",
        b"ccollections\nOrderedDict.__init__\n(X{:04}COMMANDtR",
    ],
)
def test_code_in_a_file_never_runs(opcodes: bytes, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    command = f"touch {witness}".encode()
    evil = opcodes.replace(b"{:04}COMMAND", len(command).to_bytes(4, "little") + command)
    harmless = {"w": Tensor(np.zeros(2, "f4"))}
    a = write(tmp_path / "a.pt", harmless)
    b = write(tmp_path / "b.pt", {**harmless, "evil": Raw(evil)})
    assert compared(a, b).verdict in (Verdict.DIFFERENT, Verdict.INCOMPARABLE)
    for suffix in ("pkl", "pickle", "joblib", "pt"):
        plain, bad = tmp_path / f"plain.{suffix}", tmp_path / f"evil.{suffix}"
        plain.write_bytes(pickle.dumps({"w": 1}, 2))
        bad.write_bytes(b"\x80\x02" + evil + b".")
        assert compared(plain, bad).verdict is Verdict.DIFFERENT
    assert not witness.exists()


def test_a_file_cannot_change_what_reads_it(tmp_path: Path) -> None:
    from stepbridge.compare import tensors

    before = [dict(vars(one)) for one in (tensors._Unknown, tensors._rebuilt, tensors._parameter)]
    for name in (b"mycode\nConfig", b"torch._utils\n_rebuild_tensor_v2", b"collections\nOrderedDict"):
        set_on_it = b"c" + name + b"\nN}X\x0c\x00\x00\x00__defaults__" + b"K\x01s\x86b"
        path = write(tmp_path / "a.pt", {"w": Tensor(np.zeros(2, "f4")), "x": Raw(set_on_it)})
        verdict(path, path)
    assert [dict(vars(one)) for one in (tensors._Unknown, tensors._rebuilt, tensors._parameter)] == before
    assert tensors._rebuilt.__defaults__ is None


def test_a_memo_of_any_size_takes_no_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", Raw(b"]r\xff\xff\xff\x7f"))
    assert verdict(path, path) is Verdict.IDENTICAL


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickled_class_that_acts_does_not(tmp_path: Path) -> None:
    witness = tmp_path / "made"
    a, b = tmp_path / "a.pkl", tmp_path / "b.pkl"
    a.write_bytes(pickle.dumps([Evil(witness)]))
    b.write_bytes(pickle.dumps([1]))
    for pair in ((a, b), (b, a)):
        part = compared(*pair)
        assert part.verdict is Verdict.DIFFERENT
        shown = [(one.control, one.candidate) for found in part.parts for one in found.differences]
        assert "mkdir" in str(shown)
    assert not witness.exists()


def laughs() -> Raw:
    """Lists that hold the one before twice, forty times over."""
    out = b"]q\x00"
    for n in range(40):
        out += b"](h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1])
    return Raw(out)


def test_a_checkpoint_that_unfolds_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stepbridge.compare import tensors

    monkeypatch.setattr(tensors, "_MEMBERS", 100_000)
    assert "members" in str(refused(write(tmp_path / "a.pt", laughs())))
    cycle = Raw(b"]q\x00(h\x00e")
    assert "Recursion" in str(refused(write(tmp_path / "b.pt", cycle)))


# pickle and joblib -----------------------------------------------------------------------------------


def fitted(**parameters: Any) -> Any:
    x = np.linspace(0, 1, 60).reshape(20, 3)
    return LogisticRegression(**parameters).fit(x, np.arange(20) % 2)


def test_pickled_models(tmp_path: Path) -> None:
    paths = []
    for n, model in enumerate((fitted(), fitted(), fitted(C=2.0), RandomForestClassifier())):
        paths.append(tmp_path / f"{n}.pkl")
        paths[n].write_bytes(pickle.dumps(model))
    assert compared(paths[0], paths[1]).verdict is Verdict.IDENTICAL
    part = compared(paths[0], paths[2])
    assert part.verdict is Verdict.DIFFERENT
    assert [(one.path, one.control, one.candidate) for one in part.parts[0].differences] == [
        ("$.C", "1.0", "2.0")
    ]
    assert [one.name for one in part.parts] == ["values", "coef_", "intercept_"]
    other = compared(paths[0], paths[3]).parts[0]
    assert "RandomForestClassifier" in str(other.differences[0].candidate)


@given(st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_no_bytes_crash_a_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for suffix in ("safetensors", "npz", "pkl", "pt"):
        a, b = folder / f"a.{suffix}", folder / f"b.{suffix}"
        a.write_bytes(data)
        b.write_bytes(data + b"\0")
        assert verdict(a, b) is not Verdict.IDENTICAL
    inner = folder / "inner.pt"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("archive/data.pkl", data)
    verdict(inner, inner)


def verdict(control: Path, candidate: Path) -> Verdict | None:
    """None where a side is refused with SB704; any other error is a crash."""
    try:
        return compared(control, candidate).verdict
    except StepbridgeError as error:
        if error.code.id != "SB704":
            raise
        return None


def test_a_model_directory(tmp_path: Path) -> None:
    for side, scale in (("a", 1), ("b", 2)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "config.json").write_text('{"layers": 2}')
        safetensors(tmp_path / side / "model.safetensors", {"w": np.ones(3) * scale})
    sides = [Side(side, "stepbridge.Directory", path=tmp_path / side) for side in "ab"]
    part = DirectoryComparator().compare(sides[0], sides[1], Compare(), "model")
    assert part.verdict is Verdict.DIFFERENT
    assert [one.name for _, one in walk((part,))] == ["model", "model/model.safetensors", "w"]
