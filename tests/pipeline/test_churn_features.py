"""The features of `rpt_churn_features` do not see their future; the as-of day moves all reports.

The lake has seven copies of a story (`story.py`), each a day earlier than the one before, so that
every midnight of the story is that before a Monday. The story has sessions over midnights, players
that only the next day shows, and refunds before and after their purchases.
"""

from __future__ import annotations

import io
import json
import random
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from include.lake.landing.landing_zone import LandingZone
from tests.pipeline.oracle import compute
from tests.pipeline.story import Story
from tests.pipeline.truth import KEYS, RATE_TOLERANCE
from tests.support.compare import difference
from tests.support.warehouse import WITHOUT_TESTS, Row, Warehouse

MONDAYS = (date(2026, 9, 7), date(2026, 9, 14))
LABEL = ("label_end_date", "is_churned")
REPORTS = (
    *("rpt_player_lifecycle", "rpt_session_lengths", "rpt_monthly_kpis"),
    *("rpt_player_segments", "rpt_churn_features"),
)
SELECTED = ("--select", *(f"+{report}" for report in REPORTS))
ARRIVED_AT = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())


def lines(until: date | None = None) -> list[bytes]:
    """The lines of all copies of the story, or only the events before a day."""
    end = datetime(until.year, until.month, until.day, tzinfo=UTC).timestamp() if until else None
    found = []
    for line in Story(random.Random(5), days=24).events:  # noqa: S311 - reproducible on purpose
        for earlier in range(7):
            envelope = json.loads(line)
            envelope["application_id"] += str(earlier)
            envelope["event"]["event_timestamp"] -= earlier * 86400
            if end is None or envelope["event"]["event_timestamp"] < end:
                found.append(json.dumps(envelope).encode())
    return found


def landed(folder: Path, content: list[bytes], name: str = "story.jsonl") -> Warehouse:
    """A warehouse, not built yet, of a lake in which the lines are landed."""
    folder.mkdir(exist_ok=True)
    with LandingZone(folder / "lake") as zone:
        zone.land(name, io.BytesIO(b"\n".join(content)), ARRIVED_AT)
    return Warehouse(folder / "lake", folder)


def variables(**values: object) -> tuple[str, str]:
    """The arguments that set dbt variables in one build."""
    return "--vars", json.dumps(values)


def features(warehouse: Warehouse, monday: date) -> dict[tuple[object, object], Row]:
    """The features of a Monday, without the label, by application and player."""
    return {
        (row["application_id"], row["player_id"]): {
            name: value for name, value in row.items() if name not in LABEL
        }
        for row in warehouse.rows("marts.rpt_churn_features")
        if row["as_of_date"] == monday
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """A warehouse of all events."""
    warehouse = landed(tmp_path_factory.mktemp("whole"), lines())
    warehouse.build(*WITHOUT_TESTS, *SELECTED)
    return warehouse


@pytest.mark.parametrize("monday", MONDAYS)
def test_the_features_are_the_same_without_any_later_event(
    whole: Warehouse, tmp_path: Path, monday: date
) -> None:
    sunday = monday - timedelta(days=1)
    past = landed(tmp_path / "past", lines(until=monday))
    past.build(*WITHOUT_TESTS, *SELECTED, *variables(as_of_date=str(sunday)))
    found = features(past, monday)
    assert len(found) > 50
    assert features(whole, monday) == found
    # Those events do change what other tables have on the Sunday.
    for table, column, day in (
        ("intermediate.int_events", "player_id", "event_date"),
        ("marts.fct_player_days", "playtime_seconds", "activity_date"),
    ):
        with_future, without = (
            sorted(str(row[column]) for row in built.rows(table) if row[day] == sunday)
            for built in (whole, past)
        )
        assert with_future != without, table


def assert_reports_equal_oracle(warehouse: Warehouse, as_of: date | None = None) -> None:
    expected = compute(warehouse.lake, as_of=as_of)
    for report in REPORTS:
        actual = warehouse.rows(f"marts.{report}")
        assert actual, report
        assert difference(actual, expected[report], KEYS[report], RATE_TOLERANCE) == [], report


def test_the_reports_follow_the_as_of_day_back_and_forth(tmp_path: Path) -> None:
    warehouse = landed(tmp_path, lines())
    warehouse.build(*WITHOUT_TESTS, *SELECTED)
    assert_reports_equal_oracle(warehouse)
    # In this order a label that was known is no longer known, and is known again.
    for as_of in (date(2026, 9, 12), date(2026, 10, 25), date(2026, 9, 13)):
        warehouse.build(*WITHOUT_TESTS, *SELECTED, *variables(as_of_date=str(as_of)))
        assert_reports_equal_oracle(warehouse, as_of)
    tiers = {"payer_tiers": {"all": 0}}
    warehouse.build(*WITHOUT_TESTS, *SELECTED, *variables(**tiers))
    (found,) = warehouse.query(
        "select list(distinct payer_tier_90 order by payer_tier_90) as tiers"
        " from marts.rpt_player_segments"
    )
    assert found["tiers"] == ["all", "non_payer"]


def test_a_late_event_builds_only_the_weeks_that_its_day_can_change(tmp_path: Path) -> None:
    late = date(2026, 7, 15)
    regular = [_login(date(2026, 9, 1) - timedelta(days=number), 12) for number in range(90)]
    warehouse = landed(tmp_path, regular)
    warehouse.build(*WITHOUT_TESTS, *SELECTED)
    landed(tmp_path, [_login(late, 18)], "late.jsonl")
    warehouse.build(*WITHOUT_TESTS, *SELECTED)
    assert_reports_equal_oracle(warehouse)
    built = _literals(warehouse, "rpt_churn_features") - {date(2024, 1, 7)}
    assert late - timedelta(days=34) == min(built)
    assert late + timedelta(days=34) == max(built)
    # The segments read the trailing days of the as-of day.
    assert _literals(warehouse, "rpt_player_segments") == {date(2026, 9, 1)}


def _literals(warehouse: Warehouse, mart: str) -> set[date]:
    """The days that the compiled SQL of a mart names."""
    sql = warehouse.compiled[f"marts.{mart}"]
    return {date.fromisoformat(day) for day in re.findall(r"date '(\d{4}-\d\d-\d\d)'", sql)}


def _login(day: date, hour: int) -> bytes:
    """A login of the same player at an hour of a day."""
    event = {
        "event_id": f"{day} {hour}",
        "event_type": "login",
        "event_timestamp": int(
            datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp()
        ),
        "event_data": {"user_id": "regular"},
    }
    return json.dumps({"event": event, "application_id": "a"}).encode()
