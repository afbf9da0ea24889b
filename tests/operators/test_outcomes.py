"""How a pod ended: every cause by its status as Kubernetes gives it, and which cause weighs more."""

from __future__ import annotations

import pickle
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pod_cases import (
    ASKED_FAIL,
    ATTEMPT,
    BACK_OFF,
    CASES,
    CPU,
    DRAINED,
    HOPEFUL,
    HOPELESS,
    PRECEDENCE,
    RAISED,
    SKIPPED,
    STOPPED,
    after_init,
    failed,
    pending,
    told,
    unschedulable,
)
from pods_seen import NAME, ended, event, facts, pod, running, waits

from stepbridge.contract import ErrorDocument
from stepbridge.failures import CODES, Kind, RunProblem
from stepbridge_airflow import outcomes
from stepbridge_airflow.compat import AirflowException, AirflowFailException, AirflowSkipException
from stepbridge_airflow.exceptions import BY_KIND, StepConfigError, StepFailed, StepUserError
from stepbridge_airflow.outcomes import Seen, ending, hopeless, waiting
from stepbridge_airflow.pod_facts import Condition, Container, Event, PodFacts


def seen_of(case: dict[str, Any]) -> Seen:
    found = facts(case["pod"], *case.get("events", ()))
    more = {key: value for key, value in case.items() if key not in {"pod", "events", "vanished"}}
    return Seen(found.vanished() if case.get("vanished") else found, **more)


@pytest.mark.parametrize(("case", "code", "words"), [one[1:] for one in CASES], ids=[one[0] for one in CASES])
def test_causes(case: dict[str, Any], code: str, words: list[str]) -> None:
    error = ending(seen_of(case), ATTEMPT)
    assert error.code == code, error.message
    assert error.kind == CODES[code].kind
    assert error.retryable is (error.kind != "config")
    assert error.attempt == ATTEMPT
    assert error.signal == ""
    assert error.message.startswith(f"{code} at pod ")
    assert ". Next: " in error.message
    for word in words:
        assert word in error.message, error.message
    if case["pod"] is not None:
        assert f"pod ml/{NAME}" in error.message


def test_every_row_of_the_table_is_tested() -> None:
    hit = set()
    for _, case, _, _ in CASES:
        seen = seen_of(case)
        hit.add(next(number for number, row in enumerate(outcomes.TABLE) if row.sees(seen)))
    own = {number for number, row in enumerate(outcomes.TABLE) if not row.code}
    stopped = {
        number for number, row in enumerate(outcomes.TABLE) if row.sees is outcomes._stopped_by_deletion
    }
    assert hit | own | stopped == set(range(len(outcomes.TABLE)))


def test_codes_of_pods_are_all_in_the_table() -> None:
    rows = {row.code for row in outcomes.TABLE if row.code}
    assert {code for code in CODES if "SB420" <= code < "SB439"} <= rows


@pytest.mark.parametrize(
    ("error", "case", "code"), [one[1:] for one in PRECEDENCE], ids=[one[0] for one in PRECEDENCE]
)
def test_precedence(error: ErrorDocument | None, case: dict[str, Any], code: str) -> None:
    found = ending(seen_of({**case, "error": error}), ATTEMPT)
    assert found.code == code, found.message
    if error is None:
        return
    if found.code == error.code and error.kind == found.kind and found.message == error.message:
        assert found == error
    else:
        assert error.message in found.message
        assert found.traceback == error.traceback
        assert found.kind == CODES[code].kind
        assert not found.signal


def test_an_own_error_stays_untouched() -> None:
    assert ending(seen_of({"pod": DRAINED, "error": RAISED}), ATTEMPT) is RAISED


