"""What happens when a DAG file is read: checks, no I/O, mapping, serialization."""

from __future__ import annotations

import json
from typing import Any

import pytest


def refused(lab: Any, body: str) -> str:
    return lab.import_error(f'with DAG("DAG_ID", start_date=START, schedule=None):\n    {body}\n')


@pytest.mark.parametrize("argument", ["cmds=['ls']", "arguments=['-l']"])
def test_arguments_that_stepbridge_owns(lab: Any, argument: str) -> None:
    message = refused(lab, f"StepOperator(task_id='t', python_callable=print, {argument})")
    assert "SB501" in message
    assert "KubernetesPodOperator" in message


def test_default_args_with_owned_arguments_are_for_others(lab: Any) -> None:
    dag = lab.load(
        lab.write(
            """
            with DAG("DAG_ID", start_date=START, schedule=None,
                     default_args={"cmds": ["ls"], "retries": 3, "cache": "auto", "image": "i:1",
                                   "do_xcom_push": False}):
                StepOperator(task_id="t", python_callable=lambda: 1)
            """
        )
    )
    task = dag.get_task("t")
    assert (task.cmds, task.retries, task.step.cache, task.image) == ([], 3, "auto", "i:1")
    assert task.do_xcom_push is False


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("cache='always'", "SB502"),
        ("cache=True", "SB502"),
        ("xcom='none'", "SB502"),
        ("timeout=5", "SB502"),
        ("timeout=timedelta(0)", "SB502"),
        ("max_age=3600", "SB502"),
        ("ignore='verbose'", "SB502"),
        ("variables='x'", "SB502"),
        ("environment={'A': 1}", "SB502"),
        ("resources={'gpu': 1}", "SB502"),
        ("infra_retries=-1", "SB502"),
        ("backend='moon'", "SB502"),
        ("op_args=[1]", "SB106"),
    ],
)
def test_arguments_that_cannot_work(lab: Any, argument: str, code: str) -> None:
    message = refused(lab, f"StepOperator(task_id='t', python_callable=lambda: 1, {argument})")
    assert code in message
    assert "task 't'" in message


def test_missing_argument_names_the_line(lab: Any) -> None:
    message = lab.import_error(
        """
        def train(rows, epochs=3): ...

        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="t", python_callable=train)
        """
    )
    assert "SB106" in message
    assert "'rows'" in message
    assert ".py:20 (train)" in message


def test_unsupported_annotation(lab: Any) -> None:
    message = lab.import_error(
        """
        import threading

        def train(lock: threading.Lock) -> int: ...

        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="t", python_callable=train, op_args=[1])
        """
    )
    assert "SB101" in message
    assert "lock" in message


EDGE = """
from typing import TypedDict

class Parts(TypedDict):
    rows: list[int]
    name: str

@step
def make() -> Parts: ...

@step
def whole() -> Directory: ...

@step
def use(x: {wanted}) -> int: ...

with DAG("DAG_ID", start_date=START, schedule=None):
    use({given})
"""


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        ("make()['rows']", "list[int]", True),
        ("make()['rows']", "str", False),
        ("make()['name']", "str", True),
        ("make()['name']", "int", False),
        ("whole()", "Directory", True),
        ("whole()", "str", True),
        ("whole()", "int", False),
        ("x=whole()", "int", False),
        ("[whole()]", "int", True),
    ],
)
def test_edges_between_steps(lab: Any, given: str, wanted: str, fits: bool) -> None:
    bag = lab.bag(lab.write(EDGE.format(given=given, wanted=wanted)))
    message = "".join(bag.import_errors.values())
    assert ("SB107" not in message) if fits else ("SB107" in message and "parameter 'x'" in message), message


def test_edge_from_a_mapped_step_is_a_list(lab: Any) -> None:
    source = """
    @step
    def one(n: int) -> int: ...

    @step
    def total(ns: {wanted}) -> int: ...

    with DAG("DAG_ID", start_date=START, schedule=None):
        total(one.expand(n=[1, 2]))
    """
    assert not lab.bag(lab.write(source.format(wanted="list[int]"))).import_errors
    assert "SB107" in lab.import_error(source.format(wanted="int"))


