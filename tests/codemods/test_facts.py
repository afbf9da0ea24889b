"""What the source says of a task: its ids, DAG, callable, readers; one idiom a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from inventories import sites

from stepbridge_migrate.model import Form, Kind, Making, Site, State

TOP = """\
from airflow import DAG
from airflow.decorators import dag, task, task_group
from airflow.operators.python import PythonOperator, get_current_context
from airflow.utils.task_group import TaskGroup
"""
INSIDE = "    PythonOperator(task_id='t', python_callable=print)\n"
FLAT = "PythonOperator(task_id='t', python_callable=print, "


def one(root: Path, body: str) -> Site:
    (site,) = sites(root, text=TOP + body)
    return site


@pytest.mark.parametrize(
    ("body", "ids", "pattern", "complete"),
    [
        ("for n in ['a', 'b']:\n  P(f'x_{n}')", ("x_a", "x_b"), "x_*", True),
        ("for i in range(2):\n  P(f'x_{i:03d}')", ("x_000", "x_001"), "x_*", True),
        ("for i, n in enumerate(['a', 'b'], 1):\n  P('%s_%d' % (n, i))", ("a_1", "b_2"), "*_*", True),
        ("for k, v in {'a': {'id': 'x'}}.items():\n  P(k + '_' + v['id'])", ("a_x",), "a_x", True),
        ("for n in NAMES:\n  P('_'.join(['load', n.lower()]))", ("load_a", "load_b"), "load_*", True),
        ("for n in sorted(set(NAMES)):\n  P('{}-{x}'.format(n, x=1))", ("A-1", "B-1"), "*-1", True),
        ("for n in read():\n  P(f'x_{n}')", (), "x_*", False),
        ("for n in NAMES:\n  for m in (1, 2):\n    P(f'{n}{m}')", ("A1", "A2", "B1", "B2"), "*", True),
        ("[P(f'c_{n}') for n in NAMES]", ("c_A", "c_B"), "c_*", True),
        ("[P(f'c_{n}') for n in NAMES if n]", (), "c_*", False),
        ("P(NAME)", ("const",), "const", True),
        ("P(unknown())", (), "*", False),
        ("with TaskGroup('g'):\n  P('t')", ("g.t",), "g.t", True),
        ("with TaskGroup('g', prefix_group_id=False):\n  P('t')", ("t",), "t", True),
        (
            "for n in NAMES:\n  with TaskGroup(f'g_{n}'), TaskGroup('h'):\n      P('t')",
            ("g_A.h.t", "g_B.h.t"),
            "g_*.h.t",
            True,
        ),
        (
            "def make(n, k='z'):\n  return P(f'{n}_{k}')\nmake('a')\nmake(n='b', k='y')",
            ("a_z", "b_y"),
            "*_*",
            True,
        ),
        ("def make(n):\n  return P(n)\nfor n in NAMES: make(n)", ("A", "B"), "*", True),
        ("def never(n):\n  return P(f'{n}_x')", (), "*_x", False),
        ("g = TaskGroup('g')\nP('t', task_group=g)", ("g.t",), "g.t", True),
        ("if NAMES:\n  P('t')", ("t",), "t", True),
    ],
)
def test_ids(tmp_path: Path, body: str, ids: tuple[str, ...], pattern: str, complete: bool) -> None:
    code = body.replace("P(", "PythonOperator(python_callable=print, task_id=").replace("\n", "\n    ")
    site = one(tmp_path, f"NAMES = ['A', 'B']\nNAME = 'const'\nwith DAG('d') as dag:\n    {code}\n")
    assert (set(site.task.ids), site.task.pattern, site.task.complete) == (set(ids), pattern, complete)
    assert site.dag.id == "d"


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ("f(1)\n    f(2)", ("f", "f__1")),
        ("f.override(task_id='x')(1)\n    f(1)", ("x", "f")),
        ("[f(i) for i in range(3)]", ("f", "f__1", "f__2")),
        ("with TaskGroup('g'):\n        f(1)\n    f(2)", ("g.f", "f")),
        ("f.partial(y=1).expand(x=[1])", ("f",)),
        ("group(1)\n    group(2)", ("group.f", "group__1.f")),
        ("group.override(group_id='other')(1)", ("other.f",)),
    ],
)
def test_ids_of_decorated_functions(tmp_path: Path, body: str, ids: tuple[str, ...]) -> None:
    text = f"""
@task
def f(x, y=0):
    return x

@task_group
def group(x):
    return f(x)

@dag()
def d():
    {body}

