"""Arrays compared chunk by chunk: shape, dtype, and how far apart the numbers are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stepbridge.compare.base import Side
from stepbridge.compare.ignoring import setting_for
from stepbridge.compare.model import Column, Difference, Fact, Part, Relaxation, Verdict
from stepbridge.compare.rules import Compare, Tolerance
from stepbridge.compare.tally import Tally, shown
from stepbridge.compare.unused import Named, unused
from stepbridge.failures import StepbridgeError

_CHUNK = 1 << 21
"""Elements that are compared at a time."""


class ArrayComparator:
    """Two numpy arrays in npy files."""

    name = "array"

    def takes(self, control: Side, candidate: Side) -> bool:
        """Two arrays, artifacts or ``.npy`` files."""
        return all(
            one.path is not None and (one.type == "numpy.ndarray" or one.path.suffix == ".npy")
            for one in (control, candidate)
        )

    def compare(self, control: Side, candidate: Side, rules: Compare, name: str) -> Part:
        """Compare element by element; NaN equals NaN, dtype and shape count.

        :raises StepbridgeError: SB704 for a file that is no array, or one that needs unpickling.
        """
        if control.path is None or candidate.path is None:
            raise TypeError("an array side has no payload")
        a, b = _opened(control.path), _opened(candidate.path)
        names = ("shape", "dtype", name)
        named = Named(names, (name,), tuple({str(a.dtype): 0, str(b.dtype): 0}), leads=("[",))
        return replace(compare_arrays(a, b, rules, name), unused=unused(rules, named))


def _opened(path: Path) -> Any:
    import numpy as np

    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        hint = "arrays of Python objects are not compared: that would run code from the file"
        if "pickle" not in str(error) and "Object" not in str(error):
            hint = "the file is cut off or no npy file"
        raise StepbridgeError("SB704", str(error), place=str(path), hint=hint) from error
    except (OSError, EOFError) as error:
        raise StepbridgeError("SB704", str(error), place=str(path), hint="the file is cut off") from error


def compare_arrays(control: Any, candidate: Any, rules: Compare, name: str) -> Part:
    """The part of two arrays in memory or mapped from files."""
    tally = Tally(rules)
    for label, left, right in (
        ("shape", control.shape, candidate.shape),
        ("dtype", control.dtype, candidate.dtype),
    ):
        tally.facts.append(Fact(label, str(left), str(right)))
    if control.shape != candidate.shape:
        tally.differ(Difference("shape", "schema", str(control.shape), str(candidate.shape)))
        return tally.part(name, ArrayComparator.name, unit="elements", of=int(control.size))
    if control.dtype != candidate.dtype and not _dtypes_allowed(control.dtype, candidate.dtype, tally):
        tally.differ(Difference("dtype", "type", str(control.dtype), str(candidate.dtype)))
        if _kind(control.dtype) != _kind(candidate.dtype):
            return tally.part(name, ArrayComparator.name, unit="elements", of=int(control.size))
    found = _Elements(rules, tally, control.dtype, name)
    for offset, left, right in _chunks(control, candidate):
        found.take(offset, left, right, control.shape)
    part = tally.part(name, ArrayComparator.name, unit="elements", of=int(control.size))
    return found.finish(part, control.dtype, candidate.dtype)


def _kind(dtype: Any) -> str:
    return "number" if dtype.kind in "iufb" else str(dtype.kind)


def _dtypes_allowed(a: Any, b: Any, tally: Tally) -> bool:
    """Whether a relaxation lets the two dtypes pass; byte order alone is no difference of values."""
    equal = frozenset(tally.rules.equal)
    if a.newbyteorder("=") == b.newbyteorder("="):
        if "metadata" in equal:
            tally.allow("equal:metadata", f"{a} and {b}")
            return True
        return False
    same_kind = a.kind == b.kind and a.kind in "iufcSU"
    if same_kind and "width" in equal:
        tally.allow("equal:width", f"{a} and {b}")
        return True
    if a.kind == b.kind == "M" and "time-unit" in equal:
        tally.allow("equal:time-unit", f"{a} and {b}")
        return True
    if {a.kind, b.kind} <= set("iuf") and "int-is-float" in equal:
        tally.allow("equal:int-is-float", f"{a} and {b}")
        return True
    return False


def _chunks(a: Any, b: Any) -> Iterator[tuple[int, Any, Any]]:
    """``(offset, control, candidate)`` of flat pieces in C order, without a copy of the whole."""
    if a.size == 0:
        return
    if a.ndim == 0 or (a.flags.c_contiguous and b.flags.c_contiguous):
        left, right = a.reshape(-1), b.reshape(-1)
        for offset in range(0, a.size, _CHUNK):
            yield offset, left[offset : offset + _CHUNK], right[offset : offset + _CHUNK]
        return
    inner = max(1, a.size // a.shape[0])
    rows = max(1, _CHUNK // inner)
    for row in range(0, a.shape[0], rows):
        yield row * inner, a[row : row + rows].reshape(-1), b[row : row + rows].reshape(-1)


@dataclass
class _Elements:
    """What the elements of two arrays show, over all chunks."""

    rules: Compare
    tally: Tally
    dtype: Any
    name: str
    unequal: int = 0
    allowed: int = 0
    max_abs: float | None = None
    max_rel: float | None = None
    max_ulp: int | None = None
    nulls: int = 0

    @property
    def tolerance(self) -> Tolerance:
        """By the array's name, its dtype, or the general one; floats only unless it is by name or dtype."""
        own = setting_for(self.rules.columns, self.name) or setting_for(self.rules.dtypes, str(self.dtype))
        if own is not None:
            return own
        if self.dtype.kind in "fc":
            return Tolerance(self.rules.rtol or 0.0, self.rules.atol or 0.0)
        return Tolerance()

    def take(self, offset: int, a: Any, b: Any, shape: tuple[int, ...]) -> None:
        """One chunk, flat."""
        import numpy as np

        self.tally.compared += int(a.size)
        odd = _unequal(a, b, np)
        places = np.flatnonzero(odd)
        if not places.size:
            return
        left, right = a[places], b[places]
        if "negative-zero" in self.rules.equal and a.dtype.kind == "f":
            signed = (left == 0) & (right == 0)
            self.tally.allow("equal:negative-zero", count=int(signed.sum()))
            places, left, right = places[~signed], left[~signed], right[~signed]
        within = self._within(left, right, np)
        self.allowed += int(within.sum())
        bad = np.flatnonzero(~within)
        self.unequal += int(bad.size)
        for n in bad[: max(0, self.rules.samples - len(self.tally.samples))]:
            index = np.unravel_index(offset + int(places[n]), shape) if shape else ()
            at = f"[{', '.join(str(int(i)) for i in index)}]"
            self.tally.differ(
                Difference(at, "value", shown(str(left[n])), shown(str(right[n])), _apart(left[n], right[n])),
                self.name,
            )
            self.unequal -= 1

    def _within(self, a: Any, b: Any, np: Any) -> Any:
        """Which unequal elements are within tolerance; notes how far apart the numbers are."""
        if a.dtype.kind not in "iufcb" or b.dtype.kind not in "iufcb":
            return np.zeros(a.shape, bool)
        wide = np.complex128 if "c" in (a.dtype.kind, b.dtype.kind) else np.longdouble
        with np.errstate(all="ignore"):
            x, y = a.astype(wide), b.astype(wide)
            apart = np.abs(x - y)
            size = np.abs(x)
            finite = np.isfinite(apart)
            self.nulls += int((~finite).sum())
            if finite.any():
                self.max_abs = max(self.max_abs or 0.0, float(apart[finite].max()))
                scaled = finite & (size > 0)
                if scaled.any():
                    self.max_rel = max(self.max_rel or 0.0, float((apart[scaled] / size[scaled]).max()))
            tolerance = self.tolerance
            within = finite & (apart <= tolerance.atol + tolerance.rtol * size)
            if tolerance.atol == tolerance.rtol == 0:
                within = np.zeros(a.shape, bool)
            if a.dtype == b.dtype and a.dtype.kind == "f" and a.dtype.itemsize in (2, 4, 8):
                ulps = _ulps(a, b, np)
                real = np.isfinite(a) & np.isfinite(b)
                if real.any():
                    self.max_ulp = max(self.max_ulp or 0, int(ulps[real].max()))
                if tolerance.ulp:
                    within |= real & (ulps <= tolerance.ulp)
        return within

    def finish(self, part: Part, control: Any, candidate: Any) -> Part:
        """The part with the numbers of all chunks, beyond the samples that were kept."""
        total = part.total + self.unequal
        tolerance = self.tolerance
        said = f"rtol {tolerance.rtol:g}, atol {tolerance.atol:g}" + (
            f", ulp {tolerance.ulp}" if tolerance.ulp else ""
        )
        column = Column(
            self.name,
            str(control),
            str(candidate),
            compared=part.compared,
            unequal=total,
            allowed=self.allowed,
            nulls=self.nulls,
            max_abs=self.max_abs,
            max_rel=self.max_rel,
            tolerance=said if self.allowed else "",
        )
        facts = part.facts
        if self.max_ulp is not None:
            facts = (*facts, Fact("largest distance in ulp", f"{self.max_ulp:,}", f"{self.max_ulp:,}"))
        relaxations = part.relaxations
        verdict, rule = part.verdict, part.rule
        if self.allowed:
            relaxations = (*relaxations, Relaxation("tolerance", said, self.allowed))
            if verdict is Verdict.IDENTICAL:
                verdict = Verdict.EQUIVALENT
            if not total and verdict is Verdict.EQUIVALENT:
                rule = f"{self.allowed:,} of {part.of:,} elements differ, all within {said}"
        if total:
            apart = "" if self.max_abs is None else f", at most {self.max_abs:g} apart"
            first = f", the first at {part.differences[0].path}" if part.differences else ""
            verdict = Verdict.DIFFERENT
            rule = f"{total:,} of {part.of:,} elements differ{apart}{first}"
            if part.differences and part.differences[0].kind in ("type", "schema"):
                rule = f"{part.differences[0].path} differs: {control} and {candidate}"
        return replace(
            part,
            verdict=verdict,
            rule=rule,
            total=total,
            facts=facts,
            relaxations=relaxations,
            columns=(column,),
        )


