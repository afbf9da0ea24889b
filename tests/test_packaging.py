"""The wheel: what is in it, and that it works where nothing else is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from stepbridge import __version__

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("stepbridge", "stepbridge_airflow", "stepbridge_migrate")
HEAVY = ("airflow", "boto3", "botocore", "obstore", "pandas", "pyarrow", "numpy", "libcst", "click", "rich")


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return folder


@pytest.fixture(scope="module")
def bare(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of an environment that holds the wheel and nothing it depends on."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    (wheel,) = built.glob("*.whl")
    install = [sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run(
        [*install, "--python", str(folder / "bin/python"), str(wheel)],
        check=True,
        env=clean_environment(),
        timeout=120,
    )
    return folder / "bin"


def run(bare: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(bare / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        env=clean_environment(),
        cwd=bare,
        timeout=60,
        check=False,
    )


def test_the_wheel_holds_the_three_packages_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    info = f"stepbridge-{__version__}.dist-info"
    assert tops == {*PACKAGES, info}
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert f"{info}/licenses/LICENSE" in names
    for package, folder in zip(PACKAGES, ("bridge", "operators", "codemods"), strict=True):
        here = {str(path.relative_to(ROOT / folder)) for path in (ROOT / folder / package).rglob("*.py")}
        assert here == {name for name in names if name.startswith(f"{package}/") and name.endswith(".py")}


def test_the_sdist_holds_what_builds_and_explains(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "docs/step.md"} <= names
    assert "examples/dags/biopsy_screening.py" in names


def test_a_bare_install_imports_and_loads_no_library(bare: Path) -> None:
    code = "import json, sys, stepbridge; print(json.dumps([stepbridge.__version__, sorted(sys.modules)]))"
    done = run(bare, "python", "-c", code)
    assert done.returncode == 0, done.stderr
    version, modules = json.loads(done.stdout)
    assert version == __version__
    assert not {name for name in modules if name.partition(".")[0] in HEAVY}


def test_a_bare_install_has_no_airflow_for_migrate_to_reach(bare: Path) -> None:
    done = run(bare, "python", "-c", "import stepbridge_migrate.cli, sys; sys.exit('airflow' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_public_names_that_need_no_library_work_bare(bare: Path) -> None:
    code = (
        "from stepbridge import Directory, File, Pickle, Resources, Secret, StepbridgeError; Resources(gpu=1)"
    )
    done = run(bare, "python", "-c", code)
    assert done.returncode == 0, done.stderr


def test_entry_points(bare: Path) -> None:
    code = (
        "import json; from importlib.metadata import distribution\n"
        "found = distribution('stepbridge').entry_points\n"
        "print(json.dumps(sorted([p.group, p.name, p.value] for p in found)))\n"
        "info = next(p for p in found if p.group == 'apache_airflow_provider').load()()\n"
        "assert info['package-name'] == 'stepbridge', info\n"
    )
    done = run(bare, "python", "-c", code)
    assert done.returncode == 0, done.stderr
    found = {tuple(point) for point in json.loads(done.stdout)}
    assert {
        ("apache_airflow_provider", "provider_info", "stepbridge_airflow.provider_info:get_provider_info"),
        ("console_scripts", "migrate", "stepbridge_migrate.cli:main"),
        ("console_scripts", "stepbridge", "stepbridge.cli:main"),
    } <= found


@pytest.mark.parametrize("script", ["migrate", "stepbridge"])
def test_console_scripts_tell_their_version_bare(bare: Path, script: str) -> None:
    done = run(bare, script, "--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"stepbridge {__version__}"), done.stderr


@pytest.mark.parametrize("command", [(), ("scan",), ("shadow", "dag.task", "--write"), ("no-such-command",)])
def test_migrate_says_honestly_that_it_cannot(bare: Path, command: tuple[str, ...]) -> None:
    done = run(bare, "migrate", *command)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("migrate: ")


def test_migrate_names_the_extra_where_its_libraries_are_missing(bare: Path) -> None:
    assert "pip install 'stepbridge[migrate]'" in run(bare, "migrate", "scan").stderr


def test_the_extras(bare: Path) -> None:
    code = (
        "from importlib.metadata import distribution\n"
        "print(' '.join(sorted(distribution('stepbridge').metadata.get_all('Provides-Extra'))))"
    )
    assert run(bare, "python", "-c", code).stdout.split() == ["airflow", "all", "compare", "eks", "migrate"]


def test_the_matrix_has_the_floor_a_middle_and_the_newest() -> None:
    """``make test-matrix`` takes one environment for each lock file."""
    locks = {path.stem: path.read_text() for path in (ROOT / "requirements").glob("airflow-*.txt")}
    assert {path.stem for path in (ROOT / "requirements").glob("*.in")} == locks.keys()
    pinned = {
        stem: dict(line.partition(" ;")[0].split("==") for line in text.splitlines() if "==" in line)
        for stem, text in locks.items()
    }
    found = {
        (one["apache-airflow"].rpartition(".")[0], one["apache-airflow-providers-cncf-kubernetes"])
        for one in pinned.values()
    }
    assert any(airflow == "2.11" and provider.startswith("10.11.") for airflow, provider in found)
    assert any(airflow in ("3.0", "3.1", "3.2") for airflow, _ in found)
    assert any(tuple(map(int, airflow.split("."))) >= (3, 3) for airflow, _ in found)
    assert not any("://" in text for text in locks.values())
