"""What a codec promises: how one family of types becomes an artifact's payload and comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from stepbridge.artifact import Draft, Manifest


class Codec(Protocol):
    """One family of types in one format.

    Codecs import their libraries inside their methods: naming a codec costs nothing.
    """

    name: str
    """The format, recorded in manifests; never renamed."""

    def handles_type(self, annotation: object) -> bool:
        """Whether a value annotated so is this codec's. Must not import the type's library."""
        ...

    def handles_value(self, value: object) -> bool:
        """Whether an unannotated value is this codec's. Must not import the type's library."""
        ...

    def type_name(self, annotation: object) -> str:
        """The stable logical name of the annotated type, equal on every version of its library."""
        ...

    def save(self, value: object, annotation: object, staging: Path, *, place: str) -> Draft:
        """Write *value* below *staging*, an empty directory of this call.

        :param annotation: the declared type, or None.
        :param place: the name an error shows.
        """
        ...

    def load(self, manifest: Manifest | None, path: Path, annotation: object, *, place: str) -> object:
        """The value whose payload was fetched to *path*: the file itself, or the directory.

        :param manifest: None for an outside object, which is told by its suffix.
        :param annotation: the type the reader declares, or None for the type that was stored.
        """
        ...
