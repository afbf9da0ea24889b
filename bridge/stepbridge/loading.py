"""Reading an artifact back by its URI, in a test, a notebook or an old task."""

from __future__ import annotations

import tempfile
from pathlib import Path

from stepbridge.failures import StoreProblem


def load(uri: str, directory: str | Path | None = None) -> object:
    """The value of the artifact at *uri*, verified against its manifest.

    :param uri: what a step pushed to XCom: ``s3://bucket/prefix/artifacts/ab/abcd.../data.parquet``.
    :param directory: where the payload goes; a temporary directory where None. For a ``File`` or
        ``Directory`` the returned handle points into it, so it stays.
    :raises StoreProblem: SB301 for a URI that is no artifact's, SB302 where it is gone, SB304 where it is
        damaged.
    """
    from stepbridge import artifact, publishing
    from stepbridge.codecs.registry import codec_named
    from stepbridge.store.opening import store_at

    found = artifact.parse_uri(uri)
    if found is None:
        raise StoreProblem(
            "SB301", "the URI is not an artifact's", place=uri, hint="give the URI a step pushed to XCom"
        )
    root, digest = found
    store = store_at(root)
    manifest = publishing.read_manifest(store, digest)
    target = Path(directory) if directory is not None else Path(tempfile.mkdtemp(prefix="stepbridge-"))
    path = publishing.fetch(store, manifest, target)
    return codec_named(manifest.format).load(manifest, path, None, place=uri)
