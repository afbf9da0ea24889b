"""Variables and connections named by arguments reach the step, and count in its key, under real Airflow."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DETAILS = "stepbridge"
VARIABLES = {"region_north": "n", "limit_20260302": "2", "level": "low", "level_up": "high"}
FLOW = """
import os
import sqlite3

try:
    from airflow.sdk import BaseHook, Context, Variable
except ImportError:
    from airflow.hooks.base import BaseHook
    from airflow.models import Variable
    from airflow.utils.context import Context

def rows(conn_id):
    where = BaseHook.get_connection(conn_id).host
    assert conn_id.upper() in str([name for name in os.environ if name.startswith("AIRFLOW_CONN_")])
    with sqlite3.connect(where) as opened:
        return [one for (one,) in opened.execute("select name from goods order by name")]

def by_default(conn_id="goods_db", **context):
    return rows(conn_id)

def by_key(**kwargs):
    return rows(kwargs.get("conn_id", "goods_db"))

def several(area, ds_nodash, **kwargs):
    return by_default(**kwargs), by_key(**kwargs), by_none(), by_date(area, ds_nodash)

class Source:
    def __init__(self, conn_id, level=None):
        self.conn_id = conn_id
        self.level = level

    def names(self):
        return rows(self.conn_id), Variable.get(self.level) if self.level else ""

def by_instance(conn_id):
    return Source(conn_id, level="level").names()

def by_date(area, ds_nodash):
    return Variable.get(f"region_{area}"), Variable.get("limit_" + ds_nodash)

def by_none(conn_id=None):
    return "none" if conn_id is None else rows(conn_id)

def annotated(conn_id, **context: Context):
    return rows(conn_id)[0], context["ds"], context["mine"]

def level(name):
    return Variable.get(name)

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="several", python_callable=several, op_args=["north"])
    StepOperator(task_id="by_instance", python_callable=by_instance, op_args=["goods_db"], cache="auto")
    StepOperator(task_id="annotated", python_callable=annotated,
                 op_kwargs={"conn_id": "{{ 'goods' }}_db", "mine": [1]})
    StepOperator(task_id="level", python_callable=level, op_args=["level"], cache="auto")
    StepOperator(task_id="other", python_callable=level, op_args=["level_up"], cache="auto", step_id="level")
"""


@pytest.fixture
def airflow_rows(tmp_path: Path) -> Iterator[Any]:
    """A sqlite database that a connection names, and Variables; both only in Airflow's own database."""
    from airflow.models import Connection, Variable
    from airflow.utils.session import create_session

    place = tmp_path / "goods.db"
    with sqlite3.connect(place) as opened:
        opened.execute("create table goods (name text)")
        opened.executemany("insert into goods values (?)", [("axle",), ("bolt",)])
    with create_session() as session:
        session.add(Connection(conn_id="goods_db", conn_type="sqlite", host=str(place)))
        for name, text in VARIABLES.items():
            session.add(Variable(key=name, val=text))
    yield Variable
    with create_session() as session:
        session.query(Connection).filter_by(conn_id="goods_db").delete()
        session.query(Variable).filter(Variable.key.in_(VARIABLES)).delete()


def _listed(value: Any) -> Any:
    return [_listed(one) for one in value] if isinstance(value, list | tuple) else value


@pytest.mark.slow
def test_names_from_arguments(lab: Any, airflow_rows: Any) -> None:
    from airflow.utils.session import create_session

    dag = lab.load(lab.write(FLOW))
    first = lab.test(dag)
    assert first.state == "success", first.states
    goods = ["axle", "bolt"]
    assert _listed(first.xcom("several")) == [goods, goods, "none", ["n", "2"]]
    assert list(first.xcom("by_instance")) == [goods, "low"]
    assert list(first.xcom("annotated")) == ["axle", "2026-03-02", [1]]
    assert (first.xcom("level"), first.xcom("other")) == ("low", "high")

    with create_session() as session:
        session.query(airflow_rows).filter_by(key="level").one().set_val("mid")
        session.query(airflow_rows).filter_by(key="limit_20260302").one().key = "limit_20260303"
    second = lab.test(dag)
    cached = {one: second.xcom(one, DETAILS)["cache"] for one in ("level", "other", "by_instance")}
    assert cached == {"level": "miss", "other": "hit", "by_instance": "miss"}
    assert second.xcom("level") == "mid"


def test_a_name_that_is_no_text_stops_a_cached_step(lab: Any, capfd: pytest.CaptureFixture[str]) -> None:
    run = lab.run(
        """
        try:
            from airflow.sdk import Variable
        except ImportError:
            from airflow.models import Variable

        def level(name, missing="none"):
            return Variable.get(name, missing)

        with DAG("DAG_ID", start_date=START, schedule=None, default_args={"retries": 0}):
            StepOperator(task_id="level", python_callable=level, op_args=[{"a": 1}], cache="auto")
        """,
        expect="failed",
    )
    assert run.states == {"level": "failed"}
    out = capfd.readouterr()
    if lab.version >= (3, 1) or lab.version < (3,):  # 3.0 shows the error in the task's own log only
        assert "Variable.get of a computed name: name, and name is no argument" in out.out + out.err


def test_events_that_reach_nothing_are_refused(lab: Any, capfd: pytest.CaptureFixture[str]) -> None:
    run = lab.run(
        """
        def add(*, outlet_events):
            outlet_events["goods"].extra = {"rows": 1}

        with DAG("DAG_ID", start_date=START, schedule=None, default_args={"retries": 0}):
            StepOperator(task_id="add", python_callable=add)
        """,
        expect="failed",
    )
    assert run.states == {"add": "failed"}
    out = capfd.readouterr()
    assert "SB504 at context['outlet_events']['goods']" in out.out + out.err
