"""The new arguments lie as the old ones do: one line, one a line, comments, commas, tabs, line ends."""

# ruff: noqa: E501 - calls stand in one line, as in DAG files

from __future__ import annotations

import ast
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rule_checks import check_transformed, edit
from test_ledger import Project

from stepbridge_migrate.model import Needs

HEAD = """\
from airflow import DAG
from airflow.operators.python import PythonOperator

with DAG("d"):
"""
MOVED = HEAD.replace(
    "airflow.operators.python import PythonOperator", "stepbridge_airflow import StepOperator"
)
IMAGE = Needs(image="i:1", cache="auto")

CASES = {
    "one line": (
        '    PythonOperator(task_id="train", python_callable=fit)',
        '    StepOperator(task_id="train", python_callable=fit, image="i:1", cache="auto")',
    ),
    "one line with a comma at the end": (
        '    PythonOperator(task_id="train", python_callable=fit,)',
        '    StepOperator(task_id="train", python_callable=fit, image="i:1", cache="auto",)',
    ),
    "one argument a line": (
        '    PythonOperator(\n        task_id="train",\n        python_callable=fit,\n    )',
        '    StepOperator(\n        task_id="train",\n        python_callable=fit,\n'
        '        image="i:1",\n        cache="auto",\n    )',
    ),
    "no comma at the end": (
        '    PythonOperator(\n        task_id="train",\n        python_callable=fit\n    )',
        '    StepOperator(\n        task_id="train",\n        python_callable=fit,\n'
        '        image="i:1",\n        cache="auto"\n    )',
    ),
    "bracket behind the last argument": (
        '    PythonOperator(\n        task_id="train",\n        python_callable=fit)',
        '    StepOperator(\n        task_id="train",\n        python_callable=fit,\n'
        '        image="i:1",\n        cache="auto")',
    ),
    "arguments under the bracket": (
        '    PythonOperator(task_id="train",\n                   python_callable=fit)',
        '    StepOperator(task_id="train",\n                 python_callable=fit,\n'
        '                 image="i:1",\n                 cache="auto")',
    ),
    "a comment behind the last argument": (
        '    PythonOperator(\n        task_id="train",\n        python_callable=fit,  # slow, you know\n    )',
        '    StepOperator(\n        task_id="train",\n        python_callable=fit,  # slow, you know\n'
        '        image="i:1",\n        cache="auto",\n    )',
    ),
    "a comment and no comma": (
        '    PythonOperator(\n        task_id="train",\n        python_callable=fit  # slow, you know\n    )',
        '    StepOperator(\n        task_id="train",\n        python_callable=fit,  # slow, you know\n'
        '        image="i:1",\n        cache="auto"\n    )',
    ),
    "a line that was commented out": (
        '    PythonOperator(\n        task_id="train",\n        python_callable=fit,\n        # retries=3,\n    )',
        '    StepOperator(\n        task_id="train",\n        python_callable=fit,\n'
        '        image="i:1",\n        cache="auto",\n        # retries=3,\n    )',
    ),
    "several a line": (
        '    PythonOperator(\n        task_id="train", python_callable=fit,\n        retries=1, pool="p"\n    )',
        '    StepOperator(\n        task_id="train", python_callable=fit,\n'
        '        retries=1, pool="p", image="i:1", cache="auto"\n    )',
    ),
    "a long value behind the bracket": (
        '    PythonOperator(task_id="train", python_callable=fit, op_kwargs={\n        "a": 1,\n    })',
        '    StepOperator(task_id="train", python_callable=fit, op_kwargs={\n        "a": 1,\n'
        '    }, image="i:1", cache="auto")',
    ),
    "commas first": (
        '    PythonOperator(\n        task_id="train"\n        , python_callable=fit\n        , retries=1\n    )',
        '    StepOperator(\n        task_id="train"\n        , python_callable=fit\n        , retries=1\n'
        '        , image="i:1"\n        , cache="auto"\n    )',
    ),
    "tabs": (
        '\tPythonOperator(\n\t\ttask_id="train",\n\t\tpython_callable=fit,\n\t)',
        '\tStepOperator(\n\t\ttask_id="train",\n\t\tpython_callable=fit,\n'
        '\t\timage="i:1",\n\t\tcache="auto",\n\t)',
    ),
    "an unpacked literal last": (
        '    PythonOperator(\n        task_id="train",\n        python_callable=fit,\n        **{"retries": 1},\n    )',
        '    StepOperator(\n        task_id="train",\n        python_callable=fit,\n        **{"retries": 1},\n'
        '        image="i:1",\n        cache="auto",\n    )',
    ),
    "a value in brackets": (
        '    PythonOperator(\n        task_id=("train"),\n        python_callable=(\n            fit\n        ),\n    )',
        '    StepOperator(\n        task_id=("train"),\n        python_callable=(\n            fit\n        ),\n'
        '        image="i:1",\n        cache="auto",\n    )',
    ),
}
ALIGNED = {
    "the closing bracket in a line of its own": (
        """\
    train = PythonOperator(task_id="train",
                           python_callable=fit,
                          )
""",
        """\
    train = StepOperator(task_id="train",
                         python_callable=fit,
                         image="i:1",
                         cache="auto",
                        )
""",
    ),
    "nested brackets": (
        """\
    train = PythonOperator(task_id="train", op_kwargs={"a": [1,
                                                             2],
                                                       "b": dict(
                                                           c=3,
                                                       )},
                           retries=max(1,
                                       2), op_args=[
                               4,
                           ],
                           python_callable=fit)
""",
        """\
    train = StepOperator(task_id="train", op_kwargs={"a": [1,
                                                           2],
                                                     "b": dict(
                                                         c=3,
                                                     )},
                         retries=max(1,
                                     2), op_args=[
                             4,
                         ],
                         python_callable=fit, image="i:1", cache="auto")
""",
    ),
    "a nested bracket that hangs from the statement": (
        """\
    PythonOperator(task_id="train", op_kwargs={
        "a": [1,
              2],
        "long": max(1,
                    2),
    },
                   python_callable=fit)
""",
        """\
    StepOperator(task_id="train", op_kwargs={
        "a": [1,
              2],
        "long": max(1,
                    2),
    },
                 python_callable=fit,
                 image="i:1",
                 cache="auto")
""",
    ),
    "strings of several lines": (
        """\
    PythonOperator(task_id="train",
                   doc_md='''one
                   two
                     three''', pool="p",
                   doc=f'''{1 +
                   2}
                   ''', queue=str("a"
                                  "b"),
                   python_callable=fit)
""",
        """\
    StepOperator(task_id="train",
                 doc_md='''one
                   two
                     three''', pool="p",
                 doc=f'''{1 +
                   2}
                   ''', queue=str("a"
                                  "b"),
                 python_callable=fit, image="i:1", cache="auto")
""",
    ),
    "comments": (
        """\
    PythonOperator(task_id="train",  # (why
                   # not [so
        # left of it
#                  retries=2,

                   python_callable=fit)  # the end (
    # below
""",
        """\
    StepOperator(task_id="train",  # (why
                 # not [so
        # left of it
#                  retries=2,

                 python_callable=fit,  # the end (
                 image="i:1",
                 cache="auto")
    # below
""".replace("fit,  # the end (\n", "fit,\n").replace('"auto")', '"auto")  # the end ('),
    ),
    "a line that lies right of the others": (
        """\
    PythonOperator(task_id="train",
                   python_callable=fit if yes
                       else other, pool="a"
                                        "b",
                   retries=1)
""",
        """\
    StepOperator(task_id="train",
                 python_callable=fit if yes
                     else other, pool="a"
                                      "b",
                 retries=1, image="i:1", cache="auto")
""",
    ),
    "partial and expand": (
        """\
    PythonOperator.partial(task_id="train",
                           python_callable=fit).expand(op_args=[[1],
                                                                [2]])
""",
        """\
    StepOperator.partial(task_id="train",
                         python_callable=fit,
                         image="i:1",
                         cache="auto").expand(op_args=[[1],
                                                       [2]])
""",
    ),
    "partial and expand in lines of their own": (
        """\
    x = (PythonOperator
         .partial(task_id="train",
                  python_callable=fit)
         .expand(op_args=[[1],
                          [2]]))
""",
        """\
    x = (StepOperator
         .partial(task_id="train",
                  python_callable=fit,
                  image="i:1",
                  cache="auto")
         .expand(op_args=[[1],
                          [2]]))
""",
    ),
    "an argument that goes": (
        """\
    PythonOperator(task_id="train", provide_context=True, op_kwargs={"a": 1,
                                                                     "b": 2},
                   python_callable=fit)
""",
        """\
    StepOperator(task_id="train", image="i:1", op_kwargs={"a": 1,
                                                          "b": 2},
                 python_callable=fit,
                 cache="auto")
""",
    ),
    "a line that goes": (
        """\
    PythonOperator(task_id="train",
                   provide_context=True,
                   python_callable=fit)
""",
        """\
    StepOperator(task_id="train",
                 image="i:1",
                 python_callable=fit,
                 cache="auto")
""",
    ),
    "commas under the bracket": (
        """\
    PythonOperator(task_id="train"
                  , retries=2
                  , python_callable=fit)
""",
        """\
    StepOperator(task_id="train"
                , retries=2
                , python_callable=fit
                , image="i:1"
                , cache="auto")
""",
    ),
    "a neighbour in the same line": (
        """\
    PythonOperator(task_id="train", python_callable=fit) >> Other(task_id="b",
                                                                  pool="p")
    Other(task_id="c",
          pool="p")
""",
        """\
    StepOperator(task_id="train", python_callable=fit, image="i:1", cache="auto") >> Other(task_id="b",
                                                                                           pool="p")
    Other(task_id="c",
          pool="p")
""",
    ),
    "a neighbour below": (
        """\
    [PythonOperator(task_id="train",
                    python_callable=fit),
     PythonOperator(task_id="b",
                    python_callable=fit)]
""",
        """\
    [StepOperator(task_id="train",
                  python_callable=fit,
                  image="i:1",
                  cache="auto"),
     PythonOperator(task_id="b",
                    python_callable=fit)]
""",
    ),
    "a deep hanging indent": (
        """\
    PythonOperator(
                        task_id="train",
                        op_kwargs=dict(a=1,
                                       b=2),
                        python_callable=fit)
""",
        """\
    StepOperator(
                        task_id="train",
                        op_kwargs=dict(a=1,
                                       b=2),
                        python_callable=fit,
                        image="i:1",
                        cache="auto")
""",
    ),
    "not quite under the bracket": (
        """\
    PythonOperator(task_id="train",
                     python_callable=fit)
""",
        """\
    StepOperator(task_id="train",
                     python_callable=fit,
                     image="i:1",
                     cache="auto")
""",
    ),
    "tabs": (
        """\
    PythonOperator(task_id="train",
\t\t   python_callable=fit)
""",
        """\
    StepOperator(task_id="train",
\t\t   python_callable=fit,
\t\t   image="i:1",
\t\t   cache="auto")
""",
    ),
}
DECORATED = {
    "longer": ("@task(retries=1,\n          pool='p')", "@task.step(retries=1,\n               pool='p')"),
    "shorter": (
        "@task.external_python(python='/bin/python',\n                          pool='p')",
        "@task.step(python='/bin/python',\n               pool='p')",
    ),
    "hanging": ("@task(\n        retries=1,\n    )", "@task.step(\n        retries=1,\n    )"),
}
DROPS = {
    "the last of one line": ("a=1, provide_context=True)", "a=1)"),
    "the first of one line": ("provide_context=True, a=1)", "a=1)"),
    "alone in its line": ("a=1,\n    provide_context=True,  # old\n    b=2,\n)", "a=1,\n    b=2,\n)"),
    "last, without a comma": ("a=1,\n    provide_context=True\n)", "a=1,\n)"),
    "last, before the bracket": ("a=1,\n    provide_context=True)", "a=1)"),
    "between others": ("a=1, provide_context=True, b=2)", "a=1, b=2)"),
    "in a line with others": ("a=1,\n    provide_context=True, b=2,\n)", "a=1,\n    b=2,\n)"),
    "with commas first": ("a=1\n    , provide_context=True\n    , b=2\n)", "a=1\n    , b=2\n)"),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", CASES)
def test_arguments_join_in_the_layout_of_the_call(name: str, newline: str, tmp_path: Path) -> None:
    before, after = CASES[name]
    check_transformed(
        tmp_path,
        f"{HEAD}{before}\n".replace("\n", newline),
        f"{MOVED}{after}\n".replace("\n", newline),
        needs=IMAGE,
    )


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ALIGNED)
def test_lines_under_the_bracket_move_with_it(name: str, newline: str, tmp_path: Path) -> None:
    before, after = ALIGNED[name]
    other = "    PythonOperator" in after or "[PythonOperator" in before
    head = HEAD + "    # here\n"
    kept = "airflow.operators.python import PythonOperator\nfrom "
    moved = MOVED.replace("stepbridge_airflow", kept + "stepbridge_airflow") if other else MOVED
    check_moved_and_back(
        tmp_path,
        (head + before).replace("\n", newline),
        (moved + "    # here\n" + after).replace("\n", newline),
    )


