"""Whole DAGs under real Airflow: what old tasks read of a moved step, and every way to give it arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DETAILS = "stepbridge"


def test_old_readers_see_what_they_always_saw(lab: Any, tmp_path: Path) -> None:
    out = tmp_path / "bash.txt"
    run = lab.run(
        f"""
        def extract():
            print("a line of the step")
            return {{"rows": [1, 2, 3], "name": "café", "ratio": 0.5, "none": None}}

        def old_reader(ti):
            got = ti.xcom_pull(task_ids="extract")
            return [got["rows"], got["name"], got["ratio"], got["none"]]

        def templated(value, **context):
            return value

        with DAG("DAG_ID", start_date=START, schedule=None):
            moved = StepOperator(task_id="extract", python_callable=extract)
            old = PythonOperator(task_id="old", python_callable=old_reader)
            jinja = PythonOperator(task_id="jinja", python_callable=templated,
                                   op_kwargs={{"value": "{{{{ ti.xcom_pull('extract')['name'] }}}}"}})
            bash = BashOperator(task_id="bash",
                                bash_command="echo {{{{ ti.xcom_pull('extract')['rows'][2] }}}} > {out}")
            moved >> [old, jinja, bash]
        """
    )
    assert run.xcom("extract") == {"rows": [1, 2, 3], "name": "café", "ratio": 0.5, "none": None}
    assert run.xcom("old") == [[1, 2, 3], "café", 0.5, None]
    assert run.xcom("jinja") == "café"
    assert out.read_text() == "3\n"
    details = run.xcom("extract", DETAILS)
    assert details["cache"] == "off"
    assert details["artifacts"] == {}
    record = Path(details["run"].removeprefix("file://"))
    assert {"request.json", "inputs.json", "result.json", "log.txt", "usage.json"} <= {
        one.name for one in record.iterdir()
    }
    assert run.xcom("extract", "_link_StepRunLink") in (details["run"], None)


def test_tables_travel_as_uris_that_pandas_reads(lab: Any) -> None:
    run = lab.run(
        """
        import pandas as pd

        @step
        def make(n: int) -> pd.DataFrame:
            return pd.DataFrame({"x": range(n), "y": ["a"] * n})

        @step
        def double(frame: pd.DataFrame) -> pd.DataFrame:
            return frame.assign(x=frame.x * 2)

        def old_reader(ti):
            return int(pd.read_parquet(ti.xcom_pull("double"))["x"].sum())

        with DAG("DAG_ID", start_date=START, schedule=None):
            double(make(4)) >> PythonOperator(task_id="old", python_callable=old_reader)
        """
    )
    uri = run.xcom("double")
    assert uri.startswith(f"file://{lab.store}/artifacts/")
    assert uri.endswith(".parquet")
    assert run.xcom("old") == 12
    (found,) = run.xcom("double", DETAILS)["artifacts"].values()
    assert found["type"] == "pandas.DataFrame"
    assert found["uri"] == uri
    assert found["size"] > 0


def test_files_and_directories(lab: Any, tmp_path: Path) -> None:
    model = tmp_path / "given.txt"
    model.write_text("from outside")
    run = lab.run(
        f"""
        from pathlib import Path

        @step
        def make(source: File) -> Directory:
            Path("out").mkdir()
            Path("out/a.txt").write_text(Path(source).read_text() + "!")
            return Directory("out")

        @step
        def read(folder: Directory, again: str) -> str:
            assert again.endswith("/")
            return (folder / "a.txt").read_text()

        with DAG("DAG_ID", start_date=START, schedule=None):
            made = make("{model}")
            read(made, made)
            BashOperator(task_id="bash", bash_command="ls {{{{ ti.xcom_pull('make')[7:] }}}}/a.txt") << made
        """
    )
    assert run.xcom("read") == "from outside!"


def test_several_outputs(lab: Any) -> None:
    run = lab.run(
        """
        from typing import NamedTuple
        import pandas as pd

        class Split(NamedTuple):
            train: pd.DataFrame
            rows: int

        @step
        def named() -> dict[str, int]:
            return {"a": 1, "b": 2}

        @step(multiple_outputs=True)
        def mixed():
            return {"frame": pd.DataFrame({"x": [1]}), "n": 3}

        @step
        def split() -> Split:
            return Split(pd.DataFrame({"x": [1, 2]}), 2)

        @step
        def use(frame: pd.DataFrame, n: int, a: int) -> int:
            return len(frame) + n + a

        def classic():
            return {"p": "x", "q": [1]}

        with DAG("DAG_ID", start_date=START, schedule=None):
            both = mixed()
            use(both["frame"], both["n"], named()["a"])
            split()
            StepOperator(task_id="classic", python_callable=classic, multiple_outputs=True)
        """
    )
    assert (run.xcom("named", "a"), run.xcom("named", "b")) == (1, 2)
    assert run.xcom("named") == {"a": 1, "b": 2}
    assert run.xcom("mixed", "n") == 3
    assert run.xcom("mixed", "frame").startswith("file://")
    assert run.xcom("use") == 5
    assert run.xcom("classic", "q") == [1]


def test_arguments_from_jinja_and_bindings(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_THRESHOLD", "0.7")
    monkeypatch.setenv("AIRFLOW_VAR_PAIRS", '{"k": [1, 2]}')
    run = lab.run(
        """
        def produce(ti):
            ti.xcom_push("n", 41)
            return {"deep": [1, {"x": 2.5}]}

        def use(text, upper, bound, deep, threshold, fallback, pairs, when, params, conf):
            return [text, upper, bound, deep, threshold, fallback, pairs, when, params, conf]

        with DAG("DAG_ID", start_date=START, schedule=None, params={"p": 1}):
            first = PythonOperator(task_id="produce", python_callable=produce)
            first >> StepOperator(task_id="use", python_callable=use, op_args=["{{ ds }}"], op_kwargs={
                "upper": "{{ ti.xcom_pull('produce')['deep'][1]['x'] }}",
                "bound": from_xcom("produce", key="n"),
                "deep": [from_xcom("produce"), {"d": (from_context("ds_nodash"),)}],
                "threshold": from_variable("threshold"),
                "fallback": from_variable("no_such", default=0.5),
                "pairs": from_variable("pairs", deserialize_json=True),
                "when": from_context("logical_date"),
                "params": from_context("params"),
                "conf": from_context("dag_run.conf"),
            })
        """,
        conf={"c": [1]},
    )
    got = run.xcom("use")
    assert got[:3] == ["2026-03-02", "2.5", 41]
    assert got[3][0] == {"deep": [1, {"x": 2.5}]}
    assert got[4:7] == ["0.7", 0.5, {"k": [1, 2]}]
    assert got[8:] == [{"p": 1, "c": [1]}, {"c": [1]}]


def test_jinja_with_native_objects(lab: Any) -> None:
    run = lab.run(
        """
        with DAG("DAG_ID", start_date=START, schedule=None, render_template_as_native_obj=True):
            first = PythonOperator(task_id="produce", python_callable=lambda: {"rows": [1, 2]})
            first >> StepOperator(task_id="use", python_callable=lambda rows, n: [rows, n],
                                  op_kwargs={"rows": "{{ ti.xcom_pull('produce')['rows'] }}", "n": "{{ 3 }}"})
        """
    )
    assert run.xcom("use") == [[1, 2], 3]


def test_templates_dict_and_files(lab: Any) -> None:
    (lab.write("").parent / "query.sql").write_text("select '{{ ds }}'")
    run = lab.run(
        """
        def use(query, **context):
            return [query, context["templates_dict"]["t"], context["templates_dict"]["q"]]

        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="use", python_callable=use, op_kwargs={"query": "query.sql"},
                         templates_dict={"t": "{{ ds_nodash }}", "q": "query.sql"}, templates_exts=[".sql"])
        """
    )
    assert run.xcom("use") == ["select '2026-03-02'", "20260302", "select '2026-03-02'"]


def test_context_of_an_untouched_function(lab: Any) -> None:
    run = lab.run(
        """
        def everything(ds, ti, params, **context):
            ti.xcom_push(key="pushed", value={"n": 1})
            context["task_instance"].xcom_push("more", [2])
            return {
                "ds": ds, "run": context["run_id"], "task": ti.task_id, "try": ti.try_number,
                "map": ti.map_index,
                "conf": context["dag_run"].conf, "p": params["p"], "dag": context["dag"].dag_id,
                "when": context["logical_date"].strftime("%Y"), "ts": context["ts"],
                "pulled": ti.xcom_pull(task_ids="produce"),
                "keyed": ti.xcom_pull(task_ids="produce", key="n"),
                "several": ti.xcom_pull(task_ids=["produce"]),
            }

        def produce(ti):
            ti.xcom_push("n", 41)
            return "made"

        def old_reader(ti):
            return [ti.xcom_pull("everything", key="pushed"), ti.xcom_pull("everything", key="more")]

        with DAG("DAG_ID", start_date=START, schedule=None, params={"p": 7}):
            first = PythonOperator(task_id="produce", python_callable=produce)
            old = PythonOperator(task_id="old", python_callable=old_reader)
            first >> StepOperator(task_id="everything", python_callable=everything) >> old
        """,
        conf={"c": 1},
    )
    got = run.xcom("everything")
    assert (got["ds"], got["run"], got["task"]) == ("2026-03-02", run.run_id, "everything")
    assert (got["try"], got["map"], got["conf"], got["p"], got["dag"]) == (1, -1, {"c": 1}, 7, run.dag_id)
    assert got["when"] == "2026"
    assert (got["pulled"], got["keyed"], got["several"]) == ("made", 41, ["made"])
    assert run.xcom("old") == [{"n": 1}, [2]]


def test_variables_and_connections_reach_the_step(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_REGION", "north")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://me:s3cr3t-word@host:5432/db")
    run = lab.run(
        """
        import os

        try:
            from airflow.sdk import Variable
        except ImportError:
            from airflow.models import Variable

        def named():
            return Variable.get("region"), Variable.get("missing", "default")

        def declared(name):
            return Variable.get(name)

        def connection():
            return len(os.environ["AIRFLOW_CONN_WAREHOUSE"].partition("me:")[2].partition("@")[0])

        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="named", python_callable=named)
            StepOperator(task_id="declared", python_callable=declared, op_args=["region"],
                         variables=["region"])
            StepOperator(task_id="connection", python_callable=connection, connections=["warehouse"])
        """
    )
    assert tuple(run.xcom("named")) == ("north", "default")
    assert run.xcom("declared") == "north"
    assert run.xcom("connection") == len("s3cr3t-word")
    for path in lab.store.rglob("*"):
        if path.is_file():
            assert b"s3cr3t-word" not in path.read_bytes(), path


def test_mapped_steps(lab: Any) -> None:
    run = lab.run(
        """
        import pandas as pd

        @task
        def numbers():
            return [1, 2, 3]

        @step(cache="auto")
        def square(n: int, plus: int) -> int:
            return n * n + plus

        @step
        def frame(n: int) -> pd.DataFrame:
            return pd.DataFrame({"x": [n]})

        @step
        def total(ns: list[int], frames: list[pd.DataFrame]) -> int:
            return sum(ns) + int(pd.concat(frames).x.sum())

        @task
        def old_total(ns):
            return sum(ns)

        def classic(a, b=0):
            return a + b

        with DAG("DAG_ID", start_date=START, schedule=None):
            n = numbers()
            squares = square.partial(plus=from_variable("none", default=10)).expand(n=n)
            total(squares, frame.expand(n=[4, 5]))
            old_total(squares)
            StepOperator.partial(task_id="classic", python_callable=classic, resources=Resources(cpu=1),
                                 op_kwargs={"b": 100}).expand(op_args=[[1], [2]])
            StepOperator.partial(task_id="by_kwargs", python_callable=classic).expand(
                op_kwargs=n.map(lambda v: {"a": v}))
        """
    )
    assert [run.xcom("square", map_index=i) for i in range(3)] == [11, 14, 19]
    assert run.xcom("total") == 44 + 9
    assert run.xcom("old_total") == 44
    assert [run.xcom("classic", map_index=i) for i in range(2)] == [101, 102]
    assert [run.xcom("by_kwargs", map_index=i) for i in range(3)] == [1, 2, 3]
    prefixes = {run.xcom("square", DETAILS, i)["run"] for i in range(3)}
    assert len(prefixes) == 3


def test_task_groups_dag_argument_and_trigger_rules(lab: Any) -> None:
    run = lab.run(
        """
        def fail():
            raise ValueError("no")

        flow = DAG("DAG_ID", start_date=START, schedule=None)
        with flow:
            with TaskGroup("outer"):
                with TaskGroup("inner"):
                    inside = StepOperator(task_id="one", python_callable=lambda: 1)
        broken = StepOperator(task_id="broken", python_callable=fail, dag=flow)
        always = StepOperator(task_id="always", python_callable=lambda: 2, trigger_rule="all_done", dag=flow)
        never = StepOperator(task_id="never", python_callable=lambda: 3, dag=flow)
        [inside, broken] >> always
        broken >> never
        """,
        expect="failed",
    )
    assert run.states == {
        "outer.inner.one": "success",
        "broken": "failed",
        "always": "success",
        "never": "upstream_failed",
    }
    assert run.xcom("outer.inner.one") == 1
    assert run.xcom("broken") is None


def test_skips_and_failures(lab: Any) -> None:
    run = lab.run(
        """
        try:
            from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
        except ImportError:
            from airflow.exceptions import AirflowFailException, AirflowSkipException

        def skip():
            raise AirflowSkipException("nothing to do")

        def fail():
            raise AirflowFailException("never again")

        with DAG("DAG_ID", start_date=START, schedule=None):
            skipping = StepOperator(task_id="skip", python_callable=skip)
            skipping >> StepOperator(task_id="after", python_callable=lambda: 1)
            skipping >> StepOperator(task_id="anyway", python_callable=lambda: 1, trigger_rule="none_failed")
            StepOperator(task_id="fail", python_callable=fail, retries=3, retry_delay=timedelta(0))
        """,
        expect="failed",
    )
    assert run.states == {"skip": "skipped", "after": "skipped", "anyway": "success", "fail": "failed"}
    assert sorted(one.name for one in (lab.store / "runs" / run.dag_id).glob("*/fail/-1/*")) == ["1"]


def test_retries_are_attempts_of_their_own(lab: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    run = lab.run(
        f"""
        from pathlib import Path

        def flaky():
            mark = Path("{mark}")
            if not mark.exists():
                mark.write_text("")
                raise ValueError("first time")
            return "second time"

        with DAG("DAG_ID", start_date=START, schedule=None, default_args={{"retries": 2}}):
            StepOperator(task_id="flaky", python_callable=flaky, retry_delay=timedelta(0))
        """
    )
    assert run.xcom("flaky") == "second time"
    attempts = sorted((lab.store / "runs" / run.dag_id).glob("*/flaky/-1/*"))
    assert [one.name for one in attempts] == ["1", "2"]
    error = json.loads((attempts[0] / "error.json").read_text())
    assert (error["kind"], error["type"], error["code"]) == ("user", "ValueError", "SB402")
    assert not (attempts[0] / "result.json").exists()
    assert (attempts[1] / "result.json").exists()


def test_no_xcom_push(lab: Any) -> None:
    run = lab.run(
        """
        def work(ti):
            ti.xcom_push("own", 1)
            return 5

        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="quiet", python_callable=work, do_xcom_push=False)
        """
    )
    assert run.xcom("quiet") is None
    assert run.xcom("quiet", DETAILS) is None
    assert run.xcom("quiet", "own") == 1


def test_loaded_values_in_xcom(lab: Any) -> None:
    import pandas

    if lab.version < (3,) and pandas.__version__ >= "3":
        pytest.skip("Airflow 2's own serializer does not know the tables of pandas 3")
    run = lab.run(
        """
        import pandas as pd

        @step(xcom="value")
        def make() -> pd.DataFrame:
            return pd.DataFrame({"x": [1, 2]})

        @task
        def old(frame):
            assert isinstance(frame, pd.DataFrame)
            return int(frame.x.sum())

        with DAG("DAG_ID", start_date=START, schedule=None):
            old(make())
        """
    )
    assert run.xcom("old") == 3


def test_helpers_modules_and_constants_travel(lab: Any) -> None:
    folder = lab.write("").parent
    (folder / "project_helpers").mkdir()
    (folder / "project_helpers" / "__init__.py").write_text("")
    (folder / "project_helpers" / "maths.py").write_text("FACTOR = 3\ndef times(n):\n    return n * FACTOR\n")
    run = lab.run(
        """
        from project_helpers.maths import times

        OFFSET = 100

        def shifted(n):
            return times(n) + OFFSET

        @dag(dag_id="DAG_ID", start_date=START, schedule=None)
        def flow():
            bonus = 1000

            @step
            def inside(n: int) -> int:
                return shifted(n) + bonus

            inside(2)

        flow()
        """
    )
    assert run.xcom("inside") == 1106


def test_partial_callables(lab: Any) -> None:
    run = lab.run(
        """
        from functools import partial

        def work(a, b, c=0, *, d):
            return [a, b, c, d]

        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="t", python_callable=partial(work, 1, d=4), op_args=[2], op_kwargs={"c": 3})
        """
    )
    assert run.xcom("t") == [1, 2, 3, 4]


def test_code_of_the_image(lab: Any) -> None:
    run = lab.run(
        """
        import posixpath

        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="t", python_callable=posixpath.basename, op_args=["a/b"], code="image")
        """
    )
    assert run.xcom("t") == "b"
