"""What the cache costs: a look-up in a fresh process, a key of many inputs, a hit beside those of others.

``python benchmarks/bench_cache.py [--runs N]`` prints medians of interleaved rounds and their ratios:

- a look-up, interpreter's start left out and imports included, against boto3's same requests, on one server;
- the key of 1,000 inputs against one ``hashlib.sha256`` pass over the same bytes, for small and large values;
- a hit on the worker (key and look-up, by then imported) against redun's and joblib.Memory's on the same
  function and data. redun is installed by uv into an environment of its own; a library that cannot be had is
  named as skipped.

Exit status 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from stepbridge import documents, hashing, publishing
from stepbridge.artifact import Artifact, Draft, DraftFile
from stepbridge.backends.base import python_path
from stepbridge.cache.key import build_key
from stepbridge.cache.lookup import Hit, look_up
from stepbridge.contract import CacheEntry, CacheTarget, Inline, Stored, StoreSettings, Value
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store

LOOK_UP_BOUND = 0.2
KEY_BOUND = 3.0
KEY_FLOOR = 30.0
"""For values of about 1 KiB: no pass over bytes is what takes the time there."""
BUCKET = "bench"
INPUTS = 1_000
TARGET = CacheTarget("bench.step", "ab" * 32)
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}

OURS = """
import sys
from stepbridge.cache.lookup import Hit, look_up
from stepbridge.cache.entry import CacheTarget
from stepbridge.store.opening import open_store
from stepbridge.store.records import StoreSettings
store = open_store(StoreSettings(sys.argv[1], endpoint=sys.argv[2]))
assert isinstance(look_up(store, CacheTarget(sys.argv[3], sys.argv[4])), Hit)
"""
BOTO3 = """
import json, sys
import boto3
bucket = sys.argv[1].removeprefix("s3://").split("/")[0]
lead = sys.argv[1].removeprefix("s3://" + bucket + "/")
client = boto3.client("s3", endpoint_url=sys.argv[2])
body = client.get_object(Bucket=bucket, Key=f"{lead}/cache/{sys.argv[3]}/{sys.argv[4]}.json")["Body"].read()
artifact = json.loads(body)["output"]["artifact"]
key = artifact["uri"].removeprefix("s3://" + bucket + "/")
found = client.list_objects_v2(Bucket=bucket, Prefix=key.rpartition("/")[0] + "/")["Contents"]
sizes = {item["Key"]: item["Size"] for item in found}
assert sizes[key] == artifact["size"]
"""
FUNCTION = "def train(data, rate):\n    return {'score': len(data) * rate}\n"
JOBLIB = """
import statistics, sys, tempfile, time
from pathlib import Path
import joblib
Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
Path(sys.argv[2], "bench_function.py").write_text(sys.argv[3])
sys.path.insert(0, sys.argv[2])
from bench_function import train
cached = joblib.Memory(sys.argv[2], verbose=0).cache(train)
data = [{"id": n, "name": f"row {n}", "weight": n / 7} for n in range(int(sys.argv[1]))]
times = []
for _ in range(30):
    begun = time.perf_counter()
    cached(data, 0.5)
    times.append(time.perf_counter() - begun)
print(statistics.median(times[1:]))
"""
REDUN = """
import logging, statistics, sys, time
from pathlib import Path
logging.disable(logging.CRITICAL)
from redun import Scheduler, task
from redun.config import Config
Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
Path(sys.argv[2], "bench_function.py").write_text(sys.argv[3])
sys.path.insert(0, sys.argv[2])
from bench_function import train
train = task(name="train", namespace="bench")(train)
data = [{"id": n, "name": f"row {n}", "weight": n / 7} for n in range(int(sys.argv[1]))]
scheduler = Scheduler(config=Config({"backend": {"db_uri": f"sqlite:///{sys.argv[2]}/redun.db"}}))
scheduler.load()
times = []
for _ in range(30):
    begun = time.perf_counter()
    scheduler.run(train(data, 0.5))
    times.append(time.perf_counter() - begun)
