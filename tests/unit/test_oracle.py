"""The oracle against cases that were computed by hand, and against the published reference."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from tests.pipeline.hand_lake import HandLake, Row, envelopes, epoch, folder
from tests.pipeline.oracle import compute
from tests.pipeline.oracle.lake import files

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
TODAY = date(2026, 9, 20)
SEP = {n: date(2026, 9, n) for n in range(1, 31)}


@pytest.fixture
def lake(tmp_path: Path) -> HandLake:
    return HandLake(tmp_path)


def marts(lake: HandLake, today: date = TODAY, as_of: date | None = None) -> dict[str, list[Row]]:
    return compute(lake.write(), today=today, as_of=as_of)


def pick(rows: Iterable[Row], *columns: str) -> list[tuple[object, ...]]:
    """The values of some columns, in order."""
    return sorted((tuple(row[name] for name in columns) for row in rows), key=repr)


def at(time: str) -> datetime:
    return datetime.fromisoformat(time)


# Valid or not, duplicates, players


def test_every_reason_keeps_its_row_out_and_is_counted(lake: HandLake) -> None:
    noon = "2026-09-01 12:00"
    good = lake.event(noon, player_id="p")

    def bad(day: date = SEP[1], **columns: object) -> None:
        lake.raw(day, good | columns)

    def arrived(**metadata: object) -> str:
        return json.dumps({"processing_timestamp": epoch(noon)} | metadata)

    mismatch = {"processing_result": {"status": "schema_mismatch"}}
    bad(metadata=json.dumps(mismatch), event_id=None)
    bad(event_id=None, event_type="")
    bad(event_id=" ")
    bad(event_type=None)
    bad(application_id="")
    bad(event_timestamp=None, metadata=arrived())
    bad(event_timestamp=None, metadata=arrived(raw_event_timestamp="null"))
    bad(event_timestamp=None, metadata=arrived(raw_event_timestamp='"2026-09-01"'))
    bad(event_timestamp=0)
    bad(event_timestamp=-1)
    bad(event_timestamp=epoch("2009-12-31 23:59:59"))
    bad(event_timestamp=epoch(noon) + 86401, metadata=arrived(), day=SEP[2])
    bad(event_timestamp=epoch(noon) * 1000, metadata=arrived())
    bad(day=SEP[2])
    bad(event_type="iap_transaction", event_data='{"currency_amount": 1e10}')
    bad(event_type="currency_flow", event_data='{"amount": "much"}')
    bad(event_type="ad_impression", event_data='{"currency_amount": true}')
    lake.rejected(SEP[3], 2)
    found = marts(lake)
    assert pick(found["fct_quarantined_events"], "partition_date", "reason", "row_count") == [
        (SEP[1], "amount_not_valid", 3),
        (SEP[1], "missing_application_id", 1),
        (SEP[1], "missing_event_id", 2),
        (SEP[1], "missing_event_type", 1),
        (SEP[1], "missing_timestamp", 2),
        (SEP[1], "producer_schema_mismatch", 1),
        (SEP[1], "timestamp_in_future", 1),
        (SEP[1], "timestamp_not_numeric", 1),
        (SEP[1], "timestamp_not_positive", 2),
        (SEP[1], "timestamp_too_old", 1),
        (SEP[2], "timestamp_in_future", 1),
        (SEP[2], "wrong_partition", 1),
    ]
    health = (
        "health_date",
        "landed_count",
        "rejected_count",
        "schema_mismatch_count",
        "duplicate_count",
    )
    assert pick(found["rpt_data_health"], *health) == [
        (SEP[1], 16, 0, 15, 0),
        (SEP[2], 2, 0, 2, 0),
        (SEP[3], 0, 2, 0, 0),
    ]
    assert len(found["int_events"]) == 1


def test_borders_of_validity_are_valid(lake: HandLake) -> None:
    lake.event("2026-09-02 12:00", arrival=epoch("2026-09-01 12:00"))
    lake.event("2026-09-01 12:00", "iap_transaction", currency_amount="9999999999.99")
    lake.event("2026-09-01 12:00", "iap_transaction", currency_amount="")
    lake.event("2026-09-01 12:00", "never_heard_of", currency_amount="much")
    assert len(marts(lake)["int_events"]) == 4


def test_event_data_may_be_a_json_string_or_no_json(lake: HandLake) -> None:
    row = lake.event("2026-09-01 12:00", user_id="p")
    lake.raw(SEP[1], row | {"event_id": "x", "event_data": json.dumps('{"user_id": 7}')})
    lake.raw(SEP[1], row | {"event_id": "y", "event_data": '{"user_id": NaN}'})
    lake.raw(SEP[1], row | {"event_id": "z", "event_data": None})
    assert pick(marts(lake)["int_events"], "event_id", "player_id") == [
        ("e1", "p"),
        ("x", "7"),
        ("y", None),
        ("z", None),
    ]


def test_of_duplicates_the_earliest_arrival_wins_then_time_then_hash(lake: HandLake) -> None:
    late, early = epoch("2026-09-01 13:00"), epoch("2026-09-01 12:30")
    lake.event("2026-09-01 12:00:00", event_id="d", user_id="late", arrival=late)
    lake.event("2026-09-01 12:00:02", event_id="d", user_id="second", arrival=early)
    lake.event("2026-09-01 12:00:01", event_id="d", user_id="first", arrival=early)
    lake.event("2026-09-02 12:00:00", event_id="d", user_id="other day")
    lake.event("2026-09-01 12:00:00", event_id="d", user_id="other game", application_id="b")
    # md5 of {"user_id": "x"} begins with 5, of {"user_id": "y"} with f.
    for name in ("y", "x"):
        lake.event("2026-09-03 12:00", event_id="d", user_id=name)
    found = marts(lake)
    assert pick(found["int_events"], "event_date", "application_id", "player_id") == [
        (SEP[1], "a", "first"),
        (SEP[1], "b", "other game"),
        (SEP[2], "a", "other day"),
        (SEP[3], "a", "x"),
    ]
    assert pick(found["rpt_data_health"], "health_date", "duplicate_count") == [
        (SEP[1], 2),
        (SEP[2], 0),
        (SEP[3], 1),
    ]


def test_the_player_is_found_through_the_session_on_an_adjacent_day(lake: HandLake) -> None:
    lake.event("2026-09-01 23:50", event_id="before", session_id="s")
    lake.event("2026-09-02 00:10", event_id="named", session_id="s", user_id="p")
    lake.event("2026-09-02 00:20", event_id="later", session_id="s", user_id="q")
    lake.event("2026-09-03 00:00", event_id="after", session_id="s", user_id="")
    lake.event("2026-09-04 00:00", event_id="too far", session_id="s")
    lake.event("2026-09-02 00:00", event_id="other game", session_id="s", application_id="b")
    lake.event("2026-09-02 00:00", event_id="alias", player_id="r", user_id=None)
    assert pick(marts(lake)["int_events"], "event_id", "player_id") == [
        ("after", "p"),
        ("alias", "r"),
        ("before", "p"),
        ("later", "q"),
        ("named", "p"),
        ("other game", None),
        ("too far", None),
    ]


# Sessions

SESSION = ("session_id", "session_date", "duration_seconds", "event_count", "is_explicit")


def test_a_session_over_midnight_belongs_to_its_first_day(lake: HandLake) -> None:
    lake.event("2026-09-01 23:30", user_id="p", session_id="s")
    lake.event("2026-09-02 00:30", user_id="p", session_id="s")
    found = marts(lake)
    assert pick(found["fct_sessions"], *SESSION) == [("s", SEP[1], 3600, 2, True)]
    assert pick(found["fct_sessions"], "started_at", "ended_at") == [
        (at("2026-09-01 23:30"), at("2026-09-02 00:30"))
    ]
    days = ("activity_date", "event_count", "session_count", "playtime_seconds")
    assert pick(found["fct_player_days"], *days) == [(SEP[1], 1, 1, 3600), (SEP[2], 1, 0, 0)]


def test_an_id_joins_two_days_at_most_and_may_come_back(lake: HandLake) -> None:
    for day in (1, 2, 3, 4, 7):
        lake.event(f"2026-09-{day:02} 10:00", user_id="p", session_id="s")
        lake.event(f"2026-09-{day:02} 10:01", user_id="p", session_id="s")
    assert pick(marts(lake)["fct_sessions"], *SESSION) == [
        ("s", SEP[1], 86460, 4, True),
        ("s", SEP[7], 60, 2, True),
        ("s:2026-09-03", SEP[3], 60, 2, True),
        ("s:2026-09-04", SEP[4], 60, 2, True),
    ]


def test_two_players_with_one_session_id_have_two_sessions(lake: HandLake) -> None:
    for player in ("p", "q"):
        lake.event("2026-09-01 10:00", user_id=player, session_id="s")
    assert len(marts(lake)["fct_sessions"]) == 2


def test_a_gap_of_1800_seconds_holds_and_one_of_1801_does_not(lake: HandLake) -> None:
    start = epoch("2026-09-01 10:00")
    for seconds in (0, 1800, 3601):
        lake.event(start + seconds, user_id="p")
    # A session id in between neither joins nor cuts.
    lake.event(start + 2000, user_id="p", session_id="s")
    lake.event(start, user_id=None)
    assert pick(marts(lake)["fct_sessions"], *SESSION) == [
        (f"gap:{start}", SEP[1], 1800, 2, False),
        (f"gap:{start + 3601}", SEP[1], 0, 1, False),
        ("s", SEP[1], 0, 1, True),
    ]


def test_no_explicit_id_is_the_id_of_another_session(lake: HandLake) -> None:
    start = epoch("2026-09-03 10:00")
    for day in (1, 2, 3):
        lake.event(f"2026-09-0{day} 10:00", user_id="p", session_id="s:")
    for session_id in (None, f"gap:{start}", "s::2026-09-03", "s:::"):
        lake.event(start, user_id="p", session_id=session_id)
    assert [row[0] for row in pick(marts(lake)["fct_sessions"], *SESSION)] == [
        f"gap:{start}",
        f"gap:{start}:",
        "s::",
        "s::2026-09-03",
        "s::2026-09-03:",
        "s::::",
    ]


def test_a_chain_without_gap_is_cut_at_its_third_day(lake: HandLake) -> None:
    start = epoch("2026-09-01 23:00")
    third = epoch("2026-09-03 00:00")
    for seconds in range(start, third + 1801, 1800):
        lake.event(seconds, user_id="p")
    # Another chain of the same days is no part of it.
    lake.event("2026-09-01 10:00", user_id="p")
    assert pick(marts(lake)["fct_sessions"], *SESSION) == [
        (f"gap:{epoch('2026-09-01 10:00')}", SEP[1], 0, 1, False),
        (f"gap:{start}", SEP[1], 88200, 50, False),
        (f"gap:{third}", SEP[3], 1800, 2, False),
    ]


# Money

PURCHASE = ("transaction_id", "original_currency", "revenue", "is_first_purchase")
MONEY = ("activity_date", "iap_revenue", "ad_revenue", "refunds", "revenue", "is_payer")


def rates(lake: HandLake, *rows: tuple[str, str, str]) -> None:
    """Writes rates: day, currency, euro."""
    names = ("date", "currency", "baserateeuro")
    lake.table("currency_exchange/r.csv", [dict(zip(names, row, strict=True)) for row in rows])


def buy(lake: HandLake, time: str, value: object, code: str | None = "USD", **more: object) -> None:
    data = {"user_id": "p", "currency_amount": value, "currency_type": code} | more
    lake.event(time, "iap_transaction", **data)


def test_yen_cross_rate_and_the_three_days_a_rate_is_good_for(lake: HandLake) -> None:
    rates(lake, ("2026-09-01", "JPY", "0,006"), ("2026-09-01", "USD", "0.9"))
    for day in (1, 4, 5):
        buy(lake, f"2026-09-{day:02} 10:00", 1000, "yen", transaction_id=f"t{day}")
    buy(lake, "2026-09-05 11:00", "2.50", None, transaction_id="own currency")
    found = marts(lake)
    # 0.006 / 0.9 = 0.00666667; x 1000 = 6.66667, with four decimals 6.6667.
    assert pick(found["fct_purchases"], *PURCHASE) == [
        ("own currency", "USD", Decimal("2.5000"), False),
        ("t1", "JPY", Decimal("6.6667"), True),
        ("t4", "JPY", Decimal("6.6667"), False),
        ("t5", "JPY", None, False),
    ]
    assert pick(found["fct_player_days"], *MONEY)[-1] == (
        SEP[5],
        Decimal("2.5"),
        0,
        0,
        Decimal("2.5"),
        True,
    )


def test_both_legs_are_looked_up_on_the_purchases_day(lake: HandLake) -> None:
    rates(lake, ("2026-09-01", "GBP", "1.2"), ("2026-09-04", "USD", "0.8"))
    buy(lake, "2026-09-04 10:00", 1, "GBP", transaction_id="both")
    buy(lake, "2026-09-03 10:00", 1, "GBP", transaction_id="no dollar yet")
    buy(lake, "2026-09-05 10:00", 1, "EUR", transaction_id="euro")
    assert pick(marts(lake)["fct_purchases"], "transaction_id", "revenue") == [
        ("both", Decimal("1.5")),
        ("euro", Decimal("1.25")),
        ("no dollar yet", None),
    ]


def test_of_two_rates_for_a_day_the_larger_one_counts(lake: HandLake) -> None:
    rates(
        lake,
        ("2026-09-01", "USD", "1"),
        *[("2026-09-01", "GBP", x) for x in ("1", "2", "1.5", "-3")],
    )
    buy(lake, "2026-09-01 10:00", 1, "GBP")
    assert pick(marts(lake)["fct_purchases"], "revenue") == [(Decimal(2),)]


def test_half_is_rounded_away_from_zero(lake: HandLake) -> None:
    buy(lake, "2026-09-01 10:00", "0.00005", transaction_id="up")
    buy(lake, "2026-09-01 10:00", "-0.00005", transaction_id="down")
    buy(lake, "2026-09-01 10:00", "0.00004999", transaction_id="none")
    assert pick(marts(lake)["fct_purchases"], "transaction_id", "revenue") == [
        ("down", Decimal("-0.0001")),
        ("none", Decimal(0)),
        ("up", Decimal("0.0001")),
    ]


def test_advertisements_are_rounded_once_a_day(lake: HandLake) -> None:
    for _ in range(3):
        lake.event("2026-09-01 10:00", "ad_impression", user_id="p", currency_amount="0.00004")
    assert pick(marts(lake)["fct_player_days"], "ad_revenue") == [(Decimal("0.0001"),)]


def test_a_refund_counts_on_its_own_day_once(lake: HandLake) -> None:
    buy(lake, "2026-09-01 10:00", "5", transaction_id="t", item_id="hat")
    buy(lake, "2026-09-01 11:00", "7", transaction_id="t")
    buy(lake, "2026-09-02 11:00", "0", event_id="zero")
    lake.event("2026-09-04 09:00", "iap_refund", transaction_id="t")
    lake.event("2026-09-05 09:00", "iap_refund", transaction_id="t", user_id="p")
    lake.event("2026-09-05 09:00", "iap_refund", transaction_id="unknown", user_id="p")
    found = marts(lake)
    columns = ("transaction_id", "item_id", "revenue", "purchased_at", "refunded_at")
    assert pick(found["fct_purchases"], *columns) == [
        ("t", "hat", Decimal(5), at("2026-09-01 10:00"), at("2026-09-04 09:00")),
        ("zero", None, Decimal(0), at("2026-09-02 11:00"), None),
    ]
    assert pick(found["fct_player_days"], *MONEY, "is_active", "is_first_time_payer") == [
        (SEP[1], 5, 0, 0, 5, True, True, True),
        (SEP[2], 0, 0, 0, 0, False, True, False),
        (SEP[4], 0, 0, 5, -5, False, False, False),
        (SEP[5], 0, 0, 0, 0, False, False, False),
    ]
    totals = ("first_seen_date", "last_seen_date", "is_payer", "lifetime_revenue")
    assert pick(found["dim_players"], *totals) == [(SEP[1], SEP[2], True, Decimal(0))]


# Players and reports


def test_what_is_first_known_of_a_player(lake: HandLake) -> None:
    lake.event("2026-09-01 09:00", "experiment_exposure", user_id="p", platform="web")
    lake.event("2026-09-02 09:00", user_id="p", app_version="1.0")
    lake.event("2026-09-02 10:00", user_id="p", platform="ios", country_id="SE")
    lake.event("2026-09-02 11:00", user_id="p", platform="tv", acquisition_channel="ads")
    lake.event("2026-09-02 11:00", "iap_refund", user_id="ghost")
    found = marts(lake)
    columns = ("first_platform", "first_country_id", "first_app_version", "acquisition_channel")
    assert pick(found["dim_players"], "player_id", "first_seen_date", *columns) == [
        ("ghost", None, None, None, None, None),
        ("p", SEP[2], "web", "SE", "1.0", "ads"),
    ]
    segments = ("segment_name", "segment_value", "dau", "new_players")
    second = [row for row in found["rpt_daily_kpis_by_segment"] if row["kpi_date"] == SEP[2]]
    assert [row for row in pick(second, *segments) if row[2]] == [
        ("acquisition_channel", "ads", 1, 1),
        ("app_version", "1.0", 1, 1),
        ("country", "SE", 1, 1),
        ("platform", "ios", 1, 1),
    ]


def test_daily_kpis_by_hand(lake: HandLake) -> None:
    for day, players in {1: "pq", 2: "p", 9: "pr"}.items():
        for player in players:
            lake.event(f"2026-09-{day:02} 10:00", user_id=player, session_id=f"{player}{day}")
            lake.event(f"2026-09-{day:02} 10:01", user_id=player, session_id=f"{player}{day}")
    buy(lake, "2026-09-09 10:00:30", "3", user_id="r", session_id="r9")
    lake.event("2026-09-01 10:00")
    found = marts(lake)["rpt_daily_kpis"]
    assert [row["kpi_date"] for row in found] == [SEP[n] for n in range(1, 10)]
    counts = ("dau", "wau", "mau", "new_players", "returning_players", "session_count")
    assert pick(found[:2] + found[7:], "kpi_date", *counts) == [
        (SEP[1], 2, 2, 2, 2, 0, 2),
        (SEP[2], 1, 2, 2, 0, 1, 1),
        (SEP[8], 0, 1, 2, 0, 0, 0),
        (SEP[9], 2, 2, 3, 1, 1, 2),
    ]
    assert (
        found[8]
        | {
            "stickiness": 2 / 3,
            "sessions_per_dau": 1.0,
            "playtime_seconds": 120,
            "iap_revenue": Decimal(3),
            "ad_revenue": Decimal(0),
            "refunds": Decimal(0),
            "revenue": Decimal(3),
            "payers": 1,
            "first_time_payers": 1,
            "payer_conversion": 0.5,
            "arpdau": Decimal("1.5"),
            "arppu": Decimal("3"),
        }
        == found[8]
    )
    assert pick(found[7:8], "sessions_per_dau", "arpdau", "arppu") == [(None, None, None)]


def test_today_is_no_day_of_the_report_and_as_of_overrides(lake: HandLake) -> None:
    for day in (1, 3):
        lake.event(f"2026-09-{day:02} 10:00", user_id="p")
    assert len(marts(lake, today=SEP[3])["rpt_daily_kpis"]) == 1
    assert len(marts(lake, today=SEP[4])["rpt_daily_kpis"]) == 3
    assert len(marts(lake, as_of=SEP[2])["rpt_daily_kpis"]) == 2
    assert len(marts(lake, as_of=SEP[5])["rpt_daily_kpis"]) == 5
    assert marts(lake, today=SEP[1])["rpt_retention"] == []


def test_retention_of_a_tiny_cohort_by_hand(lake: HandLake) -> None:
    for player, days in {"p": (1, 2, 3, 4), "q": (1, 4), "r": (1, 3), "s": (1,), "t": (4,)}.items():
        for day in days:
            lake.event(f"2026-09-{day:02} 10:00", user_id=player)
    found = marts(lake)
    kept = ("classic_players", "rolling_players", "return_players", "full_players")
    columns = ("cohort_date", "day_n", "cohort_size", "is_mature", *kept, "classic_rate")
    by_day = {(row[0], row[1]): row[2:] for row in pick(found["rpt_retention"], *columns)}
    assert len(by_day) == 14
    assert by_day[SEP[1], 1] == (4, True, 1, 3, 1, 1, 0.25)
    assert by_day[SEP[1], 3] == (4, True, 2, 2, 3, 1, 0.5)
    assert by_day[SEP[1], 7] == (4, False, 0, 0, 3, 0, None)
    assert by_day[SEP[4], 1] == (1, False, 0, 0, 0, 0, None)
    overall = pick(found["rpt_retention_overall"], "day_n", "cohort_size", *kept, "return_rate")
    assert (1, 4, 1, 3, 1, 1, 0.25) in overall
    assert (3, 4, 2, 2, 3, 1, 0.75) in overall
    assert (7, 0, 0, 0, 0, 0, None) in overall


def test_lifetime_value_and_spend_split_by_installs(lake: HandLake) -> None:
    for player, app in (("p", "a"), ("q", "a"), ("r", "b")):
        lake.event(
            "2026-09-01 09:00", user_id=player, application_id=app, acquisition_channel="ads"
        )
    buy(lake, "2026-09-01 10:00", "6")
    buy(lake, "2026-09-02 10:00", "3", user_id="q")
    lake.event("2026-09-03 10:00", user_id="late")
    lake.table(
        "marketing_spend/s.jsonl",
        [
            {"date": "2026-09-01", "acquisition_channel": "ads", "currency": "USD", "amount": x}
            for x in (9.5, "0,5")
        ]
        + [{"date": "2026-09-02", "acquisition_channel": "ads", "currency": "USD", "amount": 1}],
    )
    found = marts(lake)
    columns = ("cohort_date", "acquisition_channel", "age_days", "cohort_size")
    money = ("cumulative_revenue", "ltv", "spend", "roas", "is_mature")
    rows = [row for row in found["rpt_ltv"] if row["application_id"] == "a"]
    own = {row[:3]: row[3:] for row in pick(rows, *columns, *money)}
    spend = Decimal("6.6667")
    assert own[SEP[1], "ads", 0] == (2, Decimal(6), 3.0, spend, 6 / 6.6667, True)
    assert own[SEP[1], "ads", 1] == (2, Decimal(9), 4.5, spend, 9 / 6.6667, True)
    assert own[SEP[1], "ads", 3] == (2, Decimal(9), None, spend, None, False)
    assert own[SEP[3], "Unknown", 0] == (1, Decimal(0), 0.0, None, None, True)
    other = [row for row in found["rpt_ltv"] if row["application_id"] == "b"]
    assert {row["spend"] for row in other} == {Decimal("3.3333")}
    overall = [row for row in found["rpt_ltv_overall"] if row["application_id"] == "a"]
    assert (0, 3, Decimal(6), 2.0, spend) in pick(
        overall, "age_days", "cohort_size", "cumulative_revenue", "ltv", "spend"
    )
    assert (180, 0, Decimal(0), None, None) in pick(
        overall, "age_days", "cohort_size", "cumulative_revenue", "ltv", "spend"
    )


# The ledger


def bet(kind: str, real: object, bonus: object = "0", **columns: object) -> Row:
    """A row of the ledger: player p in game g, in dollars."""
    row: Row = {"realamount": real, "bonusamount": bonus, "txcurrency": "USD", "gameid": "g"}
    return row | {"txtype": kind, "betid": "b1", "playerid": "p"} | columns


def test_bets_by_hand(lake: HandLake) -> None:
    rates(lake, ("2026-09-01", "SEK", "0.08"), ("2026-09-01", "USD", "0.8"))
    lake.table(
        "game_transactions/date=2026-09-01/x.parquet",
        [
            bet("WAGER", "10,50", "1.25"),
            bet("WAGER", "0", "", betid="b2"),
            bet("RESULT", "4.005", "0,5"),
            bet("RESULT", "20", txcurrency="SEK", betid="win alone"),
            bet("RESULT", "0", betid="lost alone"),
            bet("RESULT", "0", betid="lost alone too"),
            bet("WAGER", "1.234,56"),
            bet("WAGER", "ten"),
            bet("WAGER", "10000000000"),
            bet("ROLLBACK", "1"),
            bet("WAGER", "1", betid=""),
            bet("WAGER", "1", playerid="q", txcurrency="GBP"),
        ],
    )
    lake.table("game_transactions/date=2026-09-02/x.csv", [bet("RESULT", "0", betid="b2")])
    lake.table("game_transactions/date=2026-09-02/_tmp.csv", [bet("RESULT", "99")])
    found = marts(lake)
    columns = ("cash_turnover", "bonus_turnover", "cash_winnings", "bonus_winnings")
    sums = ("turnover", "winnings", "cash_result", "bonus_result", "gross_result")
    expected = ("10.50", "1.25", "6.005", "0.5", "11.75", "6.505", "4.495", "0.75", "5.245")
    # q wagers in a currency without a rate: no sum with it is known, but what was won is.
    without_rate = (None, None, Decimal(0), Decimal(0), None, Decimal(0), None, None, None)
    assert pick(found["fct_bets"], "bet_date", "player_id", *columns, *sums) == [
        (SEP[1], "p", *map(Decimal, expected)),
        (SEP[1], "q", *without_rate),
        (SEP[2], "p", *[Decimal(0)] * 9),
    ]
    report = ("bet_date", "bet_count", "players", "ggr", "ngr")
    assert pick(found["rpt_betting"], *report) == [
        (SEP[1], 3, 2, None, None),
        (SEP[2], 0, 0, Decimal(0), Decimal(0)),
    ]
    # b1 of q is settled by p's result: a bet's id alone says what belongs together. b2 is settled
    # on the next day.
    assert pick(found["rpt_betting"], "unsettled_wager_count", "wins_without_wager_count") == [
        (0, 0),
        (0, 3),
    ]
    rate = {row["bet_date"]: (row["rtp"], row["hold"]) for row in found["rpt_betting"]}
    assert rate == {SEP[1]: (None, None), SEP[2]: (None, None)}
    health = ("source_name", "health_date", "landed_count", "schema_mismatch_count")
    assert pick(found["rpt_data_health"], *health) == [
        ("game_transactions", SEP[1], 12, 5),
        ("game_transactions", SEP[2], 1, 0),
    ]


def test_components_are_rounded_before_they_are_added(lake: HandLake) -> None:
    lake.table(
        "game_transactions/date=2026-09-01/x.jsonl",
        [bet("WAGER", 0.00002, 0.00005), bet("WAGER", 0.00003)],
    )
    assert pick(marts(lake)["fct_bets"], "cash_turnover", "bonus_turnover", "turnover") == [
        (Decimal("0.0001"), Decimal("0.0001"), Decimal("0.0002"))
    ]


def test_hidden_files_and_folders_are_never_read(lake: HandLake) -> None:
    lake.event("2026-09-01 10:00", user_id="p")
    path = lake.write() / "raw_events" / folder(SEP[1])
    content = (path / "part-0.parquet").read_bytes()
    for name in ("_a.parquet", ".b.parquet", "_c/part.parquet"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(content)
    assert len(files(lake.root)) == 1
    assert marts(lake)["rpt_data_health"][0]["landed_count"] == 1


def test_an_empty_lake_has_empty_marts(tmp_path: Path) -> None:
    assert not any(compute(tmp_path / "none").values())


# The reference


@pytest.fixture(scope="module")
def reference() -> dict[str, object]:
    path = SHARED / "data" / "ggap_workshop.ref.json"
    if not path.exists():
        pytest.skip(f"{path} is not there: the reference data is not part of the checkout")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def workshop(
    reference: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Row]]:
    assert reference
    lake = HandLake(tmp_path_factory.mktemp("workshop"))
    for row in envelopes(SHARED / "data" / "ggap_workshop.jsonl.gz"):
        seconds = row["event_timestamp"]
        assert isinstance(seconds, int)
        lake.raw(datetime.fromtimestamp(seconds, tz=UTC).date(), row)
    return compute(lake.write(), today=date(2026, 11, 24))


def test_the_events_of_the_reference(
    workshop: dict[str, list[Row]], reference: dict[str, object]
) -> None:
    events = workshop["int_events"]
    kinds = Counter(event["event_type"] for event in events)
    assert len(events) == reference["events"]
    assert Counter(event["application_id"] for event in events) == reference["applications"]
    assert sum(event["player_id"] is None for event in events) == reference["events_without_player"]
    assert kinds == reference["event_types"]
    assert kinds["store_purchase"] == reference["store_purchases"]
    assert len(workshop["dim_players"]) == reference["players"]


def test_the_days_and_sessions_of_the_reference(
    workshop: dict[str, list[Row]], reference: dict[str, object]
) -> None:
    kpis, sessions = workshop["rpt_daily_kpis"], workshop["fct_sessions"]
    assert {str(row["kpi_date"]): row["dau"] for row in kpis} == reference["dau"]
    assert {str(row["kpi_date"]): row["new_players"] for row in kpis} == reference["new_players"]
    assert kpis[-1]["wau"] == reference["wau_on_last_day"]
    assert len(sessions) == reference["sessions"]
    started = Counter(str(session["session_date"]) for session in sessions)
    assert started == reference["sessions_by_start_day"]
    seconds = sum(int(str(session["duration_seconds"])) for session in sessions)
    assert seconds == reference["session_seconds_total"]


def test_the_retention_of_the_reference(
    workshop: dict[str, list[Row]], reference: dict[str, object]
) -> None:
    expected = reference["retention_classic"]
    assert isinstance(expected, dict)
    found = {
        f"d{row['day_n']}": [
            row["classic_players"],
            row["cohort_size"],
            round(float(str(row["classic_rate"])), 8),
        ]
        for row in workshop["rpt_retention_overall"]
        if row["cohort_size"]
    }
    assert found == expected