def check_moved_and_back(folder: Path, before: str, after: str) -> None:
    """A cutover gives *after*; the ledger gives *before* back; a shadow before the cutover changes nothing."""
    check_transformed(folder, before, after, needs=IMAGE)
    project = Project(folder, before)
    for actions in (("cutover",), ("shadow", "cutover")):
        texts = [before]
        for action in actions:
            project.move(action, "train", IMAGE)
            texts.append(project.text)
        assert project.text == after
        while texts.pop() != before:
            project.back("train")
            assert project.text == texts[-1]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", DECORATED)
def test_lines_under_the_bracket_of_a_decorator(name: str, newline: str, tmp_path: Path) -> None:
    text = "from airflow.sdk import dag, task\n\n\n@dag(dag_id='d')\ndef make():\n    {}\n    def train():\n        return 1\n\n    train()\n"
    before, after = (text.format(one).replace("\n", newline) for one in DECORATED[name])
    check_transformed(tmp_path, before, after)


@pytest.mark.parametrize(
    ("imported", "local", "now"),
    [
        ("from airflow.operators.python import PythonOperator as P", "P", "StepOperator"),
        ("import airflow.operators.python as ops", "ops.PythonOperator", "StepOperator"),
        (
            "from airflow.operators.python import PythonOperator as StepOperatoo",
            "StepOperatoo",
            "StepOperator",
        ),
    ],
)
def test_names_of_other_lengths(imported: str, local: str, now: str, tmp_path: Path) -> None:
    def text(statement: str, called: str) -> str:
        call = f"    a = {called}("
        return (
            f'from airflow import DAG\n{statement}\n\nwith DAG("d"):\n'
            f'{call}task_id="train",\n{" " * len(call)}python_callable=fit)\n'
        )

    check_transformed(
        tmp_path, text(imported, local), text("from stepbridge_airflow import StepOperator", now)
    )


