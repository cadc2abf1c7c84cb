"""The marts equal figures that were computed without them.

The figures come from the reference files, from the oracle (`oracle/`, plain Python) and from the
hand-written script of the benchmarks (`tests/benchmarks/by_hand.sql`). What each model must do with
hostile rows is written in dbt's unit tests; here whole lakes go through all models at once.
`LEDGER_TRANSACTIONS=1000000` makes the ledger larger.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

import duckdb

from include.lake.landing.landing import land_files
from include.lake.landing.landing_zone import Landing
from include.lake.sample.sample import Sample, write_sample
from tests.benchmarks import by_hand
from tests.pipeline.ledger import write_ledger
from tests.pipeline.oracle import compute
from tests.pipeline.truth import KEYS, differences, shown
from tests.support.compare import difference
from tests.support.hand_lake import HandLake
from tests.support.hostile_lake import write_hostile
from tests.support.warehouse import WITHOUT_TESTS, WITHOUT_UNIT_TESTS, Row, Warehouse

ARRIVED_AT = int(datetime(2026, 9, 14, tzinfo=UTC).timestamp())


def by_day(rows: list[Row], column: str, day: str = "kpi_date") -> dict[str, object]:
    """A column by ISO day."""
    return {str(row[day]): row[column] for row in rows}


def assert_equals_oracle(warehouse: Warehouse) -> None:
    """Fail with the first rows that differ."""
    found = differences(warehouse)
    assert not found, shown(found)


# The workshop's events


@pytest.fixture(scope="module")
def workshop(reference_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """A warehouse of the workshop's events, which passes all data tests of the project."""
    folder = tmp_path_factory.mktemp("workshop")
    land_files(folder / "lake", [str(reference_data / "ggap_workshop.jsonl.gz")], ARRIVED_AT)
    warehouse = Warehouse(folder / "lake", folder)
    warehouse.build(*WITHOUT_UNIT_TESTS)
    return warehouse


def test_every_figure_of_the_workshop(workshop: Warehouse, reference_data: Path) -> None:
    wanted = json.loads((reference_data / "ggap_workshop.ref.json").read_text())
    kpis = workshop.rows("marts.rpt_daily_kpis")
    sessions = workshop.rows("marts.fct_sessions")
    events = workshop.query(
        "select application_id, event_type, player_id is null as is_without_player,"
        " count(*) as event_count from intermediate.int_events group by all"
    )

    def events_by(column: str) -> dict[object, int]:
        counts: Counter[object] = Counter()
        for row in events:
            counts[row[column]] += int(str(row["event_count"]))
        return dict(counts)

    found = {
        "events": sum(events_by("event_type").values()),
        "applications": events_by("application_id"),
        "events_without_player": events_by("is_without_player").get(True, 0),
        "players": len(workshop.rows("marts.dim_players")),
        "dau": by_day(kpis, "dau"),
        "new_players": by_day(kpis, "new_players"),
        "wau_on_last_day": max(kpis, key=lambda row: str(row["kpi_date"]))["wau"],
        "sessions": len(sessions),
        "sessions_by_start_day": dict(Counter(str(row["session_date"]) for row in sessions)),
        "session_seconds_total": sum(int(str(row["duration_seconds"])) for row in sessions),
        "retention_classic": {
            f"d{row['day_n']}": [
                row["classic_players"],
                row["cohort_size"],
                pytest.approx(row["classic_rate"], abs=5e-9),
            ]
            for row in workshop.rows("marts.rpt_retention_overall")
            if row["cohort_size"]
        },
        "event_types": events_by("event_type"),
        "store_purchases": events_by("event_type")["store_purchase"],
    }
    wanted.pop("definitions")
    assert found == wanted


# Lines that a producer should not have sent

