"""Files of the ledger and of costs in any form: right numbers, or a refusal that names the file."""

from __future__ import annotations

import gzip
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from include.settings import UserError
from tests.pipeline.truth import differences, shown
from tests.support.mixed_ledger import DAY, QUARANTINED, TURNOVERS, bets, write, write_mixed_lake
from tests.support.warehouse import WITHOUT_TESTS, Warehouse


def test_formats_may_be_mixed_and_a_bad_row_changes_no_other(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    write_mixed_lake(lake)
    warehouse = Warehouse(lake, tmp_path)
    warehouse.build(*WITHOUT_TESTS)
    report = warehouse.query("select game_id, turnover, winnings from marts.rpt_betting")
    assert {str(row["game_id"]).lower(): row["turnover"] for row in report} == TURNOVERS
    assert sum(Decimal(str(row["winnings"])) for row in report) == 4
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
    # A bad row of costs is one quarantined row, as in the ledger, and does not stop the run.
    assert not warehouse.tests("stg_marketing__spend__never_null")
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