d()
"""
    site = one(tmp_path, text)
    assert site.task.ids == ids
    assert (site.dag.id, site.dag.how, site.kind) == ("d", "decorator", Kind.TASK)


@pytest.mark.parametrize(
    ("text", "dag", "how", "variable"),
    [
        ("with DAG('d') as x:\n" + INSIDE, "d", "with", "x"),
        ("with DAG(dag_id='d'):\n" + INSIDE, "d", "with", ""),
        ("x = DAG('d')\nwith x:\n" + INSIDE, "d", "variable", "x"),
        ("x = DAG('d')\nPythonOperator(task_id='t', python_callable=print, dag=x)\n", "d", "argument", "x"),
        ("x = DAG('d')\nPythonOperator(task_id='t', python_callable=print)\n", "d", "none", "x"),
        ("import os\nwith DAG(os.path.basename(__file__).split('.')[0]):\n" + INSIDE, "dag", "with", ""),
        ("from pathlib import Path\nwith DAG(Path(__file__).stem):\n" + INSIDE, "dag", "with", ""),
        (
            "def make(i):\n  with DAG(f'd_{i}') as x:\n  " + INSIDE + "  return x\nmake('e')\n",
            "d_e",
            "with",
            "x",
        ),
        (f"def make(x):\n  {FLAT}dag=x)\ny = DAG('d')\nmake(y)\n", "d", "argument", "y"),
        ("class Mine(DAG): pass\nwith Mine('d') as x:\n" + INSIDE, "d", "with", "x"),
        ("def new():\n  return DAG('d')\nwith new() as x:\n" + INSIDE, "d", "with", "x"),
        (f"kw = dict(dag=DAG('d'), retries=1)\n{FLAT}**kw)\n", "d", "argument", ""),
    ],
)
def test_dag_scope(tmp_path: Path, text: str, dag: str, how: str, variable: str) -> None:
    site = one(tmp_path, text)
    assert (site.dag.id, site.dag.how, site.dag.variable) == (dag, how, variable)


def test_two_dags_of_one_name_in_a_file(tmp_path: Path) -> None:
    text = "".join(
        f"dag = DAG('{n}')\nPythonOperator(task_id='t', python_callable=print, dag=dag)\n"
        for n in ("one", "two")
    )
    assert [site.dag.id for site in sites(tmp_path, text=TOP + text)] == ["one", "two"]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("from airflow.operators.python_operator import PythonOperator as X", Kind.PYTHON),
        ("from airflow.operators import PythonOperator as X", Kind.PYTHON),
        ("from airflow.providers.standard.operators.python import PythonOperator as X", Kind.PYTHON),
        ("import airflow.operators.python\nX = airflow.operators.python.PythonOperator", Kind.PYTHON),
        ("from airflow.operators.python import PythonVirtualenvOperator as X", Kind.VIRTUALENV),
        ("from airflow.operators.python import ExternalPythonOperator as X", Kind.EXTERNAL),
        ("from airflow.operators.python import ShortCircuitOperator as X", Kind.SHORT_CIRCUIT),
        ("from airflow.operators.latest_only import LatestOnlyOperator as X", Kind.BRANCH),
        ("from airflow.sensors.python import PythonSensor as X", Kind.SENSOR),
        ("from airflow.operators.dummy import DummyOperator as X", Kind.EMPTY),
        ("from vendor.things import Load as X", Kind.OPERATOR),
        ("from vendor.things import LoadSensor as X", Kind.SENSOR),
        ("from airflow.operators.python import *\nX = PythonOperator", Kind.PYTHON),
        ("class X(PythonOperator): pass", Kind.OPERATOR),
        ("from functools import partial\nX = partial(PythonOperator, retries=1)", Kind.UNKNOWN),
        ("from stepbridge_airflow import StepOperator as X", Kind.STEP),
    ],
)
def test_kinds(tmp_path: Path, line: str, kind: Kind) -> None:
    site = one(tmp_path, f"{line}\nwith DAG('d'):\n    X(task_id='t')\n")
    assert site.kind is kind
    assert site.local == "X"


def test_a_name_of_two_families_is_unknown(tmp_path: Path) -> None:
    text = "try:\n  from a.b import Missing as X\nexcept ImportError:\n  X = PythonOperator\n"
    text += "with DAG('d'):\n  X(task_id='t')\n"
    assert one(tmp_path, text).kind is Kind.UNKNOWN


def test_a_star_import_alone_is_unknown(tmp_path: Path) -> None:
    text = "from airflow import DAG\nfrom airflow.operators.python import *\nwith DAG('d'):\n" + INSIDE
    (site,) = sites(tmp_path, text=text)
    assert site.kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("decorator", "kind"),
    [
        ("task", Kind.TASK),
        ("task()", Kind.TASK),
        ("task.python(retries=1)", Kind.TASK),
        ("task.virtualenv(requirements=[])", Kind.TASK_VIRTUALENV),
        ("task.external_python(python='p')", Kind.TASK_EXTERNAL),
        ("task.kubernetes(image='i')", Kind.TASK_KUBERNETES),
        ("task.docker(image='i')", Kind.TASK_DOCKER),
        ("task.branch", Kind.BRANCH),
        ("task.short_circuit", Kind.SHORT_CIRCUIT),
        ("task.sensor(timeout=1)", Kind.SENSOR),
        ("task.bash", Kind.OPERATOR),
        ("task.step(cache='auto')", Kind.TASK_STEP),
        ("x.task", Kind.TASK),
        ("x.task(retries=1)", Kind.TASK),
    ],
)
def test_decorators(tmp_path: Path, decorator: str, kind: Kind) -> None:
    site = one(tmp_path, f"with DAG('d') as x:\n    @{decorator}\n    def f(): ...\n    f()\n")
    assert (site.kind, site.task.ids) == (kind, ("f",))
    assert site.state is (State.CUTOVER if kind is Kind.TASK_STEP else State.LEGACY)
    assert (site.open is None) is ("(" not in decorator)


CALLABLES = """
import functools
from helper import work, Job as HelperJob
def f(ds, **kw): return kw["ti"].xcom_pull(task_ids="up", key="k")
class Job:
    @staticmethod
    def s(): ...
    @classmethod
    def c(cls): ...
    def m(self): ...
    def __call__(self): ...
