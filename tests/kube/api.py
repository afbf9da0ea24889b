"""The API server: routes, verbs and bodies over the object store and the kubelet."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kube import admission, errors, faults, patches, podlogs
from kube.access import Access
from kube.errors import ApiError, Json
from kube.kubelet import Kubelet
from kube.objects import CLUSTER_WIDE, KINDS, ObjectStore
from kube.watching import Selection
from kube.wire import Answer, HttpRequest

_PATH = re.compile(
    r"/api/v1(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[a-z]+))?)?/?"
)
_NAMESPACE_PATH = re.compile(r"/api/v1/namespaces(?:/(?P<name>[^/]+)(?P<status>/status)?)?/?")
_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0",
    "platform": "linux/amd64",
    "goVersion": "go1.26",
}
_LARGEST = 3 * 1024 * 1024


@dataclass(frozen=True)
class Target:
    """What a path names; :param namespace: None for all."""

    plural: str
    namespace: str | None
    name: str = ""
    sub: str = ""

    @property
    def resource(self) -> str:
        return f"{self.plural}/{self.sub}" if self.sub else self.plural


class Api:
    """Answers requests; lives in the server's loop."""

    def __init__(self, store: ObjectStore, kubelet: Kubelet, access: Access, armed: faults.Faults) -> None:
        self._store, self._kubelet, self._access, self._faults = store, kubelet, access, armed

    async def answer(self, request: HttpRequest) -> Answer:
        """The answer to any request, with what the faults make of it."""
        struck = self._faults.for_request(request.method, request.target)
        cut: faults.ApiFault | None = None
        for fault in struck:
            if isinstance(fault, faults.Slow):
                await asyncio.sleep(fault.seconds)
            elif isinstance(fault, faults.Api):
                return _failed(fault)
            else:
                cut = fault
        try:
            answer = await self._authorized(request, cut)
        except ApiError as error:
            answer = _json(error.body(), error.code, error.headers)
        if isinstance(cut, faults.LostCreateAnswer):
            return Answer(answer.status, cut=0)
        if isinstance(cut, faults.ApiCut):
            return Answer(answer.status, answer.body, answer.content_type, cut=len(answer.body) // 2)
        return answer

    async def _authorized(self, request: HttpRequest, cut: faults.ApiFault | None) -> Answer:
        if request.path in ("/healthz", "/readyz", "/livez"):
            return Answer(200, b"ok", "text/plain; charset=utf-8")
        if request.headers.get("authorization") != f"Bearer {self._access.token}":
            raise errors.unauthorized()
        if len(request.body) > _LARGEST:
            text = f"Request entity too large: limit is {_LARGEST}"
            raise ApiError(413, "RequestEntityTooLarge", text)
        if found := _DISCOVERY.get(request.path.rstrip("/")):
            return _json(found)
        if request.path == _REVIEW and request.method == "POST":
            return self._review(_body(request))
        return await self._resource(request, _target(request.path), cut)

    async def _resource(self, request: HttpRequest, target: Target, cut: faults.ApiFault | None) -> Answer:
        verb = _verb(request, target)
        namespace = target.namespace or ""
        if not self._access.may(verb, target.resource, namespace):
            raise self._access.refusal(verb, target.resource, namespace, target.name)
        if target.sub == "log" and verb == "get":
            return await self._log(request, target, cut)
        if target.sub not in ("", "status"):
            raise errors.no_such_path()
        if verb in ("list", "watch"):
            return self._list(request, target, verb, cut)
        act: Callable[[HttpRequest, Target], Answer] = {
            "get": self._get,
            "create": self._create,
            "update": self._replace,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_all,
        }[verb]
        return act(request, target)

    # -- verbs

    def _list(self, request: HttpRequest, target: Target, verb: str, cut: faults.ApiFault | None) -> Answer:
        query = dict(request.query)
        if target.name:
            query["fieldSelector"] = f"metadata.name={target.name}"
        selection = Selection(self._store, target.plural, target.namespace, query)
        if verb == "list":
            return _json(selection.listed())
        events = cut.after_events if isinstance(cut, faults.WatchCut) else None
        if events is None:
            return Answer(200, stream=selection.watched(None))
        return Answer(200, stream=_broken(selection.watched(events)))

    def _get(self, request: HttpRequest, target: Target) -> Answer:
        return _json(self._store.get(target.plural, target.namespace or "", target.name))

    def _create(self, request: HttpRequest, target: Target) -> Answer:
        namespace = target.namespace or ""
        if target.plural not in CLUSTER_WIDE and self._store.find("namespaces", "", namespace) is None:
            raise errors.not_found("namespaces", namespace)
        body = _body(request)
        dry = request.query.get("dryRun") == "All"
        if target.plural == "pods":
            return _json(self._create_pod(body, namespace, dry), 201)
        if target.plural == "secrets":
            found = admission.secret(body, namespace)
        else:
            found = admission.named(
                body, KINDS[target.plural], "" if target.plural in CLUSTER_WIDE else namespace
            )
        return _json(found if dry else self._store.create(target.plural, found), 201)

    def _create_pod(self, body: Json, namespace: str, dry: bool) -> Json:
        pod = admission.pod(body, namespace)
        name = pod["metadata"]["name"]
        if self._store.find("pods", namespace, name) is not None:
            raise errors.already_exists("pods", name)
        if dry:
            return pod
        struck = self._faults.for_pod(pod)
        for fault in struck:
            if isinstance(fault, faults.QuotaExceeded | faults.AdmissionForbidden):
                raise errors.forbidden("pods", name, fault.message)
            if isinstance(fault, faults.InitFailure) and not pod["spec"].get("initContainers"):
                injected = {"name": "istio-init", "image": pod["spec"]["containers"][0]["image"]}
                pod["spec"]["initContainers"] = [admission.container(injected)]
            if isinstance(fault, faults.ForeignSidecar):
                sidecar = {"name": fault.name, "image": "istio/proxyv2:1.29", "command": list(fault.command)}
                pod["spec"]["containers"].append(admission.container(sidecar))
        return self._kubelet.create(pod, struck)

    def _replace(self, request: HttpRequest, target: Target) -> Answer:
        body = _body(request)
        if (body.get("metadata") or {}).get("name") != target.name:
            raise errors.bad_request(
                "the name of the object does not match the name on the URL"
                f" ({(body.get('metadata') or {}).get('name')} != {target.name})"
            )
        return _json(self._changed(target, body))

    def _patch(self, request: HttpRequest, target: Target) -> Answer:
        held = self._store.get(target.plural, target.namespace or "", target.name)
        patch = _body(request, any_type=True)
        found = patches.patched(held, patch, request.headers.get("content-type", ""))
        asked = isinstance(patch, dict) and (patch.get("metadata") or {}).get("resourceVersion")
        if not asked:
            found["metadata"]["resourceVersion"] = held["metadata"]["resourceVersion"]
        return _json(self._changed(target, found))

    def _changed(self, target: Target, found: Json) -> Json:
        held = self._store.get(target.plural, target.namespace or "", target.name)
        uid = found["metadata"].get("uid") or held["metadata"]["uid"]
        if uid != held["metadata"]["uid"]:
            kept = held["metadata"]["uid"]
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {kept}"
            raise errors.conflict(target.plural, target.name, why)
        asked = found["metadata"].get("resourceVersion")
        if asked and asked != held["metadata"]["resourceVersion"]:
            raise errors.conflict(target.plural, target.name)
        meta = {**held["metadata"], **{k: found["metadata"].get(k) for k in _EDITABLE}}
        meta["resourceVersion"] = found["metadata"].get("resourceVersion")
        found = {**found, "metadata": {k: v for k, v in meta.items() if v is not None}}
        if target.plural == "pods":
            if target.sub == "status":
                found = {**held, "status": found.get("status", {}), "metadata": found["metadata"]}
            else:
                found["status"] = held["status"]
                admission.pod_update(held, found)
        elif target.plural == "secrets":
            found["data"] = admission.secret(found, target.namespace or "").get("data", {})
            found.pop("stringData", None)
        return self._store.update(target.plural, found)

    def _delete(self, request: HttpRequest, target: Target) -> Answer:
        options = _body(request) if request.body else {}
        if target.plural == "pods":
            pod = self._kubelet.delete(
                target.namespace or "",
                target.name,
                _grace(request, options),
                uid=(options.get("preconditions") or {}).get("uid") or "",
                version=(options.get("preconditions") or {}).get("resourceVersion") or "",
            )
            return _json(pod)
        found = self._store.remove(target.plural, target.namespace or "", target.name)
        details = {"name": target.name, "kind": target.plural, "uid": found["metadata"]["uid"]}
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        }
        return _json(status)

    def _delete_all(self, request: HttpRequest, target: Target) -> Answer:
        options = _body(request) if request.body else {}
        selection = Selection(self._store, target.plural, target.namespace, request.query)
        listed = selection.listed()
        for found in selection.objects():
            meta = found["metadata"]
            if target.plural == "pods":
                self._kubelet.delete(meta["namespace"], meta["name"], _grace(request, options))
            else:
                self._store.remove(target.plural, meta.get("namespace", ""), meta["name"])
        return _json(listed)

    async def _log(self, request: HttpRequest, target: Target, cut: faults.ApiFault | None) -> Answer:
        pod = self._store.get("pods", target.namespace or "", target.name)
        stream = await podlogs.stream(pod, self._kubelet.run_of(pod), request.query)
        after = cut.after_bytes if isinstance(cut, faults.LogCut) else None
        if request.query.get("follow", "").lower() in ("true", "1") or after is not None:
            return Answer(200, content_type="text/plain", stream=stream, cut=after)
        return Answer(200, b"".join([piece async for piece in stream]), "text/plain")

    def _review(self, body: Json) -> Answer:
        asked = (body.get("spec") or {}).get("resourceAttributes") or {}
        resource = asked.get("resource") or "*"
        if asked.get("subresource"):
            resource = f"{resource}/{asked['subresource']}"
        allowed = self._access.may(asked.get("verb") or "*", resource, asked.get("namespace") or "")
        status = (
            {"allowed": True, "reason": 'RBAC: allowed by RoleBinding "airflow/worker"'}
            if allowed
            else {"allowed": False}
        )
        found = {
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {},
            "spec": body.get("spec") or {},
            "status": status,
        }
        return _json(found, 201)


