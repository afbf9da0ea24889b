"""Shadows whose result is what they write: files, folders, objects, rows; and the candidate's own place."""

from __future__ import annotations

import functools
import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import shadow_cases as cases
from s3_server import s3_server

pytest.importorskip("airflow")

from stepbridge.compare.rules import Compare, Output
from stepbridge.contract import StoreSettings
from stepbridge.failures import OperatorProblem
from stepbridge_airflow import shadow_outputs, shadow_written
from stepbridge_airflow.shadow_outputs import Asked, Place

HEAD = """
from stepbridge.compare.rules import Output
OUT = "PLACE_OF_OUTPUTS"
"""

FILES = """
def table(path, rows=3):
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text("id,x\\n" + "".join(f"{n},{n * 2}\\n" for n in range(rows)))

def folder(seed):
    place = Path(os.environ.get("MODEL_FOLDER", "PLACE_OF_OUTPUTS/model/"))
    (place / "deep").mkdir(parents=True, exist_ok=True)
    (place / "meta.json").write_text(json.dumps({"seed": seed}))
    (place / "deep" / "weights.bin").write_bytes(bytes(range(100)))

def folder_2(seed):
    place = Path(os.environ.get("MODEL_FOLDER", "PLACE_OF_OUTPUTS/model/"))
    (place / "deep").mkdir(parents=True, exist_ok=True)
    (place / "meta.json").write_text(json.dumps({"seed": seed + 1}))
    (place / "deep" / "weights.bin").write_bytes(bytes(range(100)))

def half(path):
    Path(path).write_text("id,x\\n0,0\\n")
    raise RuntimeError("no more room")

with DAG("DAG_ID", start_date=START, schedule=None):
    PythonOperator(task_id="named", python_callable=table, op_kwargs={"path": OUT + "/{{ ds }}.sql"})
    PythonOperator(task_id="placed", python_callable=table, op_args=[OUT + "/placed.csv"])
    PythonOperator(task_id="model", python_callable=folder, op_args=[7])
    PythonOperator(task_id="broken", python_callable=table, op_kwargs={"path": OUT + "/broken.csv"})
    PythonOperator(task_id="clash", python_callable=table, op_kwargs={"path": OUT + "/clash.csv"})
    SHADOWS
"""

FILE_SHADOWS = """
def by(name, control, **more):
    return Compare(outputs=(Output(name, control, **more),))
shadow("named", compare=by("table", OUT + "/{{ ds }}.sql", argument="path"))
shadow("placed", compare=by("table", OUT + "/placed.csv", argument="path"))
shadow("model", folder_2, compare=by("model", OUT + "/model/", environment="MODEL_FOLDER"))
shadow("broken", half, compare=by("table", OUT + "/broken.csv", argument="path"))
shadow("clash", half, compare=by("table", OUT + "/clash.csv", candidate=OUT + "/{{ 'clash' }}.csv"))
"""


