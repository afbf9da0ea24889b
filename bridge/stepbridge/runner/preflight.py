"""What must be there before the function starts: the GPUs that were asked for, with a driver that answers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stepbridge.failures import RunProblem
from stepbridge.runner.logs import say

_PAUSE = 2.0
_SAID = 300
_DYING = 2.0
_CUDA = """
import ctypes
try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError:
    print("absent")
    raise SystemExit
status = cuda.cuInit(0)
count = ctypes.c_int()
if not status:
    status = cuda.cuDeviceGetCount(ctypes.byref(count))
name = ctypes.c_char_p()
if status:
    cuda.cuGetErrorName(status, ctypes.byref(name))
    print("absent" if status == 34 else f"failed {status} {(name.value or b'').decode()}")
else:
    print(count.value)
"""


@dataclass(frozen=True)
class Settings:
    """How the check is made, by the variables of the runner's environment.

    :param check: ``STEPBRIDGE_GPU_CHECK``: False for ``off``.
    :param patience: ``STEPBRIDGE_GPU_PATIENCE``: seconds that a driver may need to get ready.
    :param answer: seconds that one question to the driver may take.
    :param devices: where device files are.
    """

    check: bool = True
    patience: float = 60.0
    answer: float = 60.0
    devices: Path = Path("/dev")

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """What *environment* says.

        :raises RunProblem: SB502 where it says something else.
        """
        check = environment.get("STEPBRIDGE_GPU_CHECK", "on")
        if check not in {"on", "off"}:
            raise RunProblem(
                "SB502",
                f"{check!r} is neither on nor off",
                place="STEPBRIDGE_GPU_CHECK",
                hint="write off or on",
            )
        text = environment.get("STEPBRIDGE_GPU_PATIENCE") or "60"
        try:
            patience = float(text)
        except ValueError:
            raise RunProblem(
                "SB502", f"{text!r} is no number", place="STEPBRIDGE_GPU_PATIENCE", hint="write seconds"
            ) from None
        return cls(check == "on", patience)


@dataclass(frozen=True)
class _Found:
    """What one look found.

    :param passing: whether the driver may still get ready.
    """

    gpus: int
    how: str
    passing: bool = True


def check_gpus(wanted: int, environ: Mapping[str, str], settings: Settings | None = None) -> None:
    """Make sure that *wanted* GPUs can be used, and wait a while for a driver that is not ready yet.

    ``nvidia-smi`` is asked where it is there, else the device files are counted; then CUDA itself, where it
    is there. ``NVIDIA_VISIBLE_DEVICES`` is shown but not believed: device plugins set it to ``void`` beside
    devices that work.

    :raises RunProblem: SB407.
    """
    settings = settings or Settings.of(environ)
    if wanted <= 0 or not settings.check:
        return
    began = time.monotonic()
    found = _look(wanted, environ, settings)
    if found.gpus < wanted and found.passing and settings.patience:
        say(f"the GPUs are not ready, looked at again for {settings.patience:g} s: {found.how}")
    while found.gpus < wanted and found.passing and time.monotonic() + _PAUSE <= began + settings.patience:
        time.sleep(_PAUSE)
        found = _look(wanted, environ, settings)
    if found.gpus >= wanted:
        return
    how = found.how
    for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        if name in environ:
            how += f", {name}={environ[name]!r}"
    if found.passing:
        how += f", after {time.monotonic() - began:.0f} s"
    raise RunProblem(
        "SB407",
        f"{wanted} GPU(s) asked for, {found.gpus} there ({how})",
        hint="check the node's driver and device plugin, and that the pod requests nvidia.com/gpu; set "
        "STEPBRIDGE_GPU_PATIENCE for a slower driver, STEPBRIDGE_GPU_CHECK=off to leave the check out",
    )


def _look(wanted: int, environ: Mapping[str, str], settings: Settings) -> _Found:
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        named = len([one for one in visible.split(",") if one.strip() and one.strip() != "-1"])
        if named < wanted:
            return _Found(named, f"CUDA_VISIBLE_DEVICES names {named}", passing=False)
    found, slices = _count(environ, settings)
    if found.gpus < wanted:
        return found
    said = _ask([sys.executable, "-I", "-S", "-c", _CUDA], environ, settings.answer)
    if said.text == "absent":
        return _Found(found.gpus, f"{found.how}, no libcuda")
    if said.problem or not said.text.isdigit():
        return _Found(0, f"{found.how}, but CUDA {said.problem or said.text}")
    devices = int(said.text)
    if slices and devices:  # a process sees one slice at a time
        return found
    return _Found(min(found.gpus, devices), f"{found.how}, CUDA counts {devices}")


def _count(environ: Mapping[str, str], settings: Settings) -> tuple[_Found, bool]:
    """What the driver's tool lists, or the device files; and whether these are slices."""
    tool = shutil.which("nvidia-smi", path=environ.get("PATH"))
    files = [one for one in settings.devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", one.name)]
    if tool is None:
        how = f"no nvidia-smi, {len(files)} device files"
        return _Found(len(files), how, passing=bool(files)), False
    said = _ask([tool, "-L"], environ, settings.answer)
    if said.problem:
        return _Found(0, f"nvidia-smi {said.problem}"), False
    lines = said.text.splitlines()
    whole = sum(line.startswith("GPU ") for line in lines)
    slices = sum(line.lstrip().startswith("MIG ") for line in lines)
    how = f"nvidia-smi lists {whole} GPU(s) and {slices} slice(s)"
    return _Found(max(whole, slices), how), bool(slices)


@dataclass(frozen=True)
class _Said:
    """What a process said: its text, or what went wrong with it."""

    text: str = ""
    problem: str = ""


def _ask(command: Sequence[str], environ: Mapping[str, str], seconds: float) -> _Said:
    """What *command* says. One that hangs is killed with all that it started, and left if it cannot die."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            start_new_session=True,
        )
    except OSError as error:
        return _Said(problem=f"could not be started: {error}")
    output = None
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return _Said(problem=f"did not answer within {seconds:g} s")
    finally:
        if output is None:
            _kill(process)
    text = output.decode("utf-8", "replace").strip()
    said = " ".join(text.split())[:_SAID]
    if process.returncode < 0:
        return _Said(problem=f"crashed with signal {-process.returncode}: {said}")
    if process.returncode:
        return _Said(problem=f"ended with {process.returncode}: {said}")
    return _Said(text)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_DYING)
    if process.stdout is not None:
        process.stdout.close()
