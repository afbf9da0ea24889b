"""What a step's pod looks like: the operator's arguments, the template and the step, merged deeply."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepbridge.failures import OperatorProblem
from stepbridge.resources import Gpu, Resources
from stepbridge.secrets import Secret
from stepbridge_airflow import pod_merge
from stepbridge_airflow.accelerators import Accelerators, packaged
from stepbridge_airflow.placement import Placement, placed
from stepbridge_airflow.pod_merge import Json
from stepbridge_airflow.pod_models import Models

SHM_VOLUME = "stepbridge-shm"
SECRET_VOLUME = "stepbridge-secret"
_SHM = "/dev/shm"
_STEP, _ARGUMENTS, _FULL, _TEMPLATE = "the step", "the operator", "full_pod_spec", "the template"
_GPUS = "nvidia.com/"

_OF_POD = {
    "runtime_class_name": "runtimeClassName",
    "node_selector": "nodeSelector",
    "affinity": "affinity",
    "tolerations": "tolerations",
    "init_containers": "initContainers",
    "host_aliases": "hostAliases",
    "image_pull_secrets": "imagePullSecrets",
    "service_account_name": "serviceAccountName",
    "automount_service_account_token": "automountServiceAccountToken",
    "hostnetwork": "hostNetwork",
    "hostname": "hostname",
    "subdomain": "subdomain",
    "security_context": "securityContext",
    "dnspolicy": "dnsPolicy",
    "dns_config": "dnsConfig",
    "schedulername": "schedulerName",
    "priority_class_name": "priorityClassName",
    "volumes": "volumes",
    "active_deadline_seconds": "activeDeadlineSeconds",
    "termination_grace_period": "terminationGracePeriodSeconds",
}
_OF_CONTAINER = {
    "image": "image",
    "ports": "ports",
    "image_pull_policy": "imagePullPolicy",
    "container_resources": "resources",
    "volume_mounts": "volumeMounts",
    "env_vars": "env",
    "env_from": "envFrom",
    "container_security_context": "securityContext",
    "termination_message_policy": "terminationMessagePolicy",
}
_OF_METADATA = {"labels": "labels", "annotations": "annotations"}
_UNSAID: dict[str, Any] = {
    **dict.fromkeys((*_OF_POD, *_OF_CONTAINER), None),
    **{name: [] for name in ("tolerations", "init_containers", "image_pull_secrets", "volumes", "cmds")},
    **{name: [] for name in ("volume_mounts", "env_vars", "env_from", "ports", "arguments", "configmaps")},
    **{name: {} for name in ("node_selector", "affinity", "security_context", "labels", "annotations")},
    "pod_runtime_info_envs": [],
    "hostnetwork": False,
    "pod_template_file": None,
    "pod_template_dict": None,
    "do_xcom_push": False,
}
"""What KubernetesPodOperator's arguments of the pod are where they say nothing."""


@dataclass(frozen=True)
class PodParts:
    """What the step itself says of its pod; the operator's own arguments and the template say the rest.

    :param command: the container's command, :param arguments: and what follows it.
    :param environment: plain variables; nothing secret.
    :param environment_secret: name of a Kubernetes Secret whose members all become variables; empty: none.
    :param secrets: references of the step; those from Kubernetes become variables and files here.
    :param resources: as declared, or with the memory that a repetition gets.
    :param deadline: seconds after which Kubernetes itself ends the pod, counted from its start on a node.
    :param grace: seconds between SIGTERM and SIGKILL, where nobody else says it.
    :param image: where neither the operator nor a template names one; so are
    :param namespace: and :param service_account: too.
    :param accelerators: which labels say which GPU a node has.
    """

    command: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    environment_secret: str = ""
    secrets: tuple[Secret, ...] = ()
    resources: Resources = field(default_factory=Resources)
    placement: Placement = field(default_factory=Placement)
    deadline: int | None = None
    grace: int = 30
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    namespace: str = ""
    service_account: str = ""
    accelerators: Accelerators = field(default_factory=packaged)


