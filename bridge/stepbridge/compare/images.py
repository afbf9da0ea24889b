"""Images compared pixel by pixel, where Pillow is installed."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import itertools
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stepbridge.compare.base import Side
from stepbridge.compare.files import compare_bytes
from stepbridge.compare.model import Column, Difference, Fact, Part, Skipped, Verdict
from stepbridge.compare.rules import Compare
from stepbridge.compare.tally import Tally, shown
from stepbridge.compare.unused import Named, unused
from stepbridge.failures import StepbridgeError

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
_BAND = 1 << 20
"""Pixels that are compared at a time."""
_EXIF_FOLDERS = (0x8769, 0x8825, 0xA005)
_NO_METADATA = frozenset({"exif", "transparency"})
"""Entries of ``info`` that are read in another way: EXIF by its tags, transparency as a channel."""
_LAYOUT = frozenset({273, 278, 279, 288, 289, 322, 323, 324, 325, 513, 514, *_EXIF_FOLDERS})
"""TIFF tags that say where in the file something lies."""


_SPOT = re.compile(
    r"([\d,]+) pixels differ, at most by (\S+), within x (\d+) to (\d+), y (\d+) to (\d+)", re.ASCII
)


@dataclass(frozen=True)
class Spot:
    """Where and how far the pixels of one frame differ.

    :param count: pixels that differ. :param apart: the largest distance of a channel.
    :param left: :param right: :param top: :param bottom: the box that holds them all, inclusive.
    """

    count: int
    apart: float
    left: int
    right: int
    top: int
    bottom: int

    def said(self) -> str:
        """As a report's difference says it."""
        short = f"{self.apart:g}"
        exact = short if float(short) == self.apart else repr(self.apart)
        return (
            f"{self.count:,} pixels differ, at most by {exact}, "
            f"within x {self.left} to {self.right}, y {self.top} to {self.bottom}"
        )

    @classmethod
    def of(cls, one: Difference) -> Spot | None:
        """What a difference says of pixels; None where it is of something else."""
        found = _SPOT.fullmatch(one.detail)
        if found is None:
            return None
        return cls(int(found[1].replace(",", "")), float(found[2]), *(int(found[n]) for n in range(3, 7)))


@dataclass(frozen=True)
class _Frame:
    """One decoded frame.

    :param pixels: rows, columns, channels.
    """

    pixels: Any
    mode: str
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class _Picture:
    """An image file that was opened; frames are decoded when they are compared."""

    path: Path
    size: tuple[int, int]
    mode: str
    frames: int
    format: str

    def decoded(self) -> Iterator[_Frame]:
        """Each frame; of an animation all as they are shown.

        :raises StepbridgeError: SB704 for a frame that cannot be decoded.
        """
        from PIL import Image, ImageSequence

        with _decoding(self.path), Image.open(self.path) as image:
            for frame in ImageSequence.Iterator(image):
                _check_size(frame.size)
                frame.load()
                yield _frame(frame, self.frames > 1)