_EDITABLE = ("labels", "annotations", "ownerReferences", "finalizers")


def _broken(stream: Any) -> Any:
    async def pieces() -> Any:
        async for piece in stream:
            yield piece
        raise ConnectionResetError("the watch is cut")

    return pieces()


def _failed(fault: faults.Api) -> Answer:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.body is not None:
        return Answer(fault.status, fault.body.encode(), "text/plain; charset=utf-8", headers)
    return _json(errors.of_status(fault.status).body(), fault.status, headers)


def _json(found: Json, status: int = 200, headers: Any = None) -> Answer:
    return Answer(status, json.dumps(found, separators=(",", ":")).encode(), headers=headers or {})


def _body(request: HttpRequest, *, any_type: bool = False) -> Any:
    try:
        found = json.loads(request.body)
    except ValueError as error:
        raise errors.bad_request(f"couldn't get version/kind; json parse error: {error}") from error
    if not any_type and not isinstance(found, dict):
        raise errors.bad_request("json: cannot unmarshal array into Go value of type struct")
    return found


def _grace(request: HttpRequest, options: Json) -> int | None:
    if options.get("gracePeriodSeconds") is not None:
        return int(options["gracePeriodSeconds"])
    asked = request.query.get("gracePeriodSeconds")
    return int(asked) if asked else None


