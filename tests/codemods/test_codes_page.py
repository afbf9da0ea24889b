"""docs/migrate-codes.md is what the codes are now, and docs/migrate.md names what there is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT, Migrate, environment, git, migrate  # noqa: F401

from stepbridge_migrate.codes import CODES
from stepbridge_migrate.commands.app import cli
from stepbridge_migrate.needs import KEYS as NEEDS
from stepbridge_migrate.settings import KEYS


def test_the_page_of_the_codes_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/migrate_codes.py"), "--check"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"run scripts/migrate_codes.py {done.stderr}"


def test_the_page_has_every_code_once() -> None:
    page = (ROOT / "docs/migrate-codes.md").read_text()
    for code in CODES:
        assert page.count(f"\n### {code}\n") == 1


def test_the_guide_names_every_command_and_setting() -> None:
    page = (ROOT / "docs/migrate.md").read_text()
    for name in cli.commands:
        assert f"`migrate {name}" in page or f"`{name}`" in page, name
    for key in (*KEYS, *NEEDS):
        assert f"`{key}`" in page or f"\n{key} = " in page or f"stepbridge.{key}" in page, key
    for option in cli.commands["cutover"].params:
        if option.name not in {"task", "help"}:
            assert any(name in page for name in option.opts), option.opts


def test_the_guide_shows_what_the_commands_print(
    migrate: Migrate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its commands, run one after the other on the example; ``STEPBRIDGE_GOLDEN=write`` writes it anew."""
    shutil.copytree(ROOT / "examples/dags", tmp_path / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pyproject.toml").touch()
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "all")
    monkeypatch.chdir(tmp_path)
    guide = ROOT / "docs/migrate.md"
    old = (tmp_path / "dags/biopsy_screening.py").read_bytes()

    def answer(block: re.Match[str]) -> str:
        told = migrate(*shlex.split(block[1])[1:])
        lines = "\n".join(line.rstrip() for line in (told.out + told.err).rstrip("\n").split("\n"))
        return f"```console\n$ {block[1]}\n{lines}\n```"

    made = re.sub(r"^```console\n\$ (.*)\n(?:.*\n)*?```$", answer, guide.read_text(), flags=re.MULTILINE)
    if os.environ.get("STEPBRIDGE_GOLDEN") == "write":
        guide.write_text(made)
    assert made == guide.read_text()
    migrate("rollback", "biopsy_screening.train", "--write")
    assert (tmp_path / "dags/biopsy_screening.py").read_bytes() == old


def test_every_option_has_a_text() -> None:
    for command in cli.commands.values():
        for option in command.params:
            if option.param_type_name == "option":
                assert getattr(option, "help", ""), (command.name, option.name)
