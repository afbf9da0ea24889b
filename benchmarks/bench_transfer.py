"""Files and directories up and down through publish() and fetch(), against boto3's defaults, on one server.

``python benchmarks/bench_transfer.py`` prints seconds, ratios and memory. Both clients talk to the same
server, ``memory_server.py`` in a process of its own. Each client's run is a fresh process, so that its peak
memory is its own; the best of the rounds counts, since other work on the machine can only add time. Files lie
in memory (/dev/shm) where there is room, so that no disk is the bottleneck.

Ours includes the digests: sha256 of what goes up, sha256 compared of what comes down, manifest and rename.
boto3's ``upload_file`` and ``download_file``, one by one for the directory, make no digest beyond CRC32.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import memory_server

SIZE = 512 * 1024 * 1024
FILES = 2_000
FILE_SIZE = 10 * 1024
BUCKET = "bench"
GOALS = {"file": 1.2, "directory": 5.0}


def make(folder: Path) -> None:
    """The inputs: one large file, one directory of small ones."""
    block = memory_server.pattern()
    with (folder / "large.bin").open("wb") as file:
        for _ in range(SIZE // len(block)):
            file.write(block)
    small = folder / "small"
    small.mkdir()
    for number in range(FILES):
        (small / f"{number:05d}.bin").write_bytes(os.urandom(FILE_SIZE))


def peak() -> int:
    """This process's peak resident memory, KiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


def ours(url: str, folder: Path, shape: str) -> tuple[Callable[[], None], Callable[[Path], None]]:
    from stepbridge import publishing
    from stepbridge.artifact import Draft, DraftFile
    from stepbridge.contract import StoreSettings
    from stepbridge.store.opening import open_store

    store = open_store(StoreSettings(f"s3://{BUCKET}/ours", endpoint=url))

    def entry(path: Path) -> DraftFile:
        with path.open("rb", buffering=0) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return DraftFile(path.name, str(path), path.stat().st_size, digest)

    def up() -> None:
        paths = [folder / "large.bin"] if shape == "file" else sorted((folder / "small").iterdir())
        files = tuple(entry(path) for path in paths)
        content = files[0].sha256 if shape == "file" else hashlib.sha256(repr(files).encode()).hexdigest()
        name = files[0].path if shape == "file" else ""
        artifact = publishing.publish(store, Draft(content, f"bench {time.time_ns()}", shape, name, files))
        (folder / f"{shape}.digest").write_text(artifact.digest)

    def down(target: Path) -> None:
        digest = (folder / f"{shape}.digest").read_text()
        publishing.fetch(store, publishing.read_manifest(store, digest), target)

    return up, down


def boto(url: str, folder: Path, shape: str) -> tuple[Callable[[], None], Callable[[Path], None]]:
    import boto3

    s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1")

    def up() -> None:
        if shape == "file":
            s3.upload_file(str(folder / "large.bin"), BUCKET, "boto/large.bin")
            return
        for path in sorted((folder / "small").iterdir()):
            s3.upload_file(str(path), BUCKET, f"boto/small/{path.name}")

    def down(target: Path) -> None:
        target.mkdir()
        if shape == "file":
            s3.download_file(BUCKET, "boto/large.bin", str(target / "large.bin"))
            return
        for path in sorted((folder / "small").iterdir()):
            s3.download_file(BUCKET, f"boto/small/{path.name}", str(target / path.name))

    return up, down


def child(who: str, url: str, folder: Path, shape: str, way: str) -> None:
    """One measured run in its own process; prints seconds, growth of peak memory in MiB, CPU seconds."""
    up, down = (ours if who == "ours" else boto)(url, folder, shape)
    before = peak()
    target = folder / f"out-{os.getpid()}"
    start, busy = time.perf_counter(), time.process_time()
    if way == "up":
        up()
    else:
        down(target)
    seconds, used = time.perf_counter() - start, time.process_time() - busy
    grown = (peak() - before) / 1024
    if way == "down":
        check(folder, shape, target)
        shutil.rmtree(target)
    sys.stdout.write(json.dumps([seconds, grown, used]))


def check(folder: Path, shape: str, target: Path) -> None:
    """Raise unless what came down is what went up: a benchmark of wrong bytes counts nothing."""
    if shape == "file":
        if (target / "large.bin").stat().st_size != SIZE:
            raise AssertionError("the file that came down has another size")
        return
    for path in (folder / "small").iterdir():
        if path.read_bytes() != (target / path.name).read_bytes():
            raise AssertionError(f"{path.name} came down changed")


def measure(who: str, url: str, folder: Path, shape: str, way: str) -> tuple[float, float, float]:
    command = [sys.executable, __file__, "--child", who, url, str(folder), shape, way]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    seconds, grown, used = json.loads(done.stdout)
    return float(seconds), float(grown), float(used)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=5, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        who, url, folder, shape, way = options.child
        child(who, url, Path(folder), shape, way)
        return 0
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", AWS_REGION="us-east-1")
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() and shutil.disk_usage(memory).free > 4 * SIZE else None
    folder = Path(tempfile.mkdtemp(prefix="stepbridge-bench-", dir=place))
    command = [sys.executable, str(Path(__file__).with_name("memory_server.py"))]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        make(folder)
        return report(server.stdout.readline().strip(), folder, options.rounds)
    finally:
        server.kill()
        shutil.rmtree(folder)


def report(url: str, folder: Path, rounds: int) -> int:
    missed = 0
    line = "{:10} {:5} {:>9} {:>9} {:>7} {:>6} {:>12} {:>12} {:>12} {:>12}\n"
    sys.stdout.write(
        line.format(
            "what",
            "way",
            "ours s",
            "boto3 s",
            "ratio",
            "goal",
            "ours CPU s",
            "boto3 CPU s",
            "ours +MiB",
            "boto3 +MiB",
        )
    )
    for shape in ("file", "directory"):
        for way in ("up", "down"):
            found: dict[str, list[tuple[float, float, float]]] = {"ours": [], "boto": []}
            for _ in range(rounds):
                for who in found:
                    found[who].append(measure(who, url, folder, shape, way))
            seconds = {who: min(run[0] for run in runs) for who, runs in found.items()}
            memory = {who: max(run[1] for run in runs) for who, runs in found.items()}
            used = {who: min(run[2] for run in runs) for who, runs in found.items()}
            ratio = seconds["boto"] / seconds["ours"]
            good = ratio >= GOALS[shape] and memory["ours"] < 256
            missed += not good
            sys.stdout.write(
                line.format(
                    shape,
                    way,
                    f"{seconds['ours']:.3f}",
                    f"{seconds['boto']:.3f}",
                    f"{ratio:.2f}x",
                    f"{GOALS[shape]}x",
                    f"{used['ours']:.2f}",
                    f"{used['boto']:.2f}",
                    f"{memory['ours']:.0f}",
                    f"{memory['boto']:.0f}",
                )
            )
    sys.stdout.write("goals kept\n" if not missed else f"{missed} goals missed\n")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
