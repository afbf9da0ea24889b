"""``single_flight``, pins, reasons and images under real Airflow: one runs, the others take what it left."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from podlab import DEFERRED, PodLab, faults, pods  # noqa: F401 - the fixture
from test_pods_reattach import COUNTED, Tries

from stepbridge.cache.lease import Lease
from stepbridge.contract import CacheTarget, StoreSettings
from stepbridge.store.opening import open_store, store_at

sys.path.append(str(Path(__file__).resolve().parents[1] / "bridge"))
import servers

DETAILS = "stepbridge"
STEP = """
def helper(n):
    return n + {add}

def work(n, verbose=False):
    import time
    from pathlib import Path
    with (Path({flags!r}) / "count").open("a") as file:
        file.write("x")
    time.sleep({sleep})
    {body}
    return helper(n)

with DAG("DAG_ID", start_date=START, schedule=None{defaults}):
    StepOperator(task_id="work", python_callable=work, op_kwargs={{"n": {n}}}, step_id="flight",
                 {arguments})
"""
FLIGHT = "cache='auto', single_flight=True"


class Case:
    """One step in several versions, and how often it ran."""

    def __init__(self, lab: Any, flags: Path) -> None:
        self.lab, self.flags = lab, flags
        flags.mkdir(exist_ok=True)

    def load(self, arguments: str = FLIGHT, **change: Any) -> Any:
        base = {"add": 1, "sleep": 0, "body": "pass", "n": 1, "defaults": ""}
        text = STEP.format(**{**base, **change}, flags=str(self.flags), arguments=arguments)
        return self.lab.load(self.lab.write(text))

    def run(self, arguments: str = FLIGHT, *, expect: str = "success", **change: Any) -> Any:
        done = self.lab.test(self.load(arguments, **change))
        assert done.state == expect, done.states
        return done

    @property
    def count(self) -> int:
        file = self.flags / "count"
        return len(file.read_text()) if file.exists() else 0

    def leases(self) -> list[dict[str, Any]]:
        """The leases in the store, held or given up."""
        return [json.loads(one.read_text()) for one in (self.lab.store / "leases").rglob("*.json")]

    def held(self) -> list[dict[str, Any]]:
        return [one for one in self.leases() if not one["released"]]

    def forgotten(self, **change: Any) -> tuple[CacheTarget, dict[Path, bytes]]:
        """Run once, and take the entry away: the key, and the entry's files to put back."""
        details = self.run(**change).xcom("work", DETAILS)
        target = CacheTarget("flight", details["key"])
        files = {path: path.read_bytes() for path in (self.lab.store / "cache").rglob("*.json")}
        for path in files:
            path.unlink()
        return target, files

    def lease(self, target: CacheTarget, ttl: float) -> Lease:
        """The lease in another's hands."""
        lease = Lease(store_at(self.lab.store.as_uri()), target, "runs/other/", ttl=ttl)
        assert lease.acquire() is None
        return lease


@pytest.fixture
def case(lab: Any, tmp_path: Path) -> Case:
    return Case(lab, tmp_path / "flags")


def details(run: Any) -> dict[str, Any]:
    found = run.xcom("work", DETAILS)
    assert isinstance(found, dict)
    return found


def said(capfd: Any) -> str:
    return "".join(capfd.readouterr())


# one flies, the others wait --------------------------------------------------------------------------------


def test_a_step_runs_and_gives_its_lease_up(case: Case) -> None:
    first, second = case.run(), case.run()
    assert (details(first)["cache"], details(second)["cache"], case.count) == ("miss", "hit", 1)
    (lease,) = case.leases()
    assert lease["released"]
    assert lease["holder"] in details(first)["run"]


def test_a_waiter_takes_the_result(case: Case, capfd: Any) -> None:
    target, files = case.forgotten()
    lease = case.lease(target, ttl=60)

    def commit() -> None:
        time.sleep(2)
        for path, data in files.items():
            path.write_bytes(data)
        lease.release()

    other = threading.Thread(target=commit)
    capfd.readouterr()
    other.start()
    run = case.run()
    other.join()
    assert (details(run)["cache"], run.xcom("work"), case.count) == ("hit", 2, 1)
    assert "waiting for its result in the triggerer" in said(capfd)
    assert case.held() == []