def _target(path: str) -> Target:
    if matched := _NAMESPACE_PATH.fullmatch(path):
        return Target("namespaces", None, matched["name"] or "")
    matched = _PATH.fullmatch(path)
    if matched is None or matched["plural"] not in KINDS:
        raise errors.no_such_path()
    return Target(matched["plural"], matched["namespace"], matched["name"] or "", matched["sub"] or "")


def _verb(request: HttpRequest, target: Target) -> str:
    watching = request.query.get("watch", "").lower() in ("true", "1")
    if request.method in ("GET", "HEAD"):
        if watching:
            return "watch"
        return "get" if target.name else "list"
    verbs = {
        "POST": "create",
        "PUT": "update",
        "PATCH": "patch",
        "DELETE": "delete" if target.name else "deletecollection",
    }
    verb = verbs.get(request.method)
    if (
        verb is None
        or (verb in ("update", "patch") and not target.name)
        or (verb == "create" and target.name and not target.sub)
    ):
        raise ApiError(
            405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
        )
    return verb


_DISCOVERY: dict[str, Json] = {
    "/version": _VERSION,
    "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {
                "name": plural,
                "singularName": kind.lower(),
                "namespaced": plural not in CLUSTER_WIDE,
                "kind": kind,
                "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            }
            for plural, kind in KINDS.items()
        ]
        + [{"name": "pods/log", "singularName": "", "namespaced": True, "kind": "Pod", "verbs": ["get"]}],
    },
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [
            {
                "name": "authorization.k8s.io",
                "versions": [{"groupVersion": "authorization.k8s.io/v1", "version": "v1"}],
                "preferredVersion": {"groupVersion": "authorization.k8s.io/v1", "version": "v1"},
            }
        ],
    },
}
