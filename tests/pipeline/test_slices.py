"""A full refresh builds the tables of events in slices of days, and readers see all or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from dbt.adapters.duckdb.connections import DuckDBConnectionManager

from tests.support.hand_lake import HandLake
from tests.support.warehouse import WITHOUT_TESTS, Row, Warehouse

FIRST = date(2026, 7, 1)
DAYS = 7
EACH_DAY = ("--vars", "{largest_slice_bytes: 1}")
"""The arguments of a build in which each day is a slice."""
SLICED = ("int_events", "int_event_days", "int_player_days", "fct_sessions")


def write(lake: HandLake) -> None:
    """Write days whose rows depend on their neighbours: sessions, late players, repeated ids."""
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        for player in range(3):
            session = {"user_id": f"p{player}", "session_id": f"s{player}"}
            lake.event(f"{day}T00:01:00", **session)
            lake.event(f"{day}T23:59:00", **session)
        # The player is known on the day before, and the id is that of an event two days before.
        lake.event(f"{day}T12:00:00", session_id=f"only{number}", user_id=f"q{number}")
        lake.event(f"{day}T12:30:00", session_id=f"only{number - 1}")
        lake.event(f"{day}T13:00:00", event_id=f"again{number % 2}", user_id="p0")
        for level in range(2):
            lake.event(f"{day}T14:00:0{level}", event_id=f"twice{number}", user_id=f"p{level}")
    lake.write()


@contextmanager
def statements(suffix: str = "") -> Iterator[list[str]]:
    """The SQL that dbt sends while this context lasts; `suffix` follows that of int_events."""
    sent: list[str] = []
    add_query = DuckDBConnectionManager.add_query

    def add(self: DuckDBConnectionManager, sql: str, *arguments: Any, **named: Any) -> Any:
        sent.append(sql)
        is_build = '"int_events' in sql and "insert into" in sql
        return add_query(self, sql + suffix if is_build else sql, *arguments, **named)

    with patch.object(DuckDBConnectionManager, "add_query", add):
        yield sent


def rows(warehouse: Warehouse) -> dict[str, list[str]]:
    """The rows of each table, sorted."""
    return {name: sorted(map(_text, found)) for name, found in warehouse.tables().items()}


def _text(row: Row) -> str:
    return repr(sorted(row.items()))


def test_slices_give_the_rows_of_one_build_of_all_days(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    write(lake)
    whole, sliced = (Warehouse(lake.root, tmp_path / name) for name in ("whole", "sliced"))
    for warehouse in (whole, sliced):
        Path(warehouse.settings.duckdb_path).parent.mkdir()
        warehouse.find()
    with statements() as sent:
        assert whole.dbt(*WITHOUT_TESTS) == {}
    inserts = {model: _inserts(sent, model) for model in SLICED}
    with statements() as sent:
        assert sliced.dbt(*WITHOUT_TESTS, *EACH_DAY) == {}
    assert {model: _inserts(sent, model) for model in SLICED} == {
        model: count + DAYS - 1 for model, count in inserts.items()
    }
    assert rows(sliced) == rows(whole)
    events = whole.tables()["intermediate.int_events"]
    assert len(events) == DAYS * 10
    assert sum(event["player_id"] is None for event in events) == 1

    # The slices also cover days that only an earlier build listed.
    with sliced.opened() as database:
        database.execute("delete from operations.listed_partitions")
    assert sliced.dbt(*WITHOUT_TESTS, *EACH_DAY, "--full-refresh") == {}
    assert rows(sliced) == rows(whole)


def test_a_full_refresh_that_fails_in_its_last_slice_leaves_the_old_table(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    write(lake)
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    before = rows(warehouse)["intermediate.int_events"]
    lake.event(f"{FIRST}T15:00:00", user_id="late")
    write(lake)
    warehouse.find(full_refresh=True)
    arguments = (*WITHOUT_TESTS, *EACH_DAY, "--full-refresh", "--select", "+int_events")
    with statements(suffix="; select error('stopped')") as sent:
        assert "stopped" in warehouse.dbt(*arguments)["int_events"]
    assert _inserts(sent, "int_events") == DAYS - 1
    assert rows(warehouse)["intermediate.int_events"] == before
    assert warehouse.dbt(*arguments) == {}
    assert len(rows(warehouse)["intermediate.int_events"]) == len(before) + 1


def _inserts(sent: list[str], model: str) -> int:
    """The number of inserts into the table of a model, or into that which takes its place."""
    return sum(
        line.strip().startswith("insert into") and f'."{model}' in line
        for sql in sent
        for line in sql.splitlines()
    )
