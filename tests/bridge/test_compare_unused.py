"""Rules that name something and match nothing: they are told, and never of what was not looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stepbridge import cli, documents
from stepbridge.codecs.plain import pack
from stepbridge.compare.engine import compare_values
from stepbridge.compare.ignoring import fits
from stepbridge.compare.model import Report, Subject, Unused
from stepbridge.compare.render.markdown import markdown
from stepbridge.compare.render.terminal import text
from stepbridge.compare.reporting import report_of
from stepbridge.compare.rules import Compare, Ignore, Tolerance
from stepbridge.compare.sides import value_at, value_of
from stepbridge.compare.unused import Named, agreed, unused
from stepbridge.contract import Inline, Items, Value

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs/schemas/report-1.schema.json").read_text())
LOOSE = Tolerance(rtol=0.5)


def plain(value: Any) -> Value:
    return Inline(*pack(value, place="test"))


def found(control: dict[str, Value], candidate: dict[str, Value], rules: Compare) -> list[tuple[str, str]]:
    report = report_of(Subject("a", "b"), compare_values(control, candidate, rules))
    jsonschema.validate(json.loads(documents.dump(report)), SCHEMA)
    return [(one.setting, one.name) for one in report.unused]


VALUE = {"score": 1.5, "meta": {"at": "now", "n": [1, 2]}, "two words": 3}
CASES: dict[str, tuple[Compare, list[tuple[str, str]]]] = {
    "a column that is misspelt": (Compare(columns={"scroe": LOOSE}), [("columns", "scroe")]),
    "a column": (Compare(columns={"score": LOOSE}), []),
    "a path": (Compare(columns={"$.meta.n[1]": LOOSE}), []),
    "a glob": (Compare(columns={"meta.*": LOOSE}), []),
    "a tolerance for a text": (Compare(columns={"meta.at": LOOSE}), [("columns", "meta.at")]),
    "a dtype": (Compare(dtypes={"float32": LOOSE}), [("dtypes", "float32")]),
    "what is ignored": (Compare(ignore=(Ignore("meta", "times"), Ignore("$['two words']", "x"))), []),
    "what is not there": (Compare(ignore=(Ignore("mata.*", "times"),)), [("ignore", "mata.*")]),
    "a mask": (Compare(mask=("pay", "meta.at")), [("mask", "pay")]),
    "the name of the result": (Compare(ignore=(Ignore("mine", "x"),), mask=("mi*",)), []),
    "arguments of a shadow": (Compare(ignore=(Ignore("inputs.op_kwargs.path", "its own"),)), []),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("equal", [True, False])
def test_values(case: str, equal: bool) -> None:
    rules, expected = CASES[case]
    other = VALUE if equal else {**VALUE, "score": 1.25}
    assert found({"mine": plain(VALUE)}, {"mine": plain(other)}, rules) == expected


def test_a_rule_is_used_where_one_result_has_what_it_names(tmp_path: Path) -> None:
    rules = Compare(columns={"auc": LOOSE, "loss": LOOSE}, ignore=(Ignore("other", "not ours"),))
    one, two = plain({"auc": 1.0}), plain({"n": 1})
    apart = {"a": one, "b": two}
    assert found(apart, apart, rules) == [("ignore", "other"), ("columns", "loss")]
    both = {"a": one, "b": two, "other": plain(1)}
    assert found(both, both, rules) == [("columns", "loss")]
    members = {"a": Items("list", (one, two))}
    rules = Compare(ignore=(Ignore("a[2]", "x"), Ignore("a[1]", "x")))
    assert found(members, members, rules) == [("ignore", "a[2]"), ("ignore", "a[1]")]
    frame = {"a": Items("list", (one, value_of(np.ones(2), tmp_path)))}
    assert found(frame, frame, rules) == [("ignore", "a[2]")]


def test_nothing_is_said_where_something_was_not_looked_at(tmp_path: Path) -> None:
    rules = Compare(columns={"auc": LOOSE})
    one = plain({"n": 1})
    assert found({"a": one, "b": one}, {"a": one}, rules) == []
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.json").write_text('{"auc": 1}')
    trees = [{"a": value_at(f"{tmp_path}/{name}/")} for name in ("left", "right")]
    assert found(trees[0], trees[1], rules) == []


def test_each_kind_of_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(3, "f4"))
    np.save(tmp_path / "b.npy", np.zeros(3, "f4"))
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    Image.new("L", (2, 2), 9).save(tmp_path / "b.png")
    for name, said in (("a", "one\n"), ("b", "two\n")):
        (tmp_path / f"{name}.txt").write_text(said)
        (tmp_path / f"{name}.bin").write_bytes(said.encode())
        (tmp_path / f"{name}.json").write_text(json.dumps({"x": said}))
    rules = Compare(
        columns={"x": LOOSE},
        dtypes={"float32": LOOSE, "float64": LOOSE},
        ignore=tuple(Ignore(path, "x") for path in ("line 1", "metadata *", "offset *", "shape", "x")),
        mask=("x",),
    )
    used = {
        "npy": {("dtypes", "float32"), ("ignore", "shape")},
        "png": {("ignore", "metadata *")},
        "txt": {("ignore", "line 1")},
        "bin": {("ignore", "offset *")},
        "json": {("ignore", "x"), ("mask", "x")},
    }
    every = {("ignore", one.path) for one in rules.ignore} | {("dtypes", one) for one in rules.dtypes}
    every |= {("columns", "x"), ("mask", "x")}
    for suffix, expected in used.items():
        first = {"r": value_at(str(tmp_path / f"a.{suffix}"))}
        for other in ("a", "b"):
            second = {"r": value_at(str(tmp_path / f"{other}.{suffix}"))}
            assert every - set(found(first, second, rules)) == expected, (suffix, other)


names = st.text(alphabet="ab*.", min_size=1, max_size=4)


@given(st.lists(st.text(alphabet="ab.", min_size=1, max_size=3)), st.lists(names, unique=True))
def test_unused_is_what_fits_no_name(there: list[str], globs: list[str]) -> None:
    rules = Compare(columns=dict.fromkeys(globs, LOOSE), mask=tuple(globs))
    made = unused(rules, Named(names=there, numbers=there))
    expected = [glob for glob in globs if not any(fits(glob, name) for name in there)]
    assert [one.name for one in made if one.setting == "columns"] == expected
    assert [one.name for one in made if one.setting == "mask"] == expected
    assert all(set(one.there) <= set(there) for one in made)
    assert agreed([made, made]) == made
    assert agreed([made, ()]) == ()
    assert agreed([made, None]) is None


def test_the_closest_names_come_first() -> None:
    rules = Compare(columns={"scroe": LOOSE})
    (one,) = unused(rules, Named(numbers=[*"abcdefg", "score"]))
    assert one.there == ("score", "a", "b", "c", "d")


def test_what_the_command_and_reports_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text('{"score": 1.0, "id": 1}')
    Path("b.json").write_text('{"score": 1.1, "id": 1}')
    Path("rules.json").write_text('{"outputs": [{"name": "table", "control": "/x", "argument": "p"}]}')
    given = ["compare", "a.json", "b.json", "--column", "scroe=0.5", "--rules", "rules.json"]
    assert cli.main(given) == 1
    said = capsys.readouterr()
    warned = "the tolerance for column 'scroe' matched nothing: there are 'score', 'id'"
    outputs = "outputs 'table' matched nothing: outputs are compared in shadow runs only"
    assert said.err.splitlines() == [f"stepbridge compare: warning: {one}" for one in (warned, outputs)]
    assert f"  unused: {warned}\n" in said.out
    assert cli.main([*given, "--format", "json"]) == 1
    report = documents.load(Report, capsys.readouterr().out.encode(), place="stdout")
    assert report.unused[0] == Unused("columns", "scroe", ("score", "id"))
    assert "'scroe' matched nothing" in markdown(report)
    assert warned not in text(report_of(Subject("a", "b"), ()))
    assert cli.main(["compare", "a.json", "b.json", "--column", "score=0.5"]) == 0
    assert capsys.readouterr().err == ""
