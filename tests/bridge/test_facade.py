"""What a step's code sees in place of Airflow."""

from __future__ import annotations

import copy
import pprint
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from stepbridge import facade, values
from stepbridge.contract import ContextData, Inline, Pull
from stepbridge.facade import arguments
from stepbridge.facade.context import KEYS, Context, build, current, get_current_context
from stepbridge.facade.exceptions import signal_of
from stepbridge.facade.variables import VariableMissing
from stepbridge.failures import OperatorProblem, StepbridgeError, TypeProblem

MOMENT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def decode(value: Any, place: str) -> Any:
    return values.decode(value, values.UNANNOTATED, lambda leaf: None, place=place)  # type: ignore[arg-type,return-value]


@pytest.fixture
def make(tmp_path):
    def make(
        data: dict[str, Any] | None = None,
        *,
        pulls: tuple[Pull, ...] = (),
        complete: bool = False,
        **more: Any,
    ) -> tuple[Context, dict[str, object]]:
        pushed: dict[str, object] = {}
        encoded = {
            key: values.encode(value, values.UNANNOTATED, tmp_path, place=key)
            for key, value in (data or {}).items()
        }
        context = build(ContextData(encoded, pulls, complete, **more), decode=decode, push=pushed.__setitem__)
        return context, pushed

    return make


FULL = {
    "ds": "2026-01-02",
    "params": {"n": 1},
    "logical_date": MOMENT,
    "templates_dict": {"sql": "select 1"},
    "dag_run": {"run_id": "manual", "run_type": "manual", "conf": {"x": 1}, "logical_date": MOMENT},
    "ti": {"dag_id": "d", "task_id": "t", "run_id": "manual", "try_number": 2, "map_index": 4},
    "dag": {"dag_id": "d"},
    "task": {"task_id": "t"},
}


# -- values


def test_plain_keys_and_reduced_objects(make) -> None:
    context, _ = make(FULL)
    assert context["ds"] == "2026-01-02"
    assert context["params"]["n"] == 1
    assert context["templates_dict"] == {"sql": "select 1"}
    assert context["dag_run"].conf == {"x": 1}
    assert context["dag_run"].logical_date == MOMENT
    assert context["dag"].dag_id == "d"
    assert context["task"].task_id == "t"
    assert context["ti"] is context["task_instance"]
    ti = context["ti"]
    assert (ti.dag_id, ti.task_id, ti.run_id, ti.try_number, ti.map_index) == ("d", "t", "manual", 2, 4)
    assert ti.dag_run is context["dag_run"]
    assert ti.get_template_context() is context
    ti.log.info("works")


def test_instants_are_pendulums_where_pendulum_is(make) -> None:
    pendulum = pytest.importorskip("pendulum")
    context, _ = make(FULL)
    assert isinstance(context["logical_date"], pendulum.DateTime)
    assert context["logical_date"].add(days=1).to_date_string() == "2026-01-03"
    assert context["logical_date"].timezone_name == "UTC"
    assert isinstance(context["dag_run"].logical_date, pendulum.DateTime)


def test_keys_of_airflow_that_do_not_exist_are_key_errors(make) -> None:
    context, _ = make(FULL, names=("ds", "conf"))
    with pytest.raises(KeyError):
        context["never_heard_of"]
    assert context.get("never_heard_of") is None
    assert "run_id" not in context


def test_without_names_airflows_known_keys_count(make) -> None:
    context, _ = make({})
    assert set(context) >= KEYS
    assert "context" not in context


# -- what is withheld


USES = [
    str,
    bool,
    len,
    list,
    int,
    hash,
    "{}".format,
    lambda it: it.attribute,
    lambda it: it["item"],
    lambda it: it(),
    lambda it: it == 1,
    lambda it: it != 1,
    lambda it: it < 1,
    lambda it: it + 1,
    lambda it: 1 + it,
    lambda it: "x" in it,
    lambda it: f"{it}",
    lambda it: setattr(it, "x", 1),
    lambda it: it.__enter__(),
]


@pytest.mark.parametrize("use", USES)
def test_any_use_of_a_withheld_key_names_it(make, use: Any) -> None:
    context, _ = make({"ds": "x"}, names=("ds", "inlets"))
    with pytest.raises(OperatorProblem, match="SB504") as caught:
        use(context["inlets"])
    assert "inlets" in str(caught.value)
    assert 'from_context("inlets")' in str(caught.value)
    assert 'context_keys=["inlets"]' in str(caught.value)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("key", ["outlet_events", "task_state_store", "asset_state_store"])
def test_what_would_be_written_into_nothing_names_the_item(make, key: str, complete: bool) -> None:
    context, _ = make({"ds": "x"}, names=("ds", key), complete=complete)
    for use in (lambda it: it["goods"], lambda it: it.__setitem__("goods", 1)):
        with pytest.raises(OperatorProblem, match="SB504") as caught:
            use(context[key])
        assert caught.value.place == f"context[{key!r}]['goods']"
        assert "would reach nothing" in str(caught.value)
        assert "context_keys" not in str(caught.value)


