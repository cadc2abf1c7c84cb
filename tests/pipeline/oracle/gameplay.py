"""The marts about levels, funnels, matchmaking and stability."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from include.manifest import PROJECT
from tests.pipeline.oracle.events import DAY, GAP_SECONDS, Event, Table
from tests.pipeline.oracle.values import amount, entity, known_id, ratio, text

UNKNOWN = "Unknown"
_QUITS = {"quit": "quits", "disconnected": "quits"}
_RESULTS = {"win": "wins", "lose": "losses", "loss": "losses", **_QUITS}


def marts(events: Collection[Event]) -> dict[str, Table]:
    """The rows of these marts, by mart, from the deduplicated events with their players."""
    matchmaking, failures = _matchmaking(events)
    return {
        "rpt_level_difficulty": _level_difficulty(events),
        "rpt_progression_funnel": _progression_funnel(events),
        "rpt_matchmaking": matchmaking,
        "rpt_matchmaking_failures": failures,
        "rpt_stability": _stability(events),
    }


def _named(event: Event, key: str, read: Callable[[object], str | None] = entity) -> str | None:
    """The name that a key of an event gives, without blanks around it."""
    return (read(event.data.get(key)) or "").strip(" ") or None


def _rank(values: Iterable[int], share: int, of: int) -> int | None:
    """The smallest value that at least `share` in `of` values do not exceed; None without any."""
    ordered = sorted(values)
    return ordered[(len(ordered) * share + of - 1) // of - 1] if ordered else None


# Levels


@dataclass(slots=True)
class _Level:
    """The seconds of a player's events in one version of a level."""

    starts: list[int] = field(default_factory=list)
    completions: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)

    @property
    def attempts_to_clear(self) -> int | None:
        """The starts until the first completion, at least one."""
        if not self.completions:
            return None
        return max(1, sum(second <= min(self.completions) for second in self.starts))

    @property
    def is_first_try(self) -> bool:
        """Whether the first attempt ended in a completion."""
        first = min(self.completions, default=0)
        return self.attempts_to_clear == 1 and all(second >= first for second in self.failures)


_Version = tuple[str, str]
_Levels = dict[_Version, _Level]


def _level_difficulty(events: Iterable[Event]) -> Table:
    players: dict[tuple[str, str | None], _Levels] = defaultdict(lambda: defaultdict(_Level))
    for event in events:
        if event.event_type in {"level_started", "level_completed", "level_failed"}:
            version = _named(event, "level_id"), _named(event, "level_version")
            levels = players[event.application_id, event.player_id]
            level = levels[version[0] or UNKNOWN, version[1] or UNKNOWN]
            {
                "level_started": level.starts,
                "level_completed": level.completions,
                "level_failed": level.failures,
            }[event.event_type].append(event.event_timestamp)
    rows: dict[tuple[str, _Version], list[tuple[str | None, _Level, bool]]] = defaultdict(list)
    for (application, player), levels in players.items():
        dropped = _drop_off(levels) if player else None
        for named, level in levels.items():
            rows[application, named].append((player, level, named == dropped))
    return [
        {"application_id": application, "level_id": level, "level_version": version}
        | _difficulty(found)
        for (application, (level, version)), found in rows.items()
    ]


def _drop_off(levels: Mapping[_Version, _Level]) -> _Version | None:
    """The level that the player started last, if the player has completed none of its versions."""
    started = [(max(level.starts), named) for named, level in levels.items() if level.starts]
    if not started:
        return None
    _, last = max(started)
    cleared = {level_id for (level_id, _), level in levels.items() if level.completions}
    return None if last[0] in cleared else last


def _difficulty(found: Sequence[tuple[str | None, _Level, bool]]) -> dict[str, object]:
    every = [level for _, level, _ in found]
    own = [level for player, level, _ in found if player]
    attempts = sum(len(level.starts) for level in every)
    completions = sum(len(level.completions) for level in every)
    failures = sum(len(level.failures) for level in every)
    started = sum(bool(level.starts) for level in own)
    clears = [level.attempts_to_clear for level in own]
    to_clear = [count for count in clears if count is not None]
    first_try = sum(level.is_first_try for level in own)
    dropped = sum(is_dropped for _, _, is_dropped in found)
    return {
        "players": len(own),
        "players_started": started,
        "players_cleared": len(to_clear),
        "attempts": attempts,
        "completions": completions,
        "failures": failures,
        "abandons": max(0, attempts - completions - failures),
        "completion_rate": ratio(completions, completions + failures),
        "fail_rate": ratio(failures, completions + failures),
        "first_try_players": first_try,
        "first_try_rate": ratio(first_try, len(own)),
        "median_attempts_to_clear": _rank(to_clear, 1, 2),
        "p90_attempts_to_clear": _rank(to_clear, 9, 10),
        "drop_off_players": dropped,
        "drop_off_rate": ratio(dropped, started),
    }


# Funnels