job = Job()
alias = f
def make():
    def inner(): return 1
    return inner
async def a(): ...
def g(): yield 1
"""


@pytest.mark.parametrize(
    ("expression", "form", "name"),
    [
        ("f", Form.FUNCTION, "dag:f"),
        ("alias", Form.FUNCTION, "dag:f"),
        ("work", Form.IMPORTED, "helper:work"),
        ("HelperJob.s", Form.METHOD, "helper:Job.s"),
        ("Job.s", Form.METHOD, "dag:Job.s"),
        ("Job.c", Form.METHOD, "dag:Job.c"),
        ("job.m", Form.BOUND, ""),
        ("job", Form.BOUND, ""),
        ("Job()", Form.BOUND, ""),
        ("lambda: 1", Form.LAMBDA, ""),
        ("functools.partial(f, 1)", Form.PARTIAL, "dag:f"),
        ("make()", Form.CALL, ""),
        ("globals()['f']", Form.UNKNOWN, ""),
        ("len", Form.IMPORTED, "builtins:len"),
        ("os.getcwd", Form.IMPORTED, "os:getcwd"),
    ],
)
def test_callables(tmp_path: Path, expression: str, form: Form, name: str) -> None:
    (tmp_path / "helper.py").write_text("def work(): ...\nclass Job:\n    @staticmethod\n    def s(): ...\n")
    task = INSIDE.replace("print", expression)
    text = f"import os\n{CALLABLES}\nwith DAG('d'):\n{task}"
    facts = one(tmp_path, text).callable
    assert facts is not None
    assert (facts.form, facts.name, facts.text) == (form, name, expression)


def test_what_a_callable_touches(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "kit.py").write_text(
        "import uuid\nfrom airflow.models import Variable as V\n"
        "def deep(n): return V.get('threshold'), uuid.uuid4(), open('/tmp/x')\n"
    )
    text = """
import os, requests
from datetime import datetime
from airflow.providers.postgres.hooks.postgres import PostgresHook
from kit import deep
LIMIT = 3
def helper(ti): ti.xcom_push("rows", LIMIT)
def f(ds, **context):
    helper(context["ti"])
    deep(os.environ["HOME"])
    requests.post("x", json={"now": datetime.now()})
    PostgresHook(postgres_conn_id="pg").run("DELETE FROM t")
    return context["dag_run"].conf
with DAG('d'):
    PythonOperator(task_id='t', python_callable=f)
"""
    facts = one(tmp_path, text).callable
    assert facts is not None
    assert facts.context_keys == ("dag_run", "ds", "ti")
    assert facts.pushes == ("rows",)
    assert facts.variables == ("threshold",)
    assert facts.connections == ("pg",)
    assert facts.globals == ("LIMIT",)
    assert facts.helpers == ("helper",)
    assert facts.modules == ("plugins.kit",)
    assert facts.distributions == ("requests",)
    assert facts.environment == ("HOME",)
    assert [item.what for item in facts.hooks] == ["PostgresHook"]
    assert [item.what for item in facts.files] == ["open('/tmp/x')"]
    assert sorted(item.what for item in facts.writes) == ["PostgresHook().run DELETE", "requests.post"]
    assert sorted(item.what for item in facts.random) == ["datetime.datetime.now", "uuid.uuid4"]
    assert facts.files[0].place.path == "plugins/kit.py"
    assert facts.returns
    assert facts.followed


def test_readers_of_all_kinds(tmp_path: Path) -> None:
    text = """