def shaped(operator: Any, parts: PodParts) -> Any:
    """A copy of *operator* whose ``build_pod_request_obj`` of KubernetesPodOperator gives the step's pod.

    The copy's arguments say nothing of the pod any more; its ``full_pod_spec`` says all, merged by the rule
    of docs/pods.md. So KubernetesPodOperator's own merge has nothing to lose. *operator* stays as it is.

    :raises OperatorProblem: SB502 for a template that cannot be read, and for fields that are none of a pod.
    :raises TypeProblem: SB110 for a GPU that cannot be placed.
    """
    shape = _shape(operator, parts)
    shaped_one = copy.copy(operator)
    for name, nothing in _UNSAID.items():
        setattr(shaped_one, name, copy.copy(nothing))
    shaped_one.full_pod_spec = shape.pod
    return shaped_one


def notes(operator: Any, parts: PodParts) -> tuple[str, ...]:
    """What :func:`shaped` had to decide between the template, the arguments and the step, one line each."""
    return _shape(operator, parts).notes


@dataclass(frozen=True)
class _Shape:
    pod: Any
    notes: tuple[str, ...]


def _shape(operator: Any, parts: PodParts) -> _Shape:
    models = Models()
    base = operator.base_container_name
    layers = _layers(operator, parts, models, base)
    pod: Json = {"metadata": {}, "spec": {"containers": [{"name": base}]}}
    found: list[str] = []
    for n, (name, layer) in enumerate(layers):
        pod, _ = pod_merge.merged(pod, layer, lower=_TEMPLATE, upper=name)
        for lower, below in layers[:n]:
            found.extend(pod_merge.merged(below, layer, lower=lower, upper=name)[1])
    pod, _ = pod_merge.merged(_defaults(parts, base), pod, lower="", upper=_TEMPLATE)
    container = pod["spec"]["containers"][0]
    resources, decided = pod_merge.settle(
        container.get("resources") or {},
        tuple((name, _container(layer).get("resources") or {}) for name, layer in layers),
    )
    if resources:
        container["resources"] = resources
    found.extend(decided)
    found.extend(_deadline(pod["spec"], operator, parts, layers))
    found.extend(_place(pod, parts))
    container = pod["spec"]["containers"][0]
    found.extend(_shared_memory(pod["spec"], container, parts.resources))
    if pod["spec"].get("restartPolicy", "Never") != "Never":
        found.append("spec.restartPolicy: a step's pod is never restarted in place")
    return _Shape(models.pod(pod), tuple(dict.fromkeys(found)))


def _layers(operator: Any, parts: PodParts, models: Models, base: str) -> tuple[tuple[str, Json], ...]:
    """Everything that is said of the pod, weakest first, each with the step's container as the first."""
    template = _template(operator, models)
    full = getattr(operator, "full_pod_spec", None)
    whole = [(_TEMPLATE, template), (_FULL, models.plain(full, "full_pod_spec") if full else {})]
    above = [(_ARGUMENTS, _arguments(operator, models)), (_STEP, _step(parts))]
    aligned: list[tuple[str, Json]] = []
    known: set[str] = {base}
    for name, layer in whole:
        if layer:
            aligned.append((name, _aligned(layer, base, known)))
    if parts.placement.priority_class and not operator.priority_class_name:
        aligned.append((_STEP, {"spec": {"priorityClassName": parts.placement.priority_class}}))
    return (*aligned, *((name, _aligned(layer, base, known)) for name, layer in above))


def _defaults(parts: PodParts, base: str) -> Json:
    """What holds where nobody says anything."""
    container = {
        "name": base,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **({"image": parts.image} if parts.image else {}),
    }
    spec: Json = {
        "terminationGracePeriodSeconds": parts.grace,
        "containers": [container],
        **({"serviceAccountName": parts.service_account} if parts.service_account else {}),
    }
    metadata = {"namespace": parts.namespace} if parts.namespace else {}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _aligned(layer: Json, base: str, known: set[str]) -> Json:
    """*layer* with the step's container first and under its name.

    It is the one of that name, or of the name that the template's had, else the first one.

    :param known: the names of the step's container so far; grows.
    """
    spec = dict(layer.get("spec") or {})
    containers = list(spec.get("containers") or [])
    if containers:
        names = [one.get("name") for one in containers]
        at = next((n for n, name in enumerate(names) if name == base), None)
        if at is None:
            at = next((n for n, name in enumerate(names) if name in known), 0)
        known.update(name for name in names[at : at + 1] if name)
        step = {**containers.pop(at), "name": base}
        spec["containers"] = [step, *containers]
    return {**layer, "spec": spec}


