"""A run on Redshift reads a touched day of the lake once, and its tests only the days it built."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.run_days.expiry import replaced_days
from include.manifest import Manifest
from tests.redshift_standin import Cluster
from tests.support.hand_lake import HandLake
from tests.support.redshift_warehouse import Bucket, RedshiftWarehouse
from tests.support.warehouse import WITHOUT_TESTS

FIRST = date(2026, 7, 1)
DAYS = 40
TOUCHED = FIRST + timedelta(days=20)


def partition(day: date) -> str:
    return f"year={day:%Y}/month={day:%m}/day={day:%d}"


def test_a_daily_run_reads_the_touched_day_and_what_it_reaches(
    tmp_path: Path,
    cluster: Cluster,
    login: Callable[[str], dict[str, str]],
    make_bucket: Callable[[], Bucket],
) -> None:
    lake = HandLake(tmp_path / "lake")
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        lake.event(f"{day}T10:00:00", user_id=f"p{number % 5}", session_id=f"s{number}")
        lake.table(
            f"game_transactions/date={day}/bets.parquet",
            [
                {
                    "realamount": "1",
                    "bonusamount": "0",
                    "txcurrency": "USD",
                    "gameid": "g",
                    "txtype": "WAGER",
                    "betid": f"b{number}",
                    "playerid": "p",
                }
            ],
        )
    lake.write()
    warehouse = RedshiftWarehouse(make_bucket(), login("scans_"), schema_prefix="scans_")
    warehouse.bucket.mirror(lake.root)
    warehouse.build(*WITHOUT_TESTS)
    full = cluster.scans()
    assert max(len(scan.partitions) for scan in full) == DAYS

    lake.event(f"{TOUCHED}T11:00:00", user_id="late", event_id="late")
    lake.write()
    (lake.root / f"game_transactions/date={TOUCHED}/bets.parquet").unlink()
    warehouse.bucket.mirror(lake.root)
    before, queries = len(full), cluster.last_number()
    warehouse.build("--exclude-resource-type", "unit_test")
    scans = cluster.scans()[before:]
    read = {scan.table.rsplit(".", 1)[-1]: set[str]() for scan in scans}
    for scan in scans:
        read[scan.table.rsplit(".", 1)[-1]].update(scan.partitions)
    raw = [scan for scan in scans if scan.table.endswith(".raw_events")]
    assert [list(scan.partitions) for scan in raw] == [[partition(TOUCHED)]]
    tested = {
        table: set(re.findall(r"date '([0-9-]+)'", query.sql))
        for query in cluster.queries(queries)
        if "dbt_internal_test" in query.sql
        for table in re.findall(r'"scans_\w+"\."(\w+)" where', query.sql)
    }
    manifest = Manifest.read()
    nodes = [manifest.nodes[node] for node in manifest.built if manifest.tests_of(node)]
    keyed = {node["name"] for node in nodes if node["config"]["meta"].get("changed_keys")}
    replaced = {node["name"]: days for node in nodes if (days := replaced_days(node))}
    # The tests of a model with changed keys read the rows of the keys that this run has built.
    assert {*tested} >= keyed
    assert all(len(tested[table]) < DAYS for table in keyed & {*tested})
    assert {"int_events", "fct_sessions", "int_bets"} <= {*replaced}
    assert {table: days for table, days in tested.items() if table not in keyed} == {
        table: {
            str(TOUCHED + timedelta(days=shift))
            for shift in range(-days["before"], days["after"] + 1)
        }
        for table, days in replaced.items()
        # A test of this view filters rows, and not days: its source has no partitions.
    } | {"stg_ledger__exchange_rates": set()}
    # The only file of the partition was deleted, so the partition is dropped and nothing is read.
    assert read.get("game_transactions", set()) == set()
