"""The large ledger of the tests is reproducible, and has every case that its docstring names."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from tests.pipeline.ledger import CURRENCIES, LAST_DAY, write_ledger
from tests.pipeline.oracle import compute
from tests.pipeline.oracle.lake import files, partitions, table
from tests.pipeline.oracle.money import Rates


def _content(lake: Path) -> dict[str, bytes]:
    return {str(path.relative_to(lake)): path.read_bytes() for path in files(lake)}


def test_equal_seeds_give_equal_files(tmp_path: Path) -> None:
    write_ledger(tmp_path / "one", 2000, seed=5)
    write_ledger(tmp_path / "two", 2000, seed=5)
    write_ledger(tmp_path / "other", 2000, seed=6)
    assert _content(tmp_path / "one") == _content(tmp_path / "two") != _content(tmp_path / "other")


def test_the_ledger_has_every_case(tmp_path: Path) -> None:
    write_ledger(tmp_path, 20_000, days=20, broken=0.01)
    rows = [placed.row for placed in partitions(tmp_path, "game_transactions")]
    amounts = [str(row["realamount"]) for row in rows]
    assert len(rows) == 20_000
    assert any("," in value for value in amounts)
    assert any("." in value for value in amounts)
    assert {row["txcurrency"] for row in rows} == set(CURRENCIES)

    first = LAST_DAY - timedelta(days=19)
    dated = [
        (str(row["currency"]), str(row["date"])) for row in table(tmp_path, "currency_exchange")
    ]
    assert len(dated) == len(set(dated)) < 20 * (len(CURRENCIES) - 1)
    rates = Rates(table(tmp_path, "currency_exchange"), "USD")
    for day in range(20):
        for currency in ("EUR", "GBP", "SEK", "JPY", "BRL"):
            assert rates.rate(first + timedelta(days=day), currency)
    gaps: set[int] = set()
    for currency in set(CURRENCIES) - {"EUR"}:
        days = sorted(date.fromisoformat(day) for name, day in dated if name == currency)
        gaps |= {(after - before).days - 1 for before, after in pairwise(days)}
    assert max(gaps) == 3

    marts = compute(tmp_path)
    assert sum(int(str(row["schema_mismatch_count"])) for row in marts["rpt_data_health"]) > 100
    assert any(row["unsettled_wager_count"] for row in marts["rpt_betting"])
    assert any(row["wins_without_wager_count"] for row in marts["rpt_betting"])
