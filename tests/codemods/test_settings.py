"""``[tool.stepbridge]``: what may stand there, and every mistake with its key and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_sites import site

from stepbridge_migrate.model import Needs
from stepbridge_migrate.needs import checked, from_assignments, over
from stepbridge_migrate.problems import MigrateProblem
from stepbridge_migrate.settings import Settings, find_root, load, unmatched

FULL = """
[tool.stepbridge]
airflow-python = ".venv/bin/python"
stand-ins = true
dags = ["dags", "more"]
exclude = ["dags/old/*"]

[tool.stepbridge.step]
image = "registry/train:3"
cache = "off"
cpu = 2

[tool.stepbridge.tasks."daily.train"]
gpu = "A10G:1"
memory = "16Gi"
timeout = "2h"
context-keys = ["ds"]
set = { pool = "'gpu'" }

[tool.stepbridge.tasks."daily.load_*"]
cache = "auto"
variables = ["limit"]
connections = ["lake"]
"""


def settings(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "pyproject.toml").write_text(text)
    return load(tmp_path)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(MigrateProblem) as problem:
        settings(tmp_path, text)
    assert problem.value.code == "SM520"
    return str(problem.value)


def test_everything_that_may_be_said(tmp_path: Path) -> None:
    found = settings(tmp_path, FULL)
    assert found.airflow_python == str(tmp_path / ".venv/bin/python")
    assert (found.stand_ins, found.dags, found.exclude) == (True, ("dags", "more"), ("dags/old/*",))
    assert found.step == Needs(image="registry/train:3", cache="off", cpu="2")


def test_a_task_gets_step_then_its_table_then_what_is_given(tmp_path: Path) -> None:
    found = settings(tmp_path, FULL)
    needs = found.needs_of(site(), Needs(memory="32Gi", arguments={"retries": "3"}))
    assert needs == Needs(
        gpu="A10G:1",
        cpu="2",
        memory="32Gi",
        image="registry/train:3",
        cache="off",
        timeout="2h",
        context_keys=("ds",),
        arguments={"pool": "'gpu'", "retries": "3"},
    )


def test_a_loop_gets_the_table_of_its_pattern_and_of_its_ids(tmp_path: Path) -> None:
    found = settings(tmp_path, FULL)
    assert found.needs_of(site("load_*", ids=("load_eu",)), Needs()).cache == "auto"
    assert found.needs_of(site("load_eu"), Needs()).variables == ("limit",)
    assert found.needs_of(site("store"), Needs()).cache == "off"


def test_a_name_written_out_goes_before_a_glob(tmp_path: Path) -> None:
    text = '[tool.stepbridge.tasks]\n"d.a" = {cache = "off"}\n"d.*" = {cache = "auto", xcom = "value"}\n'
    needs = settings(tmp_path, text).needs_of(site("a", dag="d"), Needs())
    assert (needs.cache, needs.xcom) == ("off", "value")


def test_a_table_that_fits_no_task_is_known(tmp_path: Path) -> None:
    assert unmatched(settings(tmp_path, FULL), [site()]) == ("daily.load_*",)


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'\n", "[tool.ruff]\nline-length = 99\n"])
def test_a_project_without_settings_has_the_defaults(tmp_path: Path, text: str) -> None:
    assert settings(tmp_path, text) == Settings(tmp_path)


def test_a_project_without_a_pyproject_has_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == Settings(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tool.stepbridge]\nexcluded = []", "did you mean 'exclude'?"),
        ("[tool.stepbridge]\nairflow_python = 'x'", "did you mean 'airflow-python'?"),
        ("[tool.stepbridge]\ndags = 'dags'", 'write dags = ["..."]'),
        ("[tool.stepbridge]\ndags = ['']", "dags"),
        ("[tool.stepbridge]\nstand-ins = 'yes'", "is not true or false"),
        ("[tool.stepbridge]\nairflow-python = 3", "airflow-python"),
        ("[tool.stepbridge]\nstep = 3", "is not a table"),
        ("[tool]\nstepbridge = 3", "is not a table"),
        ("[tool.stepbridge.step]\nmemry = '1Gi'", "did you mean 'memory'?"),
        ("[tool.stepbridge.step]\nmemory = '16 gigs'", "is not a quantity"),
        ("[tool.stepbridge.step]\nmemory = 16", "write it in quotes"),
        ("[tool.stepbridge.step]\ngpu = 'A10G:many'", "is not a GPU request"),
        ("[tool.stepbridge.step]\ngpu = true", "is not a text"),
        ("[tool.stepbridge.step]\ncache = 'on'", "is not one of off, auto, refresh"),
        ("[tool.stepbridge.step]\nbackend = 'pods'", "did you mean 'pod'?"),
        ("[tool.stepbridge.step]\nxcom = 'uri'", "is not one of auto, value"),
        ("[tool.stepbridge.step]\ntimeout = '2 hours'", "write 30s, 90m, 2h or 1d"),
        ("[tool.stepbridge.step]\ntimeout = '0h'", "is not a duration"),
        ("[tool.stepbridge.step]\nimage = 'a b'", "is not the name of an image"),
        ("[tool.stepbridge.step]\ncontext-keys = 'ds'", "is not a list of texts"),
        ("[tool.stepbridge.step]\nvariables = ['']", "a name is empty"),
        ("[tool.stepbridge.step]\nset = ['pool']", "is not a table of texts"),
        ("[tool.stepbridge.step.set]\npool = 'gpu pool'", "is not one Python expression"),
        ("[tool.stepbridge.step.set]\n'a b' = '1'", "is not the name of an argument"),
        ("[tool.stepbridge.step.set]\nimage = '1'", "use --image"),
        ("[tool.stepbridge.step.set]\nop_kwargs = '{}'", "comes from the old call"),
        ("[tool.stepbridge.tasks]\ntrain = {gpu = 1}", "names no task of a DAG"),
        ("[tool.stepbridge.tasks.daily.train]\ngpu = 1", "names no task of a DAG"),
        ("[tool.stepbridge.tasks.'a.b']\ngpus = 1", "did you mean 'gpu'?"),
        ("[tool.stepbridge.tasks]\n'a.b' = 1", 'write [tool.stepbridge.tasks."dag.task"]'),
        ("[tool.stepbridge", "it cannot be read"),
    ],
)
def test_every_mistake_names_its_key_and_the_way_out(tmp_path: Path, text: str, says: str) -> None:
    message = refused(tmp_path, text)
    assert "pyproject.toml" in message
    assert says in message


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(MigrateProblem, match="it cannot be read"):
        load(tmp_path)


def test_an_assignment_is_split_at_its_first_equals_sign() -> None:
    assert from_assignments(["pool = 'a=b'", "x=1"]) == {"pool": "'a=b'", "x": "1"}
    with pytest.raises(MigrateProblem, match="has no '='"):
        from_assignments(["pool"])


def test_an_expression_cannot_leave_its_argument() -> None:
    for text in ("1); import os; (2", "1, b=2", "x # comment", ")", "yield 1, *"):
        with pytest.raises(MigrateProblem):
            checked(Needs(arguments={"pool": text}), place="option")


def test_what_is_said_above_wins_and_silence_does_not() -> None:
    below = Needs(gpu="1", variables=("a",), context_keys=("ds",))
    assert over(below, Needs()) == below
    assert over(below, Needs(variables=("b",), context_keys=())).variables == ("b",)
    assert over(below, Needs(gpu="0")).gpu == "0"


def test_the_root_is_the_nearest_project_above(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "dags"
    deep.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    assert find_root(deep) == tmp_path
    (tmp_path / "a" / ".git").mkdir()
    assert find_root(deep / "x.py") == tmp_path / "a"
