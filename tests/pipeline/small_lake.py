"""Stands in for `python -m include.lake` in the fault tests: the same commands, a lake of two tables.

`data/lake/bets.csv` are the bets; `data/lake/stale.json`, if there, is what freshness prints;
`data/lake/recorded` counts how often fingerprints were recorded.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import duckdb

from include.settings import Settings


def main(command: str) -> int:
    """Run one command."""
    settings = Settings.from_env(os.environ)
    lake = Path(settings.lake)
    if command == "generate":
        (lake / "raw_events").mkdir(parents=True)
        (lake / "raw_events" / "sample.parquet").touch()
        (lake / "bets.csv").write_text("bet_id,amount\n1,10\n2,20\n")
        print("sample landed")
    elif command == "partitions":
        with duckdb.connect(settings.duckdb) as warehouse:
            warehouse.execute("create schema if not exists spectrum")
            warehouse.execute(
                "create or replace table spectrum.events as from (values (1, 'login'),"
                " (2, 'logout')) as events (event_id, event_type)"
            )
            warehouse.execute(
                "create or replace table spectrum.bets as"
                f" from read_csv('{lake}/bets.csv', types={{'amount': 'varchar'}})"
            )
    elif command == "freshness":
        stale = lake / "stale.json"
        print(stale.read_text().strip() if stale.exists() else json.dumps({"stale": []}))
    elif command == "record":
        with (lake / "recorded").open("a") as recorded:
            recorded.write("recorded\n")
    else:
        print(f"error: there is no command {command}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
