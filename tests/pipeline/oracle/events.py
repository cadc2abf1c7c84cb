"""Makes events of raw rows: validity, duplicates, players, sessions and the counts of health."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import md5
from typing import NamedTuple

from tests.pipeline.oracle.lake import Placed, Row
from tests.pipeline.oracle.values import (
    TOO_MUCH,
    amount,
    cell,
    json_object,
    known,
    known_id,
    name,
    number,
    text,
    utc_day,
    utc_time,
)

DAY = timedelta(days=1)
GAP_SECONDS = 1800
EARLIEST = 1262304000
"""The first second of 2010: no event is older."""
NOT_ACTIVITY = {"iap_refund", "experiment_exposure"}
_AMOUNTS = {
    "iap_transaction": "currency_amount",
    "iap_refund": "currency_amount",
    "ad_impression": "currency_amount",
    "currency_flow": "amount",
}

NAMES_OF_ROW = (
    *("event_id", "event_type", "event_name", "event_version", "app_version"),
    "application_id",
)
NAMES_OF_DATA = (
    *("session_id", "device_id", "platform", "country_id"),
    *("acquisition_channel", "campaign_id"),
)
"""The texts that the marts hold in varchar(1024)."""
NAMES_OF_MONEY = ("transaction_id", "item_id", "currency_type")
"""The texts of purchases, refunds and ad impressions that the marts hold in varchar(1024)."""
_OF_MATCH = ("match_id", "match_type", "map_id")
NAMES_OF_TYPE: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("iap_transaction", "iap_refund"), NAMES_OF_MONEY),
    "ad_impression": (*NAMES_OF_MONEY, "placement"),
    "item_viewed": ("item_id",),
    **dict.fromkeys(
        ("level_started", "level_completed", "level_failed"), ("level_id", "level_version")
    ),
    "tutorial_progression": ("tutorial_screen_id",),
    **dict.fromkeys(("matchmaking_start", "matchmaking_complete", "match_start"), _OF_MATCH),
    "matchmaking_failed": (*_OF_MATCH, "matching_failed_msg", "failure_reason"),
    "match_end": (*_OF_MATCH, "match_result_type"),
    "user_report": ("report_reason",),
    "currency_flow": ("currency", "direction", "reason"),
    "experiment_exposure": ("experiment_id", "variant"),
}
"""The texts that the marts hold in varchar(1024) only of events of a type."""

_READINGS: Mapping[str, Callable[[object], str | None]] = {
    **dict.fromkeys(
        ("user_id", "player_id", "session_id", "device_id", "transaction_id"), known_id
    ),
    **dict.fromkeys(("platform", "country_id", "acquisition_channel", "campaign_id"), name),
    **dict.fromkeys(("item_id", "currency_type"), name),
}
"""How the keys of `event_data` that name something are read."""

Table = list[dict[str, object]]


def read_names(data: Row) -> Row:
    """The fields of an event, with the names among them as the text that they mean."""
    return {key: _READINGS[key](x) if key in _READINGS else x for key, x in data.items()}


@dataclass(frozen=True, slots=True)
class Event:
    """A valid event. `with_players` fills `player_id` from the session if the event has none."""

    application_id: str
    event_id: str
    event_date: date
    event_timestamp: int
    event_type: str
    player_id: str | None
    session_id: str | None
    app_version: str | None
    data: Mapping[str, object]
    arrival: int | None
    payload_hash: str

    def value(self, key: str) -> str | None:
        """A value of `event_data` as text; None if it is missing or blank."""
        return known(self.data.get(key))

    @property
    def is_activity(self) -> bool:
        """Whether the event makes its player active on that day. Unknown types do."""
        return self.event_type not in NOT_ACTIVITY

    @property
    def order(self) -> tuple[int, str]:
        """The sort key that defines the earliest event."""
        return self.event_timestamp, self.event_id


class Refused(NamedTuple):
    """A row that never reaches a mart."""

    day: date
    reason: str


def _arrival(metadata: Mapping[str, object]) -> int | None:
    seconds = number(known(metadata.get("processing_timestamp")))
    return None if seconds is None or not seconds.is_finite() else int(seconds // 1)


def _timestamp_refusal(seconds: object, day: date, metadata: Row) -> str | None:
    """The reason why a timestamp is not valid in the partition of that day, or None."""
    if not isinstance(seconds, int):
        raw = metadata.get("raw_event_timestamp")
        return "missing_timestamp" if raw in (None, "null") else "timestamp_not_numeric"
    if seconds <= 0:
        return "timestamp_not_positive"
    arrival = _arrival(metadata)
    if arrival is not None and seconds > arrival + 86400:
        return "timestamp_in_future"
    if seconds < EARLIEST:
        return "timestamp_too_old"
    return None if utc_day(seconds) == day else "wrong_partition"


def _too_long(row: Row, data: Row) -> bool:
    """Whether a text has more bytes than a column of Redshift holds, or may have been cut."""
    for column in ("event_data", "metadata"):
        document = text(row.get(column)) or ""
        length = len(document.encode())
        if length > 65535 or (length > 65531 and not json_object(document)):
            return True
    names = [cell(row.get(column)) for column in NAMES_OF_ROW]
    names.append(known(data.get("user_id")) or known(data.get("player_id")))
    names += [known(data.get(key)) for key in NAMES_OF_DATA]
    of_type = NAMES_OF_TYPE.get(cell(row.get("event_type")) or "", ())
    names += [known(data.get(key)) for key in of_type]
    # A session that is cut at midnight has a colon and a date behind its id.
    names.append((known(data.get("session_id")) or "") + ":2026-09-01")
    return any(len(name.encode()) > 1020 for name in names if name)


def refusal(placed: Placed, metadata: Row, data: Row) -> str | None:
    """The first reason, in the defined order, why a row is not valid; None if it is valid."""
    row = placed.row
    result = metadata.get("processing_result")
    if isinstance(result, dict) and result.get("status") == "schema_mismatch":
        return "producer_schema_mismatch"
    for column in ("event_id", "event_type", "application_id"):
        if cell(row.get(column)) is None:
            return f"missing_{column}"
    reason = _timestamp_refusal(row.get("event_timestamp"), placed.day, metadata)
    if reason is not None:
        return reason
    if _too_long(row, data):
        return "text_too_long"
    given = known(data.get(_AMOUNTS.get(cell(row.get("event_type")) or "", "")))
    if given is not None:
        value = amount(given)
        if value is None or abs(value) >= TOO_MUCH:
            return "amount_not_valid"
    return None


def staged(placed: Placed) -> Event | Refused:
    """A raw row as an event, or as a refused row with its reason."""
    row = placed.row
    payload = text(row.get("event_data"))
    metadata, data = json_object(text(row.get("metadata"))), read_names(json_object(payload))
    reason = refusal(placed, metadata, data)
    if reason is not None:
        return Refused(placed.day, reason)
    seconds = row.get("event_timestamp")
    if not isinstance(seconds, int):
        raise TypeError("a valid row has a timestamp")
    return Event(
        application_id=str(cell(row["application_id"])),
        event_id=str(cell(row["event_id"])),
        event_date=placed.day,
        event_timestamp=seconds,
        event_type=str(cell(row["event_type"])),
        player_id=known(data.get("user_id")) or known(data.get("player_id")),
        session_id=known(data.get("session_id")),
        app_version=cell(row.get("app_version")),
        data=data,
        arrival=_arrival(metadata),
        payload_hash=md5((payload or "").encode(), usedforsecurity=False).hexdigest(),
    )


def _arrival_order(event: Event) -> tuple[bool, int, int, str, str]:
    """Earliest arrival, timestamp, payload hash, type; unknown arrivals last."""
    arrival = (event.arrival is None, event.arrival or 0)
    return *arrival, event.event_timestamp, event.payload_hash, event.event_type


def deduplicated(events: Iterable[Event]) -> list[Event]:
    """One event per application, event id and day: the one that arrived first."""
    kept: dict[tuple[str, str, date], Event] = {}
    for event in events:
        key = event.application_id, event.event_id, event.event_date
        if key not in kept or _arrival_order(event) < _arrival_order(kept[key]):
            kept[key] = event
    return list(kept.values())


def with_players(events: Collection[Event]) -> list[Event]:
    """Give each event without a player the earliest player of its session on days -1 to +1."""
    named: dict[tuple[str, str, date], Event] = {}
    for event in events:
        if event.player_id and event.session_id:
            key = event.application_id, event.session_id, event.event_date
            if key not in named or event.order < named[key].order:
                named[key] = event

    def resolved(event: Event) -> Event:
        if event.player_id or not event.session_id:
            return event
        days = (event.event_date - DAY, event.event_date, event.event_date + DAY)
        keys = [(event.application_id, event.session_id, day) for day in days]
        found = [named[key] for key in keys if key in named]
        if not found:
            return event
        return replace(event, player_id=min(found, key=lambda other: other.order).player_id)

    return [resolved(event) for event in events]


def int_events(events: Iterable[Event]) -> Table:
    """The deduplicated events with their players."""
    return [
        {
            "application_id": event.application_id,
            "event_id": event.event_id,
            "event_date": event.event_date,
            "event_timestamp": event.event_timestamp,
            "event_type": event.event_type,
            "player_id": event.player_id,
            "session_id": event.session_id,
        }
        for event in events
    ]


@dataclass(frozen=True, slots=True)
class Session:
    """One session; the timestamps are those of all its events, in order."""

    application_id: str
    player_id: str
    session_id: str
    session_date: date
    timestamps: tuple[int, ...]
    is_explicit: bool

    @property
    def seconds(self) -> int:
        """From the first event to the last."""
        return self.timestamps[-1] - self.timestamps[0]


def _start_day(day: date, days: Collection[date]) -> date:
    """The day on which the session of a day's events began: a session joins two days at most."""
    joins = day - DAY in days and day - 2 * DAY not in days
    return day - DAY if joins else day


