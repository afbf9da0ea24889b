"""Who may do what: the token that is valid now, and the verbs that are forbidden."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from kube.errors import ApiError, forbidden

USER = "system:serviceaccount:airflow:airflow-worker"


@dataclass(eq=False)
class Access:
    """:param path: of the kubeconfig; it is written whenever the token changes."""

    path: Path
    url: str
    namespace: str = "default"
    token: str = ""
    _forbidden: set[tuple[str, str, str]] = field(default_factory=set)

    def renew(self) -> None:
        """A new token; the old one is answered with 401 from now on."""
        self.token = secrets.token_urlsafe(24)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "double", "cluster": {"server": self.url}}],
            "users": [{"name": "worker", "user": {"token": self.token}}],
            "contexts": [
                {
                    "name": "double",
                    "context": {"cluster": "double", "user": "worker", "namespace": self.namespace},
                }
            ],
            "current-context": "double",
        }
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(config, indent=2))
        part.replace(self.path)

    def forbid(self, verb: str, resource: str, namespace: str) -> None:
        self._forbidden.add((verb, resource, namespace))

    def allow(self, verb: str, resource: str, namespace: str) -> None:
        self._forbidden.discard((verb, resource, namespace))

    def may(self, verb: str, resource: str, namespace: str) -> bool:
        return not any(
            verb in (held_verb, "*") or held_verb == "*"
            for held_verb, held_resource, held_namespace in self._forbidden
            if held_resource in (resource, "*") and held_namespace in (namespace, "")
        )

    def refusal(self, verb: str, resource: str, namespace: str, name: str) -> ApiError:
        """The 403 of RBAC."""
        plural = resource.split("/")[0]
        where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
        return forbidden(
            plural, name, f'User "{USER}" cannot {verb} resource "{resource}" in API group ""{where}'
        )