def message_of(error: ErrorDocument, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> str:
    """What the runner leaves in the pod for *error*."""
    from stepbridge.runner.report import tell_kubelet

    monkeypatch.setenv("STEPBRIDGE_TERMINATION_LOG", str(tmp_path / "termination-log"))
    tell_kubelet(error, "s3://bucket/runs/error.json")
    return (tmp_path / "termination-log").read_text()


@pytest.mark.parametrize(
    ("error", "document", "code"),
    [
        (RAISED, failed, "SB402"),
        (told("infra", "SB305", "no store " * 2000), failed, "SB305"),
        (told("config", "SB208"), failed, "SB208"),
        (SKIPPED, failed, "SB402"),
        (STOPPED, lambda code, message: pod(ended(code, message=message), deleted=True), "SB433"),
        (told("infra", "SB408"), lambda code, message: failed(code, "OOMKilled", message), "SB406"),
    ],
    ids=["user", "infra", "config", "skip", "interrupted and deleted", "died of memory"],
)
def test_the_termination_message_stands_in(
    error: ErrorDocument, document: Any, code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    message = message_of(error, monkeypatch, tmp_path)
    found = ending(Seen(facts(document(4, message=message)), log_tail="lines of the log"), ATTEMPT)
    assert found.code == code
    if code == error.code:
        assert (found.kind, found.type, found.signal, found.retryable) == (
            error.kind, error.type, error.signal, error.retryable
        )  # fmt: skip
        assert error.message.startswith(found.message)
        assert len(found.message) > min(len(error.message), 3000) - 1


@pytest.mark.parametrize(
    "message",
    ['{"kind": "user"}', '{"kind": "x", "code": "SB402"}', '{"kind": "user", "code": "SB999"}', "[1]", "4",
     '{"kind": ["user"], "code": {}}', "[" * 5000,
     '{"kind": "preempted", "code": 4}'],
)  # fmt: skip
def test_other_termination_messages_are_only_words(message: str) -> None:
    assert ending(Seen(facts(failed(1, message=message))), ATTEMPT).code == "SB410"


def test_the_logs_tail_is_bounded_and_only_where_the_runner_said_nothing() -> None:
    tail = "x" * 5000 + "the last line"
    found = ending(Seen(facts(failed(139)), log_tail=tail), ATTEMPT)
    assert found.message.endswith("the last line")
    assert 2000 < len(found.message) < 3000
    assert "last line" not in ending(Seen(facts(DRAINED), error=STOPPED, log_tail=tail), ATTEMPT).message


def test_long_words_of_the_cluster_are_cut() -> None:
    found = ending(Seen(facts(unschedulable("a" * 40_000)), over="schedule"), ATTEMPT)
    assert len(found.message) < 3000


@pytest.mark.parametrize("name", sorted(HOPELESS | HOPEFUL))
def test_hopeless(name: str) -> None:
    case = next(one[1] for one in CASES if one[0] == name)
    if name == "deleted while it runs":
        case = {"pod": pod(waits("ContainerCreating"), phase="Pending", deleted=True)}
    assert hopeless(seen_of(case).facts) is (name in HOPELESS)


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ({"pod": unschedulable(CPU)}, f"waits for a node: Unschedulable: {CPU}"),
        (
            {
                "pod": unschedulable(CPU),
                "events": [event("Nominated", "Pod should schedule on: nodeclaim/gpu-7x", type="Normal")],
            },
            f"waits for a node: Unschedulable: {CPU} (Nominated: Pod should schedule on: nodeclaim/gpu-7x)",
        ),
        ({"pod": pod(node=None, phase="Pending")}, "waits for a node: no word from the scheduler"),
        (
            {"pod": pending("ImagePullBackOff", BACK_OFF)},
            f"waits for the image: ImagePullBackOff: {BACK_OFF}",
        ),
        (
            {"pod": after_init(running("fetch"))},
            "waits for init container fetch, which runs on node gpu-node-3",
        ),
        ({"pod": pending("ContainerCreating")}, "waits for the start on node gpu-node-3: ContainerCreating"),
        ({"pod": pod(running())}, f"runs in pod ml/{NAME} on node gpu-node-3"),
        ({"pod": None}, ""),
        ({"pod": failed(1)}, ""),
    ],
)
def test_waiting(case: dict[str, Any], text: str) -> None:
    assert waiting(seen_of(case).facts) == text


def test_waiting_is_one_line() -> None:
    seen = facts(pending("CreateContainerError", "first\nsecond\n\tthird"))
    assert waiting(seen).endswith("first second third")


