"""What the code digest of a step in a project of 200 modules costs, against ``ast.parse`` of the same files.

``python benchmarks/bench_code_digest.py [--runs N]``. Cold: a process that has seen no file, without
records on disk. Warm: the same process again, and a new process with records on disk. Both sides run in
forks of one process, in turns, so that neither has warmed the memory or filled the collector's counts for
the other; the figures are medians of the ratios and of the milliseconds. Exit status 1 where a bound is
missed.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

COLD = 1.5
WARM_MS = 5.0
MODULES = 200

FUNCTION = '''
def f{number}(rows: list[dict[str, object]], limit: int = {number}, *, scale: float = 0.5) -> list[object]:
    """Takes rows and gives rows.

    :param rows: what to take.
    """
    found = []
    for place, row in enumerate(rows):
        if row.get("value") is None or place > limit * LIMIT:
            continue  # not this one
        value = float(row["value"]) * scale + NAMES["a"]
        found.append({{"id": row["id"], "value": round(value, 3), "text": f"{{place}}:{{value:.2f}}"}})
    return sorted(found, key=lambda item: (item["value"], item["id"]))
'''
CLASS = '''
@dataclass(frozen=True)
class Model:
    """A model."""

    rate: float = 0.1
    depth: int = 3

    def fit(self, rows):
        return [f0([row], self.depth, scale=self.rate) for row in rows if row]

    def score(self, rows):
        total = sum(len(item) for item in self.fit(rows))
        return json.dumps({"total": total, "mean": total / max(1, len(rows))})
'''


def write(root: Path) -> int:
    """A chain of modules that a step reaches all of; the number of lines."""
    (root / "p").mkdir()
    (root / "p/__init__.py").write_text("")
    (root / "dag.py").write_text("from p.m0 import f0\n\n\ndef train():\n    return f0([])\n")
    lines = 0
    for index in range(MODULES):
        text = [f'"""Module {index}."""', "from __future__ import annotations", "import json"]
        text.append("from dataclasses import dataclass")
        if index + 1 < MODULES:
            text.append(f"from p.m{index + 1} import LIMIT as NEXT")
        text.append(f'LIMIT = {index}\nNAMES = {{"a": 1, "b": [1, 2, 3], "c": {{"d": "e"}}}}')
        text += [FUNCTION.format(number=number) for number in range(8)]
        whole = "\n".join([*text, CLASS])
        lines += whole.count("\n")
        (root / f"p/m{index}.py").write_text(whole)
    return lines


class Sides:
    """What is timed, over one project."""

    def __init__(self, root: Path) -> None:
        from stepbridge.code.slicing import slice_callable

        self.slice, self.file = slice_callable, root / "dag.py"
        self.step = importlib.import_module("dag").train
        self.texts = [path.read_bytes() for path in sorted(root.rglob("*.py"))]

    def parse(self) -> list[float]:
        """The peer, in a process as Python starts it."""

        def all_of_them() -> None:
            for text in self.texts:
                ast.parse(text)

        return [timed(all_of_them)]

    def parse_uncollected(self) -> list[float]:
        """The peer without the cyclic collector, which a digest does without as well."""
        gc.disable()
        return self.parse()

    def digest(self, records: str = "off") -> list[float]:
        """The first digest and the next."""
        os.environ["STEPBRIDGE_CODE_MEMO"] = records
        return [timed(lambda: self.slice(self.step, source_file=self.file)) for _ in range(2)]


def timed(work: Callable[[], object]) -> float:
    """Seconds that *work* takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def forked(work: Callable[[], list[float]]) -> list[float]:
    """What *work* measures in a fork of this process: nothing that ran before has warmed it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, json.dumps(work()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        found: list[float] = json.load(answer)
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    sys.setrecursionlimit(5000)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "project"
        root.mkdir()
        lines = write(root)
        sys.path.insert(0, str(root))
        sides, records = Sides(root), str(Path(place) / "records")
        forked(lambda: sides.digest(records))
        peer, bare, cold, disk = [], [], [], []
        for _ in range(runs):
            peer += forked(sides.parse)
            cold.append(forked(sides.digest))
            bare += forked(sides.parse_uncollected)
            disk.append(forked(lambda: sides.digest(records)))
    ratio = statistics.median(mine / theirs for (mine, _), theirs in zip(cold, peer, strict=True))
    without = statistics.median(mine / theirs for (mine, _), theirs in zip(cold, bare, strict=True))
    again = statistics.median(second for _, second in cold) * 1000
    fresh = statistics.median(first for first, _ in disk) * 1000
    print(f"{MODULES} modules, {lines} lines; ast.parse {statistics.median(peer) * 1000:.0f} ms")
    print(f"cold: {ratio:.2f} times ast.parse, bound {COLD}: {'kept' if ratio <= COLD else 'MISSED'}")
    print(f"cold: {without:.2f} times ast.parse with the cyclic collector off, no bound")
    print(f"warm, same process: {again:.1f} ms, bound {WARM_MS}: {'kept' if again <= WARM_MS else 'MISSED'}")
    print(f"warm, new process with records on disk: {fresh:.1f} ms, bound {WARM_MS}")
    return 0 if ratio <= COLD and again <= WARM_MS else 1


if __name__ == "__main__":
    sys.exit(main())
