"""After `kill -9` of dbt in a build, the next run makes the marts of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from include.lake.sample.sample import Sample, write_sample
from include.settings import ROOT
from tests.support.warehouse import WITHOUT_TESTS, Warehouse, environment

END = date(2026, 9, 10)


def contents(warehouse: Warehouse) -> dict[str, Counter[str]]:
    """The rows of every table as a multiset."""
    return {table: Counter(map(repr, warehouse.rows(table))) for table in warehouse.tables()}


def kill_dbt_at(warehouse: Warehouse, model: str) -> None:
    """Start a process `dbt build` and kill it when it starts a model."""
    with environment(warehouse.settings.as_environment()):
        command = [str(Path(sys.executable).with_name("dbt")), "build", *WITHOUT_TESTS]
        with subprocess.Popen(
            command, cwd=ROOT, env=os.environ.copy(), stdout=subprocess.PIPE, text=True
        ) as dbt:
            assert dbt.stdout
            for line in dbt.stdout:
                if "START" in line and f".{model} " in line:
                    dbt.send_signal(signal.SIGKILL)
                    break
            else:
                raise AssertionError(f"dbt ended without starting {model}")
    assert dbt.returncode == -signal.SIGKILL


def test_the_build_after_a_killed_one_makes_the_same_marts(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    write_sample(lake, Sample(days=5, players=20, seed=3, end=END))
    (tmp_path / "killed").mkdir()
    killed = Warehouse(lake, tmp_path / "killed")
    killed.build(*WITHOUT_TESTS)
    # The sample gets more players on the same days, so every day is touched again.
    write_sample(lake, Sample(days=6, players=25, seed=4, end=END))
    touched = killed.find()
    for model in ("int_events", "fct_player_days", "rpt_retention"):
        kill_dbt_at(killed, model)
        assert killed.find() == touched
    assert killed.build(*WITHOUT_TESTS) == touched

    undisturbed = Warehouse(lake, tmp_path / "undisturbed")
    undisturbed.build(*WITHOUT_TESTS)
    assert contents(killed) == contents(undisturbed)
    assert contents(killed)["marts.rpt_daily_kpis"]