@pytest.mark.slow
def test_files_and_folders(lab: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    source, shadows = ((HEAD + text).replace("PLACE_OF_OUTPUTS", str(out)) for text in (FILES, FILE_SHADOWS))
    shadows = shadows.replace(HEAD.replace("PLACE_OF_OUTPUTS", str(out)), "")
    found = []
    for name, text in (("without", ""), ("with", shadows)):
        (tmp_path / name).mkdir()
        lab.number = 0
        run = lab.test(lab.load(lab.write(cases.written(source, text, tmp_path / name))))
        found.append((cases.seen(run, tmp_path / name), _digests(out)))
    assert found[0] == found[1]
    said = {name: cases.verdict(run, name) for name in ("named", "placed", "model", "broken", "clash")}
    assert said == {
        "named": "IDENTICAL",
        "placed": "IDENTICAL",
        "model": "DIFFERENT",
        "broken": "CANDIDATE_FAILED",
        "clash": "SKIPPED",
    }
    assert "no more room" in cases.rule(run, "broken")
    assert "the candidate would write to" in cases.rule(run, "clash")
    report = cases.report(lab, run, "named")
    assert [part["name"] for part in report["parts"]] == ["return_value", "table"]
    assert report["parts"][1]["compared"] > 0
    model = cases.report(lab, run, "model")["parts"][1]
    assert "meta.json" in json.dumps(model)
    assert model["verdict"] == "DIFFERENT"
    own = lab.store / "shadow" / "outputs" / run.dag_id
    assert sorted(path.name for path in own.iterdir()) == [
        "broken__shadow",
        "model__shadow",
        "named__shadow",
        "placed__shadow",
    ]


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


MORE = """
def nothing():
    return 1

def one(path):
    Path(path).write_text("1")

def none(path):
    pass

def rows(schema, last=3):
    import sqlite3
    with sqlite3.connect(OUT + "/shop.db") as database:
        database.execute(f"CREATE TABLE IF NOT EXISTS {schema}_sales (id INTEGER, name TEXT, price REAL)")
        database.execute(f"DELETE FROM {schema}_sales")
        found = [(n, None if n == 1 else "a", n / 3) for n in range(last)]
        database.executemany(f"INSERT INTO {schema}_sales VALUES (?, ?, ?)", found)

def fewer_rows(schema):
    rows(schema, 2)

with DAG("DAG_ID", start_date=START, schedule=None):
    PythonOperator(task_id="nothing", python_callable=nothing)
    PythonOperator(task_id="only", python_callable=one, op_kwargs={"path": OUT + "/only.txt"})
    PythonOperator(task_id="twice", python_callable=one, op_kwargs={"path": OUT + "/twice.txt"})
    PythonOperator(task_id="sales", python_callable=rows, op_kwargs={"schema": "control"})
    PythonOperator(task_id="fewer", python_callable=rows, op_kwargs={"schema": "old"})
    PythonOperator(task_id="queries", python_callable=nothing)

    @task
    def piece(n, path):
        Path(path).write_text(json.dumps({"n": n}))
    many = piece.partial(path=OUT + "/piece-{{ ti.map_index }}.json").expand(n=[1, 2])
    SHADOWS
"""

MORE_SHADOWS = """
def by(*outputs, **more):
    return Compare(outputs=outputs, **more)
SALES = "SELECT * FROM {schema}_sales WHERE '{{ ti.task_id }}' != '' ORDER BY id"
shadow("nothing", compare=by(Output("gone", OUT + "/gone/", environment="GONE")))
shadow("only", none, compare=by(Output("file", OUT + "/only.txt", argument="path")))
shadow("twice", compare=by(Output("file", OUT + "/twice.txt"), idempotent=True))
shadow("sales", compare=by(Output("rows", sql=SALES, connection="shop", argument="schema"), key=("id",)))
shadow("fewer", fewer_rows, compare=by(Output("rows", control="old", candidate="new", sql=SALES,
                                              connection="shop", argument="schema")))
shadow("queries", compare=by(
    Output("no table", sql="SELECT * FROM {schema}_missing", connection="shop"),
    Output("no connection", sql="SELECT * FROM {schema}_sales", connection="nowhere"),
    Output("no hook", sql="SELECT * FROM {schema}_sales", connection="strange"),
    Output("no key", sql="SELECT * FROM {schema}_sales", connection="keyless"),
    Output("no rows", sql="CREATE TABLE {schema}_new (x)", connection="shop"),
))
shadow(many, compare=by(Output("piece", OUT + "/piece-{{ ti.map_index }}.json", argument="path")))
"""
PASSWORD = "hush/hush-hush"


@pytest.mark.slow
def test_rows_and_mapped_tasks_and_what_is_not_there(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    sqlite3.connect(out / "shop.db").close()
    database = {"conn_type": "filedb", "host": str(out / "shop.db"), "password": PASSWORD}
    for name, given in {
        "shop": {**database, "extra": {"key": "of-the-shop"}},
        "keyless": database,
        "strange": {"conn_type": "no_such_kind", "password": PASSWORD},
    }.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(given))
    source, shadows = (text.replace("PLACE_OF_OUTPUTS", str(out)) for text in (HEAD + MORE, MORE_SHADOWS))
    run = lab.test(lab.load(lab.write(cases.written(source, shadows, tmp_path))))
    assert run.state == "success", run.states
    names = ("nothing", "only", "twice", "sales", "fewer", "queries", "piece")
    parts = {name: {p["name"]: p for p in cases.report(lab, run, name)["parts"]} for name in names}
    said = {name: {key: part["verdict"] for key, part in found.items()} for name, found in parts.items()}
    returned = {"return_value": "IDENTICAL"}
    assert not [parts[n]["rows"]["rule"] for n in ("sales", "fewer") if "failed" in parts[n]["rows"]["rule"]]
    assert said == {
        "nothing": {**returned, "gone": "INCOMPARABLE"},
        "only": {**returned, "file": "DIFFERENT"},
        "twice": {**returned, "file": "SKIPPED"},
        "sales": {**returned, "rows": "IDENTICAL"},
        "fewer": {**returned, "rows": "DIFFERENT"},
        "queries": {
            **returned,
            **dict.fromkeys(("no table", "no connection", "no hook", "no key", "no rows"), "TOOL_ERROR"),
        },
        "piece": {
            **{f"[{n}]": "IDENTICAL" for n in (0, 1)},
            **{f"[{n}] piece": "IDENTICAL" for n in (0, 1)},
        },
    }
    assert f"{out}/gone/" in parts["nothing"]["gone"]["rule"]
    assert "nothing__shadow" in parts["nothing"]["gone"]["rule"]
    assert parts["only"]["file"]["rule"] == "only the control gives it"
    assert parts["sales"]["rows"]["of"] == 3
    rules = {name: part["rule"] for name, part in parts["queries"].items()}
    assert "no such table: control_missing" in rules["no table"]
    assert "nowhere" in rules["no connection"]
    assert "no_such_kind" in rules["no hook"]
    assert "no key for ***" in rules["no key"]
    assert PASSWORD not in json.dumps(parts)


S3 = """
def write(uri):
    import boto3
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    names = [key + "a.csv", key + "deep/b.csv"] if key.endswith("/") else [key]
    for name in names:
        boto3.client("s3", endpoint_url="ENDPOINT").put_object(Bucket=bucket, Key=name, Body=b"id\\n1\\n")

def other(uri):
    import boto3
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    client = boto3.client("s3", endpoint_url="ENDPOINT")
    client.put_object(Bucket=bucket, Key=key + "a.csv", Body=b"id\\n2\\n")

with DAG("DAG_ID", start_date=START, schedule=None):
    for kind in ("/{{ ds }}.csv", "/tables/{{ ds }}/", "/others/"):
        PythonOperator(task_id="write" + str(len(kind)), python_callable=write,
                       op_kwargs={"uri": "s3://lake" + kind})
    SHADOWS
"""

S3_SHADOWS = """
shadow("write13", compare=Compare(outputs=(Output("one", "s3://lake/{{ ds }}.csv", argument="uri"),)))
shadow("write17", compare=Compare(outputs=(Output("all", "s3://lake/tables/{{ ds }}/", argument="uri"),)))
shadow("write8", other, compare=Compare(outputs=(Output("all", "s3://lake/others/", argument="uri"),)))
"""


@pytest.mark.slow
def test_objects_and_prefixes(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("moto.server")
    with s3_server(monkeypatch, "steps", "lake") as endpoint:
        client = boto3.client("s3", endpoint_url=endpoint)
        source = (HEAD + S3).replace("ENDPOINT", endpoint)
        dag = lab.load(lab.write(cases.written(source, S3_SHADOWS, tmp_path)))
        stale = f"team/shadow/outputs/{dag.dag_id}/write17__shadow/"
        run = lab.test(dag)
        made = [one["Key"] for one in client.list_objects_v2(Bucket="steps", Prefix=stale)["Contents"]]
        assert len(made) == 2
        client.put_object(Bucket="steps", Key=made[0].replace("a.csv", "stale.csv"), Body=b"x")
        client.delete_object(Bucket="steps", Key=made[1])
        lab.number = 0
        run = lab.test(dag)
        said = {name: cases.verdict(run, name) for name in ("write13", "write17", "write8")}
        assert said == {"write13": "IDENTICAL", "write17": "IDENTICAL", "write8": "DIFFERENT"}
        lake = {one["Key"]: one["ETag"] for one in client.list_objects_v2(Bucket="lake")["Contents"]}
        digest = hashlib.md5(b"id\n1\n", usedforsecurity=False).hexdigest()
        assert set(lake.values()) == {f'"{digest}"'}
        assert len(lake) == 5


def write(path: str, *, also: str = "") -> None:
    Path(path).write_text(also)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (Output("return_value", "/x", argument="path"), "name is taken"),
        (Output("a", "/x", argument="paths"), "no parameter 'paths'"),
        (Output("a", "/x", environment="1=2"), "no environment variable's name"),
        (Output("a", "gs://b/x", argument="path"), "no place that a comparison can read"),
        (Output("a", "out/x", argument="path"), "no place that a comparison can read"),
        (Output("a", "/x", candidate="/x"), "the candidate would write to /x"),
        (Output("a", "/{{ ds }}/x", candidate="/{{ ds }}/x"), "the candidate would write to"),
        (Output("a", "s3://b/x/", candidate="s3://b/x/shadow/"), "the candidate would write to"),
        (Output("a", "/data/x/y", candidate="/data/x/"), "the candidate would write to"),
        (Output("a", sql="SELECT 1", connection="c"), "both sides would read the same rows"),
        (Output("a", "t", "t", sql="SELECT {schema}", connection="c"), "both stand for 't'"),
    ],
)
def test_what_is_refused_when_the_dag_is_read(output: Output, said: str) -> None:
    with pytest.raises(OperatorProblem, match="SB510") as found:
        shadow_outputs.check((output,), write, idempotent=False, noise=0, place="shadow of task 't'")
    assert said in str(found.value)


