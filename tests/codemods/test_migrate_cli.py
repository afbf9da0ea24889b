"""The entry point: usage, errors, exit codes, what reads no project, and completion."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from command_line import ROOT, Answer, Migrate, environment, process, project  # noqa: F401

from stepbridge import __version__
from stepbridge_migrate import cli
from stepbridge_migrate.codes import CODES
from stepbridge_migrate.commands.app import LATER

COMMANDS = (
    "scan",
    "plan",
    "shadow",
    "report",
    "cutover",
    "rollback",
    "status",
    "explain",
    "rules",
    "completion",
)


@pytest.fixture
def migrate(capfd: pytest.CaptureFixture[str]) -> Migrate:
    def run(*arguments: str) -> Answer:
        capfd.readouterr()
        code = cli.main(arguments)
        return Answer(code, *capfd.readouterr())

    return run


def one_line(answer: Answer) -> str:
    """The whole of standard error, which is one line of migrate's."""
    (line,) = answer.err.splitlines()
    assert line.startswith("migrate: ")
    assert answer.out == ""
    return line


def test_version(migrate: Migrate) -> None:
    assert migrate("--version") == Answer(0, f"stepbridge {__version__}\n", "")


def test_help_lists_every_command(migrate: Migrate) -> None:
    answer = migrate("--help")
    assert answer.code == 0
    for name in (*COMMANDS, *LATER):
        assert f"\n  {name}" in answer.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_fits_a_terminal(name: str, migrate: Migrate) -> None:
    answer = migrate(name, "--help")
    assert answer.code == 0
    assert "Usage: migrate" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 100


def test_no_command_shows_help_and_is_wrong_usage(migrate: Migrate) -> None:
    answer = migrate()
    assert answer.code == 2
    assert "scan" in answer.err
    assert answer.out == ""


@pytest.mark.parametrize("name", LATER)
def test_a_later_command_says_so(name: str, migrate: Migrate) -> None:
    for arguments in ((name,), (name, "daily.train", "--write", "--whatever=1")):
        answer = migrate(*arguments)
        assert answer.code == 2
        assert f"'{name}' is not in stepbridge {__version__}" in one_line(answer)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("scna",), "No such command 'scna'"),
        (("scan", "--formt", "json"), "No such option"),
        (("scan", "--format", "xml"), "'xml' is not one of"),
        (("scan", "-j", "many"), "is not a valid integer"),
        (("scan", "-j", "-1"), "not in the range"),
        (("scan", "--root", "/nowhere/at/all"), "does not exist"),
        (("scan", "-q", "-v"), "exclude each other"),
        (("cutover",), "Missing argument"),
        (("cutover", "a.b", "--write", "--check"), "exclude each other"),
        (("completion", "tcsh"), "'tcsh' is not one of"),
    ],
)
def test_wrong_usage_is_one_line_and_names_help(
    arguments: tuple[str, ...],
    says: str,
    migrate: Migrate,
    project: Path,
) -> None:
    answer = migrate(*arguments)
    assert answer.code == 2
    line = one_line(answer)
    assert says in line
    assert "--help" in line


def test_explain_shows_the_page(migrate: Migrate) -> None:
    answer = migrate("explain", "sm413")
    page = CODES["SM413"]
    assert answer.code == 0
    assert page.title in answer.out
    assert "".join(page.before.split()) in "".join(answer.out.split())
    assert answer.err == ""


def test_explain_without_a_code_shows_all(migrate: Migrate) -> None:
    document = json.loads(migrate("explain", "--format", "json").out)
    assert [one["id"] for one in document["codes"]] == sorted(CODES)


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_a_page_of_markdown(code: str, migrate: Migrate) -> None:
    answer = migrate("explain", code, "--format", "md")
    assert answer.out.startswith(f"## {code}\n")
    assert CODES[code].why in answer.out