def test_attributes_that_are_set_reach_nothing(make) -> None:
    context, _ = make(FULL)
    for name in ("ti", "dag_run", "dag", "task"):
        with pytest.raises(OperatorProblem, match=rf"SB504 at \w+\.note: 'note' .* {name!r}.*reach nothing"):
            context[name].note = "x"


def test_keys_that_are_set_are_told_once(make, caplog: pytest.LogCaptureFixture) -> None:
    context, _ = make({"ds": "x"})
    copied = copy.copy(context)
    copied["mine"] = {**context, "other": 1}
    assert caplog.records == []
    context["mine"] = 1
    context["mine"] = 2
    assert (context["mine"], type(copied)) == (2, type(context))
    assert [one.getMessage().partition(" is set")[0] for one in caplog.records] == ["context['mine']"]


def test_a_context_with_withheld_keys_can_be_printed_copied_and_passed_on(make) -> None:
    context, _ = make({"ds": "x"}, names=("ds", "inlets"))
    assert "<unavailable: inlets>" in repr(dict(context))
    assert "<unavailable: inlets>" in pprint.pformat(dict(context))
    assert context["inlets"] is not None
    copied = copy.deepcopy(context["inlets"])
    with pytest.raises(OperatorProblem, match="inlets"):
        str(copied)


def test_attributes_that_are_withheld(make) -> None:
    context, _ = make(FULL)
    for use in (
        lambda: context["dag_run"].start_date,
        lambda: context["ti"].hostname,
        lambda: context["task"].upstream_task_ids,
        lambda: getattr(context["dag"], "tags", None),
    ):
        with pytest.raises(OperatorProblem, match="SB504"):
            use()
    with pytest.raises(OperatorProblem, match=r"dag_run\.start_date"):
        _ = context["dag_run"].start_date


def test_in_a_complete_context_the_rest_is_no_plain_data(make) -> None:
    context, _ = make({"ds": "x"}, complete=True, names=("ds", "conf", "macros"))
    with pytest.raises(OperatorProblem, match="not plain data"):
        context["macros"].ds_add("x", 1)


# -- pulls and pushes


PULLS = (
    Pull(("a",), True, "return_value", Inline("json", {"n": 1})),
    Pull(("a",), True, "rows", Inline("json", 5)),
    Pull(("a", "b"), False, "return_value", Inline("json", [{"n": 1}, None])),
    Pull((), True, "own", Inline("json", "mine")),
)


def test_pulls_in_airflows_shapes(make) -> None:
    ti = make(FULL, pulls=PULLS)[0]["ti"]
    assert ti.xcom_pull("a") == {"n": 1}
    assert ti.xcom_pull(task_ids="a", key="rows") == 5
    assert ti.xcom_pull(task_ids="a", dag_id="d", run_id="manual") == {"n": 1}
    assert ti.xcom_pull(task_ids=["a", "b"]) == [{"n": 1}, None]
    assert ti.xcom_pull(task_ids=("a", "b"), default=0) == [{"n": 1}, 0]
    assert ti.xcom_pull(task_ids=["a"]) == [{"n": 1}]
    assert ti.xcom_pull(task_ids="b") is None
    assert ti.xcom_pull(task_ids="b", default=9) == 9
    assert ti.xcom_pull(key="own") == "mine"
    assert ti.xcom_pull(task_ids="a", map_indexes=None) == {"n": 1}


def test_each_pull_is_a_fresh_object(make) -> None:
    ti = make(FULL, pulls=PULLS)[0]["ti"]
    ti.xcom_pull("a")["n"] = 2
    assert ti.xcom_pull("a") == {"n": 1}


@pytest.mark.parametrize(
    "call",
    [
        {"task_ids": "c"},
        {"task_ids": "a", "key": "other"},
        {"task_ids": ["a", "c"]},
        {"task_ids": None},
        {"task_ids": "a", "dag_id": "another"},
        {"task_ids": "a", "run_id": "another"},
        {"task_ids": "a", "map_indexes": 1},
        {"task_ids": "a", "include_prior_dates": True},
    ],
)
def test_pulls_that_nobody_answered_name_the_binding(make, call: dict[str, Any]) -> None:
    ti = make(FULL, pulls=PULLS)[0]["ti"]
    with pytest.raises(OperatorProblem, match="SB505") as caught:
        ti.xcom_pull(**call)
    assert "from_xcom(" in str(caught.value)


def test_pushes_are_collected(make) -> None:
    context, pushed = make(FULL)
    context["ti"].xcom_push("n", 1)
    context["ti"].xcom_push(key="m", value={"x": 2})
    context["ti"].xcom_push("n", 3)
    assert pushed == {"n": 3, "m": {"x": 2}}


# -- the current context