class _Step(NamedTuple):
    funnel_name: str
    step: int
    step_name: str
    event_type: str
    detail_column: str
    detail_value: str

    def has(self, event: Event) -> bool:
        """Whether the event reaches the step, which only a purchase above zero does."""
        is_free = (amount(event.value("currency_amount")) or 0) <= 0
        is_purchase = event.event_type == "iap_transaction"
        if event.event_type != self.event_type or (is_purchase and is_free):
            return False
        return not self.detail_column or _named(event, self.detail_column) == self.detail_value


def _progression_funnel(events: Collection[Event]) -> Table:
    funnels: dict[str, list[_Step]] = defaultdict(list)
    with (PROJECT / "seeds" / "funnel_steps.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = _Step(**{**row, "step": int(row["step"])})  # type: ignore[arg-type]
            funnels[step.funnel_name].append(step)
    players: dict[str, dict[str, list[Event]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        players[event.application_id]
        if event.player_id:
            players[event.application_id][event.player_id].append(event)
    return [
        row
        for application, own in players.items()
        for steps in funnels.values()
        for row in _funnel(application, sorted(steps, key=lambda step: step.step), own)
    ]


def _funnel(
    application: str, steps: Sequence[_Step], players: Mapping[str, Sequence[Event]]
) -> Iterator[dict[str, object]]:
    reached = dict.fromkeys(players, 0)
    first = before = None
    for step in steps:
        now: dict[str, int] = {}
        for player, since in reached.items():
            times = [e.event_timestamp for e in players[player] if step.has(e)]
            later = [seconds for seconds in times if seconds >= since]
            if later:
                now[player] = min(later)
        count = len(now)
        first = count if first is None else first
        yield {
            **{"application_id": application, "funnel_name": step.funnel_name, "step": step.step},
            **{"step_name": step.step_name, "event_type": step.event_type, "players": count},
            "players_of_previous_step": before,
            "conversion_from_previous": ratio(count, before),
            "players_of_first_step": first,
            "conversion_from_first": ratio(count, first),
            "median_seconds_from_previous": None
            if before is None
            else _rank((now[player] - reached[player] for player in now), 1, 2),
        }
        reached, before = now, count


# Matchmaking


@dataclass(slots=True)
class _Matches:
    """What happened on one day in one segment."""

    counts: Counter[str] = field(default_factory=Counter)
    waits: list[int] = field(default_factory=list)
    match_ids: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)


_Segment = tuple[str, str, str, date]
_SEGMENTS = ("match_type", "map_id")


def _matchmaking(events: Iterable[Event]) -> tuple[Table, Table]:
    found: dict[_Segment, _Matches] = defaultdict(_Matches)
    starts: dict[tuple[str, str, str], list[Event]] = defaultdict(list)
    outcomes: list[Event] = []
    for event in sorted(events, key=lambda event: event.order):
        match = _named(event, "match_id", known_id)
        if event.event_type == "matchmaking_start":
            for matches in _segments(found, event, None):
                matches.counts["matchmaking_starts"] += 1
            if event.player_id and match:
                starts[event.application_id, event.player_id, match].append(event)
        elif event.event_type in {"matchmaking_complete", "matchmaking_failed", "match_end"}:
            outcomes.append(event)
    waited: set[tuple[str, str, date]] = set()
    for event in outcomes:
        match = _named(event, "match_id", known_id)
        own = starts[event.application_id, event.player_id or "", match or ""]
        before = [start for start in own if start.event_timestamp <= event.event_timestamp]
        start = before[-1] if before and before[-1].event_date >= event.event_date - DAY else None
        if event.event_type == "match_end":
            _add_end(found, event, start)
        else:
            _add_outcome(found, event, start, waited)
    return [_segment_row(*item) for item in found.items()], list(_failures(found))


def _segments(
    found: dict[_Segment, _Matches], event: Event, start: Event | None
) -> Iterator[_Matches]:
    """The two segments in which an event counts, by the values of its start and its day."""
    counted = event if event.event_type == "match_end" else start or event
    for name in _SEGMENTS:
        value = (_named(start, name) if start else None) or _named(event, name) or UNKNOWN
        yield found[event.application_id, name, value, counted.event_date]


def _add_end(found: dict[_Segment, _Matches], event: Event, start: Event | None) -> None:
    match = _named(event, "match_id", known_id)
    result = (_named(event, "match_result_type") or "").lower()
    for matches in _segments(found, event, start):
        matches.counts.update(["match_results", _RESULTS.get(result, "others")])
        matches.match_ids.add(match or "")
        matches.counts["ends_without_match"] += match is None


def _add_outcome(
    found: dict[_Segment, _Matches],
    event: Event,
    start: Event | None,
    waited: set[tuple[str, str, date]],
) -> None:
    is_complete = event.event_type == "matchmaking_complete"
    key = (start.application_id, start.event_id, start.event_date) if start else None
    for matches in _segments(found, event, start):
        if not is_complete:
            matches.counts["matchmaking_failures"] += 1
            reason = _named(event, "matching_failed_msg") or _named(event, "failure_reason")
            matches.reasons[reason or UNKNOWN] += 1
            continue
        matches.counts["matchmaking_completions"] += 1
        if start and key not in waited:
            matches.waits.append(event.event_timestamp - start.event_timestamp)
    if is_complete and key:
        waited.add(key)


def _segment_row(segment: _Segment, matches: _Matches) -> dict[str, object]:
    counts = matches.counts
    outcomes = counts["matchmaking_completions"] + counts["matchmaking_failures"]
    names = ("matchmaking_starts", "matchmaking_completions", "matchmaking_failures")
    named = {name: counts[name] for name in (*names, "match_results", "wins", "losses", "quits")}
    return {
        **_segment_key(segment),
        **named,
        "success_rate": ratio(counts["matchmaking_completions"], outcomes),
        "wait_count": len(matches.waits),
        "median_wait_seconds": _rank(matches.waits, 1, 2),
        "p95_wait_seconds": _rank(matches.waits, 19, 20),
        "matches_ended": len(matches.match_ids - {""}) + counts["ends_without_match"],
        "win_rate": ratio(counts["wins"], counts["wins"] + counts["losses"]),
        "quit_rate": ratio(counts["quits"], counts["match_results"]),
    }


def _segment_key(segment: _Segment) -> dict[str, object]:
    names = ("application_id", "segment_name", "segment_value", "matchmaking_date")
    return dict(zip(names, segment, strict=True))


def _failures(found: Mapping[_Segment, _Matches]) -> Iterator[dict[str, object]]:
    for segment, matches in found.items():
        total = matches.reasons.total()
        for reason, count in matches.reasons.items():
            yield {
                **_segment_key(segment),
                "failure_reason": reason,
                "failures_with_reason": count,
                "matchmaking_failures": total,
                "failure_share": ratio(count, total),
            }


# Stability


@dataclass(slots=True)
class _VersionDay:
    """Sessions and errors of one version on one day."""

    sessions: int = 0
    crashed_sessions: int = 0
    players: set[str] = field(default_factory=set)
    crashed_players: set[str] = field(default_factory=set)
    errors: int = 0
    fatal_errors: int = 0


def _is_fatal(event: Event) -> bool:
    words = {"true", "t", "1", "yes"}
    is_error = event.event_type == "client_error"
    return is_error and (text(event.data.get("is_fatal")) or "").strip(" ").lower() in words


def _stability(events: Iterable[Event]) -> Table:
    found: dict[tuple[str, str, date], _VersionDay] = defaultdict(_VersionDay)
    chains: dict[tuple[str, str, str | None], list[Event]] = defaultdict(list)
    for event in events:
        if event.player_id:
            chains[event.application_id, event.player_id, event.session_id].append(event)
        elif event.event_type == "client_error":
            key = event.application_id, event.app_version or UNKNOWN, event.event_date
            found[key].errors += 1
            found[key].fatal_errors += _is_fatal(event)
    for (application, player, session_id), own in chains.items():
        for day, session in _sessions(own, has_id=session_id is not None):
            version = min(session, key=lambda event: event.order).app_version or UNKNOWN
            row = found[application, version, day]
            fatal = sum(map(_is_fatal, session))
            row.sessions += 1
            row.players.add(player)
            row.errors += sum(event.event_type == "client_error" for event in session)
            row.fatal_errors += fatal
            if fatal:
                row.crashed_sessions += 1
                row.crashed_players.add(player)
    return [
        {
            **{"application_id": application, "app_version": version, "session_date": day},
            "session_count": row.sessions,
            "sessions_with_fatal_error": row.crashed_sessions,
            "crash_free_session_rate": ratio(row.sessions - row.crashed_sessions, row.sessions),
            "players": len(row.players),
            "players_with_fatal_error": len(row.crashed_players),
            "crash_free_player_rate": ratio(
                len(row.players) - len(row.crashed_players), len(row.players)
            ),
            "errors": row.errors,
            "fatal_errors": row.fatal_errors,
        }
        for (application, version, day), row in found.items()
    ]


def _sessions(own: Iterable[Event], *, has_id: bool) -> Iterator[tuple[date, list[Event]]]:
    """The sessions among the events of a player with one id or with none, by their first day."""
    chains: list[list[Event]] = []
    for event in sorted(own, key=lambda event: event.order):
        gap = event.event_timestamp - chains[-1][-1].event_timestamp if chains else 0
        if chains and (has_id or gap <= GAP_SECONDS):
            chains[-1].append(event)
        else:
            chains.append([event])
    for chain in chains:
        days = {event.event_date for event in chain}
        by_day: dict[date, list[Event]] = defaultdict(list)
        for event in chain:
            day = event.event_date
            second = day - DAY in days and day - 2 * DAY not in days
            by_day[day - DAY if second else day].append(event)
        yield from by_day.items()
