"""Pickle, for what is annotated ``Pickle[T]`` and for nothing else."""

from __future__ import annotations

import pickle
import typing
from pathlib import Path
from typing import Any

from stepbridge.artifact import Draft, DraftFile, Manifest
from stepbridge.codecs.handles import PICKLE
from stepbridge.codecs.names import readable
from stepbridge.codecs.trees import sha256_of
from stepbridge.failures import IntegrityProblem, TypeProblem


def _inner(annotation: object) -> type:
    args = typing.get_args(annotation)
    return args[0] if args and isinstance(args[0], type) and args[0] is not Any else object


def _misfit(inner: type, value: object, place: str) -> TypeProblem:
    return TypeProblem(
        "SB103",
        f"expected {readable(inner)}, found {readable(type(value))}",
        place=place,
        hint="change the value or the annotation so that they agree",
    )


class PickleCodec:
    """One pickle in ``data.pkl``."""

    name = "pickle"

    def handles_type(self, annotation: object) -> bool:
        """``Pickle[T]``."""
        return PICKLE in getattr(annotation, "__metadata__", ())

    def handles_value(self, value: object) -> bool:  # noqa: ARG002
        """Never: nothing is pickled by default."""
        return False

    def type_name(self, annotation: object) -> str:
        """``Pickle[T]``."""
        inner = _inner(annotation)
        return "Pickle" if inner is object else f"Pickle[{readable(inner)}]"

    def save(self, value: object, annotation: object, staging: Path, *, place: str) -> Draft:
        """Write the pickle; its digest is that of its bytes, which need not be equal for equal values."""
        inner = _inner(annotation)
        if not isinstance(value, inner):
            raise _misfit(inner, value, place)
        path = staging / "data.pkl"
        try:
            with path.open("wb") as sink:
                pickle.dump(value, sink, protocol=5)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise TypeProblem(
                "SB102",
                f"a {readable(type(value))} cannot be pickled: {error}",
                place=place,
                hint="return a File that the step wrote itself",
            ) from error
        digest = sha256_of(path)
        file = DraftFile(path.name, str(path), path.stat().st_size, digest)
        return Draft(
            content=digest,
            type=self.type_name(annotation),
            format=self.name,
            name=path.name,
            files=(file,),
            summary={"class": readable(type(value))},
        )

    def load(self, manifest: Manifest | None, path: Path, annotation: object, *, place: str) -> object:  # noqa: ARG002
        """Unpickle, only for a reader that is annotated ``Pickle[T]`` itself."""
        if not self.handles_type(annotation):
            raise TypeProblem(
                "SB103",
                "the value is a pickle, which runs code when it is read",
                place=place,
                hint="annotate the parameter Pickle[T] to allow it",
            )
        try:
            with path.open("rb") as source:
                value = pickle.load(source)
        except (pickle.UnpicklingError, EOFError) as error:
            raise IntegrityProblem("SB304", f"not a pickle: {error}", place=place or str(path)) from error
        except (ImportError, AttributeError) as error:
            raise TypeProblem(
                "SB103",
                f"the pickle needs what is not here: {error}",
                place=place,
                hint="install the package, or ship the module, that defines the class",
            ) from error
        inner = _inner(annotation)
        if not isinstance(value, inner):
            raise _misfit(inner, value, place)
        return value
