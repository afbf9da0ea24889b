"""Every code that stops an edit, by a DAG file that gives it; the name of each case is the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from rule_checks import check_noop, site, sites

from stepbridge_migrate import rules
from stepbridge_migrate.codes import CODES
from stepbridge_migrate.model import Disposition, Needs

IMPORTS = """\
import functools
import os
from airflow import DAG
from airflow.decorators import task
from airflow.models import Variable
from airflow.operators.bash import BashOperator
from airflow.operators.python import (
    BranchPythonOperator,
    ExternalPythonOperator,
    PythonOperator,
    PythonVirtualenvOperator,
    ShortCircuitOperator,
)
from airflow.operators.empty import EmptyOperator
from airflow.sensors.python import PythonSensor

COMMON = {"retries": 2}


def fit(epochs=1):
    return epochs


"""
CALL = '    PythonOperator(task_id="train", python_callable={})\n'
DAG = 'with DAG("d") as dag:\n'


def of(function: str, callee: str = "work") -> str:
    return f"{IMPORTS}{function}\n\n{DAG}{CALL.format(callee)}"


def call(text: str) -> str:
    return f"{IMPORTS}{DAG}    {text}\n"


def decorated(text: str) -> str:
    return f"{IMPORTS}{DAG}    {text}\n    def train():\n        return 1\n\n    train()\n"


CALLABLES = {
    ("SM201", "a generator has no result that can be stored"): of("def work():\n    yield 1\n"),
    ("SM202", "a method of an object that the file made"): of(
        "class Job:\n    def run(self):\n        return 1\n\n\njob = Job()\n", "job.run"
    ),
    ("SM202", "an object that is called"): of(
        "class Job:\n    def __call__(self):\n        return 1\n", "Job()"
    ),
    ("SM203", "a live session of the database"): of(
        "from airflow.utils.session import provide_session\n\n\n@provide_session\n"
        "def work(session=None):\n    return session.query(1)\n"
    ),
    ("SM204", "a builtin has no source to ship"): call(
        'PythonOperator(task_id="train", python_callable=print)'
    ),
    ("SM204", "a function of the standard library"): call(
        'PythonOperator(task_id="train", python_callable=os.getcwd)'
    ),
    ("SM205", "the scheduler is to call the task again"): of(
        "from airflow.exceptions import AirflowRescheduleException\n\n\ndef work():\n"
        "    raise AirflowRescheduleException(None)\n"
    ),
    ("SM206", "an operator is run inside the callable"): of(
        'def work(**context):\n    return BashOperator(task_id="x", bash_command="true").execute(context)\n'
    ),
    ("SM207", "macros are live objects of the worker"): of(
        "def work(ds, macros):\n    return macros.ds_add(ds, 7)\n"
    ),
    ("SM207", "the tasks of the DAG are no plain data"): of("def work(dag):\n    return len(dag.tasks)\n"),
    ("SM207", "what is written to outlet events would be lost"): of(
        "def work(*, outlet_events):\n    outlet_events['x'].extra = {}\n"
    ),
    ("SM208", "the XCom of another DAG"): of(
        'def work(ti):\n    return ti.xcom_pull(dag_id="other", task_ids="x")\n'
    ),
    ("SM208", "the XCom of earlier runs"): of(
        'def work(ti):\n    return ti.xcom_pull(task_ids="x", include_prior_dates=True)\n'
    ),
    ("SM208", "the XCom of a task that is known only at run time"): of(
        'def work(ti):\n    return ti.xcom_pull(task_ids=os.environ["TASK"])\n'
    ),
    ("SM209", "a Variable whose name is computed"): of(
        'def work():\n    return Variable.get(os.environ["NAME"])\n'
    ),
    ("SM209", "a connection whose name is computed"): of(
        "from airflow.hooks.base import BaseHook\n\n\ndef work():\n"
        '    return BaseHook.get_connection(os.environ["NAME"])\n'
    ),
    ("SM210", "a logger as a parameter"): of(
        "import logging\n\n\ndef work(log: logging.Logger = None):\n    return 1\n"
    ),
    ("SM211", "a template gives text for a number"): of("def work(n: int):\n    return n\n").replace(
        "python_callable=work", 'python_callable=work, op_kwargs={"n": "{{ params.n }}"}'
    ),
    ("SM212", "nothing is returned where a dict is promised"): of("def work() -> dict:\n    print(1)\n"),
}
CALLS = {
    ("SM213", "a class among the positional arguments"): call(
        'PythonOperator(task_id="train", python_callable=fit, op_args=[{"model": Job}])'
    ).replace("COMMON =", "class Job:\n    pass\n\n\nCOMMON ="),
    ("SM213", "a function among the named arguments"): call(
        'PythonOperator(task_id="train", python_callable=fit, op_kwargs=dict(epochs=fit))'
    ),
    ("SM213", "a lambda"): call(
        'PythonOperator(task_id="train", python_callable=fit, op_kwargs={"epochs": lambda: 3})'
    ),
    ("SM213", "an object of a class that says nothing of its data"): call(
        'PythonOperator(task_id="train", python_callable=fit, op_args=[job])'
    ).replace("COMMON =", "class Job:\n    pass\n\n\njob = Job()\nCOMMON ="),
    ("SM213", "another task's operator"): call(
        'PythonOperator(task_id="train", python_callable=fit, op_args=[first])'
    ).replace("as dag:\n", 'as dag:\n    first = EmptyOperator(task_id="first")\n'),
    ("SM213", "the DAG"): call('PythonOperator(task_id="train", python_callable=fit, op_args=[dag])'),
    ("SM213", "what a loop goes over are classes"): f"""{IMPORTS}class Job:
    pass


