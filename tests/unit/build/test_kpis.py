"""The KPI table that a run prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb

from include.build import kpis
from include.settings import ROOT, Settings
from include.warehouse.duckdb_file import DuckDB


def test_each_application_has_its_last_14_days_and_its_retention(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "w.duckdb")) as warehouse:
        warehouse.execute("create schema x_marts")
        warehouse.execute(
            "create table x_marts.rpt_daily_kpis as select application_id,"
            " (date '2026-09-01' + n::integer) as kpi_date, 1000 + n as dau, 2000 as wau,"
            " 3000 as mau, null::double as stickiness, 5 as new_players, 7 as session_count,"
            " 1 as payers, 12.3456::decimal(18, 4) as revenue, 0.01 as arpdau"
            " from range(20) as days (n), (values ('one'), ('two')) as games (application_id)"
        )
        warehouse.execute(
            "create table x_marts.rpt_retention_overall as from (values ('one', 1, 200, 81),"
            " ('one', 7, 100, 20), ('one', 30, 0, 0))"
            " as r (application_id, day_n, cohort_size, classic_players)"
        )
        lines = kpis.summary(DuckDB(warehouse), Settings(schema_prefix="x_"))
    assert lines[1] == "one (revenue in USD)"
    assert lines[3].split() == [
        *("2026-09-07", "1,006", "2,000", "3,000", "-", "5", "7", "1", "12.35", "0.0100")
    ]
    assert lines[16].startswith("2026-09-20")
    assert lines[17] == "Retention (classic, mature cohorts): D1 40.5%  D7 20.0%"
    assert lines[-1] == "Retention (classic, mature cohorts): no cohort is mature yet"
    assert len(lines) == 2 * 18


def test_a_warehouse_without_kpis_is_no_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.duckdb", tmp_path / "empty.duckdb"):
        duckdb.connect(str(tmp_path / "empty.duckdb")).close()
        ended = subprocess.run(
            [sys.executable, "-m", "include.build.kpis"],
            cwd=ROOT,
            env={"GAME_ANALYTICS_DUCKDB": str(path)},
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
        )
        assert ended.returncode == 0
        assert ended.stdout.startswith("No KPIs")
        assert not (tmp_path / "none.duckdb").exists()