def _unequal(a: Any, b: Any, np: Any) -> Any:
    """Which elements are not strictly equal: NaN equals NaN, 0.0 is not -0.0."""
    odd = np.asarray(a != b)
    if odd.dtype != bool:
        raise StepbridgeError("SB704", f"elements of {a.dtype} cannot be compared", place="array")
    if a.dtype.kind in "fc":
        odd &= ~(np.isnan(a) & np.isnan(b)) if b.dtype.kind in "fc" else True
        if a.dtype.kind == "f" and b.dtype.kind == "f":
            zero = (a == 0) & (b == 0)
            if zero.any():
                odd |= zero & (np.signbit(a) != np.signbit(b))
    elif a.dtype.kind in "mM":
        odd &= ~(np.isnat(a) & np.isnat(b))
    return odd


def _ulps(a: Any, b: Any, np: Any) -> Any:
    """Distance in units of the last place, as unsigned integers."""
    kind = np.dtype(f"i{a.dtype.itemsize}")
    lowest = np.int64(np.iinfo(kind).min)

    def ordinal(values: Any) -> Any:
        bits = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="))).view(kind).astype(np.int64)
        return np.where(bits < 0, lowest - bits, bits)

    x, y = ordinal(a), ordinal(b)
    low, high = np.minimum(x, y), np.maximum(x, y)
    return high.astype(np.uint64) - low.astype(np.uint64)


def _apart(a: Any, b: Any) -> str:
    import numpy as np

    if not (np.issubdtype(a.dtype, np.number) and np.issubdtype(b.dtype, np.number)):
        return ""
    with np.errstate(all="ignore"):
        apart = abs(complex(a) - complex(b))
    return f"abs {apart:.3g}" if np.isfinite(apart) else ""
