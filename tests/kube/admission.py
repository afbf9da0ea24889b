"""What the API server checks and fills in before it keeps a pod or a secret."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from kube.errors import Cause, Json, bad_request, invalid
from kube.quantities import number

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,62})?[A-Za-z0-9]")
_NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_LIVE_FIELDS = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def named(found: Json, kind: str, namespace: str) -> Json:
    """Settle name and namespace of an object that is to be created.

    :raises ApiError: 400 for another namespace than the path's, 422 for a name that is none.
    """
    if not isinstance(found, dict):
        raise bad_request("the object provided is unrecognized (must be of type " + kind + ")")
    if kind and found.get("kind", kind) != kind:
        raise bad_request(
            f'{found["kind"]} in version "v1" cannot be handled as a {kind}: '
            f'no kind "{found["kind"]}" matches'
        )
    meta = dict(found.get("metadata") or {})
    if meta.get("namespace", namespace) not in (namespace, "", None):
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if namespace:
        meta["namespace"] = namespace
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = meta["generateName"][:58] + "".join(secrets.choice(_LETTERS) for _ in range(5))
    name = meta.get("name") or ""
    causes: list[Cause] = []
    if not name:
        causes.append(
            Cause("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
        )
    elif not _NAME.fullmatch(name) or len(name) > 253:
        causes.append(Cause("metadata.name", "FieldValueInvalid", f'Invalid value: "{name}": {_NAME_RULE}'))
    causes += _metadata(meta)
    if causes:
        raise invalid(kind, name, causes)
    for unwanted in ("uid", "creationTimestamp", "resourceVersion", "deletionTimestamp", "managedFields"):
        meta.pop(unwanted, None)
    return {**found, "metadata": {key: value for key, value in meta.items() if value is not None}}


def _metadata(meta: Mapping[str, Any]) -> list[Cause]:
    causes: list[Cause] = []
    for key, value in (meta.get("labels") or {}).items():
        if not _QUALIFIED.fullmatch(key):
            causes.append(
                Cause(
                    "metadata.labels", "FieldValueInvalid", f'Invalid value: "{key}": name part must be valid'
                )
            )
        if len(value) > 63:
            text = f'Invalid value: "{value}": must be no more than 63 bytes'
            causes.append(Cause("metadata.labels", "FieldValueInvalid", text))
        elif not _VALUE.fullmatch(value):
            causes.append(
                Cause("metadata.labels", "FieldValueInvalid", f'Invalid value: "{value}": {_VALUE_RULE}')
            )
    annotations = meta.get("annotations") or {}
    if sum(len(key) + len(value.encode()) for key, value in annotations.items()) > 256 * 1024:
        causes.append(
            Cause("metadata.annotations", "FieldValueTooLong", "Too long: may not be more than 262144 bytes")
        )
    for index, owner in enumerate(meta.get("ownerReferences") or []):
        for part in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(part):
                where = f"metadata.ownerReferences[{index}].{part}"
                causes.append(
                    Cause(where, "FieldValueInvalid", f'Invalid value: "": {part} must not be empty')
                )
    return causes


def pod(found: Json, namespace: str) -> Json:
    """The pod as it is kept: defaults filled in, status Pending.

    :raises ApiError: 400 and 422 for what is no pod.
    """
    found = named(found, "Pod", namespace)
    spec = json.loads(json.dumps(found.get("spec") or {}))
    causes = _pod_causes(spec)
    if causes:
        raise invalid("Pod", found["metadata"]["name"], causes)
    _fill(spec)
    found["spec"] = {key: value for key, value in spec.items() if value is not None}
    found["status"] = {"phase": "Pending", "qosClass": _quality(spec)}
    found["apiVersion"], found["kind"] = "v1", "Pod"
    return found


def pod_update(before: Json, after: Json) -> None:
    """:raises ApiError: 422 when a field changed that a pod keeps for life."""
    first, second = ({**p["spec"]} for p in (before, after))
    for kept in _LIVE_FIELDS:
        first.pop(kept, None)
        second.pop(kept, None)
    for spec in (first, second):
        spec["containers"] = [{**c, "image": ""} for c in spec.get("containers") or []]
    if first != second:
        text = (
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions "
            "to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it "
            "was previously negative)"
        )
        raise invalid("Pod", after["metadata"]["name"], [Cause("spec", "FieldValueForbidden", text)])
    causes = _metadata(after["metadata"])
    if causes:
        raise invalid("Pod", after["metadata"]["name"], causes)


def _pod_causes(spec: Json) -> list[Cause]:
    causes: list[Cause] = []
    if not spec.get("containers"):
        causes.append(Cause("spec.containers", "FieldValueRequired", "Required value"))
    volumes = [volume.get("name") for volume in spec.get("volumes") or []]
    causes += [
        Cause(f"spec.volumes[{i}].name", "FieldValueDuplicate", f'Duplicate value: "{name}"')
        for i, name in enumerate(volumes)
        if name in volumes[:i]
    ]
    names: list[str] = []
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or []):
            causes += _container_causes(f"spec.{group}[{index}]", container, volumes, names)
            names.append(container.get("name", ""))
    if spec.get("restartPolicy", "Always") not in ("Always", "OnFailure", "Never"):
        text = (
            f'Unsupported value: "{spec["restartPolicy"]}": supported values: "Always", "Never", "OnFailure"'
        )
        causes.append(Cause("spec.restartPolicy", "FieldValueNotSupported", text))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2147483647:
        text = f"Invalid value: {deadline}: must be between 1 and 2147483647, inclusive"
        causes.append(Cause("spec.activeDeadlineSeconds", "FieldValueInvalid", text))
    return causes


def _container_causes(where: str, container: Json, volumes: list[str], names: list[str]) -> list[Cause]:
    causes: list[Cause] = []
    name = container.get("name") or ""
    if not name:
        causes.append(Cause(f"{where}.name", "FieldValueRequired", "Required value"))
    elif not _LABEL.fullmatch(name) or len(name) > 63:
        causes.append(Cause(f"{where}.name", "FieldValueInvalid", f'Invalid value: "{name}": {_LABEL_RULE}'))
    elif name in names:
        causes.append(Cause(f"{where}.name", "FieldValueDuplicate", f'Duplicate value: "{name}"'))
    if not container.get("image"):
        causes.append(Cause(f"{where}.image", "FieldValueRequired", "Required value"))
    for index, variable in enumerate(container.get("env") or []):
        causes += _variable_causes(f"{where}.env[{index}]", variable)
    mounted: list[str] = []
    for index, mount in enumerate(container.get("volumeMounts") or []):
        if mount.get("name") not in volumes:
            text = f'Not found: "{mount.get("name")}"'
            causes.append(Cause(f"{where}.volumeMounts[{index}].name", "FieldValueNotFound", text))
        if mount.get("mountPath") in mounted:
            text = f'Invalid value: "{mount["mountPath"]}": must be unique'
            causes.append(Cause(f"{where}.volumeMounts[{index}].mountPath", "FieldValueInvalid", text))
        mounted.append(mount.get("mountPath", ""))
    return causes + _resource_causes(where, container.get("resources") or {})


def _variable_causes(where: str, variable: Json) -> list[Cause]:
    if not variable.get("name"):
        return [Cause(f"{where}.name", "FieldValueRequired", "Required value")]
    source = variable.get("valueFrom")
    if source is None:
        return []
    if variable.get("value"):
        text = 'Invalid value: "": may not be specified when `value` is not empty'
        return [Cause(f"{where}.valueFrom", "FieldValueInvalid", text)]
    given = [key for key, value in source.items() if value is not None]
    if len(given) != 1:
        text = (
            'Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or '
            "`secretKeyRef`"
        )
        return [Cause(f"{where}.valueFrom", "FieldValueInvalid", text)]
    kind = given[0]
    needed = {"secretKeyRef": ("name", "key"), "configMapKeyRef": ("name", "key"), "fieldRef": ("fieldPath",)}
    return [
        Cause(f"{where}.valueFrom.{kind}.{part}", "FieldValueRequired", "Required value")
        for part in needed.get(kind, ())
        if not source[kind].get(part)
    ]


def _resource_causes(where: str, resources: Json) -> list[Cause]:
    limits, asked = resources.get("limits") or {}, resources.get("requests") or {}
    causes: list[Cause] = []
    for name in {**limits, **asked}:
        limit: Any = limits.get(name)
        request: Any = asked.get(name)
        extended = "/" in name
        if extended and limit is None:
            text = "Required value: Limit must be set for non overcommitable resources"
            causes.append(Cause(f"{where}.resources.limits", "FieldValueRequired", text))
        elif extended and request is not None and number(request) != number(limit):
            text = f'Invalid value: "{request}": must be equal to {name} limit of {limit}'
            causes.append(Cause(f"{where}.resources.requests", "FieldValueInvalid", text))
        elif limit is not None and request is not None and number(request) > number(limit):
            text = f'Invalid value: "{request}": must be less than or equal to {name} limit of {limit}'
            causes.append(Cause(f"{where}.resources.requests", "FieldValueInvalid", text))
        else:
            number(limit or request or "0")
    return causes


def _fill(spec: Json) -> None:
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    defaults = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "securityContext": {},
    }
    for key, value in defaults.items():
        if spec.get(key) is None:
            spec[key] = value
    tolerations = list(spec.get("tolerations") or [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(t.get("key") == key and t.get("effect", "NoExecute") == "NoExecute" for t in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            )
    spec["tolerations"] = tolerations
    for held in [*(spec.get("initContainers") or []), *spec["containers"]]:
        container(held)


def container(found: Json) -> Json:
    """Fill in a container's defaults, in place."""
    found.setdefault("terminationMessagePath", "/dev/termination-log")
    found.setdefault("terminationMessagePolicy", "File")
    tag = found["image"].rsplit("/", 1)[-1].partition(":")[2]
    if not found.get("imagePullPolicy"):
        found["imagePullPolicy"] = "Always" if tag in ("", "latest") else "IfNotPresent"
    limits = (found.get("resources") or {}).get("limits") or {}
    if limits:
        asked = found["resources"].get("requests") or {}
        found["resources"]["requests"] = {**limits, **asked}
    found.setdefault("resources", {})
    return found


