"""Unusual ledgers (DESIGN.md, section 5) give the right numbers, and what is left out is listed."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from include.manifest import PROJECT
from tests.pipeline.truth import differences, shown
from tests.support.hand_lake import HandLake, Row
from tests.support.warehouse import WITHOUT_TESTS, Warehouse


def bet(kind: str, game: str, real: object, **columns: object) -> Row:
    """A row of the ledger: player p1 in US dollars; a game has one bet unless `betid` is given."""
    row: Row = {"realamount": real, "bonusamount": 0, "channeluid": "c", "txcurrency": "USD"}
    return row | {"gameid": game, "txtype": kind, "betid": f"b-{game}", "playerid": "p1"} | columns


def write(lake: HandLake, day: str, *rows: Row) -> None:
    lake.table(f"game_transactions/date={day}/bets.jsonl", rows)


def assert_oracle_agrees(warehouse: Warehouse) -> None:
    found = differences(warehouse)
    assert not found, shown(found)


def test_bets_that_are_taken_back_and_other_types(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    write(
        lake,
        "2026-03-10",
        bet("WAGER", "ga", 5, betid="1001"),
        bet("WAGER", "gb", 7, betid="1001", playerid="p2"),
        bet("RESULT", "gb", 3, betid="1001", playerid="p2"),
        bet("WAGER", "gr", 20),
        bet("ROLLBACK", "gr", 20),
        bet("WAGER", "gj", 1),
        bet("RESULT", "gj", 0),
        bet("JACKPOT", "gj", 500),
        bet("WAGER", "gn", -4),
        bet("RESULT", "gn", 6),
        bet("WAGER", "gu", 1),
        bet("PARKED", "gu", 1),
        bet("ROLLBACK", "gu", 2),
        bet("WAGER", "gl", 1_000_000.01),
    )
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    report = warehouse.query(
        "select game_id, turnover, winnings, ggr, unsettled_wager_count from marts.rpt_betting"
        " order by 1"
    )
    assert [tuple(row.values()) for row in report] == [
        ("ga", 5, 0, 5, 1),
        ("gb", 7, 3, 4, 0),
        ("gj", 1, 500, -499, 0),
        ("gl", Decimal("1000000.01"), 0, Decimal("1000000.01"), 1),
        ("gn", -4, 6, -10, 0),
        ("gr", 0, 0, 0, 0),
        ("gu", 1, 0, 1, 1),
    ]
    assert_oracle_agrees(warehouse)
    amounts = warehouse.failing_rows("assert_bet_amounts_are_plausible", "warn")
    assert {row["game_id"] for row in amounts} == {"gl", "gn"}
    (unknown,) = warehouse.failing_rows("assert_transaction_types_are_known", "warn")
    assert unknown["transaction_type"] == "PARKED"


def test_what_is_left_out_is_listed_without_personal_data(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    write(
        lake,
        "2026-03-10",
        *(bet("WAGER", "g", n, betid=f"b{n}") for n in range(1, 100)),
        bet("PARKED", "g", 1),
        bet("ROLLBACK", "h", 2),
    )
    write(lake, "2026-03-11", *(bet("WAGER", "g", n) for n in range(99)), bet("WAGER", "g", "x"))
    lake.table("players/p.csv", [{"playerid": name, "country": "SE"} for name in ("0", "p1")])
    lake.table(
        "currency_exchange/rates.csv",
        [{"date": f"2026-03-{day}", "currency": "EUR", "baserateeuro": 1} for day in range(10, 29)]
        + [{"date": "2026-03-10", "currency": "GBP", "baserateeuro": "0"}],
    )
    lake.table("marketing_spend/costs.jsonl", [{"date": "soon", "amount": 5}])
    for name, column in (("games", "id"), ("game_providers", "id"), ("game_categories", "game_id")):
        lake.table(f"{name}/rows.jsonl", [{column: " "}, *({column: n} for n in range(1, 100))])
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    rows = warehouse.rows("marts.fct_quarantined_rows")
    listed = Counter((row["source_name"], str(row["partition_day"]), row["reason"]) for row in rows)
    assert listed == Counter(
        {
            ("game_transactions", "2026-03-10", "unknown_transaction_type"): 1,
            ("game_transactions", "2026-03-10", "nothing_to_roll_back"): 1,
            ("game_transactions", "2026-03-11", "amount_not_readable"): 1,
            ("players", "None", "missing_player_id"): 1,
            ("currency_exchange", "None", "rate_not_positive"): 1,
            ("marketing_spend", "None", "date_not_readable"): 1,
            ("games", "None", "missing_game_id"): 1,
            ("game_providers", "None", "missing_game_provider_id"): 1,
            ("game_categories", "None", "missing_game_id"): 1,
        }
    )
    places = {(row["source_file"], row["line_number"]) for row in rows}
    bets = "game_transactions/date=2026-03-1"
    assert {(f"{bets}0/bets.jsonl", 101), (f"{bets}1/bets.jsonl", 100)} <= places
    assert {("players/p.csv", 2), ("currency_exchange/rates.csv", 21)} <= places
    for row in rows:
        fields = json.loads(str(row["payload"]))
        personal = [fields.get(name) for name in ("playerid", "channeluid", "country")]
        assert set(personal) <= {"***", None, ""}, row
    assert_oracle_agrees(warehouse)
    health = warehouse.rows("marts.rpt_data_health")
    assert {str(row["health_date"]): row["schema_mismatch_count"] for row in health} == {
        "2026-03-10": 2,
        "2026-03-11": 1,
    }
    # 2 of 101 rows are too many, and 1 of 100 is just not.
    too_many = warehouse.failing_rows("assert_few_rows_are_quarantined")
    assert {(row["source_name"], str(row["partition_day"])) for row in too_many} == {
        ("game_transactions", "2026-03-10"),
        *((name, "None") for name in ("players", "currency_exchange", "marketing_spend")),
    }
    assert all("fct_quarantined_rows" in str(row["remedy"]) for row in too_many)


def test_rates_of_before_easter_serve_until_the_first_day_after_it(tmp_path: Path) -> None:
    """The ECB sets none from Good Friday to Easter Monday; the days are built one by one."""
    lake = HandLake(tmp_path / "lake")
    rates = [
        {"date": f"2026-04-0{day}", "currency": currency, "baserateeuro": rate}
        for day, currency, rate in [
            *(
                (1, "USD", "0.8670"),
                (1, "GBP", "1.1480"),
                (2, "USD", "0.8667"),
                (2, "GBP", "1.1483"),
            ),
            *((7, "USD", "0.8651"), (7, "GBP", "1.1490")),
        ]
    ]
    warehouse = Warehouse(lake.root, tmp_path)
    for day in (5, 6, 7):
        known = [row for row in rates if str(row["date"]) <= f"2026-04-0{day}"]
        lake.table("currency_exchange/ecb.csv", known)
        write(lake, f"2026-04-0{day}", bet("WAGER", "g", 10, txcurrency="GBP"))
        warehouse.build(*WITHOUT_TESTS)
        assert not warehouse.tests("assert_bets_have_rates"), day
    turnover = warehouse.query("select turnover from marts.rpt_betting order by bet_date")
    assert [row["turnover"] for row in turnover] == [
        *[Decimal("13.2491")] * 2,
        Decimal("13.2817"),
    ]
    assert_oracle_agrees(warehouse)


def test_a_rate_serves_seven_days_and_not_one_more(tmp_path: Path) -> None:
    """Without a rate the row is kept, its money is null, and a test names currency and cause."""
    lake = HandLake(tmp_path / "lake")
    lake.table(
        "currency_exchange/ecb.csv",
        [
            {"date": "2026-04-02", "currency": currency, "baserateeuro": rate}
            for currency, rate in (("USD", "0.8"), ("GBP", "1.2"))
        ],
    )
    for day in ("01", "02", "09", "10"):
        write(lake, f"2026-04-{day}", bet("WAGER", "g", 10, txcurrency="GBP", betid=day))
    write(lake, "2026-04-11", bet("ROLLBACK", "g", 10, txcurrency="GBP", betid="10"))
    write(lake, "2026-04-12", bet("WAGER", "h", 10**13))
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    results = warehouse.query("select bet_date, turnover from marts.rpt_betting order by 1")
    assert [(str(row["bet_date"])[-2:], row["turnover"]) for row in results] == [
        *(("01", None), ("02", 15), ("09", 15), ("10", None), ("11", None), ("12", None)),
    ]
    failing = warehouse.failing_rows("assert_bets_have_rates")
    assert {
        str(row["bet_date"])[-2:]: (row["game_id"], row["currency"], row["cause"])
        for row in failing
    } == {
        **dict.fromkeys(("01", "10", "11"), ("g", "GBP", "no_exchange_rate")),
        "12": ("h", None, "amount_too_large"),
    }
    assert_oracle_agrees(warehouse)


def test_nulls_as_other_programs_write_them(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    players = ("playerid", "country", "birthdate", "gender", "playerstate", "vip")
    lake.table(
        "players/p.csv",
        [
            dict(zip(players, row, strict=True))
            for row in [
                ("p1", "\\N", "\\N", "NULL", "active", "1"),
                ("p2", "MT", "1990-01-31T00:00:00Z", "None", "nan", "true"),
                ("\\N", "SE", "", "", "", ""),
            ]
        ],
    )
    write(
        lake,
        "2026-03-10",
        bet("WAGER", "g1", "1,234.56", bonusamount="\\N", txcurrency="NULL"),
        bet("WAGER", "g2", "1,234"),
        bet("WAGER", "None", "1"),
    )
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    columns = "player_id, country, gender, player_state"
    assert [
        tuple(row.values())
        for row in warehouse.query(f"select {columns} from marts.dim_ledger_players order by 1")
    ] == [("p1", "Unknown", "Unknown", "active"), ("p2", "MT", "Unknown", "Unknown")]
    report = warehouse.query("select game_id, turnover from marts.rpt_betting")
    assert report == [{"game_id": "g1", "turnover": Decimal("1234.56")}]
    reasons = Counter(row["reason"] for row in warehouse.rows("marts.fct_quarantined_rows"))
    assert reasons == Counter(["ambiguous_amount", "missing_game_id", "missing_player_id"])
    assert_oracle_agrees(warehouse)


def test_a_studio_adds_a_type(tmp_path: Path) -> None:
    """A line in the seed is enough, also for days that were built before."""
    lake = HandLake(tmp_path / "lake")
    write(lake, "2026-03-10", bet("WAGER", "g", 5), bet("CLAWBACK", "g", 2))
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    assert [row["ggr"] for row in warehouse.rows("marts.rpt_betting")] == [5]
    project = tmp_path / "dbt"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    with (project / "seeds" / "transaction_types.csv").open("a") as seed:
        seed.write("CLAWBACK,result,-1,false\n")
    warehouse.project = project
    days = warehouse.build(*WITHOUT_TESTS)
    assert days["game_transactions"] == ["2026-03-10"]
    assert [row["ggr"] for row in warehouse.rows("marts.rpt_betting")] == [7]


def test_a_rollback_finds_rows_of_days_that_arrive_later(tmp_path: Path) -> None:
    lake = HandLake(tmp_path / "lake")
    write(lake, "2026-03-12", bet("ROLLBACK", "g", 5), bet("WAGER", "h", 1))
    warehouse = Warehouse(lake.root, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    assert_oracle_agrees(warehouse)
    (health,) = warehouse.rows("marts.rpt_data_health")
    assert health["schema_mismatch_count"] == 1
    write(lake, "2026-03-10", bet("WAGER", "g", 5))
    assert warehouse.build(*WITHOUT_TESTS)["game_transactions"] == ["2026-03-10"]
    turnover = "select bet_date, turnover from marts.rpt_betting where game_id = 'g' order by 1"
    assert [row["turnover"] for row in warehouse.query(turnover)] == [5, -5]
    assert_oracle_agrees(warehouse)
