"""The functions that the runner's tests run, well behaved and otherwise."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from stepbridge import File
from stepbridge.facade import AirflowFailException, AirflowSkipException, Variable, get_current_context


def trivial():
    return 42


def add(a: int, b: int = 1) -> int:
    return a + b


def says(text: str) -> str:
    print(text)
    print("to stderr", file=sys.stderr)
    return text.upper()


def logs(ti=None):
    logging.getLogger("mine").info("a record")
    logging.getLogger("mine").debug("too fine")
    ti.log.info("by ti")


def makes_file(text: str = "hello") -> File:
    Path("made.txt").write_text(text)
    return File("made.txt")


def makes_two():
    Path("a.txt").write_text("aaa")
    Path("b.txt").write_text("bbbb")
    return {"a": File("a.txt"), "b": File("b.txt"), "n": 2}


def reads_file(path: File) -> str:
    return Path(path).read_text()


def pushes_and_makes(ti=None) -> File:
    print("x" * 100)
    ti.xcom_push("count", 3)
    Path("pushed.bin").write_bytes(b"\0" * 2000)
    ti.xcom_push("blob", File("pushed.bin"))
    Path("made.txt").write_text("made")
    return File("made.txt")


def kwargs_of(**kwargs):
    return sorted(kwargs)


def reads_context(ds, ti, extra, dag_run=None, **context):
    ti.xcom_push(key="note", value={"ds": ds})
    return {
        "ds": ds,
        "extra": extra,
        "try": ti.try_number,
        "pulled": ti.xcom_pull(task_ids="before", key="n"),
        "both": ti.xcom_pull(task_ids=["before", "other"], key="n"),
        "conf": dag_run.conf["who"],
        "year": context["logical_date"].year,
        "same": get_current_context()["ds"] == ds,
        "threshold": Variable.get("threshold"),
    }


def reads_withheld(**context):
    return bool(context["conf"])


def pulls_unknown(ti=None):
    return ti.xcom_pull(task_ids="stranger")


def raises():
    return _deeper({"a": 1})


def _deeper(data):
    try:
        return data["missing"]
    except KeyError as error:
        raise ValueError("no such thing") from error


def raises_base():
    raise KeyboardInterrupt("as if")


class Odd(BaseException):
    def __str__(self):
        raise RuntimeError("no text")


def raises_odd():
    raise Odd


def raises_group():
    raise ExceptionGroup("many", [ValueError("one"), TypeError("two")])


def skips():
    raise AirflowSkipException("nothing to do")


def fails():
    raise AirflowFailException("never again")


def exits(code=0):
    sys.exit(code)


def exits_hard(code=0):
    print("last words")
    os._exit(code)


def imports_missing():
    import no_such_module_anywhere  # noqa: F401


def out_of_memory():
    raise MemoryError("too much")


def wrong_type() -> int:
    return "seven"


def unencodable():
    return threading.Lock()


def generates():
    yield 1


async def agenerates():
    yield 1


async def waits(n: int) -> int:
    await asyncio.sleep(0.01)
    return n * 2


def sleeps(seconds: float = 60.0):
    print("sleeping")
    time.sleep(seconds)
    return "slept"


def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("will not stop")
    time.sleep(60)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def crashes():
    import ctypes

    ctypes.string_at(0)


def forks_and_returns():
    pid = os.fork()
    if pid == 0:
        time.sleep(0.3)
        return "the copy"
    return "the original"


def forks_and_raises():
    if os.fork() == 0:
        raise RuntimeError("in the copy")
    os.wait()
    return "the original"


def forks_and_leaves_first():
    """The copy comes back here while the original still works."""
    if os.fork() == 0:
        return "the copy"
    os.wait()
    time.sleep(0.2)
    return "the original"


def leaves_processes(marker: str):
    background = subprocess.Popen(["sleep", "300"])
    escaped = subprocess.Popen(["setsid", "sleep", "300"], start_new_session=True)
    daemon = subprocess.run(
        ["sh", "-c", "(setsid sleep 300 >/dev/null 2>&1 & echo $!)"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    Path(marker).write_text(f"{background.pid} {escaped.pid} {daemon.stdout}")
    return "done"


def leaves_thread():
    threading.Thread(target=time.sleep, args=(300,)).start()
    return "done"


def changes_directory(to: str) -> File:
    os.chdir(to)
    Path("elsewhere.txt").write_text("over here")
    return File("elsewhere.txt")


def where():
    return {"cwd": [entry.name for entry in Path().iterdir()], "stdin": sys.stdin.read()}


def prints(megabytes: int, pause: float = 0.0):
    line = "y" * 1023
    for _ in range(megabytes):
        for _ in range(1024):
            print(line)
        sys.stdout.flush()
        time.sleep(pause)
    print("the end")
    return megabytes


def noise(megabytes: int):
    for _ in range(megabytes):
        sys.stdout.buffer.write(os.urandom(1024 * 1024))
    return megabytes


def closes_stdout():
    print("before")
    sys.stdout.close()
    sys.stderr.close()
    os.close(1)
    os.close(2)
    return "closed"


def environment(name: str):
    return os.environ.get(name)


def allocates(megabytes: int):
    block = bytearray(megabytes * 1024 * 1024)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(0.3)
    return len(block)


def modules():
    return sorted(
        name for name in sys.modules if name.partition(".")[0] in {"pandas", "pyarrow", "boto3", "airflow"}
    )


def several():
    return {"a": 1, "b": "two"}


def not_several():
    return 3


def counts(marker: str) -> int:
    with Path(marker).open("a") as file:
        file.write("x")
    return Path(marker).stat().st_size


def frame_arg(table):
    return int(table["n"].sum())


def frame() -> object:
    import pandas as pd

    return pd.DataFrame({"n": [1, 2, 3]})


def shows_secrets(variable: str, file: str, password: str):
    print(f"{variable} is {os.environ[variable]}")
    print(Path(file).read_text())
    print(os.environ["AIRFLOW_CONN_DB"], repr(password))
    print("split: ", end="", flush=True)
    for character in os.environ[variable]:
        sys.stdout.write(character)
        sys.stdout.flush()
    print()
    raise ValueError(f"could not log in with {os.environ[variable]} or {password}")


def raises_many(variable: str, times: int):
    raise ValueError(os.environ[variable] * times)


def prints_slowly(variable: str):
    value = os.environ[variable]
    print(f"going on with {value[:-2]}", end="", flush=True)
    time.sleep(0.2)
    print(value[-2:], end="", flush=True)
    print(f"done with {value}")


def pushes_file(path: File) -> File:
    print("something for the log")
    Path("made.txt").write_text(Path(path).read_text() + " made new")
    return File("made.txt")


def secret_values(variables: list[str], files: list[str]):
    for path in files:
        assert Path(path).stat().st_mode & 0o777 == 0o600
    return [len(os.environ[name]) for name in variables] + [len(Path(path).read_bytes()) for path in files]


def writes(pieces: list[str]):
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
        time.sleep(0.05)
