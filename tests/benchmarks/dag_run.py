"""One run of the DAG through Airflow's scheduler, over a plain build of the same lake."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from include.settings import ROOT
from tests.benchmarks.against_hand import SAMPLE_LAKE
from tests.benchmarks.builds import generated
from tests.benchmarks.measure import FOLDER, Figure, Skipped, progress, seconds_of

PART = "dag"
CHECKOUT = FOLDER / "checkout"
AIRFLOW = ROOT / ".venv" / "airflow" / "bin" / "python"


def measure(_: int) -> list[Figure | Skipped]:
    """One run, in a copy of this checkout: the user's Airflow and warehouse are left alone."""
    if not AIRFLOW.exists():
        return [Skipped(PART, "Airflow's environment is not installed: `make install`")]
    lake = generated(*SAMPLE_LAKE)
    plain = lake.build_anew()
    progress(f"{PART}: plain build {plain.total:.1f} s; now the DAG, which takes minutes")
    _copy_checkout()
    settings = {
        "PYTHONPATH": str(CHECKOUT),
        "GAME_ANALYTICS_LAKE": str(lake.lake),
        "GAME_ANALYTICS_DUCKDB": str(CHECKOUT / "warehouse.duckdb"),
    }
    # A user's manifest and database are there already.
    manifest = seconds_of([str(AIRFLOW), "-m", "include.manifest"], settings, CHECKOUT)
    progress(f"{PART}: manifest made in {manifest:.1f} s")
    everything = seconds_of([str(AIRFLOW), "-m", "include.laptop.run"], settings, CHECKOUT)
    tasks, proper = _first_start_to_last_end(CHECKOUT / ".airflow" / "airflow.db")
    progress(f"{PART}: {everything:.1f} s")
    return [
        Figure(PART, "plain build of the same lake", plain.total, "s", samples=[plain.total]),
        Figure(PART, f"DAG run proper, {tasks} tasks", proper, "s", samples=[proper]),
        Figure(PART, "everything, Airflow's first start too", everything, "s"),
        Figure(PART, "DAG run proper / plain build", proper / plain.total, "x"),
        Figure(PART, "everything / plain build", everything / plain.total, "x"),
    ]


def _copy_checkout() -> None:
    shutil.rmtree(CHECKOUT, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", "target", "logs")
    for folder in ("dags", "dbt", "include", "plugins"):
        shutil.copytree(ROOT / folder, CHECKOUT / folder, ignore=ignored)
    (CHECKOUT / ".venv").symlink_to(ROOT / ".venv")


def _first_start_to_last_end(database: Path) -> tuple[int, float]:
    """Tasks that ran, and the seconds from the first one's start to the last one's end."""
    with closing(sqlite3.connect(database)) as connection:
        count, first, last = connection.execute(
            "select count(*), min(start_date), max(end_date) from task_instance"
        ).fetchone()
    seconds = datetime.fromisoformat(last) - datetime.fromisoformat(first)
    return count, seconds.total_seconds()