def test_a_dead_holder_is_followed_by_one_run(case: Case) -> None:
    target, _ = case.forgotten()
    case.lease(target, ttl=0.5)
    run = case.run()
    assert (details(run)["cache"], run.xcom("work"), case.count) == ("miss", 2, 2)
    assert case.held() == []
    assert details(case.run())["cache"] == "hit"


def test_a_failure_gives_the_lease_up(case: Case) -> None:
    case.run(body="raise ValueError('no rows')", expect="failed")
    assert len(case.leases()) == 1
    assert case.held() == []
    began = time.monotonic()
    case.run(body="raise ValueError('no rows')", expect="failed")
    assert case.count == 2
    assert time.monotonic() - began < 30


def test_a_store_that_fails_before_the_run_leaves_no_lease(case: Case) -> None:
    """The lease is taken, and then the code cannot be shipped: no heartbeat may go on without a run."""
    threads = {one.name for one in threading.enumerate()}
    code = case.lab.store / "code"
    code.write_text("in the way")
    case.run(expect="failed")
    assert case.held() == []
    assert not any(one.name == "stepbridge-lease" for one in threading.enumerate()), threads
    code.unlink()
    assert details(case.run())["cache"] == "miss"


def _fork(case: Case, dag: Any, number: int, home: Path) -> int:
    """Run *dag* in a fork with a database of its own; what it pushed goes to a file."""
    from airflow import settings

    pid = os.fork()
    if pid:
        return pid
    status = 3
    try:
        settings.engine.dispose(close=False)
        _own_database(home / f"airflow{number}.db")
        case.lab.number = 2000 + number
        run = case.lab.test(dag)
        found = {"state": run.state, "value": run.xcom("work"), **(run.xcom("work", DETAILS) or {})}
        (home / f"{number}.json").write_text(json.dumps(found))
        status = 0
    except BaseException:  # noqa: BLE001 - the fork of a test must not go on as pytest
        (home / f"{number}.txt").write_text(traceback.format_exc())
    os._exit(status)


def _own_database(copy: Path) -> None:
    from airflow import settings
    from podlab import _forget_threads

    shutil.copy(settings.engine.url.database, copy)
    os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{copy}"
    settings.configure_vars()
    settings.configure_orm()
    _forget_threads()


@pytest.mark.parametrize("dead_holder", [False, True], ids=["free", "dead holder"])
def test_many_processes_and_one_run(case: Case, tmp_path: Path, dead_holder: bool) -> None:
    before = 0
    if dead_holder:
        target, _ = case.forgotten(sleep=1.5)
        case.lease(target, ttl=1)
        before = 1
    else:
        case.lab.test(case.lab.load(case.lab.write('with DAG("DAG_ID", start_date=START): pass\n')))
    dag = case.load(sleep=1.5)
    pids = [_fork(case, dag, number, tmp_path) for number in range(8)]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert statuses == [0] * 8, [one.read_text() for one in tmp_path.glob("*.txt")][:1]
    ends = [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(8)]
    assert [(one["state"], one["value"]) for one in ends] == [("success", 2)] * 8
    assert sorted(one["cache"] for one in ends) == ["hit"] * 7 + ["miss"]
    assert case.count == before + 1
    assert case.held() == []


# in pods ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pod_case(pods: PodLab) -> Iterator[Case]:
    case = PodCase(pods)
    yield case
    pods.assert_nothing_left()


class PodCase(Case):
    """The same in pods."""

    def __init__(self, pods: PodLab) -> None:
        super().__init__(pods.lab, pods.flags)
        self.pods = pods

    def load(self, arguments: str = FLIGHT, **change: Any) -> Any:
        pod = {"namespace": "default", "config_file": str(self.pods.cluster.kubeconfig)}
        change.setdefault("defaults", f", default_args={ {**pod, 'image': 'registry/steps:1'}!r}")
        return super().load(arguments, **change)