TWINS = HEAD + "".join(
    f"""\
    {task} = PythonOperator(task_id="{task}",
                       pool="p",
                       python_callable=fit)
"""
    for task in "abc"
)


def test_a_call_is_found_again_among_others_of_its_layout(tmp_path: Path) -> None:
    project = Project(tmp_path, TWINS)
    for task in "abc":
        project.move("cutover", task)
    project.text = project.text.replace("with DAG", "X = 1\n\nwith DAG").replace(
        'a = StepOperator(task_id="a"', 'a = StepOperator(doc="?", task_id="a"'
    )
    changed = project.text
    for task in "cb":
        project.back(task)
    assert project.text.count("PythonOperator(") == 2
    assert changed.partition("    b = ")[0].partition("with DAG")[2] in project.text
    assert project.text.endswith(TWINS[TWINS.index("    b = ") :])
    refused = project.asked("a").plan
    assert not refused.changes
    assert [one.code for one in refused.findings] == ["SM510"]


def test_a_call_that_was_laid_out_anew_is_not_taken_back(tmp_path: Path) -> None:
    project = Project(tmp_path, TWINS)
    for task in "abc":
        project.move("cutover", task)
    project.text = project.text.replace(
        'b = StepOperator(task_id="b",\n                     pool="p",\n                     python_callable=fit)',
        'b = StepOperator(task_id="b", pool="p", python_callable=fit)',
    )
    done = project.asked("b")
    assert not done.plan.changes
    assert [one.code for one in done.plan.findings] == ["SM510"]


