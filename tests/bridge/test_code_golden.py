"""Digests of code, of values and of keys stay what they are, on every Python that is supported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from code_project import LIBRARY, project
from test_code_digest import BASE, VERSIONS

from stepbridge.code.normal import module_digest
from stepbridge.code.source import read_source

NO_HYPOTHESIS = """
class Nothing:
    def __getattr__(self, name):
        if name.startswith("_"): raise AttributeError(name)
        return self
    def __call__(self, *args, **kwargs): return self
    def __or__(self, other): return self
    __test__ = False
    __name__ = "nothing"
strategies = Nothing()
def __getattr__(name): return getattr(strategies, name)
"""
"""Stands for hypothesis, which is compiled for one Python: its tests are left out on the others."""

GOLDEN = Path(__file__).with_name("golden_code.json")
HERE = Path(__file__).parent


def test_golden_code(tmp_path: Path) -> None:
    found = {}
    with project(tmp_path) as here:
        for name, text in (("base", BASE), ("versions", VERSIONS)):
            piece = here.slice("train", {"dag.py": text})
            found[name] = piece.digest
            found[f"{name}, whole"] = module_digest(read_source(tmp_path / "dag.py"))
    assert found == json.loads(GOLDEN.read_text())


def interpreter(version: str) -> str | None:
    """Another Python on this machine."""
    beside = sorted(Path(sys.base_prefix).parent.glob(f"{version}.*/bin/python"))
    for candidate in (f"python{version}", *map(str, beside)):
        try:
            done = subprocess.run(
                [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            continue
        if done.stdout.strip() == version:
            return candidate
    return None


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_golden_on_other_pythons(version: str, tmp_path: Path) -> None:
    """The golden vectors of code, values and keys, by another interpreter with this one's pytest."""
    if version == "{}.{}".format(*sys.version_info[:2]):
        pytest.skip(f"this is Python {version}")
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    (tmp_path / "hypothesis.py").write_text(NO_HYPOTHESIS)
    paths = [str(tmp_path), str(LIBRARY), str(HERE), sysconfig.get_path("purelib")]
    files = ["test_code_golden.py", "test_hashing.py", "test_cache_key.py"]
    done = subprocess.run(
        [
            python,
            "-B",
            "-m",
            "pytest",
            "-q",
            "--noconftest",
            "-c",
            os.devnull,
            "-p",
            "no:cacheprovider",
            "-k",
            "golden and not other",
            *(str(HERE / name) for name in files),
        ],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "STEPBRIDGE_CODE_MEMO": "off",
        },
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout, done.stdout