def test_what_several_outputs_or_a_partial_refuse() -> None:
    two = (Output("a", "/x", argument="path"), Output("b", "/y", argument="path"))
    fixed = functools.partial(write, "/z")
    for outputs, function, noise, said in (
        (two, write, 0, "cannot say two places"),
        (two[:1], fixed, 0, "functools.partial"),
        ((Output("a", "/x", candidate="/y"),), write, 2, "noise=2"),
    ):
        with pytest.raises(OperatorProblem) as found:
            shadow_outputs.check(outputs, function, idempotent=False, noise=noise, place="here")
        assert said in str(found.value)
    shadow_outputs.check((Output("a", "/x", argument="also"),), fixed, idempotent=False, noise=3, place="")
    shadow_outputs.check((Output("a", "/x", "/x"),), write, idempotent=True, noise=0, place="")


def test_a_refusal_stops_the_dag_file(lab: Any) -> None:
    text = """
    from stepbridge.compare.rules import Compare, Output
    from stepbridge_airflow import shadow
    def one(path):
        pass
    with DAG("DAG_ID", start_date=START, schedule=None):
        PythonOperator(task_id="one", python_callable=one, op_args=["/x"])
        shadow("one", compare=Compare(outputs=(Output("file", "/x", argument="target"),)))
    """
    found = lab.import_error(text)
    assert "SB510" in found
    assert "no parameter 'target'" in found


