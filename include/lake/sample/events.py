"""The events of the sample: what its players do, with late, duplicate and faulty events."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from include.lake.sample.day_lines import DayLines

DAY = 86_400
APPLICATIONS = ("aurora-quest", "borealis-arena")
CHANNELS: Mapping[str, tuple[str, ...]] = {
    "organic": (),
    "google_ads": ("g-launch", "g-autumn"),
    "tiktok": ("t-creators",),
    "applovin": ("a-playables", "a-retarget"),
}
# Each store: its country, the currency code that it sends, and the price of one US dollar in it.
STORES = (
    ("US", "USD", 1.0),
    ("DE", "EUR", 0.92),
    ("GB", "GBP", 0.79),
    ("JP", "YEN", 150.0),
    ("CN", "RMB", 7.2),
    ("SE", "SEK", 10.5),
)
ITEMS = (("gem_pouch", 0.99), ("starter_pack", 4.99), ("gem_chest", 9.99), ("battle_pass", 19.99))
LEVELS = 20
MAPS = ("canyon", "harbour", "ruins")
REPORT_REASONS = ("GRIEF", "CHEAT", "AFK", "CHAT")
LATE_DAYS = (1, 1, 1, 3, 3, 8, 10)
SHOP_VARIANTS = ("control", "new_shop")
MENU_VARIANTS = ("old_menu", "new_menu")
BUY_CHANCES = {"control": 0.35, "new_shop": 0.55}
"""How often a payer buys in a session, by the variant of the experiment `shop_2`."""
ENGAGEMENTS = {"control": 1.0, "new_shop": 1.15}
"""By how much a player's chance of returning is multiplied, by the variant of `shop_2`."""

Data = dict[str, Any]


@dataclass
class _Player:
    number: int
    user_id: str
    application: str
    installed: int
    platform: str
    store: tuple[str, str, float]
    channel: str
    campaign: str | None
    engagement: float
    is_payer: bool
    has_session_ids: bool
    updates_after: int
    device_id: str
    shop: str
    menu: str
    # The day from which on the player's next session has the experiment `menu_2`.
    menu_from: int
    balance: int = 0
    level: int = 1
    rank: int = 1
    free_from: int = 0


@dataclass
class _Session:
    player: _Player
    clock: int
    session_id: str | None
    delay: int
    is_anonymous: bool = False