def _container(layer: Json) -> Json:
    containers = (layer.get("spec") or {}).get("containers") or [{}]
    return dict(containers[0])


def _template(operator: Any, models: Models) -> Json:
    path = getattr(operator, "pod_template_file", None)
    if not path:
        template: Json = models.plain(getattr(operator, "pod_template_dict", None) or {}, "pod_template_dict")
        return template
    import yaml  # type: ignore[import-untyped]

    place = f"pod_template_file={str(path)!r}"
    try:
        read = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OperatorProblem(
            "SB502",
            f"the pod template {path} cannot be read: {error}",
            place=place,
            hint="name a YAML file of a Pod that the worker can read",
        ) from error
    if not isinstance(read, dict):
        raise OperatorProblem(
            "SB502", f"the pod template {path} is not a Pod", place=place, hint="write a YAML mapping"
        )
    return _json(models.plain(read, place))


def _json(value: Any) -> Json:
    return dict(value)


def _arguments(operator: Any, models: Models) -> Json:
    def said(table: Mapping[str, str]) -> Json:
        found = {}
        for name, key in table.items():
            value = _normal(name, getattr(operator, name, None))
            if value is None or value == [] or value == {} or (name == "hostnetwork" and not value):
                continue
            found[key] = models.plain(value, name)
        return found

    spec, container, metadata = said(_OF_POD), said(_OF_CONTAINER), said(_OF_METADATA)
    if container.get("terminationMessagePolicy") == "File":
        del container["terminationMessagePolicy"]
    more = models.plain(getattr(operator, "pod_runtime_info_envs", None) or [], "pod_runtime_info_envs")
    if more:
        container["env"] = _united("env", container.get("env", []), more)
    maps = [{"configMapRef": {"name": name}} for name in getattr(operator, "configmaps", None) or ()]
    if maps:
        container["envFrom"] = _united("envFrom", container.get("envFrom", []), maps)
    spec.pop("activeDeadlineSeconds", None)
    return {"metadata": metadata, "spec": {**spec, "containers": [container]}}


def _normal(name: str, value: Any) -> Any:
    """What users may write for an argument, in the one form that Kubernetes knows."""
    if name == "env_vars" and isinstance(value, Mapping):
        return [{"name": str(key), "value": _text(one)} for key, one in value.items()]
    if name in ("labels", "annotations") and isinstance(value, Mapping):
        return {str(key): _text(one) for key, one in value.items()}
    if name == "image_pull_secrets":
        names = value.split(",") if isinstance(value, str) else value or []
        return [{"name": one.strip()} if isinstance(one, str) else one for one in names]
    return value


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _united(name: str, below: list[Any], above: list[Any]) -> list[Any]:
    both, _ = pod_merge.merged({name: below}, {name: above}, lower=name, upper=name)
    return list(both[name])


def _step(parts: PodParts) -> Json:
    amounts = parts.resources.amounts()
    container: Json = {"command": list(parts.command), "args": list(parts.arguments)}
    resources = {"requests": dict(amounts.requests), "limits": dict(amounts.limits)}
    container["resources"] = {side: given for side, given in resources.items() if given}
    secrets = [one for one in parts.secrets if one.source == "kubernetes"]
    container["env"] = [{"name": name, "value": value} for name, value in parts.environment.items()]
    container["env"] += [
        {"name": one.env, "valueFrom": {"secretKeyRef": {"name": one.name, "key": one.key}}}
        for one in secrets
        if one.env
    ]
    if parts.environment_secret:
        container["envFrom"] = [{"secretRef": {"name": parts.environment_secret}}]
    volumes, container["volumeMounts"] = _secret_files([one for one in secrets if one.file])
    spec: Json = {"nodeSelector": dict(parts.placement.node_labels), "volumes": volumes}
    return {
        "metadata": {"labels": dict(parts.labels), "annotations": dict(parts.annotations)},
        "spec": {
            **{key: value for key, value in spec.items() if value},
            "containers": [{key: value for key, value in container.items() if value}],
        },
    }


