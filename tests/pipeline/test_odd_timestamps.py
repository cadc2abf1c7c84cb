"""Events with odd timestamps are landed under few days and quarantined by staging."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.landing.landing import land_files
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

ARRIVED_AT = 1_790_000_000
ARRIVAL_DAY = "2026-09-21"
FIRST = date(2020, 2, 1)
FIRST_SECOND = int(datetime(2020, 2, 1, tzinfo=UTC).timestamp())
TOMORROW_ENDS = (ARRIVED_AT // 86_400 + 2) * 86_400

VALID = [FIRST_SECOND, ARRIVED_AT - 86_400, ARRIVED_AT, ARRIVED_AT + 86_400]
OLD = [*range(1, FIRST_SECOND, 20_000_000), FIRST_SECOND - 1]
FUTURE = [
    *(ARRIVED_AT + 86_401, TOMORROW_ENDS - 1, TOMORROW_ENDS, ARRIVED_AT * 1_000),
    *range(TOMORROW_ENDS, 253_402_300_800, 3_000_000_000),
]


def test_events_outside_of_the_valid_days_are_stored_at_arrival_and_quarantined(
    tmp_path: Path,
) -> None:
    assert datetime.fromtimestamp(ARRIVED_AT, UTC).date().isoformat() == ARRIVAL_DAY
    expected = {
        **dict.fromkeys(OLD, "timestamp_too_old"),
        **dict.fromkeys(FUTURE, "timestamp_in_future"),
    }
    lines = [
        json.dumps(
            {
                "event": {"event_id": f"e{at}", "event_type": "login", "event_timestamp": at},
                "application_id": "a",
            }
        )
        for at in [*VALID, *expected]
    ]
    file = tmp_path / "odd.jsonl"
    file.write_text("\n".join([*lines, "no json"]) + "\n")
    (landing,) = land_files(tmp_path / "lake", [str(file)], ARRIVED_AT, earliest=FIRST)
    assert (landing.landed, landing.rejected) == (len(lines), 1)
    assert landing.landed + landing.rejected == landing.lines
    days = {path.parent for path in (tmp_path / "lake" / "raw_events").rglob("*.parquet")}
    # The days of the valid events, and the rest of tomorrow.
    assert len(days) == len(VALID)

    warehouse = Warehouse(tmp_path / "lake", tmp_path, earliest_date=str(FIRST))
    warehouse.build(*WITHOUT_TESTS, "--select", "+int_events", "+fct_quarantined_events")
    quarantined = warehouse.rows("marts.fct_quarantined_events")
    assert {row["event_id"]: row["reason"] for row in quarantined} == {
        f"e{at}": reason for at, reason in expected.items()
    }
    assert len(quarantined) == len(expected)
    events = Counter(row["event_id"] for row in warehouse.rows("intermediate.int_events"))
    assert events == Counter(f"e{at}" for at in VALID)
