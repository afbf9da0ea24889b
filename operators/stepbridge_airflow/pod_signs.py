"""Signs in a pod's status: each function looks for one cause and gives the cluster's words for it, or "".

Nothing here weighs one cause against another; ``outcomes`` does.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stepbridge_airflow.pod_facts import IMAGE_TROUBLE, NEVER_RAN, Container, PodFacts

WORDS_LIMIT = 1200
"""Characters of the cluster's own text in a message."""

_OWN_DISK = re.compile(
    r"exceed(s|ed) (the total|its local ephemeral storage) limit|EmptyDir volume .* exceeds the limit", re.I
)
_NODE_LOW = re.compile(r"node (was low on resource|had condition)", re.I)
_TAKEN = frozenset({"Preempting", "Terminated", "NodeShutdown", "Shutdown"})
_TAKEN_EVENTS = frozenset({"Preempted", "TaintManagerEviction", "Evicted", "Disrupted", "NodeShutdown"})
_DECLARED_WRONG = frozenset({"AppArmor", "SysctlForbidden", "PodOSNotSupported"})
_DECLARED_WRONG |= {"PodOSSelectorNodeLabelDoesNotMatch"}
_UNMADE = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
    }
)
_PASSING = re.compile(
    r"deadline exceeded|timed? ?out|failed to reserve (container|sandbox) name|transport is closing"
    r"|connection (refused|reset)|input/output error|no space left|resource temporarily unavailable",
    re.I,
)
_DRIVER = re.compile(
    r"nvidia-container-(cli|runtime)|libnvidia-|nvml error|failed to.*\bCDI devices?\b", re.I
)
_NO_COMMAND = re.compile(
    r"executable file .*not found|exec: \"[^\"]*\": .*(no such file|permission denied)|exec format error",
    re.I,
)
_NO_RUNNER = re.compile(
    r"No module named '?stepbridge(\.\w+)*'?(\W|$)|unknown option:? -P\b|exec format error", re.I
)
_IMAGE_NEVER = frozenset({"InvalidImageName", "ErrImageNeverPull", "SignatureValidationFailed"})
_REGISTRY_BUSY = re.compile(
    r"toomanyrequests|too many requests|\b429\b|rate.?limit|rate exceeded|QPS exceeded"
    r"|deadline exceeded|timed? ?out|connection (refused|reset)|\bEOF\b|temporary failure|server misbehaving"
    r"|(status|code)[^\n]{0,80}: ?5\d\d\b|\b5\d\d (internal|bad gateway|service|gateway)"
    r"|network is unreachable|no route to host|context canceled|no space left|RegistryUnavailable",
    re.I,
)
_REGISTRY_NO = re.compile(
    r"not found|manifest unknown|name unknown|does not exist|access denied|\bdenied\b|unauthorized|forbidden"
    r"|authorization failed|no basic auth credentials|authentication required|invalid reference|invalid image"
    r"|couldn't parse image|no match for platform|not present with pull policy|x509|HTTP response to HTTPS",
    re.I,
)
_NO_HOST = re.compile(r"no such host", re.I)
_IN_BACK_OFF = re.compile(r'image "([^"]+)"')
_MOUNTS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox"})
_MOUNT_MISSING = re.compile(r'(secret|configmap|persistentvolumeclaim)s? "[^"]*" not found', re.I)
_SCALING = frozenset({"TriggeredScaleUp", "NotTriggerScaleUp", "Nominated", "FailedScaleUp"})
_VERBS = re.compile(
    r'(?:User "(?P<user>[^"]+)" )?cannot (?P<verb>\w+) resource "(?P<what>[^"]+)"'
    r'(?:.*? in the namespace "(?P<where>[^"]+)")?',
    re.S,
)


def one_line(text: str, limit: int = WORDS_LIMIT) -> str:
    """*text* without line breaks and without its middle where it is long."""
    flat = " ".join(text.split())
    if len(flat) <= limit:
        return flat
    return f"{flat[: limit * 2 // 3]} ... {flat[-limit // 3 :]}"


def said(*parts: str) -> str:
    """Those of *parts* that say something, each once, with colons between."""
    kept: list[str] = []
    for part in map(one_line, parts):
        if part and part not in kept:
            kept.append(part)
    return ": ".join(kept)


def deadline(facts: PodFacts) -> str:
    """Kubernetes ended the pod for its ``activeDeadlineSeconds``."""
    return said(facts.reason, facts.message) if facts.reason == "DeadlineExceeded" else ""


def over_own_disk(facts: PodFacts) -> str:
    """Evicted for its own limit of disk, or of a volume in memory."""
    words = _eviction(facts)
    return words if _OWN_DISK.search(words) else ""


def evicted(facts: PodFacts) -> str:
    """Evicted by the node, which ran low on something."""
    words = _eviction(facts)
    return words if facts.reason == "Evicted" or _NODE_LOW.search(words) else ""