with DAG("d") as dag:
    for job in [Job, Job]:
        PythonOperator(task_id="train", python_callable=fit, op_args=[job])
""",
    ("SM213", "a decorated function is called with a class"): decorated("@task")
    .replace("def train()", "def train(what)")
    .replace("train()\n", "train(DAG)\n")
    .replace("train(DAG)", "train(Job)")
    .replace("COMMON =", "class Job:\n    pass\n\n\nCOMMON ="),
    ("SM221", "the mapping comes from a call"): call(
        'PythonOperator(task_id="train", python_callable=fit, **os.environ)'
    ),
    ("SM222", "an argument that no operator knows"): call(
        'PythonOperator(task_id="train", python_callable=fit, retires=3)'
    ),
    ("SM222", "provide_context in a mapping that others share"): call(
        'PythonOperator(task_id="train", python_callable=fit, **{"provide_context": True})'
    ),
    ("SM223", "the callable is given by its position"): call('PythonOperator(fit, task_id="train")'),
    ("SM225", "string_args have no script to stand in"): call(
        'PythonVirtualenvOperator(task_id="train", python_callable=fit, string_args=["a"])'
    ),
    ("SM227", "the interpreter is a template"): call(
        'ExternalPythonOperator(task_id="train", python_callable=fit, python="{{ var.value.python }}")'
    ),
    ("SM227", "the environment is a template"): call(
        'PythonVirtualenvOperator(task_id="train", python_callable=fit, env_vars={"D": "{{ ds }}"})'
    ),
    ("SM228", "the container has a command of its own"): decorated(
        '@task.kubernetes(image="i:1", cmds=["python"])'
    ),
    ("SM229", "a folder of the worker is mounted"): decorated('@task.docker(image="i:1", mounts=[os.sep])'),
    ("SM229", "a memory limit that is computed"): decorated('@task.docker(image="i:1", mem_limit=os.sep)'),
    ("SM230", "resources of Airflow's own meaning"): call(
        'PythonOperator(task_id="train", python_callable=fit, resources={"cpus": 2})'
    ),
    ("SM230", "resources in default_args"): call(
        'PythonOperator(task_id="train", python_callable=fit)'
    ).replace('DAG("d")', 'DAG("d", default_args={"resources": {"cpus": 2}})'),
    ("SM231", "there is no callable"): call('PythonOperator(task_id="train", op_kwargs={})'),
    ("SM233", "the next run of the generator would undo it"): "# @generated by dagmaker\n"
    + call('PythonOperator(task_id="train", python_callable=fit)'),
}
SHADOWS = {
    ("SM234", "the task is made by the return statement"): IMPORTS
    + "def make(dag):\n"
    + '    return PythonOperator(task_id="train", python_callable=fit, dag=dag)\n\n\n'
    + 'dag = DAG("d")\nmake(dag)\n',
    ("SM234", "any task fits the computed id"): call(
        "for name in os.environ:\n        PythonOperator(task_id=name, python_callable=fit)"
    ).replace('"train"', "name"),
    ("SM234", "the DAG is written in one line"): IMPORTS
    + 'with DAG("d"): PythonOperator(task_id="train", python_callable=fit)\n',
    ("SM238", "a container has no callable to shadow"): decorated('@task.docker(image="i:1")'),
    ("SM238", "the packages of a virtual environment are nowhere else"): call(
        'PythonVirtualenvOperator(task_id="train", python_callable=fit, requirements=["pandas"])'
    ),
    ("SM238", "the next run would wait for the comparison"): call(
        'PythonOperator(task_id="train", python_callable=fit, wait_for_downstream=True)'
    ),
}
KEPT = {
    ("SM101", "a branch skips by itself"): call('BranchPythonOperator(task_id="train", python_callable=fit)'),
    ("SM102", "a short circuit skips by itself"): call(
        'ShortCircuitOperator(task_id="train", python_callable=fit)'
    ),
    ("SM103", "a sensor is asked again and again"): call(
        'PythonSensor(task_id="train", python_callable=fit)'
    ),
    ("SM104", "another program does the work"): call('BashOperator(task_id="train", bash_command="true")'),
    ("SM105", "an empty task does none"): call('EmptyOperator(task_id="train")'),
    ("SM106", "a setup changes how the run's state is found"): call(
        'PythonOperator(task_id="train", python_callable=fit).as_setup()'
    ),
    ("SM107", "a class of the project knows what it does"): IMPORTS
    + "class Mine(PythonOperator):\n    pass\n\n\n"
    + f'{DAG}    Mine(task_id="train", python_callable=fit)\n',
    ("SM109", "the result is a command of a shell"): decorated("@task.bash"),
}


def _cases(table: dict[tuple[str, str], str]) -> list[object]:
    return [pytest.param(code, text, id=f"{code}: {reason}") for (code, reason), text in table.items()]


@pytest.mark.parametrize(("code", "text"), _cases({**CALLABLES, **CALLS}))
def test_it_is_refused(code: str, text: str, tmp_path: Path) -> None:
    check_noop(tmp_path, text, code)
    check_noop(tmp_path, text, code, action="shadow")


@pytest.mark.parametrize(("code", "text"), _cases(SHADOWS))
def test_it_cannot_be_shadowed(code: str, text: str, tmp_path: Path) -> None:
    task = sites(tmp_path, text)[0].site.id
    check_noop(tmp_path, text, code, task, action="shadow")


@pytest.mark.parametrize(("code", "text"), _cases(KEPT))
def test_it_stays_in_airflow(code: str, text: str, tmp_path: Path) -> None:
    for action in ("cutover", "shadow"):
        check_noop(tmp_path, text, code, action=action, disposition=Disposition.KEEP)


def test_sm224_nobody_knows_what_the_name_makes(tmp_path: Path) -> None:
    text = IMPORTS.replace("import os", "import os\nfrom company.operators import *") + (
        f'{DAG}    MagicOperator(task_id="train", python_callable=fit)\n'
    )
    (judged,) = sites(tmp_path, text)
    assert judged.disposition in (Disposition.REFUSE, Disposition.KEEP)


def test_sm235_the_call_has_another_image(tmp_path: Path) -> None:
    text = decorated('@task.kubernetes(image="i:1")')
    found = check_noop(tmp_path, text, "SM235", needs=Needs(image="i:2"))
    assert '"i:1"' in found.message
    assert '"i:2"' in found.message


def test_sm235_a_shadow_has_its_retries_from_the_task(tmp_path: Path) -> None:
    text = call('PythonOperator(task_id="train", python_callable=fit)')
    check_noop(tmp_path, text, "SM235", action="shadow", needs=Needs(arguments={"retries": "3"}))


def test_sm236_a_step_has_nothing_to_stand_beside(tmp_path: Path) -> None:
    text = call('StepOperator(task_id="train", python_callable=fit)').replace(
        "import os\n", "import os\nfrom stepbridge_airflow import StepOperator\n"
    )
    check_noop(tmp_path, text, "SM236", action="shadow")


def test_sm237_every_form_of_the_name_is_taken(tmp_path: Path) -> None:
    text = call('PythonOperator(task_id="train", python_callable=fit)').replace(
        "COMMON =", "StepOperator = StepbridgeOperator = COMMON ="
    )
    check_noop(tmp_path, text, "SM237")


def test_declared_names_lift_sm209(tmp_path: Path) -> None:
    text = CALLABLES["SM209", "a Variable whose name is computed"]
    from rule_checks import edit

    done = edit(tmp_path, text, "d.train", needs=Needs(variables=("threshold",)))
    assert 'variables=["threshold"]' in done.after


NAMED = {
    "by a keyword": ("def work(name):\n    Variable.get(name)\n", 'work, op_kwargs={"name": "x"}', "x"),
    "by position": ("def work(name):\n    Variable.get(name)\n", 'work, op_args=["x"]', "x"),
    "by a default": ("def work(name='x'):\n    Variable.get(name)\n", "work", "x"),
    "by a default in the code": ("def work(**c):\n    Variable.get(c.get('n', 'x'))\n", "work", "x"),
    "by a template": ("def work(name):\n    Variable.get(name)\n", 'work, op_args=["{{ ds }}"]', "{name}"),
    "not by its default": ("def work(n='y'):\n    Variable.get(n)\n", 'work, op_kwargs={"n": ID()}', "{n}"),
    "in an instance": (
        "class A:\n    def __init__(self, name):\n        self.name = name\n"
        "    def get(self):\n        return Variable.get(self.name)\n\n"
        "def work(name):\n    A(name).get()\n",
        'work, op_args=["x"]',
        "x",
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_names_that_arguments_give_are_no_sm209(tmp_path: Path, name: str) -> None:
    function, callee, variable = NAMED[name]
    (judged,) = sites(tmp_path, of(function, callee))
    assert judged.site.callable is not None
    assert judged.site.callable.variables == (variable,)
    assert "SM209" not in [one.code for one in judged.findings]


def test_declared_connections_lift_sm209(tmp_path: Path) -> None:
    from rule_checks import edit

    text = CALLABLES["SM209", "a connection whose name is computed"]
    done = edit(tmp_path, text, "d.train", needs=Needs(connections=("db",)))
    assert 'connections=["db"]' in done.after


def test_what_collects_the_context_may_say_so(tmp_path: Path) -> None:
    texts = ("**context: Context", "**kw: 'Context'", "ti: TaskInstance, **context: Context")
    for text in texts:
        (judged,) = sites(tmp_path, of(f"def work({text}):\n    return 1\n"))
        assert {one.code for one in judged.findings} & {"SM210", "SM323"} == set(), text
    (judged,) = sites(tmp_path, of("def work(context: Context):\n    return 1\n"))
    assert "SM210" in [one.code for one in judged.findings]


def test_pulls_by_the_id_of_an_operator(tmp_path: Path) -> None:
    text = of('def work(ti):\n    return ti.xcom_pull(task_ids=before.task_id, key="k")\n').replace(
        DAG, DAG + '    before = BashOperator(task_id="up", bash_command="true")\n'
    )
    judged = next(one for one in sites(tmp_path, text) if one.site.callable is not None)
    assert [pull.task_ids for pull in judged.site.callable.pulls] == [("up",)]
    assert "SM208" not in [one.code for one in judged.findings]


def test_every_code_that_stops_an_edit_has_a_case() -> None:
    named = {code for code, _ in (*CALLABLES, *CALLS, *SHADOWS, *KEPT)}
    alone = {"SM224", "SM235", "SM236", "SM237", "SM108", "SM232"}
    stopping = {code for code in CODES if code[:3] in ("SM1", "SM2")}
    assert stopping - named - alone == set()


def test_sm108_a_step_stays_one(tmp_path: Path) -> None:
    text = call('StepOperator(task_id="train", python_callable=fit)').replace(
        "import os\n", "import os\nfrom stepbridge_airflow import StepOperator\n"
    )
    (judged,) = sites(tmp_path, text)
    assert [one.code for one in judged.findings] == ["SM108"]
    check_noop(tmp_path, text, "SM411", disposition=Disposition.AUTO)


@pytest.mark.parametrize(
    "given",
    [
        "Kind.A",
        "Row(1)",
        "os.environ['X']",
        "unknown",
        "os.path.join('a', 'b')",
        "EmptyOperator(task_id='a').output",
    ],
    ids=["an enum's member", "a dataclass", "a variable", "nobody knows", "a text", "an XComArg"],
)
def test_sm213_is_not_said_of_data(tmp_path: Path, given: str) -> None:
    text = call(f'PythonOperator(task_id="train", python_callable=fit, op_args=[{given}])').replace(
        "COMMON =",
        "import dataclasses, enum\n\n\nclass Kind(enum.Enum):\n    A = 1\n\n\n"
        "@dataclasses.dataclass\nclass Row:\n    n: int\n\n\nCOMMON =",
    )
    found = [one for one in sites(tmp_path, text) if "train" in one.site.task.ids]
    assert [one.code for judged in found for one in judged.findings if one.code == "SM213"] == []


def test_sm325_an_object_of_a_librarys_class_may_not_be_data(tmp_path: Path) -> None:
    text = call('PythonOperator(task_id="train", python_callable=fit, op_args=[client, Path("a")])').replace(
        "COMMON =", "from pathlib import Path\nfrom folio import Client\nclient = Client()\nCOMMON ="
    )
    (judged,) = sites(tmp_path, text)
    assert [one.message for one in judged.findings if one.code == "SM325"] == [
        "the callable is given client, an object of Client, a library's class"
    ]
    assert judged.disposition is Disposition.WARN


TABLES = {
    "made at once": ["import pandas as pd", "return pd.DataFrame({'a': [1]})"],
    "read": ["import pandas as pd", "rows = pd.read_csv('rows.csv')", "return rows"],
    "an array": ["from numpy import zeros", "return zeros(3)"],
}


def _task(*lines: str) -> str:
    body = "".join(f"        {line}\n" for line in lines)
    head = "from airflow.decorators import task\nfrom airflow import DAG\n"
    return f'{head}with DAG("d"):\n    @task\n    def collect():\n{body}    collect()\n'


@pytest.mark.parametrize("name", TABLES)
def test_a_table_would_reach_readers_as_its_uri(name: str, tmp_path: Path) -> None:
    found = site(tmp_path, _task(*TABLES[name]), "collect")
    assert "SM326" in [one.code for one in rules.judge(found).findings]
    assert "SM326" not in [one.code for one in rules.judge(found, Needs(xcom="value")).findings]


def test_a_number_is_no_table(tmp_path: Path) -> None:
    text = _task("import pandas as pd", "return len(pd.DataFrame({'a': [1]}))")
    assert "SM326" not in [one.code for one in rules.judge(site(tmp_path, text, "collect")).findings]