@task
def sink(x): ...
def pull(ti, **kw): return ti.xcom_pull(task_ids="src", key="k")
with DAG('d'):
    src = PythonOperator(task_id="src", python_callable=print)
    PythonOperator(task_id="code", python_callable=pull)
    PythonOperator(task_id="text", python_callable=print, op_args=["{{ ti.xcom_pull('src') }}"])
    PythonOperator(task_id="arg", python_callable=print, op_kwargs={"x": src.output["a"]})
    sink(src.output)
    PythonOperator.partial(task_id="many", python_callable=print).expand(op_args=src.output)
    elsewhere = ["{{ ti.xcom_pull('src', dag_id='e') }}"]
    other = PythonOperator(task_id="other_dag", python_callable=print, op_args=elsewhere)
    PythonOperator(task_id="e", python_callable=print, op_args=["{{ ti.xcom_pull('src', dag_id='e') }}"])
"""
    found = sites(tmp_path, text=TOP + text)
    (source,) = [site for site in found if site.task.ids == ("src",)]
    assert sorted((item.task, item.how, item.key) for item in source.readers) == [
        ("d.arg", "argument", "a"),
        ("d.code", "xcom_pull", "k"),
        ("d.many", "expand", "return_value"),
        ("d.sink", "argument", "return_value"),
        ("d.text", "template", "return_value"),
    ]


def test_common_arguments_of_one_literal(tmp_path: Path) -> None:
    text = """
base = {"retries": 2}
common = dict(base, pool="p")
with DAG('d'):
    PythonOperator(task_id="t", python_callable=print, **common)
"""
    argument = one(tmp_path, text).arguments[-1]
    assert (argument.star, argument.value, argument.literal) == ("**", "common", True)
    assert [(item.name, item.value) for item in argument.common] == [("retries", "2"), ("pool", '"p"')]
    assert {item.span for item in argument.common} == {argument.span}


@pytest.mark.parametrize(
    "change", ["common['pool'] = 'q'", "common.update(pool='q')", "del common['retries']"]
)
def test_a_mapping_that_changes_is_no_literal(tmp_path: Path, change: str) -> None:
    text = f"common = {{'retries': 2}}\n{change}\nwith DAG('d'):\n    PythonOperator(task_id='t', **common)\n"
    argument = one(tmp_path, text).arguments[-1]
    assert (argument.literal, argument.common) == (False, ())


@pytest.mark.parametrize(
    ("text", "making"),
    [
        ("with DAG('d'):\n    P('t')", (Making.PLAIN,)),
        ("with DAG('d'):\n    for i in (1, 2):\n        P(f't{i}')", (Making.LOOP,)),
        ("def f():\n    with DAG('d'):\n        P('t')\nf()", (Making.FACTORY,)),
        ("@dag()\ndef d():\n    P('t')\nd()", (Making.PLAIN,)),
        ("with DAG('d'):\n    if 1:\n        P('t')", (Making.CONDITIONAL,)),
        ("if __name__ == '__main__':\n    with DAG('d'):\n        P('t')", (Making.PLAIN,)),
    ],
)
def test_making(tmp_path: Path, text: str, making: tuple[Making, ...]) -> None:
    code = text.replace("P(", "PythonOperator(python_callable=print, task_id=")
    assert one(tmp_path, code + "\n").making == making


@pytest.mark.parametrize(
    "body",
    [
        "def alert(context):\n    PythonOperator(task_id='x', python_callable=print).execute(context)\n"
        "with DAG('d', default_args={'on_failure_callback': alert}):\n    pass\n",
        "@task\ndef f():\n    op = PythonOperator(task_id='x', python_callable=print)\n    op.execute({})\n",
        "def f():\n    PythonOperator(task_id='x', python_callable=print)\n"
        "with DAG('d'):\n    PythonOperator(task_id='x', python_callable=f)\n",
    ],
    ids=["callback", "task", "callable"],
)
def test_operators_that_a_running_task_makes_are_no_sites(tmp_path: Path, body: str) -> None:
    found = sites(tmp_path, text=TOP + body)
    assert all("x" not in site.task.ids or site.callable.text == "f" for site in found if site.callable)
    assert len(found) <= 1
