"""The seed of fees: a changed rate reaches every mart, and a wrong row is found by a named test."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from include.manifest import PROJECT
from tests.pipeline.oracle import betting_reports
from tests.pipeline.truth import KEYS, RATE_TOLERANCE
from tests.support.compare import difference
from tests.support.hand_lake import HandLake, Row
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

HEADER = "fee,applies_to,base,rate,valid_from"

RATES = """\
provider,1,ggr,0.125,2026-03-02
provider,default,turnover,0.03,2026-03-01
payment,default,cash_turnover,0.017,2026-02-28
tax,default,ngr,0.21,2026-03-01
tax,SE,turnover,0.053,2026-01-01
tax,SE,ggr,0,2026-03-03"""

SELECTED = ("--select", "+rpt_betting_by_segment", "+rpt_betting_cohorts", "+dim_ledger_players")


def _project(folder: Path, fees: str) -> Path:
    """A copy of the dbt project with these rows in the seed."""
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("target", "logs"))
    (folder / "seeds" / "betting_fees.csv").write_text(f"{HEADER}\n{fees}\n")
    return folder


def _write_ledger(lake: Path) -> None:
    """Write bets of three days and two months, of players and games with and without a row."""
    ledger = HandLake(lake)
    for number, day in enumerate(("2026-02-28", "2026-03-02", "2026-03-03")):
        ledger.table(
            f"game_transactions/date={day}/bets.csv",
            [
                {
                    **{"realamount": f"{amount}.{number}7", "bonusamount": "1.13"},
                    **{"gameid": game, "playerid": player, "txtype": kind},
                    "betid": f"{player}{game}{number}",
                }
                for player in ("s", "d", "unlisted")
                for game in ("g", "h", "unlisted")
                for kind, amount in (("WAGER", 12 + number), ("RESULT", 7 * number))
            ],
        )
    players: list[Row] = [{"playerid": "s", "country": "SE"}, {"playerid": "d", "country": "de"}]
    ledger.table("players/players.csv", players)
    games: list[Row] = [{"id": "g", "gameproviderid": "1"}, {"id": "h", "gameproviderid": "2"}]
    ledger.table("games/games.csv", games)


def _contents(warehouse: Warehouse) -> Mapping[str, Counter[str]]:
    return {table: Counter(map(repr, rows)) for table, rows in warehouse.tables().items()}


def _build(folder: Path, lake: Path, project: Path) -> Warehouse:
    folder.mkdir(exist_ok=True)
    warehouse = Warehouse(lake, folder)
    warehouse.project = project
    warehouse.build(*WITHOUT_TESTS, *SELECTED)
    return warehouse


def test_changed_rates_reach_every_row_of_their_days(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    _write_ledger(lake)
    warehouse = _build(tmp_path / "built", lake, PROJECT)
    totals = "select sum(full_ngr) = sum(ngr) as is_equal from marts.rpt_betting_by_segment"
    assert warehouse.query(totals) == [{"is_equal": True}]
    for number, rates in enumerate(
        (RATES, RATES.replace("0.125", "0.5").replace("tax,SE", "tax,DE"))
    ):
        project = _project(tmp_path / f"dbt{number}", rates)
        warehouse = _build(tmp_path / "built", lake, project)
        assert warehouse.query(totals) == [{"is_equal": False}]
        fees = betting_reports.read_fees(project / "seeds" / "betting_fees.csv")
        bets = betting_reports.results(lake, warehouse.rows("marts.fct_bets"), fees)
        today = datetime.now(UTC).date()
        for table, expected in (
            ("rpt_betting_by_segment", betting_reports.by_segment(bets)),
            ("rpt_betting_cohorts", betting_reports.cohorts(bets, today, None)),
        ):
            rows = warehouse.rows(f"marts.{table}")
            assert not difference(rows, expected, KEYS[table], RATE_TOLERANCE)
    assert _contents(warehouse) == _contents(_build(tmp_path / "anew", lake, project))


def test_each_wrong_row_fails_the_test_that_names_its_cause(tmp_path: Path) -> None:
    wrong = {
        "taxes,default,ggr,0.2,2026-01-01": "fee__accepted_values",
        ",default,ggr,0.2,2026-01-01": "fee__not_null",
        "tax,,ggr,0.2,2026-01-01": "applies_to__not_null",
        "tax,SE,stakes,0.2,2026-01-02": "base__accepted_values",
        "tax,SE,,0.2,2026-01-03": "base__not_null",
        "tax,SE,ggr,20,2026-01-04": "rate__within_range",
        "tax,SE,ggr,-0.2,2026-01-05": "rate__within_range",
        "tax,SE,ggr,,2026-01-06": "rate__not_null",
        "tax,SE,ggr,0.2,": "valid_from__not_null",
        "tax,DE,ggr,0.2,2026-01-01\ntax,DE,ngr,0.3,2026-01-01": "unique_combination_of_columns",
    }
    (tmp_path / "lake").mkdir()
    warehouse = Warehouse(tmp_path / "lake", tmp_path)
    warehouse.project = _project(tmp_path / "dbt", "\n".join(wrong))
    warehouse.find()
    of_other_tables = ("--exclude", "assert_betting_fees_apply_to_something")
    failed = warehouse.dbt("--select", "betting_fees", *of_other_tables)
    assert set(failed) == {f"betting_fees__{test}" for test in wrong.values()}
    # Each message has the number of the wrong rows.
    assert "Got 2 results" in failed["betting_fees__rate__within_range"]


def test_a_rate_of_an_unknown_name_is_a_warning(tmp_path: Path) -> None:
    _write_ledger(tmp_path / "lake")
    rates = f"{RATES}\ntax,XX,ggr,0.2,2026-01-01\nprovider,SE,ggr,0.2,2026-01-01"
    project = _project(tmp_path / "dbt", rates)
    warehouse = _build(tmp_path, tmp_path / "lake", project)
    rows = warehouse.failing_rows("assert_betting_fees_apply_to_something", "warn")
    assert {(row["fee"], row["applies_to"]) for row in rows} == {("tax", "XX"), ("provider", "SE")}
