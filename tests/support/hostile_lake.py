"""Rows on which two engines could differ: extreme texts, numbers, days and nulls."""

from __future__ import annotations

import json
import random
from datetime import date
from pathlib import Path

from tests.support.hand_lake import HandLake, Row, epoch
from tests.support.hostile_economy import write_hostile_economy
from tests.support.hostile_gameplay import write_hostile_gameplay

FULL_BYTES = 65_535
"""The largest number of bytes in a varchar of Redshift."""

NAMES = (
    "ann",
    "Ann",
    "ann ",
    " ann",
    "ÄNN",
    "änn",
    "e\u0301 combined",
    "\u00e9 composed",
    "\U0001f3ae game",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 family",
    "\u0627\u0644\u0644\u0627\u0639\u0628",
    "\u00a0no-break\u00a0",
    "back\\slash",
    'quote"quote',
    "it's",
    "tab\tline\nend",
    "%s ? $1 {{ x }} :name",
    "null",
    "NaN",
    "x" * 1020,
    "x" * 1021,
    "\u00e9" * 511,
)
AMOUNTS = (
    *("9999999999.99999999", "9999999999.999999994", "10000000000", "-9999999999.99999999"),
    *("0.00000001", "0.000000005", "0.000000004", "1e9", "1E-8", "5e-9", "1e400", "-0"),
    *("NaN", "Infinity", "", " ", " 12.5 ", "1,5", "1.234.5", "0x10", "+3", ".5", "5.", "1e", "½"),
    *("0.125", "0.00005", "2.00005", "1234567.87654321"),
    *(
        "8e-32",
        "1E5",
        "1e-05",
        "5e-9",
        "4.9e-9",
        "-1.25e+3",
        "123456789012345678e-9",
        "1e15",
        "1e16",
    ),
    *("9999999999999999.99999999", "9999999999999999.999999995", "-1e10", "15000000000", "00e5"),
)
LEDGER_AMOUNTS = (
    *(*AMOUNTS, "007", "0,00000005", "-1,25", "1,234", "-12,345", "0,234", "1,2345", "1,234e1"),
    *("1,234.56", "1.234,56", "1 234,56", "1,234,567", "1.234.567", "-1 234", "12,34.5", "1 23"),
    *("1'234.56", "-1'234'567", "1\u2019234,5", "1\u00a0234,56", "1\u202f234\u202f567"),
    *("1 234'567", "\u00a07 ", "1,234\u00a0", "1,5e3", ",5e1", "+5", "5e+", "1 234e2"),
    *("1,234.", "1.234,", "\\N", "\\n", "NULL", "None", "nan", "-,5", "1,2,3", "1234,567.8"),
)
DATES = (
    *(
        "1999-12-31",
        "2000-02-29",
        "1900-02-29",
        "2023-02-30",
        "1990-1-31",
        "36525",
        "0",
        "60",
        "-1",
    ),
    *("2026-09-01T10:00:00Z", "2026-09-01 junk", "", "epoch", "infinity", "0001-01-01", "99999"),
)


