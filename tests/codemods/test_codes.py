"""Every code has a page that can be read alone, and every code that is said has a page."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import stepbridge_migrate
from stepbridge_migrate.codes import CODES, Code, worst
from stepbridge_migrate.model import Disposition, Finding, Place

FOLDER = Path(stepbridge_migrate.__file__).parent
PLACE = Place("dag.py", 1)
BY_HUNDRED = {"1": Disposition.KEEP, "2": Disposition.REFUSE, "3": Disposition.WARN}


@pytest.mark.parametrize("code", CODES.values(), ids=list(CODES))
def test_a_page(code: Code) -> None:
    assert re.fullmatch(r"SM[1-5]\d\d", code.id)
    assert code.title[0].islower() or code.title.startswith("Airflow")
    assert code.why.endswith(".")
    assert code.do.endswith(".")
    assert BY_HUNDRED.get(code.id[2], code.disposition) is code.disposition
    for text in (code.before, code.after):
        assert not text or text.endswith("\n")
    if code.after:
        ast.parse(code.before)
        ast.parse(code.after)


def test_every_code_that_is_said_has_a_page() -> None:
    said = {name for path in FOLDER.rglob("*.py") for name in re.findall(r"\"(SM\d{3})\"", path.read_text())}
    assert said - set(CODES) == set()


def test_the_worst_finding_decides() -> None:
    def of(*codes: str) -> Disposition:
        return worst(Finding(code, "", PLACE) for code in codes)

    assert of() is Disposition.AUTO
    assert of("SM413") is Disposition.AUTO
    assert of("SM413", "SM304") is Disposition.WARN
    assert of("SM304", "SM106") is Disposition.KEEP
    assert of("SM304", "SM201") is Disposition.REFUSE