REASONS = {
    "id_missing": "missing_event_id",
    "type_missing": "missing_event_type",
    "ts_missing": "missing_timestamp",
    "ts_null": "missing_timestamp",
    "ts_iso_string": "timestamp_not_numeric",
    "ts_epoch_zero": "timestamp_not_positive",
    "ts_negative": "timestamp_not_positive",
    "ts_millis": "timestamp_in_future",
    "ts_micros": "timestamp_in_future",
    "ts_year_2038_future": "timestamp_in_future",
}
"""What keeps a semantic category of the manifests out of the marts."""

VALID = {
    *("ts_float", "ts_numeric_string", "extra_top_level_field", "unknown_type"),
    *("event_data_null", "event_data_string"),
}


@dataclass(frozen=True)
class BadLines:
    """A file of bad lines with the category of each line, its landing, and its warehouse."""

    lines: list[tuple[str, bytes]]
    landing: Landing
    warehouse: Warehouse

    def of(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """The lines of the wanted categories, each with the name of its category."""
        for category, line in self.lines:
            name = category.removeprefix("semantic:")
            if wanted(name):
                yield name, line


@pytest.fixture(scope="module", params=["bytes", "utf8"])
def bad_lines(
    request: pytest.FixtureRequest, reference_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> BadLines:
    """Each of the two files of bad lines, landed and built."""
    folder = tmp_path_factory.mktemp("bad_lines")
    file = reference_data / f"bad_lines_{request.param}.jsonl"
    categories = json.loads(file.with_suffix(".manifest.json").read_text())["line_categories"]
    content = file.read_bytes().removesuffix(b"\n").split(b"\n")
    (landing,) = land_files(folder / "lake", [str(file)], ARRIVED_AT)
    warehouse = Warehouse(folder / "lake", folder)
    warehouse.build(*WITHOUT_TESTS)
    return BadLines(list(zip(categories, content, strict=True)), landing, warehouse)


def test_every_bad_line_is_landed_or_rejected(bad_lines: BadLines) -> None:
    landing = bad_lines.landing
    assert landing.lines == len(bad_lines.lines) == landing.landed + landing.rejected
    rejected = Counter(line for name, line in bad_lines.lines if name.startswith("jsontestsuite:"))
    assert landing.rejected == rejected.total()
    stored = bad_lines.warehouse.query("select line, line_number from spectrum.rejected_events")
    assert Counter(row["line"] for row in stored) == rejected
    for row in stored:
        assert bad_lines.lines[int(str(row["line_number"])) - 1][1] == row["line"]
    health = bad_lines.warehouse.rows("marts.rpt_data_health")
    for column, count in {
        "landed_count": landing.landed,
        "rejected_count": landing.rejected,
        "schema_mismatch_count": sum(1 for _ in bad_lines.of(REASONS.__contains__)),
    }.items():
        assert sum(int(str(row[column])) for row in health) == count, column


def test_the_good_lines_reach_int_events_once_each(bad_lines: BadLines) -> None:
    """A valid line is either the one of its id and day that is kept, or counted as a duplicate."""
    valid = [
        (event["event_id"], datetime.fromtimestamp(int(float(event["event_timestamp"])), UTC))
        for _, line in bad_lines.of(lambda name: name in VALID | {"good", "exact_duplicate"})
        for event in [json.loads(line)["event"]]
    ]
    events = bad_lines.warehouse.rows("intermediate.int_events")
    kept = Counter((row["event_id"], row["event_date"]) for row in events)
    assert kept == Counter({(event_id, at.date()) for event_id, at in valid})
    health = bad_lines.warehouse.rows("marts.rpt_data_health")
    duplicates = sum(int(str(row["duplicate_count"])) for row in health)
    assert duplicates == len(valid) - kept.total()
    assert duplicates >= sum(1 for _ in bad_lines.of("exact_duplicate".__eq__)) == 50


def test_semantic_faults_are_quarantined_with_their_reason(bad_lines: BadLines) -> None:
    wanted = Counter(
        (json.loads(line)["event"].get("event_id"), REASONS[name])
        for name, line in bad_lines.of(REASONS.__contains__)
    )
    quarantined = bad_lines.warehouse.rows("marts.fct_quarantined_events")
    assert Counter((row["event_id"], row["reason"]) for row in quarantined) == wanted


def test_every_mart_of_the_bad_lines_equals_the_oracle(bad_lines: BadLines) -> None:
    assert_equals_oracle(bad_lines.warehouse)


def test_odd_but_valid_lines_are_events(bad_lines: BadLines, tmp_path: Path) -> None:
    """The lines are landed alone, because they repeat the ids of good lines."""
    odd = list(bad_lines.of(VALID.__contains__))
    assert Counter(name for name, _ in odd) == dict.fromkeys(VALID, 3)
    (tmp_path / "odd.jsonl").write_bytes(b"".join(line + b"\n" for _, line in odd))
    land_files(tmp_path / "lake", [str(tmp_path / "odd.jsonl")], ARRIVED_AT)
    warehouse = Warehouse(tmp_path / "lake", tmp_path)
    warehouse.build(*WITHOUT_TESTS, "--select", "+int_events")
    events = {row["event_id"]: row for row in warehouse.rows("intermediate.int_events")}
    for name, line in odd:
        event = json.loads(line)["event"]
        row, data = events[event["event_id"]], event["event_data"]
        assert row["event_timestamp"] == int(float(event["event_timestamp"])), name
        data = json.loads(data) if isinstance(data, str) else data or {}
        assert row["session_id"] == data.get("session_id"), name
        assert row["is_known_type"] == (name != "unknown_type"), name
        assert row["counts_as_activity"], name


# The generated sample

SAMPLE = Sample(days=12, players=60, seed=3, end=date(2026, 10, 20))
RATE_TESTS = {
    *("assert_purchases_have_rates", "assert_ad_impressions_have_rates"),
    *("assert_bets_have_rates", "assert_marketing_spend_has_rates"),
}


def built_sample(folder: Path, sample: Sample, *arguments: str) -> Warehouse:
    """A warehouse of a generated sample."""
    write_sample(folder / "lake", sample, report=lambda _: None)
    warehouse = Warehouse(folder / "lake", folder)
    warehouse.build(*arguments)
    return warehouse


def _add_unusual_bets(lake: Path) -> None:
    """Add a wager that is taken back, and a row without a bet id, which is quarantined."""
    wager: Row = {
        **{"realamount": "5", "bonusamount": "0", "channeluid": "web", "txcurrency": "EUR"},
        **{"gameid": "1", "txtype": "WAGER", "betid": "taken back", "playerid": "1000"},
    }
    rows: list[Row] = [wager, wager | {"txtype": "ROLLBACK"}, wager | {"betid": None}]
    HandLake(lake).table(f"game_transactions/date={SAMPLE.end}/unusual.jsonl", rows)


def test_every_mart_of_the_sample_equals_the_oracle(tmp_path: Path) -> None:
    """The build includes all data tests of the project, none of which may fail."""
    write_sample(tmp_path / "lake", SAMPLE, report=lambda _: None)
    _add_unusual_bets(tmp_path / "lake")
    warehouse = Warehouse(tmp_path / "lake", tmp_path)
    warehouse.build(*WITHOUT_UNIT_TESTS)
    assert not [table for table, rows in warehouse.tables().items() if not rows]
    assert_equals_oracle(warehouse)


def test_every_mart_of_the_sample_equals_the_script_of_the_benchmarks(tmp_path: Path) -> None:
    """The script has no rollbacks, and neither has the generated sample."""
    warehouse = built_sample(tmp_path, SAMPLE, *WITHOUT_TESTS)
    by_dbt, by_script = warehouse.settings.duckdb_path, tmp_path / "by_hand.duckdb"
    by_hand.build(by_dbt, by_script)
    assert by_hand.differences(by_dbt, by_script) == []
    with duckdb.connect(str(by_script)) as connection:
        connection.execute("update marts.rpt_daily_kpis set dau = dau + 1")
        connection.execute("alter table marts.dim_games drop column game_name")
    found = by_hand.differences(by_dbt, by_script, ["dim_games", "rpt_daily_kpis"])
    assert found[0] == "dim_games: the columns game_name differ"
    assert found[1].startswith("rpt_daily_kpis: ")


def test_a_missing_rate_fails_the_tests_that_are_there_for_it(tmp_path: Path) -> None:
    sample = Sample(**{**SAMPLE.__dict__, "missing_rate": True})
    warehouse = built_sample(tmp_path, sample, *WITHOUT_TESTS)
    assert "assert_bets_have_rates" in warehouse.tests(" ".join(RATE_TESTS))
    assert any(row["gross_result"] is None for row in warehouse.rows("marts.fct_bets"))
    assert_equals_oracle(warehouse)

    # In the sample only the ads have one currency. An ad in another one makes all four tests fail
    # when there are no rates at all; no other test may fail.
    ad = {"currency_type": "EUR", "currency_amount": 0.01, "user_id": "p"}
    envelope = {
        "event": {
            "event_id": "ad",
            "event_type": "ad_impression",
            "event_timestamp": ARRIVED_AT,
            "event_data": ad,
        },
        "application_id": "a",
    }
    (tmp_path / "ad.jsonl").write_text(json.dumps(envelope))
    land_files(warehouse.lake, [str(tmp_path / "ad.jsonl")], ARRIVED_AT)
    shutil.rmtree(warehouse.lake / "currency_exchange")
    folder = warehouse.settings.duckdb_path.parent
    warehouse = Warehouse(warehouse.lake, folder, allow_lost_rows="1")
    warehouse.build(*WITHOUT_TESTS)
    assert set(warehouse.dbt("--resource-type", "test")) == RATE_TESTS
    assert_equals_oracle(warehouse)


# Hostile rows


def test_every_mart_of_hostile_rows_equals_the_oracle(tmp_path: Path) -> None:
    write_hostile(tmp_path / "lake")
    warehouse = Warehouse(tmp_path / "lake", tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    assert_equals_oracle(warehouse)


# A large ledger

TRANSACTIONS = int(os.environ.get("LEDGER_TRANSACTIONS", "200000"))


def test_a_large_ledger_to_the_cent(tmp_path: Path) -> None:
    write_ledger(tmp_path / "lake", TRANSACTIONS)
    warehouse = Warehouse(tmp_path / "lake", tmp_path)
    reports = ("rpt_betting", "rpt_betting_by_segment", "rpt_betting_cohorts")
    selected = [f"+{report}" for report in reports]
    warehouse.build(*WITHOUT_TESTS, "--select", *selected, "+int_lake_days")
    expected = compute(tmp_path / "lake")
    landed = warehouse.query("select sum(landed_count) as n from intermediate.int_lake_days")
    assert landed == [{"n": TRANSACTIONS}]
    bets = warehouse.rows("marts.fct_bets")
    lines = difference(bets, expected["fct_bets"], KEYS["fct_bets"])
    assert not lines, "\n".join(lines[:20])
    for table in reports:
        rows = warehouse.rows(f"marts.{table}")
        lines = difference(rows, expected[table], KEYS[table], 1e-12)
        assert not lines, "\n".join(lines[:20])
    report = warehouse.rows("marts.rpt_betting")
    segments = warehouse.rows("marts.rpt_betting_by_segment")
    assert any(row["rtp_low"] is not None for row in segments)

    # The ledger holds every kind of row that this is about.
    health = expected["rpt_data_health"]
    assert sum(int(str(row["schema_mismatch_count"])) for row in health) > 0
    for column in ("unsettled_wager_count", "wins_without_wager_count"):
        assert any(row[column] for row in report), column

    by_player: dict[object, Decimal] = defaultdict(Decimal)
    by_game: dict[object, Decimal] = defaultdict(Decimal)
    for row in bets:
        by_player[row["player_id"]] += Decimal(str(row["gross_result"]))
    for row in report:
        by_game[row["game_id"]] += Decimal(str(row["ggr"]))
    assert sum(by_player.values()) == sum(by_game.values()) != 0
