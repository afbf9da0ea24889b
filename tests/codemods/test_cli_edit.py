"""``migrate shadow``, ``cutover`` and ``rollback`` on a real project: what is written, asked and refused."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest
from command_line import DAILY, ROOT, Migrate, environment, git, migrate, project, snapshot  # noqa: F401

SCHEMA = json.loads((ROOT / "docs/schemas/migrate-1.schema.json").read_text())
FILE = Path("dags/daily.py")


def text() -> str:
    return FILE.read_bytes().decode()


def test_a_dry_run_shows_a_patch_and_writes_nothing(project: Path, migrate: Migrate) -> None:
    before = snapshot(project)
    answer = migrate("cutover", "daily.extract")
    assert answer.code == 1
    assert "not written" in answer.err
    assert snapshot(project) == before
    subprocess.run(["git", "apply"], input=answer.out.encode(), cwd=project, check=True)
    patched = text()
    git(project, "checkout", "dags/daily.py")
    assert migrate("cutover", "daily.extract", "--write", "-y").code == 0
    assert text() == patched
    assert 'first = StepOperator(task_id="extract", python_callable=extract)' in patched


def test_check_only_answers(project: Path, migrate: Migrate) -> None:
    before = snapshot(project)
    answer = migrate("cutover", "daily.extract", "--check", "-q")
    assert (answer.code, answer.out) == (1, "")
    assert snapshot(project) == before


def test_write_is_quiet_about_the_diff_unless_asked(project: Path, migrate: Migrate) -> None:
    answer = migrate("shadow", "daily.extract", "--write", "--yes")
    assert (answer.code, answer.out) == (0, "")
    answer = migrate("cutover", "daily.extract", "--write", "--yes", "--diff", "--allow-dirty")
    assert answer.code == 0
    assert answer.out.startswith("--- a/dags/daily.py\n")


def test_a_second_run_has_nothing_to_do(project: Path, migrate: Migrate) -> None:
    for action in ("shadow", "cutover"):
        assert migrate(action, "daily.train", "--write", "--yes", "--allow-dirty").code == 0
        before = snapshot(project)
        answer = migrate(action, "daily.train", "--write", "--yes", "--allow-dirty")
        assert (answer.code, answer.out) == (0, "")
        assert "nothing to do" in answer.err
        assert snapshot(project) == before


def test_shadow_then_cutover_is_cutover_and_rollback_is_the_old_file(project: Path, migrate: Migrate) -> None:
    moving = ("--gpu", "1", "--write", "--yes", "--allow-dirty")
    assert migrate("cutover", "daily.train", *moving).code == 0
    direct = text()
    assert migrate("rollback", "daily.train", "--write").code == 0
    assert text() == DAILY
    assert migrate("shadow", "daily.train", *moving).code == 0
    shadowed = text()
    assert migrate("cutover", "daily.train", *moving).code == 0
    assert text() == direct
    assert migrate("rollback", "daily.train", "--write").code == 0
    assert text() == shadowed
    assert migrate("rollback", "daily.train", "--write").code == 0
    assert text() == DAILY
    answer = migrate("rollback", "daily.train", "--write")
    assert answer.code in {0, 3}
    assert text() == DAILY


def test_status_follows_the_way(project: Path, migrate: Migrate) -> None:
    def stage() -> str:
        tasks = json.loads(migrate("status", "--format", "json").out)["status"]["tasks"]
        return next(one["stage"] for one in tasks if one["task"] == "daily.train")

    stages = [stage()]
    for action in ("shadow", "cutover", "rollback", "rollback"):
        assert migrate(action, "daily.train", "--write", "-y", "--allow-dirty").code == 0
        stages.append(stage())
        assert migrate("status", "--check").code == 0
    assert stages == ["legacy", "shadow", "cutover", "shadow", "legacy"]


def test_status_finds_that_the_source_went_back_without_the_ledger(project: Path, migrate: Migrate) -> None:
    assert migrate("cutover", "daily.train", "--write", "-y").code == 0
    git(project, "checkout", "dags/daily.py")
    answer = migrate("status", "--check")
    assert answer.code == 1
    assert "the ledger says cutover, the source says legacy" in answer.err
    assert migrate("status").code == 0
    assert migrate("status", "--write").code == 0
    assert migrate("status", "--check").code == 0
    FILE.unlink()
    assert migrate("status", "--check").code == 0


def test_status_finds_a_moved_task_whose_file_is_gone(project: Path, migrate: Migrate) -> None:
    assert migrate("cutover", "daily.train", "--write", "-y").code == 0
    FILE.unlink()
    answer = migrate("status", "--format", "json", "--check")
    assert answer.code == 1
    (lost,) = json.loads(answer.out)["status"]["lost"]
    assert (lost["code"], lost["place"]["path"]) == ("SM513", "dags/daily.py")
    assert migrate("status", "--write").code == 0
    assert migrate("status", "--check").code == 0


@pytest.mark.parametrize("task", ["daily.gate", "daily.shout"])
@pytest.mark.parametrize("action", ["shadow", "cutover"])
def test_what_does_not_move_ends_with_3(task: str, action: str, project: Path, migrate: Migrate) -> None:
    before = snapshot(project)
    answer = migrate(action, task, "--write", "--yes")
    assert answer.code == 3
    assert "refused; nothing is changed" in answer.err
    assert f"{FILE}:" in answer.err
    assert snapshot(project) == before


def test_rollback_of_what_was_never_moved_is_refused_or_nothing(project: Path, migrate: Migrate) -> None:
    before = snapshot(project)
    answer = migrate("rollback", "daily.train", "--write")
    assert answer.code in {0, 3}
    assert snapshot(project) == before


def test_a_file_with_uncommitted_changes_is_refused(project: Path, migrate: Migrate) -> None:
    FILE.write_text(DAILY + "\n# mine\n")
    answer = migrate("cutover", "daily.train", "--write", "--yes")
    assert answer.code == 3
    assert "--allow-dirty" in answer.err
    assert text() == DAILY + "\n# mine\n"
    assert migrate("cutover", "daily.train", "--write", "--yes", "--allow-dirty").code == 0


def test_needs_come_from_settings_and_options(project: Path, migrate: Migrate) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.stepbridge.step]\nimage = "registry/steps:7"\n'
        '[tool.stepbridge.tasks."daily.train"]\nmemory = "8Gi"\ncache = "auto"\n'
    )
    out = migrate("cutover", "daily.train", "--memory", "16Gi", "--set", "pool='gpu'", "--timeout", "90m").out
    for word in ('image="registry/steps:7"', 'memory="16Gi"', 'cache="auto"', "pool='gpu'", "minutes=90"):
        assert word in out, out
    assert "8Gi" not in out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--memory", "lots"), "is not a quantity"),
        (("--gpu", "A10G:x"), "is not a GPU request"),
        (("--cache", "autto"), "did you mean 'auto'?"),
        (("--timeout", "soon"), "write 30s, 90m, 2h or 1d"),
        (("--set", "pool"), "has no '='"),
        (("--set", "pool=a b"), "is not one Python expression"),
        (("--set", "image='x'"), "use --image"),
        (("--set", "task_id='x'"), "comes from the old call"),
    ],
)
def test_a_wrong_option_is_said_before_anything_is_read(
    options: tuple[str, str], says: str, project: Path, migrate: Migrate
) -> None:
    answer = migrate("cutover", "daily.train", *options, "--write")
    assert answer.code == 2
    assert says in " ".join(answer.err.split())


def test_edits_as_data(project: Path, migrate: Migrate) -> None:
    answer = migrate("cutover", "daily.extract", "--format", "json")
    document = json.loads(answer.out)
    jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert (answer.code, document["exit"], document["outcome"]) == (1, 1, "pending")
    assert {one["name"]: one["status"] for one in document["edit"]["checks"]} == {
        "parses": "passed",
        "outside-unchanged": "passed",
        "stable": "passed",
        "inverse": "passed",
        "imports": "skipped",
        "structure": "skipped",
    }
    assert "```diff" in migrate("cutover", "daily.extract", "--format", "md").out
    assert json.loads(migrate("cutover", "daily.gate", "--format", "sarif").out)["runs"][0]["results"]
    written = json.loads(migrate("cutover", "daily.extract", "--format", "json", "--write", "-y").out)
    assert (written["outcome"], written["edit"]["written"]) == ("done", True)


def test_a_latin_1_file_with_windows_line_ends_keeps_its_bytes(project: Path, migrate: Migrate) -> None:
    data = ("# -*- coding: latin-1 -*-\n" + DAILY).replace("\n", "\r\n").encode("latin-1")
    FILE.write_bytes(data)
    git(project, "add", "."), git(project, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x")
    assert migrate("cutover", "daily.train", "--write", "-y").code == 0
    moved = FILE.read_bytes()
    assert b"StepOperator(\r\n" in moved
    assert "café".encode("latin-1") in moved
    assert b"\n" not in moved.replace(b"\r\n", b"")
    assert migrate("rollback", "daily.train", "--write").code == 0
    assert FILE.read_bytes() == data


def test_a_loop_is_one_edit(project: Path, migrate: Migrate) -> None:
    answer = migrate("cutover", "daily.load_eu", "--write", "--yes")
    assert answer.code == 0
    assert 'gate >> StepOperator(task_id=f"load_{region}"' in text()
    assert migrate("rollback", "daily.load_*", "--write").code == 0
    assert text() == DAILY


def test_a_shadow_stands_in_the_block_of_a_dag_that_begins_with_a_decorator(
    project: Path, migrate: Migrate
) -> None:
    FILE.write_text(
        "from airflow.sdk import DAG, task\n\nwith DAG('d') as dag:\n\n    @task\n    def f():\n"
        "        return 1\n\n    f()\n"
    )
    assert migrate("shadow", "d.f", "--write", "--yes", "--allow-dirty").code == 0
    assert text().splitlines()[-1] == '    shadow("f")'


def test_by_path_and_line(project: Path, migrate: Migrate) -> None:
    line = DAILY.splitlines().index("        retries=2,  # the cluster is flaky") + 1
    answer = migrate("cutover", f"dags/daily.py:{line}")
    assert "cutover of daily.train" in answer.err


@dataclass
class Terminal:
    """A command at a terminal of its own."""

    process: subprocess.Popen[bytes]
    handle: int
    seen: str = ""

    def until(self, word: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while word not in self.seen:
            ready, _, _ = select.select([self.handle], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {word!r} in {self.seen!r}"
            try:
                got = os.read(self.handle, 4096)
            except OSError:
                got = b""
            assert got, f"it ended without {word!r}: {self.seen!r}"
            self.seen += got.decode()

    def type(self, keys: str) -> None:
        os.write(self.handle, keys.encode())

    def interrupt(self) -> int:
        """Press Ctrl-C, again where the process was just about to wait for keys and missed it."""
        for _ in range(10):
            self.process.send_signal(signal.SIGINT)
            try:
                return self.end(seconds=3)
            except TimeoutError:
                continue
        raise AssertionError(f"it goes on: {self.seen!r}")

    def end(self, seconds: float = 60) -> int:
        end = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self.handle], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError(self.seen)
            try:
                got = os.read(self.handle, 4096)
            except OSError:
                break
            if not got:
                break
            self.seen += got.decode(errors="replace")
        return self.process.wait(30)


@pytest.fixture
def terminal(project: Path) -> Callable[..., Terminal]:
    """Starts a command with a terminal for all three streams, and without an Airflow."""
    opened: list[Terminal] = []

    def start(*arguments: str, **more: str) -> Terminal:
        master, slave = pty.openpty()
        code = (
            "import sys\nsys.modules['airflow'] = None\n"
            "from stepbridge_migrate import cli\nsys.exit(cli.main(sys.argv[1:]))"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=project,
            env=environment(TERM="xterm-256color", **more),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        opened.append(Terminal(process, master))
        return opened[-1]

    yield start
    for one in opened:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        os.close(one.handle)


WARNED = ("cutover", "daily.warned", "--write")


@pytest.fixture
def warned(project: Path, migrate: Migrate) -> None:
    """A task whose edit has a warning."""
    more = DAILY.replace(
        "    first >> train >> gate\n",
        "    PythonOperator(task_id='warned', python_callable=post)\n    first >> train >> gate\n",
    ).replace(
        "def load(region)",
        "def post():\n    from airflow.hooks.base import BaseHook\n"
        "    return BaseHook.get_connection('lake').host\n\n\ndef load(region)",
    )
    FILE.write_text(more, encoding="utf-8")
    git(project, "add", "."), git(project, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x")
    document = json.loads(migrate("plan", "daily.warned", "--format", "json").out)
    assert document["plan"]["edits"][1]["disposition"] == "WARN"


@pytest.mark.parametrize(("keys", "code", "written"), [("y\n", 0, True), ("n\n", 1, False), ("\n", 1, False)])
def test_a_person_is_asked_before_an_edit_with_warnings(
    keys: str, code: int, written: bool, terminal: Callable[..., Terminal], warned: None
) -> None:
    before = text()
    shown = terminal(*WARNED)
    shown.until("Write it?")
    assert "SM3" in shown.seen
    assert "\x1b[32m+" in shown.seen
    assert text() == before
    shown.type(keys)
    assert shown.end() == code, shown.seen
    assert (text() != before) is written
    assert Path("migration/ledger.json").exists() is written


def test_control_c_at_the_question_leaves_everything(terminal: Callable[..., Terminal], warned: None) -> None:
    before = text()
    shown = terminal(*WARNED)
    shown.until("Write it?")
    assert shown.interrupt() == 130
    assert "interrupted" in shown.seen
    assert text() == before


def test_yes_answers_the_question(terminal: Callable[..., Terminal], warned: None) -> None:
    shown = terminal(*WARNED, "--yes")
    assert shown.end() == 0
    assert "Write it?" not in shown.seen
    assert "StepOperator(task_id='warned'" in text()


def test_without_a_terminal_nobody_is_asked(project: Path, migrate: Migrate, warned: None) -> None:
    assert migrate(*WARNED).code == 0
    assert "StepOperator(task_id='warned'" in text()


def test_no_color_at_a_terminal(terminal: Callable[..., Terminal], warned: None) -> None:
    shown = terminal("scan", NO_COLOR="1")
    assert shown.end() == 0
    assert "\x1b[3" not in shown.seen
    assert "daily.py" in shown.seen


def test_a_long_scan_shows_progress_at_a_terminal(terminal: Callable[..., Terminal], project: Path) -> None:
    for number in range(180):
        (project / f"dags/copy_{number}.py").write_text(DAILY, encoding="utf-8")
    shown = terminal("scan")
    shown.until("reading")
    assert shown.end() == 0
    assert "\x1b[2K" in shown.seen


@pytest.mark.airflow
@pytest.mark.slow
def test_with_the_projects_airflow_an_edit_is_proven_or_stopped(project: Path, migrate: Migrate) -> None:
    """An argument that no step takes is found by the project's own Airflow: exit 4, nothing written."""
    if not list(metadata.distributions(name="apache-airflow-core")) + list(
        metadata.distributions(name="apache-airflow")
    ):
        pytest.skip("there is no Airflow in this environment")
    before = snapshot(project)
    asked = (
        "cutover",
        "daily.extract",
        "--airflow-python",
        sys.executable,
        "--write",
        "--yes",
        "--format",
        "json",
    )
    answer = migrate(*asked, "--set", "no_such_argument=1")
    checks = {one["name"]: one for one in json.loads(answer.out)["edit"]["checks"]}
    assert answer.code == 4, answer.out
    assert checks["imports"]["status"] == "failed"
    assert "no_such_argument" in checks["imports"]["detail"]
    assert snapshot(project) == before
    answer = migrate(*asked)
    checks = {one["name"]: one["status"] for one in json.loads(answer.out)["edit"]["checks"]}
    assert answer.code == 0, answer.out
    assert set(checks.values()) == {"passed"}