def test_explain_of_an_unknown_code_names_the_nearest(migrate: Migrate) -> None:
    answer = migrate("explain", "SM5211")
    assert answer.code == 2
    assert "SM521" in answer.err


def test_rules_have_examples_and_refusals_that_exist(migrate: Migrate) -> None:
    document = json.loads(migrate("rules", "--format", "json").out)
    schema = json.loads((ROOT / "docs/schemas/migrate-1.schema.json").read_text())
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    names = [one["name"] for one in document["rules"]]
    assert len(names) == len(set(names)) >= 8
    for rule in document["rules"]:
        assert rule["title"]
        assert rule["examples"]
        assert set(rule["refusals"]) <= set(CODES)


def test_a_rule_by_its_short_name(migrate: Migrate) -> None:
    full = json.loads(migrate("rules", "--format", "json").out)["rules"][0]["name"]
    short = full.partition("/")[0]
    assert json.loads(migrate("rules", short, "--format", "json").out)["rules"][0]["name"] == full
    answer = migrate("rules", short + "x")
    assert answer.code == 2
    assert full in answer.err


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -o"), ("zsh", "#compdef"), ("fish", "complete ")]
)
def test_completion_prints_a_script(shell: str, word: str, migrate: Migrate) -> None:
    answer = migrate("completion", shell)
    assert answer.code == 0
    assert word in answer.out
    assert "_MIGRATE_COMPLETE" in answer.out


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("cutover dai", {"daily.extract", "daily.train", "daily.load_eu"}),
        ("shadow daily.tr", {"daily.train"}),
        ("plan nothing", set()),
        ("expl", {"explain"}),
        ("explain SM41", {"SM411", "SM412", "SM413", "SM414"}),
        ("cutover daily.train --form", {"--format"}),
    ],
)
def test_completion_answers_in_a_shell(typed: str, expected: set[str], project: Path) -> None:
    words = f"migrate {typed}"
    answer = process(
        project,
        _MIGRATE_COMPLETE="bash_complete",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split()) - 1),
    )
    found = {line.partition(",")[2] for line in answer.out.splitlines() if line}
    assert expected <= found, answer.err
    assert expected or not found


def test_an_internal_error_is_one_line_with_what_to_report(
    migrate: Migrate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(self: Path, *_: object, **__: object) -> bytes:
        raise ZeroDivisionError("a defect")

    (tmp_path / "dag.py").write_text("from airflow import DAG\ntask = PythonOperator()\n")
    monkeypatch.setattr(Path, "read_bytes", broken)
    answer = migrate("scan", str(tmp_path))
    assert answer.code == 2
    line = one_line(answer)
    assert "internal error: ZeroDivisionError" in line
    assert "--traceback" in line
    answer = migrate("scan", str(tmp_path), "--traceback")
    assert "Traceback" in answer.err
    assert answer.code == 2


def test_a_reader_that_goes_away_is_no_error(project: Path) -> None:
    command = f"{sys.executable} -m stepbridge_migrate.cli explain --format md; echo code $? >&2"
    done = subprocess.run(
        ["bash", "-c", f"({command}) | head -1"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == "code 0\n"


def test_without_its_libraries_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys\nfor name in ('click', 'rich', 'libcst'): sys.modules[name] = None\n"
        "from stepbridge_migrate import cli\nsys.exit(cli.main(sys.argv[1:]))"
    )
    for arguments in (("scan",), (), ("cutover", "a.b", "--write")):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr == "migrate: it needs libcst, click, rich: pip install 'stepbridge[migrate]'\n"


def test_migrate_exit_codes_are_documented() -> None:
    from stepbridge_migrate.problems import Exit

    page = (ROOT / "docs/exit-codes.md").read_text().partition("## `migrate`")[2].partition("\n## ")[0]
    assert {int(line.split("|")[1]) for line in page.splitlines() if line[2:3].isdigit()} == set(
        map(int, Exit)
    )
