"""Golden inventories of DAG files as ugly as real ones; ``UPDATE_GOLDEN=1`` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from inventories import DAGS, inventory, sites

from stepbridge_migrate.source import Unreadable

GOLDEN = Path(__file__).parent / "golden_scan"
FILES = sorted(path.relative_to(DAGS).as_posix() for path in DAGS.rglob("*.py"))
UNREADABLE = {"dags/null_bytes.py": "SM402", "dags/python2.py": "SM402", "dags/wrong_encoding.py": "SM401"}


@pytest.mark.parametrize("name", [name for name in FILES if name not in UNREADABLE])
def test_inventory(name: str) -> None:
    found = inventory(sites(DAGS, name), DAGS)
    golden = GOLDEN / f"{name.replace('/', '.')}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_no_python(name: str) -> None:
    with pytest.raises(Unreadable) as caught:
        sites(DAGS, name)
    finding = caught.value.finding
    assert finding.code == UNREADABLE[name]
    assert finding.place.path == name
    assert finding.hint