@pytest.mark.parametrize("name", DROPS)
def test_an_argument_goes_with_its_comma(name: str, tmp_path: Path) -> None:
    names = {"a": "retries", "b": "pool_slots"}
    before, after = (
        re.sub(r"\b([ab])=", lambda found: f"{names[found[1]]}=", text).replace("\n", "\n    ")
        for text in DROPS[name]
    )
    call = '    {}(task_id="train", python_callable=fit, {}\n'
    check_transformed(
        tmp_path,
        HEAD + call.format("PythonOperator", before),
        MOVED + call.format("StepOperator", after),
    )


ARGUMENTS = {
    "task_id": '"train"',
    "python_callable": "fit",
    "op_kwargs": '{"a": [1, 2], "b": "# no comment"}',
    "retries": "3",
    "provide_context": "True",
    "doc_md": '"""two\nlines, (of) text"""',
}
GAPS = st.sampled_from(["", " ", "\n        ", "  # why, not?)\n\t", "\n\n    # retries=1,\n    "])


@st.composite
def calls(draw: st.DrawFn) -> str:
    """The same call in any layout."""
    names = draw(st.permutations(list(ARGUMENTS)))
    parts = []
    for index, name in enumerate(names):
        last = index == len(names) - 1
        comma = "," if not last or draw(st.booleans()) else ""
        equals = draw(st.sampled_from(["=", " = "]))
        parts.append(f"{draw(GAPS)}{name}{equals}{ARGUMENTS[name]}{draw(GAPS)}{comma}")
    return f"PythonOperator({''.join(parts)}{draw(GAPS)})"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(calls(), st.sampled_from([Needs(), IMAGE, Needs(gpu="1", timeout="2h")]), st.booleans())
