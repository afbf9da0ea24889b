"""What a function reads of Airflow is found, through its helpers too, and reported where it cannot be."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.code.facts import Facts
from stepbridge.code.project import Code
from stepbridge.code.reading import Reader
from stepbridge.code.reads import (
    Joined,
    Literal,
    Lookup,
    LookupKind,
    Parameter,
    Reads,
    ResolvedPull,
    Text,
    Unresolved,
)
from stepbridge.code.reads_record import reads_from, reads_record
from stepbridge.code.resolve import Finder
from stepbridge.code.source import read_source

HEAD = """
from airflow.sdk import Variable, get_current_context, Connection
from airflow.hooks.base import BaseHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
import airflow.models as models
import helpers
from helpers import save, spread
from unknown import publish
NAME = "constant"
IDS = ["a", "b"]
"""

IDS = """
from airflow.sdk import DAG, TaskGroup
from airflow.providers.amazon.aws.operators.s3 import S3ListOperator
dag = DAG(dag_id="own")
"""

HELPERS = """
from unknown import publish
def save(ti, value, key="k"):
    ti.xcom_push(key=key, value=value)
    return ti.xcom_pull(task_ids=value)
def spread(ds, extra=1, **kwargs):
    return kwargs["run_id"], ds
def leak(context):
    publish(context)
class Helper:
    def get(self):
        from airflow.models import Variable
        return Variable.get("in_class")
