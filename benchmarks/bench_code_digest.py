"""What the code digest of a step in a project of 200 modules costs, against ``ast.parse`` of the same files.

``python benchmarks/bench_code_digest.py [--runs N]``. Cold: a process that has seen no file, without
records on disk. Warm: the same process again, and a new process with records on disk. Both sides run in one
process, one after another; the figures are medians of the ratios and of the milliseconds. Exit status 1 where
a bound is missed.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import statistics
import subprocess
import sys
import tempfile
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
MEASURE = """
import ast, gc, json, sys, time
from pathlib import Path
root = Path(sys.argv[1])
sys.path.insert(0, str(root))
sys.setrecursionlimit(5000)
import dag
from stepbridge.code.slicing import slice_callable
def timed(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
def parse():
    for text in texts:
        ast.parse(text)
def digest():
    return slice_callable(dag.train, source_file=root / "dag.py")
texts = [path.read_bytes() for path in sorted(root.rglob("*.py"))]
first = timed(digest)
print(json.dumps({"first": first, "again": timed(digest), "parse": min(timed(parse) for _ in range(3))}))
"""


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


def measure(root: Path, records: str) -> dict[str, float]:
    """Seconds of a new process: the first digest, the next, and the parser."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(root)],
        env={**os.environ, "STEPBRIDGE_CODE_MEMO": records, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    ast.parse("")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "project"
        root.mkdir()
        lines = write(root)
        cold = [measure(root, "off") for _ in range(runs)]
        records = str(Path(place) / "records")
        measure(root, records)
        disk = [measure(root, records) for _ in range(runs)]
    ratio = statistics.median(item["first"] / item["parse"] for item in cold)
    again = statistics.median(item["again"] for item in cold) * 1000
    fresh = statistics.median(item["first"] for item in disk) * 1000
    parse = statistics.median(item["parse"] for item in cold) * 1000
    print(f"{MODULES} modules, {lines} lines; ast.parse {parse:.0f} ms")
    print(f"cold: {ratio:.2f} times ast.parse, bound {COLD}: {'kept' if ratio <= COLD else 'MISSED'}")
    print(f"warm, same process: {again:.1f} ms, bound {WARM_MS}: {'kept' if again <= WARM_MS else 'MISSED'}")
    print(f"warm, new process with records on disk: {fresh:.1f} ms, bound {WARM_MS}")
    return 0 if ratio <= COLD and again <= WARM_MS else 1


if __name__ == "__main__":
    sys.exit(main())