@dataclass
class EventStory:
    """Generates the event lines that arrive on each day. All randomness comes from `seed`.

    `first_day` counts the days from 1970. Lines that do not fit into memory are in a temporary file
    in `folder`, which the system removes when the process ends.
    """

    first_day: int
    days: int
    players: int
    seed: int
    folder: Path | None = None
    _arrivals: DayLines = field(init=False)

    def __post_init__(self) -> None:
        # Equal seeds must give equal samples, which a cryptographic generator cannot do.
        self._random = random.Random(f"events {self.seed}")  # noqa: S311
        self._last_day = self.first_day + self.days - 1
        self._arrivals = DayLines(
            range(self.first_day, self.first_day + self.days), folder=self.folder
        )
        self._generate()

    def _generate(self) -> None:
        for number in range(self.players):
            player = self._new_player(number)
            for day in self._active_days(player):
                for start in self._session_starts(player, day):
                    self._play(player, start, is_first=start // DAY == player.installed)
        self._bot()
        for day in self._arrivals.days:
            self._faults(day)

    def arrivals(self) -> Iterator[tuple[int, list[bytes]]]:
        """Each day of arrival with its lines; call this once, because it draws random numbers."""
        for day in self._arrivals.days:
            lines = self._arrivals.read(day)
            self._random.shuffle(lines)
            yield day, lines

    # Players and their sessions.

    def _new_player(self, number: int) -> _Player:
        pick = self._random
        channel = pick.choices(list(CHANNELS), (5, 3, 2, 2))[0]
        # The first three install on the first day, so that even a small sample has a cohort.
        installed = self.first_day + (0 if number < 3 else int(pick.random() * self.days))
        shop = pick.choice(SHOP_VARIANTS)
        return _Player(
            number=number,
            user_id=self._id(),
            application=APPLICATIONS[0] if pick.random() < 0.7 else APPLICATIONS[1],
            installed=installed,
            platform=pick.choices(("ios", "android", "web"), (4, 5, 1))[0],
            # Each store has one certain payer, so that every currency occurs in a small sample too.
            store=STORES[number]
            if number < len(STORES)
            else pick.choices(STORES, (6, 3, 2, 2, 2, 1))[0],
            channel=channel,
            campaign=pick.choice(CHANNELS[channel]) if CHANNELS[channel] else None,
            engagement=pick.uniform(0.3, 1.1) * ENGAGEMENTS[shop],
            is_payer=pick.random() < 0.15 or number < len(STORES),
            has_session_ids=pick.random() > 0.08,
            updates_after=pick.randint(0, 4),
            device_id=self._id(),
            shop=shop,
            menu=pick.choice(MENU_VARIANTS),
            menu_from=installed + pick.randint(2, 5),
        )

    def _active_days(self, player: _Player) -> Iterator[int]:
        """The days on which a player plays: about 45 % are back on day 1, and 20 % on day 7."""
        yield player.installed
        for day in range(player.installed + 1, self._last_day + 1):
            chance = player.engagement * 0.7 * (day - player.installed) ** -0.45
            if self._random.random() < chance:
                yield day

    def _session_starts(self, player: _Player, day: int) -> Iterator[int]:
        for _ in range(self._random.choice((1, 1, 2, 2, 3, 4))):
            # Most sessions start in the evening, so that some of them run past midnight UTC.
            wished = day * DAY + int(self._random.triangular(0, DAY - 1, DAY * 0.85))
            start = max(wished, player.free_from)
            if start < (day + 1) * DAY:
                yield start

    # One session.

    def _play(self, player: _Player, start: int, *, is_first: bool) -> None:
        pick = self._random
        session = _Session(
            player,
            start,
            self._id() if player.has_session_ids else None,
            delay=pick.choice(LATE_DAYS) if pick.random() < 0.04 else 0,
            is_anonymous=player.has_session_ids and pick.random() < 0.1,
        )
        if session.session_id:
            self._step(session, "session_start", self._attributes(player))
        # An anonymous session has only its session id until here; then the player logs in.
        session.is_anonymous = False
        if is_first and player.level == 1:
            self._register(session)
        is_arena = player.application == APPLICATIONS[1]
        self._step(session, "user_login" if is_arena else "login", self._attributes(player))
        self._show_menu(session)
        for _ in range(pick.randint(2, 9)):
            if pick.random() < (0.7 if is_arena else 0.25):
                self._match(session)
            else:
                self._level(session)
            self._sundries(session)
        is_certain = is_first and player.number < len(STORES)
        if player.is_payer and (pick.random() < BUY_CHANCES[player.shop] or is_certain):
            self._buy(session, is_free=is_certain and player.number == 0)
        self._step(session, "user_logout" if is_arena else "logout", {})
        if session.session_id:
            self._step(session, "session_end", {})
        player.free_from = session.clock + pick.choice((600, 1_801, 2_400, 7_200))

    def _register(self, session: _Session) -> None:
        player = session.player
        self._step(session, "user_registration", self._attributes(player))
        # One player sees both variants, as it happens on two devices.
        for variant in SHOP_VARIANTS if player.number == 1 else (player.shop,):
            self._expose(session, "shop_2", variant)
        for screen in range(1, 6):
            self._step(
                session,
                "tutorial_progression",
                {"tutorial_screen_id": f"screen_{screen}", "tutorial_screen_version": "1"},
            )
            if self._random.random() < 0.06:
                return

    def _show_menu(self, session: _Session) -> None:
        """Expose a player once to the experiment `menu_2`, whose variants have the same effect."""
        player = session.player
        if session.clock // DAY >= player.menu_from:
            self._expose(session, "menu_2", player.menu)
            player.menu_from = self._last_day + 1

    def _expose(self, session: _Session, experiment: str, variant: str) -> None:
        exposure = {"experiment_id": experiment, "variant": variant}
        self._step(session, "experiment_exposure", exposure)

    def _level(self, session: _Session) -> None:
        player, pick = session.player, self._random
        is_new = self._version(player, session.clock) != "1.0.0"
        level = {"level_id": f"level_{player.level:02}", "level_version": "2" if is_new else "1"}
        self._step(session, "level_started", level)
        session.clock += pick.randint(30, 150)
        outcome = pick.random()
        if outcome < 0.9 - player.level * 0.02:
            self._step(session, "level_completed", level)
            self._flow(session, "source", pick.randint(10, 60), "level_reward")
            player.level = min(player.level + 1, LEVELS)
        elif outcome < 0.95:
            self._step(session, "level_failed", level)

    def _match(self, session: _Session) -> None:
        player, pick = session.player, self._random
        match = {
            "match_id": self._id(),
            "match_type": pick.choice(("duel", "team")),
            "map_id": pick.choice(MAPS),
        }
        self._step(session, "matchmaking_start", match)
        session.clock += int(pick.expovariate(1 / 12))
        if pick.random() < 0.08:
            reason = {"failure_reason": pick.choice(("timeout", "cancelled"))}
            self._step(session, "matchmaking_failed", match | reason)
            return
        self._step(session, "matchmaking_complete", match | {"matched_slots": 8})
        self._step(session, "match_start", match)
        for _ in range(pick.randint(0, 3)):
            self._step(session, "user_knockout", match | {"weapon_type": "bow"})
        result = pick.choices(("win", "loss", "quit"), (4, 5, 1))[0]
        self._step(session, "match_end", match | {"match_result_type": result})
        if result == "win":
            player.rank += 1
            self._step(session, "user_rank_up", {"user_rank_reached": player.rank})
            self._flow(session, "source", 25, "match_reward")

    def _sundries(self, session: _Session) -> None:
        player, pick = session.player, self._random
        if pick.random() < 0.5:
            ad = {"placement": pick.choice(("rewarded", "interstitial")), "currency_type": "USD"}
            cents = pick.randint(1, 40) / 1000
            self._step(session, "ad_impression", ad | {"currency_amount": cents})
        if pick.random() < 0.5:
            self._step(session, "item_viewed", {"item_id": pick.choice(ITEMS)[0]})
            self._step(session, "store_click", {"item": pick.choice(ITEMS)[0]})
        if player.balance >= 80 and pick.random() < 0.6:
            self._flow(session, "sink", 80, "lootbox")
            self._step(session, "lootbox_opened", {"lootbox_id": self._id(), "lootbox_cost": 80})
            self._step(session, "store_purchase", {"item": "lootbox", "currency_type": "gold"})
            self._step(session, "item_action", {"action": "equipped", "item": "helmet"})
        if pick.random() < 0.3:
            self._step(session, "client_latency", {"latency": pick.randint(15, 300)})
        if pick.random() < 0.02:
            error = {"is_fatal": pick.random() < 0.3, "message": "shader: größe ≤ 0"}
            self._step(session, "client_error", error)
        rare = pick.random()
        if rare < 0.01:
            self._step(session, "pet_adopted", {"species": "otter"})
        elif rare < 0.02:
            reason = REPORT_REASONS[session.clock % len(REPORT_REASONS)]
            self._step(session, "user_report", {"report_id": self._id(), "report_reason": reason})
        elif rare < 0.03:
            self._step(session, "user_sentiment", {"user_rating": pick.randint(1, 5)})

    def _flow(self, session: _Session, direction: str, amount: int, reason: str) -> None:
        player = session.player
        player.balance += amount if direction == "source" else -amount
        self._step(
            session,
            "currency_flow",
            {
                "currency": "gold",
                "direction": direction,
                "amount": amount,
                "reason": reason,
                "balance": player.balance,
            },
        )

    def _buy(self, session: _Session, *, is_free: bool) -> None:
        player, pick = session.player, self._random
        country, currency, rate = player.store
        item, price = pick.choice(ITEMS)
        is_free = is_free or pick.random() < 0.05
        amount = 0.0 if is_free else round(price * rate, 0 if currency == "YEN" else 2)
        purchase: Data = {
            "item_id": item,
            "item_amount": 1,
            "currency_type": currency.lower() if pick.random() < 0.05 else currency,
            "currency_amount": amount,
            "country_id": country,
            "transaction_id": self._id(),
        }
        if pick.random() < 0.03:
            del purchase["currency_type"]
        # Some shops send amounts as text. Some send no transaction id, so the event's id takes its
        # place.
        if pick.random() < 0.1:
            purchase["currency_amount"] = f"{amount:.2f}"
        if pick.random() < 0.05:
            del purchase["transaction_id"]
        event_id = self._step(session, "iap_transaction", purchase)
        transaction = purchase.get("transaction_id", event_id)
        if pick.random() < 0.02:
            # One purchase is reported twice, under two event ids.
            self._step(session, "iap_transaction", purchase)
        if pick.random() < 0.1:
            when = session.clock + pick.randint(1, 6) * DAY
            refund = _Session(player, when, None, delay=0)
            self._step(refund, "iap_refund", {"transaction_id": transaction})

    def _bot(self) -> None:
        """A bot: one session of more than three days with an event every twenty minutes."""
        bot = self._new_player(self.players)
        bot.installed = max(self.first_day, self._last_day - 4)
        session = _Session(bot, bot.installed * DAY + 70_000, self._id(), delay=0)
        while session.clock < bot.installed * DAY + 70_000 + 3 * DAY:
            session.clock += 1_200
            self._step(session, "item_viewed", {"item_id": "gem_pouch"})

    # One event.

    def _attributes(self, player: _Player) -> Data:
        attributes: Data = {"acquisition_channel": player.channel, "device_id": player.device_id}
        return attributes | ({"campaign_id": player.campaign} if player.campaign else {})

    def _version(self, player: _Player, timestamp: int) -> str:
        age = timestamp // DAY - self.first_day - player.updates_after
        return f"1.{max(0, min(2, age * 3 // max(self.days, 1)))}.0"

    def _id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _step(self, session: _Session, event_type: str, data: Data) -> str:
        """Add the next event of a session, sometimes with a duplicate; returns the event's id."""
        pick, player = self._random, session.player
        session.clock += pick.randint(2, 45)
        is_old = player.application == APPLICATIONS[1] and player.updates_after == 4
        known: Data = {"platform": player.platform, "country_id": player.store[0]} | data
        if not session.is_anonymous:
            known["player_id" if is_old else "user_id"] = player.user_id
        if session.session_id:
            known["session_id"] = session.session_id
        event: Data = {
            "event_version": "1.0.0",
            "event_id": self._id(),
            "event_type": event_type,
            "event_name": event_type,
            "event_timestamp": session.clock,
            "app_version": self._version(player, session.clock),
            "event_data": known,
        }
        envelope = {"event": event, "application_id": player.application}
        day = session.clock // DAY
        delay = session.delay or (pick.choice(LATE_DAYS) if pick.random() < 0.003 else 0)
        self._arrive(day + delay, envelope)
        chance = pick.random()
        if chance < 0.004:
            self._arrive(day + delay + pick.randint(0, 1), envelope)
        elif chance < 0.005:
            again = event | {"event_data": known | {"is_retry": True}}
            self._arrive(day + delay + pick.randint(0, 1), envelope | {"event": again})
        elif chance < 0.0055:
            later = event | {"event_timestamp": session.clock + DAY}
            self._arrive(day + 1, envelope | {"event": later})
        return str(event["event_id"])

    def _arrive(self, day: int, envelope: Data) -> None:
        # Events that would arrive after the last day of the sample are left out.
        if day in self._arrivals.days:
            self._arrivals.add(day, msgspec.json.encode(envelope))

    # Faulty and unusual events of every day.

    def _faults(self, day: int) -> None:
        noon = day * DAY + DAY // 2
        data = {"user_id": self._id(), "session_id": self._id(), "platform": "web"}
        event: Data = {
            "event_version": "1.0.0",
            "event_type": "login",
            "event_name": "login",
            "event_timestamp": noon,
            "app_version": "1.0.0",
            "event_data": data,
        }
        purchase = {"event_type": "iap_transaction"}
        for change in (
            {"event_timestamp": noon * 1_000},
            {"event_timestamp": noon * 1_000_000},
            {"event_timestamp": "2026-09-01T12:00:00Z"},
            {"event_timestamp": None},
            {"event_timestamp": 0},
            {"event_timestamp": -noon},
            {"event_timestamp": noon + 3 * DAY},
            {"event_id": None},
            {"event_type": None},
            {"application_id": None},
            purchase | {"event_data": data | {"currency_amount": "a lot", "currency_type": "USD"}},
            # The following events are valid but unusual.
            {"event_timestamp": str(noon)},
            {"event_timestamp": noon + 0.75},
            {"event_data": msgspec.json.encode(data).decode()},
            {"event_data": {"latency": 80}, "event_type": "client_latency"},
            {"event_type": "iap_refund", "event_data": {"transaction_id": "unknown"}},
            {"build": {"number": 77, "branch": "main"}},
        ):
            one = {"event_id": self._id()} | event | change
            application = one.pop("application_id", APPLICATIONS[0])
            self._arrive(day, {"event": one, "application_id": application})
        for line in (
            b'{"event":{"event_id":"cut off',
            b"login,2026-09-01,not json",
            b'{"event":{"event_id":"\xff\xfe"},"application_id":"aurora-quest"}',
            b'["no object"]',
            b"",
        ):
            self._arrivals.add(day, line)
