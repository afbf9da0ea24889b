"""Every format of every kind of report, against golden files, the published schema and hostile terminals.

``STEPBRIDGE_GOLDEN=write`` writes the golden files anew.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_sites import (
    PATH,
    all_kinds,
    edit_report,
    edited,
    inventory,
    judged,
    plan_of,
    plan_report,
    problem_report,
    site,
    status_report,
)
from rich.console import Console

from stepbridge_migrate.codes import CODES
from stepbridge_migrate.landing import unified
from stepbridge_migrate.model import Check, Disposition, Finding, Place
from stepbridge_migrate.problems import Exit
from stepbridge_migrate.render import DATA, markdown
from stepbridge_migrate.render.diff import coloured
from stepbridge_migrate.render.text import console, put, render_text
from stepbridge_migrate.report import Edited, Outcome, Report, RulePage, Sample

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/migrate-1.schema.json").read_text())


def code_of(disposition: Disposition, start: str) -> str:
    return next(
        one for one in sorted(CODES) if one.startswith(start) and CODES[one].disposition is disposition
    )


REFUSE, WARN = code_of(Disposition.REFUSE, "SM2"), code_of(Disposition.WARN, "SM3")
KEEP = code_of(Disposition.KEEP, "SM1")
REPORTS = {
    "scan": Report(
        "scan", Outcome.SHOWN, Exit.DONE, "/project", inventory=all_kinds(REFUSE, WARN, KEEP, "SM402")
    ),
    "edit": edit_report(),
    "plan": plan_report(),
    "status": status_report("SM513"),
    "explain": Report("explain", Outcome.SHOWN, Exit.DONE, pages=(CODES["SM413"],)),
    "rules": Report(
        "rules",
        Outcome.SHOWN,
        Exit.DONE,
        rules=(
            RulePage(
                "python_operator/1",
                "Changes the class.",
                "More.",
                (Sample("plain", "a = b()\n", "a = c()\n"),),
                (REFUSE,),
            ),
        ),
    ),
    "problem": problem_report(),
}


def shown(report: Report, *, width: int = 80, verbosity: int = 0, encoding: str = "utf-8") -> str:
    """What a terminal of that width and encoding gets, without trailing blanks."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", newline="")
    into = Console(file=file, width=width, no_color=True, highlight=False, markup=False, emoji=False)
    put(into, render_text(report, verbosity=verbosity))
    file.flush()
    return "".join(f"{line.rstrip()}\n" for line in raw.getvalue().decode(encoding).splitlines())


