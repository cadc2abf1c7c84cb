"""A fact of one day changes rows of other days: a run builds these rows, and no full build differs.

Each test lands one late file in a lake of 70 days, builds it, and compares every table with a new
warehouse. `test_incremental_truth.py` draws such changes at random, but its stories have few days.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from tests.support.hand_lake import HandLake, Row, epoch
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

DAYS = [date(2026, 6, 1) + timedelta(days=number) for number in range(70)]


def at(day: int, second: int = 0) -> str:
    return f"{DAYS[day]}T10:00:{second:02}"


def rate(day: int, currency: str, value: float) -> Row:
    return {"date": str(DAYS[day]), "currency": currency, "baserateeuro": value}


RATES = [rate(day, "USD", 0.9) for day in range(0, 70, 7)] + [rate(3, "GBP", 1.2)]


def bet(bet_id: str, kind: str, amount: int) -> Row:
    row: Row = {"realamount": amount, "bonusamount": 0, "channeluid": "c", "txcurrency": "GBP"}
    return row | {"gameid": "g", "txtype": kind, "betid": bet_id, "playerid": "l"}


def bets(lake: HandLake, day: int, *rows: Row) -> None:
    lake.table(f"game_transactions/date={DAYS[day]}/{rows[0]['txtype']}.csv", list(rows))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake and a warehouse that is built from it."""
    root = tmp_path_factory.mktemp("elsewhere")
    lake = HandLake(root / "lake")
    for day in (12, 20, 41, 42, 43, 69):
        lake.event(at(day), user_id="p", platform="ios", country_id="SE", event_id=f"p{day}")
    for day in (0, 5, 10, 39, 40, 41, 60, 69):
        lake.event(at(day, 1), user_id="q", event_id=f"q{day}")
    lake.event(at(15, 2), user_id="once", event_id="once")
    for player, day, amount in (("p", 20, 5), ("p", 42, 7), ("q", 5, 3), ("q", 60, 9)):
        lake.event(
            at(day, 3),
            "iap_transaction",
            user_id=player,
            transaction_id=f"{player}{day}",
            currency_type="GBP",
            currency_amount=amount,
            event_id=f"t{player}{day}",
        )
    lake.event(at(41, 4), "ad_impression", user_id="q", currency_type="GBP", currency_amount=1)
    lake.table("currency_exchange/rates.csv", RATES)
    bets(lake, 3, bet("b1", "WAGER", 5), bet("b2", "WAGER", 6))
    bets(lake, 41, bet("b1", "RESULT", 8))
    lake.write()
    Warehouse(lake.root, root).build(*WITHOUT_TESTS)
    return root


def earlier_first_day(lake: HandLake) -> None:
    lake.event(at(8), user_id="p", platform="web", country_id="DE", acquisition_channel="tv")


def active_on_one_more_day(lake: HandLake) -> None:
    lake.event(at(30), user_id="q")


def earlier_purchase(lake: HandLake) -> None:
    lake.event(at(14), "iap_transaction", user_id="p", transaction_id="first", currency_amount=2)


def late_refund(lake: HandLake) -> None:
    lake.event(at(60), "iap_refund", user_id="p", transaction_id="p20", currency_amount=1)


def earlier_event_of_a_transaction(lake: HandLake) -> None:
    lake.event(at(2), "iap_transaction", user_id="q", transaction_id="p42", currency_amount=1)


def late_rate(lake: HandLake) -> None:
    lake.table("currency_exchange/rates.csv", [*RATES, rate(38, "GBP", 1.1)])


def corrected_rate(lake: HandLake) -> None:
    lake.table("currency_exchange/rates.csv", [*RATES, rate(3, "GBP", 1.3)])


def player_disappears(lake: HandLake) -> None:
    day = {"event_id": "once", "application_id": "a", "event_type": "login"}
    other = {"event_timestamp": epoch(at(15, 2)), "event_data": '{"user_id": "other"}'}
    # The earliest arrival of a duplicate stays, and it names another player.
    lake.raw(DAYS[15], {**day, **other, "metadata": '{"processing_timestamp": 1}'})


@pytest.mark.parametrize(
    "change",
    [
        earlier_first_day,
        active_on_one_more_day,
        earlier_purchase,
        late_refund,
        earlier_event_of_a_transaction,
        late_rate,
        corrected_rate,
        player_disappears,
    ],
)
def test_a_late_change_ends_in_the_tables_of_a_full_build(
    base: Path, tmp_path: Path, change: Callable[[HandLake], None]
) -> None:
    shutil.copytree(base, tmp_path / "built")
    late = HandLake(tmp_path / "late")
    change(late)
    for path in [path for path in late.write().rglob("*.*") if path.is_file()]:
        to = tmp_path / "built/lake" / path.relative_to(late.root)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to.with_name("late.parquet") if path.suffix == ".parquet" else to)
    built = Warehouse(tmp_path / "built/lake", tmp_path / "built")
    before = _contents(built)
    built.build(*WITHOUT_TESTS)
    (tmp_path / "anew").mkdir()
    anew = Warehouse(built.lake, tmp_path / "anew")
    anew.build(*WITHOUT_TESTS)
    found, wanted = _contents(built), _contents(anew)
    differing = {
        table: ((found[table] - rows).most_common(3), (rows - found[table]).most_common(3))
        for table, rows in wanted.items()
        if found[table] != rows
    }
    assert differing == {}
    assert before != wanted, f"{change.__name__} changes nothing"


def _contents(warehouse: Warehouse) -> dict[str, Counter[str]]:
    """The rows of every table as a multiset."""
    return {table: Counter(map(repr, rows)) for table, rows in warehouse.tables().items()}
