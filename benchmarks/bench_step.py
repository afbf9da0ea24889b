"""What stepbridge adds to a bare start of the interpreter: a whole step, and ``import stepbridge``.

``python benchmarks/bench_step.py [--runs N]``. The runs of all rows are interleaved, so that a busy machine
slows them alike; the figures are medians. Exit status 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stepbridge import documents
from stepbridge.backends.base import python_path
from stepbridge.backends.local import LocalBackend
from stepbridge.code.bundle import build
from stepbridge.code.slicing import slice_callable
from stepbridge.contract import Attempt, CodeRef, Inline, Request, StoreSettings
from stepbridge.store.opening import open_store

STEP_BOUND = 0.400
IMPORT_BOUND = 0.050
MODULE = "def trivial(n):\n    return n + 1\n"
BACKEND = "step, local backend, file store"
IN_POD = "step, runner alone, file store"
BARE = "python -c pass"
IMPORT = "python -c 'import stepbridge'"


def request(root: Path) -> tuple[str, str]:
    """A request for a trivial function, ready to run; its URI and digest."""
    (root / "trivial_step.py").write_text(MODULE)
    sys.path.insert(0, str(root))
    from trivial_step import trivial  # type: ignore[import-not-found]

    settings = StoreSettings(root=f"file://{root}/store")
    store = open_store(settings)
    piece = slice_callable(trivial)
    data = build(piece)
    bundle = hashlib.sha256(data).hexdigest()
    store.put(f"code/{bundle}.zip", data)
    attempt = Attempt("bench", f"run-{time.time_ns()}", "trivial")
    code = CodeRef("bundle", piece.entry, piece.digest, bundle, piece.is_scope)
    document = documents.dump(Request(attempt, "bench.trivial", code, settings, args=(Inline("json", 1),)))
    key = attempt.prefix + "request.json"
    store.put(key, document)
    return store.uri(key), hashlib.sha256(document).hexdigest()


def command(*arguments: str) -> float:
    """Seconds from the start of an interpreter to its end."""
    environment = {**os.environ, "PYTHONPATH": python_path("")}
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, env=environment)
    return time.perf_counter() - start


def step(root: Path) -> float:
    lines: list[str] = []
    uri, digest = request(root)
    start = time.perf_counter()
    status = LocalBackend().run(uri, digest, environment={}, on_line=lines.append)
    if status:
        raise SystemExit("\n".join(lines))
    return time.perf_counter() - start


def runner(root: Path) -> float:
    uri, digest = request(root)
    return command("-P", "-m", "stepbridge.runner", uri, "--digest", digest)


def measure(runs: int) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        rows: dict[str, Callable[[], float]] = {
            BARE: lambda: command("-c", "pass"),
            IMPORT: lambda: command("-c", "import stepbridge"),
            IN_POD: lambda: runner(root),
            BACKEND: lambda: step(root),
        }
        for action in rows.values():
            action()
        found: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(runs):
            for name, action in rows.items():
                found[name].append(action())
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=21)
    found = measure(parser.parse_args().runs)
    bare = statistics.median(found[BARE])
    bounds = {BACKEND: STEP_BOUND, IN_POD: STEP_BOUND, IMPORT: IMPORT_BOUND}
    print(f"{'what':34} {'median':>9} {'fastest':>9} {'over bare':>10} {'bound':>8}")
    missed = 0
    for name, times in found.items():
        over = statistics.median(times) - bare
        bound = bounds.get(name)
        missed += bound is not None and over > bound
        shown = "" if bound is None else f"{bound * 1000:5.0f} ms{'' if over <= bound else ' MISSED'}"
        print(
            f"{name:34} {statistics.median(times) * 1000:6.1f} ms {min(times) * 1000:6.1f} ms "
            f"{over * 1000:7.1f} ms {shown:>8}"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
