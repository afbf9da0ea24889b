"""Whether all of an artifact is still there, told from one listing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from stepbridge.failures import StoreProblem
from stepbridge.references import MANIFEST, Artifact, prefix

if TYPE_CHECKING:
    from stepbridge.store.base import Store
    from stepbridge.store.records import ObjectInfo


def missing(store: Store, artifact: Artifact) -> str:
    """Why the artifact cannot be read, or an empty string where all of it is there.

    One listing; the bytes themselves are compared when they are read.
    """
    lead = prefix(artifact.digest)
    found = {info.key.removeprefix(lead): info for info in store.list(lead)}
    if found.pop(MANIFEST, None) is None:
        return f"{store.uri(lead + MANIFEST)} is not there"
    if artifact.files == 1 and not artifact.uri.endswith("/"):
        key = artifact.uri.rpartition(lead)[2]
        return lacks(store, lead, found, [(key, artifact.size)])
    sizes = [info.size for info in found.values()]
    if (len(sizes), sum(sizes)) == (artifact.files, artifact.size):
        return ""
    from stepbridge.publishing import read_manifest

    try:
        manifest = read_manifest(store, artifact.digest)
    except StoreProblem as error:
        return error.describe()
    return lacks(store, lead, found, [(file.key, file.size) for file in manifest.files])


def lacks(store: Store, lead: str, found: Mapping[str, ObjectInfo], wanted: Iterable[tuple[str, int]]) -> str:
    """What is wrong with the first of the payload objects that is not as recorded, or an empty string.

    :param lead: the artifact's prefix.
    :param found: what lies below it, by key.
    :param wanted: keys below the prefix and sizes in bytes.
    """
    for key, size in wanted:
        info = found.get(key)
        if info is None:
            return f"{store.uri(lead + key)} is not there"
        if info.size != size:
            return f"{store.uri(lead + key)} has {info.size} bytes, recorded are {size}"
    return ""
