"""Odd values of `event_data` give on both engines what an oracle in Python reads in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from tests.pipeline.oracle.events import read_names
from tests.pipeline.oracle.values import json_object
from tests.support.hand_lake import HandLake
from tests.support.odd_event_data import odd_event_data
from tests.support.redshift_warehouse import Bucket, RedshiftWarehouse
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

NAMES = (
    *("player_id", "session_id", "device_id", "platform", "country_id"),
    *("acquisition_channel", "campaign_id"),
)
PREFIX = "odd_"
DOCUMENTS = odd_event_data()

Names = tuple[str | None, ...]


def expected(document: str) -> Names:
    data = read_names(json_object(document))
    player = data.get("user_id") or data.get("player_id")
    return tuple(str(x) if x else None for x in (player, *(data.get(key) for key in NAMES[1:])))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = HandLake(tmp_path_factory.mktemp("odd") / "lake")
    for number, document in enumerate(DOCUMENTS):
        lake.raw(
            date(2026, 1, 2),
            {
                "event_id": str(number),
                "event_type": "login",
                "event_timestamp": 1767312000,
                "application_id": "a",
                "event_data": document,
                "metadata": '{"processing_timestamp": 1767312009}',
            },
        )
    return lake.write()


def differences(warehouse: Warehouse) -> list[str]:
    """One line for each document that the warehouse reads in another way than the oracle."""
    warehouse.find()
    assert warehouse.dbt("--select", "+int_events", *WITHOUT_TESTS) == {}
    with warehouse.opened() as database:
        found = {
            int(str(row[0])): tuple(row[1:])
            for row in database.rows(
                f"select event_id, {', '.join(NAMES)} from {PREFIX}intermediate.int_events"
            )
        }
    assert set(found) == set(range(len(DOCUMENTS)))
    return [
        f"{document!r}: {found[number]}, oracle {expected(document)}"
        for number, document in enumerate(DOCUMENTS)
        # An event without a player may have got one from its session.
        if found[number][1:] != expected(document)[1:]
        or expected(document)[0] not in (None, found[number][0])
    ]


def test_duckdb_reads_odd_event_data_as_the_oracle_does(lake: Path, tmp_path: Path) -> None:
    assert len(set(DOCUMENTS)) > 600
    assert differences(Warehouse(lake, tmp_path, schema_prefix=PREFIX)) == []


def test_redshift_reads_odd_event_data_as_the_oracle_does(
    lake: Path, login: Callable[[str], dict[str, str]], make_bucket: Callable[[], Bucket]
) -> None:
    bucket = make_bucket()
    bucket.mirror(lake)
    warehouse = RedshiftWarehouse(bucket, login(PREFIX), schema_prefix=PREFIX)
    assert differences(warehouse) == []
