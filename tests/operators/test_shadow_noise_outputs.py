"""Noise of what candidates write and do not return: files, folders, rows, each repeat in its own place."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import shadow_cases as cases

pytest.importorskip("airflow")

from stepbridge.compare.engine import compare_values
from stepbridge.compare.model import Part
from stepbridge.compare.rules import Compare, Output
from stepbridge.contract import StoreSettings, Value
from stepbridge.failures import OperatorProblem
from stepbridge_airflow import shadow_noise, shadow_outputs, shadow_written
from stepbridge_airflow.shadow_outputs import Asked, Place

SOURCE = """
import random
import sqlite3
import uuid
from stepbridge.compare.rules import Output
OUT = "PLACE_OF_OUTPUTS"

def fill(schema, price, last=3):
    with sqlite3.connect(OUT + "/shop.db", timeout=60) as database:
        database.execute(f"CREATE TABLE IF NOT EXISTS {schema}_sales (id INTEGER, price REAL)")
        database.execute(f"DELETE FROM {schema}_sales")
        rows = [(n, price + n) for n in range(last)]
        database.executemany(f"INSERT INTO {schema}_sales VALUES (?, ?)", rows)

def steady(schema):
    fill(schema, 10.0)

def drawn(schema):
    # the candidate and its repeats are told apart by the name that they are given
    fill(schema, 10.1 + (0.5 * int(schema.rpartition("_")[2]) if "_" in schema else 0.0))

def far(schema):
    fill(schema, 70.0 + (0.5 * int(schema.rpartition("_")[2]) if "_" in schema else 0.0))

def fixed(n):
    fill("control_untold", 10.0)

def log(path):
    Path(path).write_text(f"run {uuid.uuid4()}\\nrows 3\\n")

def log_else(path):
    Path(path).write_text(f"run {uuid.uuid4()}\\nrows 4\\n")

def model(folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, "id.json").write_text(json.dumps({"id": uuid.uuid4().hex}))
    Path(folder, "run.log").write_text(f"run {uuid.uuid4()}\\n")

def unlike(path):
    # each run writes elsewhere in the file, and the third nothing at all
    if "noise_2" not in path:
        Path(path).write_text(json.dumps({"id": uuid.uuid4().hex}))

with DAG("DAG_ID", start_date=START, schedule=None):
    def make(task_id, function, **kwargs):
        return PythonOperator(task_id=task_id, python_callable=function, op_kwargs=kwargs)
    make("rows", steady, schema="rows")
    make("far", steady, schema="far")
    make("named", steady, schema="named")
    make("untold", fixed, n=1)
    make("logged", log, path=OUT + "/logged.log")
    make("changed", log, path=OUT + "/changed.log")
    make("model", model, folder=OUT + "/model/")
    make("placed", log, path=OUT + "/placed.log")
    make("gone", unlike, path=OUT + "/gone.json")
    SHADOWS
"""

SHADOWS = """
def by(*outputs, **more):
    return Compare(outputs=outputs, **more)
def query(control, **more):
    return Output("rows", control=control, sql="SELECT * FROM {schema}_sales", connection="shop", **more)
shadow("rows", drawn, noise=2, compare=by(query("rows", argument="schema")))
shadow("far", far, noise=1, compare=by(query("far", candidate="farther{repeat}", argument="schema")))
shadow("named", drawn, noise=1, compare=by(query("named", candidate="own{repeat}", argument="schema")))
shadow("untold", lambda n: fill("untold", 11.0), noise=1,
       compare=by(query("control_untold", candidate="untold")))
shadow("logged", noise=1, compare=by(Output("log", OUT + "/logged.log", argument="path"), mask=("pasword",)))
shadow("changed", log_else, noise=1, compare=by(Output("log", OUT + "/changed.log", argument="path")))
shadow("model", noise=1, compare=by(Output("model", OUT + "/model/", argument="folder")))
shadow("placed", noise=1, compare=by(Output("log", OUT + "/placed.log", argument="path",
                                            candidate=OUT + "/own{repeat}.log")))
