"""The marts against a script written by hand from the same definitions, in another way."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

import duckdb

from include.lake.sample.sample import Sample, write_sample
from tests.benchmarks import by_hand
from tests.support.warehouse import Warehouse


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small lake's marts, by dbt and by the script."""
    folder = tmp_path_factory.mktemp("by_hand")
    lake = folder / "lake"
    write_sample(lake, Sample(days=12, players=60, seed=11, end=date(2026, 9, 30)), str)
    warehouse = Warehouse(lake, folder)
    warehouse.build("--exclude-resource-type", "test", "unit_test")
    script = folder / "by_hand.duckdb"
    by_hand.build(warehouse.settings.duckdb_path, script)
    return warehouse.settings.duckdb_path, script


@pytest.mark.parametrize("mart", by_hand.MARTS)
def test_every_mart_is_the_same(both: tuple[Path, Path], mart: str) -> None:
    with duckdb.connect(str(both[0]), read_only=True) as connection:
        counted = connection.execute(f"select count(*) from marts.{mart}").fetchone()
    assert counted
    assert counted[0] > 0
    assert by_hand.differences(*both, tables=[mart]) == []


def test_a_difference_is_seen(both: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.duckdb"
    other.write_bytes(both[1].read_bytes())
    with duckdb.connect(str(other)) as connection:
        connection.execute(
            "update marts.rpt_daily_kpis set dau = dau + 1 where kpi_date = '2026-09-28'"
        )
        connection.execute("alter table marts.dim_games drop column game_name")
    found = by_hand.differences(*both[:1], other)
    assert [line for line in found if not line.startswith(" ")] == [
        "dim_games: the columns game_name differ",
        "rpt_daily_kpis: 2 rows are in dbt's alone",
        "rpt_daily_kpis: 2 rows are in hand's alone",
    ]
