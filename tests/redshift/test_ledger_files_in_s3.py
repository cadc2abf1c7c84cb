"""Ledger files of every format in S3 end in the rows of DuckDB, by way of `ledger_rows/`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.settings import UserError
from tests.redshift_standin import Cluster
from tests.support.mixed_ledger import DAY, QUARANTINED, TURNOVERS, bets, write, write_mixed_lake
from tests.support.redshift_warehouse import Bucket, RedshiftWarehouse, contents, described
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

PREFIX = "mixed_"
SELECTED = (
    *(*WITHOUT_TESTS, "--select", "+fct_quarantined_rows", "+rpt_betting"),
    *("+dim_games", "+dim_ledger_players"),
)
"""The arguments of a build of what the ledger's files reach."""
OLD_TABLE = (
    "create external table mixed_spectrum.games (id varchar(1024), game_name varchar(1024), "
    "gameproviderid varchar(1024)) row format serde 'org.apache.hadoop.hive.serde2.OpenCSVSerde' "
    "stored as textfile location '{lake}/games/' table properties ('skip.header.line.count'='1')"
)


def assert_equal(on_duckdb: Warehouse, on_redshift: Warehouse) -> None:
    with on_duckdb.opened() as duckdb, on_redshift.opened() as redshift:
        columns = described(duckdb, PREFIX)
        assert contents(redshift, PREFIX, columns) == contents(duckdb, PREFIX, columns)


def stored(bucket: Bucket) -> set[str]:
    """The objects below `ledger_rows/`, without the prefix of the lake."""
    found = bucket.client.list_objects_v2(
        Bucket=bucket.bucket, Prefix=f"{bucket.prefix}/ledger_rows/"
    )
    return {entry["Key"].removeprefix(f"{bucket.prefix}/") for entry in found.get("Contents", [])}


def test_both_engines_read_the_same_rows(
    tmp_path: Path,
    cluster: Cluster,
    login: Callable[[str], dict[str, str]],
    make_bucket: Callable[[], Bucket],
) -> None:
    lake = tmp_path / "lake"
    write_mixed_lake(lake)
    bucket = make_bucket()
    on_duckdb = Warehouse(lake, tmp_path, schema_prefix=PREFIX)
    on_redshift = RedshiftWarehouse(bucket, login(PREFIX), schema_prefix=PREFIX)
    bucket.mirror(lake)
    for warehouse in (on_duckdb, on_redshift):
        warehouse.build(*SELECTED)
    with on_redshift.opened() as database:
        report = database.rows("select game_id, turnover from mixed_marts.rpt_betting")
        assert {game.lower(): turnover for game, turnover in report} == TURNOVERS
        listed = database.rows(
            "select source_name, source_file, line_number, reason, payload "
            "from mixed_marts.fct_quarantined_rows"
        )
        assert set(map(tuple, listed)) == QUARANTINED
        locations = database.rows(
            "select location from svv_external_tables "
            "where schemaname = 'mixed_spectrum' and tablename not like '%_events'"
        )
        assert all(f"{bucket.uri}/ledger_rows/prefix=mixed_/" in place for (place,) in locations)
    assert_equal(on_duckdb, on_redshift)

    # A file of another kind is refused by name on both engines, and nothing changes.
    before = stored(bucket)
    write(lake, "games/games.csv.bak", "id,game_name,gameproviderid\ng9,Old,p1\n")
    bucket.mirror(lake)
    for warehouse in (on_duckdb, on_redshift):
        with pytest.raises(UserError, match=r"games/games\.csv\.bak is no data file"):
            warehouse.find()
    assert stored(bucket) == before
    (lake / "games/games.csv.bak").unlink()

    # A table of an earlier version read the raw files. A corrected file replaces its rows.
    with on_redshift.opened() as database:
        database.execute("drop table mixed_spectrum.games")
        database.execute(OLD_TABLE.format(lake=bucket.uri))
    write(lake, f"{DAY}/short.csv", bets(["5,0,c,USD,g1,WAGER,b1,p1"]))
    bucket.mirror(lake)
    scans = len(cluster.scans())
    for warehouse in (on_duckdb, on_redshift):
        assert warehouse.build(*SELECTED)["game_transactions"] == ["2026-11-20"]
    assert_equal(on_duckdb, on_redshift)
    assert len(stored(bucket)) == len(before)
    assert len(stored(bucket) - before) == 1
    read = {scan.table for scan in cluster.scans()[scans:]}
    assert any(table.endswith("games") for table in read)