print(statistics.median(times[1:]))
"""


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def script(text: str, *arguments: str, python: str = sys.executable) -> str:
    environment = {**os.environ, "PYTHONPATH": python_path("") if python == sys.executable else ""}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    ran = subprocess.run([python, "-c", text, *arguments], env=environment, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"a benchmarked process failed:\n{ran.stderr[-2000:]}")
    return ran.stdout


def interleaved(rows: Mapping[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """The median seconds of each, after one unmeasured round."""
    found: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(runs + 1):
        for name, action in rows.items():
            took = timed(action)
            if number:
                found[name].append(took)
    return {name: statistics.median(times) for name, times in found.items()}


def publish(store: Store, folder: Path) -> None:
    """One artifact and the entry that leads to it."""
    content = os.urandom(1000)
    (folder / "out.bin").write_bytes(content)
    digest = hashing.digest_bytes(content)
    file = DraftFile("out.bin", str(folder / "out.bin"), len(content), digest)
    made = publishing.publish(store, Draft(digest, "stepbridge.File", "file", "out.bin", (file,)))
    record(store, TARGET, Stored(made))


def record(store: Store, target: CacheTarget, output: Value) -> None:
    entry = CacheEntry(
        target.step, target.key, output, {}, {}, "runs/d/r/t/-1/1/", "2024-05-01T00:00:00+00:00", "n"
    )
    store.put(target.path, documents.dump(entry))


@contextlib.contextmanager
def server() -> Iterator[str]:
    """``memory_server.py`` in a process of its own; its URL."""
    command = [sys.executable, str(Path(__file__).with_name("memory_server.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise SystemExit("the server has no output")
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def bench_look_up(folder: Path, runs: int) -> bool:
    os.environ.update(CREDENTIALS)
    with server() as url:
        root = f"s3://{BUCKET}/root"
        publish(open_store(StoreSettings(root, endpoint=url)), folder)
        arguments = (root, url, TARGET.step, TARGET.key)
        rows = {
            "bare interpreter": lambda: script("pass"),
            "look-up": lambda: script(OURS, *arguments),
            "look-up by boto3": lambda: script(BOTO3, *arguments),
        }
        found = interleaved(rows, runs)
    bare = found["bare interpreter"]
    whole = found["look-up"] / found["look-up by boto3"]
    show(found)
    ratio = (found["look-up"] - bare) / (found["look-up by boto3"] - bare)
    print(f"  with the interpreter's own start: {whole:.3f}")
    return held("look-up in a fresh process / boto3", ratio, LOOK_UP_BOUND)


def values(size: int) -> dict[str, Value]:
    """1,000 inputs: JSON values that hold *size* characters of text, and files, of which a key takes digests.

    Beside the text a value holds twelve floats, twelve names, a number and a flag.
    """
    made: dict[str, Value] = {}
    for number in range(INPUTS):
        if number % 2:
            digest = hashing.digest(number)
            made[f"file_{number}"] = Stored(Artifact(f"s3://b/{digest}", digest, "", "", "", 1))
        else:
            data = {"id": number, "text": "x" * size, "rows": [n / 7 for n in range(12)], "on": True}
            made[f"value_{number}"] = Inline("json", {**data, "names": [f"name {n}" for n in range(12)]})
    return made


def bench_key(runs: int) -> bool:
    """Against one pass of sha256: at most 3 times that from 32 KiB a value on.

    Below that what counts is how many values there are, not their bytes: a digest of its own for each input,
    which is what explains a miss, and a few loops of Python for each number and text inside it.
    """
    good = True
    for size, bound in ((600, KEY_FLOOR), (32 * 1024, KEY_BOUND)):
        inputs = values(size)
        data = b"".join(
            hashing.encode(value.data) if isinstance(value, Inline) else value.artifact.digest.encode()
            for value in inputs.values()
            if isinstance(value, Inline | Stored)
        )

        def key(inputs: Mapping[str, Value] = inputs) -> object:
            return build_key(step="s", interface="i", inputs=inputs, code="c", parts={}, requires={})

        def passes(data: bytes = data) -> object:
            return hashlib.sha256(data).hexdigest()

        found = interleaved({"key of 1,000 inputs": key, "sha256 of the same bytes": passes}, runs * 3)
        show(found)
        ratio = found["key of 1,000 inputs"] / found["sha256 of the same bytes"]
        good &= held(f"key of 1,000 inputs, {len(data):,} bytes / sha256", ratio, bound)
    return good


def hit_here(folder: Path, rows: int) -> float:
    """A hit of ours on a folder: the key of the arguments, the look-up, the value."""
    store = open_store(StoreSettings(f"file://{folder}/store"))
    data = [{"id": n, "name": f"row {n}", "weight": n / 7} for n in range(rows)]

    def target() -> CacheTarget:
        inputs: dict[str, Value] = {"data": Inline("json", data), "rate": Inline("json", 0.5)}
        key = build_key(step="bench.train", interface="i", inputs=inputs, code="c", parts={}, requires={})
        return CacheTarget("bench.train", key.digest)

    record(store, target(), Inline("json", {"score": rows / 2}))

    def hit() -> None:
        if not isinstance(look_up(store, target()), Hit):
            raise SystemExit("no hit")

    times = [timed(hit) for _ in range(30)]
    return statistics.median(times[1:])


def redun_python(folder: Path) -> str:
    """An interpreter that has redun; empty where it cannot be installed."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    place = folder / "redun"
    try:
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(place)], check=True)
        python = str(place / "bin" / "python")
        subprocess.run([uv, "pip", "install", "-q", "--python", python, "redun"], check=True, timeout=240)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"SKIPPED redun: it cannot be installed here ({error})")
        return ""
    return python


def bench_hit(folder: Path, runs: int) -> bool:
    good = True
    others: dict[str, tuple[str, str]] = {"joblib.Memory": (JOBLIB, sys.executable)}
    if subprocess.run([sys.executable, "-c", "import joblib"], capture_output=True).returncode:
        print("SKIPPED joblib.Memory: joblib is not installed (it comes with redun's environment or pip)")
        del others["joblib.Memory"]
    python = redun_python(folder)
    if python:
        others["redun"] = (REDUN, python)
    for rows in (10, 1_000):
        found: dict[str, list[float]] = {"hit": [], **{name: [] for name in others}}
        for number in range(max(3, runs // 4)):
            place = folder / f"hit-{rows}-{number}"
            place.mkdir()
            found["hit"].append(hit_here(place, rows))
            for name, (text, interpreter) in others.items():
                found[name].append(
                    float(script(text, str(rows), f"{place}/{name}", FUNCTION, python=interpreter))
                )
        medians = {f"{name}, {rows} rows": statistics.median(times) for name, times in found.items()}
        show(medians)
        ours, *rest = medians.values()
        if rest:
            good &= held(f"hit / the fastest other, {rows} rows", ours / min(rest), 1.0)
    return good


def show(found: Mapping[str, float]) -> None:
    for name, seconds in found.items():
        print(f"  {name:32} {seconds * 1000:9.3f} ms")


def held(name: str, ratio: float, bound: float) -> bool:
    print(f"{name}: {ratio:.3f}, bound {bound}{'' if ratio <= bound else ' MISSED'}")
    return ratio <= bound


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        os.environ["PYTHONPYCACHEPREFIX"] = (
            f"{directory}/bytecode"  # compiled for all alike, in the first round
        )
        good = [bench_look_up(folder, runs), bench_key(runs), bench_hit(folder, runs)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
