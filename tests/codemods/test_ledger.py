"""The ledger and the way back: exact, in any order, and when other parts of the file changed."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rule_checks import site

from stepbridge_migrate import ledger as ledgers
from stepbridge_migrate import rules
from stepbridge_migrate.edits import apply
from stepbridge_migrate.ledger import Ledger
from stepbridge_migrate.model import Check, Needs, State
from stepbridge_migrate.problems import MigrateProblem
from stepbridge_migrate.rollback import Rollback, rollback

TEXT = """\
from airflow import DAG
from airflow.operators.python import PythonOperator

with DAG("d"):
    a = PythonOperator(
        task_id="a",
        python_callable=fit,  # slow
        provide_context=True,
    )
    b = PythonOperator(task_id="b", python_callable=fit)
    c = PythonOperator(task_id="c", python_callable=fit)
    a >> b >> c
"""
AT = "2026-11-23T12:00:00Z"


@dataclass
class Project:
    """A file with its ledger, as the commands keep them."""

    folder: Path
    text: str = TEXT
    ledger: Ledger = field(default_factory=Ledger)

    def move(self, action: str, task: str, needs: Needs = Needs()) -> None:  # noqa: B008 - frozen
        found = site(self.folder, self.text, f"d.{task}")
        plan = rules.plan(action, found, needs, self.text)
        (change,) = plan.changes
        after = apply(self.text, change.edits)
        self.ledger = self.ledger.record(
            task=found.id,
            action=action,
            rule=plan.rule,
            change=change,
            before=self.text,
            after=after,
            at=AT,
            needs=needs,
            checks=[Check("parses", "passed")],
        )
        self.text = after
        self.ledger = ledgers.loads(ledgers.dumps(self.ledger))

    def asked(self, task: str) -> Rollback:
        return rollback(self.ledger, site(self.folder, self.text, f"d.{task}"), self.text)

    def back(self, task: str) -> None:
        done = self.asked(task)
        (change,) = done.plan.changes
        self.text = apply(self.text, change.edits)
        self.ledger = self.ledger.undone(path="dag.py", task=f"d.{task}", at=AT, entries=done.entries)
        self.ledger = ledgers.loads(ledgers.dumps(self.ledger))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


NEEDS = Needs(gpu="1", timeout="2h")


@pytest.mark.parametrize("action", ["shadow", "cutover"])
def test_one_move_and_back(project: Project, action: str) -> None:
    project.move(action, "a", NEEDS)
    assert project.text != TEXT
    project.back("a")
    assert project.text == TEXT
    entry = project.ledger.entry("dag.py", "d.a")
    assert entry is not None
    assert entry.state is State.LEGACY
    assert [one.action for one in entry.history] == [action, "rollback"]


def test_shadow_cutover_and_both_back(project: Project) -> None:
    project.move("shadow", "b", NEEDS)
    beside = project.text
    project.move("cutover", "b", NEEDS)
    project.back("b")
    assert project.text == beside
    project.back("b")
    assert project.text == TEXT


@pytest.mark.parametrize("order", itertools.permutations("abc"))
def test_three_moves_back_in_any_order(project: Project, order: tuple[str, ...]) -> None:
    for task in "abc":
        project.move("cutover", task, NEEDS)
    assert "PythonOperator" not in project.text
    for number, task in enumerate(order, start=1):
        project.back(task)
        compile(project.text, "dag.py", "exec")
        assert project.text.count("StepOperator(") == 3 - number
        assert ("import StepOperator" in project.text) is (number < 3)
        assert "import PythonOperator" in project.text
    assert project.text == TEXT


def test_back_when_other_lines_changed(project: Project) -> None:
    project.move("cutover", "a", NEEDS)
    project.text = project.text.replace("from airflow import DAG\n", "# ours\nfrom airflow import DAG\n")
    project.text = project.text.replace("    a >> b >> c\n", "    a >> [b, c]\n")
    project.back("a")
    changed = TEXT.replace("from airflow import DAG\n", "# ours\nfrom airflow import DAG\n")
    assert project.text == changed.replace("    a >> b >> c\n", "    a >> [b, c]\n")


def test_back_when_an_equal_call_stands_elsewhere(project: Project) -> None:
    project.move("cutover", "b")
    again = '    e = StepOperator(task_id="e", python_callable=fit)\n'
    project.text = project.text.replace('with DAG("d"):\n', f'with DAG("d"):\n{again}')
    project.back("b")
    assert again in project.text
    assert 'b = PythonOperator(task_id="b", python_callable=fit)' in project.text
    assert "import StepOperator" in project.text


def test_sm510_the_moved_text_itself_changed(project: Project) -> None:
    project.move("cutover", "a", NEEDS)
    project.text = project.text.replace("Resources(gpu=1)", "Resources(gpu=2)")
    done = project.asked("a")
    assert not done.plan.changes
    (finding,) = done.plan.findings
    assert finding.code == "SM510"
    for text in ("provide_context=True", "Resources(gpu=1)", "Resources(gpu=2)"):
        assert text in finding.message


def test_sm512_a_step_that_was_not_moved_by_migrate(project: Project) -> None:
    (finding,) = project.asked("a").plan.findings
    assert finding.code == "SM512"


def test_the_ledger_is_sorted_and_stable(project: Project) -> None:
    for task in "cab":
        project.move("cutover", task, NEEDS)
    text = ledgers.dumps(project.ledger)
    assert text == ledgers.dumps(ledgers.loads(text))
    document = json.loads(text)
    assert [one["task"] for one in document["entries"]] == ["d.a", "d.b", "d.c"]
    move = document["entries"][0]["moves"][0]
    assert move["needs"] == {"gpu": "1", "timeout": "2h"}
    assert move["rule"] == "python_operator/1"
    assert move["checks"] == [{"detail": "", "name": "parses", "status": "passed"}]
    roles = {one["role"] for entry in document["entries"] for one in entry["moves"][0]["segments"]}
    assert roles == {"call", "import"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[:-9], "JSONDecodeError"),
        (lambda text: text.replace('"schema": 1', '"schema": 9'), "schema 1"),
        (lambda text: text.replace("timedelta(hours=2)", "timedelta(hours=3)"), "digest"),
        (lambda text: text.replace('"path"', '"folder"'), "right keys"),
        (lambda text: text.replace('"rule"', '"role"'), "TypeError"),
        (lambda text: "[]", "schema 1"),
    ],
)
def test_sm509_a_ledger_that_cannot_be_trusted(project: Project, change: object, says: str) -> None:
    project.move("cutover", "a", NEEDS)
    path = ledgers.file_of(project.folder)
    path.parent.mkdir()
    assert ledgers.load(project.folder.parent / "nowhere") == Ledger()
    path.write_text(change(ledgers.dumps(project.ledger)), encoding="utf-8")  # type: ignore[operator]
    with pytest.raises(MigrateProblem, match=says) as caught:
        ledgers.load(project.folder)
    assert caught.value.code == "SM509"