def _secret_files(secrets: Iterable[Secret]) -> tuple[list[Json], list[Json]]:
    """A volume for each Kubernetes Secret with the keys in use, and a mount for each file."""
    volumes: dict[str, Json] = {}
    mounts = []
    for one in secrets:
        volume = volumes.setdefault(
            one.name,
            {"name": f"{SECRET_VOLUME}-{len(volumes)}", "secret": {"secretName": one.name, "items": []}},
        )
        item = {"key": one.key, "path": one.key}
        if item not in volume["secret"]["items"]:
            volume["secret"]["items"].append(item)
        mounts.append({"name": volume["name"], "mountPath": one.file, "subPath": one.key, "readOnly": True})
    return list(volumes.values()), mounts


def _deadline(
    spec: Json, operator: Any, parts: PodParts, layers: tuple[tuple[str, Json], ...]
) -> Iterable[str]:
    """Set the earliest deadline that anybody asks for."""
    template = [(name, (layer.get("spec") or {}).get("activeDeadlineSeconds")) for name, layer in layers]
    asked = [
        (seconds, name)
        for name, seconds in (
            (_STEP, parts.deadline),
            (_ARGUMENTS, operator.active_deadline_seconds),
            *template,
        )
        if seconds is not None
    ]
    if not asked:
        return
    seconds, name = min(asked, key=lambda one: one[0])
    spec["activeDeadlineSeconds"] = seconds
    for other, who in asked:
        if other != seconds:
            yield f"spec.activeDeadlineSeconds: {name} says {seconds}, {who} said {other}; the least counts"


def _place(pod: Json, parts: PodParts) -> Iterable[str]:
    """Add node terms, tolerations and annotations; what others said of them stays."""
    gpu = parts.resources.amounts().gpu
    limits = (pod["spec"]["containers"][0].get("resources") or {}).get("limits") or {}
    if not gpu.count and any(name.startswith(_GPUS) for name in limits):
        gpu = Gpu(1)
    found = placed(parts.placement, gpu, parts.accelerators)
    annotations = pod["metadata"].setdefault("annotations", {})
    for key, value in found.annotations.items():
        if annotations.setdefault(key, value) != value:
            yield f"metadata.annotations.{key}: {annotations[key]} stays, the placement asks for {value}"
    more: Json = {}
    if found.tolerations:
        more["tolerations"] = [
            {key: value for key, value in vars(one).items() if value} for one in found.tolerations
        ]
    if found.terms:
        terms = [
            {
                "matchExpressions": [
                    {"key": one.label, "operator": one.operator, "values": list(one.values)} for one in term
                ]
            }
            for term in found.terms
        ]
        more["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        }
    pod["spec"], _ = pod_merge.merged(pod["spec"], more, lower=_TEMPLATE, upper=_STEP)


def _shared_memory(spec: Json, container: Json, resources: Resources) -> Iterable[str]:
    """Give ``/dev/shm`` its size: the one asked for, or for GPUs half of the memory limit."""
    limits = (container.get("resources") or {}).get("limits") or {}
    size = None if resources.shm is None else str(resources.shm)
    if size is None and not any(name.startswith(_GPUS) for name in limits):
        return
    if any(str(mount.get("mountPath")).rstrip("/") == _SHM for mount in container.get("volumeMounts") or ()):
        if size is not None:
            yield f"Resources.shm={size}: {_SHM} is mounted already, and that mount stays"
        return
    memory = pod_merge.amount(limits.get("memory"))
    if size is None and memory is not None:
        size = f"{int(memory) // 2 // 2**20}Mi"
    empty = {"medium": "Memory", **({"sizeLimit": size} if size else {})}
    spec.setdefault("volumes", []).append({"name": SHM_VOLUME, "emptyDir": empty})
    container.setdefault("volumeMounts", []).append({"name": SHM_VOLUME, "mountPath": _SHM})
