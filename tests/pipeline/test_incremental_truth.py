"""Building the touched days makes the tables of a full build, in whatever order data arrives.

Each seed makes the events of a story (`story.py`), lands them in pieces, changes the lake in ways
that happen to lakes, and builds after each step. After each step every incremental table must equal
that of a full build of the same lake. After the last step all tables must, and the oracle's.

`INCREMENTAL_SEEDS=20` runs the seeds 0 to 19, `INCREMENTAL_SEEDS=17-17` only seed 17. A failure
prints its seed and the steps so far.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from include.lake.landing.landing_zone import LandingZone
from tests.pipeline.story import (
    DAYS,
    Story,
    day_of,
    invalid_lines,
    late_first_event,
    late_money,
    late_refund,
    with_other_payload,
)
from tests.pipeline.truth import differences, shown
from tests.support.hand_lake import LEDGER_COLUMNS
from tests.support.warehouse import WITHOUT_TESTS, Row, Warehouse

STEPS = 12
TYPES = (*["WAGER", "RESULT", "ROLLBACK"] * 3, "CANCEL", "JACKPOT", "FREESPIN_RESULT", "VOID")
INCREMENTAL = ("--select", "+config.materialized:incremental")


def seeds() -> list[int]:
    """The seeds to run: the first two, or those of the variable INCREMENTAL_SEEDS."""
    first, dash, last = os.environ.get("INCREMENTAL_SEEDS", "2").rpartition("-")
    return list(range(int(first), int(last) + 1)) if dash else list(range(int(last)))


class Lake:
    """A lake that changes step by step; `steps` describes the changes so far."""

    def __init__(self, root: Path, seed: int) -> None:
        """Begin with an empty lake and the events that will arrive."""
        self.root = root
        self.rng = random.Random(seed)  # noqa: S311 - reproducible on purpose, nothing secret
        self.ledger_rng = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self.steps: list[str] = []
        self.landed: list[bytes] = []
        self.to_come = Story(self.rng).lines
        self._last_batch: tuple[int, bytes] | None = None
        self._waiting: list[Callable[[], str]] = []
        self._rates: list[tuple[str, str, str]] = []
        self._wagers: list[tuple[int, Row]] = []
        self._rollbacks: list[tuple[int, Row]] = []

    def begin(self) -> None:
        """Land about half of all events, and write the first state of the ledger."""
        self.steps.append("begin")
        self._land([line for day in self.to_come for line in self._taken(day, 0.55)])
        for day in self.rng.sample(range(DAYS), 5):
            self._ledger_day(day)
        self._begin_bets()
        for day in range(0, DAYS, 4):
            self._rate(day)
        self._write_lists()
        # Application `a` has an event after all others, so that it has KPIs while its MAU falls.
        self._land([late_first_event(self.rng, DAYS + 34, "a")])

    def happen(self) -> None:
        """Make one change. Each kind of change comes once, and late events three times, before any
        kind comes again.
        """
        if not self._waiting:
            self._waiting = [
                *[self._late_day] * 3,
                self._late_money,
                self._late_refund,
                self._late_first_events,
                self._late_bets,
                self.rng.choice((self._day_vanishes, self._half_a_day_vanishes)),
                self._duplicates,
                self._invalid_rows,
                self._ledger_changes,
                self._late_rate,
            ]
            self.rng.shuffle(self._waiting)
        self.steps.append(self._waiting.pop()())

    def _late_day(self) -> str:
        """Land some or all of the events that are still missing on one day, rarely on two."""
        waiting = [day for day, lines in self.to_come.items() if lines]
        chosen = self.rng.sample(waiting, min(len(waiting), self.rng.choice((1, 1, 1, 2))))
        lines = [line for day in chosen for line in self._taken(day, self.rng.choice((0.5, 1)))]
        self._land(lines)
        return f"{len(lines)} late events of days {chosen}"

    def _late_money(self) -> str:
        day = self.rng.randrange(DAYS)
        self._land(late_money(self.rng, day))
        return f"a late purchase and an ad on day {day}, and refunds"

    def _late_refund(self) -> str:
        """Land refunds of purchases that arrived earlier, on days of their own."""
        purchases = [line for line in self.landed if b'"iap_transaction"' in line]
        chosen = self.rng.sample(purchases, 3)
        days = [self.rng.randrange(DAYS) for _ in chosen]
        self._land([late_refund(self.rng, *pair) for pair in zip(days, chosen, strict=True)])
        return f"refunds on days {days}"

    def _late_first_events(self) -> str:
        # No player of the story has an event before day 0.
        days = [self.rng.randrange(-3, 0), self.rng.randrange(DAYS // 2)]
        self._land([late_first_event(self.rng, day) for day in days])
        return f"events of days {days} that change the segments of their players"

    def _late_rate(self) -> str:
        given = {day for day, _, _ in self._rates}
        missing = [day for day in range(DAYS) if str(day_of(day)) not in given]
        day = self.rng.choice(missing or range(DAYS))
        self._rate(day)
        return f"a rate of day {day}"

    def _begin_bets(self) -> None:
        """Write wagers, of which two are rolled back, and rollbacks that have nothing to roll back.

        `_late_bets` writes what is missing. Each wager has a day of its own.
        """
        for day in self.rng.sample(range(8), 8):
            self._wagers.append((day, self._bet(f"wager{day}", "WAGER", day + 1, day)))
        for number in range(4):
            day = self.rng.choice((5, 6, 7))
            row = self._bet(f"rollback{number}", "ROLLBACK", number + 1, day)
            self._rollbacks.append((day, row))
        # A late rate of a day that has none yet is also the rate of day 3 or of day 7, unless it is
        # of day 9. The rates of days 4 and 8 are there from the beginning.
        for day, rolled_back in ((3, 8), (7, 9)):
            self._bet(f"closed{day}", "WAGER", 2, day)
            self._bet(f"closed{day}", "ROLLBACK", 2, rolled_back)

    def _late_bets(self) -> str:
        """Write a rollback and a result of earlier wagers, and the wager of an earlier rollback.

        Then deliver a file of the ledger again, under another name. The days of the three earlier
        rows get no file, so their rows change only because of rows of other days.
        """
        earlier = [self._wagers.pop(), self._wagers.pop(), self._rollbacks.pop()]
        untouched = {day for day, _ in earlier}
        days = [8, 9, self.rng.choice([day for day in range(5) if day not in untouched])]
        for day, kind, (_, row) in zip(days, ("ROLLBACK", "RESULT", "WAGER"), earlier, strict=True):
            self._bet(row["betid"], kind, row["realamount"], day)
        folders = {f"date={day_of(day)}" for day in untouched}
        files = sorted((self.root / "game_transactions").rglob("*.jsonl"))
        file = self.rng.choice([file for file in files if file.parent.name not in folders])
        shutil.copy(file, file.with_name(f"again{len(self.steps)}.jsonl"))
        again = file.relative_to(self.root)
        return f"a rollback, a result and a wager on days {days}, and {again} again"

    def _bet(self, bet_id: object, kind: str, amount: object, day: int) -> Row:
        """Write a file with one row of the ledger; returns the row."""
        row: Row = dict.fromkeys(LEDGER_COLUMNS["game_transactions"])
        row |= {"realamount": amount, "txcurrency": "GBP", "gameid": "g1", "txtype": kind}
        row |= {"betid": bet_id, "playerid": "l1"}
        self._write(f"game_transactions/date={day_of(day)}/{bet_id}-{kind}.jsonl", [row])
        return row

    def _duplicates(self) -> str:
        """Land events of one day again, with another payload and an earlier or later arrival.

        Then land the last file again, which must add nothing.
        """
        day = self.rng.randrange(DAYS)
        of_day = [line for line in self.landed if _day(line) == day_of(day)]
        chosen = self.rng.sample(of_day, min(len(of_day), 6))
        self._land([with_other_payload(self.rng, line) for line in chosen])
        if self._last_batch:
            arrived_at, content = self._last_batch
            self._land_file(content, arrived_at + self.rng.randrange(DAYS))
        return f"{len(chosen)} duplicates on day {day}, and the last file again"

    def _day_vanishes(self) -> str:
        folders = self._folders()
        folder = self.rng.choice(folders)
        shutil.rmtree(folder)
        return f"{folder.relative_to(self.root)} vanishes"

    def _half_a_day_vanishes(self) -> str:
        folder = self.rng.choice(self._folders())
        file = self.rng.choice(sorted(folder.iterdir()))
        file.unlink()
        return f"{file.relative_to(self.root)} vanishes"

    def _invalid_rows(self) -> str:
        day = self.rng.randrange(DAYS)
        self._land(invalid_lines(self.rng, day))
        return f"invalid rows on day {day}"

    def _ledger_changes(self) -> str:
        day = self.rng.randrange(DAYS)
        self._ledger_day(day)
        self._rate(self.rng.randrange(DAYS))
        self._write_lists()
        return f"ledger day {day}, a rate, and the games and costs"

    def _taken(self, day: int, share: float) -> list[bytes]:
        """Remove that share of the day's lines from those that are still to come."""
        lines = self.to_come[day]
        taken = [line for line in lines if self.rng.random() < share]
        self.to_come[day] = [line for line in lines if line not in taken]
        return taken

    def _folders(self) -> list[Path]:
        return sorted(path.parent for path in (self.root / "raw_events").rglob("*.parquet"))

    def _land(self, lines: list[bytes]) -> None:
        if not lines:
            return
        end = datetime.combine(day_of(DAYS), time(), UTC)
        arrived_at = int(end.timestamp()) + self.rng.randrange(9 * 86400) - 86400
        self.landed += lines
        content = b"".join(line + b"\n" for line in lines)
        self._last_batch = arrived_at, content
        self._land_file(content, arrived_at)

    def _land_file(self, content: bytes, arrived_at: int) -> None:
        with LandingZone(self.root) as zone:
            zone.land("story.jsonl", io.BytesIO(content), arrived_at)

    def _ledger_day(self, day: int) -> None:
        rows = [
            {
                "realamount": self.rng.choice(("1.5", "2,25", "0", "x", 3)),
                "bonusamount": self.rng.choice(("", "0.1")),
                "channeluid": "c",
                "txcurrency": self.rng.choice(("USD", "EUR", "GBP", "yen")),
                "gameid": self.rng.choice(("g1", "g2")),
                "txtype": self.rng.choice(("WAGER", "RESULT")),
                "betid": f"b{self.rng.randrange(12)}",
                "playerid": self.rng.choice(("l1", "l2")),
            }
            for _ in range(6)
        ]
        # Few bets, amounts and players, so that many rows can be taken back, also on other days.
        rows += [
            {
                "realamount": self.ledger_rng.choice(("5", "5,00", "7")),
                "txcurrency": self.ledger_rng.choice(("USD", "USD", "GBP")),
                "gameid": "g1",
                "txtype": self.ledger_rng.choice(TYPES),
                "betid": f"r{self.ledger_rng.randrange(4)}",
                "playerid": "l1",
            }
            for _ in range(8)
        ]
        self._write(f"game_transactions/date={day_of(day)}/{self.rng.randrange(2)}.jsonl", rows)

    def _rate(self, day: int) -> None:
        for currency, rate in (("USD", 0.9), ("GBP", 1.2), ("JPY", 0.006)):
            given = f"{rate * self.rng.uniform(0.9, 1.1):.6f}"
            self._rates.append((str(day_of(day)), currency, given))
        names = ("date", "currency", "baserateeuro")
        self._write(
            "currency_exchange/rates.jsonl",
            [dict(zip(names, row, strict=True)) for row in self._rates],
        )

    def _write_lists(self) -> None:
        rows = [
            {
                "date": str(day_of(day)),
                "acquisition_channel": self.rng.choice(("ads", "ads", "tv")),
                "campaign_id": self.rng.choice(("spring", "winter", None)),
                "currency": self.rng.choice(("EUR", "GBP")),
                "amount": self.rng.randrange(1, 9),
            }
            for day in range(DAYS)
        ]
        self._write("marketing_spend/costs.jsonl", rows)
        name = self.rng.choice(("One", "The first"))
        game = {"id": "g1", "game_name": name, "gameproviderid": self.ledger_rng.choice("12")}
        self._write("games/games.jsonl", [game])
        provider = {"id": "1", "game_provider_name": self.ledger_rng.choice(("One", "1st"))}
        self._write("game_providers/providers.jsonl", [provider])
        category = {"game_id": "g2", "game_category": self.ledger_rng.choice(("Slots", "Live"))}
        self._write("game_categories/categories.jsonl", [category])
        player: Row = dict.fromkeys(LEDGER_COLUMNS["players"])
        # The player completes a year of age on one of the story's days.
        player |= {
            "playerid": "l1",
            "country": "SE",
            "birthdate": str(day_of(5).replace(year=2001)),
        }
        self._write("players/players.jsonl", [player])

    def _write(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _day(line: bytes) -> date | None:
    try:
        seconds = json.loads(line)["event"]["event_timestamp"]
        return datetime.fromtimestamp(seconds, UTC).date()
    except (ValueError, TypeError):
        return None


class Whole:
    """A full build that can be repeated: the SQL that dbt compiled for a build of all days."""

    def __init__(self, warehouse: Warehouse) -> None:
        """Build a new warehouse and keep the SQL of its incremental models."""
        self.warehouse = warehouse
        warehouse.build(*WITHOUT_TESTS, *INCREMENTAL)
        tables = warehouse.tables()
        self._models = {name: sql for name, sql in warehouse.compiled.items() if name in tables}

    def rebuild(self) -> None:
        """Make every incremental table again; running dbt would take ten times as long."""
        self.warehouse.find()
        self.warehouse.execute(
            f"create or replace table {name} as {sql}" for name, sql in self._models.items()
        )


def assert_equal(built: Warehouse, whole: Warehouse, lake: Lake) -> None:
    """Fail unless every table of the full build has the same rows in the other warehouse."""
    tables, tables_of_whole = built.tables(), whole.tables()
    assert tables_of_whole
    assert set(tables_of_whole) <= set(tables)
    for table, rows in tables_of_whole.items():
        found, wanted = (
            Counter(tuple(sorted(row.items())) for row in side) for side in (tables[table], rows)
        )
        if found != wanted:
            steps = "\n  ".join(lake.steps)
            pytest.fail(
                f"{table} differs after these steps:\n  {steps}\n"
                f"surplus: {list((found - wanted).elements())[:4]}\n"
                f"missing: {list((wanted - found).elements())[:4]}"
            )


def step(warehouse: Warehouse, lake: Lake) -> None:
    """Change the lake and do a run, sometimes after a run that fails or one of requested days."""
    lake.happen()
    fate = lake.rng.random()
    if fate < 0.2:
        lake.steps.append("a build that is not recorded")
        warehouse.find()
        assert not warehouse.dbt(*WITHOUT_TESTS, *INCREMENTAL)
        lake.happen()
    elif fate < 0.35:
        first = day_of(lake.rng.randrange(DAYS))
        lake.steps.append(f"only {first} and the day after are asked for")
        warehouse.find((first, first + timedelta(days=1)))
        assert not warehouse.dbt(*WITHOUT_TESTS, *INCREMENTAL)
        warehouse.record()
    warehouse.build(*WITHOUT_TESTS, *INCREMENTAL)
    if fate > 0.9:
        lake.steps.append("built twice")
        days = warehouse.build(*WITHOUT_TESTS, *INCREMENTAL)
        assert not any(days.values()), "nothing changed, so there are no days to build"


@pytest.mark.parametrize("seed", seeds())
def test_any_order_of_arrival_ends_in_a_full_rebuild(seed: int, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake", seed)
    # A day may vanish while the lake has few days.
    built = Warehouse(lake.root, tmp_path / "built", allow_lost_rows="1")
    lake.begin()
    built.build(*WITHOUT_TESTS)
    whole = Whole(Warehouse(lake.root, tmp_path / "whole"))
    for _ in range(STEPS):
        step(built, lake)
        whole.rebuild()
        assert_equal(built, whole.warehouse, lake)
    built.build(*WITHOUT_TESTS)
    anew = Warehouse(lake.root, tmp_path / "anew")
    anew.build(*WITHOUT_TESTS)
    assert_equal(built, anew, lake)
    found = differences(built)
    assert not found, f"{lake.steps}\n{shown(found)}"
