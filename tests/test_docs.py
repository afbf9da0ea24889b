"""The documents say what the code has: every error, argument, option and link; the real diff and commands."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import subprocess
from pathlib import Path

import pytest

from stepbridge import __version__, contract
from stepbridge.artifact import Manifest
from stepbridge.failures import CODES
from stepbridge_airflow.provider_info import OPTIONS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(DOCS.glob("*.md"))
NAMED = {"architecture", "step", "types", "cache-key", "errors", "formats", "exit-codes"}


def text(name: str) -> str:
    return (ROOT / name).read_text()


def fenced(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_page_is_there() -> None:
    assert {page.stem for page in DOCS.glob("*.md")} >= NAMED


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(found.read_text()), f"{page.name} links to {target}"


def test_errors_has_one_row_for_every_code() -> None:
    rows = re.findall(
        r"^\| (SB\d{3}) \| (\w+) \| ([^|]*?) \| ([^|]+?) \|$", text("docs/errors.md"), re.MULTILINE
    )
    assert [row[:3] for row in rows] == [(code.id, code.kind, code.title) for code in CODES.values()]
    assert all(row[3] for row in rows)


def test_errors_explains_every_kind() -> None:
    kinds = set(re.findall(r"^\| `(\w+)` \|", text("docs/errors.md"), re.MULTILINE))
    assert kinds == set(inspect.get_annotations(contract.ErrorDocument, eval_str=True)["kind"].__args__)


@pytest.mark.airflow
def test_step_explains_every_argument() -> None:
    pytest.importorskip("airflow")
    from stepbridge_airflow.operator import StepOperator

    signature = inspect.signature(inspect.unwrap(StepOperator.__init__))
    own = {name for name, one in signature.parameters.items() if one.kind is one.KEYWORD_ONLY}
    page = text("docs/step.md")
    assert {name for name in own - {"step_resources"} if f"| `{name}` |" not in page} == set()


def test_step_explains_every_option_with_its_default() -> None:
    page = text("docs/step.md").partition("## Settings")[2]
    for name, option in OPTIONS.items():
        row = re.search(rf"^\| `{name}` \| ([^|]*) \|", page, re.MULTILINE)
        assert row, f"docs/step.md lacks the option {name}"
        assert row[1].strip(" `") == option["default"], name


def test_formats_explains_every_field_of_every_document() -> None:
    page = text("docs/formats.md")
    documents = (
        contract.Request,
        contract.Result,
        contract.ErrorDocument,
        contract.Usage,
        contract.CacheEntry,
    )
    for document in (*documents, Manifest):
        for field in dataclasses.fields(document):
            assert f"`{field.name}`" in page, f"docs/formats.md lacks {document.__name__}.{field.name}"


def test_exit_codes_are_those_of_the_runner() -> None:
    from stepbridge.runner.report import EXIT_CODES, EXIT_SKIP

    page = text("docs/exit-codes.md").partition("stepbridge.runner")[2]
    rows = dict(re.findall(r"^\| (\d+) \| `?(\w+)`?", page, re.MULTILINE))
    assert {kind: int(code) for code, kind in rows.items() if kind in EXIT_CODES} == EXIT_CODES
    assert str(EXIT_SKIP) in rows


def test_the_readme_shows_the_real_diff() -> None:
    files = [ROOT / "examples/dags" / name for name in ("biopsy_screening.py", "biopsy_screening_moved.py")]
    before, after = (file.read_text().splitlines(keepends=True) for file in files)
    real = "".join(difflib.unified_diff(before, after, files[0].name, files[1].name, n=1))
    assert real in fenced(text("README.md"), "diff"), f"put this into README.md:\n{real}"


def test_the_readme_names_commands_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    pages = text("README.md") + text("CONTRIBUTING.md")
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", pages, re.MULTILINE)) <= targets
    assert {"demo", "test"} <= targets


def test_the_changelog_begins_with_this_version() -> None:
    assert re.findall(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)[0].strip("[]") == __version__


def test_python_blocks_compile() -> None:
    for page in PAGES:
        for block in fenced(page.read_text(), "python"):
            compile(block, page.name, "exec")


def test_make_help_lists_the_targets() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    assert {"demo", "test", "lint", "bench"} <= {line.split()[0] for line in done.stdout.splitlines() if line}
