"""The first step of a run on the stand-in: fingerprints, and sources that lost their rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.settings import UserError
from tests.support.hand_lake import HandLake, folder
from tests.support.redshift_warehouse import Bucket, RedshiftWarehouse

PREFIX = "lost_"


def write_players(lake: HandLake, *ids: str) -> None:
    columns = ("country", "birthdate", "gender", "playerstate", "vip", "kyc")
    lake.table(
        "players/p.parquet",
        [{"playerid": name or None, **dict.fromkeys(columns, "x")} for name in ids],
    )


def test_a_loss_stops_the_run_and_a_warehouse_of_an_earlier_version_is_upgraded(
    tmp_path: Path, login: Callable[[str], dict[str, str]], make_bucket: Callable[[], Bucket]
) -> None:
    lake, bucket = HandLake(tmp_path / "lake"), make_bucket()
    redshift = RedshiftWarehouse(bucket, login(PREFIX), schema_prefix=PREFIX)
    days = [date(2026, 11, number) for number in (20, 21, 22)]
    for day in days:
        lake.event(f"{day}T10:00:00", user_id="p")
    lake.write()

    def find() -> list[str]:
        bucket.mirror(lake.root)
        return list(redshift.find()["raw_events"])

    # No file of players: the table is empty.
    find()
    redshift.record()
    write_players(lake, "p1", "p2", "p2", "p3", "p4", "", " ")
    assert find() == []
    redshift.record()
    with redshift.opened() as database:
        counts: dict[str, int] = dict(
            database.rows(f"select source, key_count from {PREFIX}operations.built_sources")
        )
        assert counts["players"] == 4
        assert counts["games"] == 0

        # The tables as an earlier version made them.
        for table in ("listed_partitions", "built_partitions"):
            database.execute(f"alter table {PREFIX}operations.{table} drop column fingerprint")
        for table in ("begun_days", "listed_sources", "built_sources"):
            database.execute(f"drop table {PREFIX}operations.{table}")
    assert find() == []
    redshift.record()
    with redshift.opened() as database:
        fingerprints = (
            f"select count(*), count(fingerprint) from {PREFIX}operations.built_partitions"
        )
        assert database.rows(fingerprints) == [(4, 4)]
        # The keys were counted again, in the file with the parsed rows that is in S3.
        counted = f"select key_count from {PREFIX}operations.built_sources where source = 'players'"
        assert database.rows(counted) == [(4,)]

    write_players(lake, "p1", "", "")
    with pytest.raises(UserError, match="players had 4 keys and has 1"):
        find()
    (lake.root / "players/p.parquet").unlink()
    with pytest.raises(UserError, match="players had 1 file and has 0"):
        find()
    # A run that builds nothing: the late file of a day is removed before the next run.
    write_players(lake, "p1", "p2")
    late = lake.root / "raw_events" / folder(days[0]) / "late.parquet"
    late.write_bytes((late.parent / "part-0.parquet").read_bytes())
    assert find() == [str(days[0])]
    late.unlink()
    assert find() == [str(days[0])]
    redshift.record()
    assert find() == []

    for day in days[:2]:
        (lake.root / "raw_events" / folder(day) / "part-0.parquet").unlink()
    with pytest.raises(UserError, match="raw_events had 3 days and has 1"):
        find()
    allowed = RedshiftWarehouse(bucket, redshift.login, schema_prefix=PREFIX, allow_lost_rows="1")
    assert allowed.find()["raw_events"] == [str(day) for day in days[:2]]
    allowed.record()
    assert find() == []
