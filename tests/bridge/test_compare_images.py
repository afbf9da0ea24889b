"""Images: every pixel and every header counts unless a rule says otherwise; damage and bombs are named."""

from __future__ import annotations

import importlib.util
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from stepbridge.compare import images
from stepbridge.compare.base import Side
from stepbridge.compare.directories import DirectoryComparator
from stepbridge.compare.engine import compare_values
from stepbridge.compare.images import ImageComparator
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.rules import Compare, Ignore
from stepbridge.compare.sides import value_at
from stepbridge.failures import StepbridgeError

RNG = np.random.default_rng(5)
MODES = {
    "1": RNG.integers(0, 2, (9, 11)).astype(bool),
    "L": RNG.integers(0, 200, (9, 11), dtype=np.uint8),
    "LA": RNG.integers(0, 200, (9, 11, 2), dtype=np.uint8),
    "RGB": RNG.integers(0, 200, (9, 11, 3), dtype=np.uint8),
    "RGBA": RNG.integers(0, 200, (9, 11, 4), dtype=np.uint8),
    "CMYK": RNG.integers(0, 200, (9, 11, 4), dtype=np.uint8),
    "I;16": RNG.integers(0, 60_000, (9, 11), dtype=np.uint16),
    "I": RNG.integers(0, 1 << 30, (9, 11), dtype=np.int32),
    "F": RNG.random((9, 11), dtype=np.float32),
}


def written(path: Path, pixels: Any, **options: Any) -> Path:
    mode = options.pop("mode", None)
    image = Image.fromarray(pixels) if mode is None else Image.frombytes(mode, pixels.shape[1::-1], pixels)
    image.save(path, **options)
    return path


def compared(control: Path, candidate: Path, **rules: Any) -> Part:
    sides = [Side(str(path), "stepbridge.File", path=path) for path in (control, candidate)]
    assert ImageComparator().takes(sides[0], sides[1])
    return ImageComparator().compare(sides[0], sides[1], Compare(**rules), "picture")


@pytest.mark.parametrize("mode", MODES)
def test_one_pixel_is_found_in_every_mode(mode: str, tmp_path: Path) -> None:
    pixels = MODES[mode]
    other = pixels.copy()
    other[4, 7] = ~other[4, 7] if mode == "1" else other[4, 7] + 20
    of = {"mode": "CMYK"} if mode == "CMYK" else {}
    a = written(tmp_path / "a.tif", pixels, **of)
    b = written(tmp_path / "b.tif", other, **of)
    assert compared(a, a).verdict is Verdict.IDENTICAL
    assert compared(a, a).compared == compared(a, a).of == 99
    part = compared(a, b)
    assert part.verdict is Verdict.DIFFERENT
    assert [one.path for one in part.differences] == ["pixel (7, 4)"]
    assert "1 pixels differ" in part.differences[0].detail
    assert "x 7 to 7, y 4 to 4" in part.differences[0].detail
    assert compared(b, a).verdict is Verdict.DIFFERENT


def test_tolerance_is_counted_and_its_limit_is_exact(tmp_path: Path) -> None:
    other = MODES["RGB"].copy()
    other[2:4, 1:3, 0] += 5
    other[8, 10, 2] += 6
    a, b = written(tmp_path / "a.png", MODES["RGB"]), written(tmp_path / "b.png", other)
    part = compared(a, b, pixels=5)
    assert part.verdict is Verdict.DIFFERENT
    assert (part.columns[0].unequal, part.columns[0].allowed, part.columns[0].max_abs) == (1, 4, 6.0)
    assert part.rule == "1 of 99 pixels differ, at most by 6"
    part = compared(a, b, pixels=6)
    assert part.verdict is Verdict.EQUIVALENT
    assert [(one.name, one.value, one.allowed) for one in part.relaxations] == [("pixels", "6", 5)]


def test_bands_find_the_worst_pixel_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_BAND", 30)
    other = MODES["L"].copy()
    other[0, 3] += 1
    other[7, 9] += 40
    other[8, 0] += 2
    part = compared(written(tmp_path / "a.png", MODES["L"]), written(tmp_path / "b.png", other))
    assert part.differences[0].path == "pixel (9, 7)"
    assert part.differences[0].detail == "3 pixels differ, at most by 40, within x 0 to 9, y 0 to 8"