shadow("gone", noise=2, compare=by(Output("id", OUT + "/gone.json", argument="path")))
"""


@pytest.mark.slow
def test_outputs_of_repeats(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    sqlite3.connect(out / "shop.db").close()
    monkeypatch.setenv(
        "AIRFLOW_CONN_SHOP",
        json.dumps({"conn_type": "filedb", "host": str(out / "shop.db"), "extra": {"key": "of-the-shop"}}),
    )
    source = SOURCE.replace("PLACE_OF_OUTPUTS", str(out))
    run = lab.test(lab.load(lab.write(cases.written(source, SHADOWS, tmp_path))))
    assert run.state == "success", run.states
    names = ("rows", "far", "named", "untold", "logged", "changed", "model", "placed", "gone")
    reports = {name: cases.report(lab, run, name) for name in names}
    parts = {
        name: next(part for part in report["parts"] if part["name"] != "return_value")
        for name, report in reports.items()
    }
    said = {name: part["verdict"] for name, part in parts.items()}
    notes = {name: report["noise"]["note"] for name, report in reports.items()}
    assert said == {
        "rows": "EQUIVALENT",
        "far": "DIFFERENT",
        "named": "EQUIVALENT",
        "untold": "DIFFERENT",
        "logged": "EQUIVALENT",
        "changed": "DIFFERENT",
        "model": "EQUIVALENT",
        "placed": "EQUIVALENT",
        "gone": "EQUIVALENT",
    }, (notes, {name: part["rule"] for name, part in parts.items()})
    (relaxed,) = [one for one in parts["rows"]["relaxations"] if one["name"] == "noise"]
    assert relaxed["value"] == "2 repeats, column 'price': at most 1 apart, 3 rows"
    assert "column 'price' is 60 apart, between repeats at most 0.5" in notes["far"]
    assert "untold__noise_1: rows: it writes to 'untold', as the candidate does" in notes["untold"]
    assert (
        "log: line 2 differs in '4'" in notes["changed"] or "log: line 2 does not differ" in notes["changed"]
    )
    assert reports["logged"]["unused"] == [{"setting": "mask", "name": "pasword", "there": []}]
    assert [name for name in names if reports[name]["unused"]] == ["logged"]
    with sqlite3.connect(out / "shop.db") as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert {"candidate_sales", "candidate_1_sales", "candidate_2_sales", "own_sales", "own_1_sales"} <= tables
    assert {"own.log", "own_1.log"} <= {path.name for path in out.iterdir()}


def write(path: str) -> None:
    Path(path).write_text("x")


QUERY = "SELECT * FROM {schema}.t"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (Output("a", "/x", candidate="/y", argument="path"), "would all write to '/y'"),
        (Output("a", sql=QUERY, connection="c", candidate="s", argument="path"), "would all write to 's'"),
        (Output("a", "s3://b/x/", candidate="s3://b/y/{repeat}/", argument="path"), "into the candidate's"),
        (Output("a", "/x", candidate="/x{repeat}", argument="path"), "the candidate would write to /x"),
        (
            Output("a", "s", "s{repeat}", sql=QUERY, connection="c", argument="path"),
            "both stand for 's'",
        ),
    ],
)
def test_a_place_that_repeats_would_share_is_refused(output: Output, said: str) -> None:
    with pytest.raises(OperatorProblem, match="SB510") as found:
        shadow_outputs.check((output,), write, idempotent=False, noise=2, place="shadow of task 't'")
    assert said in str(found.value)


def test_the_place_of_each_repeat() -> None:
    outputs = (
        Output("file", "/x", candidate="/y{repeat}/z", argument="path"),
        Output("rows", sql=QUERY, connection="c", environment="SCHEMA"),
        Output("untold", sql=QUERY, connection="c"),
        Output("made", "/m", argument="more"),
    )
    shadow_outputs.check(outputs, None, idempotent=False, noise=2, place="")
    places = []
    for repeat in range(3):
        lead = shadow_outputs.lead_of("d", f"t{repeat}", "r", -1)
        asked = Asked(outputs, False, StoreSettings("file:///store"), lead, False, str, repeat)
        places.append([one.candidate for one in shadow_outputs.places_of(asked)])
    assert [one[:3] for one in places] == [
        ["/y/z", "candidate", "candidate"],
        ["/y_1/z", "candidate_1", "candidate"],
        ["/y_2/z", "candidate_2", "candidate"],
    ]
    assert len({one[3] for one in places}) == 3
    ids = ("g.t__shadow", "g.t__noise_2", "g.t__noise_12", "g.t__noise_x", "g.t__noise_1__shadow", "t")
    assert [shadow_outputs.repeat_of(one, "g.t") for one in ids] == [0, 2, 12, 0, 0, 0]


def test_a_file_that_changes_while_noise_is_looked_for_leaves_it_unknown(tmp_path: Path) -> None:
    rules = Compare(outputs=(Output("o", "/x", argument="p"),))
    settings = StoreSettings("file:///s")
    for name, number in (("control", 1), ("candidate", 2), ("repeat", 3)):
        (tmp_path / name).write_text(json.dumps({"n": number}))
        (tmp_path / name).rename(tmp_path / f"{name}.json")

    def given(task_id: str, index: int) -> shadow_noise.Given:
        places = (Place("o", "/x", str(tmp_path / f"{task_id}.json")),)
        written = shadow_written.own(rules, places, settings, tmp_path, str)
        return shadow_noise.Given({}, outputs={one.name: one for one in written})

    def compared(change: str) -> tuple[Part, str]:
        def run(
            left: Mapping[str, Value], right: Mapping[str, Value], how: Compare, _: float
        ) -> Sequence[Part]:
            found = compare_values(left, right, how)
            if change:
                (tmp_path / change).write_text(json.dumps({"n": 10}))
            return found

        control = shadow_written.own(
            rules, (Place("o", "/x", str(tmp_path / "control.json")),), settings, tmp_path, str
        )
        (mine,) = control
        assert mine.value is not None
        first = given("candidate", -1).everything()
        (part,) = compare_values({"o": mine.value}, first, shadow_noise.in_full(rules))
        repeats = shadow_noise.Repeats(("repeat",), "candidate", given, run, rules, 60.0)
        (judged,), said = repeats.judged([part], [-1])
        return judged, said.note

    assert compared("")[0].verdict == "EQUIVALENT"
    for change in ("repeat.json", "candidate.json"):
        judged, note = compared(change)
        assert judged.verdict == "DIFFERENT"
        assert f"o: {tmp_path}/{change} changed while it was compared" in note
        (tmp_path / "candidate.json").write_text(json.dumps({"n": 2}))
        (tmp_path / "repeat.json").write_text(json.dumps({"n": 3}))
