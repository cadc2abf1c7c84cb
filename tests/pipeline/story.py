"""Seeded random events of two small games that are hard to build day by day.

Events of one day change other days: sessions over many midnights, some of them shared by two
players; events that take their player from the next day; chains without a session id; event ids
that are repeated on later days; purchases and refunds days apart.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from tests.pipeline.economy_story import economy_events
from tests.pipeline.gameplay_story import gameplay_events

FIRST = date(2026, 9, 1)
DAYS = 10
DAY = 86400
_START = int(datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC).timestamp())
CURRENCIES = ("USD", "EUR", "GBP", "YEN", None)


class Story:
    """All events as lines of a file, by the number of their day."""

    def __init__(self, rng: random.Random, days: int = DAYS) -> None:
        """Make the events. The same state of `rng` makes the same events."""
        self._rng = rng
        self._days = days
        self._count = 0
        self.lines: dict[int, list[bytes]] = {day: [] for day in range(days)}
        for application in ("a", "b"):
            for number in range(4):
                self._player(application, f"p{number}")
            for number in range(9):
                self._shared_session(application, f"shared{number}")
        self._long_chain("a", "walker")
        for told in economy_events(rng, days):
            self._add(told.application, told.second, told.kind, **told.data)
        for played in gameplay_events(rng, days):
            self._add(played.application, played.second, played.kind, **played.data)

    @property
    def events(self) -> Iterator[bytes]:
        """The lines of all days."""
        for lines in self.lines.values():
            yield from lines

    def _add(
        self, application: str, seconds: int, kind: str = "level_started", /, **data: object
    ) -> None:
        """Add an event at a second of the story, on the last day at the latest."""
        self._count += 1
        event_id = data.pop("event_id", None) or f"e{self._count}"
        seconds = max(0, min(seconds, self._days * DAY - 1))
        event = {
            "event_id": event_id,
            "event_type": kind,
            "event_name": kind,
            "event_timestamp": _START + seconds,
            "app_version": self._rng.choice(("1.0", "1.1", None)),
            "event_data": {name: value for name, value in data.items() if value is not None},
        }
        line = json.dumps({"event": event, "application_id": application}).encode()
        self.lines[seconds // DAY].append(line)
        # An event with the same id on a later day is another event, and counts as a repeat there.
        if self._rng.random() < 0.06:
            again = seconds + self._rng.choice((1, 2, 2, 3)) * DAY
            if again < self._days * DAY:
                event["event_timestamp"] = _START + again
                line = json.dumps({"event": event, "application_id": application}).encode()
                self.lines[again // DAY].append(line)

    def _player(self, application: str, player: str) -> None:
        rng = self._rng
        about = {
            "platform": rng.choice(("ios", "android", None)),
            "country_id": rng.choice(("SE", "JP", None)),
            "acquisition_channel": rng.choice(("ads", "friends", None)),
            "campaign_id": rng.choice(("spring", "autumn", None)),
        }
        for number in range(rng.randint(2, 4)):
            session = f"{player}-s{rng.randrange(3) if rng.random() < 0.3 else number}"
            first, length = rng.randrange(self._days), rng.choice((1, 1, 2, 2, 3, 4))
            for day in range(first, min(first + length, self._days)):
                for _ in range(rng.randint(1, 2)):
                    named = player if rng.random() < 0.5 else None
                    self._add(
                        application,
                        day * DAY + self._second(),
                        rng.choice(("login", "level_started", "made_up", "experiment_exposure")),
                        user_id=named,
                        session_id=session,
                        **(about if rng.random() < 0.5 else {}),
                    )
            self._money(application, player, session, first)
        self._exposures(application, player)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(1, self._days) * DAY - rng.randrange(4000)
            for _ in range(rng.randint(2, 5)):
                self._add(application, at, "client_latency", player_id=player)
                at += rng.choice((600, 1799, 1800, 1801, 2400))

    def _exposures(self, application: str, player: str) -> None:
        """Add exposures to experiments, some of them twice, to two variants or without a name."""
        rng = self._rng
        for experiment in ("shop_2", "menu_2", " own ", ""):
            for _ in range(rng.choice((0, 1, 1, 2))):
                self._add(
                    application,
                    rng.randrange(self._days) * DAY + self._second(),
                    "experiment_exposure",
                    user_id=player,
                    experiment_id=experiment,
                    variant=rng.choice(("control", "control", "new_shop", "old_menu", " x", None)),
                )

    def _shared_session(self, application: str, session: str) -> None:
        """Add a session of many days with one player on some days and another one on others."""
        rng = self._rng
        first = rng.randrange(self._days - 4)
        for day in range(first, min(first + rng.randint(4, 7), self._days)):
            player = rng.choice((f"{session}-x", f"{session}-y", None, None))
            for _ in range(rng.randint(1, 2)):
                self._add(
                    application, day * DAY + self._second(), user_id=player, session_id=session
                )
            if rng.random() < 0.5:
                self._add(
                    application,
                    day * DAY + self._second(),
                    "iap_transaction",
                    session_id=session,
                    currency_type="USD",
                    currency_amount=rng.randint(1, 9),
                )

    def _long_chain(self, application: str, player: str) -> None:
        """Add events without a session id over three or four days, without a gap between them."""
        at = self._rng.randrange(1, self._days - 3) * DAY - 3000
        for _ in range(self._rng.randint(60, 110)):
            self._add(application, at, "client_latency", user_id=player)
            at += 1700

    def _money(self, application: str, player: str, session: str, day: int) -> None:
        rng = self._rng
        named = player if rng.random() < 0.6 else None
        price = {
            "currency_type": rng.choice(CURRENCIES),
            "currency_amount": rng.choice((0, 0.99, "4.99", 20)),
        }
        transaction = f"{player}-t{rng.randrange(5)}"
        self._add(
            application,
            day * DAY + self._second(),
            "iap_transaction",
            user_id=named,
            session_id=session,
            transaction_id=transaction,
            item_id=rng.choice(("gem", "gem", "crate", None)),
            **price,
        )
        if rng.random() < 0.6:
            for _ in range(rng.choice((1, 1, 2))):
                self._refund(application, player, transaction)
        self._ads(application, named, session, day)

    def _ads(self, application: str, named: str | None, session: str, day: int) -> None:
        """Add ad impressions of one day at several placements, with amounts that are rounded."""
        rng = self._rng
        for _ in range(rng.choice((1, 1, 3))):
            self._add(
                application,
                day * DAY + self._second(),
                "ad_impression",
                user_id=named,
                session_id=session,
                placement=rng.choice(("start", "end", " end ", None)),
                currency_type=rng.choice(CURRENCIES),
                currency_amount=rng.choice((0.0375, "0.00004", "0.00007")),
            )

    def _refund(self, application: str, player: str, transaction: str) -> None:
        """Add a refund in whole or in part, or a purchase below zero, which is a refund as well."""
        rng = self._rng
        amount = rng.choice((None, None, 1, "2.5", 30, -3))
        self._add(
            application,
            rng.randrange(self._days) * DAY + self._second(),
            "iap_transaction" if amount == -3 else "iap_refund",
            user_id=player,
            transaction_id=transaction,
            currency_amount=amount,
            currency_type=rng.choice(CURRENCIES),
        )

    def _second(self) -> int:
        """A second of a day, often close to midnight."""
        near = self._rng.randrange(1200)
        return self._rng.choice((near, DAY - 1 - near, self._rng.randrange(DAY)))


def late_first_event(rng: random.Random, day: int, application: str | None = None) -> bytes:
    """An event that can be the first of its player, with another value of each segment."""
    return _line(
        rng,
        day,
        "login",
        application,
        user_id=rng.choice(("p0", "p1", "p2", "p3")),
        platform=rng.choice(("web", "ios")),
        country_id=rng.choice(("DE", "SE")),
        acquisition_channel=rng.choice(("tv", "ads")),
        campaign_id=rng.choice(("spring", "winter", None)),
    )


def late_money(rng: random.Random, day: int) -> list[bytes]:
    """A purchase and two refunds, of transactions that also have other events, and an ad."""
    player = rng.choice(("p0", "p1", "p2", "p3"))
    transaction = f"{player}-t{rng.randrange(5)}"
    price = {"currency_type": rng.choice(CURRENCIES), "currency_amount": rng.choice((0.99, 7))}
    return [
        _line(
            rng,
            day,
            "ad_impression",
            user_id=player,
            placement=rng.choice(("start", "shop", None)),
            currency_amount=rng.choice(("0.00006", 0.02)),
            currency_type=rng.choice(CURRENCIES),
        ),
        _line(rng, day, "iap_transaction", user_id=player, transaction_id=transaction, **price),
        *(
            _line(
                rng,
                rng.randrange(DAYS),
                "iap_refund",
                user_id=rng.choice(("p0", "p1", "p2", "p3")),
                transaction_id=refunded,
                currency_amount=rng.choice((None, 0.5, 2)),
                currency_type=rng.choice(CURRENCIES),
            )
            for refunded in (transaction, f"{player}-t{rng.randrange(5)}")
        ),
    ]


def late_refund(rng: random.Random, day: int, purchase: bytes) -> bytes:
    """A refund of a purchase, in whole or in part."""
    bought = json.loads(purchase)
    data = bought["event"]["event_data"]
    return _line(
        rng,
        day,
        "iap_refund",
        bought["application_id"],
        user_id=data.get("user_id"),
        transaction_id=data.get("transaction_id") or bought["event"]["event_id"],
        currency_amount=rng.choice((None, 0.25)),
        currency_type=data.get("currency_type"),
    )


def _line(
    rng: random.Random, day: int, kind: str, application: str | None = None, /, **data: object
) -> bytes:
    event = {
        "event_id": f"late{rng.random()}",
        "event_type": kind,
        "event_name": kind,
        "event_timestamp": _START + day * DAY + rng.randrange(DAY),
        "app_version": rng.choice(("0.9", None)),
        "event_data": {name: value for name, value in data.items() if value is not None},
    }
    named = application or rng.choice(("a", "b"))
    return json.dumps({"event": event, "application_id": named}).encode()


def invalid_lines(rng: random.Random, day: int) -> list[bytes]:
    """One line that is rejected and three that are quarantined."""
    seconds = _START + day * DAY + rng.randrange(DAY)
    event = {"event_id": f"bad{rng.random()}", "event_type": "login", "event_timestamp": seconds}
    bad = [
        event | {"event_type": None},
        event | {"event_timestamp": None},
        event | {"event_timestamp": seconds * 1000},
        event | {"event_timestamp": 86400},
        event | {"event_type": "iap_transaction", "event_data": {"currency_amount": "ten"}},
    ]
    lines = [json.dumps({"event": it, "application_id": "a"}).encode() for it in bad]
    return [*rng.sample(lines, 3), b'{"event":']


def with_other_payload(rng: random.Random, line: bytes) -> bytes:
    """The event with another payload, and sometimes with another player or without its session."""
    envelope = json.loads(line)
    data = envelope["event"]["event_data"]
    data["copy"] = rng.randrange(9)
    if rng.random() < 0.5:
        data["user_id"] = rng.choice(("p0", "p1"))
    if rng.random() < 0.3:
        data.pop("session_id", None)
    return json.dumps(envelope).encode()


def day_of(number: int) -> date:
    """The date of a day of the story."""
    return FIRST + timedelta(days=number)