def write_hostile(root: Path) -> None:
    """Add rows of a week around the end of a year to a lake; the applications are `h` and `H`."""
    lake = HandLake(root)
    for number, name in enumerate(NAMES):
        for second, application in ((10, "h"), (20, "H")):
            lake.event(
                f"2025-12-30T12:00:{number:02}",
                "level_started" if second == 10 else name[:20],
                application_id=application,
                event_id=f"{application}-{name}"[:1020],
                app_version=name[:100],
                user_id=name,
                platform=name,
                country_id="" if second == 10 else name,
                acquisition_channel=None if second == 10 else name,
                campaign_id=name if second == 10 else [name],
                session_id=f"{number % 4} " if second == 10 else None,
            )
    for number, amount in enumerate(AMOUNTS):
        for currency in ("USD", "GBP", "yen ", None):
            lake.event(
                f"2025-12-31T23:{number:02}:59",
                "iap_transaction",
                application_id="h",
                user_id="payer",
                transaction_id=f"t{number}{currency}",
                currency_type=currency,
                currency_amount=amount,
            )
            lake.event(
                f"2026-01-02T{number % 24:02}:00:{number:02}",
                "iap_refund",
                application_id="h",
                user_id="payer",
                transaction_id=f"t{number % 7}{currency}",
                currency_type=("USD", "GBP", None)[number % 3],
                currency_amount=amount,
            )
        lake.event(
            f"2026-01-01T00:{number:02}:00", "ad_impression", application_id="h", user_id="payer",
            currency_type="GBP", currency_amount=amount, placement="p",
        )  # fmt: skip
    _write_placements(lake)
    for at in ("2025-12-31T23:59:59", "2026-01-01T00:00:00", "2026-01-01T00:00:01"):
        lake.event(at, application_id="h", user_id="midnight", session_id="s")
    _write_session_ids(lake)
    _write_long_names(lake)
    _write_limits(lake)
    write_hostile_economy(lake, NAMES, AMOUNTS)
    write_hostile_gameplay(lake, NAMES)
    for document in (
        "{}", "[]", '"{}"', '"[1]"', "null", "true", "1", '""', '"', "", " ", "{", '{"user_id":}',
        '{"user_id": null}', '{"user_id": ""}', '{"user_id": " "}', '{"user_id": 7}',
        '{"user_id": 15}', '{"user_id": true}',
        '"{\\"user_id\\": \\"quoted\\"}"', '{"user_id": "\\u00e9\\ud83c\\udfae"}',
        '{"USER_ID": "upper"}', '{"user_id": 12345678901234567890123}',
        ' {"user_id": "space before"}', '{"user_id": "tail"} x',
        json.dumps({"user_id": "full", "pad": ""}).replace('""}', '"%s"}' % ("é" * 32_749)),
    ):  # fmt: skip
        lake.raw(
            date(2026, 1, 2),
            {
                "event_id": f"j{len(document)}-{document[:60]}",
                "event_type": "login",
                "event_timestamp": 1767312000,
                "application_id": "h",
                "event_data": document,
                "metadata": '{"processing_timestamp": 1767312009}',
            },
        )
    for number, pad in enumerate((FULL_BYTES - 30, FULL_BYTES - 29, FULL_BYTES - 28, 70_000)):
        lake.event(
            f"2026-01-03T00:00:0{number}", application_id="h", user_id="long", p="y" * (pad - 0)
        )
    lake.write()
    lake.table(
        "game_transactions/date=2025-12-31/hostile.parquet",
        [
            {
                "realamount": amount,
                "bonusamount": LEDGER_AMOUNTS[-1 - number],
                "channeluid": None,
                "txcurrency": ("USD", "gbp ", "", None, "LBP", "BTC", "TINY", "HUGE")[number % 8],
                "gameid": NAMES[number % len(NAMES)][:200],
                "txtype": ("WAGER", "RESULT", "result ", "VOID", None)[number % 5],
                "betid": f"b{number}",
                "playerid": NAMES[-1 - number % len(NAMES)][:200],
            }
            for number, amount in enumerate(LEDGER_AMOUNTS)
        ],
    )
    _write_reversals(lake)
    lake.table(
        "players/hostile.parquet",
        [
            {
                "playerid": f"{number}",
                "country": NAMES[number % len(NAMES)][:200],
                "birthdate": birthday,
                "gender": None if number % 2 else "",
                "playerstate": "active ",
                "vip": ("1", "true", "0", None)[number % 4],
                "kyc": "Y",
                "wantsnewsletter": "no",
                "latestupdate": DATES[-1 - number],
            }
            for number, birthday in enumerate(DATES)
        ],
    )
    lake.table(
        "currency_exchange/hostile.parquet",
        [
            {"date": day, "currency": currency, "baserateeuro": rate}
            for day in ("2025-12-30", "2026-01-01")
            for currency, rate in (
                *(("USD", "0.91"), ("USD", "0.9"), ("gbp", "1,17000001"), ("JPY", "0.00614")),
                *(("JPY", "-0.7"), ("GBP", "1.18"), ("LBP", "0.0000096217"), ("BTC", "91234.5678")),
                *(("TINY", "1.2345678901e-12"), ("HUGE", "123456789012"), ("GONE", "1e-21")),
            )
        ],
    )