def _by_start_day(timestamps: Iterable[int]) -> dict[date, list[int]]:
    """The sorted timestamps of one id or one chain, by the day on which their session starts."""
    by_day: dict[date, list[int]] = defaultdict(list)
    for seconds in sorted(timestamps):
        day = utc_day(seconds)
        if day is None:
            raise ValueError("a valid event has a day")
        by_day[day].append(seconds)
    starts: dict[date, list[int]] = defaultdict(list)
    for day, of_day in by_day.items():
        starts[_start_day(day, by_day)] += of_day
    return dict(starts)


def _chains(timestamps: Iterable[int]) -> list[list[int]]:
    """Cut a player's timestamps where two of them are more than the gap apart."""
    chains: list[list[int]] = []
    for seconds in sorted(timestamps):
        if chains and seconds - chains[-1][-1] <= GAP_SECONDS:
            chains[-1].append(seconds)
        else:
            chains.append([seconds])
    return chains


def _unmistakable(session_id: str) -> str:
    """An explicit id of a whole session, which is not the id of a gap or cut session."""
    made = session_id.startswith("gap:") or re.search(r":(....-..-..)?\Z", session_id, re.DOTALL)
    return f"{session_id}:" if made else session_id


def sessions(events: Iterable[Event]) -> list[Session]:
    """The sessions of all events that have a player."""
    explicit: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    without: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in events:
        if event.player_id and event.session_id:
            key = event.application_id, event.player_id, event.session_id
            explicit[key].append(event.event_timestamp)
        elif event.player_id:
            without[event.application_id, event.player_id].append(event.event_timestamp)
    found = []
    for (application, player, plain_id), timestamps in explicit.items():
        starts = _by_start_day(timestamps)
        days = {utc_day(seconds) for seconds in timestamps}
        for day, members in starts.items():
            session_id = f"{plain_id}:{day}" if day - DAY in days else _unmistakable(plain_id)
            found.append(Session(application, player, session_id, day, tuple(members), True))
    for (application, player), timestamps in without.items():
        for chain in _chains(timestamps):
            for day, members in _by_start_day(chain).items():
                session_id = f"gap:{members[0]}"
                found.append(Session(application, player, session_id, day, tuple(members), False))
    return found


