"""What an edit may change of a DAG, on DAGs that real Airflow serialized in one process."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
from edited_dags import RIGHT, WRONG, Case, write

from stepbridge_migrate.verify import project, structure
from stepbridge_migrate.verify.project import Sides

pytestmark = pytest.mark.airflow
pytest.importorskip("airflow")

OPERATORS = Path(__file__).parents[2] / "operators" / "stepbridge_airflow"


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    root = tmp_path_factory.mktemp("project")
    python = project.interpreter(os.environ.get("STEPBRIDGE_TEST_AIRFLOW_PYTHON"))
    assert python is not None
    stand_ins = "STEPBRIDGE_TEST_STAND_INS" in os.environ
    return project.load(root, write(root / "dags", (*RIGHT, *WRONG)), python=python, stand_ins=stand_ins)


def compared(sides: Sides, case: Case) -> structure.Comparison:
    def own(dags: object) -> dict[str, object]:
        assert isinstance(dags, dict)
        return {name: dag for name, dag in dags.items() if name in (case.name, f"{case.name}_2")}

    parts = [own(dags) for dags in (sides.before.dags, sides.again, sides.after.dags)]
    assert parts[0], "the case's DAG was not read"
    return structure.compare(*parts, case.plan("x.py"))


def test_all_cases_import(sides: Sides) -> None:
    assert sides.before.errors == {}
    assert sides.after.errors == {}


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_a_right_edit_passes(sides: Sides, case: Case) -> None:
    found = compared(sides, case)
    assert found.faults == ()
    assert found.moved or found.came


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_a_planted_fault_is_found(sides: Sides, case: Case) -> None:
    found = compared(sides, case)
    assert any(case.fault in fault for fault in found.faults), found.faults


def test_a_planted_fault_is_all_that_is_said(sides: Sides) -> None:
    pool = next(case for case in WRONG if case.name == "dropped_pool")
    assert len(compared(sides, pool).faults) == 1


def test_what_changes_by_itself_is_named_and_not_compared(sides: Sides) -> None:
    found = compared(sides, next(case for case in RIGHT if case.name == "random_neighbour"))
    assert found.unstable == (
        "DAG 'random_neighbour': task 'extract': op_kwargs.at",
        "DAG 'random_neighbour': task 'extract': op_kwargs.lr",
    )


def test_the_tasks_of_a_shadow_come_and_leave(sides: Sides) -> None:
    names = {case.name: case for case in RIGHT}
    pair = ("g.train__compare", "g.train__shadow")
    assert compared(sides, names["real_shadow"]).came == tuple(f"real_shadow.{one}" for one in pair)
    assert compared(sides, names["from_shadow"]).left == tuple(f"from_shadow.{one}" for one in pair)


def test_every_id_of_a_loop_counts_as_the_site(sides: Sides) -> None:
    found = compared(sides, next(case for case in RIGHT if case.name == "loop"))
    assert found.moved == ("loop.load_a", "loop.load_b")


def test_the_arguments_of_a_step_are_all_known_here() -> None:
    tree = ast.parse((OPERATORS / "declaring.py").read_text())
    start = next(
        node
        for kind in ast.walk(tree)
        if isinstance(kind, ast.ClassDef) and kind.name == "StepBase"
        for node in kind.body
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    )
    names = {one.arg for one in start.args.kwonlyargs}
    both = {"python_callable", "op_args", "op_kwargs", "templates_dict", "templates_exts"}
    both |= {"show_return_value_in_logs", "do_xcom_push", "shadowed"}
    pods = {"ports", "volumes", "volume_mounts", "env_from", "pod_runtime_info_envs", "affinity"}
    pods |= {"tolerations", "image_pull_secrets"}
    assert names - both - pods <= structure.STEP_ARGUMENTS
