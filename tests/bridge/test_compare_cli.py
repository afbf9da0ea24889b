"""``stepbridge compare``: exit codes, every option, the published schema, and reports as they are printed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest

from stepbridge import cli, documents, publishing, values
from stepbridge.compare.base import Side
from stepbridge.compare.model import Report, Verdict
from stepbridge.compare.rules import Compare
from stepbridge.compare.schema import schema
from stepbridge.contract import StoreSettings
from stepbridge.store.opening import open_store

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden_reports")
SCHEMA = json.loads((ROOT / "docs/schemas/report-1.schema.json").read_text())
PAGE = (ROOT / "docs/compare.md").read_text()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, value: Any) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return name


def report(*arguments: str) -> tuple[int, Report]:
    code = cli.main(["compare", *arguments, "--format", "json", "--output", "report.json"])
    data = Path("report.json").read_bytes()
    jsonschema.validate(json.loads(data), SCHEMA)
    return code, documents.load(Report, data, place="report.json")


def test_the_published_schema_is_current() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert schema() == SCHEMA, "write stepbridge.compare.schema.schema() to docs/schemas/report-1.schema.json"


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    a, b, cut = write("a.json", {"x": 1}), write("b.json", {"x": 2}), write("c.npy", "no array")
    write("d.npy", "no array either")
    assert cli.main(["compare", a, a]) == 0
    assert cli.main(["compare", a, b]) == 1
    assert cli.main(["compare", a, "."]) == 1
    assert "INCOMPARABLE" in capsys.readouterr().out
    assert cli.main(["compare", cut, "d.npy"]) == 2
    assert "TOOL_ERROR" in capsys.readouterr().out
    for wrong, said in (
        ([a, "nowhere"], "SB302"),
        ([a, "ftp://host/x"], "SB301"),
        ([a, ""], "SB301"),
        ([a, b, "--equal", "everything"], "SB701"),
        ([a, b, "--metric", "better"], "SB701"),
        ([a, b, "--memory", "much"], "SB701"),
        ([a, b, "--column", "x"], "SB701"),
        ([a, b, "--dtype", "x=much"], "SB701"),
        ([a, b, "--ignore", "x"], "SB701"),
        ([a, b, "--rules", "nowhere.json"], "SB701"),
        ([a, b, "--rules", write("r.json", {"keys": ["id"]})], "SB701"),
        ([a, b, "--output", "nowhere/report"], "SB701"),
    ):
        assert cli.main(["compare", *wrong]) == 2, wrong
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        cli.main(["compare", a])
    assert caught.value.code == 2


def test_as_a_module() -> None:
    a, b = write("a.txt", "1\n"), write("b.txt", "2\n")
    done = subprocess.run(
        [sys.executable, "-m", "stepbridge.compare", a, b],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (1, "DIFFERENT", "")


JSON_OPTIONS: list[tuple[Any, Any, list[str], str]] = [
    ({"x": 1.0}, {"x": 1.1}, ["--rtol", "0.2"], "EQUIVALENT"),
    ({"x": 1.0}, {"x": 1.1}, ["--atol", "0.2"], "EQUIVALENT"),
    ({"x": 1.0, "y": 1.0}, {"x": 1.1, "y": 1.0}, ["--column", "x=0,0.2"], "EQUIVALENT"),
    ({"x": 1.0, "y": 1.0}, {"x": 1.1, "y": 1.0}, ["--column", "y=0.2"], "DIFFERENT"),
    ([1, 2], [2, 1], ["--unordered"], "EQUIVALENT"),
    ({"x": 1}, {"x": 1.0}, ["--equal", "int-is-float"], "EQUIVALENT"),
    ({"x": 1, "y": 2}, {"x": 1, "y": 3}, ["--ignore", "y=drawn anew"], "EXPLAINED"),
    ({"auc": 0.9}, {"auc": 0.8999}, ["--metric", "auc >= control - 0.01"], "EQUIVALENT"),
    ({"auc": 0.9}, {"auc": 0.8}, ["--metric", "auc >= control - 0.01"], "DIFFERENT"),
    ({"x": 1}, {"x": 2}, ["--comparator", "file"], "DIFFERENT"),
    ({"x": 1}, {"x": 2}, ["--comparator", "table"], "INCOMPARABLE"),
]


@pytest.mark.parametrize(("control", "candidate", "options", "verdict"), JSON_OPTIONS)
def test_options(control: Any, candidate: Any, options: list[str], verdict: str) -> None:
    a, b = write("a.json", control), write("b.json", candidate)
    assert report(a, b)[1].verdict is Verdict.DIFFERENT
    code, made = report(a, b, *options)
    assert made.verdict == verdict
    assert code == (0 if made.verdict.same else 1)


def test_options_of_tables_arrays_and_images() -> None:
    from PIL import Image

    frame = pd.DataFrame({"id": [1, 2, 3], "x": [1.0, 2.0, 3.0]})
    frame.to_parquet("a.parquet", index=False)
    frame[::-1].to_parquet("b.parquet", index=False)
    assert report("a.parquet", "b.parquet")[0] == 1
    assert report("a.parquet", "b.parquet", "--key", "id", "--memory", "64MiB")[0] == 0
    np.save("a.npy", np.ones(3, "f4"))
    np.save("b.npy", np.ones(3, "f4") * np.float32(1.00001))
    assert report("a.npy", "b.npy")[0] == 1
    assert report("a.npy", "b.npy", "--dtype", "float32=1e-4")[1].verdict is Verdict.EQUIVALENT
    for name, grey in (("a.png", 100), ("b.png", 102)):
        Image.new("L", (3, 3), grey).save(name)
    assert report("a.png", "b.png", "--pixels", "1")[0] == 1
    assert report("a.png", "b.png", "--pixels", "2")[0] == 0


def test_artifacts_and_objects_on_a_server(
    moto_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", str(moto_settings.endpoint))
    store = open_store(moto_settings)
    frame = pd.DataFrame({"x": range(2000)})
    staged = tmp_path / "staging"
    staged.mkdir()
    (draft,) = values.drafts(values.encode(frame, values.UNANNOTATED, staged, place="v"))
    artifact = publishing.publish(store, draft)
    frame.to_parquet("same.parquet")
    frame.replace(1999, 0).to_parquet("other.parquet")
    store.put("outside/m/part.parquet", Path("same.parquet").read_bytes())
    outside = f"{store.root}/outside/m/"
    Path("local").mkdir()
    Path("local/part.parquet").write_bytes(Path("same.parquet").read_bytes())
    for other, code in (
        (artifact.uri, 0),
        ("same.parquet", 0),
        (f"{outside}part.parquet", 0),
        ("other.parquet", 1),
    ):
        assert report(artifact.uri, other)[0] == code, report(artifact.uri, other)[1].rule
    assert report(outside, "local/")[1].verdict is Verdict.IDENTICAL
    assert cli.main(["compare", f"{store.root}/nowhere", "local"]) == 2


def test_samples_and_masks(capsys: pytest.CaptureFixture[str]) -> None:
    a = write("a.json", {f"k{n}": "secret-a" for n in range(20)})
    b = write("b.json", {f"k{n}": "secret-b" for n in range(20)})
    _, made = report(a, b, "--samples", "3", "--mask", "*")
    assert (len(made.parts[0].differences), made.parts[0].total) == (3, 20)
    for form in ("text", "md", "json"):
        assert cli.main(["compare", a, b, "--mask", "*", "--format", form]) == 1
        out = capsys.readouterr().out
        assert "secret" not in out
        assert "(masked)" in out.replace("\\", "")


def test_rules_from_a_file_and_options_on_top() -> None:
    a, b = write("a.json", {"x": 1.0, "y": 1, "z": 1}), write("b.json", {"x": 1.1, "y": 1.0, "z": 2})
    rules = write("rules.json", {"rtol": 0.5, "ignore": [{"path": "z", "reason": "drawn anew"}]})
    assert report(a, b, "--rules", rules)[1].verdict is Verdict.DIFFERENT
    assert report(a, b, "--rules", rules, "--equal", "int-is-float")[1].verdict is Verdict.EXPLAINED
    strict = report(a, b, "--rules", rules, "--equal", "int-is-float", "--rtol", "1e-9")[1]
    assert strict.verdict is Verdict.DIFFERENT


def test_names_that_are_no_text_can_be_written() -> None:
    for side, data in (("a", b"1"), ("b", b"2")):
        Path(side).mkdir()
        (Path(side) / b"\xff".decode("utf-8", "surrogateescape")).write_bytes(data)
    for form in ("text", "md", "json"):
        assert cli.main(["compare", "a", "b", "--format", form, "--output", "out"]) == 1
        assert "udcff" in Path("out").read_text()


def outputs(side: str, last: float, extra: str) -> None:
    """A folder as a task leaves it: a table, a model, metrics, a log."""
    Path(side).mkdir()
    ids = np.arange(1000)
    table = pd.DataFrame({"id": ids, "score": ids / 1000, "label": ["a", "b"] * 500})
    table.loc[17, "score"] += last
    table.to_csv(f"{side}/scores.csv", index=False)
    np.savez(f"{side}/model.npz", weight=np.full((2, 3), 0.5 + last), bias=np.zeros(3))
    write(f"{side}/metrics.json", {"auc": 0.9 - last, "rows": 1000})
    write(f"{side}/log.txt", f"start\n{extra}\nend\n")
    write(f"{side}/same.txt", "same\n")
    write(f"{side}/only-{side}.txt", "x\n")


@pytest.mark.parametrize("form", ["txt", "md"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("strict", []),
        ("relaxed", ["--rtol", "0.6", "--ignore", "log.txt=times", "--ignore", "only-*=names of the run"]),
    ],
)
def test_reports_as_they_are_printed(
    name: str, options: list[str], form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs("old", 0.0, "took 3 s")
    outputs("new", 0.01, "took 4 s")
    capsys.readouterr()
    code = cli.main(["compare", "old", "new", *options, "--format", "text" if form == "txt" else form])
    printed = capsys.readouterr().out
    golden = GOLDEN / f"{name}.{form}"
    assert printed == golden.read_text(), f"if this is meant, write it to {golden}"
    assert code == (1 if name == "strict" else 0)


# the page --------------------------------------------------------------------------------------------


def test_the_page_shows_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
        words = shlex.split(command)
        if words[0] == "cat":
            write(words[1], shown)
            continue
        cli.main(words[1:])
        printed = capsys.readouterr().out
        assert shown == printed, f"put this into docs/compare.md:\n{printed}"


def test_the_page_names_every_option_relaxation_and_comparator() -> None:
    import typing

    from stepbridge.compare.registry import built_in
    from stepbridge.compare.rules import Equal

    help_text = subprocess.run(
        [sys.executable, "-m", "stepbridge.compare", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    for option in set(re.findall(r"--[a-z]+", help_text)) - {"--help"}:
        assert option in PAGE, option
    for named in typing.get_args(Equal):
        assert f"`{named}`" in PAGE, named
    for one in built_in():
        assert f"| `{one.name}` |" in PAGE, one.name
    for verdict in Verdict:
        assert f"`{verdict}`" in PAGE, verdict


def test_the_page_s_plugin_works() -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {}
    exec(block, found)
    sides = [
        Side(one, "stepbridge.File", path=Path(write(one, text)))
        for one, text in (("a.fasta", "GA\n"), ("b.fasta", "GC\n"))
    ]
    plugin = found["GenomeComparator"]()
    assert plugin.takes(*sides)
    assert plugin.compare(*sides, Compare(), "x").verdict is Verdict.DIFFERENT
    assert plugin.compare(sides[0], sides[0], Compare(), "x").verdict is Verdict.IDENTICAL