def test_current_context_in_the_function_and_its_threads(make) -> None:
    context, _ = make(FULL)
    seen: list[object] = []
    with current(context):
        thread = threading.Thread(target=lambda: seen.append(get_current_context()["ds"]))
        thread.start()
        thread.join()
        assert get_current_context() is context
    assert seen == ["2026-01-02"]
    with pytest.raises(OperatorProblem, match="SB504"):
        get_current_context()
    with current(None), pytest.raises(OperatorProblem):
        get_current_context()


# -- arguments, as Airflow makes them


def arrange(
    function: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None, **context: Any
) -> Any:
    args, kwargs = arguments.arrange(function, args, kwargs or {}, context, place="d.t")
    return function(*args, **kwargs)


def test_named_parameters_get_context_keys_and_op_kwargs_win() -> None:
    assert arrange(lambda ds, n=1: (ds, n), (), {"n": 2}, ds="x", ti="t") == ("x", 2)
    assert arrange(lambda ds: ds, (), {"ds": "own"}, ds="x") == "own"
    assert arrange(lambda *, ds: ds, (), {}, ds="x") == "x"


def test_collecting_keywords_get_everything() -> None:
    assert arrange(lambda **kw: kw, (), {"a": 1}, ds="x", ti="t") == {"a": 1, "ds": "x", "ti": "t"}
    assert arrange(lambda a, **kw: (a, sorted(kw)), (1,), {}, ds="x") == (1, ["ds"])


def test_names_that_nobody_takes_are_left_out() -> None:
    assert arrange(lambda a=0: a, (), {"b": 1}, ds="x") == 0


def test_positional_arguments() -> None:
    assert arrange(lambda a, b, ds: (a, b, ds), (1, 2), {}, ds="x") == (1, 2, "x")
    assert arrange(lambda *a: a, (1, 2), {}, ds="x") == (1, 2)


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (lambda ds, n: n, ("first",), {"n": 1}),
        (lambda a, **kw: a, (1,), {"a": 2}),
        (lambda a: a, (), {}),
        (lambda a: a, (1, 2), {}),
        (lambda a, /: a, (), {"a": 1}),
    ],
)
def test_arguments_that_do_not_fit(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(TypeProblem, match="SB106") as caught:
        arrange(function, args, kwargs, ds="x")
    assert caught.value.place == "d.t"


def test_callables_without_a_signature_get_only_their_own() -> None:
    class Opaque:
        __signature__ = "none"

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return args, kwargs

    assert arrange(Opaque(), (1,), {"b": 2}, ds="x") == ((1,), {"b": 2})


# -- variables


def test_variables_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_LIMIT", "0.5")
    monkeypatch.setenv("AIRFLOW_VAR_CONFIG", '{"a": [1]}')
    assert facade.Variable.get("limit") == "0.5"
    assert facade.Variable.get("LIMIT") == "0.5"
    assert facade.Variable.get("config", deserialize_json=True) == {"a": [1]}
    assert facade.Variable.get("absent", 3) == 3
    assert facade.Variable.get("absent", default=None) is None
    assert facade.Variable.get("absent", default_var="x") == "x"
    assert facade.Variable.setdefault("limit", "1") == "0.5"


def test_missing_variable_is_a_key_error_that_says_what_to_do() -> None:
    with pytest.raises(KeyError, match="Variable absent does not exist") as caught:
        facade.Variable.get("absent")
    assert isinstance(caught.value, VariableMissing)
    assert isinstance(caught.value, StepbridgeError)
    assert 'variables=["absent"]' in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda: facade.Variable.set("a", 1),
        lambda: facade.Variable.set("a", 1, serialize_json=True),
        lambda: facade.Variable.update("a", 1),
        lambda: facade.Variable.delete("a"),
        lambda: facade.Variable.setdefault("a", 1),
    ],
)
def test_variables_cannot_be_changed(change: Any) -> None:
    with pytest.raises(OperatorProblem, match="cannot change"):
        change()


def test_var_of_the_context(make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_LIMIT", "0.5")
    var = make({})[0]["var"]
    assert var["value"].limit == "0.5"
    assert var.value.limit == "0.5"
    assert var["json"].limit == 0.5
    assert var["value"].get("absent", "d") == "d"
    with pytest.raises(KeyError):
        _ = var["value"].absent


# -- exceptions


def test_signals_by_name_whatever_the_class() -> None:
    class AirflowSkipException(Exception):
        """As Airflow's own."""

    class Mine(AirflowSkipException):
        """A project's subclass."""

    assert signal_of(facade.AirflowSkipException()) == "skip"
    assert signal_of(facade.AirflowFailException()) == "fail"
    assert signal_of(Mine()) == "skip"
    assert signal_of(facade.AirflowException()) == ""
    assert signal_of(ValueError()) == ""


@pytest.mark.airflow
@pytest.mark.filterwarnings("ignore:airflow.exceptions")
def test_airflows_own_exceptions_count() -> None:
    exceptions = pytest.importorskip("airflow.exceptions")
    assert signal_of(exceptions.AirflowSkipException()) == "skip"
    assert signal_of(exceptions.AirflowFailException()) == "fail"
