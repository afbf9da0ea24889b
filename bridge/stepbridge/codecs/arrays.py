"""numpy arrays as ``data.npy``, never pickled; the digest is over dtype, shape and values."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from stepbridge import hashing
from stepbridge.artifact import Draft, DraftFile, Manifest
from stepbridge.codecs.names import class_of, full_name, readable
from stepbridge.codecs.trees import sha256_of
from stepbridge.failures import IntegrityProblem, TypeProblem

ARRAY = "numpy.ndarray"
_BLOCK = 4 * 1024 * 1024
_TAKEN = frozenset({ARRAY, "numpy.memmap", "numpy.core.memmap.memmap"})


def content_digest(array: Any) -> str:
    """Over dtype, shape and values in C order; every NaN counts as the same one."""
    import numpy as np

    digest = hashlib.sha256(
        hashing.encode(("stepbridge.array/1", _dtype_text(array.dtype), list(array.shape)))
    )
    flat = np.ascontiguousarray(array).reshape(-1)
    step = max(1, _BLOCK // max(1, flat.dtype.itemsize))
    for start in range(0, flat.size, step):
        block = flat[start : start + step]
        digest.update(_one_nan(block, np).tobytes() if block.dtype.kind in "fc" else _raw(block))
    return digest.hexdigest()


def _dtype_text(dtype: Any) -> str:
    return repr(dtype.descr) if dtype.names else str(dtype.str)


def _raw(block: Any) -> Any:
    return memoryview(block).cast("B") if block.dtype.kind in "biu" and block.size else block.tobytes()


def _one_nan(block: Any, np: Any) -> Any:
    missing = np.isnan(block)
    return np.where(missing, block.dtype.type(float("nan")), block) if missing.any() else block


class ArrayCodec:
    """``numpy.ndarray``."""

    name = "npy"

    def handles_type(self, annotation: object) -> bool:
        """``numpy.ndarray`` and ``numpy.typing.NDArray[...]``."""
        return full_name(class_of(annotation)) == ARRAY

    def handles_value(self, value: object) -> bool:
        """An array that is no subclass with a meaning of its own."""
        return full_name(type(value)) in _TAKEN

    def type_name(self, annotation: object) -> str:  # noqa: ARG002
        """``numpy.ndarray``."""
        return ARRAY

    def save(self, value: object, annotation: object, staging: Path, *, place: str) -> Draft:  # noqa: ARG002
        """Write the array."""
        from concurrent.futures import ThreadPoolExecutor

        import numpy as np

        array = _checked(value, np, place)
        path = staging / "data.npy"
        with ThreadPoolExecutor(max_workers=1) as pool:
            content = pool.submit(content_digest, array)
            np.save(path, array, allow_pickle=False)
            stored = sha256_of(path)
        return Draft(
            content=content.result(),
            type=ARRAY,
            format=self.name,
            name=path.name,
            files=(DraftFile(path.name, str(path), path.stat().st_size, stored),),
            summary={"dtype": str(array.dtype), "shape": list(array.shape)},
            canonical=True,
        )

    def load(self, manifest: Manifest | None, path: Path, annotation: object, *, place: str) -> object:  # noqa: ARG002
        """The array."""
        import numpy as np

        if path.suffix != ".npy":
            raise TypeProblem(
                "SB102",
                f"{path.name!r} is no .npy file",
                place=place,
                hint="annotate it File and read it yourself",
            )
        try:
            return np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise IntegrityProblem("SB304", f"not an array: {error}", place=place or str(path)) from error


def _checked(value: object, np: Any, place: str) -> Any:
    if not isinstance(value, np.ndarray):
        raise TypeProblem(
            "SB103",
            f"expected {ARRAY}, found {readable(type(value))}",
            place=place,
            hint="return numpy.asarray(...), or change the annotation",
        )
    if full_name(type(value)) not in _TAKEN:
        raise TypeProblem(
            "SB103",
            f"{readable(type(value))} holds more than an array",
            place=place,
            hint="return numpy.asarray(value), and what else counts beside it",
        )
    if value.dtype.hasobject:
        raise TypeProblem(
            "SB102",
            f"an array of dtype {value.dtype} holds Python objects, which only pickle could store",
            place=place,
            hint="give it a numeric, string or datetime dtype",
        )
    return np.asarray(value)
