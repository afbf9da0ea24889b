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
        '    StepOperator(task_id="train",\n                   python_callable=fit,\n'
        '                   image="i:1",\n                   cache="auto")',
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
