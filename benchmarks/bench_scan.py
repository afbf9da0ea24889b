"""What ``migrate scan`` costs on 1,000 DAG files, against LibCST's parse of those that import Airflow.

``python benchmarks/bench_scan.py [--runs N] [--files N] [FOLDER...]``. The files are the example DAGs of the
Airflow that is installed here and of the installations in FOLDER, copied until there are enough. Every
measurement is a new process; both sides alternate, imports of neither side count, the start of the second
process of ``-j 2`` does. The figures are medians of the ratios. Exit status 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ONE = 1.0
TWO = 0.6
PARSE = """
import sys, time
from pathlib import Path
import libcst
start = time.perf_counter()
for path in sorted(Path(sys.argv[1]).rglob("*.py")):
    data = path.read_bytes()
    if b"airflow" in data:
        libcst.parse_module(data)
print(time.perf_counter() - start)
"""
SCAN = """
import sys, time
from pathlib import Path
from stepbridge_migrate.scan import scan
if __name__ == "__main__":
    start = time.perf_counter()
    found = scan(Path(sys.argv[1]), jobs=int(sys.argv[2]))
    print(time.perf_counter() - start, len(found.sites), found.dag_files)
"""


def examples(folders: list[Path]) -> list[Path]:
    found = []
    for folder in folders:
        found += [path for path in sorted(folder.rglob("example_dags/**/*.py")) if path.stat().st_size]
        found += sorted(folder.rglob("tests/system/**/example_*.py"))
    return found


def copy(sources: list[Path], target: Path, count: int) -> None:
    """Copy *sources*, again and again, each round into folders of its own."""
    for number in range(count):
        source = sources[number % len(sources)]
        folder = target / f"round{number // len(sources)}" / source.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        name = source.name if source.name == "__init__.py" else f"{source.stem}_{number % len(sources)}.py"
        (folder / name).write_bytes(source.read_bytes())


def measured(code: str, *arguments: str) -> list[float]:
    """The numbers that *code* prints in a process of its own; a file, as worker processes import it again."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "measure.py")
        script.write_text(code)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(
            [sys.executable, str(script), *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
    return [float(part) for part in done.stdout.split()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("folders", nargs="*", type=Path, help="other site-packages with example DAGs")
    options = parser.parse_args()
    sources = examples([Path(sysconfig.get_path("purelib")), *options.folders])
    ratios: dict[int, list[float]] = {1: [], 2: []}
    seconds: dict[str, list[float]] = {"libcst": [], "scan": [], "scan -j 2": []}
    sites = dag_files = 0.0
    with tempfile.TemporaryDirectory() as folder:
        copy(sources, Path(folder), options.files)
        for _ in range(options.runs):
            (parse,) = measured(PARSE, folder)
            seconds["libcst"].append(parse)
            for jobs, name in ((1, "scan"), (2, "scan -j 2")):
                taken, sites, dag_files = measured(SCAN, folder, str(jobs))
                seconds[name].append(taken)
                ratios[jobs].append(taken / parse)
    one, two = statistics.median(ratios[1]), statistics.median(ratios[2])
    print(
        json.dumps(
            {
                "sources": len(sources),
                "files": options.files,
                "dag_files": int(dag_files),
                "sites": int(sites),
                "seconds": {name: round(statistics.median(taken), 3) for name, taken in seconds.items()},
                "ratio": {"one process": round(one, 3), "two processes": round(two, 3)},
                "bounds": {"one process": ONE, "two processes": TWO},
            },
            indent=2,
        )
    )
    return 0 if one <= ONE and two <= TWO else 1


if __name__ == "__main__":
    sys.exit(main())
