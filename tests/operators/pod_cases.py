# ruff: noqa: E501 - the cluster's words are as long as they are
"""The ways a pod ends, as the cluster tells them, and the code each has: the table of the tests."""

from __future__ import annotations

import json
from typing import Any

from pods_seen import IMAGE, NAME, condition, ended, event, pod, running, waits

from stepbridge.contract import Attempt, ErrorDocument
from stepbridge.failures import Kind

ATTEMPT = Attempt("biopsy", "manual__2026", "train", -1, 1)
BACK_OFF = f'Back-off pulling image "{IMAGE}"'


def pull(words: str, reason: str = "ErrImagePull") -> dict[str, Any]:
    return pod(waits(reason, f'failed to pull and unpack image "{IMAGE}": {words}'), phase="Pending")


def unschedulable(words: str, *, reason: str = "Unschedulable") -> dict[str, Any]:
    return pod(node=None, phase="Pending", conditions=[condition("PodScheduled", "False", reason, words)])


def refused(reason: str, words: str) -> dict[str, Any]:
    return pod(phase="Failed", reason=reason, message=f"Pod was rejected: {words}")


def disrupted(cause: str, text: str, /, *containers: dict[str, Any], **status: Any) -> dict[str, Any]:
    target = condition("DisruptionTarget", "True", cause, text)
    return pod(*(containers or (running(),)), conditions=[target], **status)


def pending(reason: str, words: str = "") -> dict[str, Any]:
    return pod(waits(reason, words), phase="Pending")