HOLD = """limit = time.monotonic() + 60
    while not (Path({flags!r}) / "go").exists() and time.monotonic() < limit:
        time.sleep(0.05)"""


def test_a_deferred_pod_keeps_its_lease(pod_case: PodCase) -> None:
    """Handed over for as long as the pod may take, kept by the pod once it runs, given up with the result.

    A pod that dies then holds the others up for the lease's own minute, not for the run's budget.
    """
    seen: list[float] = []

    def look() -> None:
        pod_case.pods.cluster.wait_for(lambda: pod_case.held() and pod_case.held()[0]["ttl"] > 600, 60)
        pod_case.pods.cluster.wait_for(lambda: pod_case.held()[0]["ttl"] <= 60, 60)
        seen.append(pod_case.held()[0]["ttl"])
        pod_case.pods.flag("go").touch()

    pod_case.pods.cluster.inject(faults.SlowPull(2))
    pod_case.pods.meanwhile(look)
    run = pod_case.run(f"{FLIGHT}, {DEFERRED}", body=HOLD.format(flags=str(pod_case.flags)))
    assert (details(run)["cache"], run.xcom("work"), len(seen)) == ("miss", 2, 1)
    assert len(pod_case.leases()) == 1
    assert pod_case.held() == []


def test_a_waiter_starts_no_pod(pod_case: PodCase) -> None:
    target, files = pod_case.forgotten()
    lease = pod_case.lease(target, ttl=60)

    def commit() -> None:
        time.sleep(1.5)
        for path, data in files.items():
            path.write_bytes(data)
        lease.release()

    pod_case.pods.meanwhile(commit)
    run = pod_case.run()
    assert (details(run)["cache"], len(pod_case.pods.created())) == ("hit", 1)


AT = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32


def test_the_image_counts_by_its_digest(pod_case: PodCase) -> None:
    def run(image: str) -> str:
        pod = {
            "namespace": "default",
            "config_file": str(pod_case.pods.cluster.kubeconfig),
            "image": image,
        }
        return str(details(pod_case.run("cache='auto'", defaults=f", default_args={pod!r}"))["cache"])

    assert run("registry/steps:1") == "miss"
    assert run("registry/steps:2") == "miss"
    assert run("registry/steps:1") == "hit"
    assert run(f"registry/steps:1@{AT}") == "miss"
    assert run(f"mirror/steps:latest@{AT}") == "hit"
    assert run(f"registry/steps:1@{OTHER}") == "miss"


IMAGE_CODE = """
import posixpath
with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD):
    StepOperator(task_id="work", python_callable=posixpath.basename, op_args=["a/b"], code="image",
                 cache="auto", context_keys=[], step_id="image_code", image={image!r})
"""


def test_code_of_an_image_caches_by_digest_only(pods: PodLab, capfd: Any) -> None:
    by_digest = IMAGE_CODE.format(image=f"registry/steps@{AT}")
    runs = [pods.run(by_digest) for _ in range(2)]
    assert [details(run)["cache"] for run in runs] == ["miss", "hit"]
    assert runs[1].xcom("work") == "b"
    capfd.readouterr()
    pods.run(IMAGE_CODE.format(image="registry/steps:1"), expect="failed")
    assert "SB601" in said(capfd)
    assert len(pods.created()) == 1
    pods.assert_nothing_left()


def test_the_rules_of_the_cache_hold_for_pods(pod_case: PodCase) -> None:
    def state(arguments: str, **change: Any) -> str:
        return str(details(pod_case.run(arguments, **change))["cache"])

    assert state("cache='auto', ignore=['verbose']") == "miss"
    assert state("cache='auto', ignore=['verbose']", n="1, 'verbose': True") == "hit"
    assert state("cache='auto', ignore=['verbose'], max_age=timedelta(days=1)") == "hit"
    assert state("cache='auto', ignore=['verbose'], max_age=timedelta(microseconds=1)") == "miss"
    assert state("cache='refresh', ignore=['verbose']") == "miss"
    assert state("cache='auto', ignore=['verbose']") == "hit"
    assert pod_case.count == 3
    assert state("cache='auto', context_keys=['ds']") == "miss"
    pod_case.lab.number -= 1
    assert state("cache='auto', context_keys=['ds']") == "hit"
    assert state("cache='auto', context_keys=['ds']") == "miss"