def _eviction(facts: PodFacts) -> str:
    """The kubelet's words on an eviction, or of a pod that is gone the event that is left of it."""
    if facts.reason == "Evicted":
        return said(facts.reason, facts.message)
    return _event(facts, frozenset({"Evicted"})) if gone(facts) else ""


def taken(facts: PodFacts) -> str:
    """The machine was wanted for something else, drained, or shut down."""
    target = facts.conditions.get("DisruptionTarget")
    if target is not None and target.status == "True" and target.reason != "DeletionByPodGC":
        return said(target.reason or "DisruptionTarget", target.message, facts.message)
    if facts.reason in _TAKEN:
        return said(facts.reason, facts.message)
    return _event(facts, _TAKEN_EVENTS) if gone(facts) else ""


def node_gone(facts: PodFacts) -> str:
    """Nobody knows what the pod does, for nobody hears its node."""
    target = facts.conditions.get("DisruptionTarget")
    if target is not None and target.status == "True" and target.reason == "DeletionByPodGC":
        return said(target.reason, target.message)
    if facts.reason == "NodeLost" or facts.phase == "Unknown":
        return said(facts.reason, facts.message) or "the pod's phase is Unknown"
    if facts.base.reason == "ContainerStatusUnknown":
        return said(facts.base.reason, facts.base.message)
    ready, silent = facts.conditions.get("Ready"), _event(facts, frozenset({"NodeNotReady"}))
    if facts.base.state == "terminated" or ready is None or ready.status != "False":
        return silent if gone(facts) and facts.base.state != "terminated" else ""
    return said(ready.reason, ready.message) if ready.reason == "NodeNotReady" else silent


def gone(facts: PodFacts) -> bool:
    """Whether the pod is deleted, or about to be."""
    return not facts.there or facts.deleting


def refused(facts: PodFacts) -> str:
    """The node's kubelet did not admit the pod, or failed itself at starting its container."""
    base = facts.base
    if base.state == "terminated":
        passing = base.reason in NEVER_RAN and _PASSING.search(base.message)
        return said(base.reason, base.message) if passing else ""
    if facts.phase != "Failed" or facts.started or failed_init(facts) is not None:
        return ""
    return said(facts.reason, facts.message) or "it failed before its container started, without a reason"


def failed_init(facts: PodFacts) -> Container | None:
    """The init container that ended with a failure."""
    return next((one for one in facts.init if not one.sidecar and one.exit_code), None)


def init(facts: PodFacts) -> str:
    """Which init container failed, and how."""
    failed = failed_init(facts)
    if failed is None:
        return ""
    end = f"init container {failed.name} ended with exit code {failed.exit_code}"
    return said(end, failed.reason, failed.message or "it left no message")


def by_signal(facts: PodFacts) -> str:
    """Which signal killed the step's container."""
    base = facts.base
    number = base.signal or (base.exit_code or 0) - 128
    if base.state != "terminated" or number not in set(signal.Signals) or base.reason in NEVER_RAN:
        return ""
    return said(f"{signal.Signals(number).name}, exit code {base.exit_code}", base.message)


@dataclass(frozen=True)
class ImageTrouble:
    """A container that waits for an image it does not get.

    :param lasting: waiting longer cannot help; None where the words leave it open.
    """

    container: str
    words: str
    lasting: bool | None


def image(facts: PodFacts) -> ImageTrouble | None:
    """The trouble with an image of the step's own or of an init container."""
    now = facts.current
    if now.state != "waiting" or now.reason not in IMAGE_TROUBLE or facts.finished:
        return None
    words = said(now.reason, now.message, _pull_event(facts, now))
    lasting: bool | None = None
    if now.reason in _IMAGE_NEVER:
        lasting = True
    elif _REGISTRY_BUSY.search(words):
        lasting = False
    elif _REGISTRY_NO.search(words):
        lasting = True
    return ImageTrouble(now.name, words, lasting)


def no_host(trouble: ImageTrouble) -> bool:
    """Whether the registry's name is unknown: a typo, unless name service fails for a while."""
    return _NO_HOST.search(trouble.words) is not None


def _pull_event(facts: PodFacts, waits: Container) -> str:
    """The kubelet's last words on the pull; older kubelets leave them out of the status."""
    wanted = _IN_BACK_OFF.search(waits.message)
    for event in reversed(facts.events):
        if event.reason in {"Failed", "InspectFailed"} and "image" in event.message:
            named = _IN_BACK_OFF.search(event.message)
            if wanted is None or named is None or wanted[1] == named[1]:
                return event.message
    return ""


def driver(facts: PodFacts) -> str:
    """The container could not be made because the GPU's driver did not answer."""
    base = facts.base
    if base.reason in NEVER_RAN | _UNMADE and _DRIVER.search(base.message):
        return said(base.reason, base.message)
    return ""


