"""Many runs of a shadowed task under real Airflow, and the verdict of ``migrate report`` over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow")

from stepbridge_migrate import cli

SOURCE = """
from pathlib import Path
from stepbridge_airflow import shadow

def price(n):
    return {"price": n * 2}

def candidate(n):
    if Path("FLAGS/fail").exists():
        raise ValueError("no rows")
    return {"price": n * 2 + Path("FLAGS/differ").exists()}

with DAG("DAG_ID", start_date=START, schedule=None):
    PythonOperator(task_id="price", python_callable=price, op_args=[4])
    shadow("price", candidate)
"""


def test_runs_make_it_ready_and_a_difference_takes_that_back(
    lab: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dag = lab.load(lab.write(SOURCE.replace("FLAGS", str(tmp_path))))

    def verdict(flag: str = "") -> tuple[int, str]:
        nonlocal found
        if flag:
            (tmp_path / flag).touch()
        assert lab.test(dag).state == "success"
        capfd.readouterr()
        given = ("--store", f"file://{lab.store}", "--runs", "2", "--format", "json")
        code = cli.main(["report", f"{dag.dag_id}.price", *given])
        found = json.loads(capfd.readouterr().out)
        return code, found["verdict"]

    found: dict[str, Any] = {}
    assert verdict() == (1, "INSUFFICIENT")
    assert verdict() == (0, "READY")
    assert len(found["runs"][0]["code"]) == 64
    assert {one["name"] for one in found["measured"]} >= {"duration", "peak memory"}
    assert verdict("differ") == (1, "REGRESSED")
    assert "$.price" in found["rule"]
    assert verdict("fail") == (1, "REGRESSED")
    assert [run["verdict"] for run in found["runs"]] == [
        "CANDIDATE_FAILED",
        "DIFFERENT",
        "IDENTICAL",
        "IDENTICAL",
    ]
