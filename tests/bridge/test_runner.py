"""The runner end to end: real processes on a real store, from the request to the result or the error."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from runner_harness import Harness, Ran, context, inline, plain, wait_for

from stepbridge import documents, publishing, values
from stepbridge.contract import (
    CacheEntry,
    CacheTarget,
    CodeRef,
    Fields,
    Outside,
    Pull,
    Stored,
    StoreSettings,
)
from stepbridge.runner.logs import read_log


@pytest.fixture
def harness(file_settings: StoreSettings, tmp_path: Path) -> Harness:
    return Harness(file_settings, tmp_path / "work")


def left_behind(harness: Harness) -> list[str]:
    return [entry.name for entry in harness.scratch.iterdir()]


# -- success


def test_trivial(harness: Harness) -> None:
    ran = harness.call("trivial")
    assert ran.status == 0, ran.lines
    assert ran.value == 42
    assert ran.result.cache == "off"
    assert ran.result.started <= ran.result.finished
    assert ran.objects() == ["request.json", "result.json", "usage.json"]
    assert left_behind(harness) == []


def test_arguments_by_position_and_name(harness: Harness) -> None:
    request = harness.request("add", 2, kwargs={"b": inline(5)})
    assert harness.run(request).value == 7


def test_unknown_keyword_arguments_are_left_out_as_airflow_does(harness: Harness) -> None:
    request = harness.request("add", 2, kwargs={"nobody_takes_this": inline(5)})
    assert harness.run(request).value == 3


def test_async_function(harness: Harness) -> None:
    assert harness.call("waits", 4).value == 8


def test_output_is_an_artifact_with_its_producer(harness: Harness) -> None:
    ran = harness.call("makes_file", "content")
    output = ran.result.output
    assert isinstance(output, Stored)
    manifest = publishing.read_manifest(harness.store, output.artifact.digest)
    assert manifest.producer is not None
    assert manifest.producer.run_id == ran.attempt.run_id
    assert output.artifact.content == hashlib.sha256(b"content").hexdigest()
    path = output.artifact.uri.removeprefix("file://")
    assert Path(path).read_text() == "content"


def test_input_artifact_is_fetched_once_and_verified(harness: Harness) -> None:
    made = harness.call("makes_file", "one").result.output
    request = harness.request("reads_file", args=(made,))
    assert harness.run(request).value == "one"


def test_corrupt_input_is_noticed_and_named(harness: Harness) -> None:
    made = harness.call("makes_file", "one").result.output
    assert isinstance(made, Stored)
    Path(made.artifact.uri.removeprefix("file://")).write_text("two")
    ran = harness.run(harness.request("reads_file", args=(made,)))
    assert ran.status == 4
    assert (ran.error.kind, ran.error.code) == ("infra", "SB304")
    assert made.artifact.uri in ran.error.message
    assert ran.error.retryable


def test_vanished_input_is_noticed_and_named(harness: Harness) -> None:
    made = harness.call("makes_file", "one").result.output
    assert isinstance(made, Stored)
    Path(made.artifact.uri.removeprefix("file://")).unlink()
    ran = harness.run(harness.request("reads_file", args=(made,)))
    assert (ran.error.kind, ran.error.code) == ("infra", "SB302")
    assert made.artifact.uri in ran.error.message


def test_input_of_another_store(harness: Harness, tmp_path: Path) -> None:
    other = Harness(StoreSettings(f"file://{tmp_path}/production"), harness.scratch)
    made = other.call("makes_file", "made there").result.output
    assert harness.run(harness.request("reads_file", args=(made,))).value == "made there"


def test_outside_input(harness: Harness, tmp_path: Path) -> None:
    from stepbridge import outside

    source = tmp_path / "outside.txt"
    source.write_text("from outside")
    found = outside.identify(str(source), None)
    assert isinstance(found, Outside)
    assert harness.run(harness.request("reads_file", args=(found,))).value == "from outside"


def test_several_outputs_are_apart(harness: Harness) -> None:
    output = harness.run(harness.request("makes_two", multiple_outputs=True)).result.output
    assert isinstance(output, Fields)
    assert {key: type(value).__name__ for key, value in output.fields.items()} == {
        "a": "Stored",
        "b": "Stored",
        "n": "Inline",
    }
    plain_ones = harness.run(harness.request("several", multiple_outputs=True))
    assert plain_ones.value == {"a": 1, "b": "two"}
    assert isinstance(plain_ones.result.output, Fields)


def test_several_outputs_need_a_mapping(harness: Harness) -> None:
    error = harness.run(harness.request("not_several", multiple_outputs=True)).error
    assert error.code == "SB103"
    assert "multiple_outputs" in error.message


def test_environment_of_the_request_reaches_the_function(harness: Harness) -> None:
    request = harness.request("environment", "DECLARED", environment={"DECLARED": "yes"})
    assert harness.run(request).value == "yes"


def test_working_directory_is_empty_and_standard_input_closed(harness: Harness) -> None:
    assert harness.call("where").value == {"cwd": [], "stdin": ""}


def test_neither_runner_nor_child_imports_what_the_step_does_not_need(harness: Harness) -> None:
    assert harness.call("modules").value == []


def test_the_runner_itself_never_imports_pandas(harness: Harness, tmp_path: Path) -> None:
    launcher = tmp_path / "launcher.py"
    launcher.write_text(
        "import sys\n"
        "from stepbridge.runner.__main__ import main\n"
        "status = main(sys.argv[1:])\n"
        "heavy = {'pandas', 'pyarrow', 'boto3', 'numpy', 'asyncio'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))\n"
        "sys.exit(status)\n"
    )
    made = harness.run(harness.request("frame"), str(launcher))
    assert isinstance(made.result.output, Stored)
    assert "HEAVY []" in made.lines
    read = harness.run(harness.request("frame_arg", args=(made.result.output,)), str(launcher))
    assert read.value == 6
    assert "HEAVY []" in read.lines


# -- the context


def test_context_reaches_the_function(harness: Harness, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    data = context(
        {
            "ds": "2026-01-02",
            "logical_date": datetime(2026, 1, 2, tzinfo=UTC),
            "dag_run": {"run_id": "r", "conf": {"who": "me"}},
            "ti": {"dag_id": "dag", "task_id": "task", "run_id": "r", "try_number": 3, "map_index": -1},
        },
        tmp_path,
        pulls=(
            Pull(("before",), True, "n", inline(7)),
            Pull(("before", "other"), False, "n", inline([7, 8])),
        ),
        complete=False,
        names=("ds", "ti", "dag_run", "logical_date", "conf", "params"),
    )
    request = harness.request("reads_context", context=data, kwargs={"extra": inline("own")})
    ran = harness.run(request, environment={"AIRFLOW_VAR_THRESHOLD": "0.5"})
    assert ran.value == {
        "ds": "2026-01-02",
        "extra": "own",
        "try": 3,
        "pulled": 7,
        "both": [7, 8],
        "conf": "me",
        "year": 2026,
        "same": True,
        "threshold": "0.5",
    }
    assert {key: values.xcom_view(value) for key, value in ran.result.xcoms.items()} == {
        "note": {"ds": "2026-01-02"}
    }


def test_withheld_key_and_unknown_pull_name_what_to_bind(harness: Harness, tmp_path: Path) -> None:
    data = context({"ds": "x"}, tmp_path, complete=False, names=("ds", "conf", "ti"))
    error = harness.run(harness.request("reads_withheld", context=data)).error
    assert (error.kind, error.code, error.retryable) == ("user", "SB504", False)
    assert "conf" in error.message
    assert "context_keys" in error.message
    error = harness.run(harness.request("pulls_unknown", context=data)).error
    assert error.code == "SB505"
    assert 'from_xcom("stranger", key="return_value")' in error.message


def test_without_a_context_a_function_gets_only_its_own(harness: Harness) -> None:
    assert harness.run(harness.request("kwargs_of", kwargs={"a": inline(1)})).value == ["a"]


# -- failures of the function


def test_exception_has_the_users_traceback_only(harness: Harness) -> None:
    ran = harness.call("raises")
    error = ran.error
    assert ran.status == 1
    assert (error.kind, error.code, error.type, error.message) == (
        "user",
        "SB402",
        "ValueError",
        "no such thing",
    )
    assert error.retryable
    assert error.signal == ""
    assert "_deeper" in error.traceback
    assert "KeyError" in error.traceback
    assert "child.py" not in error.traceback
    assert "_deeper" in b"".join(read_log(harness.store, ran.attempt.prefix)).decode()
    assert ran.objects() == ["error.json", "log.txt", "request.json", "usage.json"]
    assert left_behind(harness) == []


@pytest.mark.parametrize(
    ("function", "type_"),
    [("raises_base", "KeyboardInterrupt"), ("raises_odd", "Odd"), ("raises_group", "ExceptionGroup")],
)
def test_anything_raised_is_the_users(harness: Harness, function: str, type_: str) -> None:
    error = harness.call(function).error
    assert (error.kind, error.code, error.type) == ("user", "SB402", type_)
    assert "child.py" not in error.traceback


def test_airflows_exceptions_are_signals(harness: Harness) -> None:
    skipped = harness.call("skips")
    assert (skipped.status, skipped.error.signal, skipped.error.message) == (10, "skip", "nothing to do")
    failed = harness.call("fails")
    assert (failed.status, failed.error.signal, failed.error.retryable) == (1, "fail", False)


@pytest.mark.parametrize("code", [0, 3, "message"])
def test_sys_exit_is_no_success(harness: Harness, code: object) -> None:
    error = harness.call("exits", code).error
    assert (error.kind, error.code) == ("user", "SB403")
    assert "sys.exit" in error.message


@pytest.mark.parametrize("code", [0, 3])
def test_hard_exit_is_no_success(harness: Harness, code: int) -> None:
    ran = harness.call("exits_hard", code)
    assert (ran.error.kind, ran.error.code) == ("user", "SB403")
    assert f"status {code}" in ran.error.message
    assert "last words" in ran.lines


def test_missing_module(harness: Harness) -> None:
    inside = harness.call("imports_missing").error
    assert (inside.kind, inside.code, inside.retryable) == ("config", "SB208", False)
    assert "no_such_module_anywhere" in inside.message
    request = harness.request("trivial", code=CodeRef("image", "not_in_this_image:f", "0" * 64))
    ran = harness.run(request)
    assert (ran.status, ran.error.code) == (3, "SB208")
    assert "not_in_this_image" in ran.error.message


@pytest.mark.parametrize(
    ("function", "code", "said"),
    [
        ("wrong_type", "SB103", "int"),
        ("unencodable", "SB102", "lock"),
        ("generates", "SB102", "generator"),
        ("agenerates", "SB102", "generator"),
    ],
)
def test_results_that_cannot_be_kept(harness: Harness, function: str, code: str, said: str) -> None:
    error = harness.call(function).error
    assert (error.kind, error.code, error.retryable) == ("user", code, False)
    assert said in error.message


def test_argument_that_does_not_fit(harness: Harness) -> None:
    error = harness.call("add", "one").error
    assert (error.kind, error.code) == ("user", "SB103")
    error = harness.call("add").error
    assert (error.kind, error.code) == ("config", "SB106")
    assert "'a'" in error.message


def test_memory_error(harness: Harness) -> None:
    ran = harness.call("out_of_memory")
    assert (ran.status, ran.error.kind, ran.error.code) == (5, "oom", "SB406")


def test_kill_of_the_child_is_infra(harness: Harness) -> None:
    ran = harness.call("killed")
    assert (ran.status, ran.error.kind, ran.error.code) == (4, "infra", "SB408")
    assert "SIGKILL" in ran.error.message


def test_crash_of_native_code_names_the_signal(harness: Harness) -> None:
    ran = harness.call("crashes")
    assert ran.error.code == "SB408"
    assert "SIGSEGV" in ran.error.message
    assert "runner_steps.py" in ran.lines


# -- before the function


def test_request_of_another_digest_is_refused(harness: Harness) -> None:
    ran = harness.run(harness.request("trivial"), digest="0" * 64)
    assert (ran.status, ran.error.kind, ran.error.code) == (4, "infra", "SB401")
    short = json.loads(harness.termination.read_bytes())
    assert short["code"] == "SB401"
    assert short["error"].endswith("error.json")


def test_request_of_another_attempt_is_refused(harness: Harness) -> None:
    request = harness.request("trivial")
    elsewhere = dataclasses.replace(request, attempt=dataclasses.replace(request.attempt, try_number=2))
    data = documents.dump(elsewhere)
    key = request.attempt.prefix + "request.json"
    harness.store.put(key, data)
    import subprocess

    command = harness.command(harness.store.uri(key), hashlib.sha256(data).hexdigest())
    done = subprocess.run(command, env=harness.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "SB401" in done.stdout


def test_command_line_errors(harness: Harness) -> None:
    import subprocess
    import sys

    for arguments in ([], ["uri"], ["uri", "--digest"], ["uri", "--digest", "d", "--other", "x"]):
        command = [sys.executable, "-m", "stepbridge.runner", *arguments]
        done = subprocess.run(command, env=harness.environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "usage" in done.stderr
    command = harness.command("ftp://host/runs/a/b/c/-1/1/request.json", "0" * 64)
    done = subprocess.run(command, env=harness.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "SB301" in done.stdout


def test_swapped_bundle_is_refused(harness: Harness) -> None:
    digest = hashlib.sha256(b"promised").hexdigest()
    harness.store.put(f"code/{digest}.zip", b"another")
    ran = harness.run(harness.request("trivial", code=CodeRef("bundle", "m:f", "0" * 64, bundle=digest)))
    assert (ran.error.kind, ran.error.code) == ("infra", "SB207")
    assert digest in ran.error.message


def test_missing_gpu_is_preflight(harness: Harness) -> None:
    request = harness.request("trivial", gpus=64)
    ran = harness.run(request)
    assert (ran.status, ran.error.kind, ran.error.code) == (7, "preflight", "SB407")
    assert "64 GPU(s) asked for" in ran.error.message


def test_termination_message_is_short_json(harness: Harness) -> None:
    ran = harness.call("exits", "long " * 5000)
    data = harness.termination.read_bytes()
    assert len(data) < 4096
    short = json.loads(data)
    assert (short["kind"], short["code"]) == ("user", "SB403")
    assert short["error"] == harness.store.uri(ran.attempt.prefix + "error.json")


def test_unwritable_termination_log_does_no_harm(harness: Harness) -> None:
    ran = harness.run(
        harness.request("raises"), environment={"STEPBRIDGE_TERMINATION_LOG": "/proc/no/such/place"}
    )
    assert ran.error.code == "SB402"


def test_store_that_is_gone_at_the_end_is_infra(harness: Harness, tmp_path: Path) -> None:
    request = harness.request("sleeps", 2)
    process = harness.start(request)
    wait_for(process, b"sleeping")
    root = Path(harness.settings.root.removeprefix("file://"))
    shutil.move(root, tmp_path / "moved")
    root.write_text("a file where the store was")
    output, _ = process.communicate(timeout=60)
    assert process.returncode in (3, 4), output
    assert json.loads(harness.termination.read_bytes())["kind"] in {"infra", "config"}


# -- the cache entry, and a second runner of the same attempt


def test_cache_entry_follows_the_result(harness: Harness) -> None:
    target = CacheTarget("dag.task", "k" * 64, {"code": "abc"})
    ran = harness.run(harness.request("makes_file", "cached", cache=target))
    assert (ran.result.cache, ran.result.key) == ("miss", target.key)
    entry = documents.load(CacheEntry, harness.store.get(target.path), place="entry")
    assert entry.output == ran.result.output
    assert entry.source == ran.attempt.prefix
    assert entry.record == {"code": "abc"}
    assert entry.seconds > 0
    again = harness.run(harness.request("makes_file", "other", cache=target))
    assert again.status == 0
    assert documents.load(CacheEntry, harness.store.get(target.path), place="entry") == entry


def test_second_runner_of_an_attempt_leaves_the_first_result(harness: Harness) -> None:
    request = harness.request("trivial")
    first = harness.run(request)
    kept = first.result
    second = harness.run(request)
    assert second.status == 0
    assert second.result == kept
    other = harness.run(dataclasses.replace(request, step="another"))
    assert other.status == 4
    assert "SB303" in other.lines
    assert other.result == kept


# -- usage


def test_usage(harness: Harness) -> None:
    usage = harness.call("allocates", 200).usage
    assert usage.peak_rss is not None
    assert 200 * 2**20 < usage.peak_rss < 400 * 2**20
    assert usage.cpu_seconds is not None
    assert usage.cpu_seconds > 0
    assert set(usage.phases) == {"fetch", "preflight", "run", "publish"}
    assert usage.phases["run"] >= 0.3
    assert usage.samples >= 2


def test_plain_value_in_a_python_tree(harness: Harness, tmp_path: Path) -> None:
    request = harness.request("kwargs_of", kwargs={"when": plain((1, 2), tmp_path)})
    assert harness.run(request).value == ["when"]


# -- shipped code


DAG_FILE = '''"""A DAG file."""
import os
from airflow.exceptions import AirflowSkipException
from airflow.models import Variable
from helper_beside import double

LIMIT = 3


class Checker:
    def check(self, n):
        if n > LIMIT:
            raise ValueError(f"too many: {n}")
        return n


def body(n, **context):
    """Doc."""
    if n == 0:
        raise AirflowSkipException("zero")
    return {"n": double(Checker().check(n)), "x": Variable.get("x", default_var=5), "ds": context["ds"]}
'''


def test_function_of_a_dag_file_runs_without_the_file(harness: Harness, tmp_path: Path) -> None:
    import importlib.util
    import sys

    from stepbridge.code.bundle import build
    from stepbridge.code.slicing import slice_callable

    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "helper_beside.py").write_text("def double(n):\n    return n * 2\n")
    # without Airflow's own imports, so that the test needs no Airflow
    text = DAG_FILE.replace("from airflow.exceptions", "from stepbridge.facade")
    (dags / "some_dag.py").write_text(text.replace("from airflow.models", "from stepbridge.facade"))
    sys.path.insert(0, str(dags))
    try:
        spec = importlib.util.spec_from_file_location("some_dag", dags / "some_dag.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["some_dag"] = module
        spec.loader.exec_module(module)
        piece = slice_callable(module.body, roots=[dags])
    finally:
        sys.path.remove(str(dags))
        sys.modules.pop("some_dag", None)
        sys.modules.pop("helper_beside", None)
    data = build(piece)
    digest = hashlib.sha256(data).hexdigest()
    harness.store.put(f"code/{digest}.zip", data)
    shutil.rmtree(dags)
    code = CodeRef("bundle", piece.entry, piece.digest, digest, piece.is_scope)

    def run(n: int) -> Ran:
        facts = context({"ds": "2026-01-02"}, tmp_path)
        return harness.run(harness.request("-", code=code, kwargs={"n": inline(n)}, context=facts))

    assert run(2).value == {"n": 4, "x": 5, "ds": "2026-01-02"}
    assert run(0).error.signal == "skip"
    error = run(9).error
    assert error.message == "too many: 9"
    assert str(harness.scratch) not in error.traceback
    line = DAG_FILE.splitlines().index('            raise ValueError(f"too many: {n}")') + 1
    assert f"line {line}, in check" in error.traceback
