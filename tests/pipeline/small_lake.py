"""Replaces `python -m include.lake` for the small project: the same commands, two tables.

`data/lake/{events,bets}.csv` are the tables. `freshness` prints what `small_freshness.py` finds.
`record` appends a line to `data/lake/recorded`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import duckdb

from include.lake.run_days.freshness import reported_stale_sources
from include.manifest import Manifest
from include.settings import Settings, UserError


def main(command: str) -> int:
    """Run one command."""
    settings = Settings.from_env(os.environ)
    lake = Path(settings.lake)
    if command == "generate":
        # `make run` lands a sample only if the folders of the sources are empty.
        (lake / "events").mkdir(parents=True)
        (lake / "events" / "sample.parquet").touch()
        (lake / "events.csv").write_text("event_id,event_type\n1,login\n2,logout\n")
        (lake / "bets.csv").write_text("bet_id,amount\n1,10\n2,20\n")
        print("sample landed")
    elif command == "partitions":
        with duckdb.connect(settings.duckdb) as warehouse:
            warehouse.execute("create schema if not exists spectrum")
            for table in ("events", "bets"):
                warehouse.execute(
                    f"create or replace table spectrum.{table}"
                    f" as from read_csv('{lake}/{table}.csv')"
                )
    elif command == "freshness":
        try:
            print(json.dumps({"stale": reported_stale_sources(settings, Manifest.read(), "")}))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    elif command == "record":
        with (lake / "recorded").open("a") as recorded:
            recorded.write("recorded\n")
    else:
        print(f"error: there is no command {command}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
