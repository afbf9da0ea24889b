"""An edit lands whole, or everything is as it was."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from edited_dags import Case, named
from hypothesis import given
from hypothesis import strategies as st

from stepbridge_migrate import placing
from stepbridge_migrate.edits import apply, invert
from stepbridge_migrate.landing import Landing, Texts, land, unified
from stepbridge_migrate.model import Check, Disposition, Plan
from stepbridge_migrate.problems import Exit, MigrateProblem
from stepbridge_migrate.report import Outcome

CASE = named("right")
needs_airflow = pytest.mark.airflow


def snapshot(root: Path) -> dict[str, tuple[int, int, str]]:
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        text = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(root))] = (status.st_mtime_ns, status.st_mode, text)
    return found


@dataclass(frozen=True)
class Project:
    """A folder with one DAG file and its edit."""

    root: Path
    case: Case
    plan: Plan

    @property
    def file(self) -> Path:
        return self.root / "dags" / f"{self.case.name}.py"

    @property
    def ledger(self) -> Path:
        return self.root / "migration" / "ledger.json"

    def undo(self, texts: Texts) -> Texts:
        change = self.plan.changes[0]
        return {change.path: apply(texts[change.path], invert(change.edits))}

    def again(self, texts: Texts) -> Plan:
        assert list(texts) == [self.plan.changes[0].path]
        return replace(self.plan, changes=())

    def records(self, checks: Sequence[Check]) -> Mapping[Path, bytes]:
        return {self.ledger: repr([check.status for check in checks]).encode()}

    def land(self, *, write: bool, **given: object) -> Landing:
        options = {"again": self.again, "undo": self.undo, "records": self.records, **given}
        return land(self.root, self.plan, write=write, **options)  # type: ignore[arg-type]


def made(root: Path, case: Case = CASE, first_line: str = "import not_there\n") -> Project:
    """A project whose file does not import, so that Airflow is not asked for long."""
    path = f"dags/{case.name}.py"
    text = first_line + case.before
    plan = case.plan(path)
    edits = tuple(replace(one, start=one.start + len(first_line)) for one in plan.changes[0].edits)
    plan = replace(plan, changes=(replace(plan.changes[0], edits=edits),))
    project = Project(root, case, plan)
    project.file.parent.mkdir(parents=True)
    project.file.write_text(text)
    return project


@pytest.fixture
def airflow_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where migrate is installed without Airflow: there is no such module to find."""
    real = sys.meta_path[:]

    class Hides:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> object:
            if name == "airflow":
                raise ModuleNotFoundError(name)
            return None

    monkeypatch.setattr(sys, "meta_path", [Hides, *real])
    monkeypatch.delitem(sys.modules, "airflow", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def statuses(landing: Landing) -> dict[str, str]:
    return {check.name: check.status for check in landing.checks}


@pytest.mark.usefixtures("airflow_absent")
class TestWithoutAirflow:
    """All that does not ask Airflow."""

    def test_a_dry_run_touches_nothing_even_where_it_may_not_write(self, tmp_path: Path) -> None:
        project = made(tmp_path)
        for path in (project.file, project.file.parent, tmp_path):
            path.chmod(path.stat().st_mode & ~0o222)
        before = snapshot(tmp_path)
        try:
            landing = project.land(write=False)
        finally:
            tmp_path.chmod(0o755)
            project.file.parent.chmod(0o755)
        assert landing.exit is Exit.PENDING
        assert not landing.written
        assert {**before} == {
            name: (times, mode & ~0o222 if name == "dags" else mode, text)
            for name, (times, mode, text) in snapshot(tmp_path).items()
        }

    def test_what_could_not_be_asked_is_skipped_and_never_passed(self, tmp_path: Path) -> None:
        landing = made(tmp_path).land(write=False)
        assert statuses(landing) == {
            "parses": "passed",
            "outside-unchanged": "passed",
            "stable": "passed",
            "inverse": "passed",
            "imports": "skipped",
            "structure": "skipped",
        }
        assert "--airflow-python" in landing.checks[-1].detail

    def test_a_written_edit_is_in_the_file_with_its_record(self, tmp_path: Path) -> None:
        project = made(tmp_path)
        project.file.chmod(0o640)
        landing = project.land(write=True)
        assert (landing.outcome, landing.exit, landing.written) == (Outcome.DONE, Exit.DONE, True)
        assert "train = StepOperator(" in project.file.read_text()
        assert project.file.stat().st_mode & 0o777 == 0o640
        assert project.ledger.read_bytes().startswith(b"['passed'")
        assert sorted(path.name for path in tmp_path.rglob("*")) == [
            "dags",
            "ledger.json",
            "migration",
            "right.py",
        ]

    def test_a_symbolic_link_stays_one(self, tmp_path: Path) -> None:
        project = made(tmp_path / "project")
        real = tmp_path / "elsewhere.py"
        project.file.rename(real)
        project.file.symlink_to(real)
        assert project.land(write=True).written
        assert project.file.is_symlink()
        assert "StepOperator(" in real.read_text()

    def test_the_diff_makes_the_edit_by_git_apply(self, tmp_path: Path) -> None:
        project = made(tmp_path)
        landing = project.land(write=False)
        subprocess.run(["git", "apply", "-"], input=landing.diff.encode(), cwd=tmp_path, check=True)
        applied = project.file.read_text()
        project.file.write_text("import not_there\n" + CASE.before)
        project.land(write=True)
        assert project.file.read_text() == applied

    def test_an_unstable_edit_is_not_written(self, tmp_path: Path) -> None:
        project = made(tmp_path)
        before = snapshot(tmp_path)
        landing = project.land(write=True, again=lambda texts: project.plan)
        assert landing.exit is Exit.UNVERIFIED
        assert [check.name for check in landing.failed] == ["stable"]
        assert "imports" not in statuses(landing)
        assert snapshot(tmp_path) == before

    def test_an_edit_that_cannot_be_taken_back_is_not_written(self, tmp_path: Path) -> None:
        project = made(tmp_path)
        landing = project.land(write=True, undo=lambda texts: texts)
        assert landing.exit is Exit.UNVERIFIED
        assert "StepOperator(" not in project.file.read_text()

    def test_nothing_to_do_and_refused_read_nothing(self, tmp_path: Path) -> None:
        project = made(tmp_path)
        project.file.unlink()
        plan = replace(project.plan, changes=())
        assert land(tmp_path, plan, write=True).exit is Exit.DONE
        refused = replace(plan, disposition=Disposition.REFUSE)
        assert land(tmp_path, refused, write=True).exit is Exit.REFUSED

    def test_a_file_that_changed_since_the_plan_is_left_alone(self, tmp_path: Path) -> None:
        project = made(tmp_path)
        project.file.write_text("# new\n" + project.file.read_text())
        with pytest.raises(MigrateProblem) as caught:
            project.land(write=True)
        assert caught.value.code == "SM514"

    def test_a_file_that_changes_during_the_checks_is_left_alone(self, tmp_path: Path) -> None:
        project = made(tmp_path)

        def again(texts: Texts) -> Plan:
            project.file.write_text("# somebody's\n")
            return replace(project.plan, changes=())

        with pytest.raises(MigrateProblem, match="changed while it was checked"):
            project.land(write=True, again=again)
        assert project.file.read_text() == "# somebody's\n"
        assert not project.ledger.exists()

    def test_a_record_that_cannot_be_written_leaves_the_file(self, tmp_path: Path) -> None:
        project = made(tmp_path)
        (tmp_path / "migration").write_text("a file is in the way")
        before = snapshot(tmp_path)
        with pytest.raises(MigrateProblem) as caught:
            project.land(write=True)
        assert caught.value.code == "SM515"
        assert snapshot(tmp_path) == before

    def test_uncommitted_work_is_refused(self, tmp_path: Path) -> None:
        project = made(tmp_path)
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
            subprocess.run([*git, *command], cwd=tmp_path, check=True)
        other = project.root / "other.txt"
        other.write_text("untracked files do not count")
        assert project.land(write=True).written
        project.file.write_text(project.file.read_text().replace("StepOperator(", "PythonOperator("))
        plan = made(tmp_path / "again").plan
        subprocess.run([*git, "checkout", "-q", "--", "dags"], cwd=tmp_path, check=True)
        project.file.write_text(project.file.read_text() + "# work\n")
        before = project.file.read_bytes()
        with pytest.raises(MigrateProblem) as caught:
            land(tmp_path, plan, write=True)
        assert (caught.value.code, caught.value.exit_code) == ("SM507", Exit.REFUSED)
        assert project.file.read_bytes() == before
        assert land(tmp_path, plan, write=False).exit is Exit.PENDING
        assert land(tmp_path, plan, write=True, allow_dirty=True).written


def test_two_at_the_same_time_wait_for_each_other(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from stepbridge_migrate import placing\n"
        "with placing.alone(pathlib.Path(sys.argv[1])): print('in', flush=True); time.sleep(30)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with pytest.raises(MigrateProblem) as caught, placing.alone(tmp_path, patience=0.2):
            pytest.fail("both are in")
        assert caught.value.code == "SM508"
        other.kill()
    with placing.alone(tmp_path, patience=5):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_writing_restores_every_file(tmp_path: Path, number: int) -> None:
    (tmp_path / "a.py").write_text("old a")
    (tmp_path / "b.py").write_text("old b")
    before = snapshot(tmp_path)
    code = """
        import pathlib, sys, time
        from stepbridge_migrate import placing
        root = pathlib.Path(sys.argv[1])
        def confirm():
            assert (root / "a.py").read_text() == "new"
            print("written", flush=True)
            time.sleep(30)
        files = {root / "new" / "ledger.json": b"x", root / "a.py": b"new", root / "b.py": b"new"}
        try:
            placing.place(files, confirm)
        except KeyboardInterrupt:
            sys.exit(130)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(number)
        assert process.wait(20) == 130
    after = snapshot(tmp_path)
    assert after == before


def test_a_kill_leaves_each_file_old_or_new(tmp_path: Path) -> None:
    old, new = b"old" * 100_000, b"new" * 100_000
    path = tmp_path / "a.py"
    path.write_bytes(old)
    code = (
        "import pathlib, sys; from stepbridge_migrate import placing\n"
        "path = pathlib.Path(sys.argv[1]); print('go', flush=True)\n"
        "while True:\n"
        "    placing.replace(path, b'new' * 100_000); placing.replace(path, b'old' * 100_000)"
    )
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            for _ in range(20):
                assert path.read_bytes() in (old, new)
            time.sleep(0.02)
            process.kill()
        assert path.read_bytes() in (old, new)


def test_a_failure_after_writing_restores_bytes_times_and_folders(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"old")
    os.utime(path, ns=(10**18, 10**18))
    before = snapshot(tmp_path / "a.py"), path.stat().st_mtime_ns

    def confirm() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        placing.place({tmp_path / "new" / "deep" / "x": b"1", path: b"new"}, confirm)
    assert (snapshot(tmp_path / "a.py"), path.stat().st_mtime_ns) == before
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.py"]


@given(st.lists(st.sampled_from(["a\n", "b\r\n", "c", "\x0c\n", "d\r"]), max_size=8), st.integers(0, 7))
def test_a_diff_says_where_a_file_ends_without_a_newline(lines: list[str], cut: int) -> None:
    before = "".join(lines)
    after = "".join([*lines[:cut], "new\n", *lines[cut + 1 :]])
    for side, marks in ((before, " -"), (after, " +")):
        diff = unified("x.py", before, after).split("\n")
        body = [line for line in diff[2:] if line and not line.startswith(("@@", "\\"))]
        assert all(line[0] in " +-" for line in body)
        whole = "\n".join(line[1:] for line in body if line[0] in marks)
        assert whole == "" or whole in side


@needs_airflow
def test_with_airflow_a_right_edit_lands_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    pytest.importorskip("airflow")
    wrong = made(tmp_path / "wrong", named("shadow_touches"), "import math\n")
    before = snapshot(wrong.root)
    landing = wrong.land(write=True)
    assert landing.exit is Exit.UNVERIFIED
    assert [check.name for check in landing.failed] == ["structure"]
    assert "task 'g.train': pool was 'gpu'" in landing.failed[0].detail
    assert snapshot(wrong.root) == before
    right = made(tmp_path / "right", named("shadow"), "import math\n")
    landing = right.land(write=True)
    assert set(statuses(landing).values()) == {"passed"}, landing.checks
    assert landing.written
