"""After a build that was killed, or that built single models, the next run makes the marts of an
undisturbed run.
"""

from __future__ import annotations

import os
import shutil
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


def tables_of_changed_keys(warehouse: Warehouse) -> list[str]:
    """The names of the tables that hold the changed keys of the models."""
    found = warehouse.query(
        "select table_name from information_schema.tables "
        "where table_schema = 'operations' and starts_with(table_name, 'changes_of_')"
    )
    assert len(found) > 10
    return [f"operations.{row['table_name']}" for row in found]


def test_models_that_are_built_alone_and_out_of_order_lose_no_change(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    write_sample(lake, Sample(days=5, players=20, seed=3, end=END))
    (tmp_path / "alone").mkdir()
    alone = Warehouse(lake, tmp_path / "alone", allow_lost_rows="1")
    alone.build(*WITHOUT_TESTS)
    # Players, purchases and refunds of the first sample are gone, and the others are new.
    shutil.rmtree(lake)
    write_sample(lake, Sample(days=5, players=15, seed=4, end=END))
    alone.find()
    # A reader is built before its input, and an input again after its reader.
    for model in (
        *("stg_game_events", "int_events", "int_player_days", "dim_players", "fct_player_days"),
        "int_money_events",
        *("fct_purchases", "int_purchases", "int_player_lifetimes", "int_player_days"),
        *("fct_player_days", "int_refunds", "int_segment_days", "fct_purchases"),
    ):
        assert alone.dbt(*WITHOUT_TESTS, "--select", model) == {}
    assert any(alone.rows(table) for table in tables_of_changed_keys(alone))
    alone.build(*WITHOUT_TESTS)
    assert not any(alone.rows(table) for table in tables_of_changed_keys(alone))

    undisturbed = Warehouse(lake, tmp_path / "undisturbed")
    (tmp_path / "undisturbed").mkdir()
    undisturbed.build(*WITHOUT_TESTS)
    assert contents(alone) == contents(undisturbed)


def test_an_input_that_is_built_as_a_whole_changes_all_rows_of_its_readers(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    write_sample(lake, Sample(days=5, players=20, seed=3, end=END))
    warehouse = Warehouse(lake, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    right = contents(warehouse)
    warehouse.execute(
        [
            "update marts.dim_players set lifetime_session_count = 99",
            "delete from intermediate.int_player_lifetimes",
            "drop table marts.fct_player_days",
        ]
    )
    warehouse.build(*WITHOUT_TESTS)
    assert contents(warehouse) == right