class ImageComparator:
    """Two images."""

    name = "image"

    def takes(self, control: Side, candidate: Side) -> bool:
        """Two image files, by their suffix."""
        return all(
            one.path is not None and one.path.suffix.lower() in _SUFFIXES and one.path.is_file()
            for one in (control, candidate)
        )

    def compare(self, control: Side, candidate: Side, rules: Compare, name: str) -> Part:
        """Compare size, mode, metadata and every pixel; a channel may be off by ``rules.pixels``.

        :raises StepbridgeError: SB704 for a file that cannot be decoded.
        """
        if control.path is None or candidate.path is None:
            raise TypeError("an image side has no payload")
        if importlib.util.find_spec("PIL") is None:
            why = Skipped(f"pixels of {name}", "Pillow is not installed: pip install pillow")
            return compare_bytes(control.path, candidate.path, rules, name, (why,))
        left, right = _opened(control.path), _opened(candidate.path)
        found = _Pixels(Tally(rules))
        found.describe(left, right)
        if (left.size, left.mode, left.frames) == (right.size, right.mode, right.frames):
            for n, (a, b) in enumerate(zip(left.decoded(), right.decoded(), strict=True)):
                found.frame(n, left.frames, a, b)
        else:
            found.tally.skipped.append(Skipped(f"pixels of {name}", "the shapes differ", found.of))
        named = Named(("size", "mode", "frames", "format"), leads=("metadata ", "pixel (", "frame "))
        return replace(found.part(name, left, right), unused=unused(rules, named))


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Whatever Pillow says of a file that is damaged or far too large, as SB704."""
    try:
        yield
    except Exception as error:  # decoding bytes that anybody wrote may raise anything
        raise StepbridgeError(
            "SB704",
            f"not an image that can be decoded: {type(error).__name__}: {error}",
            place=str(path),
            hint="the file may be cut off, or of another format than its name says",
        ) from error


def _opened(path: Path) -> _Picture:
    from PIL import Image

    with _decoding(path), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            frames = int(getattr(image, "n_frames", 1))
            return _Picture(path, image.size, image.mode, frames, str(image.format))


def _check_size(size: tuple[int, int]) -> None:
    """Hold every frame to Pillow's limit, which it only warns of."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > limit:
        raise ValueError(f"{size[0]} x {size[1]} pixels are more than {limit:,}")


def _frame(frame: Any, animated: bool) -> _Frame:
    """Palettes and transparent colours as channels, so that what is compared is what is seen."""
    import numpy as np

    coloured = "transparency" in frame.info and frame.mode in ("1", "L", "RGB")
    if coloured or frame.mode in ("P", "PA") or (animated and frame.mode == "RGB"):
        shown_as = frame.convert("RGBA")
    else:
        shown_as = frame
    pixels = np.asarray(shown_as)
    metadata = _metadata(frame)
    if "transparency" in frame.info and shown_as is frame:
        metadata["transparency"] = _said(frame.info["transparency"])
    mode = shown_as.mode if animated else frame.mode
    return _Frame(pixels if pixels.ndim == 3 else pixels[:, :, None], mode, metadata)


def _metadata(image: Any) -> dict[str, str]:
    found = {str(key): _said(value) for key, value in image.info.items() if key not in _NO_METADATA}
    exif = image.getexif()
    folders = [exif, *(exif.get_ifd(number) for number in _EXIF_FOLDERS)]
    for folder in folders:
        found |= {f"exif {key}": _said(value) for key, value in folder.items() if key not in _LAYOUT}
    return found


def _said(value: object) -> str:
    if isinstance(value, bytes) and len(value) > 32:
        return f"{len(value):,} bytes, sha256 {hashlib.sha256(value).hexdigest()[:16]}"
    return repr(value)


