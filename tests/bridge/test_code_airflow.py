"""Slices of DAG files that real Airflow has loaded run where there is no Airflow."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from code_project import Project, outcome, project, result

from stepbridge.failures import CodeProblem

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(autouse=True, scope="module")
def _airflow(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ.setdefault("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
    pytest.importorskip("airflow.sdk")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "dags").mkdir()
    with project(tmp_path / "dags") as made:
        yield made


def text_of(piece: Any, name: str = "stepbridge_dag_dag.py") -> str:
    found: str = piece.modules[name].decode()
    return found


CLASSIC = """
from __future__ import annotations
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from airflow import DAG
from airflow.models import Variable
from airflow.exceptions import AirflowSkipException as Skip, AirflowFailException
from airflow.operators.python import PythonOperator, get_current_context
from airflow.providers.standard.operators.bash import BashOperator
if TYPE_CHECKING:
    from airflow.sdk import Context
from helpers import clean

default_args = {"owner": "team", "retries": 2}
THRESHOLD = 5
SETTINGS = {}
SETTINGS["limit"] = THRESHOLD

def helper(x: int, context: Context = None):
    if x < 0:
        raise Skip("negative")
    return clean(x) + SETTINGS["limit"]

def train(n: int, **context: Context) -> int:
    "Trains."
    return helper(n)

with DAG("classic", default_args=default_args, schedule=None, start_date=datetime(2024, 1, 1)) as dag:
    start = BashOperator(task_id="start", bash_command="true")
    train = PythonOperator(task_id="train", python_callable=train, op_kwargs={"n": 1})
    start >> train
    for name in ("a", "b"):
        PythonOperator(task_id=name, python_callable=lambda: clean(2))
"""


def test_classic_dag(here: Project, tmp_path: Path) -> None:
    here.write({"dag.py": CLASSIC, "helpers.py": "def clean(x): return x * 10\n"})
    piece = here.slice("train.python_callable")
    assert piece.entry == "stepbridge_dag_dag:train"
    assert result(piece, tmp_path / "run", 3) == 35
    assert "AirflowSkipException" in outcome(piece, tmp_path / "again", -1)["error"]
    assert piece.airflow == {}
    text = text_of(piece)
    assert "from stepbridge.facade import AirflowSkipException as Skip" in text
    assert "DAG" not in text
    lines = CLASSIC.splitlines()[1:]
    for number, line in enumerate(text.splitlines()):
        if line and "facade" not in line:
            assert lines[number].startswith(line)
    task = here.slice("dag.get_task('a').python_callable")
    assert result(task, tmp_path / "lambda") == 20


def test_unreached_airflow_does_not_count(here: Project) -> None:
    here.write({"helpers.py": "def clean(x): return x * 10\n"})
    before = here.slice("train.python_callable", {"dag.py": CLASSIC})
    edited = CLASSIC.replace('"retries": 2', '"retries": 3').replace(
        'bash_command="true"', 'bash_command="x"'
    )
    edited = edited.replace('op_kwargs={"n": 1}', 'op_kwargs={"n": 2}, pool="big"').replace(
        "schedule=None", "schedule='@daily'"
    )
    assert here.slice("train.python_callable", {"dag.py": edited}).digest == before.digest
    moved = CLASSIC.replace("from airflow.models import Variable", "from airflow.sdk import Variable")
    assert here.slice("train.python_callable", {"dag.py": moved}).digest == before.digest


TASKFLOW = """
import json
import airflow.sdk
import airflow.decorators as d
from airflow.sdk import DAG, Variable, dag, task as tk, task_group, get_current_context, TaskGroup
from airflow.sdk import Context, XComArg
import functools
def timed(fn):
    @functools.wraps(fn)
    def wrapper(*a, **k):
        return {"timed": fn(*a, **k)}
    return wrapper
LIMIT = 3
@dag(schedule=None)
def pipeline():
    scale = 2
    from math import floor
    table = {"rows": [1, 2]}
    def local(x):
        return floor(x) * scale
    @tk
    def extract() -> dict:
        return table
    @tk.short_circuit(ignore_downstream_trigger_rules=False)
    def check(x):
        return x > LIMIT
    @d.task(retries=3,
            pool="default_pool")
    @timed
    def train(data: dict, extra=None, ti=None, **context: Context) -> dict:
        return {"sum": local(sum(data["rows"])), "table": table}
    with TaskGroup("group"):
        @airflow.sdk.task
        def inner(n: int) -> int: return n + LIMIT
        inner(1)
    trained = train(extract())
    check(2)
    @tk
    def broken(): return trained
    broken()