def fct_sessions(found: Iterable[Session]) -> Table:
    """One row per application, player, session and the day it starts on."""
    return [
        {
            "application_id": session.application_id,
            "player_id": session.player_id,
            "session_id": session.session_id,
            "session_date": session.session_date,
            "started_at": utc_time(session.timestamps[0]),
            "ended_at": utc_time(session.timestamps[-1]),
            "duration_seconds": session.seconds,
            "event_count": len(session.timestamps),
            "is_explicit": session.is_explicit,
        }
        for session in found
    ]


def event_health(
    landed: Iterable[date],
    rejected: Iterable[date],
    refused: Iterable[Refused],
    valid: Iterable[Event],
    kept: Collection[Event],
    refunds: Mapping[str, Counter[date]],
) -> Table:
    """What happened to the rows of each partition day, and to the lines rejected that day."""
    counts = {
        "landed_count": Counter(landed),
        "rejected_count": Counter(rejected),
        "schema_mismatch_count": Counter(row.day for row in refused),
        "duplicate_count": Counter(event.event_date for event in valid),
    }
    players: dict[tuple[str, str], set[str]] = defaultdict(set)
    purchases: list[tuple[date, tuple[str, str]]] = []
    for event in kept:
        if event.event_type == "iap_transaction" and event.player_id:
            key = event.application_id, event.value("transaction_id") or event.event_id
            players[key].add(event.player_id)
            purchases.append((event.event_date, key))
    counts["shared_transaction_count"] = Counter(
        day for day, key in purchases if len(players[key]) > 1
    )
    counts["duplicate_count"].subtract(event.event_date for event in kept)
    counts |= refunds
    days = sorted({day for counter in counts.values() for day in counter})
    return [
        {
            "source_name": "raw_events",
            "health_date": day,
            **{name: counts[name][day] for name in counts},
        }
        for day in days
    ]


def fct_quarantined_events(refused: Iterable[Refused]) -> Table:
    """How many rows each reason kept out of each partition day."""
    return [
        {"partition_date": day, "reason": reason, "row_count": count}
        for (day, reason), count in Counter(refused).items()
    ]