def test_nan_is_nan_and_nothing_else(tmp_path: Path) -> None:
    holes = MODES["F"].copy()
    holes[1, 1] = np.nan
    a, b = written(tmp_path / "a.tif", MODES["F"]), written(tmp_path / "b.tif", holes)
    assert compared(b, b).verdict is Verdict.IDENTICAL
    assert compared(a, b, pixels=255).verdict is Verdict.DIFFERENT


def test_shape_and_mode_are_compared_first(tmp_path: Path) -> None:
    a = written(tmp_path / "a.png", MODES["RGB"])
    for name, other, path in (("b.png", MODES["RGB"][:8], "size"), ("c.png", MODES["L"], "mode")):
        part = compared(a, written(tmp_path / name, other))
        assert part.verdict is Verdict.DIFFERENT
        assert part.differences[0].path == path
        assert part.compared == 0
        assert part.skipped[0].amount == 99


def test_metadata_counts_unless_relaxed_or_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = "camera"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "trainer 2")
    a = written(tmp_path / "a.png", MODES["RGB"])
    for name, options, path in (
        ("text.png", {"pnginfo": info}, "metadata Software"),
        ("icc.png", {"icc_profile": b"x" * 500}, "metadata icc_profile"),
        ("dpi.png", {"dpi": (300, 300)}, "metadata dpi"),
        ("exif.png", {"exif": exif}, "metadata exif 272"),
    ):
        b = written(tmp_path / name, MODES["RGB"], **options)
        part = compared(a, b)
        assert part.verdict is Verdict.DIFFERENT
        assert part.differences[0].path == path
        assert compared(a, b, equal=("metadata",)).verdict is Verdict.EQUIVALENT
        ignored = compared(a, b, ignore=(Ignore("metadata *", "written by another tool"),))
        assert ignored.verdict is Verdict.EXPLAINED
        assert compared(b, b).verdict is Verdict.IDENTICAL


def test_a_tag_inside_an_exif_folder_is_seen(tmp_path: Path) -> None:
    made = []
    for second in ("00", "01"):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = f"2026:01:01 00:00:{second}"
        made.append(written(tmp_path / f"{second}.jpg", MODES["RGB"], exif=exif))
    part = compared(*made)
    assert [one.path for one in part.differences] == ["metadata exif 36867"]


def test_text_after_the_pixels_is_seen(tmp_path: Path) -> None:
    a = written(tmp_path / "a.png", MODES["L"])
    data = a.read_bytes()
    chunk = b"tEXt" + b"Comment\0late"
    late = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    b = tmp_path / "b.png"
    b.write_bytes(data[:-12] + late + data[-12:])
    assert [one.path for one in compared(a, b).differences] == ["metadata Comment"]


def test_a_transparent_colour_is_no_metadata(tmp_path: Path) -> None:
    a = written(tmp_path / "a.png", MODES["L"])
    b = written(tmp_path / "b.png", MODES["L"], transparency=int(MODES["L"][0, 0]))
    assert compared(a, b, equal=("metadata",)).verdict is Verdict.DIFFERENT


