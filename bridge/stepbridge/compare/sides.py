"""From a value, an artifact, a URI or a path to the sides that comparators are given."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepbridge.artifact import Artifact, Draft, parse_uri
from stepbridge.codecs import plain
from stepbridge.compare.base import Side
from stepbridge.contract import Fields, Inline, Items, Outside, Stored, StoreSettings, Value
from stepbridge.failures import StepbridgeError

_NO_LIMIT = 1 << 62
_DOCUMENTS = {plain.JSON: plain.JSON, plain.PYTHON: plain.JSON}


@dataclass(frozen=True)
class Branch:
    """A list, tuple or mapping with a payload somewhere in it.

    :param type: ``list``, ``tuple`` or ``dict``.
    """

    type: str
    items: Mapping[str, Tree]


Tree = Side | Branch
"""One result: a leaf, or members by their names (``[0]``, ``.model``)."""


def value_of(value: object, folder: Path, *, place: str = "value") -> Value:
    """A Python object as a value of the contract; what is no plain value gets a payload below *folder*.

    :raises StepbridgeError: SB102 where no codec takes a part of it.
    """
    from stepbridge.codecs.encoding import Encoder

    return Encoder(folder, _NO_LIMIT).encode(value, None, place)


def value_at(uri_or_path: str, settings: StoreSettings | None = None) -> Value:
    """What lies at a path or URI, as a value of the contract: an artifact of ours, or an outside object.

    :raises ObjectMissing: SB302 where nothing is there.
    :raises StoreProblem: SB301 for a URI of another scheme.
    """
    from stepbridge import outside, publishing
    from stepbridge.artifact import reference
    from stepbridge.store.opening import store_at

    found = parse_uri(uri_or_path)
    if found is not None:
        root, digest = found
        return Stored(reference(root, publishing.read_manifest(store_at(root, settings), digest)))
    if not uri_or_path:
        raise StepbridgeError("SB301", "no path and no URI", hint="give a file, folder or URI")
    if "://" not in uri_or_path:
        return _local(Path(uri_or_path).absolute(), uri_or_path)
    return outside.identify(uri_or_path, settings)


def _local(path: Path, given: str) -> Value:
    """A path of this machine is read where it lies, and its size is all that is said of it beforehand."""
    if not path.exists():
        from stepbridge.failures import ObjectMissing

        raise ObjectMissing("SB302", "nothing is there", place=given, hint="give a file, folder or URI")
    size = path.stat().st_size if path.is_file() else 0
    return Outside(f"file://{path}" + ("/" if path.is_dir() else ""), size, {})


def tree_of(value: Value, folder: Path, settings: StoreSettings | None = None) -> Tree:
    """*value* with every payload on this machine.

    :param folder: where payloads are fetched to; it must outlive the tree.
    :param settings: of the store, for the endpoint and region of ``s3://`` URIs.
    :raises StepbridgeError: where a payload is gone (SB302), damaged (SB304) or cannot be reached (SB305).
    """
    match value:
        case Inline():
            return _plain(plain.unpack(value.codec, value.data, place="value"), "value")
        case Draft():
            return _draft(value, folder)
        case Stored():
            return _stored(value.artifact, folder, settings)
        case Outside():
            return _outside(value, folder, settings)
        case Items():
            members = {f"[{n}]": tree_of(item, folder, settings) for n, item in enumerate(value.items)}
            return _gathered(Branch(value.type, members))
        case Fields():
            named = {f".{name}": tree_of(item, folder, settings) for name, item in value.fields.items()}
            return _gathered(Branch("dict", named))


def _plain(value: Any, origin: str) -> Side:
    if isinstance(value, plain.KeptPath):
        return Side(origin, "json", value=value.text)
    if isinstance(value, bytes):
        return Side(origin, "bytes", value=value)
    return Side(origin, "json", value=value)


def _gathered(branch: Branch) -> Tree:
    """The branch as one plain value where none of its members has a payload."""
    members = list(branch.items.values())
    if not all(isinstance(one, Side) and one.path is None and one.type == "json" for one in members):
        return branch
    values = [one.value for one in members if isinstance(one, Side)]
    if branch.type == "dict":
        return Side("value", "json", value=dict(zip((key[1:] for key in branch.items), values, strict=True)))
    return Side("value", "json", value=tuple(values) if branch.type == "tuple" else values)


def _draft(draft: Draft, folder: Path) -> Side:
    if draft.format == "directory":
        return Side("value", draft.type, path=_tree_root(draft, folder), content=draft.content)
    return _payload(draft.format, draft.type, Path(draft.files[0].source), "value", draft.content)


def _tree_root(draft: Draft, folder: Path) -> Path:
    """The folder of a directory's draft: its first file's place without the file's name in it."""
    if not draft.files:
        empty = Path(tempfile.mkdtemp(prefix="empty-", dir=folder))
        for name in draft.directories:
            (empty / name).mkdir(parents=True, exist_ok=True)
        return empty
    first = draft.files[0]
    depth = len(Path(first.path).parts)
    return Path(first.source).parents[depth - 1]


def _stored(artifact: Artifact, folder: Path, settings: StoreSettings | None) -> Side:
    from stepbridge import publishing
    from stepbridge.store.opening import store_at

    found = parse_uri(artifact.uri)
    if found is None:
        raise StepbridgeError("SB301", "the URI is not an artifact's", place=artifact.uri)
    store = store_at(found[0], settings)
    manifest = publishing.read_manifest(store, artifact.digest)
    path = publishing.fetch(store, manifest, Path(tempfile.mkdtemp(prefix="stored-", dir=folder)))
    return _payload(manifest.format, manifest.type, path, artifact.uri, manifest.content)


def _payload(form: str, kind: str, path: Path, origin: str, content: str) -> Side:
    from stepbridge.codecs.registry import codec_named

    if form in _DOCUMENTS or form == "bytes":
        return _plain(codec_named(form).load(None, path, None, place=origin), origin)
    if form == "pickle":
        return Side(origin, "pickle", path=path, content=content)
    return Side(origin, kind, path=path, content=content)


def _outside(value: Outside, folder: Path, settings: StoreSettings | None) -> Side:
    from stepbridge import outside

    whole = value.uri.endswith("/")
    kind = "stepbridge.Directory" if whole else "stepbridge.File"
    if value.uri.startswith("file://"):
        return Side(value.uri, kind, path=Path(value.uri.removeprefix("file://")))
    target = Path(tempfile.mkdtemp(prefix="outside-", dir=folder))
    return Side(value.uri, kind, path=outside.bring(value, target, settings))
