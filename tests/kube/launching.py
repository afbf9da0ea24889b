"""How a container's process is started, and the runtime's words when it cannot be."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kube.environment import expanded
from kube.errors import Json
from kube.images import Images
from kube.logs import ContainerLog
from kube.processes import Process

_PYTHONS = ("python", "python3")
_RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
    "failed: unable to start container process: error during container init: "
)


@dataclass(frozen=True)
class Settings:
    """How the node runs containers.

    :param environment: what an image's own environment would be.
    :param entrypoints: the command of an image, for containers that give none.
    :param log_size: bytes after which a log rotates.
    """

    root: Path
    environment: Mapping[str, str]
    images: Images
    log_size: int = 10 * 1024 * 1024
    entrypoints: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A container's command and environment; :param mark: names the container among processes."""

    argv: list[str]
    env: dict[str, str]
    cwd: Path
    mark: str


def call(pod: Json, container: Json, given: Mapping[str, str], settings: Settings, workdir: Path) -> Call:
    """The call of a container.

    :param given: the environment of its spec.
    """
    meta = pod["metadata"]
    env = {
        "HOSTNAME": meta["name"][:63],
        "HOME": str(workdir),
        **settings.environment,
        "TMPDIR": _folder(workdir, "tmp"),
        "STEPBRIDGE_WORKDIR": _folder(workdir, "work"),
        "STEPBRIDGE_TERMINATION_LOG": str(message_file(container, workdir)),
        **given,
    }
    command = container.get("command") or settings.entrypoints.get(container["image"]) or []
    argv = [expanded(word, given) for word in [*command, *(container.get("args") or [])]]
    cwd = workdir
    wanted = container.get("workingDir")
    if wanted and Path(wanted).is_relative_to(settings.root):
        cwd = Path(wanted)
        cwd.mkdir(parents=True, exist_ok=True)
    return Call(argv, env, cwd, f"{meta['uid']}/{container['name']}")


def message_file(container: Json, workdir: Path) -> Path:
    """What stands for ``/dev/termination-log``."""
    return workdir / f"{container['name']}.termination-log"


def _folder(workdir: Path, name: str) -> str:
    folder = workdir / name
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def start(made: Call, log: ContainerLog) -> Process:
    """:raises OSError: when there is no such program."""
    if not made.argv:
        raise FileNotFoundError("no command specified")
    name = made.argv[0]
    program = sys.executable if name in _PYTHONS else shutil.which(name, path=made.env.get("PATH"))
    if program is None:
        raise FileNotFoundError(name)
    return Process.start([program, *made.argv[1:]], env=made.env, cwd=made.cwd, log=log, mark=made.mark)


def start_error(program: str, error: OSError) -> str:
    """The container runtime's message for a program that does not start."""
    if not program:
        why = "no command specified"
    elif not isinstance(error, FileNotFoundError):
        why = f'exec: "{program}": {str(error.strerror).lower()}'
    elif "/" in program:
        why = f'exec: "{program}": stat {program}: no such file or directory'
    else:
        why = f'exec: "{program}": executable file not found in $PATH'
    return f"{_RUNC}{why}: unknown"