def failed(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return pod(ended(code, reason, message), phase="Failed")


def after_init(*inits: dict[str, Any], phase: str = "Pending") -> dict[str, Any]:
    return pod(waits("PodInitializing"), initContainerStatuses=list(inits), phase=phase)


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    """What a refused request brings: the text of ApiException, with the API server's body."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    headers = "HTTPHeaderDict({'Content-Type': 'application/json'})"
    text = f"({code})\nReason: {reason}\nHTTP response headers: {headers}\nHTTP response body: {json.dumps(body)}\n"
    return {"pod": None, "api": text, "api_status": code}


def told(kind: Kind, code: str, message: str = "its words", **more: Any) -> ErrorDocument:
    return ErrorDocument(ATTEMPT, kind, "RunProblem", message, code, retryable=True, **more)


CPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available."
START = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
START += "unable to start container process: "
CASES: list[tuple[str, dict[str, Any], str, list[str]]] = [
    # before a node
    ("unschedulable", {"pod": unschedulable(CPU), "over": "schedule"}, "SB420", [CPU, "Unschedulable"]),
    ("unschedulable, only an event", {"pod": pod(node=None, phase="Pending"), "over": "schedule",
     "events": [event("FailedScheduling", "no nodes available to schedule pods", count=9)]},
     "SB420", ["no nodes available", "9 times"]),
    ("scaling up", {"pod": unschedulable(CPU), "over": "schedule",
     "events": [event("TriggeredScaleUp", "pod triggered scale-up: [{gpu-asg 0->1}]", type="Normal")]},
     "SB420", [CPU, "gpu-asg 0->1"]),
    ("scheduling gate", {"pod": unschedulable("Scheduling is blocked due to non-empty scheduling gates",
     reason="SchedulingGated"), "over": "schedule"}, "SB420", ["SchedulingGated"]),
    ("volume claim missing", {"pod": unschedulable('persistentvolumeclaim "data" not found'), "over": "schedule"},
     "SB420", ['"data" not found']),
    # at creation
    ("quota", status(403, "Forbidden", f'pods "{NAME}" is forbidden: exceeded quota: gpus, requested: '
     "requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=4, limited: requests.nvidia.com/gpu=4"),
     "SB422", ["exceeded quota: gpus", "HTTP 403"]),
    ("quota wants limits", status(403, "Forbidden", f'pods "{NAME}" is forbidden: failed quota: mem: must specify '
     "limits.memory for: base"), "SB421", ["must specify limits.memory"]),
    ("rights", status(403, "Forbidden", 'pods is forbidden: User "system:serviceaccount:airflow:worker" cannot '
     'create resource "pods" in API group "" in the namespace "ml"'), "SB435",
     ["cannot create resource", "kubectl auth can-i create pods -n ml --as system:serviceaccount:airflow:worker"]),
    ("rights of a sub-resource", status(403, "Forbidden", f'pods "{NAME}" is forbidden: User "w" cannot get resource '
     '"pods/log" in API group "" in the namespace "ml"'), "SB435", ["can-i get pods/log -n ml --as w"]),
    ("rights, a proxy's page", {"pod": None, "api": "Forbidden", "api_status": 403}, "SB435", ["Forbidden"]),
    ("pod security", status(403, "Forbidden", f'pods "{NAME}" is forbidden: violates PodSecurity "restricted:latest":'
     " allowPrivilegeEscalation != false"), "SB421", ["violates PodSecurity"]),
    ("service account missing", status(403, "Forbidden", f'pods "{NAME}" is forbidden: error looking up service '
     'account ml/trainer: serviceaccount "trainer" not found'), "SB421", ['"trainer" not found']),
    ("invalid", status(422, "Invalid", 'Pod "x" is invalid: spec.containers[0].resources.requests: Invalid value: '
     '"4": must be less than or equal to cpu limit of 2'), "SB421", ["must be less than", "HTTP 422"]),
    ("webhook denies, 400", status(400, "BadRequest", 'admission webhook "policy.internal" denied the request: no '
     "latest tags"), "SB421", ["no latest tags"]),
    ("webhook denies, 403", status(403, "Forbidden", 'admission webhook "policy.internal" denied the request: label '
     "team is missing"), "SB421", ["label team is missing"]),
    ("webhook is down", status(500, "InternalError", 'Internal error occurred: failed calling webhook "p.internal": '
     "context deadline exceeded"), "SB434", ["failed calling webhook"]),
    ("namespace missing", status(404, "NotFound", 'namespaces "ml" not found'), "SB421", ['namespaces "ml"']),
    ("unauthorized", status(401, "Unauthorized", "Unauthorized"), "SB434", ["HTTP 401"]),
    ("too many requests", status(429, "TooManyRequests", "too many requests, please try again later"), "SB434",
     ["HTTP 429"]),
    ("gateway", {"pod": None, "api": "<html>502 Bad Gateway</html>", "api_status": 502}, "SB434", ["502"]),
    ("no answer", {"pod": None, "api": "HTTPSConnectionPool(host='10.0.0.1', port=443): Max retries exceeded"},
     "SB434", ["no answer", "Max retries"]),
    ("status only", {"pod": None, "api_status": 503}, "SB434", ["HTTP 503"]),
    ("log forbidden while it runs", {**status(403, "Forbidden", 'User "w" cannot get resource "pods/log" in API '
     'group "" in the namespace "ml"'), "pod": pod(running())}, "SB435", ["pods/log", f"ml/{NAME}"]),
    # images
    ("image typo", {"pod": pull(f"failed to resolve reference: {IMAGE}: not found")}, "SB423", ["not found", "base"]),
    ("image typo in back-off", {"pod": pending("ImagePullBackOff", f"{BACK_OFF}: ErrImagePull: manifest unknown")},
     "SB423", ["manifest unknown"]),
    ("image typo, older kubelet", {"pod": pending("ImagePullBackOff", BACK_OFF), "events": [
     event("Failed", f'Failed to pull image "{IMAGE}": rpc error: code = NotFound desc = not found'),
     event("Failed", "Error: ErrImagePull"), event("BackOff", BACK_OFF)]}, "SB423", ["code = NotFound"]),
    ("image name", {"pod": pending("InvalidImageName", 'Failed to apply default image tag "A B": couldn\'t parse image '
     "name: invalid reference format")}, "SB423", ["invalid reference format"]),
    ("image never", {"pod": pending("ErrImageNeverPull", f'Container image "{IMAGE}" is not present with pull policy '
     "of Never")}, "SB423", ["pull policy of Never"]),
    ("pull secret missing", {"pod": pull("pull access denied, repository does not exist or may require authorization: "
     "authorization failed: no basic auth credentials")}, "SB423", ["image_pull_secrets"]),
    ("registry says 401", {"pod": pull("failed to authorize: failed to fetch anonymous token: unexpected status from "
     "GET request to https://images.internal/token: 401 Unauthorized"), "over": "pull"}, "SB423", ["401"]),
    ("wrong platform", {"pod": pull("no match for platform in manifest: not found")}, "SB423", ["platform"]),
    ("registry limits", {"pod": pull("429 Too Many Requests - Server message: toomanyrequests: You have reached your "
     "unauthenticated pull rate limit. https://images.internal/increase-rate-limit"), "over": "pull"}, "SB424", ["429"]),
    ("registry is slow", {"pod": pull('Head "https://images.internal/v2/": dial tcp 10.0.0.9:443: i/o timeout'),
     "over": "pull"}, "SB424", ["i/o timeout"]),
    ("registry is down", {"pod": pull("unexpected status from HEAD request to https://images.internal/v2/ml/train: "
     "503 Service Unavailable"), "over": "pull"}, "SB424", ["503"]),
    ("kubelet's own limit", {"pod": pull("pull QPS exceeded"), "over": "pull"}, "SB424", ["QPS"]),
    ("registry's name unknown", {"pod": pull("dial tcp: lookup imges.internal on 10.0.0.10:53: no such host"),
     "over": "pull"}, "SB423", ["no such host"]),
    ("pull takes long", {"pod": pending("ContainerCreating"), "over": "pull",
     "events": [event("Pulling", f'Pulling image "{IMAGE}"', type="Normal")]}, "SB424", ["ContainerCreating"]),
    ("registry is slow after a long init container", {"pod": pod(waits("ImagePullBackOff", "TLS handshake timeout"),
     initContainerStatuses=[ended(0, "Completed", name="fetch")], phase="Pending"), "over": "start"}, "SB424", ["TLS"]),
    ("init image typo", {"pod": after_init(waits("ErrImagePull", "manifest unknown", "fetch"))}, "SB423", ["fetch"]),
    ("init image is slow", {"pod": after_init(waits("ImagePullBackOff", "TLS handshake timeout", "fetch")),
     "over": "pull"}, "SB424", ["fetch", "TLS"]),
    # the container
    ("secret missing", {"pod": pending("CreateContainerConfigError", 'secret "db" not found')}, "SB425",
     ['secret "db" not found']),
    ("config map missing", {"pod": pending("CreateContainerConfigError", 'configmap "c" not found'), "over": "start"},
     "SB425", ['configmap "c"']),
    ("init's secret missing", {"pod": after_init(waits("CreateContainerConfigError", 'secret "db" not found', "fetch"))},
     "SB425", ["init container fetch"]),
    ("container not made", {"pod": pending("CreateContainerError", "failed to generate spec: no command specified")},
     "SB425", ["no command specified"]),
    ("run error", {"pod": pending("RunContainerError", "error mounting /x: not a directory")}, "SB425", ["mounting"]),
    ("start error", {"pod": failed(128, "StartError", START + "error mounting: not a directory")}, "SB425", ["mounting"]),
    ("node is overloaded", {"pod": pending("CreateContainerError", "context deadline exceeded"), "over": "start"},
     "SB428", ["context deadline exceeded"]),
    ("shim died", {"pod": failed(128, "StartError", "failed to start shim: context deadline exceeded")}, "SB427", []),
    ("no python", {"pod": failed(128, "StartError", START + 'exec: "python": executable file not found in $PATH: '
     "unknown")}, "SB436", ["Python 3.11", "executable file not found"]),
    ("no python at that path", {"pod": pending("RunContainerError", START + 'exec: "/opt/py": stat /opt/py: no such '
     "file or directory: unknown")}, "SB436", ["/opt/py"]),
    ("command not found", {"pod": failed(127, "ContainerCannotRun", "executable file `python` not found in $PATH")},
     "SB436", []),
    ("status 127", {"pod": failed(127)}, "SB436", ["127"]),
    ("no stepbridge", {"pod": failed(1), "log_tail": "/usr/bin/python: Error while finding module specification for "
     "'stepbridge.runner' (ModuleNotFoundError: No module named 'stepbridge')\n"}, "SB436", ["No module named"]),
    ("no stepbridge, message", {"pod": failed(1, message="python: No module named stepbridge.runner")}, "SB436", []),
    ("old python", {"pod": failed(2), "log_tail": "Unknown option: -P\nusage: python [option] ... [-c cmd | file]"},
     "SB436", ["Unknown option: -P"]),
    ("other architecture", {"pod": failed(255), "log_tail": "exec /usr/bin/python: exec format error"}, "SB436",
     ["exec format error"]),
    ("driver not warm", {"pod": failed(128, "StartError", START + "nvidia-container-cli: initialization error: nvml "
     "error: driver not loaded: unknown")}, "SB407", ["driver not loaded"]),
    ("driver, CDI", {"pod": pending("CreateContainerError", "failed to inject CDI devices: unresolvable CDI devices "
     "nvidia.com/gpu=0")}, "SB407", ["CDI"]),
    # init containers, volumes
    ("init fails", {"pod": after_init(ended(3, "Error", "no route to the bucket", "fetch"), phase="Failed")}, "SB426",
     ["fetch", "exit code 3", "no route to the bucket"]),
    ("init out of memory", {"pod": after_init(ended(137, "OOMKilled", name="fetch"), phase="Failed")}, "SB426",
     ["OOMKilled", "exit code 137"]),
    ("init never ends", {"pod": after_init(running("fetch")), "over": "start"}, "SB428", ["init container fetch"]),
    ("volume's secret missing", {"pod": pending("ContainerCreating"), "over": "pull", "events": [
     event("FailedMount", 'MountVolume.SetUp failed for volume "k" : secret "k" not found', count=8)]}, "SB425",
     ['secret "k" not found', "8 times"]),
    ("volume still elsewhere", {"pod": pending("ContainerCreating"), "over": "pull", "events": [
     event("FailedAttachVolume", 'Multi-Attach error for volume "pvc-1"')]}, "SB428", ["Multi-Attach"]),
    ("no address", {"pod": pending("ContainerCreating"), "over": "pull", "events": [
     event("FailedCreatePodSandBox", "failed to assign an IP address to container")]}, "SB428", ["IP address"]),
    # the node's refusal
    ("device plugin", {"pod": refused("UnexpectedAdmissionError", "Allocate failed due to requested number of devices "
     "unavailable for nvidia.com/gpu. Requested: 1, Available: 0, which is unexpected")}, "SB427", ["Requested: 1"]),
    ("out of cpu", {"pod": refused("OutOfcpu", "Node didn't have enough resource: cpu")}, "SB427", ["OutOfcpu"]),
    ("out of memory of the node", {"pod": refused("OutOfmemory", "Node didn't have enough resource")}, "SB427", []),
    ("out of GPUs", {"pod": refused("OutOfnvidia.com/gpu", "Node didn't have enough resource")}, "SB427", []),
    ("affinity", {"pod": refused("NodeAffinity", "Predicate NodeAffinity failed")}, "SB427", ["NodeAffinity"]),
    ("ports", {"pod": refused("NodePorts", "Predicate NodePorts failed")}, "SB427", ["NodePorts"]),
    ("topology", {"pod": refused("TopologyAffinityError", "Resources cannot be allocated with Topology locality")},
     "SB427", ["Topology"]),
    ("no reason at all", {"pod": pod(phase="Failed")}, "SB427", ["without a reason"]),
    ("sysctl", {"pod": refused("SysctlForbidden", "forbidden sysctl: net.core.somaxconn")}, "SB425", ["sysctl"]),
    # evictions and the like
    ("own disk", {"pod": pod(phase="Failed", reason="Evicted", message="Pod ephemeral local storage usage exceeds the "
     "total limit of containers 1Gi. ")}, "SB430", ["1Gi"]),
    ("own container's disk", {"pod": pod(ended(137), phase="Failed", reason="Evicted", message="Container base exceeded "
     'its local ephemeral storage limit "1Gi". ')}, "SB430", []),
    ("own shm", {"pod": pod(ended(137), phase="Failed", reason="Evicted", message='Usage of EmptyDir volume "dshm" '
     'exceeds the limit "64Mi". ')}, "SB430", ["dshm"]),
    ("node low on memory", {"pod": disrupted("TerminationByKubelet", "The node was low on resource: memory.", ended(137),
     phase="Failed", reason="Evicted", message="The node was low on resource: memory. Threshold quantity: 100Mi, "
     "available: 60Mi. Container base was using 5Gi, request is 2Gi, has larger consumption of memory. ")}, "SB429",
     ["was using 5Gi", "gpu-node-3"]),
    ("node has disk pressure", {"pod": refused("Evicted", "The node had condition: [DiskPressure]. ")}, "SB429", []),
    ("evicted and gone", {"pod": pod(running()), "vanished": True, "events": [
     event("Evicted", "The node was low on resource: ephemeral-storage.")]}, "SB429", ["ephemeral-storage"]),
    ("preempted by the scheduler", {"pod": disrupted("PreemptionByScheduler", "default-scheduler: preempting to "
     "accommodate a higher priority pod", deleted=True)}, "SB431", ["higher priority pod"]),
    ("taint", {"pod": disrupted("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint",
     deleted=True)}, "SB431", ["NoExecute"]),
    ("drained", {"pod": disrupted("EvictionByEvictionAPI", "Eviction API: evicting", ended(143), deleted=True)},
     "SB431", ["Eviction API"]),
    ("node shuts down", {"pod": disrupted("TerminationByKubelet", "Pod was terminated in response to imminent node "
     "shutdown.", ended(143), phase="Failed", reason="Terminated", message="Pod was terminated in response to "
     "imminent node shutdown.")}, "SB431", ["imminent node shutdown"]),
    ("node shuts down, older", {"pod": pod(ended(137), phase="Failed", reason="Shutdown", message="Node is shutting, "
     "evicting pods")}, "SB431", ["shutting"]),
    ("comes when it shuts down", {"pod": refused("NodeShutdown", "as the node is shutting down.")}, "SB431", []),
    ("critical pod", {"pod": pod(phase="Failed", reason="Preempting", message="Preempted in order to admit critical "
     "pod")}, "SB431", ["critical pod"]),
    ("preempted and gone", {"pod": pod(running()), "vanished": True, "events": [
     event("Preempted", "Preempted by pod 5d0c on node gpu-node-3")]}, "SB431", ["Preempted by pod"]),
    ("node deleted", {"pod": disrupted("DeletionByPodGC", "PodGC: node no longer exists", phase="Failed")}, "SB432",
     ["node no longer exists"]),
    ("node lost", {"pod": pod(running(), phase="Unknown", reason="NodeLost", message="Node gpu-node-3 which was running "
     "pod is unresponsive", deleted=True)}, "SB432", ["unresponsive"]),
    ("phase unknown", {"pod": pod(running(), phase="Unknown")}, "SB432", ["Unknown"]),
    ("not ready", {"pod": pod(running(), conditions=[condition("Ready", "False", "NodeNotReady", "no heartbeat")])},
     "SB432", ["no heartbeat"]),
    ("not ready, event", {"pod": pod(running(), conditions=[condition("Ready", "False", "")], deleted=True),
     "events": [event("NodeNotReady", "Node is not ready")]}, "SB432", ["Node is not ready"]),
    ("node came back", {"pod": failed(137, "ContainerStatusUnknown", "The container could not be located when the pod "
     "was terminated")}, "SB432", ["could not be located"]),
    ("deadline", {"pod": pod(ended(143), phase="Failed", reason="DeadlineExceeded", message="Pod was active on the node "
     "longer than the specified deadline")}, "SB437", ["specified deadline"]),
    # the end
    ("out of memory", {"pod": failed(137, "OOMKilled")}, "SB406",
     ["memory limit 2Gi", "gpu-node-3", "exit code 137", "on_oom"]),
    ("out of memory, status 1", {"pod": failed(1, "OOMKilled")}, "SB406", ["exit code 1,"]),
    ("out of memory, status 0", {"pod": pod(ended(0, "OOMKilled"), phase="Succeeded")}, "SB406", ["exit code 0"]),
    ("killed without a cause", {"pod": failed(137)}, "SB408", ["SIGKILL", "137"]),
    ("crashed", {"pod": failed(139), "log_tail": "Fatal Python error: Segmentation fault"}, "SB408",
     ["SIGSEGV", "Segmentation fault"]),
    ("terminated without a cause", {"pod": failed(143)}, "SB408", ["SIGTERM"]),
    ("no result", {"pod": pod(ended(0, "Completed"), phase="Succeeded")}, "SB409", ["exit code 0", "neither a result nor an error"]),
    ("no result beside a sidecar", {"pod": pod(ended(0, "Completed"), running("mesh-proxy"))}, "SB409", []),
    ("a word but no runner", {"pod": failed(1, message="Traceback: boom")}, "SB410", ["boom"]),
    ("wrong command line", {"pod": failed(2), "log_tail": "usage: python -m stepbridge.runner URI"}, "SB410", ["usage"]),
    ("status 5", {"pod": failed(5)}, "SB406", []),
    ("status 6", {"pod": failed(6)}, "SB404", []),
    ("status 7", {"pod": failed(7)}, "SB407", []),
    ("status 8", {"pod": failed(8)}, "SB405", []),
    ("status 10", {"pod": failed(10)}, "SB409", ["exit code 10"]),
    ("status 4", {"pod": failed(4)}, "SB409", ["exit code 4"]),
    ("deleted while it runs", {"pod": pod(running(), deleted=True)}, "SB433", ["was deleted"]),
    ("deleted, killed", {"pod": pod(ended(137), deleted=True, phase="Failed")}, "SB433", ["was deleted"]),
    ("deleted and gone", {"pod": pod(running()), "vanished": True}, "SB433", ["not there", NAME]),
    ("gone before its start", {"pod": pod(node=None, phase="Pending"), "vanished": True}, "SB433",
     ["before its container"]),
    ("never seen", {"pod": None}, "SB433", ["not there"]),
    ("404", status(404, "NotFound", f'pods "{NAME}" not found'), "SB433", ["HTTP 404"]),
    # ours
    ("killed", {"pod": pod(running(), deleted=True), "killed": True}, "SB405", ["Airflow told"]),
    ("killed before it was made", {"pod": None, "killed": True}, "SB405", []),
    ("timeout", {"pod": pod(running()), "over": "run"}, "SB404", ["timeout"]),
    ("total", {"pod": unschedulable(CPU), "over": "total"}, "SB438", ["total budget", CPU]),
    ("nothing is known", {"pod": pod(running())}, "SB409", ["phase Running"]),
]  # fmt: skip

RAISED = told("user", "SB402", "ValueError: bad shape", traceback="Traceback ...")
STOPPED = told("interrupted", "SB405", "the runner was told to stop")
LOST = told("infra", "SB305", "the store could not be reached")
DRAINED = disrupted("EvictionByEvictionAPI", "Eviction API: evicting", ended(8), deleted=True)
DEADLINE = pod(ended(8), phase="Failed", reason="DeadlineExceeded", message="too long")
LOW = pod(ended(8), phase="Failed", reason="Evicted", message="The node was low on resource: memory. ")
OWN_DISK = pod(
    ended(8),
    phase="Failed",
    reason="Evicted",
    message='Usage of EmptyDir volume "s" exceeds the limit "1Gi". ',
)
GC = disrupted("DeletionByPodGC", "PodGC: node no longer exists", phase="Failed")
DELETED = pod(ended(8), deleted=True)
OOM = failed(1, "OOMKilled")
SKIPPED = told("user", "SB402", "nothing to do", signal="skip")
ASKED_FAIL = told("user", "SB402", "give up", signal="fail")

PRECEDENCE: list[tuple[str, ErrorDocument | None, dict[str, Any], str]] = [
    ("raised, then drained", RAISED, {"pod": DRAINED}, "SB402"),
    ("raised, then killed", RAISED, {"pod": DELETED, "killed": True}, "SB402"),
    ("raised, then over", RAISED, {"pod": DELETED, "over": "total"}, "SB402"),
    ("raised, for a child ran out of memory", RAISED, {"pod": OOM}, "SB406"),
    ("the process died of it", told("infra", "SB408"), {"pod": OOM}, "SB406"),
    ("the runner says so too", told("oom", "SB406"), {"pod": OOM}, "SB406"),
    ("only the runner says so", told("oom", "SB406"), {"pod": failed(5)}, "SB406"),
    ("out of memory as it was stopped", STOPPED, {"pod": OOM, "killed": True}, "SB406"),
    ("skipped after a child died", SKIPPED, {"pod": failed(10, "OOMKilled")}, "SB402"),
    ("failed after a child died", ASKED_FAIL, {"pod": OOM}, "SB402"),
    ("declared wrong", told("config", "SB208"), {"pod": OOM}, "SB208"),
    ("no GPU", told("preflight", "SB407"), {"pod": DRAINED}, "SB407"),
    ("its own timeout", told("timeout", "SB404"), {"pod": DEADLINE}, "SB404"),
    ("stopped by a drain", STOPPED, {"pod": DRAINED}, "SB431"),
    ("stopped by its deadline", STOPPED, {"pod": DEADLINE}, "SB437"),
    ("stopped by an eviction", STOPPED, {"pod": LOW}, "SB429"),
    ("stopped for its disk", STOPPED, {"pod": OWN_DISK}, "SB430"),
    ("stopped by Airflow", STOPPED, {"pod": DELETED, "killed": True}, "SB405"),
    ("killed, and drained", STOPPED, {"pod": DRAINED, "killed": True}, "SB405"),
    ("stopped by our timeout", STOPPED, {"pod": DELETED, "over": "run"}, "SB404"),
    ("stopped by our total budget", STOPPED, {"pod": DELETED, "over": "total"}, "SB438"),
    ("our timeout, killed too", STOPPED, {"pod": DELETED, "over": "run", "killed": True}, "SB405"),
    ("stopped from outside", STOPPED, {"pod": DELETED}, "SB433"),
    ("stopped from outside, gone", STOPPED, {"pod": DELETED, "vanished": True}, "SB433"),
    ("stopped, and the pod cannot be read", STOPPED, {"pod": None, "api": "x", "api_status": 503}, "SB405"),
    ("stopped from outside, 404", STOPPED, {"pod": None, "api": "x", "api_status": 404}, "SB433"),
    ("stopped within the pod", STOPPED, {"pod": failed(8)}, "SB405"),
    ("total, then its deadline", STOPPED, {"pod": DEADLINE, "over": "total"}, "SB438"),
    ("stopped on a lost node", STOPPED, {"pod": pod(running(), phase="Unknown", deleted=True)}, "SB432"),
    ("start over, then deleted", None, {"pod": pending("ContainerCreating"), "over": "start", "vanished": True}, "SB428"),
    ("network lost with the node", LOST, {"pod": GC}, "SB432"),
    ("network lost in a drain", LOST, {"pod": DRAINED}, "SB431"),
    ("store lost, then cleaned up", LOST, {"pod": DELETED}, "SB305"),
    ("store lost", LOST, {"pod": failed(4)}, "SB305"),
    ("no node, then the total", None, {"pod": unschedulable(CPU), "over": "total"}, "SB438"),
    ("image typo, pull over", None, {"pod": pull("manifest unknown: not found"), "over": "pull"}, "SB423"),
    ("429 that names a 404", None, {"pod": pull("429 Too Many Requests: not found"), "over": "pull"}, "SB424"),
    ("deleted while a busy registry", None, {"pod": pull("429 Too Many Requests"), "vanished": True}, "SB433"),
    ("start over, secret missing", None,
     {"pod": pending("CreateContainerConfigError", 'secret "a" not found'), "over": "start"}, "SB425"),
    ("evicted while it pulls", None, {"pod": pod(waits("ContainerCreating"), phase="Failed", reason="Evicted",
     message="The node was low on resource: ephemeral-storage. ")}, "SB429"),
    ("deadline while it pulls", None, {"pod": pod(waits("ImagePullBackOff", "not found"), phase="Failed",
     reason="DeadlineExceeded", message="too long")}, "SB437"),
    ("ended without a result, then deleted", None, {"pod": pod(ended(0, "Completed"), deleted=True)}, "SB409"),
    ("ended, and the API is down", None,
     {"pod": failed(139), "api": "bad gateway", "api_status": 502}, "SB408"),
    ("killed, API down", None, {"pod": None, "api": "x", "api_status": 503, "killed": True}, "SB405"),
]  # fmt: skip

HOPELESS = {
    "image typo", "image typo in back-off", "image typo, older kubelet", "image name", "image never",
    "pull secret missing", "registry says 401", "wrong platform", "init image typo", "secret missing",
    "config map missing", "init's secret missing", "container not made", "run error", "no python at that path",
    "driver, CDI", "init fails", "init out of memory", "device plugin", "out of cpu", "never seen",
    "deleted while it runs", "gone before its start",
}  # fmt: skip
HOPEFUL = {
    "unschedulable", "scaling up", "scheduling gate", "volume claim missing", "registry limits", "registry is slow",
    "registry is down", "kubelet's own limit", "registry's name unknown", "pull takes long", "init image is slow",
    "node is overloaded", "init never ends", "volume's secret missing", "volume still elsewhere", "no address",
    "nothing is known",
}  # fmt: skip
