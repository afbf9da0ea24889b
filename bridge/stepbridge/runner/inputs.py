"""Brings a request's inputs and code to this machine, each artifact once, each verified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from stepbridge import publishing
from stepbridge.artifact import parse_uri
from stepbridge.contract import Outside, Request, Stored, Value
from stepbridge.failures import CodeProblem
from stepbridge.leaves import stored
from stepbridge.runner.workspace import Fetched, Inputs, Workspace, leaf_key
from stepbridge.store import opening
from stepbridge.store.base import Store

_AT_ONCE = 4


def leaves(request: Request) -> dict[str, Stored | Outside]:
    """Every stored or outside value of the request, once, by its key."""
    return {leaf_key(leaf): leaf for value in _values(request) for leaf in stored(value)}


def _values(request: Request) -> Iterator[Value]:
    yield from request.args
    yield from request.kwargs.values()
    yield from request.code.captured.values()
    if request.context is not None:
        yield from request.context.values.values()
        yield from (pull.value for pull in request.context.pulls)


def fetch_inputs(store: Store, request: Request, work: Workspace) -> Inputs:
    """Fetch all inputs below ``work.inputs``.

    :raises StoreProblem: naming the object that is gone, damaged or out of reach.
    """
    wanted = leaves(request)

    def bring(item: tuple[str, Stored | Outside]) -> tuple[str, Fetched]:
        key, leaf = item
        return key, _bring(store, leaf, work.inputs / key[:24])

    if len(wanted) <= 1:
        return Inputs(dict(map(bring, wanted.items())))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_ONCE, "stepbridge-fetch") as pool:
        return Inputs(dict(pool.map(bring, wanted.items())))


def _bring(store: Store, leaf: Stored | Outside, directory: Path) -> Fetched:
    if isinstance(leaf, Outside):
        from stepbridge import outside

        directory.mkdir()
        return Fetched(str(outside.bring(leaf, directory, store.settings)))
    home = _home(store, leaf)
    manifest = publishing.read_manifest(home, leaf.artifact.digest)
    if manifest.name:
        directory.mkdir()
    return Fetched(str(publishing.fetch(home, manifest, directory)), manifest)


def _home(store: Store, leaf: Stored) -> Store:
    """The store the artifact lies in: another one where a shadow run reads what production wrote."""
    parts = parse_uri(leaf.artifact.uri)
    return store if parts is None or parts[0] == store.root else opening.store_at(parts[0], store.settings)


def fetch_code(store: Store, request: Request, work: Workspace) -> None:
    """Unpack the bundle below ``work.code``.

    :raises CodeProblem: SB207 where its bytes are not the promised ones.
    """
    if request.code.source != "bundle":
        return
    from stepbridge.code.bundle import extract

    key = f"code/{request.code.bundle}.zip"
    data = store.get(key)
    found = hashlib.sha256(data).hexdigest()
    if found != request.code.bundle:
        raise CodeProblem(
            "SB207",
            f"the bundle's sha256 is {found}, the request states {request.code.bundle}",
            place=store.uri(key),
            hint="clear the task: the operator ships the code again; if it comes back, see who writes there",
        )
    extract(data, work.code)