def test_any_layout_keeps_every_argument_and_comment(call: str, needs: Needs, crlf: bool) -> None:
    text = f"{HEAD}    train = {call}  # the end\n    train >> other\n"
    text = text.replace("\n", "\r\n") if crlf else text
    with tempfile.TemporaryDirectory() as folder:
        done = edit(Path(folder), text, "d.train", needs=needs)
    assert done.plan.changes
    before, after = _call(text), _call(done.after)
    kept = {word.arg: ast.dump(word.value) for word in before.keywords if word.arg != "provide_context"}
    now = {word.arg: ast.dump(word.value) for word in after.keywords}
    assert {name: now.get(name) for name in kept} == kept
    assert "provide_context" not in now
    assert len(now) == len(after.keywords)
    assert set(now) - set(kept) == _asked(needs)
    assert done.after.count("# retries=1,") == text.count("# retries=1,")
    outside = done.after.rpartition("# the end")[2]
    assert outside == text.rpartition("# the end")[2]


def _call(text: str) -> ast.Call:
    return next(
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("PythonOperator", "StepOperator")
    )


def _asked(needs: Needs) -> set[str]:
    names = {"gpu": "resources", "image": "image", "cache": "cache", "timeout": "timeout"}
    return {argument for name, argument in names.items() if getattr(needs, name) is not None}
