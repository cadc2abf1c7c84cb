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


COST: Row = {"date": str(DAYS[3]), "acquisition_channel": "tv", "currency": "GBP", "amount": 4}
COST_OF_CAMPAIGN = COST | {"date": str(DAYS[15]), "campaign_id": "spring", "currency": "USD"}
PLAYER: Row = {"playerid": "l", "country": "SE", "latestupdate": str(DAYS[3])}
RATES = [rate(day, "USD", 0.9) for day in range(0, 70, 7)] + [rate(3, "GBP", 1.2)]


def bet(bet_id: str, kind: str, amount: int) -> Row:
    row: Row = {"realamount": amount, "bonusamount": 0, "channeluid": "c", "txcurrency": "GBP"}
    return row | {"gameid": "g", "txtype": kind, "betid": bet_id, "playerid": "l"}


def bets(lake: HandLake, day: int, *rows: Row, file: str = "") -> None:
    name = file or rows[0]["txtype"]
    lake.table(f"game_transactions/date={DAYS[day]}/{name}.csv", list(rows))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake and a warehouse that is built from it."""
    root = tmp_path_factory.mktemp("elsewhere")
    lake = HandLake(root / "lake")
    for day in (12, 20, 41, 42, 43, 69):
        lake.event(at(day), user_id="p", platform="ios", country_id="SE", event_id=f"p{day}")
    for day in (0, 5, 10, 39, 40, 41, 60, 69):
        lake.event(at(day, 1), user_id="q", event_id=f"q{day}")
    lake.event(at(15, 2), user_id="once", event_id="once", campaign_id="spring")
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
    lake.event(at(61, 5), "ad_impression", user_id="q", placement="end", currency_amount=1)
    lake.event(
        at(62), "ad_impression", user_id="q", placement="end", currency_amount=2, event_id="ad"
    )
    lake.table("currency_exchange/rates.csv", RATES)
    wagers = [bet("b1", "WAGER", 5), bet("b2", "WAGER", 6), bet("b3", "WAGER", 7)]
    bets(lake, 3, *wagers, bet("b4", "WAGER", 9), bet("b4", "WAGER", 9))
    bets(lake, 20, bet("b3", "ROLLBACK", 7))
    bets(lake, 25, bet("b5", "ROLLBACK", 2), bet("b4", "ROLLBACK", 9))
    bets(lake, 41, bet("b1", "RESULT", 8))
    bets(lake, 42, bet("m1", "WAGER", 3) | {"playerid": "m"})
    lake.table("games/games.csv", [{"id": "g", "game_name": "G", "gameproviderid": "1"}])
    lake.table("players/players.csv", [PLAYER])
    lake.table("marketing_spend/costs.csv", [COST])
    lake.write()
    Warehouse(lake.root, root).build(*WITHOUT_TESTS)
    return root


def earlier_first_day(lake: HandLake) -> None:
    lake.event(at(8), user_id="p", platform="web", country_id="DE", acquisition_channel="tv")


def later_campaign(lake: HandLake) -> None:
    lake.event(at(66), user_id="q", campaign_id="spring")


def one_more_active_player_beside_an_ad(lake: HandLake) -> None:
    lake.event(at(61), user_id="once")


def placement_of_another_duplicate(lake: HandLake) -> None:
    ad = {"event_id": "ad", "application_id": "a", "event_type": "ad_impression"}
    seen = '{"user_id": "q", "placement": "start", "currency_amount": 2}'
    other = {"event_timestamp": epoch(at(62)), "event_data": seen}
    lake.raw(DAYS[62], {**ad, **other, "metadata": '{"processing_timestamp": 1}'})


def item_of_a_late_purchase(lake: HandLake) -> None:
    lake.event(
        at(60, 9), "iap_transaction", user_id="once", transaction_id="t", item_id="gem",
        currency_amount=9,
    )  # fmt: skip


def campaign_is_paid(lake: HandLake) -> None:
    lake.table("marketing_spend/costs.csv", [COST, COST_OF_CAMPAIGN, COST_OF_CAMPAIGN])


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


def late_rollback(lake: HandLake) -> None:
    bets(lake, 50, bet("b2", "ROLLBACK", 6))


def earlier_rollback(lake: HandLake) -> None:
    bets(lake, 11, bet("b3", "ROLLBACK", 7))


def rollback_disappears(lake: HandLake) -> None:
    bets(lake, 25, bet("b5", "ROLLBACK", 2))
    bets(lake, 20, bet("b9", "ROLLBACK", 7))


def late_cancel(lake: HandLake) -> None:
    bets(lake, 60, bet("b1", "CANCEL", 0))


def late_wager_of_a_rollback(lake: HandLake) -> None:
    bets(lake, 2, bet("b5", "WAGER", 2))


def late_result(lake: HandLake) -> None:
    bets(lake, 55, bet("b2", "RESULT", 4))


def result_disappears(lake: HandLake) -> None:
    bets(lake, 41, bet("b7", "RESULT", 8), file="RESULT")


def bets_delivered_twice(lake: HandLake) -> None:
    bets(lake, 3, bet("b3", "WAGER", 7), bet("b1", "WAGER", 5), file="again")


def corrected_lists(lake: HandLake) -> None:
    lake.table("games/games.csv", [{"id": "h", "game_name": "H", "gameproviderid": "1"}])
    lake.table("players/players.csv", [PLAYER | {"country": "DE", "latestupdate": str(DAYS[9])}])
    lake.table("marketing_spend/costs.csv", [COST | {"amount": 5, "currency": "USD"}])


def corrected_player(lake: HandLake) -> None:
    # Nothing but the attributes by which bets are segmented; the second player is a new one.
    player = PLAYER | {"birthdate": "1990-06-20", "vip": "1", "kyc": "yes"}
    lake.table("players/players.csv", [player, {"playerid": "m", "country": "DE"}])


def corrected_game(lake: HandLake) -> None:
    lake.table("game_providers/providers.csv", [{"id": "1", "game_provider_name": "One"}])
    lake.table("game_categories/categories.csv", [{"game_id": "g", "game_category": "Slots"}])


def earlier_first_bet(lake: HandLake) -> None:
    bets(lake, 4, bet("m2", "WAGER", 2) | {"playerid": "m"})


def first_bet_disappears(lake: HandLake) -> None:
    bets(lake, 42, bet("m1", "WAGER", 3) | {"playerid": "n"})


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
        later_campaign,
        one_more_active_player_beside_an_ad,
        placement_of_another_duplicate,
        item_of_a_late_purchase,
        campaign_is_paid,
        earlier_purchase,
        late_refund,
        earlier_event_of_a_transaction,
        late_rate,
        corrected_rate,
        late_rollback,
        earlier_rollback,
        rollback_disappears,
        late_cancel,
        late_wager_of_a_rollback,
        late_result,
        result_disappears,
        bets_delivered_twice,
        corrected_lists,
        corrected_player,
        corrected_game,
        earlier_first_bet,
        first_bet_disappears,
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


def test_a_key_that_had_two_rows_keeps_the_right_one(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "built")
    built = Warehouse(tmp_path / "built/lake", tmp_path / "built")
    before = _contents(built)
    assert before["marts.dim_games"]
    with built.opened() as database:
        database.execute(
            "insert into marts.dim_games "
            "select * replace ('wrong' as game_name) from marts.dim_games"
        )
    built.build(*WITHOUT_TESTS)
    assert _contents(built) == before


def _contents(warehouse: Warehouse) -> dict[str, Counter[str]]:
    """The rows of every table as a multiset."""
    return {table: Counter(map(repr, rows)) for table, rows in warehouse.tables().items()}