def test_reading_does_no_io_and_asks_no_clock(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not exist and Variables that cannot be read do not matter before the run."""
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__STORE", "s3://no-such-bucket/x")
    dag = lab.load(
        lab.write(
            """
            with DAG("DAG_ID", start_date=START, schedule=None):
                StepOperator(task_id="t", python_callable=lambda a, b, c: 1,
                             op_kwargs={"a": from_variable("none"), "b": from_xcom("x"),
                                        "c": from_context("ds")},
                             store="s3://other/y", secrets=[Secret("n", "k", env="K")])
            """
        )
    )
    task = dag.get_task("t")
    assert not task.upstream_task_ids
    assert task.step.secrets[0].env == "K"


SERIALIZED = """
@step(resources=Resources(gpu="A10G:1", memory="16Gi"), cache="auto")
def mapped(a, b=1): ...

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="plain", python_callable=lambda *a, **c: 1, resources=Resources(cpu=1),
                 op_kwargs={"x": [from_xcom("a", key="k")], "y": from_variable("v", 0.5),
                            "z": {"c": from_context("ds")}},
                 op_args=[from_context("ts")], templates_dict={"t": from_context("ds")})
    mapped.partial(b=from_variable("v")).expand(a=[from_xcom("m", map_indexes=[1]), 2])
    StepOperator.partial(task_id="classic", python_callable=lambda a: 1, resources=Resources(gpu=1),
                         timeout=timedelta(hours=1)).expand(op_args=[[1], [from_xcom("q")]])
"""


def test_serialization_is_deterministic(lab: Any) -> None:
    import os
    import subprocess
    import sys

    path = lab.write(SERIALIZED)
    code = (
        "import json, sys\n"
        "try:\n"
        "    from airflow.dag_processing.dagbag import DagBag\n"
        "    from airflow.serialization.serialized_objects import DagSerialization as S\n"
        "except ImportError:\n"
        "    from airflow.models.dagbag import DagBag\n"
        "    from airflow.serialization.serialized_objects import SerializedDAG as S\n"
        "bag = DagBag(sys.argv[1])\n"
        "assert not bag.import_errors, bag.import_errors\n"
        "dag, = bag.dags.values()\n"
        "data = S.to_dict(dag) if hasattr(S, 'to_dict') else S.serialize_dag(dag)\n"
        "print('DATA' + json.dumps(data, sort_keys=True, default=str))"
    )
    texts = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        texts.append(done.stdout.rpartition("DATA")[2])
    assert texts[0] == texts[1]
    assert "FromXCom(task_id='a', key='k'" in texts[0]
    assert " at 0x" not in texts[0]
    json.loads(texts[0])


def test_mapping_keeps_our_resources(lab: Any) -> None:
    dag = lab.load(lab.write(SERIALIZED))
    assert dag.get_task("mapped").partial_kwargs["step_resources"].gpu == "A10G:1"
    assert dag.get_task("classic").partial_kwargs["step_resources"].gpu == 1


def test_mapped_steps_are_checked_when_read(lab: Any) -> None:
    message = lab.import_error(
        """
        import threading

        @step
        def use(x: threading.Lock): ...

        with DAG("DAG_ID", start_date=START, schedule=None):
            use.expand(x=[1, 2])
        """
    )
    assert "SB101" in message


def test_decorator_shapes(lab: Any) -> None:
    dag = lab.load(
        lab.write(
            '''
            @step
            def bare(a: int = 1) -> int:
                """Says what it does."""
                return a + 1

            @task.step(retries=2, cache="auto")
            def through_task(): ...

            @dag(dag_id="DAG_ID", start_date=START, schedule=None)
            def flow():
                bare()
                bare(2)
                bare.override(task_id="named", retries=5, image="i:2", resources=Resources(cpu=2))(3)
                through_task()
                assert bare.function(4) == 5

            flow()
            '''
        )
    )
    assert set(dag.task_ids) == {"bare", "bare__1", "named", "through_task"}
    assert dag.get_task("bare").doc_md.strip() == "Says what it does."
    named = dag.get_task("named")
    assert (named.retries, named.image, named.step.resources.cpu) == (5, "i:2", 2)
    assert dag.get_task("through_task").step.cache == "auto"
    assert dag.get_task("bare").task_type == "DecoratedStepOperator"


@pytest.mark.slow
def test_a_typed_step_is_what_a_type_checker_sees(tmp_path: Any) -> None:
    import subprocess
    import sys

    pytest.importorskip("mypy")
    source = tmp_path / "use.py"
    source.write_text(
        "from stepbridge_airflow import step\n"
        "@step(cache='auto')\n"
        "def train(rows: list[int], epochs: int = 3) -> str: return ''\n"
        "@step\n"
        "def bare(n: int) -> int: return n\n"
        "reveal_type(train.function)\n"
        "reveal_type(bare.function(1))\n"
        "train([1], epochs=2)\n"
        "train('wrong')\n"
        "step(cache='sometimes')\n"
    )
    import os

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", str(source)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": os.environ.get("PYTHONPATH", "")},
        timeout=280,
    )
    lines = done.stdout
    assert 'use.py:6: note: Revealed type is "def (rows: list[int], epochs: int =) -> str"' in lines, lines
    assert 'use.py:7: note: Revealed type is "int"' in lines
    assert "use.py:9: error" in lines
    assert "use.py:10: error" in lines
    assert "use.py:8: error" not in lines
