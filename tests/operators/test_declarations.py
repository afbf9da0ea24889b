"""What is checked and answered without running a task: provider, settings, bindings, arguments, outcomes."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stepbridge.artifact import Artifact
from stepbridge.contract import Attempt, Fields, Inline, Items, Stored
from stepbridge.failures import OperatorProblem, TypeProblem
from stepbridge_airflow import from_context, from_variable, from_xcom

ATTEMPT = Attempt("d", "r", "t")


def test_provider_info_imports_no_airflow() -> None:
    code = (
        "import sys\n"
        "from stepbridge_airflow.provider_info import get_provider_info\n"
        "get_provider_info()\n"
        "import stepbridge_airflow; dir(stepbridge_airflow)\n"
        "heavy = ('airflow', 'kubernetes', 'pandas', 'pyarrow')\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in heavy]\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_provider_info_fits_airflows_schema() -> None:
    import json

    import airflow
    from jsonschema import validate

    from stepbridge_airflow.provider_info import get_provider_info

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    validate(get_provider_info(), schema)


def test_every_option_is_known_to_airflow_with_its_default() -> None:
    from airflow.providers_manager import ProvidersManager

    from stepbridge_airflow.compat import conf
    from stepbridge_airflow.provider_info import OPTIONS

    ProvidersManager().initialize_providers_configuration()
    for name, option in OPTIONS.items():
        assert (conf.get("stepbridge", name, fallback=None) or "") == option["default"], name


class TestSettings:
    def test_defaults(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from stepbridge_airflow import config

        monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
        settings = config.read()
        assert settings.store.root == f"file://{tmp_path}/stepbridge"
        assert (settings.backend, settings.python, settings.grace) == ("local", sys.executable, 10.0)

    def test_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from stepbridge_airflow import config

        for name, value in {
            "STORE": "s3://bucket/prefix/",
            "ENDPOINT": "http://minio:9000",
            "PATH_STYLE": "true",
            "ENCRYPTION": "aws:kms",
            "ROOTS": "/a:/b",
        }.items():
            monkeypatch.setenv(f"AIRFLOW__STEPBRIDGE__{name}", value)
        settings = config.read()
        assert settings.store.root == "s3://bucket/prefix"
        assert (settings.store.endpoint, settings.store.path_style) == ("http://minio:9000", True)
        assert settings.roots == (Path("/a"), Path("/b"))
        assert config.read(store="file:///x/").store.root == "file:///x"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("STORE", "gs://bucket"),
            ("ENCRYPTION", "rot13"),
            ("PATH_STYLE", "maybe"),
            ("INLINE_LIMIT", "big"),
            ("GRACE", "-1"),
        ],
    )
    def test_invalid(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        from stepbridge_airflow import config

        monkeypatch.setenv(f"AIRFLOW__STEPBRIDGE__{name}", value)
        with pytest.raises(OperatorProblem, match=f"SB502.*AIRFLOW__STEPBRIDGE__{name}"):
            config.read()


class TestBindings:
    def context(self) -> dict[str, Any]:
        pulled: list[tuple[Any, ...]] = []

        def pull(task_ids: Any = None, key: str = "", **more: Any) -> Any:
            pulled.append((task_ids, key, more))
            return {"a": (1, 2)}[task_ids] if isinstance(task_ids, str) else [task_ids]

        return {"ti": SimpleNamespace(xcom_pull=pull, try_number=2), "ds": "2026-01-01", "pulled": pulled}

    def test_native_types_however_deep(self) -> None:
        from stepbridge_airflow.bindings import resolve

        value = {"x": [from_xcom("a"), {"y": (from_context("ds"), 3)}], "z": from_xcom(["a", "b"], key="k")}
        assert resolve(value, self.context()) == {
            "x": [(1, 2), {"y": ("2026-01-01", 3)}],
            "z": [["a", "b"]],
        }

    def test_map_indexes_reach_the_pull(self) -> None:
        from stepbridge_airflow.bindings import resolve

        context = self.context()
        resolve([from_xcom("a", map_indexes=[0, 1]), from_xcom("a", map_indexes=3), from_xcom("a")], context)
        assert [more for _, _, more in context["pulled"]] == [{"map_indexes": [0, 1]}, {"map_indexes": 3}, {}]

    def test_missing_context_key(self) -> None:
        from stepbridge_airflow.bindings import resolve

        with pytest.raises(OperatorProblem, match=r"SB503.*nothing_like_it"):
            resolve(from_context("nothing_like_it"), {"ds": "x"})

    def test_copies_keep_the_missing_default(self) -> None:
        for marker in (from_variable("v"), from_variable("v", 0.5), from_xcom("a", map_indexes=[1])):
            assert copy.deepcopy(marker) == marker == pickle.loads(pickle.dumps(marker))

    def test_text_is_deterministic(self) -> None:
        assert str([from_xcom("a"), from_variable("v"), from_context("ds")]) == (
            "[FromXCom(task_id='a', key='return_value', map_indexes=None), "
            "FromVariable(name='v', default=MISSING, deserialize_json=False), FromContext(key='ds')]"
        )


class TestArguments:
    def check(self, function: Any, args: Any = (), kwargs: Any = None, **more: Any) -> None:
        from stepbridge_airflow.arguments import check

        check(function, args, kwargs or {}, place="here", **more)

    def test_what_python_operator_takes_is_taken(self) -> None:
        self.check(lambda a, b=1: 0, [1])
        self.check(lambda a: 0, [], {"a": 1, "unused": 2})
        self.check(lambda ds, ti=None, **context: 0)
        self.check(lambda *a, k: 0, [1, 2, 3], {"k": 1})
        self.check(lambda a: 0, "an XComArg", {"a": 1})
        self.check(lambda a: 0, complete=False)

    @pytest.mark.parametrize(
        ("function", "args", "kwargs", "says"),
        [
            (lambda a: 0, [], {}, "'a'"),
            (lambda a: 0, [1, 2], {}, "1 positional"),
            (lambda a: 0, [1], {"a": 2}, "op_kwargs"),
            (lambda ds: 0, [1], {}, "Airflow's context"),
            (lambda *, k: 0, [], {}, "'k'"),
        ],
    )
    def test_what_cannot_work_is_refused(self, function: Any, args: Any, kwargs: Any, says: str) -> None:
        with pytest.raises(TypeProblem, match=f"SB106.*{says}"):
            self.check(function, args, kwargs)

    def test_names_for_the_key(self) -> None:
        from stepbridge_airflow.arguments import name_arguments

        found = name_arguments(lambda a, *rest, k, **wild: 0, [1, 2, 3], {"k": 4, "w": 5}, place="here")
        assert [(one.name, one.parameter) for one in (*found.args, *found.kwargs)] == [
            ("a", "a"),
            ("*rest[0]", "rest"),
            ("*rest[1]", "rest"),
            ("k", "k"),
            ("w", "wild"),
        ]
        assert not name_arguments(lambda: 0, [], {"unused": 1}, place="here").kwargs


def stored(digest: str = "a" * 64) -> Stored:
    uri = f"s3://b/p/artifacts/aa/{digest}/data.parquet"
    return Stored(Artifact(uri, digest, "c", "pandas.DataFrame", "parquet", 7))


class TestXCom:
    def test_details(self) -> None:
        from stepbridge_airflow.xcom import details

        value = Fields({"t": stored(), "n": Inline("json", 3), "l": Items("list", (stored(), stored()))})
        found = details(
            step="s",
            outputs={"return_value": value},
            cache="hit",
            key="k",
            reason="",
            run="file:///r",
            source="",
            seconds=0.1234567,
        )
        assert list(found["artifacts"]) == ["return_value.t", "return_value.l[0]", "return_value.l[1]"]
        assert found["seconds"] == 0.123

    def test_values_instead_of_uris(self) -> None:
        from stepbridge_airflow.xcom import view

        value = Items("tuple", (stored(), Fields({"n": Inline("json", 3)})))
        assert view(value, lambda artifact: artifact.type) == ("pandas.DataFrame", {"n": 3})


class TestContext:
    def test_plain_values_only(self) -> None:
        from stepbridge_airflow.context import collect

        when = datetime(2026, 1, 2, tzinfo=UTC)
        context = {
            "ds": "2026-01-02",
            "logical_date": when,
            "params": {"a": [1, {"b": None}]},
            "dag_run": SimpleNamespace(run_id="r", conf={"k": 1}, run_type="manual", odd=object()),
            "ti": SimpleNamespace(task_id="t", try_number=2, xcom_pull=print),
            "macros": object(),
            "outlets": [object()],
        }
        found = collect(context, None)
        assert found["dag_run"] == {"run_id": "r", "conf": {"k": 1}, "run_type": "manual"}
        assert found["ti"] == {"task_id": "t", "try_number": 2}
        assert found["logical_date"] == when
        assert found["try_number"] == 2
        assert "macros" not in found
        assert collect(context, ["ds", "macros", "outlets", "yesterday_ds"]) == {
            "ds": "2026-01-02",
            "yesterday_ds": "2026-01-01",
        }

    def test_dotted_paths(self) -> None:
        from stepbridge_airflow.bindings import resolve

        context = {"dag_run": SimpleNamespace(run_id="r", conf={"k": {"z": 1}})}
        assert resolve(from_context("dag_run.conf.k"), context) == {"z": 1}

    def test_values_of_pendulum_become_plain(self) -> None:
        import pendulum

        from stepbridge_airflow.context import plain

        assert type(plain(pendulum.datetime(2026, 1, 2))) is datetime
        assert type(plain(pendulum.duration(days=40))) is timedelta
        assert plain(pendulum.duration(days=40)) == timedelta(days=40)


class TestResourcesOfDefaultArgs:
    DAG = """