def test_palettes_are_compared_by_what_they_show(tmp_path: Path) -> None:
    grey = Image.fromarray(MODES["L"] // 100)
    first = grey.convert("P")
    first.putpalette([10, 20, 30, 40, 50, 60])
    second = Image.fromarray(1 - MODES["L"] // 100).convert("P")
    second.putpalette([40, 50, 60, 10, 20, 30])
    third = grey.convert("P")
    third.putpalette([10, 20, 30, 40, 50, 61])
    paths = []
    for n, image in enumerate((first, second, third)):
        image.save(tmp_path / f"{n}.png")
        paths.append(tmp_path / f"{n}.png")
    assert compared(paths[0], paths[1]).verdict is Verdict.IDENTICAL
    part = compared(paths[0], paths[2])
    assert part.verdict is Verdict.DIFFERENT
    assert part.columns[0].unequal == int((MODES["L"] // 100 == 1).sum())


@pytest.mark.parametrize("suffix", ["gif", "tiff", "webp"])
def test_every_frame_is_compared(suffix: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((6, 6, 3), 40 * n, np.uint8)) for n in range(3)]
    changed = frames[2].copy()
    changed.putpixel((5, 1), (255, 255, 255))
    options: dict[str, Any] = {"save_all": True}
    if suffix == "webp":
        options["lossless"] = True
    a, b, c = (tmp_path / f"{name}.{suffix}" for name in "abc")
    frames[0].save(a, append_images=frames[1:], **options)
    frames[0].save(b, append_images=[frames[1], changed], **options)
    frames[0].save(c, append_images=frames[1:2], **options)
    assert compared(a, a).verdict is Verdict.IDENTICAL
    assert compared(a, a).compared == 108
    part = compared(a, b)
    assert part.verdict is Verdict.DIFFERENT
    assert [one.path for one in part.differences] == ["frame 2 pixel (5, 1)"]
    assert compared(a, c).differences[0].path == "frames"


def test_frames_of_other_sizes_are_a_difference(tmp_path: Path) -> None:
    first, small, large = (Image.new("L", (side, side), 7) for side in (4, 5, 6))
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    first.save(a, save_all=True, append_images=[small])
    first.save(b, save_all=True, append_images=[large])
    part = compared(a, b)
    assert [(one.path, one.control, one.candidate) for one in part.differences if "size" in one.path] == [
        ("frame 1 size", "5 x 5 L", "6 x 6 L")
    ]
    assert compared(a, a).verdict is Verdict.IDENTICAL


def test_formats_are_compared_by_pixels_and_named(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a.png", MODES["L"]), written(tmp_path / "b.bmp", MODES["L"])
    assert compared(a, b).differences[0].path == "format"
    assert compared(a, b, equal=("metadata",)).verdict is Verdict.EQUIVALENT


def bomb(path: Path, side: int) -> Path:
    """A PNG that claims *side* x *side* pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [
        struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in (header, data)
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + b"\0\0\0\0IEND\xaeB`\x82")
    return path


def test_what_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    good = written(tmp_path / "good.png", MODES["RGB"])
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:120])
    text = tmp_path / "text.png"
    text.write_text("no image")
    empty = tmp_path / "empty.png"
    empty.touch()
    warned, refused = bomb(tmp_path / "warned.png", 11_000), bomb(tmp_path / "refused.png", 40_000)
    for bad in (cut, text, empty, warned, refused):
        for pair in ((good, bad), (bad, bad)):
            with pytest.raises(StepbridgeError) as caught:
                compared(*pair)
            assert caught.value.code.id == "SB704"
            assert caught.value.place == str(bad)
    (part,) = compare_values({"p": value_at(str(good))}, {"p": value_at(str(cut))}, Compare())
    assert part.verdict is Verdict.TOOL_ERROR
    assert "SB704" in part.rule


@given(st.sampled_from(["png", "jpg", "gif", "tif", "webp", "bmp"]), st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_damage_crashes_the_decoder(tmp_path: Path, form: str, data: st.DataObject) -> None:
    good = written(tmp_path / f"good.{form}", MODES["RGB"])
    damaged = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    bad = tmp_path / f"bad.{form}"
    bad.write_bytes(damaged)
    try:
        compared(good, bad)
    except StepbridgeError as error:
        if error.code.id != "SB704":
            raise


def test_the_filters_of_warnings_are_as_before(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a.png", MODES["RGB"]), written(tmp_path / "b.png", MODES["RGB"])
    before = list(warnings.filters)
    compared(a, b)
    assert warnings.filters == before


def test_in_a_directory_a_damaged_image_is_compared_by_its_bytes(tmp_path: Path) -> None:
    for side, data in (("a", b"no image"), ("b", b"no imagE")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "plot.png").write_bytes(data)
    sides = [Side(side, "stepbridge.Directory", path=tmp_path / side) for side in "ab"]
    part = DirectoryComparator().compare(sides[0], sides[1], Compare(), "plots")
    assert part.verdict is Verdict.DIFFERENT
    assert part.parts[0].comparator == "file"
    assert any("image" in fact.name for fact in part.parts[0].facts)


def test_without_pillow_bytes_are_compared_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = written(tmp_path / "a.png", MODES["L"])
    b = written(tmp_path / "b.png", MODES["L"], compress_level=0)
    assert compared(a, b).verdict is Verdict.IDENTICAL
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "PIL" else real(name))
    part = compared(a, b)
    assert part.verdict is Verdict.DIFFERENT
    assert "pip install pillow" in part.skipped[0].why
    assert compared(a, a).verdict is Verdict.IDENTICAL