def _write_placements(lake: HandLake) -> None:
    """Add ads at odd placements, whose revenue is rounded once per player and day, and costs."""
    placements = (*(name[:200] for name in NAMES), 12345, 12345.0, "12345", ["p"], {}, True, "", 0)
    for number, placement in enumerate(placements):
        for player in ("payer", "midnight", None):
            lake.event(
                f"2026-01-02T05:{number % 60:02}:00", "ad_impression", application_id="h",
                user_id=player, currency_type=("GBP", "USD", "GONE")[number % 3],
                currency_amount=("0.00004", "-0.00006", "0.00005")[number % 7 % 3],
                placement=placement,
            )  # fmt: skip
    lake.table(
        "marketing_spend/hostile.parquet",
        [
            {
                "date": "2025-12-30",
                "acquisition_channel": name[:200],
                "campaign_id": NAMES[-1 - number // 2][:200],
                "currency": ("USD", "GBP", "GONE")[number % 3],
                "amount": ("0.00003", "1,5", "9999999999999.99")[number % 3],
            }
            for number, name in enumerate(NAMES)
        ],
    )


def _write_limits(lake: HandLake) -> None:
    """Add the first and the last valid time, sums of ads that must be rounded once, and a player
    whose channel changes; the applications have other days than `h`.
    """
    for at in ("2010-01-01T00:00:00", "2009-12-31T23:59:59"):
        lake.event(at, application_id="first day", user_id="p")
    noon = epoch("2026-01-03T12:00:00")
    for early in (86_400, 86_401):
        lake.event(noon, application_id="early clock", user_id="p", arrival=noon - early)
    for day, channel in (("2026-01-01", None), ("2026-01-02", "ads"), ("2026-01-03", "friends")):
        for second in range(3):
            lake.event(
                f"{day}T10:00:0{second}", "ad_impression", application_id="ads", user_id="p",
                currency_type="USD", currency_amount="0.00004", acquisition_channel=channel,
            )  # fmt: skip


def _write_reversals(lake: HandLake) -> None:
    """Add bets of two games with few amounts; many are taken back, also days later or in vain."""
    rng = random.Random(8)  # noqa: S311 - reproducible on purpose, nothing secret
    kinds = (*["WAGER", "RESULT", "ROLLBACK"] * 4, "CANCEL", "JACKPOT", "FREESPIN_RESULT")
    for day in ("2025-12-29", "2025-12-30", "2026-01-01"):
        lake.table(
            f"game_transactions/date={day}/reversals.jsonl",
            [
                {
                    "realamount": rng.choice(("5", "5,00", "-1")),
                    "bonusamount": rng.choice(("", "1")),
                    "channeluid": 'quote"back\\slash\ttab\nline',
                    "txcurrency": rng.choice(("USD", "GBP")),
                    "gameid": rng.choice(("r1", "r2")),
                    "txtype": rng.choice((*kinds, "ADJUSTMENT", 'quote"back\\slash')),
                    "betid": f"r{rng.randrange(8)}",
                    "playerid": rng.choice(("r1", "r1", "r2")),
                }
                for _ in range(80)
            ],
        )
    _write_lists_of_bets(lake)


def _write_lists_of_bets(lake: HandLake) -> None:
    """Add the player and the game `r1`, each of them twice; `r2` is in no list.

    The player completes a year of age between the days of the bets.
    """
    player = {"playerid": "r1", "birthdate": "2000-12-30", "vip": "Yes", "kyc": "0"}
    lake.table(
        "players/bets.jsonl",
        [
            player | {"country": "se ", "latestupdate": "2025-12-31"},
            player | {"country": "DE", "latestupdate": "46021", "birthdate": "1980-12-30"},
        ],
    )
    game = {"id": "r1", "game_name": "R"}
    lake.table(
        "games/bets.jsonl", [game | {"gameproviderid": provider} for provider in (7, "70", None)]
    )
    provider: Row = {"id": "70", "game_provider_name": "Seventy"}
    lake.table("game_providers/bets.jsonl", [provider, provider | {"game_provider_name": "null"}])
    lake.table(
        "game_categories/bets.jsonl",
        [{"game_id": "r1", "game_category": category} for category in ("Slots", "Live", " ")],
    )


def _write_session_ids(lake: HandLake) -> None:
    """Write session ids that look like those that `fct_sessions` makes, and separators in ids."""
    for session_id in (None, "gap:1767225600", "s", "s:2026-01-03", "s:2026-01-03:", "a|b", "gap"):
        for at in ("2026-01-01T00:00:00", "2026-01-02T00:00:00", "2026-01-03T00:00:00"):
            for player in ("c", "b|c"):
                lake.event(at, application_id="h", user_id=player, session_id=session_id)


def _write_long_names(lake: HandLake) -> None:
    """Add texts about as long as the columns of the marts, which hold 1,024 bytes."""
    for day in ("2025-12-30", "2025-12-31", "2026-01-01"):
        # A session that is cut at midnight gets a date behind its id.
        for length in (1009, 1010, 1020):
            lake.event(f"{day}T01:00:00", application_id="h", user_id="s", session_id="s" * length)
    for key in ("transaction_id", "item_id", "currency_type"):
        for length in (1020, 1021, 1025):
            given = {"transaction_id": f"{key}{length}", "currency_type": "EUR"} | {
                key: "x" * length
            }
            lake.event(
                f"2026-01-01T02:00:{length - 1000}", "iap_transaction", application_id="h",
                user_id="payer", currency_amount="1", **given,
            )  # fmt: skip
