"""The log of a step in a pod: live, each line once, whole in the store, bounded in the task's log."""

from __future__ import annotations

import re
import resource
from pathlib import Path
from typing import Any

import pytest
from podlab import PodLab, pods  # noqa: F401 - the fixture

DEFERRED = ", deferrable=True, poll_interval=0.5"
DAG = """
from functools import partial
from pathlib import Path

{work}

{more}

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator(task_id="t", python_callable=work{arguments})
"""
FORMATTER = """
def noting(container, line):
    import time
    with open("{file}", "a") as file:
        file.write(f"{{time.time()}} {{container}} {{line}}\\n")
    return f"<{{container}}> {{line}}"
"""


def source(work: str, arguments: str = "", more: str = "") -> str:
    return DAG.format(work=work.strip("\n"), arguments=arguments, more=more)


def whole_log(pods: PodLab) -> bytes:
    (path,) = pods.records("log.txt")
    return path.read_bytes()


def task_log(capfd: Any) -> str:
    """What was shown, without what ``logging`` tells of handlers whose stream an earlier test closed."""
    out, err = capfd.readouterr()
    return re.sub(r"--- Logging error ---\n.*?\nArguments: [^\n]*\n", "", out + err, flags=re.DOTALL)


def once_in_order(said: str, wanted: list[str]) -> None:
    """Each of *wanted* stands in *said* once, in order.

    Airflow 2's ``dag.test()`` may have two handlers for a task's log: then everything of a task stands twice.
    """
    copies = said.count("runs in a pod; its record is at")
    places = []
    for line in wanted:
        assert said.count(line) == copies, (line, said.count(line))
        places.append(said.index(line))
    assert places == sorted(places)


TICKING = """
def work():
    import time
    for n in range({count}):
        print(f"tick {{n:04d}} at {{time.time():.3f}}", flush=True)
        time.sleep({pause})
"""


def test_lines_are_shown_while_the_step_runs(pods: PodLab, tmp_path: Path, capfd: Any) -> None:
    file = tmp_path / "shown"
    pods.run(
        source(TICKING.format(count=27, pause=0.3), ", log_formatter=noting", FORMATTER.format(file=file))
    )
    shown = [line.split() for line in file.read_text().splitlines()]
    ticks = [(float(one[0]), one[3], float(one[5])) for one in shown if one[2] == "tick"]
    assert [number for _, number, _ in ticks] == [f"{n:04d}" for n in range(27)]
    end = ticks[-1][2]
    early = [number for at, number, _ in ticks if at < end]
    assert len(early) > 8, early
    assert all(one[1] == "base" for one in shown)
    said = task_log(capfd)
    once_in_order(said, [f"<base> tick {n:04d} at" for n in range(27)])
    assert "Waiting for container" not in said
    assert len(pods.created()) == 1


@pytest.mark.parametrize("more", ["", DEFERRED])
@pytest.mark.parametrize("ends", ["", "raise ValueError('the cause')"])
def test_the_whole_log_once_and_kept(pods: PodLab, capfd: Any, more: str, ends: str) -> None:
    from airflow.models.taskinstancekey import TaskInstanceKey

    work = f"""
def work():
    for n in range(200):
        print(f"line {{n:04d}} of the step")
    print("no end of line", end="")
    {ends}
"""
    failure = """
def failed(context):
    Path("FILE").write_text(str(context["exception"]))
"""
    said_file = pods.lab.store.parent / "said"
    dag = pods.load(
        source(work, more + ", on_failure_callback=failed", failure.replace("FILE", str(said_file)))
    )
    run = pods.lab.test(dag)
    assert run.state == ("failed" if ends else "success")
    said = task_log(capfd)
    log = whole_log(pods).decode()
    assert log.count("line 0007 of the step") == 1
    assert "no end of line" in log
    if not ends:
        once_in_order(said, [f"line {n:04d} of the step" for n in range(200)])
    else:
        # Airflow 3.0's dag.test() runs no callbacks
        message = said_file.read_text() if pods.lab.version != (3, 0) else said
        assert "the cause" in message
        assert "SB402" in message
        assert "line 0199 of the step" in message
        assert pods.lab.version == (3, 0) or "line 0100 of the step" not in message
        once_in_order(said, [f"line {n:04d} of the step" for n in range(100)])
    (folder,) = {path.parent for path in pods.records("log.txt")}
    link = f"file://{folder}/"
    assert link in said
    if pods.lab.version >= (3, 1):
        assert run.xcom("t", "_link_StepRunLink") == link
    elif not ends and pods.lab.version < (3,):
        operator = dag.get_task("t")
        key = TaskInstanceKey(run.dag_id, "t", run.run_id, 1, -1)
        assert operator.operator_extra_links[0].get_link(operator, ti_key=key) == link
    pods.assert_nothing_left()


