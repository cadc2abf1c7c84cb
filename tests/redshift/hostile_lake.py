"""Rows on which two engines could differ: text, numbers, days and nulls at their edges."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from tests.pipeline.hand_lake import HandLake

FULL_BYTES = 65_535
"""What a varchar of Redshift holds."""

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
)
LEDGER_AMOUNTS = (*AMOUNTS, "007", "0,00000005", "-1,25")
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
    """Add a week of such rows around a year's end to a lake; applications `h` and `H`."""
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
            f"2026-01-01T00:{number:02}:00", "ad_impression", application_id="h", user_id="payer",
            currency_type="GBP", currency_amount=amount, placement="p",
        )  # fmt: skip
    for at in ("2025-12-31T23:59:59", "2026-01-01T00:00:00", "2026-01-01T00:00:01"):
        lake.event(at, application_id="h", user_id="midnight", session_id="s")
    _write_session_ids(lake)
    _write_long_names(lake)
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
                "txcurrency": ("USD", "gbp ", "", None)[number % 4],
                "gameid": NAMES[number % len(NAMES)][:200],
                "txtype": ("WAGER", "RESULT", "result ", "VOID", None)[number % 5],
                "betid": f"b{number}",
                "playerid": NAMES[-1 - number % len(NAMES)][:200],
            }
            for number, amount in enumerate(LEDGER_AMOUNTS)
        ],
    )
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
            for currency, rate in (("USD", "0.91"), ("gbp", "1,17000001"), ("JPY", "0.00614"))
        ],
    )


def _write_session_ids(lake: HandLake) -> None:
    """Write session ids that look like those that `fct_sessions` makes, and separators in ids."""
    for session_id in (None, "gap:1767225600", "s", "s:2026-01-03", "s:2026-01-03:", "a|b", "gap"):
        for at in ("2026-01-01T00:00:00", "2026-01-02T00:00:00", "2026-01-03T00:00:00"):
            for player in ("c", "b|c"):
                lake.event(at, application_id="h", user_id=player, session_id=session_id)


def _write_long_names(lake: HandLake) -> None:
    """Texts about as long as what the marts hold of them: 1,024 bytes."""
    for day in ("2025-12-30", "2025-12-31", "2026-01-01"):
        # Cut at midnight, when a date goes behind the id.
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