def no_runner(facts: PodFacts, log_tail: str) -> str:
    """The image has no Python 3.11 or newer, or no stepbridge."""
    base = facts.base
    if base.reason in NEVER_RAN | _UNMADE:
        return said(base.reason, base.message) if _NO_COMMAND.search(base.message) else ""
    if base.state != "terminated" or not base.exit_code or base.exit_code > 127:
        return "" if base.exit_code != 255 else _exec_format(base, log_tail)
    if base.exit_code in {126, 127}:
        return said(f"exit code {base.exit_code}", base.message)
    for text in (base.message, log_tail):
        for line in reversed(text.splitlines()):
            if _NO_RUNNER.search(line):
                return said(f"exit code {base.exit_code}", line)
    return ""


def _exec_format(base: Container, log_tail: str) -> str:
    text = f"{base.message}\n{log_tail}"
    return "exit code 255: exec format error" if "exec format error" in text else ""


def unmade(facts: PodFacts) -> str:
    """The container, or the pod, cannot be made as it is declared."""
    now = facts.base if facts.base.state == "terminated" else facts.current
    if now.reason in NEVER_RAN | _UNMADE and not _PASSING.search(now.message):
        return said("" if now is facts.base else f"init container {now.name}", now.reason, now.message)
    if facts.phase == "Failed" and facts.reason in _DECLARED_WRONG:
        return said(facts.reason, facts.message)
    return ""


def mount(facts: PodFacts) -> str:
    """What keeps the pod's volumes or network from being set up."""
    return _event(facts, _MOUNTS) if not facts.finished and not facts.started else ""


def mount_missing(facts: PodFacts) -> str:
    """A volume's Secret, ConfigMap or claim that is not there."""
    words = mount(facts)
    return words if _MOUNT_MISSING.search(words) else ""


def unscheduled(facts: PodFacts) -> str:
    """Why there is no node, in the scheduler's and the autoscaler's words."""
    if facts.scheduled:
        return ""
    condition = facts.conditions.get("PodScheduled")
    text = said(condition.reason, condition.message) if condition is not None else ""
    text = text or _event(facts, frozenset({"FailedScheduling"})) or "no word from the scheduler"
    scaling = _event(facts, _SCALING)
    return f"{text} ({scaling})" if scaling else text


def waiting(facts: PodFacts) -> str:
    """One line on what a pod waits for, in the cluster's words; empty for one that is gone or has ended."""
    if facts.finished:
        return ""
    if facts.started:
        return f"runs in {facts.place}"
    if not facts.scheduled:
        return f"waits for a node: {unscheduled(facts)}"
    now = facts.current
    who = "" if now is facts.base else f" of init container {now.name}"
    if (trouble := image(facts)) is not None:
        return f"waits for the image{who}: {trouble.words}"
    if now.state == "running":
        return f"waits for init container {now.name}, which runs{_on(facts)}"
    if words := mount(facts):
        return f"waits for volumes and network{_on(facts)}: {words}"
    return f"waits for the start{who}{_on(facts)}: {said(now.reason, now.message) or 'no word yet'}"


def _on(facts: PodFacts) -> str:
    return f" on node {facts.node}" if facts.node else ""


def _event(facts: PodFacts, reasons: frozenset[str]) -> str:
    """The last event of one of *reasons*."""
    for event in reversed(facts.events):
        if event.reason in reasons:
            times = f" ({event.count} times)" if event.count > 1 else ""
            return said(event.reason, event.message) + times
    return ""


@dataclass(frozen=True)
class Refusal:
    """What the API server said.

    :param verb: :param resource: :param namespace: :param user: of a right that is missing, where named.
    """

    status: int
    words: str
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    user: str = ""

    @property
    def code(self) -> str:
        """The stable code; the quota's and the policies' refusals come as 403 too."""
        status, words = self.status, self.words
        if status == 403:
            if "exceeded quota" in words:
                return "SB422"
            of_the_pod = " is forbidden: " in words and not self.verb
            return "SB421" if of_the_pod or "denied the request" in words else "SB435"
        if status == 404:
            return "SB421" if "namespaces " in words else "SB433"
        if status in {401, 408, 409, 429} or not 400 <= status < 500:
            return "SB434"
        return "SB421"


def refusal(text: str, status: int) -> Refusal:
    """*text*, the body or the exception of a request, as far as it can be read; *status* 0 for not known."""
    body = _body(text)
    message = body.get("message")
    code = body.get("code")
    words = one_line(message if isinstance(message, str) and message else text)
    status = status or (code if isinstance(code, int) else 0)
    right = _VERBS.search(words)
    if right is None:
        return Refusal(status, words)
    return Refusal(status, words, right["verb"], right["what"], right["where"] or "", right["user"] or "")


def _body(text: str) -> Mapping[str, Any]:
    """The JSON of a ``Status`` object within *text*, or nothing."""
    for start in (match.start() for match in re.finditer(r"\{\s*\"", text)):
        try:
            found, _ = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and "message" in found:
            return found
    return {}