@pytest.mark.parametrize(
    "shadowed",
    [
        'shadow("one", cache="auto", compare=rules)',
        'shadow("one", StepOperator(task_id="n", **cached), compare=rules)',
        'shadow("many", cache="auto", compare=rules)',
    ],
)
def test_outputs_of_a_candidate_that_may_come_from_the_cache_are_refused(lab: Any, shadowed: str) -> None:
    text = f"""
    from stepbridge.compare.rules import Compare, Output
    from stepbridge_airflow import StepOperator, shadow
    def one(path):
        pass
    rules = Compare(outputs=(Output("file", "/x", "/y"),))
    cached = dict(python_callable=one, op_args=["/y"], cache="auto")
    with DAG("DAG_ID", start_date=START, schedule=None):
        PythonOperator(task_id="one", python_callable=one, op_args=["/x"])
        PythonOperator.partial(task_id="many", python_callable=one).expand(op_args=[["/x"]])
        {shadowed}
    """
    found = lab.import_error(text)
    assert "SB510" in found
    assert "writes nothing" in found


@pytest.mark.parametrize(
    ("output", "root", "in_pods", "said"),
    [
        (Output("a", "s3://b/x", argument="p"), "file:///store", False, "candidate="),
        (Output("a", "/out/x", argument="p"), "s3://store", False, "candidate="),
        (Output("a", "/out/x", argument="p"), "file:///store", True, "in a pod"),
        (Output("a", "s3://lake/", argument="p"), "s3://store", True, "no place"),
        (Output("a", "/", argument="p"), "file:///store", False, "names no file"),
        (Output("a", "s3://store/all/", argument="p"), "s3://store/all/shadow", True, "would write to"),
        (
            Output("a", "/out/{{ nothing.at.all }}", argument="p"),
            "file:///store",
            False,
            "cannot be rendered",
        ),
        (Output("a", "{{ 'x' }}", argument="p"), "file:///store", False, "no place"),
    ],
)
def test_what_is_refused_when_the_candidate_starts(
    output: Output, root: str, in_pods: bool, said: str
) -> None:
    import jinja2

    def render(text: str) -> str:
        return jinja2.Environment(autoescape=False).from_string(text).render()

    asked = Asked((output,), False, StoreSettings(root), "outputs/d/t/r", in_pods, render)
    with pytest.raises(OperatorProblem, match="SB510") as found:
        shadow_outputs.places_of(asked)
    assert said in str(found.value)


def test_a_link_to_the_controls_folder_is_its_folder(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    output = Output("a", f"{real}/x.csv", candidate=f"file://{link}/x.csv")
    asked = Asked((output,), False, StoreSettings("file:///store"), "outputs", False, str)
    with pytest.raises(OperatorProblem, match="SB510"):
        shadow_outputs.places_of(asked)


def test_a_file_that_changes_while_it_is_compared_is_not_identical(tmp_path: Path) -> None:
    from stepbridge.compare import job

    for name in ("control", "candidate"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.json").write_text("[1, 2]")
    places = (Place("a", str(tmp_path / "control"), f"file://{tmp_path}/candidate"),)
    rules = Compare(outputs=(Output("a", "/x", argument="p"),))
    (written,) = shadow_written.read(rules, places, StoreSettings("file:///s"), tmp_path, str)
    assert written.control is not None
    assert written.candidate is not None
    asked = job.Job({"a": written.control}, {"a": written.candidate}, rules)
    (part,) = job.run(asked, seconds=60)
    assert part.verdict == "IDENTICAL"
    assert written.settled(part) == part
    (tmp_path / "candidate" / "x.json").write_text("[1, 3]")
    assert written.settled(part).verdict == "TOOL_ERROR"
