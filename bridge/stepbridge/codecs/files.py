"""Files and directories, stored as they are."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePath

from stepbridge.artifact import Draft, Manifest
from stepbridge.codecs import trees
from stepbridge.codecs.handles import Directory, File
from stepbridge.codecs.names import class_of, lineage, readable
from stepbridge.failures import TypeProblem

FILE = "stepbridge.File"
DIRECTORY = "stepbridge.Directory"


def _path(value: object, place: str) -> str:
    if isinstance(value, str | os.PathLike):
        return os.path.abspath(os.fspath(value))  # noqa: PTH100
    raise TypeProblem(
        "SB103",
        f"expected a path, found {readable(type(value))}",
        place=place,
        hint='return File("...") or Directory("...")',
    )


def save_file(value: object, *, place: str) -> Draft:
    """A draft of the file at *value*, which stays where it lies."""
    path = _path(value, place)
    if stat.S_ISDIR(trees.status(path, place=place).st_mode):
        raise trees.problem(
            path, "is a directory", place=place, hint="return Directory(...) instead of File(...)"
        )
    entry = trees.file_entry(path, os.path.basename(path), place=place)  # noqa: PTH119
    return Draft(
        content=entry.sha256,
        type=FILE,
        format="file",
        name=entry.path,
        files=(entry,),
        summary={"name": entry.path, "bytes": entry.size},
    )


def save_directory(value: object, *, place: str) -> Draft:
    """A draft of the directory at *value*, whose files stay where they lie."""
    path = _path(value, place)
    if not stat.S_ISDIR(trees.status(path, place=place).st_mode):
        raise trees.problem(path, "is a file", place=place, hint="return File(...) instead of Directory(...)")
    tree = trees.tree_of(Path(path), place=place)
    return Draft(
        content=tree.digest,
        type=DIRECTORY,
        format="directory",
        name="",
        files=tree.files,
        directories=tree.empty,
        summary={"files": len(tree.files), "bytes": sum(file.size for file in tree.files)},
    )


def _is_path(annotation: object) -> bool:
    names = lineage(class_of(annotation))
    return "pathlib.PurePath" in names or "pathlib._local.PurePath" in names or annotation is os.PathLike


class FileCodec:
    """One file under its own name."""

    name = "file"

    def handles_type(self, annotation: object) -> bool:
        """``File``."""
        return annotation is File

    def handles_value(self, value: object) -> bool:
        """A ``File``."""
        return isinstance(value, File)

    def type_name(self, annotation: object) -> str:  # noqa: ARG002
        """``stepbridge.File``."""
        return FILE

    def save(self, value: object, annotation: object, staging: Path, *, place: str) -> Draft:  # noqa: ARG002
        """Digest the file where it lies."""
        return save_file(value, place=place)

    def load(self, manifest: Manifest | None, path: Path, annotation: object, *, place: str) -> object:  # noqa: ARG002
        """A handle on the fetched file."""
        if path.is_dir():
            raise TypeProblem(
                "SB103", "expected a file, found a directory", place=place, hint="annotate it Directory"
            )
        return File(path)


class DirectoryCodec:
    """A directory with all below it."""

    name = "directory"

    def handles_type(self, annotation: object) -> bool:
        """``Directory``."""
        return annotation is Directory

    def handles_value(self, value: object) -> bool:
        """A ``Directory``."""
        return isinstance(value, Directory)

    def type_name(self, annotation: object) -> str:  # noqa: ARG002
        """``stepbridge.Directory``."""
        return DIRECTORY

    def save(self, value: object, annotation: object, staging: Path, *, place: str) -> Draft:  # noqa: ARG002
        """Digest the tree where it lies."""
        return save_directory(value, place=place)

    def load(self, manifest: Manifest | None, path: Path, annotation: object, *, place: str) -> object:  # noqa: ARG002
        """A handle on the fetched directory."""
        if not path.is_dir():
            raise TypeProblem(
                "SB103", "expected a directory, found a file", place=place, hint="annotate it File"
            )
        return Directory(path)


class PathCodec:
    """``pathlib.Path``: a file or a directory, whichever lies there; never named in a manifest."""

    name = "path"

    def handles_type(self, annotation: object) -> bool:
        """``Path`` and ``os.PathLike``."""
        return _is_path(annotation)

    def handles_value(self, value: object) -> bool:
        """A path object."""
        return isinstance(value, PurePath)

    def type_name(self, annotation: object) -> str:  # noqa: ARG002
        """``pathlib.Path``."""
        return "pathlib.Path"

    def save(self, value: object, annotation: object, staging: Path, *, place: str) -> Draft:  # noqa: ARG002
        """Digest what lies there."""
        path = _path(value, place)
        if stat.S_ISDIR(trees.status(path, place=place).st_mode):
            return save_directory(path, place=place)
        return save_file(path, place=place)

    def load(self, manifest: Manifest | None, path: Path, annotation: object, *, place: str) -> object:  # noqa: ARG002
        """The fetched path."""
        return path
