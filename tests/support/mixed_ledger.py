"""Writes a small lake with ledger files of every format and with rows that cannot be read."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HEADER = "realamount,bonusamount,channeluid,txcurrency,gameid,txtype,betid,playerid\n"
PLAYERS = "playerid,country,birthdate,gender,playerstate,vip,kyc,wantsnewsletter,latestupdate\n"
DAY = "game_transactions/date=2026-11-20"


def write(lake: Path, name: str, content: str | bytes) -> Path:
    path = lake / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def bets(rows: Iterable[str]) -> str:
    return HEADER + "".join(f"{row}\n" for row in rows)


def write_mixed_lake(lake: Path) -> None:
    """Write a day of bets in every format, with bad rows, and the other folders of the ledger."""
    write(
        lake,
        f"{DAY}/short.csv",
        bets(
            [
                "5,0,c,USD,g1,WAGER,b1,p1",
                "2,0,c,USD,g1,RESULT,b1,p1",
                "7,0,c,USD,g1,WAGER,b2",
                "1,000.00,0,c,USD,g1,WAGER,b3,p1",
                *(f"1,0,c,USD,g1,WAGER,s{n},p1" for n in range(400)),
                "TOTAL,1000.00",
            ]
        ),
    )
    write(
        lake,
        f"{DAY}/case.jsonl",
        '{"realAmount": 5, "bonusamount": 0, "channelUid": "c", "txCurrency": "USD", '
        '"gameId": "g2", "txType": "WAGER", "betId": "b1", "playerId": "p1"}\n'
        '{"realamount": 2, "bonusamount": 0, "channeluid": "c", "txcurrency": "USD", '
        '"gameid": "g2", "txtype": "RESULT", "betid": "b1", "playerid": "p1"}\n'
        '{"realamount": 9, "bonusamount": 0, "chan\n',
    )
    semicolons = bets(["3,0,c,USD,g3,WAGER,b1,p1"]).replace(",", ";")
    write(lake, f"{DAY}/semicolons.CSV.GZ", gzip.compress(semicolons.upper().encode()))
    write(lake, f"{DAY}/tabs.tsv", bets(["4,0,c,USD,g4,WAGER,b1,p1"]).replace(",", "\t"))
    # A folder in which one name is a pattern that matches the other one.
    write(lake, f"{DAY}/part*.csv", bets(["6,0,c,USD,g5,WAGER,b1,p1"]))
    write(lake, f"{DAY}/part1.csv", bets(["8,0,c,USD,g6,WAGER,b1,p1"]))
    parquet = dict(zip(HEADER.strip().split(","), ["1.5", 0, "c", "USD", "g7"], strict=False))
    table = pa.Table.from_pylist([parquet | {"txtype": "WAGER", "BETID": 1, "playerid": "p1"}])
    pq.write_table(table, write(lake, f"{DAY}/other.parquet", ""))
    write(
        lake,
        "currency_exchange/rates.csv",
        "date,currency,baserateeuro\n2026-11-20,USD,0.92\n2026-11-20,GBP,1.15,,\n"
        "2026-11-20,SEK,0.09\n",
    )
    write(
        lake,
        "players/p.csv",
        PLAYERS + "p1,MT,1990-01-31,f,active,1,1,0,2026-11-01\n"
        "p2,SE,1985-05-05,m,active,0,1,0,2026-11-01\np3,DE,1999-09-09,m,active,0,1\n",
    )
    write(lake, "games/games.csv", "id,game_name,gameproviderid\ng1,Fruits,p1\n")
    write(lake, "games/more.json", '{"ID": "g2", "Game_Name": "Bells", "gameProviderId": 1}\n')
    write(
        lake,
        "marketing_spend/costs.csv",
        "date,acquisition_channel,currency,amount\n2026-11-20,ads,USD,5\n2026-11-20,ads,6\n",
    )


QUARANTINED = {
    ("game_transactions", f"{DAY}/short.csv", 4, "too_few_fields", "9,9,x,xxx,x9,xxxxx,x9"),
    (
        *("game_transactions", f"{DAY}/short.csv", 5, "too_many_fields"),
        "9,999.99,9,x,xxx,x9,xxxxx,x9,x9",
    ),
    ("game_transactions", f"{DAY}/short.csv", 406, "too_few_fields", "xxxxx,9999.99"),
    (
        *("game_transactions", f"{DAY}/case.jsonl", 3, "not_json"),
        '{"xxxxxxxxxx": 9, "xxxxxxxxxxx": 9, "xxxx',
    ),
    (
        *("currency_exchange", "currency_exchange/rates.csv", 3, "too_many_fields"),
        "9999-99-99,xxx,9.99,,",
    ),
    ("players", "players/p.csv", 4, "too_few_fields", "x9,xx,9999-99-99,x,xxxxxx,9,9"),
    ("marketing_spend", "marketing_spend/costs.csv", 3, "too_few_fields", "9999-99-99,xxx,9"),
}
"""Source, file, line, reason and masked text of the bad rows of `write_mixed_lake`."""

TURNOVERS = {"g1": 405, "g2": 5, "g3": 3, "g4": 4, "g5": 6, "g6": 8, "g7": Decimal("1.5")}