def test_a_deferral_in_between_repeats_no_line(
    pods: PodLab, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stepbridge_airflow import pod_run

    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__LOOK_INTERVAL", "2")
    given: list[int] = []
    real = pod_run.PodRun.resume

    def resume(self: Any, event: Any) -> Any:
        given.append(self._attempts.latest_pod()[1].log_offset)
        return real(self, event)

    monkeypatch.setattr(pod_run.PodRun, "resume", resume)
    pods.run(source(TICKING.format(count=27, pause=0.3), DEFERRED))
    said = task_log(capfd)
    once_in_order(said, [f"tick {n:04d} at" for n in range(27)])
    if pods.lab.version < (3,):
        assert given  # in Airflow 2's dag.test() a task has no start, from which a limit could be counted
        return
    assert len(given) > 2
    assert 0 < given[-1] < whole_log(pods).index(b"tick 0026")
    (pod,) = pods.created()
    assert pod["spec"]["activeDeadlineSeconds"] > 3600, "the time of a wake-up is no deadline"


def test_get_logs_false_silences(pods: PodLab, capfd: Any) -> None:
    work = 'def work():\n    print("a quiet line")\n'
    for more in ("", DEFERRED):
        pods.run(source(work, f", get_logs=False{more}"))
    said = task_log(capfd)
    assert "a quiet line" not in said
    assert [b"a quiet line" in path.read_bytes() for path in pods.records("log.txt")] == [True, True]


def test_a_formatter_that_fails_costs_nothing(pods: PodLab, capfd: Any) -> None:
    pods.run(
        source(
            'def work():\n    print("a line")\n    return 3\n',
            ", log_formatter=wrong",
            "def wrong(container, line):\n    raise ValueError(line)\n",
        )
    )
    assert "a line" in task_log(capfd)


SIDECAR = """
from kubernetes.client import models as k8s
SPEC = k8s.V1Pod(spec=k8s.V1PodSpec(
    init_containers=[k8s.V1Container(name="fill", image="busybox:1", command=["sh", "-c"],
        args=["echo init says hello"])],
    containers=[
        k8s.V1Container(name="base"),
        k8s.V1Container(name="side", image="busybox:1", command=["sh", "-c"],
            args=["for n in $(seq 3000); do echo side line $n; done; sleep 60"]),
        k8s.V1Container(name="other", image="busybox:1", command=["sh", "-c"],
            args=["echo other says h''ello; sleep 60"]),
    ]))
"""


@pytest.mark.parametrize(
    ("asked", "side", "other", "init"),
    [
        (", container_logs=True, init_container_logs=True", True, True, True),
        (", container_logs=['base', 'side'], init_container_logs=['fill']", True, False, True),
        (", container_logs='other'", False, True, False),
        (", get_logs=False, container_logs=True", False, False, False),
        ("", False, False, False),
    ],
)
@pytest.mark.parametrize("more", ["", DEFERRED])
def test_logs_of_other_containers(
    pods: PodLab,
    capfd: Any,
    asked: str,
    side: bool,
    other: bool,
    init: bool,
    more: str,
) -> None:
    work = 'def work():\n    import time\n    time.sleep(1)\n    print("the step says hello")\n'
    pods.run(source(work, f"{asked}{more}, full_pod_spec=SPEC", SIDECAR))
    said = task_log(capfd)
    assert ("side line 3000" in said) == side
    assert "side line 2000\n" not in said
    assert ("other says hello" in said) == other
    assert ("init says hello" in said) == init
    assert said.count("the step says hello") == ("get_logs=False" not in asked)
    pods.assert_nothing_left()


def test_binary_noise_and_a_line_without_end(pods: PodLab, capfd: Any) -> None:
    work = """
def work():
    import os, sys
    noise = bytes(range(256)) * 40
    os.write(1, noise + b"\\x1b[31mred\\x1b[0m" + b"\\r\\n")
    os.write(2, b"x" * 300_000)
    os.write(1, b"\\n" + "\\u20ac".encode()[:2] + b"\\nlast words\\n")
    return 5
"""
    run = pods.run(source(work))
    assert run.xcom("t") == 5
    said = task_log(capfd)
    assert "last words" in said
    log = whole_log(pods)
    assert bytes(range(256)) in log
    assert b"x" * 300_000 in log
    assert max(map(len, said.split("\n"))) < 200_000


@pytest.fixture
def shown(tmp_path: Path) -> Any:
    """A printer over a store of its own, the lines it showed, and a way to add a chunk."""
    from stepbridge.runner.logs import chunk_key
    from stepbridge.store.opening import store_at
    from stepbridge_airflow.pod_logs import LogPrinter

    store = store_at((tmp_path / "logs").as_uri())
    lines: list[str] = []

    def printer(offset: int = 0) -> LogPrinter:
        return LogPrinter(store, "runs/a/b/c/-1/1/", lines.append, offset=offset)

    def add(number: int, data: bytes) -> None:
        store.put(chunk_key("runs/a/b/c/-1/1/", number), data)

    return printer, lines, add


def test_a_printer_goes_on_where_another_stopped(shown: Any) -> None:
    printer, lines, add = shown
    add(1, b"one\ntwo\nthr")
    first = printer()
    first.read()
    assert lines == ["one", "two"]
    assert first.offset == len(b"one\ntwo\n")
    second = printer(first.offset)
    assert second.offset == first.offset
    add(2, b"ee\nfour")
    second.read()
    assert lines == ["one", "two", "three"]
    third = printer(second.offset)
    third.finish()
    assert lines == ["one", "two", "three", "four"]
    assert third.tail == "one\ntwo\nthree\nfour", "the tail knows what others showed"
    again = printer(third.offset)
    again.finish()
    assert lines[4:] == []


def test_long_lines_come_in_pieces(shown: Any) -> None:
    printer, lines, add = shown
    add(1, b"a" * 200_000 + b"\nshort\n" + b"b" * 70_000)
    one = printer()
    one.finish()
    assert [len(line) for line in lines] == [65536, 65536, 65536, 3392, 5, 65536, 4464]
    assert "".join(lines) == "a" * 200_000 + "short" + "b" * 70_000


def test_the_bound_counts_what_earlier_printers_showed(shown: Any) -> None:
    printer, lines, add = shown
    for number in range(1, 6):
        add(number, b"%05d\n" % number + (b"x" * 1023 + b"\n") * 4096)
    one = printer()
    one.read()
    count = len(lines)
    assert lines[-1].startswith("[stepbridge] the log goes on in ")
    assert count < 16 * 1024
    two = printer(one.offset)
    add(6, b"more\nthe end\n")
    two.finish()
    assert lines[count].startswith("[stepbridge] the log goes on in ")
    assert "the end" in lines[count + 1 :]
    assert len(lines) < count + 50


FLOOD = """
def work():
    import sys
    line = "flood {{n:09d}} " + "z" * 84
    for n in range({lines}):
        sys.stdout.write(line.replace("{{n:09d}}", f"{{n:09d}}") + "\\n")
    print("the very end")
    {ends}
"""


@pytest.mark.parametrize(
    ("megabytes", "ends"), [(20, ""), pytest.param(100, "raise ValueError('no')", marks=pytest.mark.slow)]
)
def test_a_flood_is_cut_in_the_task_log_and_whole_in_the_store(
    pods: PodLab,
    capfd: Any,
    megabytes: int,
    ends: str,
) -> None:
    lines = megabytes * 10_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pods.run(source(FLOOD.format(lines=lines, ends=ends)), expect="failed" if ends else "success")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    said = task_log(capfd)
    (path,) = pods.records("log.txt")
    assert megabytes * 1_000_000 <= path.stat().st_size
    shown = said.count("flood 0")
    assert 50_000 < shown < 120_000, shown
    assert said.count(f"[stepbridge] the log goes on in file://{path}") == 1
    assert "the very end" in said
    assert f"flood {lines - 1:09d}" in said
    # the double keeps what its kubelet would, in this process
    assert grown < 250, f"{grown:.0f} MiB"