def compare(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("STEPBRIDGE_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text(), f"{name}: look at the change, then STEPBRIDGE_GOLDEN=write"


def closed(schema: Any) -> Any:
    """The schema with no room for fields that it does not name: what we print is all described."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        made["additionalProperties"] = False
    return made


@pytest.mark.parametrize("name", REPORTS)
def test_text(name: str) -> None:
    compare(f"{name}.txt", shown(REPORTS[name]))


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("form", DATA)
def test_data(name: str, form: str) -> None:
    text = re.sub(r'"version": "\d+\.\d+\.\d+\w*"', '"version": "V"', DATA[form](REPORTS[name]))
    compare(f"{name}.{form}", text)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", REPORTS)
def test_json_is_what_the_schema_says_and_nothing_else(name: str) -> None:
    document = json.loads(DATA["json"](REPORTS[name]))
    jsonschema.validate(document, closed(SCHEMA), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: it.pop("outcome"),
        lambda it: it.update(exit=7),
        lambda it: it["sites"][0].update(disposition="MAYBE"),
        lambda it: it["sites"][0]["place"].pop("line"),
        lambda it: it["sites"][0]["callable"]["reads"].update(files="none"),
    ],
)
def test_the_schema_refuses_what_is_wrong(spoil: Any) -> None:
    document = json.loads(DATA["json"](REPORTS["scan"]))
    spoil(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_json_is_ascii_and_keeps_every_character() -> None:
    text = DATA["json"](REPORTS["scan"])
    assert text.isascii()
    assert "größer" in {one["dag"] for one in json.loads(text)["sites"]}


@pytest.mark.parametrize("name", REPORTS)
def test_sarif_has_what_the_standard_requires(name: str) -> None:
    document = json.loads(DATA["sarif"](REPORTS[name]))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({one["id"] for one in rules}) == len(rules)
    for result in run["results"]:
        assert result["level"] in {"none", "note", "warning", "error"}
        assert (result["level"] == "none") == (result["kind"] != "fail")
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        for one in result["locations"]:
            place = one["physicalLocation"]
            assert re.fullmatch(r"[\w%/.,~-]+", place["artifactLocation"]["uri"])
            assert place["artifactLocation"]["uriBaseId"] in run["originalUriBaseIds"]
            assert place["region"]["startLine"] >= 1


def test_sarif_says_that_a_failed_check_is_no_success() -> None:
    failed = Edited(
        plan_of(site()), Outcome.UNVERIFIED, checks=(Check("structure", "failed", "pool differs"),)
    )
    report = Report("cutover", Outcome.UNVERIFIED, Exit.UNVERIFIED, "/project", edited=failed)
    (run,) = json.loads(DATA["sarif"](report))["runs"]
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "pool differs" in invocation["toolExecutionNotifications"][0]["message"]["text"]
    assert DATA["github"](report).startswith(
        f"::error file={PATH},line=12,title=structure failed::pool differs"
    )


def test_github_escapes_what_would_end_an_annotation() -> None:
    bad = Finding(REFUSE, "50%\nof it: a,b", Place("dags/a,b:c.py", 3))
    report = Report(
        "scan", Outcome.SHOWN, Exit.DONE, "/p", inventory=inventory(judged(site(), Disposition.REFUSE, bad))
    )
    (line,) = DATA["github"](report).splitlines()
    assert line.startswith("::warning file=dags/a%2Cb%3Ac.py,line=3,col=1,title=")
    assert line.endswith("::50%25%0Aof it: a,b")


def test_github_says_nothing_of_what_stays() -> None:
    kept = Finding(KEEP, "a branch", Place(PATH, 3))
    found = inventory(judged(site(), Disposition.KEEP, kept))
    assert DATA["github"](Report("scan", Outcome.SHOWN, Exit.DONE, "/p", inventory=found)) == ""


@pytest.mark.parametrize("name", sorted(REPORTS.keys() - {"explain", "rules", "plan"}))
@pytest.mark.parametrize("width", [30, 80, 200])
def test_text_keeps_to_the_width(name: str, width: int) -> None:
    assert max(len(line) for line in shown(REPORTS[name], width=width).splitlines()) <= width


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_text_on_a_terminal_without_utf8(name: str, encoding: str) -> None:
    text = shown(REPORTS[name], encoding=encoding)
    assert text.strip()
    if encoding == "ascii":
        assert text.isascii()


def test_a_quiet_scan_says_the_summary_and_what_was_not_read() -> None:
    lines = shown(REPORTS["scan"], verbosity=-1).splitlines()
    assert len([line for line in lines if line]) == 4
    assert "SM402" in lines[1]


def test_a_verbose_scan_says_every_message() -> None:
    text = " ".join(shown(REPORTS["scan"], verbosity=1).split())
    for one in REPORTS["scan"].inventory.sites:  # type: ignore[union-attr]
        for finding in one.findings:
            assert finding.message in text


def test_markup_in_a_task_id_is_text() -> None:
    found = inventory(judged(site("[red]load[/red] :smile: |x| `y` <b>")))
    report = Report("scan", Outcome.SHOWN, Exit.DONE, "/p", inventory=found)
    assert "[red]load[/red] :smile:" in shown(report, width=120)
    (row,) = [line for line in DATA["md"](report).splitlines() if "smile" in line]
    assert "`` [red]load[/red] :smile: \\|x\\| `y` <b> ``" in row or "``[red]load[/red]" in row
    assert len(re.findall(r"(?<!\\)\|", row)) == 7


@pytest.mark.parametrize(("color", "coloured"), [("auto", False), ("always", True), ("never", False)])
def test_colour_in_a_pipe(color: str, coloured: bool, capfd: pytest.CaptureFixture[str]) -> None:
    into = console(stderr=True, color=color)
    put(into, render_text(REPORTS["scan"]))
    assert ("\x1b[3" in capfd.readouterr().err) is coloured


def test_no_color_wins_over_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    file = io.StringIO()
    into = console(stderr=True, color="auto")
    into.file = file
    put(into, render_text(REPORTS["scan"]))
    assert "\x1b[3" not in file.getvalue()
    assert "\x1b[9" not in file.getvalue()


TEXTS = st.text(st.sampled_from("ab \t\r\n\f\x0b\x1c\u2028é"), max_size=30)


@given(TEXTS, TEXTS)
def test_git_applies_every_diff(before: str, after: str) -> None:
    diff = unified("f.py", before, after)
    assert (diff == "") is (before == after)
    removed = [line[1:] for line in diff.split("\n") if line.startswith("-") and not line.startswith("---")]
    added = [line[1:] for line in diff.split("\n") if line.startswith("+") and not line.startswith("+++")]
    assert set(removed) <= set(before.split("\n"))
    assert set(added) <= set(after.split("\n"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\nb\n", "a\nc\n"),
        ("a\r\nb\r\n", "a\r\nc\r\n"),
        ("a\nb", "a\nc"),
        ("a\fb\nc", "a\fb\nd\n"),
        ("a\rb\nc\n", "a\rb\nd\n"),
        ("\u2028x\ny\n", "\u2028x\nz\n"),
    ],
)
def test_a_diff_in_a_file_is_a_patch(before: str, after: str, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_bytes(before.encode())
    done = subprocess.run(
        ["git", "apply", "--whitespace=nowarn"],
        input=unified("f.py", before, after).encode(),
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "f.py").read_bytes() == after.encode()


def test_a_diff_on_a_terminal_shows_controls() -> None:
    text = coloured(unified("f.py", "a\x1b[31mb\r\n", "a\x1b[32mb\r\n")).plain
    assert "\x1b" not in text
    assert "-a\\x1b[31mb" in text


def test_the_codes_page_of_markdown_is_the_page() -> None:
    lines = "\n".join(markdown.page(CODES["SM413"]))
    assert CODES["SM413"].why in lines
    assert CODES["SM413"].before in lines


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_last_line(outcome: Outcome) -> None:
    last = shown(edit_report(outcome), width=120).splitlines()[-1]
    assert last.startswith("cutover of daily.train")
    assert edited(outcome=outcome).outcome is outcome