# what is said ----------------------------------------------------------------------------------------------


PIN = "cache='auto', cache_version='7'"


def test_a_pin_warns_when_the_code_under_it_changed(case: Case, capfd: Any) -> None:
    assert "warning" not in details(case.run(PIN))
    same = details(case.run(PIN))
    assert same["cache"] == "hit"
    assert "warning" not in same
    assert "the code changed" not in said(capfd)
    changed = case.run(PIN, add=5)
    assert (details(changed)["cache"], changed.xcom("work"), case.count) == ("hit", 2, 1)
    assert "cache_version='7'" in details(changed)["warning"]
    assert "the code changed since this result was made" in said(capfd)
    moved = case.run("cache='auto', cache_version='8'", add=5)
    assert (details(moved)["cache"], moved.xcom("work")) == ("miss", 6)
    assert "warning" not in details(moved)


def test_a_miss_says_what_changed(case: Case, capfd: Any) -> None:
    first = case.run("cache='auto'")
    assert details(first)["reason"] == "missed: first run of this step"
    capfd.readouterr()
    reason = details(case.run("cache='auto'", add=2))["reason"]
    assert reason.startswith("missed: helper `helper` changed")
    assert "`n` equal" in reason
    assert f"{first.run_id}/work" in reason
    assert f"cache: {reason}" in said(capfd)
    assert "input `n` changed" in details(case.run("cache='auto'", n=9))["reason"]


def test_a_hit_says_where_it_is_from(case: Case, capfd: Any) -> None:
    first = case.run("cache='auto'", sleep=1.2)
    capfd.readouterr()
    found = details(case.run("cache='auto'", sleep=1.2))
    assert found["source"] in details(first)["run"]
    assert found["saved"] >= 1.2
    assert found["created"][:10] == time.strftime("%Y-%m-%d", time.gmtime())
    log = said(capfd)
    assert found["source"] in log
    assert f"saves {found['saved']:.1f} s" in log


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], StoreSettings]:
    """Let the steps' store be a new bucket of the server at a URL."""

    def use(url: str, behind: str = "") -> StoreSettings:
        bucket = servers.make_bucket(behind or url)
        for name, value in {"STORE": f"s3://{bucket}/team", "ENDPOINT": url, "REGION": "us-east-1"}.items():
            monkeypatch.setenv(f"AIRFLOW__STEPBRIDGE__{name}", value)
        return StoreSettings(f"s3://{bucket}/team", endpoint=behind or url, region="us-east-1")

    for name, value in servers.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return use