TEXT = st.text(max_size=30) | st.sampled_from(
    [
        *(
            "",
            "Evicted",
            "OOMKilled",
            "DeadlineExceeded",
            "ErrImagePull",
            "StartError",
            "CreateContainerError",
        ),
        *(
            "Unknown",
            "exceeded quota",
            "not found",
            "429",
            '{"message": 4}',
            '{"kind":"user","code":"SB402"}',
        ),
        *("PodInitializing", 'exec: "a": no such file', "NodeLost", "TerminationByKubelet", "FailedMount"),
        'cannot get resource "pods"',
    ]
)
CONTAINERS = st.builds(
    Container,
    name=st.sampled_from(["base", "fetch"]),
    state=st.sampled_from(["unknown", "waiting", "running", "terminated"]),
    reason=TEXT,
    message=TEXT,
    exit_code=st.none() | st.integers(-300, 300),
    signal=st.none() | st.integers(0, 70),
    sidecar=st.booleans(),
)
FACTS = st.builds(
    PodFacts,
    there=st.booleans(),
    node=st.sampled_from(["", "n"]),
    phase=st.sampled_from(["", "Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    reason=TEXT,
    message=TEXT,
    deleting=st.booleans(),
    conditions=st.dictionaries(
        st.sampled_from(["DisruptionTarget", "Ready", "PodScheduled"]),
        st.builds(Condition, st.sampled_from(["True", "False"]), TEXT, TEXT),
    ),
    base=CONTAINERS,
    init=st.lists(CONTAINERS, max_size=2).map(tuple),
    events=st.lists(
        st.builds(Event, TEXT, TEXT | st.sampled_from(["Failed", "FailedMount"]), TEXT), max_size=2
    ).map(tuple),
)
ERRORS = st.none() | st.builds(
    ErrorDocument,
    attempt=st.just(ATTEMPT),
    kind=st.sampled_from(get_args(Kind)),
    type=st.just("ValueError"),
    message=TEXT,
    code=st.sampled_from(sorted(CODES)),
    signal=st.sampled_from(["", "skip", "fail"]),
)
SEEN = st.builds(
    Seen,
    facts=FACTS,
    error=ERRORS,
    killed=st.booleans(),
    over=st.sampled_from(["", "schedule", "pull", "start", "run", "total"]),
    api=TEXT,
    api_status=st.sampled_from([0, 200, 400, 401, 403, 404, 409, 410, 422, 429, 500, 503]),
    log_tail=TEXT,
)


@settings(max_examples=400, deadline=None)
@given(SEEN)
def test_whatever_is_seen_has_an_ending(seen: Seen) -> None:
    found = ending(seen, ATTEMPT)
    assert found.code in CODES
    assert found.kind in get_args(Kind)
    if seen.error is None or found.code != seen.error.code:
        assert found.message or found.type
    assert "\n" not in waiting(seen.facts)
    assert hopeless(seen.facts) in {True, False}
    if seen.error is not None and seen.error.signal:
        assert found is seen.error
    assert isinstance(outcomes.exception_of(found), AirflowException | AirflowSkipException)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_exceptions(kind: Kind) -> None:
    made = outcomes.exception_of(told(kind, "SB402"))
    assert type(made) is BY_KIND[kind]
    assert isinstance(made, AirflowException)
    assert isinstance(made, AirflowFailException) is (kind == "config")
    again = pickle.loads(pickle.dumps(made))
    assert (type(again), str(again), again.kind, again.code) == (type(made), str(made), kind, "SB402")
    assert "its words" in str(made)


def test_signals_are_airflows_own_exceptions() -> None:
    assert isinstance(outcomes.exception_of(SKIPPED), AirflowSkipException)
    failed_on_purpose = outcomes.exception_of(ASKED_FAIL)
    assert isinstance(failed_on_purpose, StepFailed)
    assert isinstance(failed_on_purpose, StepUserError)
    assert isinstance(failed_on_purpose, AirflowFailException)


def test_the_operators_own_errors() -> None:
    made = outcomes.exception_for(RunProblem("SB421", "the namespace is not there", place="p"))
    assert isinstance(made, StepConfigError)
    assert (made.kind, made.code) == ("config", "SB421")


@pytest.mark.parametrize("kind", get_args(Kind))
def test_what_is_repeated(kind: Kind) -> None:
    assert outcomes.repeats(told(kind, "SB402")) is (kind in {"infra", "preempted", "preflight"})
    assert not outcomes.repeats(told(kind, "SB402", signal="fail"))
