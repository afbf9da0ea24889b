"""The three patches that the API server takes: merge, strategic merge and JSON patch."""

from __future__ import annotations

import copy
from typing import Any

from kube.errors import ApiError, Json, bad_request

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "ownerReferences": "uid",
    "conditions": "type",
    "volumeMounts": "mountPath",
}


def patched(found: Json, patch: Any, content_type: str) -> Json:
    """The object after the patch; the object given stays as it is.

    :raises ApiError: 400 for what is no patch, 415 for another content type, 422 for a failed test.
    """
    kind = content_type.split(";")[0].strip()
    if kind == "application/json-patch+json" or (isinstance(patch, list)):
        return _json_patch(copy.deepcopy(found), patch)
    if not isinstance(patch, dict):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}"
        )
    if kind == "application/merge-patch+json":
        return _merge(copy.deepcopy(found), patch, strategic=False)
    if kind in ("application/strategic-merge-patch+json", "application/apply-patch+yaml"):
        return _merge(copy.deepcopy(found), patch, strategic=True)
    raise ApiError(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, "
        "application/strategic-merge-patch+json",
    )


def _merge(found: Json, patch: Json, *, strategic: bool) -> Json:
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            held = found.get(key)
            found[key] = _merge(held if isinstance(held, dict) else {}, value, strategic=strategic)
        elif strategic and isinstance(value, list) and key in _MERGE_KEYS:
            found[key] = _merge_list(found.get(key) or [], value, _MERGE_KEYS[key])
        else:
            found[key] = copy.deepcopy(value)
    return found


def _merge_list(found: list[Json], patch: list[Json], key: str) -> list[Json]:
    merged = list(found)
    for entry in patch:
        index = next((i for i, held in enumerate(merged) if held.get(key) == entry.get(key)), None)
        if entry.get("$patch") == "delete":
            if index is not None:
                del merged[index]
        elif index is None:
            merged.append(copy.deepcopy(entry))
        else:
            merged[index] = _merge(merged[index], entry, strategic=True)
    return merged


def _json_patch(found: Json, steps: Any) -> Json:
    if not isinstance(steps, list):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        )
    for step in steps:
        found = _json_step(found, step)
    return found


def _json_step(found: Json, step: Json) -> Json:
    verb = step.get("op")
    parent, key = _parent(found, step["path"], make=False)
    if verb in ("add", "replace"):
        _put(parent, key, copy.deepcopy(step["value"]), insert=verb == "add")
    elif verb == "remove":
        if (isinstance(parent, dict) and key not in parent) or (
            isinstance(parent, list) and int(key) >= len(parent)
        ):
            raise _unprocessable(f"remove operation does not apply: doc is missing path: {step['path']}")
        del parent[int(key) if isinstance(parent, list) else key]
    elif verb == "test":
        held = parent[int(key)] if isinstance(parent, list) else parent.get(key)
        if held != step.get("value"):
            raise _unprocessable(f"testing value {step['path']} failed: test failed")
    else:
        raise _unprocessable(f"Unexpected kind: {verb}")
    return found


def _parent(found: Any, path: str, *, make: bool) -> tuple[Any, str]:
    *way, key = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    here = found
    for part in way:
        here = here[int(part)] if isinstance(here, list) else here.get(part)
        if here is None:
            raise _unprocessable(
                f'add operation does not apply: doc is missing path: "{path}": missing value'
            )
    return here, key


def _put(parent: Any, key: str, value: Any, *, insert: bool) -> None:
    if not isinstance(parent, list):
        parent[key] = value
    elif key == "-":
        parent.append(value)
    elif insert:
        parent.insert(int(key), value)
    else:
        parent[int(key)] = value


def _unprocessable(message: str) -> ApiError:
    return ApiError(
        422, "Invalid", f"the server rejected our request due to an error in our request: {message}"
    )