"""


def reads(tmp_path: Path, body: str, given: frozenset[str] = frozenset()) -> Reads:
    (tmp_path / "helpers.py").write_text(HELPERS)
    (tmp_path / "dag.py").write_text(HEAD + textwrap.dedent(body))
    code = Code(Finder([tmp_path]))
    code.require("helpers", "")
    facts = Facts(read_source(tmp_path / "dag.py"), "dag")
    node = facts.bound[0, "f"][-1].stmt
    reader = Reader(code, given)
    reader.entry(facts, node)  # type: ignore[arg-type]
    return reader.reads()


KEYS = [
    ("def f(ds, ti=None, x=1): return ds", {"ds", "ti"}),
    (
        "def f(**kwargs): return kwargs['ds'], kwargs.get('run_id'), kwargs.pop('ts', None), kwargs['mine']",
        {"ds", "run_id", "ts"},
    ),
    ("def f(**context): return context['dag_run'].conf['x']", {"dag_run"}),
    ("def f(**kwargs): return 1", set()),
    ("def f():\n c = get_current_context()\n return c['params']", {"params"}),
    ("def f(): return get_current_context()['logical_date']", {"logical_date"}),
    ("def f(**kw):\n a = kw\n b = a\n return b['ds']", {"ds"}),
    ("def f(**kw):\n ds, ti = kw['ds'], kw['ti']\n return ds, ti.try_number", {"ds", "ti"}),
    ("def f(**kw):\n return 'ds_nodash' in kw", {"ds_nodash"}),
    ("def f(**kw):\n for k in ('ds', 'ts'):\n  print(kw[k])", {"ds", "ts"}),
    ("def f(**kw):\n def inner(): return kw['ds']\n return inner()", {"ds"}),
    ("def f(**kw): return [kw['ts'] for x in range(3)]", {"ts"}),
    ("def f(**kw): return spread(**kw)", {"ds", "run_id"}),
    ("def f(**kw): return helpers.spread(kw['ts'], **kw)", {"ts", "run_id"}),
    ("def g(c): return c['ds']\ndef f(**kw): return g(kw)", {"ds"}),
    ("def g(*, c): return c.get('ds')\ndef f(**kw): return g(c=kw)", {"ds"}),
    ("f = 1\ndef f(*args, ds, **kw): return kw.setdefault('ts', 1)", {"ds", "ts"}),
    ("def f(**kw):\n if kw: return kw['ds']", {"ds"}),
    ("def f(**kw):\n kw.update(a=1)\n kw['b'] = 2\n return kw['ds']", {"ds"}),
    ("def f(**kw):\n ctx = kw or get_current_context()\n return ctx['ds']", {"ds"}),
]


KEYS += [
    ("def f(dag_run=None): return dag_run.conf if dag_run else {}", {"dag_run"}),
    ("def f(dag_run=None): return dag_run and dag_run.conf", {"dag_run"}),
    ("def f(**kw):\n r = kw['dag_run']\n return r.conf if r is not None else 1", {"dag_run"}),
    (
        "def g(run): return run.conf\ndef f(dag_run, **kw): return g(dag_run), g(run=kw['dag_run'])",
        {"dag_run"},
    ),
    ("def f(ti): return getattr(ti, 'try_number', 1)", {"ti"}),
]


@pytest.mark.parametrize(("body", "keys"), KEYS)
def test_context_keys(body: str, keys: set[str], tmp_path: Path) -> None:
    found = reads(tmp_path, body)
    assert found.context_keys == keys
    assert found.escapes == ()


def test_attributes(tmp_path: Path) -> None:
    found = reads(
        tmp_path, "def f(ti, **kw): return ti.try_number, kw['dag_run'].conf, kw['task_instance'].run_id"
    )
    assert found.attributes == {"ti.try_number", "dag_run.conf", "ti.run_id"}
    assert found.context_keys == {"ti", "dag_run", "task_instance"}


def test_given_parameters_are_data(tmp_path: Path) -> None:
    found = reads(
        tmp_path, "def f(ds, params, **kw): return ds, params, kw['ts']", frozenset({"params", "ts"})
    )
    assert found.context_keys == {"ds"}


PULLS = [
    ("def f(ti): return ti.xcom_pull(task_ids='a')", {}, [ResolvedPull(("a",), True, "return_value")]),
    ("def f(ti): return ti.xcom_pull('a', key='k')", {}, [ResolvedPull(("a",), True, "k")]),
    (
        "def f(ti): return ti.xcom_pull(task_ids=['a', 'b'])",
        {},
        [ResolvedPull(("a", "b"), False, "return_value")],
    ),
    ("def f(ti): return ti.xcom_pull(key='k')", {}, [ResolvedPull((), True, "k")]),
    (
        "def f(up, **kw): return kw['ti'].xcom_pull(task_ids=up)",
        {"up": "x"},
        [ResolvedPull(("x",), True, "return_value")],
    ),
    (
        "def f(up, **kw): return kw['ti'].xcom_pull(task_ids=up)",
        {"up": ["x"]},
        [ResolvedPull(("x",), False, "return_value")],
    ),
    (
        "def f(n, ti): return ti.xcom_pull(task_ids=f'load_{n}.x')",
        {"n": 3},
        [ResolvedPull(("load_3.x",), True, "return_value")],
    ),
    (
        "def f(n, ti): return ti.xcom_pull('load_' + n)",
        {"n": "q"},
        [ResolvedPull(("load_q",), True, "return_value")],
    ),
    (
        "def f(ti): return ti.xcom_pull(task_ids=NAME)",
        {},
        [ResolvedPull(("constant",), True, "return_value")],
    ),
    ("def f(ti): return ti.xcom_pull(task_ids=IDS)", {}, [ResolvedPull(("a", "b"), False, "return_value")]),
    (
        "def f(ti):\n for t in IDS:\n  ti.xcom_pull(task_ids=f'{t}_x')",
        {},
        [ResolvedPull(("a_x",), True, "return_value"), ResolvedPull(("b_x",), True, "return_value")],
    ),
    (
        "def f(ti): return [ti.xcom_pull(task_ids=t) for t in ('p', 'q')]",
        {},
        [ResolvedPull(("p",), True, "return_value"), ResolvedPull(("q",), True, "return_value")],
    ),
    (
        "def f(**kw): return kw['ti'].xcom_pull(task_ids=kw['source'])",
        {"source": "s"},
        [ResolvedPull(("s",), True, "return_value")],
    ),
    ("def f(**kw): return save(kw['ti'], 'v')", {}, [ResolvedPull(("v",), True, "return_value")]),
    ("def f(up, ti): return helpers.save(ti, up)", {"up": "w"}, [ResolvedPull(("w",), True, "return_value")]),
    (
        "def f():\n t = get_current_context()['ti']\n return t.xcom_pull(task_ids=None, key='k')",
        {},
        [ResolvedPull((), True, "k")],
    ),
]


@pytest.mark.parametrize(("body", "arguments", "expected"), PULLS)
def test_pulls(body: str, arguments: dict[str, object], expected: list[ResolvedPull], tmp_path: Path) -> None:
    found = reads(tmp_path, body)
    assert [pull.resolve(arguments) for pull in found.pulls] == expected
    assert found.escapes == ()
    assert found.dynamic == ()


def test_a_pull_that_needs_a_missing_argument(tmp_path: Path) -> None:
    pull = reads(tmp_path, "def f(up, ti): return ti.xcom_pull(task_ids=up)").pulls[0]
    with pytest.raises(Unresolved):
        pull.resolve({})
    with pytest.raises(Unresolved):
        pull.resolve({"up": 1.5})


def test_pull_options_are_named(tmp_path: Path) -> None:
    body = "def f(ti): return ti.xcom_pull('a', dag_id='d', include_prior_dates=True, default=3)"
    assert reads(tmp_path, body).pulls[0].options == ("dag_id", "include_prior_dates")


def test_pushes(tmp_path: Path) -> None:
    found = reads(tmp_path, "def f(ti):\n ti.xcom_push('a', 1)\n save(ti, 'b')")
    assert [place.rpartition("/")[2] for place in found.pushes] == ["dag.py:12", "helpers.py:4"]


ESCAPES = [
    ("def f(**kw):\n publish(kw)", "dag.py:12"),
    ("def f(**kw):\n publish(**kw)", "dag.py:12"),
    ("def f(**kw):\n print(f'{kw}')", "dag.py:12"),
    ("def f(**kw):\n return kw", "dag.py:12"),
    ("def f(**kw):\n for k, v in kw.items(): pass", "dag.py:12"),
    ("def f(n, **kw):\n return kw[n]", "dag.py:12"),
    ("def f(ti):\n publish(ti)", "dag.py:12"),
    ("def f(ti, n):\n return getattr(ti, n)", "dag.py:12"),
    ("def f(dag_run):\n return publish(dag_run)", "dag.py:12"),
    ("def f(**kw):\n return publish(kw['dag_run'])", "dag.py:12"),
    ("def f(dag_run):\n return dag_run", "dag.py:12"),
    ("def f(**kw):\n publish(ti=kw['ti'])", "dag.py:12"),
    ("def f(**kw):\n return {**kw}", "dag.py:12"),
    ("def f(**kw):\n helpers.leak(kw)", "helpers.py:9"),
    ("def f():\n publish(get_current_context())", "dag.py:12"),
    ("class B: pass\ndef f(**kw):\n b = B()\n b.run(kw)", "dag.py:14"),
]


@pytest.mark.parametrize(("body", "place"), ESCAPES)
def test_escapes(body: str, place: str, tmp_path: Path) -> None:
    found = reads(tmp_path, body)
    assert [item.rpartition("/")[2] for item in found.escapes] == [place]


def test_variables_and_connections(tmp_path: Path) -> None:
    body = """
    def helper():
        return Variable.get(NAME), helpers.Helper().get()
    def f(n):
        Variable.get("plain", default=1)
        Variable.get(key="by_key", deserialize_json=True)
        models.Variable.get("chained")
        for x in ("l1", "l2"):
            Variable.get(f"in_{x}")
        helper()
        BaseHook.get_connection("c1")
        S3Hook(aws_conn_id="c2").read_key("k")
        S3Hook("c3")
        Connection.get("c4")
    """
    found = reads(tmp_path, body)
    assert found.variables == {"plain", "by_key", "chained", "in_l1", "in_l2", "constant", "in_class"}
    assert found.connections == {"c1", "c2", "c3", "c4"}
    assert found.dynamic == ()


def test_dynamic_names_have_their_place(tmp_path: Path) -> None:
    body = """
    def f(n, ti):
        Variable.get(n[1])
        BaseHook.get_connection(conn_id=n.x)
        S3Hook()
        ti.xcom_pull(task_ids=n.value)
        ti.xcom_pull(task_ids="a", key=n[0])
    """
    found = reads(tmp_path, body)
    assert [int(item.split(":")[1]) for item in found.dynamic] == [13, 14, 15, 16, 17]
    assert found.pulls == ()


NAMED_BY_ARGUMENTS = [
    ("def f(c): S3Hook(c)", {"c": "x"}, ["x"]),
    ("def f(c): S3Hook(aws_conn_id=c)", {"c": "x"}, ["x"]),
    ("def f(c=None): S3Hook(c)", {"c": None}, [""]),
    ("def f(**kw): BaseHook.get_connection(kw['c'])", {"c": "x"}, ["x"]),
    ("def f(**kw): BaseHook.get_connection(kw.get('c', 'd'))", {"c": "x"}, ["x"]),
    ("def f(**kw): BaseHook.get_connection(kw.get('c', 'd'))", {}, ["d"]),
    ("def f(e, ds): Connection.get(f'{e}_{ds}')", {"e": "x", "ds": "2026-01-02"}, ["x_2026-01-02"]),
    ("def g(a, c='no'): S3Hook(c)\ndef f(c): g(1, c)", {"c": "x"}, ["x"]),
    ("def g(c='d', **k): S3Hook(c)\ndef f(**kw): g(**kw)", {}, ["d"]),
    ("def f(c):\n for n in (c, 'l'): S3Hook(n)", {"c": "x"}, ["x"]),
    ("class A:\n def __init__(self, c): self.c = c\n def g(self): S3Hook(self.c)\n"
     "def f(c): A(c).g()", {"c": "x"}, ["x"]),
    ("class A:\n def __init__(self, c):\n  S3Hook(c)\ndef f(c): A(c=c)", {"c": "x"}, ["x"]),
    ("class B:\n def __init__(self, c): self.c = c\n def g(self): S3Hook(self.c)\n"
     "class A:\n def __init__(self, c): self.c = c\n def g(self): return B(self.c)\n"
     "def f(c): A(c).g()", {"c": "x"}, ["x"]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "arguments", "names"), NAMED_BY_ARGUMENTS)
def test_connections_named_by_arguments(
    body: str, arguments: dict[str, object], names: list[str], tmp_path: Path
) -> None:
    found = reads(tmp_path, body, frozenset(arguments) - {"ds"})
    assert [one.resolve(arguments) for one in found.lookups] == names
    assert {one.kind for one in found.lookups} == {"connection"}
    assert [one.context for one in found.lookups] == [("ds",) if "ds" in arguments else ()]
    assert found.dynamic == ()
    if arguments:
        with pytest.raises(Unresolved):
            found.lookups[0].resolve(dict.fromkeys(arguments, 1.5))


NOT_BY_ARGUMENTS = {
    "rebound": "def f(c):\n c = c.lower()\n S3Hook(c)",
    "an item": "def f(c): S3Hook(c['x'])",
    "set twice": "class A:\n def __init__(s, c): s.c = c\n def g(s): s.c = 'x'\n def h(s): S3Hook(s.c)\n"
    "def f(c): A(c)",
    "set from outside": "class A:\n def __init__(s, c): s.c = c\n def h(s): S3Hook(s.c)\n"
    "def f(c):\n a = A(c)\n a.c = 'x'\n a.h()",
    "set out of sight": "class A:\n def __init__(s, c): s.c = c\n def h(s): S3Hook(s.c)\n"
    "def f(c, n):\n a = A(c)\n setattr(a, n, 'x')",
    "on a condition": "class A:\n def __init__(s, c):\n  if c: s.c = c\n def h(s): S3Hook(s.c)\n"
    "def f(c): A(c)",
    "of a subclass": "class B:\n def h(s): S3Hook(s.c)\nclass A(B):\n def __init__(s, c): s.c = c\n"
    "def f(c): A(c)",
    "by another name": "class A:\n def __init__(s, c): s.c = c\n def h(s): S3Hook(s.c)\n"
    "def f(c):\n B = A\n B(c)",
    "given as a class": "class A:\n def __init__(s, c): s.c = c\n def h(s): S3Hook(s.c)\n"
    "def f(c): publish(A)",
    "no text": "def f(): S3Hook([1])",
}


@pytest.mark.parametrize("name", NOT_BY_ARGUMENTS)
def test_connections_that_no_argument_names(name: str, tmp_path: Path) -> None:
    found = reads(tmp_path, NOT_BY_ARGUMENTS[name], frozenset({"c", "n"}))
    assert found.dynamic, found.lookups


PIECES = st.builds(Literal, st.text()) | st.builds(Parameter, st.text(), st.none() | st.text())


@given(
    PIECES | st.builds(Joined, st.lists(PIECES, max_size=3).map(tuple)),
    st.sampled_from(["variable", "connection"]),
    st.lists(st.text(max_size=3)).map(tuple),
)
def test_lookups_stand_in_records(name: Text, kind: LookupKind, context: tuple[str, ...]) -> None:
    kept = Reads(lookups=(Lookup(kind, name, "a call", "dag.py:3", context),), variables=frozenset({"a"}))
    assert reads_from(json.loads(json.dumps(reads_record(kept)))) == kept


def test_nothing_is_looked_up_by_none(tmp_path: Path) -> None:
    found = reads(tmp_path, "def g(c=None):\n if c: S3Hook(c)\ndef f(): g()")
    assert (found.lookups, found.connections, found.dynamic) == ((), frozenset(), ())


def test_the_second_argument_of_http_hooks(tmp_path: Path) -> None:
    body = """
    from airflow.providers.http.hooks.http import HttpHook
    def f(method):
        HttpHook(method, "api")
        HttpHook(method)
    """
    found = reads(tmp_path, body)
    assert (found.connections, found.lookups) == ({"api"}, ())
    assert [item.rpartition(": ")[2] for item in found.dynamic] == ["HttpHook() takes its default connection"]


PULLED_BY_ID = {
    "an operator": "op = S3ListOperator(task_id='up', dag=dag)",
    "of a dag": "with DAG('d'):\n op = S3ListOperator(task_id='up')",
    "in an if": "if NAME:\n op = S3ListOperator(task_id='up', dag=dag)",
    "in a group": "with DAG('d'):\n with TaskGroup('g'):\n  op = S3ListOperator(task_id='up')",
    "in groups": "with DAG('d'), TaskGroup('g'):\n with TaskGroup(group_id='h'):\n"
    "  op = S3ListOperator(task_id='up')",
}


@pytest.mark.parametrize("name", PULLED_BY_ID)
def test_pulls_by_the_id_of_an_operator(name: str, tmp_path: Path) -> None:
    text = IDS + PULLED_BY_ID[name] + "\ndef f(ti): return ti.xcom_pull(task_ids=op.task_id, key='k')"
    found = reads(tmp_path, text)
    full = {"in a group": "g.up", "in groups": "g.h.up"}.get(name, "up")
    assert [pull.resolve({}) for pull in found.pulls] == [ResolvedPull((full,), True, "k")]
    assert found.dynamic == ()


NOT_BY_ID = {
    "bound twice": "op = S3ListOperator(task_id='up', dag=dag)\nop = S3ListOperator(task_id='v', dag=dag)",
    "a parameter too": "op = S3ListOperator(task_id='up', dag=dag)\ndef g(op): pass",
    "in a factory": "def g():\n global op\n op = S3ListOperator(task_id='up', dag=dag)",
    "in a loop": "for _ in IDS: op = S3ListOperator(task_id='up', dag=dag)",
    "in a group without prefix": "with DAG('d'), TaskGroup('g', prefix_group_id=False):\n"
    " op = S3ListOperator(task_id='up')",
    "in some with": "with publish():\n op = S3ListOperator(task_id='up')",
    "in a given group": "op = S3ListOperator(task_id='up', task_group=publish())",
    "by more words": "op = S3ListOperator(task_id='up', **publish())",
    "not Airflow's": "op = publish.SomeOperator(task_id='up')",
    "set later": "op = S3ListOperator(task_id='up', dag=dag)\nop.task_id = 'v'",
}


@pytest.mark.parametrize("name", NOT_BY_ID)
def test_ids_that_the_text_does_not_say(name: str, tmp_path: Path) -> None:
    text = IDS + NOT_BY_ID[name] + "\ndef f(ti): return ti.xcom_pull(task_ids=op.task_id)"
    assert reads(tmp_path, text).dynamic


def test_literal_is_plain() -> None:
    assert Literal("a") != Literal("b")


NAMED_VARIABLES = [
    "def f(**c): return c['var']['value'].thr",
    "def f(**c): return c['var']['value'].get('thr', 1)",
    "def f(**c): return c['var']['json'].thr['x']",
    "def f(**c): return c.get('var')['json'].get('thr')",
    "def f(var): return var['value'].get('thr')",
    "def f(var=None): return var['value'].thr",
    "def f(var=None):\n v = var['value']\n return v.thr",
    "def g(v): return v.thr\ndef f(var=None): return g(var['value'])",
    "def f(): return get_current_context()['var']['value'].thr",
    "from reexport import Variable as V\ndef f(): return V.get('thr')",
    "import reexport\ndef f(): return reexport.Variable.get('thr')",
]


@pytest.mark.parametrize("body", NAMED_VARIABLES)
def test_variables_of_the_context(body: str, tmp_path: Path) -> None:
    (tmp_path / "reexport.py").write_text("from airflow.models import Variable\n")
    found = reads(tmp_path, body)
    assert found.variables == {"thr"}
    assert (found.dynamic, found.escapes) == ((), ())


UNNAMED_VARIABLES = [
    "def f(n, **c): return c['var']['value'].get(n[0])",
    "def f(n, **c): return publish(c['var'])",
    "def f(**c): return publish(c.get('var'))",
    "def f(var): return publish(var['value'])",
    "def f(var): return getattr(var['value'], 'a' + str(1))",
    "def f(var, n): return var[n].thr",
    "def f(self, var):\n self.v = var",
    "def f(var):\n v = publish()\n v = var['value']\n return v[publish()]",
    "def f():\n V = Variable\n return V.get('thr')",
    "def f():\n g = Variable.get\n return g('thr')",
    "def f(): return getattr(Variable, 'get')('thr')",
    "def f(): return list(map(Variable.get, ['a']))",
    "def f(): return publish(Variable)",
    "def f(self):\n self.v = Variable",
    "def f(): return publish(models)",
    "def g(v): return v.get('x')\ndef f(): return g(Variable)",
]


@pytest.mark.parametrize("body", UNNAMED_VARIABLES)
def test_variables_out_of_sight(body: str, tmp_path: Path) -> None:
    found = reads(tmp_path, body)
    assert found.dynamic
    assert all(place.startswith("dag.py:") or "dag.py:" in place for place in found.dynamic)


@pytest.mark.parametrize(
    "body",
    [
        "def f():\n gcc = get_current_context\n return gcc()['ds']",
        "def g(): return get_current_context()\ndef f(): return g()['ds']",
        "def f(): return publish(get_current_context)",
        "def f(): return list(map(lambda c: c(), [get_current_context]))",
    ],
)
def test_current_context_out_of_sight(body: str, tmp_path: Path) -> None:
    assert reads(tmp_path, body).escapes


CONTEXT_PULLS = [
    ("def f(ds, ti): return ti.xcom_pull('up', key=f'path_{ds}')", "up", "path_2026-01-02", ("ds",)),
    ("def f(**kw): return kw['ti'].xcom_pull('up', key='p_' + kw['run_id'])", "up", "p_r1", ("run_id",)),
    ("def f(ti, **kw): return ti.xcom_pull('up', key=kw.get('ds'))", "up", "2026-01-02", ("ds",)),
    ("def f(ti): return ti.xcom_pull('u{}'.format('p'))", "up", "return_value", ()),
    ("def f(ti): return ti.xcom_pull('{a}{{{0}'.format('p', a='u'))", "u{p", "return_value", ()),
    ("def f(ti, ds): return ti.xcom_pull('u%s_%s' % ('p', ds))", "up_2026-01-02", "return_value", ("ds",)),
    ("def f(ti, n): return ti.xcom_pull('u%s' % n)", "u7", "return_value", ()),
    (
        "def g(ti, d): return ti.xcom_pull(f'u{d}')\ndef f(ti, ds): return g(ti, ds)",
        "u2026-01-02",
        None,
        ("ds",),
    ),
]


@pytest.mark.parametrize(("body", "task", "key", "context"), CONTEXT_PULLS)
def test_pulls_by_context(
    body: str, task: str, key: str | None, context: tuple[str, ...], tmp_path: Path
) -> None:
    found = reads(tmp_path, body)
    assert found.dynamic == ()
    (pull,) = found.pulls
    assert pull.context == context
    values = {"ds": "2026-01-02", "run_id": "r1"}
    resolved = pull.resolve({"n": 7, **{name: values[name] for name in context}})
    assert resolved == ResolvedPull((task,), True, key or "return_value")
    if context:
        with pytest.raises(Unresolved):
            pull.resolve({})


def test_pulls_by_a_given_argument_need_no_context(tmp_path: Path) -> None:
    (pull,) = reads(tmp_path, "def f(ti, ds): return ti.xcom_pull(f'u{ds}')", frozenset({"ds"})).pulls
    assert pull.context == ()
    assert pull.resolve({"ds": "x"}).task_ids == ("ux",)


@pytest.mark.parametrize(
    "text", ["'u{:>4}'.format(n)", "'u%d' % n", "'u%s%%' % n", "'{0.a}'.format(n)", "'{'.format(n)"]
)
def test_pulls_by_other_formats_are_dynamic(text: str, tmp_path: Path) -> None:
    assert reads(tmp_path, f"def f(ti, n): return ti.xcom_pull({text})").dynamic


def test_what_a_plain_builtin_is_called_with_counts(tmp_path: Path) -> None:
    found = reads(
        tmp_path,
        """
        def f(**context):
            return bool(Variable.get("flag")), len(context), isinstance(context["params"]["n"], int)
        """,
    )
    assert set(found.variables) == {"flag"}
    assert "params" in found.context_keys
