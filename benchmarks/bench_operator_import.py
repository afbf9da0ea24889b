"""What ``from stepbridge_airflow import StepOperator`` costs over importing KubernetesPodOperator.

``python benchmarks/bench_operator_import.py [--runs N]``. Runs are interleaved, so that a busy machine slows
both alike; the figures are medians of CPU seconds, the bound is on their ratio. Exit status 1 where it is
missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BOUND = 1.10
THEIRS = "from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator"
OURS = "from stepbridge_airflow import StepOperator"


def cpu_seconds(code: str, environment: dict[str, str]) -> float:
    """CPU seconds of an interpreter that runs *code*."""
    before = os.times()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    seconds: dict[str, list[float]] = {THEIRS: [], OURS: []}
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "AIRFLOW_HOME": str(Path(home))}
        for code in seconds:
            cpu_seconds(code, environment)
        for _ in range(runs):
            for code, times in seconds.items():
                times.append(cpu_seconds(code, environment))
    medians = {code: statistics.median(times) for code, times in seconds.items()}
    for code, median in medians.items():
        print(f"{median:7.3f} s  {code}")
    ratio = medians[OURS] / medians[THEIRS]
    print(f"ratio {ratio:.3f}, bound {BOUND:.2f}: {'kept' if ratio <= BOUND else 'MISSED'}")
    return 0 if ratio <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