class Counters:
    """Stands for a server of metrics: what Airflow counts."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def incr(self, stat: str, *args: Any, **more: Any) -> None:
        self.seen.append(stat)

    decr = gauge = timing = lambda *args, **more: None


@pytest.fixture
def counters(lab: Any) -> Iterator[Counters | None]:
    """None before Airflow 3.2, which gives no way to set the receiver of metrics."""
    if lab.version < (3, 2):
        yield None
        return
    from airflow.sdk._shared.observability.metrics import stats

    kept, found = stats._backend, Counters()
    stats._backend = found  # type: ignore[assignment]
    yield found
    stats._backend = kept


def test_a_failing_look_up_runs_the_step(
    case: Case, s3: Callable[..., StoreSettings], counters: Counters | None, capfd: Any
) -> None:
    with servers.moto() as url, servers.FaultProxy(url) as proxy:
        s3(proxy.url, url)
        assert details(case.run("cache='auto'"))["cache"] == "miss"
        fault = servers.Fault("status 403", part="/cache/", times=10**6)
        proxy.faults.append(fault)
        capfd.readouterr()
        found = details(case.run("cache='auto'"))
        assert (found["cache"], case.count) == ("miss", 2)
        assert "look-up failed" in found["reason"]
        assert "look-up failed, so the step runs" in said(capfd)
        proxy.faults.clear()
        assert details(case.run("cache='auto'"))["cache"] == "hit"
    if counters is None:
        return
    counted = [one.rpartition(".")[2] for one in counters.seen if one.startswith("stepbridge.cache.")]
    assert counted == ["miss", "failed", "hit"]


def test_a_store_without_conditional_writes_says_so(
    case: Case, s3: Callable[..., StoreSettings], capfd: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "rclone"
    folder.mkdir()
    with servers.rclone(folder) as url:
        settings = s3(url)
        run = case.run()
        log = said(capfd)
        assert "single_flight is off: the store does not keep conditional writes" in log
        assert "Equal runs at the same time may all run" in log
        assert (details(run)["cache"], case.count) == ("miss", 1)
        assert not list(open_store(settings).list("leases/"))
        assert details(case.run())["cache"] == "hit"


# a worker that dies ----------------------------------------------------------------------------------------


def _leases(pods: PodLab) -> list[dict[str, Any]]:
    return [json.loads(one.read_text()) for one in (pods.lab.store / "leases").rglob("*.json")]


def test_the_next_try_goes_on_with_its_own_lease(pods: PodLab) -> None:
    """The dead worker's pod is at work and its lease holds: the next try takes both up and does not wait."""
    tries = Tries(pods, COUNTED, FLIGHT)
    tries.killed(pods.flag("started").exists)
    held = _leases(pods)
    assert [one["released"] for one in held] == [False]

    def go_when_taken_up() -> None:
        pods.cluster.wait_for(lambda: _leases(pods)[0]["holder"].endswith("/2/"), 60)
        pods.flag("go").touch()

    pods.meanwhile(go_when_taken_up)
    run = tries.again()
    assert (run.xcom("work"), details(run)["cache"], len(pods.created())) == (4, "miss", 1)
    left = _leases(pods)
    assert [one["released"] for one in left] == [True]
    assert left[0]["nonce"] == held[0]["nonce"]
    pods.assert_nothing_left()


def test_a_hit_leaves_no_pod_of_a_dead_worker(pods: PodLab) -> None:
    """The pod ended alone and its entry stands before the next try: that takes it, and the pod goes."""
    tries = Tries(pods, COUNTED, FLIGHT)
    tries.killed(pods.flag("started").exists)
    pods.flag("go").touch()
    pods.cluster.wait_for(lambda: list((pods.lab.store / "cache").rglob("latest.json")), 30)
    assert len(pods.cluster.pods()) == 1
    run = tries.again()
    assert (run.xcom("work"), details(run)["cache"], len(pods.created())) == (4, "hit", 1)
    assert [one["released"] for one in _leases(pods)] == [True]
    pods.assert_nothing_left()


@pytest.mark.parametrize(
    ("method", "more"),
    [("GET", ""), ("DELETE", ", reattach_on_restart=False")],
    ids=["looked at", "replaced"],
)
def test_a_pod_that_ends_while_the_next_try_acts_is_not_run_again(
    pods: PodLab, method: str, more: str
) -> None:
    """The next try has found no result; then the pod commits it and ends before the API server answers."""
    tries = Tries(pods, COUNTED, FLIGHT + more)
    tries.killed(pods.flag("started").exists)
    (pod,) = pods.created()
    name = pod["metadata"]["name"]
    slow = faults.Slow(seconds=3, methods=[method], path_contains=f"/pods/{name}", times=1)
    armed = pods.cluster.inject(slow)

    def end_meanwhile() -> None:
        pods.cluster.wait_for(lambda: armed.fired, 60)
        pods.flag("go").touch()

    pods.meanwhile(end_meanwhile)
    run = tries.again()
    assert (run.xcom("work"), details(run)["cache"], len(pods.created())) == (4, "miss", 1)
    assert pods.flag("count").read_text() == "x"
    pods.assert_nothing_left()
