"""What must be there before the function starts: the GPUs that were asked for."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stepbridge.failures import RunProblem

_PATIENCE = 60.0


def check_gpus(wanted: int, environ: Mapping[str, str], devices: Path = Path("/dev")) -> None:
    """Make sure that *wanted* GPUs can be used.

    ``nvidia-smi`` is asked where it is there, else the device files are counted. ``NVIDIA_VISIBLE_DEVICES``
    is shown but not believed: device plugins set it to ``void`` beside devices that work.

    :raises RunProblem: SB407.
    """
    if wanted <= 0:
        return
    found, how = _count(environ, devices)
    shown = environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        found = min(found, len([one for one in shown.split(",") if one.strip() and one.strip() != "-1"]))
        how += f", CUDA_VISIBLE_DEVICES={shown!r}"
    if "NVIDIA_VISIBLE_DEVICES" in environ:
        how += f", NVIDIA_VISIBLE_DEVICES={environ['NVIDIA_VISIBLE_DEVICES']!r}"
    if found < wanted:
        raise RunProblem(
            "SB407",
            f"{wanted} GPU(s) asked for, {found} there ({how})",
            hint="check the node's driver and device plugin, and that the pod requests nvidia.com/gpu",
        )


def _count(environ: Mapping[str, str], devices: Path) -> tuple[int, str]:
    tool = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if tool is None:
        files = [entry for entry in devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", entry.name)]
        return len(files), f"no nvidia-smi, {len(files)} device files"
    try:
        done = subprocess.run(
            [tool, "-L"], capture_output=True, text=True, timeout=_PATIENCE, env=dict(environ), check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 0, f"nvidia-smi failed: {error}"
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())[:300]
        return 0, f"nvidia-smi ended with {done.returncode}: {said}"
    lines = done.stdout.splitlines()
    whole = sum(line.startswith("GPU ") for line in lines)
    slices = sum(line.lstrip().startswith("MIG ") for line in lines)
    return max(whole, slices), f"nvidia-smi lists {whole} GPU(s) and {slices} slice(s)"
