"""Noise of metrics, texts, images, model files and bytes: what is within it, and what never is."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from stepbridge.codecs.plain import pack
from stepbridge.compare import noise
from stepbridge.compare.base import Side
from stepbridge.compare.engine import compare_values
from stepbridge.compare.images import ImageComparator, Spot
from stepbridge.compare.metrics import MetricsComparator, breach_of
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.rules import Compare, Metric
from stepbridge.compare.sides import value_at
from stepbridge.compare.text import TextComparator
from stepbridge.contract import Inline

FULL = noise.KNOWN


def judged(part: Part, repeats: Sequence[Part]) -> tuple[bool, str]:
    """Whether the part is within noise, and why not; what must hold for every part is checked on the way."""
    made = noise.within(part, repeats)
    why = noise.why_not(part, repeats)
    assert made.verdict is not Verdict.IDENTICAL or part.verdict is Verdict.IDENTICAL
    assert made == part or made.parts or (part.verdict is Verdict.DIFFERENT and made.verdict.same)
    if made != part and not made.parts:
        assert made.relaxations[-1].name == "noise"
        assert made.relaxations[-1].allowed == part.total
        assert made.total == 0
    assert bool(why) is (made.verdict is Verdict.DIFFERENT)
    return made.verdict.same, why


# metrics ----------------------------------------------------------------------------------------------


def metrics(control: Any, candidate: Any, *rules: str, **more: Any) -> Part:
    sides = (Side("v", "json", value=control), Side("v", "json", value=candidate))
    found = Compare(metrics=tuple(map(Metric, rules)), samples=FULL, **more)
    return MetricsComparator().compare(*sides, found, "x")


METRICS: dict[str, tuple[str, float, float, list[float], str]] = {
    "a repeat reaches the control": ("n >= control - 0.01", 0.9, 0.8, [0.85, 0.91], ""),
    "exactly": ("n >= control - 0.01", 0.9, 0.8, [0.9], ""),
    "a repeat keeps the rule only": ("n >= control - 0.01", 0.9, 0.8, [0.895], "no repeat reaches"),
    "as far off on the wrong side": ("n >= control - 0.01", 0.9, 0.8, [0.5], "no repeat reaches"),
    "less is better": ("n <= control + 1%", 1.0, 1.1, [1.2, 0.99], ""),
    "less is better, and more was seen": ("n <= control + 1%", 1.0, 1.1, [1.2], "no repeat reaches"),
    "an improvement is asked for": ("n > control + 0.05", 0.9, 0.91, [0.94], "no repeat reaches"),
    "an improvement is seen": ("n > control + 0.05", 0.9, 0.91, [0.96], ""),
    "equality, seen on both sides": ("n == control", 3, 4, [5, 2], ""),
    "equality, seen on one side": ("n == control", 3, 4, [5], "no repeat reaches"),
    "steady": ("n >= control", 0.9, 0.8, [0.8], "does not differ between repeats"),
    "NaN": ("n >= control", 0.9, math.nan, [0.95], "not finite"),
    "an infinite repeat": ("n >= control", 0.9, 0.8, [math.inf], "does not differ between repeats"),
}


@pytest.mark.parametrize("case", METRICS)
def test_a_metric_within_the_spread_of_the_runs(case: str) -> None:
    rule, control, candidate, runs, said = METRICS[case]
    part = metrics({"n": control}, {"n": candidate}, rule)
    assert part.verdict is Verdict.DIFFERENT
    passes, why = judged(part, [metrics({"n": candidate}, {"n": one}, rule) for one in runs])
    assert passes is (said == "")
    assert said in why


def test_metrics_all_or_nothing_with_what_no_rule_names() -> None:
    def of(a: Any, b: Any) -> Part:
        return metrics(a, b, "auc >= control")

    control, candidate = {"auc": 0.9, "id": "a"}, {"auc": 0.8, "id": "b"}
    moved = {"auc": 0.95, "id": "c"}
    assert judged(of(control, candidate), [of(candidate, moved)]) == (True, "")
    assert not judged(of(control, candidate), [of(candidate, {**moved, "id": "b"})])[0]
    assert not judged(of(control, {**candidate, "more": 1}), [of({**candidate, "more": 1}, moved)])[0]
    (relaxed,) = [
        one
        for one in noise.within(of(control, candidate), [of(candidate, moved)]).relaxations
        if one.name == "noise"
    ]
    assert relaxed.value == "1 repeat, $.auc of the candidate's runs lies in 0.8 to 0.95; $.id"


def test_masked_metrics_show_nothing_and_are_not_judged() -> None:
    rule, mask = "auc >= control", ("auc",)
    part = metrics({"auc": 0.9}, {"auc": 0.8}, rule, mask=mask)
    assert "0.9" not in repr((part.differences, part.rule))
    assert "0.8" not in repr((part.differences, part.rule))
    passes, why = judged(part, [metrics({"auc": 0.8}, {"auc": 0.95}, rule, mask=mask)])
    assert not passes
    assert "masked" in why
    assert metrics({"auc": 0.8}, {"auc": 0.95}, rule, mask=mask).facts == ()


reals = st.floats(-1e6, 1e6, allow_nan=False).map(lambda one: round(one, 3))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([">=", "<=", ">", "<", "=="]),
    st.sampled_from([0.0, 0.5, -0.5]),
    reals,
    reals,
    st.lists(reals),
)
def test_a_metric_outside_the_spread_is_never_noise(
    sign: str, move: float, control: float, candidate: float, runs: list[float]
) -> None:
    rule = f"n {sign} control {'+' if move >= 0 else '-'} {abs(move)}"
    part = metrics({"n": control}, {"n": candidate}, rule)
    if part.verdict is not Verdict.DIFFERENT:
        return
    (one,) = part.differences
    breach = breach_of(one)
    assert breach is not None
    assert (breach.control, breach.candidate, breach.limit) == (control, candidate, control + move)
    passes, _ = judged(part, [metrics({"n": candidate}, {"n": run}, rule) for run in runs])
    spread = [candidate, *runs]
    inside = min(spread) <= control <= max(spread) and min(spread) <= control + move <= max(spread)
    assert not passes or inside or (sign == "==" and min(spread) <= control + move <= max(spread))


# text -------------------------------------------------------------------------------------------------


def text(control: str, candidate: str, **rules: Any) -> Part:
    sides = (Side("v", "json", value=control), Side("v", "json", value=candidate))
    return TextComparator().compare(*sides, Compare(samples=FULL, **rules), "x")


TEXTS: dict[str, tuple[str, str, list[str], str]] = {
    "a time": ("at 11:20:01\nok\n", "at 12:00:01\nok\n", ["at 12:00:07\nok\n"], ""),
    "an id": ("id 4f-a1\nb\n", "id c3-97\nb\n", ["id 00-ef\nb\n"], ""),
    "another line": ("a\nx\n", "a\ny\n", ["b\ny\n"], "line 2 does not differ between repeats"),
    "another word of the line": ("t 1s bad\n", "t 2s ok\n", ["t 9s ok\n"], "'ok', which does not differ"),
    "a number": ("took 1.5s,\n", "took 2s,\n", ["took 3s,\n"], ""),
    "a number further off": (
        "took 9s\n",
        "took 2s\n",
        ["took 3s\n"],
        "7 apart in '2s', between repeats at most 1",
    ),
    "a number of another unit": ("took 2m\n", "took 2s\n", ["took 9s\n"], "in another way"),
    "nan in place of a number": ("loss=nan\n", "loss=0.2\n", ["loss=0.9\n"], "in another way"),
    "a word in place of a time": ("ERROR\n", "12:00:01\n", ["12:00:09\n"], "in another way"),
    "more words": ("a b c\n", "a b\n", ["a c\n"], "other words or spaces"),
    "spaces": ("a  b\n", "a b\n", ["a c\n"], "other words or spaces"),
    "a line ending": ("a b\r\n", "a b\n", ["a c\n"], "other words or spaces"),
    "a line more": ("a\nb\n", "a\n", ["a\nc\n"], "line 2 (missing) is no matter of noise"),
    "a repeat with a line more": ("n\nt 1\n", "n\nt 2\n", ["n\nnew\nt 4\n"], "does not differ"),
    "a repeat with a line less before it": (
        "n\nm\nt 1\nz\n",
        "n\nm\nt 2\nz\n",
        ["n\nt 4\nz\n"],
        "line 3 does not differ",
    ),
    "a long line": ("a" * 500 + "\n", "b" * 500 + "\n", ["c" * 500 + "\n"], "longer than a report keeps"),
    "steady": ("a\n", "b\n", ["b\n"], "no repeat gave something of the same kind|does not differ"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_lines_that_also_differ_between_repeats(case: str) -> None:
    control, candidate, runs, said = TEXTS[case]
    part = text(control, candidate)
    assert part.verdict is Verdict.DIFFERENT
    passes, why = judged(part, [text(candidate, one) for one in runs])
    assert passes is (said == ""), why
    assert any(one in why for one in said.split("|"))


def test_masked_lines_are_not_judged() -> None:
    rules = {"mask": ("line *",)}
    part = text("at 1\n", "at 2\n", **rules)
    assert not judged(part, [text("at 2\n", "at 9\n", **rules)])[0]


words = st.lists(
    st.sampled_from(["a", "b", "1", "2.5", "12:01", "07:44", "loss=0.5", "loss=0.7", "nan"]),
    min_size=1,
    max_size=3,
).map(" ".join)
texts = st.lists(words, min_size=1, max_size=3).map(lambda lines: "\n".join(lines) + "\n")


@settings(max_examples=300, deadline=None)
@given(texts, texts, st.lists(texts, max_size=3))
def test_only_words_that_differ_between_repeats_are_noise(
    control: str, candidate: str, runs: list[str]
) -> None:
    part = text(control, candidate)
    repeats = [text(candidate, one) for one in runs]
    same = [judged(part, repeats[:count])[0] for count in range(len(repeats) + 1)]
    assert same == sorted(same), "another repeat made it worse"
    if part.verdict is Verdict.DIFFERENT and same[-1]:
        a, b = control.splitlines(), candidate.splitlines()
        assert len(a) == len(b)
        for n, (left, right) in enumerate(zip(a, b, strict=True)):
            pairs = enumerate(zip(left.split(), right.split(), strict=True))
            for at, _ in [(at, one) for at, one in pairs if one[0] != one[1]]:
                others = [one.split() for run in runs for one in run.splitlines() if one != right]
                assert any(len(one) > at and one[at] != right.split()[at] for one in others), n


# images -----------------------------------------------------------------------------------------------


def picture(folder: Path, name: str, dots: dict[tuple[int, int], int], **options: Any) -> Path:
    """An image of 8 x 8 grey pixels with *dots*, by (x, y)."""
    pixels = np.full((8, 8), 100, np.uint8)
    for (x, y), grey in dots.items():
        pixels[y, x] = grey
    path = folder / f"{name}.png"
    said = PngImagePlugin.PngInfo()
    for key, value in options.items():
        said.add_text(key, value)
    Image.fromarray(pixels).save(path, pnginfo=said)
    return path


def image(control: Path, candidate: Path, **rules: Any) -> Part:
    sides = [Side(str(path), "stepbridge.File", path=path) for path in (control, candidate)]
    return ImageComparator().compare(sides[0], sides[1], Compare(samples=FULL, **rules), "x")


IMAGES: dict[str, tuple[dict[tuple[int, int], int], dict[tuple[int, int], int], str]] = {
    "as far, as many, in the same box": ({(1, 1): 110}, {(0, 0): 90, (5, 5): 110}, ""),
    "further": ({(1, 1): 111}, {(0, 0): 90, (5, 5): 110}, "11 apart, between repeats at most 10"),
    "more": ({(1, 1): 101, (2, 2): 101}, {(1, 1): 130}, "2 differ, between repeats at most 1"),
    "elsewhere": (
        {(6, 6): 101},
        {(0, 0): 130, (5, 5): 130},
        "elsewhere: between repeats only within x 0 to 5",
    ),
    "steady": ({(1, 1): 110}, {}, "do not differ between repeats"),
}


@pytest.mark.parametrize("case", IMAGES)
def test_pixels_that_also_differ_between_repeats(case: str, tmp_path: Path) -> None:
    control, repeat, said = IMAGES[case]
    first = picture(tmp_path, "candidate", {})
    part = image(picture(tmp_path, "control", control), first)
    passes, why = judged(part, [image(first, picture(tmp_path, "repeat", repeat))])
    assert passes is (said == ""), why
    assert said in why


def test_the_header_of_an_image_and_its_shape(tmp_path: Path) -> None:
    first = picture(tmp_path, "b", {}, made="12:00")
    drawn = image(first, picture(tmp_path, "c", {(1, 1): 120}, made="12:09"))
    assert judged(image(picture(tmp_path, "a", {(1, 1): 110}, made="11:00"), first), [drawn]) == (True, "")
    for wrong, said in (
        (picture(tmp_path, "d", {}, made="12:00", more="x"), "metadata more (missing) is no matter of noise"),
        (picture(tmp_path, "e", {}, made="12:00", dpi="x"), "(missing) is no matter of noise"),
    ):
        passes, why = judged(image(wrong, first), [drawn])
        assert not passes
        assert said in why
    Image.new("L", (8, 9), 100).save(tmp_path / "f.png")
    larger = image(tmp_path / "f.png", first)
    assert judged(larger, [drawn, larger])[0] is False


def test_each_frame_by_itself(tmp_path: Path) -> None:
    def moving(name: str, greys: Sequence[int]) -> Path:
        frames = [Image.new("L", (4, 4), 10 + 50 * n) for n in range(len(greys))]
        for frame, grey in zip(frames, greys, strict=True):
            frame.putpixel((1, 1), grey)
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], compression="raw")
        return tmp_path / name

    first = moving("b.tiff", [100, 100])
    second_only = image(first, moving("c.tiff", [100, 120]))
    assert judged(image(moving("a.tiff", [100, 110]), first), [second_only])[0]
    passes, why = judged(image(moving("a.tiff", [110, 100]), first), [second_only])
    assert not passes
    assert "frame 0 pixels do not differ between repeats" in why


dots = st.dictionaries(st.tuples(st.integers(0, 7), st.integers(0, 7)), st.integers(80, 120), max_size=4)


@settings(max_examples=80, deadline=None)
@given(dots, st.lists(dots, max_size=3))
def test_pixels_outside_what_repeats_show_are_never_noise(
    tmp_path_factory: pytest.TempPathFactory, control: Any, runs: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("images", numbered=True)
    first = picture(folder, "b", {})
    part = image(picture(folder, "a", control), first)
    repeats = [image(first, picture(folder, f"c{n}", one)) for n, one in enumerate(runs)]
    same = [judged(part, repeats[:count])[0] for count in range(len(repeats) + 1)]
    assert same == sorted(same)
    if part.verdict is Verdict.DIFFERENT and same[-1]:
        seen = [{at: abs(grey - 100) for at, grey in one.items() if grey != 100} for one in runs]
        mine = {at: abs(grey - 100) for at, grey in control.items() if grey != 100}
        assert max(mine.values()) <= max(far for one in seen for far in one.values())
        assert len(mine) <= max(map(len, seen))
        for axis in (0, 1):
            places = [at[axis] for one in seen for at in one]
            assert all(min(places) <= at[axis] <= max(places) for at in mine)


@given(st.integers(1, 10**9), st.floats(1e-6, 1e12), st.lists(st.integers(0, 10**5), min_size=4, max_size=4))
def test_a_spot_is_read_as_it_was_said(count: int, apart: float, box: list[int]) -> None:
    from stepbridge.compare.model import Difference

    spot = Spot(count, apart, *box)
    assert Spot.of(Difference("pixel (0, 0)", "value", detail=spot.said())) == spot


# model files and bytes --------------------------------------------------------------------------------


def model(folder: Path, name: str, weights: Any, **more: Any) -> Any:
    path = folder / f"{name}.npz"
    np.savez(path, layer=np.array(weights), steady=np.ones(3), **more)
    return value_at(str(path))


def one_part(control: Any, candidate: Any) -> Part:
    (part,) = compare_values({"x": control}, {"x": candidate}, Compare(samples=FULL))
    return part


def test_arrays_inside_model_files(tmp_path: Path) -> None:
    first = model(tmp_path, "b", [1.0, 2.0])
    repeat = one_part(first, model(tmp_path, "c", [1.0, 2.5]))
    near, far = model(tmp_path, "near", [1.0, 1.75]), model(tmp_path, "far", [1.0, 1.25])
    assert judged(one_part(near, first), [repeat]) == (True, "")
    passes, why = judged(one_part(far, first), [repeat])
    assert not passes
    assert "column 'layer' is 0.75 apart, between repeats at most 0.5" in why
    for wrong in (
        model(tmp_path, "more", [1.0, 1.75], more=np.ones(1)),
        model(tmp_path, "shape", [1.0, 1.75, 2.0]),
        model(tmp_path, "dtype", np.array([1.0, 1.75], "f4")),
    ):
        assert not judged(one_part(wrong, first), [repeat])[0]


def test_bytes_are_no_matter_of_noise(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.bin").write_bytes(b"\0" + name.encode())
    a, b, c = (value_at(str(tmp_path / f"{name}.bin")) for name in "abc")
    passes, why = judged(one_part(a, b), [one_part(b, c)])
    assert not passes
    assert "no matter of noise" in why
    assert "the candidate differs from itself, too" in why
    left, right, third = (Inline(*pack({"raw": raw}, place="test")) for raw in (b"a", b"b", b"c"))
    passes, why = judged(one_part(left, right), [one_part(right, third)])
    assert not passes
    assert "$.raw is bytes" in why


class Layer:
    """What a pickle may hold: an array, raw bytes, text and a class."""

    def __init__(self, weights: Any, raw: bytes = b"", note: str = "", kind: type = int) -> None:
        self.weights, self.raw, self.note, self.kind = np.array(weights), raw, note, kind


def test_arrays_inside_pickles_and_nothing_that_is_not_plain(tmp_path: Path) -> None:
    def dumped(name: str, layer: Layer) -> Any:
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(layer, protocol=4))
        return value_at(str(tmp_path / f"{name}.pkl"))

    first = dumped("first", Layer([1.0, 2.0]))
    repeat = one_part(first, dumped("repeat", Layer([1.0, 2.5])))
    near, far = dumped("near", Layer([1.0, 1.75])), dumped("far", Layer([1.0, 1.25]))
    assert judged(one_part(near, first), [repeat]) == (True, "")
    assert not judged(one_part(far, first), [repeat])[0]
    for n, (mine, theirs, other) in enumerate(
        (
            (Layer([1.0], b"a" * 9), Layer([1.0], b"b" * 9), Layer([1.0], b"c" * 9)),
            (Layer([1.0], b"a" * 999), Layer([1.0], b"b" * 999), Layer([1.0], b"c" * 999)),
            (Layer([1.0], kind=int), Layer([1.0], kind=str), Layer([1.0], kind=float)),
        )
    ):
        left, right, third = (dumped(f"{n}{at}", one) for at, one in enumerate((mine, theirs, other)))
        passes, why = judged(one_part(left, right), [one_part(right, third)])
        assert not passes
        assert "no matter of noise" in why


def test_in_a_folder_each_file_by_its_kind(tmp_path: Path) -> None:
    def tree(name: str, second: int, grey: int, auc: float, raw: bytes = b"\0") -> Any:
        root = tmp_path / name
        root.mkdir()
        (root / "run.log").write_text(f"started\ntook {second}s\n")
        (root / "metrics.json").write_text(json.dumps({"auc": auc}))
        picture(root, "plot", {(1, 1): grey})
        (root / "state.bin").write_bytes(raw)
        return value_at(f"{root}/")

    rules = Compare(samples=FULL, metrics=(Metric("auc >= control"),))

    def compared(a: Any, b: Any) -> Part:
        (part,) = compare_values({"x": a}, {"x": b}, rules)
        return part

    first = tree("candidate", 5, 100, 0.8)
    repeats = [compared(first, tree("repeat", 9, 120, 0.95))]
    assert judged(compared(tree("near", 4, 110, 0.9), first), repeats) == (True, "")
    for name, wrong, said in (
        ("log", tree("log", 50, 110, 0.9), "run.log"),
        ("plot", tree("plot", 4, 190, 0.9), "plot.png"),
        ("metric", tree("metric", 4, 110, 0.99), "metrics.json"),
        ("bytes", tree("bytes", 4, 110, 0.9, b"\1"), "state.bin"),
    ):
        passes, why = judged(compared(wrong, first), repeats)
        assert not passes, name
        assert said in why or name == "bytes"
