"""A container's environment and volumes, from its spec and the secrets and config maps it names."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kube.errors import Json
from kube.objects import ObjectStore
from kube.quantities import number

_REFERENCE = re.compile(r"\$(\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")
_FIELD_KEY = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ConfigProblem(Exception):
    """What a container waits for with ``CreateContainerConfigError``."""


class MountProblem(Exception):
    """What a pod waits for before its containers are created."""


def expanded(text: str, known: Mapping[str, str]) -> str:
    """``$(NAME)`` replaced by what is known, ``$$(NAME)`` unescaped, unknown names left."""

    def value(matched: re.Match[str]) -> str:
        if matched[1] == "$":
            return "$"
        return known.get(matched[2], matched[0])

    return _REFERENCE.sub(value, text)


class Resolver:
    """Reads what a pod's containers refer to."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def variables(self, pod: Json, container: Json) -> dict[str, str]:
        """The environment that the spec gives.

        :raises ConfigProblem: when a secret, a config map or a key in it is missing.
        """
        found: dict[str, str] = {}
        for source in container.get("envFrom") or []:
            for kind, plural, prefix in (("configMapRef", "configmaps", ""), ("secretRef", "secrets", "")):
                if reference := source.get(kind):
                    prefix = source.get("prefix") or ""
                    held = self._held(pod, plural, reference)
                    found.update(
                        {prefix + key: value.decode(errors="replace") for key, value in held.items()}
                    )
        for variable in container.get("env") or []:
            value = self._value(pod, container, variable, found)
            if value is not None:
                found[variable["name"]] = value
        return found

    def _value(self, pod: Json, container: Json, variable: Json, known: Mapping[str, str]) -> str | None:
        source = {key: value for key, value in (variable.get("valueFrom") or {}).items() if value is not None}
        if not source:
            return expanded(variable.get("value") or "", known)
        (kind, reference), *_ = source.items()
        if kind == "fieldRef":
            return _field(pod, reference["fieldPath"])
        if kind == "resourceFieldRef":
            return _resource(container, reference)
        plural, title = ("secrets", "Secret") if kind == "secretKeyRef" else ("configmaps", "ConfigMap")
        held = self._held(pod, plural, reference)
        key = reference["key"]
        if key in held:
            return held[key].decode(errors="replace")
        if reference.get("optional"):
            return None
        namespace = pod["metadata"]["namespace"]
        raise ConfigProblem(f"couldn't find key {key} in {title} {namespace}/{reference['name']}")

    def _held(self, pod: Json, plural: str, reference: Json) -> dict[str, bytes]:
        found = self._store.find(plural, pod["metadata"]["namespace"], reference.get("name", ""))
        if found is None:
            if reference.get("optional"):
                return {}
            raise ConfigProblem(f'{plural[:-1]} "{reference.get("name")}" not found')
        return _bytes(found)

    def mount(self, pod: Json, container: Json, root: Path, workdir: Path) -> None:
        """Write the volumes that are mounted below ``root``; others are only checked.

        :raises MountProblem: when a secret or a key of it is missing.
        """
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
        for mount in container.get("volumeMounts") or []:
            volume = volumes[mount["name"]]
            path = Path(mount["mountPath"])
            inside = path.is_relative_to(root)
            if source := volume.get("secret"):
                files = self._files(pod, volume["name"], "secrets", source.get("secretName", ""), source)
            elif source := volume.get("configMap"):
                files = self._files(pod, volume["name"], "configmaps", source.get("name", ""), source)
            elif "emptyDir" in volume:
                if inside:
                    shared = workdir / "volumes" / volume["name"]
                    shared.mkdir(parents=True, exist_ok=True)
                    if not path.exists():
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.symlink_to(shared)
                continue
            else:
                continue
            if inside:
                _write(path, files, mount.get("subPath") or "", source.get("defaultMode", 0o644))

    def _files(self, pod: Json, volume: str, plural: str, name: str, source: Json) -> dict[str, bytes]:
        found = self._store.find(plural, pod["metadata"]["namespace"], name)
        kind = plural[:-1]
        if found is None:
            if source.get("optional"):
                return {}
            raise MountProblem(f'MountVolume.SetUp failed for volume "{volume}" : {kind} "{name}" not found')
        held = _bytes(found)
        items = source.get("items")
        if items is None:
            return held
        for item in items:
            if item["key"] not in held and not source.get("optional"):
                raise MountProblem(
                    f'MountVolume.SetUp failed for volume "{volume}" : '
                    f"references non-existent {kind} key: {item['key']}"
                )
        return {item["path"]: held[item["key"]] for item in items if item["key"] in held}


def _bytes(found: Json) -> dict[str, bytes]:
    data = found.get("data") or {}
    if found.get("kind") == "ConfigMap":
        return {key: value.encode() for key, value in data.items()}
    return {key: base64.b64decode(value) for key, value in data.items()}


def _write(path: Path, files: Mapping[str, bytes], sub: str, mode: int) -> None:
    targets = (
        {path: files[sub]} if sub and sub in files else {path / name: data for name, data in files.items()}
    )
    if not sub:
        path.mkdir(parents=True, exist_ok=True)
    for target, data in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_bytes(data)
        target.chmod(mode)


def _field(pod: Json, path: str) -> str:
    if matched := _FIELD_KEY.fullmatch(path):
        return str((pod["metadata"].get(matched[1]) or {}).get(matched[2], ""))
    if path == "status.hostIP":
        return "10.0.0.1"
    value: Any = pod
    for part in path.split("."):
        value = (value or {}).get(part)
    return "" if value is None else str(value)


def _resource(container: Json, reference: Json) -> str:
    group, _, name = reference["resource"].partition(".")
    held = (container.get("resources") or {}).get(group) or {}
    divisor = number(reference.get("divisor") or "1") or 1.0
    return str(-int(-number(held.get(name, "0")) // divisor))


def remove(workdir: Path) -> None:
    """Delete a pod's folder, as the kubelet does when the pod is gone."""
    if workdir.exists():
        shutil.rmtree(workdir, ignore_errors=True)
