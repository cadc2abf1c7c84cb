"""The large lake does not depend on the number of processes, and written rows are counted."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli", reason="runs in the dbt environment")

import pyarrow.parquet as pq

from include.lake.sample.sample import Sample
from tests.benchmarks.large_lake import write_large_sample
from tests.benchmarks.rows_written import (
    counted_on_duckdb,
    of_models,
    of_partitions,
    table_written,
    written_between,
)
from tests.support.hand_lake import HandLake
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

DAYS = (date(2026, 7, 1), date(2026, 7, 2))


def files(lake: Path) -> dict[str, bytes]:
    """The content of each data file; the landing's own files hold times."""
    return {
        path.relative_to(lake).as_posix(): path.read_bytes()
        for path in lake.rglob("*")
        if path.is_file() and not path.relative_to(lake).parts[0].startswith("_")
    }


def test_any_number_of_processes_writes_the_same_lake(tmp_path: Path) -> None:
    sample = Sample(3, 12, 7, date(2026, 9, 30), bets_per_day=50)
    for processes in (1, 3):
        write_large_sample(tmp_path / str(processes) / "lake", sample, processes)
    one, three = (files(tmp_path / str(processes) / "lake") for processes in (1, 3))
    assert one == three
    assert not [path for path in (tmp_path / "1").iterdir() if path.name != "lake"]
    bets = [
        bet
        for path in (tmp_path / "1/lake/game_transactions").rglob("*.parquet")
        for bet in pq.read_table(path).column("betid").to_pylist()
    ]
    # One of the three days is CSV and one is JSON. Each bet has one or two rows.
    assert 40 <= len(set(bets)) <= 60


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ('insert into "w"."marts"."fct_bets" ("a") select 1', "fct_bets"),
        ('/* {"app": "dbt"} */\n\n    delete from marts.fct_bets\n using x', "fct_bets"),
        ('create table "w"."marts"."dim_games__dbt_tmp" as (select 1)', "dim_games"),
        ("create temporary table fct_bets__old as select 1", None),
        ('insert into "fct_bets__dbt_tmp" select 1', None),
        ("select 1 from marts.fct_bets", None),
        ("drop table marts.fct_bets", None),
    ],
)
def test_the_table_that_a_statement_writes(statement: str, table: str | None) -> None:
    assert table_written(statement) == table


def test_the_rows_that_dbt_writes_are_counted(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    for day in DAYS:
        lake.event(f"{day}T10:00:00", user_id="p")
        lake.event(f"{day}T11:00:00", user_id="q")
    lake.write()
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.find()
    with counted_on_duckdb() as rows:
        assert not warehouse.dbt(*WITHOUT_TESTS)
    warehouse.record()
    assert rows["stg_game_events"] == rows["fct_player_days"] == 4
    late = HandLake(tmp_path / "late")
    late.event(f"{DAYS[1]}T12:00:00", user_id="r", event_id="late")
    for path in late.write().rglob("*.parquet"):
        path.rename(lake.root / path.relative_to(late.root).with_name("late.parquet"))
    warehouse.find()
    with counted_on_duckdb() as rows:
        assert not warehouse.dbt(*WITHOUT_TESTS)
    # The two rows of the touched day are deleted, and three are inserted.
    assert rows["stg_game_events"] == 5
    # Only the row of the new player differs.
    assert rows["fct_player_days"] == 1


def test_rows_between_two_counts() -> None:
    before = {(1, "kept"): 10, (2, "made_anew"): 7}
    after = {(1, "kept"): 12, (3, "made_anew"): 8, (4, "dim_players"): 5, (5, "run_days"): 4}
    rows = written_between(before, after)
    assert rows == {"kept": 2, "made_anew": 8, "dim_players": 5, "run_days": 4}
    assert of_models(rows) == 10
    assert of_partitions(rows) == 4