def _quality(spec: Json) -> str:
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    pairs = [
        ((c.get("resources") or {}).get("requests") or {}, (c.get("resources") or {}).get("limits") or {})
        for c in containers
    ]
    told = [n for asked, limits in pairs for n in ("cpu", "memory") if n in asked or n in limits]
    if not told:
        return "BestEffort"
    whole = all(
        asked.get(n) == limits.get(n) and n in limits for asked, limits in pairs for n in ("cpu", "memory")
    )
    return "Guaranteed" if whole else "Burstable"


def secret(found: Json, namespace: str) -> Json:
    """The secret as it is kept: ``stringData`` encoded into ``data``.

    :raises ApiError: 400 for data that is no base64, 422 for more than one MiB.
    """
    found = named(found, "Secret", namespace)
    found["data"] = _data(found)
    found.pop("stringData", None)
    if not found["data"]:
        del found["data"]
    found.setdefault("type", "Opaque")
    found["apiVersion"], found["kind"] = "v1", "Secret"
    return found


def _data(found: Json) -> Json:
    data = dict(found.get("data") or {})
    size = 0
    for key, value in data.items():
        try:
            size += len(base64.b64decode(value or "", validate=True))
        except (binascii.Error, ValueError) as error:
            raise bad_request(
                'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0'
            ) from error
        if not re.fullmatch(r"[-._a-zA-Z0-9]+", key):
            rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
            text = f'Invalid value: "{key}": {rule}'
            raise invalid(
                "Secret", found["metadata"]["name"], [Cause(f"data[{key}]", "FieldValueInvalid", text)]
            )
    for key, value in (found.get("stringData") or {}).items():
        data[key] = base64.b64encode(value.encode()).decode()
        size += len(value.encode())
    if size > 1024 * 1024:
        text = "Too long: may not be more than 1048576 bytes"
        raise invalid("Secret", found["metadata"]["name"], [Cause("data", "FieldValueTooLong", text)])
    return data
