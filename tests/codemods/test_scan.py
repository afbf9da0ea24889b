"""The scan as a whole: any file, any number of processes, nothing written, every site judged."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inventories import DAGS, sites

from stepbridge_migrate.facts.project import Project
from stepbridge_migrate.model import Inventory
from stepbridge_migrate.scan import may_hold_tasks, python_files, scan, scan_file
from stepbridge_migrate.source import Unreadable, decode

SOURCES = [path for path in sorted(DAGS.rglob("*.py")) if path.stat().st_size > 200]


def mutated(text: str, chance: random.Random) -> str:
    """*text* with lines deleted, doubled, moved, cut, and names changed."""
    lines = text.split("\n")
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(lines))
        match chance.randrange(6):
            case 0:
                del lines[at : at + chance.randint(1, 4)]
            case 1:
                lines.insert(at, chance.choice(lines or [""]))
            case 2:
                other = chance.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = lines[at][: chance.randint(0, len(lines[at]))]
            case 4:
                names = sorted(set(re.findall(r"[A-Za-z_]\w+", text))) or ["x"]
                text = "\n".join(lines)
                lines = re.sub(rf"\b{chance.choice(names)}\b", chance.choice(names), text).split("\n")
            case _:
                lines[at] = lines[at].replace("(", "((", 1).replace(")", "))", 1)
        lines = lines or [""]
    return "\n".join(lines)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(SOURCES), st.integers(0, 10**9))
def test_no_mutation_of_a_dag_file_breaks_it(tmp_path: Path, path: Path, seed: int) -> None:
    data = mutated(path.read_bytes().decode(errors="replace"), random.Random(seed)).encode(errors="replace")
    target = tmp_path / "dag.py"
    target.write_bytes(data)
    result = scan_file(Project(tmp_path), target)
    if not result.relevant or result.skipped:
        assert not result.sites
        return
    file = decode("dag.py", data)
    for judged in result.sites:
        site = judged.site
        assert file.cut(site.name).strip() == site.local
        assert site.name.start >= site.call.start or site.open is not None
        if site.open is not None:
            assert file.text[site.open - 1] == "("
            assert site.name.end < site.open <= site.call.end
        for argument in (*site.arguments, *site.mapped_arguments):
            assert argument.value in file.cut(argument.span)
        assert file.place(site.call.start) == site.place


def test_one_and_two_processes_say_the_same(tmp_path: Path) -> None:
    chance = random.Random(7)
    for number in range(60):
        path = chance.choice(SOURCES)
        folder = tmp_path / f"part{number % 7}"
        folder.mkdir(exist_ok=True)
        text = path.read_bytes().decode(errors="replace")
        made = mutated(text, chance) if number % 3 else text
        (folder / f"{path.stem}_{number}.py").write_text(made, errors="replace")
    one, two = scan(tmp_path), scan(tmp_path, jobs=2)
    assert one == two
    assert len(one.sites) > 100
    assert one.skipped


def test_every_site_is_judged_and_in_order() -> None:
    found = scan(DAGS)
    places = [judged.site.place for judged in found.sites]
    assert places == sorted(places)
    assert {finding.place.path for finding in found.skipped} == {
        "dags/null_bytes.py",
        "dags/python2.py",
        "dags/wrong_encoding.py",
    }
    assert all(judged.disposition for judged in found.sites)


def test_progress_counts_all_files() -> None:
    seen: list[tuple[int, int]] = []
    found = scan(DAGS, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (found.files, found.files)


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.relative_to(root).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_scan_writes_nothing(tmp_path: Path) -> None:
    for path in SOURCES:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = snapshot(tmp_path)
    scan(tmp_path, jobs=2)
    assert snapshot(tmp_path) == before


def test_paths_and_exclusions(tmp_path: Path) -> None:
    for name in (
        "dags/a.py",
        "dags/old/b.py",
        "venv/c.py",
        "env3/pyvenv.cfg",
        "env3/d.py",
        ".git/e.py",
        "f.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def names(*paths: str, exclude: tuple[str, ...] = ()) -> list[str]:
        found = python_files(tmp_path, [Path(path) for path in paths], exclude)
        return [path.relative_to(tmp_path).as_posix() for path in found]

    assert names() == ["dags/a.py", "dags/old/b.py"]
    assert names(exclude=("dags/old",)) == ["dags/a.py"]
    assert names(exclude=("*/b.py",)) == ["dags/a.py"]
    assert names("dags/old", "dags") == ["dags/a.py", "dags/old/b.py"]
    assert names("venv/c.py") == ["venv/c.py"]


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    found = scan(tmp_path, [Path("nowhere.py")])
    assert [(item.code, item.place.path) for item in found.skipped] == [("SM401", "nowhere.py")]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("from airflow import DAG\nPythonOperator()", True),
        ("from airflow.decorators import task", True),
        ("from airflow import DAG\nx = make(task_id='x')", True),
        ("print('no dag')", False),
        ("from airflow.models import Variable\n", False),
    ],
)
def test_prefilter(text: str, kept: bool) -> None:
    assert may_hold_tasks(text.encode()) is kept


HEAD = (
    b"from airflow import DAG\nfrom airflow.operators.python import PythonOperator\nwith DAG('d') as dag:\n"
)


@pytest.mark.parametrize(
    "body",
    [
        b"    a = PythonOperator(task_id='a', python_callable=print)\n    a" + b" >> a" * 20_000 + b"\n",
        b"    a = PythonOperator(task_id='a', python_callable=lambda: " + b"-" * 400 + b"1)\n",
        b"    a = PythonOperator(task_id='a', python_callable=print, op_args=["
        + b"[" * 80
        + b"]" * 80
        + b"])\n",
        b"    x = 1"
        + b" + 1" * 3_000
        + b"\n    a = PythonOperator(task_id='a%d' % x, python_callable=print)\n",
        b"    if x: pass\n"
        + b"    elif x: pass\n" * 800
        + b"    a = PythonOperator(task_id='a', python_callable=print)\n",
        b"    a = PythonOperator(task_id='a', python_callable=print)\n" + b"    a.set_upstream(a)\n" * 30_000,
    ],
    ids=["chain", "signs", "brackets", "sum", "elifs", "long"],
)
def test_deep_and_long_files(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "dag.py").write_bytes(HEAD + body)
    found = scan(tmp_path)
    assert len(found.sites) == 1 or [item.code for item in found.skipped] == ["SM403"]


def test_huge_numbers_in_loops_and_formats_cost_nothing(tmp_path: Path) -> None:
    text = HEAD.decode() + (
        "    for i in range(10**12):\n        PythonOperator(task_id=f'a_{i}', python_callable=print)\n"
        "    PythonOperator(task_id=f'{1:999999999}', python_callable=print)\n"
        "    PythonOperator(task_id='%999999999d' % 1, python_callable=print)\n"
        "    PythonOperator(task_id='x'.zfill(10**10), python_callable=print)\n"
        "    PythonOperator(task_id='{:>{w}}'.format(1, w=10**10), python_callable=print)\n"
    )
    found = sites(tmp_path, text=text)
    assert [site.task.complete for site in found] == [False] * 5


def test_a_module_that_cannot_be_read_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    text = HEAD.decode() + "    from broken import f\n    PythonOperator(task_id='a', python_callable=f)\n"
    (site,) = sites(tmp_path, text=text)
    assert site.callable is not None
    assert site.callable.definition is None
    assert not site.callable.followed


def test_circular_imports_and_definitions_end(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from b import f, G\nclass H(G): pass\nx = y\ny = x\n")
    (tmp_path / "b.py").write_text("from a import f, H\nclass G(H): pass\n")
    text = HEAD.decode() + (
        "    from a import f, H, x\n    PythonOperator(task_id='a', python_callable=f)\n"
        "    H(task_id='h')\n    PythonOperator(task_id=x, python_callable=x)\n"
    )
    assert len(sites(tmp_path, text=text)) == 3


def test_inventory_counts(tmp_path: Path) -> None:
    (tmp_path / "dag.py").write_bytes(HEAD + b"    PythonOperator(task_id='a', python_callable=print)\n")
    (tmp_path / "other.py").write_text("x = 1\n")
    found = scan(tmp_path)
    assert isinstance(found, Inventory)
    assert (found.files, found.dag_files, len(found.sites)) == (2, 1, 1)


def test_syntax_errors_raise_for_one_file(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="parse"):
        sites(tmp_path, text="from airflow import task\nprint 1\n")


def test_a_named_file_that_cannot_be_parsed_is_said_even_without_a_dag(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    named = scan(tmp_path, [Path("broken.py")])
    assert [(one.code, one.place.path) for one in named.skipped] == [("SM402", "broken.py")]
    assert scan(tmp_path).skipped == ()


def test_a_named_file_that_cannot_be_read_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "dag.py").write_bytes(b"# airflow DAG PythonOperator \xff\n")
    found = scan(tmp_path, [Path("dag.py")])
    assert [one.code for one in found.skipped] == ["SM401"]