GIVEN = {"resources": Resources(cpu=1), "retries": 1}

@step
def plain(n): ...

@step(resources=Resources(cpu=2))
def own(n): ...

with DAG("DAG_ID", start_date=START, schedule=None, default_args=GIVEN):
    StepOperator(task_id="one", python_callable=lambda n: n, op_kwargs={"n": 1})
    StepOperator(
        task_id="one_own", python_callable=lambda n: n, op_kwargs={"n": 1}, resources=Resources(cpu=2)
    )
    StepOperator.partial(task_id="all", python_callable=lambda n: n).expand(op_kwargs=[{"n": 1}])
    StepOperator.partial(
        task_id="all_own", python_callable=lambda n: n, resources=Resources(cpu=2)
    ).expand(op_kwargs=[{"n": 1}])
    plain.override(task_id="made")(1)
    own.override(task_id="made_own")(1)
    plain.override(task_id="each").expand(n=[1])
    own.override(task_id="each_own").expand(n=[1])
    with TaskGroup("group", default_args={"resources": Resources(cpu=3)}):
        StepOperator(task_id="one", python_callable=lambda n: n, op_kwargs={"n": 1})
        plain.override(task_id="each").expand(n=[1])
"""

    def test_they_are_the_steps_and_not_airflows(self, lab: Any) -> None:
        from stepbridge.resources import Resources

        dag = lab.load(lab.write(self.DAG))
        found = {}
        for task in dag.tasks:
            mapped = hasattr(task, "unmap")
            operator = task.unmap({"op_kwargs": {"n": 1}}) if mapped else task
            found[task.task_id] = operator.step.resources
            assert operator.retries == 1
            assert operator.resources is None
        ones = {name: Resources(cpu=1) for name in ("one", "all", "made", "each")}
        own = {f"{name}_own": Resources(cpu=2) for name in ones}
        assert found == {**ones, **own, "group.one": Resources(cpu=3), "group.each": Resources(cpu=3)}

    def test_a_dag_with_them_can_be_kept_by_the_scheduler(self, lab: Any) -> None:
        dag = lab.load(lab.write(self.DAG))
        try:
            from airflow.serialization.serialized_objects import DagSerialization as Serialized
        except ImportError:
            from airflow.serialization.serialized_objects import SerializedDAG as Serialized
        assert Serialized.from_dict(Serialized.to_dict(dag)).dag_id == dag.dag_id


def test_link_opens_the_bucket() -> None:
    from stepbridge_airflow.links import page_of

    assert (
        page_of("s3://b/p/runs/d/r/") == "https://s3.console.aws.amazon.com/s3/buckets/b?prefix=p/runs/d/r/"
    )
    assert page_of("file:///x/runs/") == "file:///x/runs/"
