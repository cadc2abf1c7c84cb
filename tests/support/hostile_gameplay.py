"""Hostile events about levels, funnels, matches and errors: names, ties in time and midnights."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.hand_lake import HandLake

ODD_VALUES = (
    7,
    7.0,
    "7",
    " 7 ",
    7e0,
    "",
    " ",
    None,
    True,
    {"a": 1},
    [7],
    "Unknown",
    "\u0130",
    -0.0,
)
"""Values of keys that name a level, a match or a map."""
RESULTS = (
    *("WIN", "win", "Win", "LOSE", "loss", "LOSS", "QUIT", "Disconnected", " win ", "w\u0131n"),
    *("W\u0130N", "draw", "", None, 1, True, {"win": 1}),
)
OUTCOMES = ("matchmaking_complete", "matchmaking_failed")
FLAGS = (True, False, None, "TRUE", " yes ", "T", 1, 0, 1.0, "no", "off", "", {"a": 1}, "\u0131")


def write_hostile_gameplay(lake: HandLake, names: Sequence[str]) -> None:
    """Add rows of five days around the end of a year to the applications `h` and `gameplay`."""
    # Longer names are quarantined, whatever the event is about.
    names = [name for name in names if len(name.encode()) <= 1020]
    _write_levels(lake, names)
    _write_funnels(lake)
    _write_matches(lake, names)
    _write_errors(lake)


def _write_levels(lake: HandLake, names: Sequence[str]) -> None:
    about = {"application_id": "h"}
    kinds = ("level_started", "level_completed", "level_failed", "level_started")
    for number, name in enumerate(names):
        for second, kind in enumerate(kinds):
            # The outcomes of some levels are before their starts or in the same second.
            lake.event(
                f"2025-12-31T17:{number:02}:{second * (number % 3) * (-1) ** number % 60:02}", kind,
                user_id=name, level_id=names[-1 - number], level_version=number % 2, **about,
            )  # fmt: skip
    for number, value in enumerate(ODD_VALUES):
        for kind in kinds:
            lake.event(
                f"2026-01-01T17:{number:02}:00", kind, user_id=("one", "two", None)[number % 3],
                level_id=value, level_version=ODD_VALUES[-1 - number], **about,
            )  # fmt: skip
    for day, kind in enumerate(("started", "failed", "started", "completed", "started")):
        lake.event(
            f"2026-01-0{day + 1}T00:00:00", f"level_{kind}", user_id="slow", level_id="long way",
            **about,
        )  # fmt: skip


def _write_funnels(lake: HandLake) -> None:
    """Add steps in order, out of order, in one second and over midnight, of several players."""
    steps = (
        ("user_registration", None),
        *(("tutorial_progression", f"screen_{number}") for number in range(1, 6)),
        *(("level_started", None), ("level_completed", None), ("iap_transaction", None)),
    )
    for player, seconds in (
        ("in order", range(9)),
        ("one second", [0] * 9),
        ("backwards", range(8, -1, -1)),
        ("twice", [5, 6, 7, 8, 9, 10, 11, 12, 13]),
        ("twice", [9, 8, 7, 6, 5, 4, 3, 2, 1]),
    ):
        for second, (kind, screen) in zip(seconds, steps, strict=True):
            for day in ("2025-12-31T23:59:5", "2026-01-01T00:00:0"):
                lake.event(
                    f"{day}{second % 10}", kind, application_id="gameplay", user_id=player,
                    tutorial_screen_id=screen, currency_amount=1, currency_type="USD",
                )  # fmt: skip
    for second, (kind, _) in enumerate((steps[0], steps[1], *steps[6:], steps[8])):
        for player, amounts in (("paid later", (0, 1)), ("refunded", (-1, None))):
            lake.event(
                f"2026-01-02T01:00:0{second}", kind, application_id="gameplay", user_id=player,
                currency_amount=amounts[second == 5], currency_type="USD",
            )  # fmt: skip
    for value in ("Screen_1", " screen_1 ", 1, None, ["screen_1"]):
        lake.event(
            "2026-01-02T00:00:00", "tutorial_progression", application_id="gameplay",
            user_id=f"{value}", tutorial_screen_id=value,
        )  # fmt: skip


def _write_matches(lake: HandLake, names: Sequence[str]) -> None:
    about = {"application_id": "h"}
    for number, name in enumerate(names):
        match = {"match_id": name, "match_type": name, "map_id": names[-1 - number]}
        lake.event(
            f"2025-12-31T23:59:{number:02}", "matchmaking_start", user_id="m", **match, **about
        )
        lake.event(
            f"2026-01-0{1 + number % 3}T00:00:{number:02}", "matchmaking_complete", user_id="m",
            match_id=name, map_id="its own", **about,
        )  # fmt: skip
        lake.event(
            f"2026-01-0{1 + number % 3}T00:01:{number:02}", "match_end", user_id="m",
            match_id=name, map_id="of its end", **about,
        )  # fmt: skip
        lake.event(
            f"2026-01-02T18:00:{number:02}", "matchmaking_failed", user_id="m", match_id="none",
            failure_reason=name, matching_failed_msg=None if number % 2 else names[0], **about,
        )  # fmt: skip
    for number, value in enumerate(ODD_VALUES):
        for kind in (
            "matchmaking_start",
            "matchmaking_complete",
            "matchmaking_failed",
            "match_end",
        ):
            lake.event(
                f"2026-01-02T19:00:{number:02}", kind, user_id=("m", None)[number % 2],
                match_id=value, match_type=ODD_VALUES[-1 - number], failure_reason=value, **about,
            )  # fmt: skip
    for number, result in enumerate(RESULTS):
        lake.event(
            f"2026-01-02T20:00:{number:02}", "match_end", user_id=f"m{number}",
            match_id=number // 2, match_result_type=result, **about,
        )  # fmt: skip


def _write_errors(lake: HandLake) -> None:
    """Add errors to sessions whose ids look like those that `fct_sessions` makes."""
    for number, flag in enumerate(FLAGS):
        lake.event(
            f"2026-01-02T21:00:{number:02}", "client_error", application_id="h", is_fatal=flag,
            user_id=("e", None)[number % 2], app_version=("1", " 2 ", None)[number % 3],
        )  # fmt: skip
    for session_id in (None, "gap:1767225600", "s", "s:2026-01-03", "s:2026-01-03:", "gap"):
        for at in ("2026-01-01T00:00:00", "2026-01-02T00:00:00", "2026-01-03T00:00:00"):
            lake.event(
                at, "client_error", application_id="h", user_id="c", session_id=session_id,
                is_fatal=at < "2026-01-03", app_version=session_id,
            )  # fmt: skip
