"""From the objects of the kubernetes client to plain JSON and back, without losing a field unsaid."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

from stepbridge.failures import OperatorProblem


@dataclass(frozen=True)
class _Body:
    """Stands for an answer of the API server, from which the client makes objects."""

    data: str


class Models:
    """One client's converters."""

    @functools.cached_property
    def _client(self) -> Any:
        from kubernetes.client import ApiClient, Configuration

        return ApiClient(configuration=Configuration())

    def plain(self, value: Any, name: str) -> Any:
        """*value* as the API server would get it, without empty members.

        :raises OperatorProblem: SB502 where it is neither plain nor one of the client's objects.
        """
        if isinstance(value, list | tuple):
            value = [_client_object(one) for one in value]
        try:
            return _without_none(self._client.sanitize_for_serialization(_client_object(value)))
        except AttributeError as error:
            raise OperatorProblem(
                "SB502",
                f"{type(value).__name__} is nothing that a pod is made of",
                place=name,
                hint="give the object of the kubernetes client, or the mapping as YAML has it",
            ) from error

    def pod(self, described: dict[str, Any]) -> Any:
        """The ``V1Pod`` of plain JSON.

        :raises OperatorProblem: SB502 for a field that a pod does not have, or a value that does not fit.
        """
        try:
            pod = self._client.deserialize(_Body(json.dumps(described)), "V1Pod")
        except (ValueError, TypeError, AttributeError) as error:
            raise OperatorProblem(
                "SB502",
                f"the template and the arguments do not make a pod: {error}",
                place="the pod",
                hint="see `stepbridge pod render` and the Kubernetes reference of Pod",
            ) from error
        lost = _lost(described, self._client.sanitize_for_serialization(pod), ())
        if lost:
            raise OperatorProblem(
                "SB502",
                f"the kubernetes client knows no field {', '.join(lost)}",
                place="the pod's template or the operator's arguments",
                hint="write the names as in YAML: matchExpressions, not match_expressions",
            )
        return pod


def _client_object(value: Any) -> Any:
    convert = getattr(value, "to_k8s_client_obj", None)
    return convert() if callable(convert) else value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_none(one) for one in value if one is not None]
    return value


def _lost(given: Any, kept: Any, path: tuple[str, ...]) -> list[str]:
    """The fields of *given* that *kept* has not."""
    if isinstance(given, dict):
        if not isinstance(kept, dict):
            return [".".join(path)]
        return [
            name
            for key, value in given.items()
            for name in (
                _lost(value, kept[key], (*path, str(key))) if key in kept else [".".join((*path, str(key)))]
            )
        ]
    if isinstance(given, list):
        if not isinstance(kept, list) or len(given) != len(kept):
            return [".".join(path)]
        return [
            name
            for n, (one, other) in enumerate(zip(given, kept, strict=True))
            for name in _lost(one, other, (*path, str(n)))
        ]
    return []
