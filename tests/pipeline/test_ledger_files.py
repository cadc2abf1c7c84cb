"""Files of the ledger and of costs in any form: right numbers, or a refusal that names the file."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

import pyarrow as pa
import pyarrow.parquet as pq

from include.settings import UserError
from tests.pipeline.truth import differences, shown
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

HEADER = "realamount,bonusamount,channeluid,txcurrency,gameid,txtype,betid,playerid\n"
PLAYERS = "playerid,country,birthdate,gender,playerstate,vip,kyc,wantsnewsletter,latestupdate\n"
DAY = "game_transactions/date=2026-11-20"


def write(lake: Path, name: str, content: str | bytes) -> Path:
    path = lake / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def bets(rows: Iterable[str]) -> str:
    return HEADER + "".join(f"{row}\n" for row in rows)


def write_mixed_lake(lake: Path) -> None:
    """Write a day of bets in every format, with bad rows, and the other folders of the ledger."""
    write(
        lake,
        f"{DAY}/short.csv",
        bets(
            [
                "5,0,c,USD,g1,WAGER,b1,p1",
                "2,0,c,USD,g1,RESULT,b1,p1",
                "7,0,c,USD,g1,WAGER,b2",
                "1,000.00,0,c,USD,g1,WAGER,b3,p1",
                *(f"1,0,c,USD,g1,WAGER,s{n},p1" for n in range(400)),
                "TOTAL,1000.00",
            ]
        ),
    )
    write(
        lake,
        f"{DAY}/case.jsonl",
        '{"realAmount": 5, "bonusamount": 0, "channelUid": "c", "txCurrency": "USD", '
        '"gameId": "g2", "txType": "WAGER", "betId": "b1", "playerId": "p1"}\n'
        '{"realamount": 2, "bonusamount": 0, "channeluid": "c", "txcurrency": "USD", '
        '"gameid": "g2", "txtype": "RESULT", "betid": "b1", "playerid": "p1"}\n'
        '{"realamount": 9, "bonusamount": 0, "chan\n',
    )
    semicolons = bets(["3,0,c,USD,g3,WAGER,b1,p1"]).replace(",", ";")
    write(lake, f"{DAY}/semicolons.CSV.GZ", gzip.compress(semicolons.upper().encode()))
    write(lake, f"{DAY}/tabs.tsv", bets(["4,0,c,USD,g4,WAGER,b1,p1"]).replace(",", "\t"))
    # A folder in which one name is a pattern that matches the other one.
    write(lake, f"{DAY}/part*.csv", bets(["6,0,c,USD,g5,WAGER,b1,p1"]))
    write(lake, f"{DAY}/part1.csv", bets(["8,0,c,USD,g6,WAGER,b1,p1"]))
    parquet = dict(zip(HEADER.strip().split(","), ["1.5", 0, "c", "USD", "g7"], strict=False))
    table = pa.Table.from_pylist([parquet | {"txtype": "WAGER", "BETID": 1, "playerid": "p1"}])
    pq.write_table(table, write(lake, f"{DAY}/other.parquet", ""))
    write(
        lake,
        "currency_exchange/rates.csv",
        "date,currency,baserateeuro\n2026-11-20,USD,0.92\n2026-11-20,GBP,1.15,,\n"
        "2026-11-20,SEK,0.09\n",
    )
    write(
        lake,
        "players/p.csv",
        PLAYERS + "p1,MT,1990-01-31,f,active,1,1,0,2026-11-01\n"
        "p2,SE,1985-05-05,m,active,0,1,0,2026-11-01\np3,DE,1999-09-09,m,active,0,1\n",
    )
    write(lake, "games/games.csv", "id,game_name,gameproviderid\ng1,Fruits,p1\n")
    write(lake, "games/more.json", '{"ID": "g2", "Game_Name": "Bells", "gameProviderId": 1}\n')
    write(
        lake,
        "marketing_spend/costs.csv",
        "date,acquisition_channel,currency,amount\n2026-11-20,ads,USD,5\n2026-11-20,ads,6\n",
    )


QUARANTINED = {
    ("game_transactions", f"{DAY}/short.csv", 4, "too_few_fields", "9,9,x,xxx,x9,xxxxx,x9"),
    (
        *("game_transactions", f"{DAY}/short.csv", 5, "too_many_fields"),
        "9,999.99,9,x,xxx,x9,xxxxx,x9,x9",
    ),
    ("game_transactions", f"{DAY}/short.csv", 406, "too_few_fields", "xxxxx,9999.99"),
    (
        *("game_transactions", f"{DAY}/case.jsonl", 3, "not_json"),
        '{"xxxxxxxxxx": 9, "xxxxxxxxxxx": 9, "xxxx',
    ),
    (
        *("currency_exchange", "currency_exchange/rates.csv", 3, "too_many_fields"),
        "9999-99-99,xxx,9.99,,",
    ),
    ("players", "players/p.csv", 4, "too_few_fields", "x9,xx,9999-99-99,x,xxxxxx,9,9"),
    ("marketing_spend", "marketing_spend/costs.csv", 3, "too_few_fields", "9999-99-99,xxx,9"),
}
"""Source, file, line, reason and masked text of the bad rows of `write_mixed_lake`."""

TURNOVERS = {"g1": 405, "g2": 5, "g3": 3, "g4": 4, "g5": 6, "g6": 8, "g7": Decimal("1.5")}


def test_formats_may_be_mixed_and_a_bad_row_changes_no_other(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    write_mixed_lake(lake)
    warehouse = Warehouse(lake, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    report = warehouse.query("select game_id, turnover, winnings from marts.rpt_betting")
    assert {row["game_id"].lower(): row["turnover"] for row in report} == TURNOVERS  # type: ignore[attr-defined]
    assert sum(row["winnings"] for row in report) == 4  # type: ignore[misc]
    rates = warehouse.query("select distinct currency from intermediate.int_exchange_rates")
    assert {row["currency"] for row in rates} == {"SEK", "EUR"}
    players = warehouse.rows("marts.dim_ledger_players")
    assert {row["player_id"] for row in players} == {"p1", "p2"}
    games = warehouse.rows("marts.dim_games")
    assert {row["game_name"] for row in games} >= {"Fruits", "Bells"}
    columns = "source_name, source_file, line_number, reason, payload"
    listed = warehouse.query(f"select {columns} from marts.fct_quarantined_rows")
    assert {tuple(row.values()) for row in listed} == QUARANTINED
    assert len(listed) == len(QUARANTINED)
    (health,) = warehouse.rows("marts.rpt_data_health")
    assert (health["landed_count"], health["schema_mismatch_count"]) == (413, 4)
    found = differences(warehouse)
    assert not found, shown(found)
    # 4 of 413 transactions are few, and one of three rows is not.
    too_many = warehouse.failing_rows("assert_few_rows_are_quarantined")
    assert Counter(row["source_name"] for row in too_many) == Counter(
        ["currency_exchange", "players", "marketing_spend"]
    )


CUT = gzip.compress(bets(f"{n},0,c,USD,g{n},WAGER,b{n},p1" for n in range(3000)).encode())
GOOD_ROW = "5,0,c,USD,g1,WAGER,b1,p1"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.csv.gz", CUT[: len(CUT) // 2], r"cut\.csv\.gz.*upload"),
        ("bits.csv.gz", CUT[:-6] + b"\0\0" + CUT[-4:], r"bits\.csv\.gz"),
        ("a.csv", "amount," + bets([GOOD_ROW])[11:], r"a\.csv.*realamount"),
        ("a.jsonl", '{"realamount": 5, "betid": "b1"}\n', r"a\.jsonl.*bonusamount"),
        ("a.csv", bets(["5,0", "6,1"]), r"a\.csv, line 2.*no row of the file is valid"),
        ("a.csv", bets([GOOD_ROW, "1,0,Malmö,EUR,g,WAGER,b,p"]).encode("latin-1"), r"a\.csv, li"),
        ("a.csv", bets([GOOD_ROW]).encode("utf-16"), r"a\.csv.*UTF-16"),
        ("a.parquet", b"PAR1 cut off", r"a\.parquet"),
        ("a.csv", "", r"a\.csv has 0 bytes"),
        ("a.csv.zst", b"x", r"a\.csv\.zst is no data file"),
        ("a.csv.bak", bets([GOOD_ROW]), r"a\.csv\.bak is no data file"),
        ("part_00", bets([GOOD_ROW]), r"part_00 is no data file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_changes(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    lake = tmp_path / "lake"
    write(lake, f"{DAY}/good.csv", bets([GOOD_ROW]))
    warehouse = Warehouse(lake, tmp_path)
    warehouse.find()
    before = {path: path.stat().st_mtime_ns for path in (lake / "ledger_rows").rglob("*")}
    run_days = warehouse.rows("operations.run_days")
    path = write(lake, f"{DAY}/{name}", content)
    write(lake, "games/new.csv", "id,game_name,gameproviderid\ng1,Fruits,p1\n")
    with pytest.raises(UserError, match=message) as caught:
        warehouse.find()
    # A message goes to the alert, so it has no cell of the file.
    assert not [cell for cell in ("Malm", "WAGER", "USD") if cell in str(caught.value)]
    assert {path: path.stat().st_mtime_ns for path in (lake / "ledger_rows").rglob("*")} == before
    assert warehouse.rows("operations.run_days") == run_days
    path.unlink()
    assert warehouse.find()["game_transactions"] == ["2026-11-20"]
    games = warehouse.query("select id from spectrum.games where problem is null")
    assert games == [{"id": "g1"}]