@dataclass
class _Pixels:
    """What the frames of two images show."""

    tally: Tally
    of: int = 0
    unequal: int = 0
    allowed: int = 0
    largest: float = 0.0

    def describe(self, left: _Picture, right: _Picture) -> None:
        """What is said of the images before they are decoded."""
        self.of = left.size[0] * left.size[1] * left.frames
        for what, a, b in (
            ("size", f"{left.size[0]} x {left.size[1]}", f"{right.size[0]} x {right.size[1]}"),
            ("mode", left.mode, right.mode),
            ("frames", str(left.frames), str(right.frames)),
            ("format", left.format, right.format),
        ):
            self.tally.facts.append(Fact(what, a, b))
            if a == b:
                continue
            if what == "format" and "metadata" in self.tally.rules.equal:
                self.tally.allow("equal:metadata")
            else:
                self.tally.differ(Difference(what, "schema", a, b))

    def frame(self, n: int, frames: int, a: _Frame, b: _Frame) -> None:
        """Compare two frames."""
        lead = "" if frames == 1 else f"frame {n} "
        self._metadata(lead, a.metadata, b.metadata)
        if (a.pixels.shape, a.mode) != (b.pixels.shape, b.mode):
            sides = [f"{one.pixels.shape[1]} x {one.pixels.shape[0]} {one.mode}" for one in (a, b)]
            self.tally.differ(Difference(f"{lead}size", "schema", sides[0], sides[1]))
            return
        rows = max(1, _BAND // max(1, a.pixels.shape[1]))
        worst: list[tuple[float, int, int]] = []
        box: list[tuple[int, int, int, int]] = []
        before = self.unequal
        for top in range(0, a.pixels.shape[0], rows):
            self._band(top, a.pixels[top : top + rows], b.pixels[top : top + rows], worst, box)
        if box:
            apart, x, y = max(worst, key=lambda one: (one[0], -one[2], -one[1]))
            spot = Spot(
                self.unequal - before,
                apart,
                min(one[0] for one in box),
                max(one[1] for one in box),
                min(one[2] for one in box),
                max(one[3] for one in box),
            )
            left, right = (str(one.pixels[y, x].tolist()) for one in (a, b))
            self.tally.differ(Difference(f"{lead}pixel ({x}, {y})", "value", left, right, spot.said()))

    def _metadata(self, lead: str, mine: Mapping[str, str], theirs: Mapping[str, str]) -> None:
        for key in sorted({*mine, *theirs}):
            if mine.get(key) == theirs.get(key):
                continue
            if "metadata" in self.tally.rules.equal and key != "transparency":
                self.tally.allow("equal:metadata")
                continue
            kind = "missing" if key not in theirs else "extra" if key not in mine else "value"
            left, right = (None if key not in one else shown(one[key]) for one in (mine, theirs))
            self.tally.differ(Difference(f"{lead}metadata {key}", kind, left, right))

    def _band(
        self,
        top: int,
        a: Any,
        b: Any,
        worst: list[tuple[float, int, int]],
        box: list[tuple[int, int, int, int]],
    ) -> None:
        """Compare some rows; NaN equals NaN, and is infinitely far from a number."""
        import numpy as np

        self.tally.compared += int(a.shape[0] * a.shape[1])
        if np.array_equal(a, b):
            return
        with np.errstate(invalid="ignore"):
            apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
        if a.dtype.kind == "f":
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            apart = np.where(same, 0, np.where(np.isnan(apart), np.inf, apart))
        apart = apart.max(axis=2)
        bad = apart > self.tally.rules.pixels
        self.largest = max(self.largest, float(apart.max()))
        self.unequal += int(bad.sum())
        self.allowed += int((apart > 0).sum() - bad.sum())
        if bad.any():
            y, x = np.unravel_index(int(apart.argmax()), apart.shape)
            worst.append((float(apart[y, x]), int(x), top + int(y)))
            rows, columns = np.flatnonzero(bad.any(axis=1)), np.flatnonzero(bad.any(axis=0))
            box.append((int(columns[0]), int(columns[-1]), top + int(rows[0]), top + int(rows[-1])))

    def part(self, name: str, left: _Picture, right: _Picture) -> Part:
        """The part that says so."""
        tally = self.tally
        tally.allow("pixels", str(tally.rules.pixels), self.allowed)
        part = tally.part(name, ImageComparator.name, unit="pixels", of=max(self.of, tally.compared))
        rule = part.rule
        if self.unequal and part.verdict is Verdict.DIFFERENT:
            rule = f"{self.unequal:,} of {part.of:,} pixels differ, at most by {self.largest:g}"
            others = [one.path for one in part.differences if "pixel (" not in one.path]
            rule = ", ".join(itertools.chain((rule,), others[:3]))
        if not (self.unequal or self.allowed):
            return replace(part, rule=rule)
        column = Column(
            name,
            left.mode,
            right.mode,
            compared=tally.compared,
            unequal=self.unequal,
            allowed=self.allowed,
            max_abs=self.largest,
            tolerance=f"pixels {tally.rules.pixels}" if self.allowed else "",
        )
        return replace(part, rule=rule, columns=(column,))
