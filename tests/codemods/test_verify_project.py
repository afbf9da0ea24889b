"""How the project's Airflow is asked: nothing of the project is touched, nothing of the user's is reached."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from edited_dags import EDGES, HEAD, RIGHT, SHADOW, named, write

from stepbridge_migrate.problems import MigrateProblem
from stepbridge_migrate.verify import project
from stepbridge_migrate.verify.checks import in_airflow
from stepbridge_migrate.verify.project import NoAnswer

airflow = pytest.mark.airflow
SIDE = project.SCRIPT
PYTHON = os.environ.get("STEPBRIDGE_TEST_PYTHON", sys.executable)


def snapshot(root: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path.relative_to(root)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(root.rglob("*"))
    }


def airflow_here() -> Path:
    pytest.importorskip("airflow")
    python = project.interpreter(None)
    assert python is not None
    return python


def test_every_way_of_reading_gives_the_other_text(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    path, other = tree / "flow.py", tmp_path / "other.py"
    path.write_text("SIDE = 'old'\ndef told():\n    return 'old'\n")
    subprocess.run([PYTHON, "-m", "py_compile", "flow.py"], cwd=tree, check=True)
    assert list(tree.rglob("*.pyc")), "the import system has a compiled old text to take"
    other.write_text("# one line more\nSIDE = 'new'\ndef told():\n    return 'new'\n")
    code = f"""
        import importlib.util, inspect, io, os, pathlib, sys, tokenize
        sys.dont_write_bytecode = True
        spec = importlib.util.spec_from_file_location("side", {str(SIDE)!r})
        side = importlib.util.module_from_spec(spec); spec.loader.exec_module(side)
        side.overlay({{{str(path)!r}: {str(other)!r}}})
        sys.path.insert(0, {str(tree)!r})
        import flow
        path = pathlib.Path({str(path)!r})
        texts = [open(path).read(), open(str(path), "rb").read().decode(), path.read_text()]
        texts += [path.read_bytes().decode(), io.open(path).read(), tokenize.open(path).read()]
        handle = os.open(path, os.O_RDONLY)
        texts += [os.read(handle, 999).decode(), flow.__loader__.get_source("flow")]
        os.chdir(path.parent); texts.append(open("flow.py").read())
        assert all(text.startswith("# one line more") for text in texts), texts
        assert flow.SIDE == "new" and "return 'new'" in inspect.getsource(flow.told)
        assert flow.__file__ == str(path)
        with open(path.with_name("more.txt"), "w") as file: file.write("x")
    """
    subprocess.run([PYTHON, "-c", textwrap.dedent(code)], check=True)
    assert path.read_text().startswith("SIDE = 'old'")
    assert (tree / "more.txt").read_text() == "x"


def test_the_users_database_commands_and_secrets_stay_out(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "flows").mkdir()
    (home / "airflow.cfg").write_text(
        "[core]\n"
        f"dags_folder = {tmp_path}/flows\n"
        "default_task_retries = 7\n"
        "sql_alchemy_conn = postgresql://prod\n"
        "fernet_key_cmd = rm -rf /\n"
        "[database]\nsql_alchemy_conn = postgresql://prod\n"
        "[secrets]\nbackend = corp.Vault\n"
        "[stepbridge]\nimage = registry/train:3\n"
    )
    given = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://prod",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": "cat secret",
        "AIRFLOW__CORE__FERNET_KEY_SECRET": "x",
        "AIRFLOW__SECRETS__BACKEND": "corp.Vault",
        "AIRFLOW__CORE__DEFAULT_TIMEZONE": "Europe/Vienna",
        "AIRFLOW_VAR_SIZE": "3",
        "PATH": "/bin",
    }
    user = project._User(given, tmp_path, [tmp_path / "flows" / "x.py"])
    made = user.environment(tmp_path / "throwaway")
    assert not [name for name, value in made.items() if "prod" in value or "corp" in value]
    assert not [name for name in made if name.endswith(("_CMD", "_SECRET"))]
    assert made["AIRFLOW__CORE__DEFAULT_TASK_RETRIES"] == "7"
    assert made["AIRFLOW__CORE__DEFAULT_TIMEZONE"] == "Europe/Vienna"
    assert made["AIRFLOW__CORE__DAGS_FOLDER"] == f"{tmp_path}/flows"
    assert made["AIRFLOW__STEPBRIDGE__IMAGE"] == "registry/train:3"
    assert made["AIRFLOW_VAR_SIZE"] == "3"
    assert made["AIRFLOW_HOME"] == str(tmp_path / "throwaway")


def test_an_interpreter_that_is_not_there_is_named() -> None:
    with pytest.raises(MigrateProblem, match=r"--airflow-python.*no program"):
        project.interpreter("/nowhere/bin/python")


def test_an_interpreter_without_airflow_is_no_pass(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    case = RIGHT[0]
    texts = write(tmp_path / "dags", (case,))
    imports, structure = in_airflow(tmp_path, texts, case.plan("dags/right.py"), airflow_python=str(bare))
    assert imports.status == "failed"
    assert "No module named 'airflow'" in imports.detail
    assert structure.status == "skipped"


def test_an_interpreter_that_hangs_is_ended(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 600 &\nwait\n")
    slow.chmod(0o755)
    with pytest.raises(NoAnswer, match="longer than 1 s"):
        project.load(tmp_path, write(tmp_path / "dags", RIGHT[:1]), python=slow, patience=1)


@airflow
def test_a_file_that_does_not_import_is_skipped_and_the_tree_untouched(tmp_path: Path) -> None:
    airflow_here()
    case = RIGHT[0]
    path = tmp_path / "dags" / "right.py"
    path.parent.mkdir()
    path.write_text("import corp_helpers\n" + case.before)
    (tmp_path / "dags" / "helpers.py").write_text("x = 1\n")
    before = snapshot(tmp_path)
    checks = in_airflow(tmp_path, {path: path.read_bytes()}, case.plan("dags/right.py"))
    assert [check.status for check in checks] == ["skipped", "skipped"]
    assert "ModuleNotFoundError: No module named 'corp_helpers'" in checks[0].detail
    assert "--stand-ins" in checks[0].detail
    assert snapshot(tmp_path) == before


PROJECT = (
    "import helpers, corp_helpers\n"
    "try:\n"
    "    from corp_of_tomorrow import later\n"
    "except ImportError:\n"
    "    later = None\n"
    "assert later is None\n"
    "from corp.operators import CorpSensor\n"
    "from airflow.operators.dummy_operator import DummyOperator\n"
    "from airflow.models import Variable\n"
    "SIZE = Variable.get('size'), Variable.get('shape', default_var=helpers.SHAPE)\n"
)
NETWORK = (
    "import socket\n"
    "try:\n"
    "    socket.create_connection(('127.0.0.1', PORT), 2)\n"
    "except OSError as error:\n"
    "    print(error)\n"
)


@airflow
def test_stand_ins_projects_modules_and_no_network(tmp_path: Path) -> None:
    import socket

    python = airflow_here()
    case = named("shadow")
    path = tmp_path / "dags" / "shadow.py"
    path.parent.mkdir()
    (tmp_path / "dags" / "helpers.py").write_text("SHAPE = 4\n")
    tail = (
        "    wait = CorpSensor(task_id='wait', bucket=corp_helpers.BUCKET, pool='p')\n"
        "    DummyOperator(task_id='nothing') >> wait >> extract\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        network = NETWORK.replace("PORT", str(server.getsockname()[1]))
        path.write_text(PROJECT + network + case.before + tail)
        new = path.read_text().replace(EDGES, EDGES + SHADOW)
        checks = in_airflow(
            tmp_path,
            {path: new.encode()},
            case.plan("dags/shadow.py"),
            airflow_python=str(python),
            stand_ins=True,
        )
        with pytest.raises(TimeoutError):
            server.accept()
    assert [check.status for check in checks] == ["passed", "passed"], checks
    assert "corp_helpers" in checks[0].detail
    assert "Variable size" in checks[0].detail
    assert "Variable shape" not in checks[0].detail
    assert "corp_of_tomorrow" not in checks[0].detail
    assert checks[1].detail == "only shadow.g.train__compare, shadow.g.train__shadow came"
    assert not list(tmp_path.rglob("__pycache__"))


@airflow
def test_an_edit_that_breaks_the_import_fails_with_the_next_step(tmp_path: Path) -> None:
    python = airflow_here()
    case = RIGHT[0]
    path = tmp_path / "dags" / "right.py"
    path.parent.mkdir()
    path.write_text(HEAD.replace("STEP", ""))
    new = path.read_text() + "import stepbridge_airflow_that_is_not_there\n"
    imports, structure = in_airflow(
        tmp_path, {path: new.encode()}, case.plan("dags/right.py"), airflow_python=str(python)
    )
    assert imports.status == "failed"
    assert "No module named 'stepbridge_airflow_that_is_not_there'" in imports.detail
    assert "pip install 'stepbridge[airflow]'" in imports.detail
    assert structure.status == "skipped"
    assert [one.name for one in tmp_path.iterdir()] == ["dags"]


@airflow
def test_a_task_made_by_an_imported_factory_is_read_through_its_dag_file(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # another project's folder of the same machine
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path_factory.mktemp("other")))
    python = airflow_here()
    case = named("shadow")
    package = tmp_path / "dags" / "common"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    factory, flow = package / "factory.py", tmp_path / "dags" / "flow.py"
    body = case.before.replace("with DAG(", "def make():\n  with DAG(")
    head, _, tail = body.partition("def make():")
    text = head + "def make():" + tail.replace("\n    ", "\n      ") + "  return dag\n"
    factory.write_text(text)
    flow.write_text("from common.factory import make\ndag = make()\n")
    new = text.replace(
        "    " + EDGES.strip() + "\n", "    " + EDGES.strip() + "\n" + SHADOW.replace("    ", "      ")
    )
    given = {"airflow_python": str(python)}
    plan = case.plan("dags/common/factory.py")
    alone = in_airflow(tmp_path, {factory: text.encode()}, plan, **given)
    assert [check.status for check in alone] == ["passed", "skipped"], alone
    assert "makes no DAG by itself" in alone[1].detail
    through = in_airflow(tmp_path, {factory: new.encode()}, plan, entries=[flow], **given)
    assert [check.status for check in through] == ["passed", "passed"], through
    assert through[1].detail == "only shadow.g.train__compare, shadow.g.train__shadow came"