made = pipeline()

my_task = functools.partial(tk, retries=2)
with DAG("two", schedule=None) as two:
    @my_task()
    def custom(n=1): return n + LIMIT
    for i in range(3):
        @tk(task_id=f"loop_{i}")
        def looped(x=i): return [x, LIMIT]
        looped()
    custom()
    LAST = 9
    @tk
    def after(): return LAST
    after()
"""


def pick(task: str, of: str = "made") -> str:
    return f"{of}.get_task('{task}').python_callable"


@pytest.mark.parametrize(
    ("task", "args", "expected"),
    [
        (pick("extract"), (), {"rows": [1, 2]}),
        (pick("check"), (4,), True),
        (pick("train"), ({"rows": [1, 2]},), {"timed": {"sum": 6, "table": {"rows": [1, 2]}}}),
        (pick("group.inner"), (1,), 4),
        (pick("custom", "two"), (), 4),
        (pick("loop_1", "two"), (), [1, 3]),
        (pick("after", "two"), (), 9),
        ("custom", (2,), 5),
    ],
)
def test_taskflow(task: str, args: tuple[Any, ...], expected: Any, here: Project, tmp_path: Path) -> None:
    piece = here.slice(task, {"dag.py": TASKFLOW})
    assert result(piece, tmp_path / "run", *args) == expected
    assert "tk" not in text_of(piece)
    assert piece.airflow == {}


def test_a_captured_xcom_is_refused(here: Project) -> None:
    with pytest.raises(CodeProblem) as caught:
        here.slice(pick("broken"), {"dag.py": TASKFLOW})
    assert caught.value.code.id == "SB205"
    assert caught.value.place.endswith("dag.py:38")
    assert "trained" in caught.value.cause
    assert caught.value.hint


REFUSED = {
    "the dag": ("def f(): return dag.tags\n", ":5"),
    "an operator": ("def f(): return op.task_id, op.retries\n", ":6"),
    "an operator's id among others": ("def f(): return op.task_id, op\n", ":6"),
    "an id in an f-string": ("def f(): return f'{op.task_id}'\n", ":6"),
    "an id of a loop": ("for i in 'ab': o = EmptyOperator(task_id='x')\ndef f(): return o.task_id\n", ""),
    "a computed id": ("o = EmptyOperator(task_id='x' + 'y', dag=dag)\ndef f(): return o.task_id\n", ""),
    "an xcom": ("def f(): return value\n", ":10"),
    "a list of operators": ("def f(): return ops\n", ":11"),
    "an alias": ("def f(): return also\n", ":12"),
    "a project factory": ("def f(): return built\n", ":13"),
    "its own operator": (
        "def f(n): return f(n - 1)\nf0 = f\nf = PythonOperator(task_id='s', python_callable=f, dag=dag)\n",
        "",
    ),
    "the session": (
        "from airflow.utils.session import provide_session\n"
        "@provide_session\ndef f(session=None): return 1\n",
        "",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_airflow_objects_are_refused(name: str, here: Project) -> None:
    code, line = REFUSED[name]
    text = (
        "from airflow.sdk import DAG, task\n"
        "from airflow.providers.standard.operators.python import PythonOperator\n"
        "from airflow.providers.standard.operators.empty import EmptyOperator\n"
        "from factory import build\n"
        "with DAG('d', schedule=None) as dag:\n"
        "    op = EmptyOperator(task_id='op')\n"
        "    @task\n"
        "    def give():\n"
        "        return 1\n"
        "    value = give()\n"
        "    ops = [EmptyOperator(task_id='o1')]\n"
        "    also = op.output\n"
        "    built = build('x')\n" + code + "import builtins\nentry = globals().get('f0') or f\n"
    )
    here.write(
        {
            "factory.py": "from airflow.providers.standard.operators.empty import EmptyOperator\n"
            "def build(n): return EmptyOperator(task_id=n)\n"
        }
    )
    with pytest.raises(CodeProblem) as caught:
        here.slice("entry", {"dag.py": text})
    assert caught.value.code.id == "SB204", caught.value
    assert ".py:" in caught.value.place
    assert caught.value.place.endswith(line)
    assert caught.value.hint


IDS = {
    "of a module": "op = EmptyOperator(task_id='up1', dag=dag)\ndef train(): return op.task_id, dag.dag_id\n",
    "of a group": (
        "with dag2, TaskGroup('g'):\n    with TaskGroup(group_id='h', tooltip='x'):\n"
        "        op = EmptyOperator(task_id='up1')\ndef train(): return [op.task_id.upper()]\n"
    ),
    "of a with": (
        "with DAG('up1', schedule=None) as named:\n    op = EmptyOperator(task_id='a')\n"
        "def train(): return (named\n    .dag_id, {op.task_id: 1})\n"
    ),
    "of a decorated dag": (
        "@sdk.dag(schedule=None)\ndef flow():\n    op = EmptyOperator(task_id='up1')\n"
        "    def inner(): return op.task_id\n    PythonOperator(task_id='b', python_callable=inner)\n"
        "made = flow()\n"
    ),
    "in a lambda": "op = EmptyOperator(task_id='up1', dag=dag)\ntrain = lambda: [op.task_id for _ in 'ab']\n",
    "in a helper": (
        "op = EmptyOperator(task_id='up1', dag=dag)\nclass A:\n    def f(self): return op.task_id\n"
        "def train(): return A().f()\n"
    ),
}
WITH_IDS = (
    "from airflow import sdk\nfrom airflow.sdk import DAG, TaskGroup\n"
    "from airflow.providers.standard.operators.empty import EmptyOperator\n"
    "from airflow.providers.standard.operators.python import PythonOperator\n"
    "dag = DAG('own', schedule=None)\n"
)


@pytest.mark.parametrize("name", IDS)
def test_ids_of_operators_are_those_of_airflow(name: str, here: Project, tmp_path: Path) -> None:
    text = WITH_IDS + IDS[name].replace("with dag2", "with DAG('two', schedule=None)")
    pick = "made.task_dict['b'].python_callable" if "made" in text else "train"
    first = here.slice(pick, {"dag.py": text})
    here.unload()
    live = json.loads(json.dumps(eval(pick, vars(here.load()))()))
    assert result(first, tmp_path / "first") == live
    assert "EmptyOperator" not in text_of(first)
    more = here.slice(pick, {"dag.py": text.replace("schedule=None", "schedule=None, catchup=False")})
    assert more.digest == first.digest
    other = here.slice(pick, {"dag.py": text.replace("up1", "up2")})
    assert other.digest != first.digest
    assert result(other, tmp_path / "other") != live


def test_project_modules_that_import_airflow_are_sliced(here: Project, tmp_path: Path) -> None:
    files = {
        "dag.py": """
            from airflow.sdk import DAG
            from common import tools
            from common.ops import MyOperator, shared, K as KK
            import common.more as more
            from common.hooks import fetch
            from common.whole import plain
            def train():
                return [tools.clean(1), shared(), KK, more.sub(2), plain()]
            def hooked():
                return fetch()
            with DAG("d", schedule=None):
                MyOperator(task_id="x")
            """,
        "common/__init__.py": "from airflow.plugins_manager import AirflowPlugin\n"
        "class P(AirflowPlugin):\n    name = 'p'\n",
        "common/tools.py": "from .ops import shared\nimport json\ndef clean(x): return x + shared()\n"
        "def other(): return MISSING\n",
        "common/ops.py": """
            from airflow.sdk import BaseOperator, Variable
            from common.consts import *
            K = {"a": 1}
            K["b"] = 2
            def shared(): return BASE
            class MyOperator(BaseOperator):
                def execute(self, context): return 1
            def unused(): return Variable.get("x")
            """,
        "common/consts.py": "BASE = 5\n",
        "common/more.py": "from airflow.models import Variable\nTABLE = {}\nTABLE[1] = 2\n"
        "def sub(x): return x + len(TABLE)\n",
        "common/hooks.py": "from airflow.sdk.bases.hook import BaseHook\n"
        "def fetch(): return BaseHook.get_connection('c')\n",
        "common/whole.py": "def plain():\n    return 'plain'\ndef late():\n"
        "    from airflow.models import (\n        Variable,\n        DagRun)\n    return Variable\n",
    }
    piece = here.slice("train", files)
    assert result(piece, tmp_path / "run") == [6, 5, {"a": 1, "b": 2}, 3, "plain"]
    assert "BaseOperator" not in text_of(piece, "common/ops.py")
    assert list(piece.airflow) == ["airflow.models.DagRun"]
    assert piece.airflow["airflow.models.DagRun"][0].endswith("whole.py:4")
    edited = "from airflow.models import DagRun; from stepbridge.facade import (Variable\n\n)"
    assert edited in text_of(piece, "common/whole.py")
    assert {"train", "common.ops.shared", "common.tools.clean", "common/consts.py"} <= set(piece.parts)
    other = dict(files)
    other["common/ops.py"] = files["common/ops.py"].replace("return 1", "return 2")
    assert here.slice("train", other).digest == piece.digest
    other["common/ops.py"] = files["common/ops.py"].replace("return BASE", "return -BASE")
    assert here.slice("train", other).digest != piece.digest
    hooked = here.slice("hooked", files)
    assert list(hooked.airflow) == ["airflow.sdk.bases.hook.BaseHook"]
    found = outcome(hooked, tmp_path / "hooked")
    assert "SB208" in found["error"]
    assert "hooks.py:1" in found["error"]


def test_import_eras(here: Project, tmp_path: Path) -> None:
    text = """
    try:
        from airflow.sdk import Variable, dag, task, get_current_context
        NEW = 3
    except ImportError:
        from airflow.models import Variable
        from airflow.decorators import dag, task
        from airflow.operators.python import get_current_context
        NEW = 2
    try:
        from airflow.sdk import AirflowException, Connection
    except ImportError:
        from airflow.exceptions import AirflowException
    def train():
        try:
            raise AirflowException("x")
        except AirflowException as error:
            return [str(error), Variable.__module__.partition(".")[0]]
    """
    piece = here.slice("train", {"dag.py": text})
    assert result(piece, tmp_path / "run") == ["x", "stepbridge"]
    assert piece.airflow == {}


def test_annotations_do_not_need_airflow(here: Project, tmp_path: Path) -> None:
    text = """
    from airflow.sdk import Context, DAG
    from airflow.models import TaskInstance
    from dataclasses import dataclass
    @dataclass
    class Job:
        ti: TaskInstance | None = None
        n: int = 1
    def train(n: int = 1, ti: TaskInstance = None, *args: "Context", **context: dict[
        str, Context
    ]) -> int:
        x: Context = {}
        return Job().n + n
    """
    piece = here.slice("train", {"dag.py": text})
    assert result(piece, tmp_path / "run") == 2
    assert "ti: 'TaskInstance | None' = None" in text_of(piece)
    assert piece.airflow == {}
    assert "n: int = 1, ti: 'TaskInstance' = None" in text_of(piece)


def test_dag_bag(here: Project, tmp_path: Path) -> None:
    """Airflow's own loader, its mangled module names included."""
    bag_module = pytest.importorskip("airflow.dag_processing.dagbag")
    from stepbridge.code.slicing import slice_callable

    here.write({"dag.py": CLASSIC, "helpers.py": "def clean(x): return x * 10\n"})
    import sys

    sys.path.insert(0, str(here.root))
    try:
        bag = bag_module.DagBag(str(here.root / "dag.py"))
    finally:
        sys.path.remove(str(here.root))
    function = bag.dags["classic"].get_task("train").python_callable
    here.loaded += [function.__module__, "helpers"]
    assert function.__module__.startswith("unusual_prefix_")
    piece = slice_callable(function, source_file=here.root / "dag.py")
    assert result(piece, tmp_path / "run", 1) == 15


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("from airflow.sdk import Variable\nV = Variable", "return V.get('thr')"),
        ("from airflow.sdk import Variable\ng = Variable.get", "return g('thr')"),
        ("from airflow.sdk import Variable\nclass Mine(Variable): pass", "return Mine.get('thr')"),
        ("from airflow.sdk import Variable\ndef g(v=Variable): return v.get('thr')", "return g()"),
        ("from common import V", "return V.get('thr')"),
        ("import importlib\nm = importlib.import_module('airflow.models')", "return m.Variable.get('thr')"),
    ],
)
def test_aliases_of_variable_are_dynamic(head: str, body: str, here: Project) -> None:
    here.write(
        {
            "common.py": "from airflow.sdk import Variable\nV = Variable\n",
            "dag.py": f"{head}\ndef train():\n    {body}\n",
        }
    )
    assert here.slice("train").reads.dynamic


def test_variable_by_star_import(here: Project) -> None:
    here.write({"dag.py": "from airflow.sdk import *\ndef train():\n    return Variable.get('thr')\n"})
    assert here.slice("train").reads.variables == {"thr"}
