"""`python -m tests.redshift.compared FILE LAKE` compares the tables of both warehouses by row."""

from __future__ import annotations

import os
import sys

from include.settings import Settings
from include.warehouse.database import open_database
from tests.support.redshift_warehouse import contents, described


def main(duckdb_file: str, lake: str) -> int:
    """Print a line per table; the exit code is 1 if a table differs."""
    on_duckdb = Settings(duckdb=duckdb_file)
    on_redshift = Settings(target="redshift", lake=lake)
    with open_database(on_duckdb, read_only=True) as duckdb, open_database(on_redshift) as redshift:
        columns = described(duckdb, "")
        expected, found = contents(duckdb, "", columns), contents(redshift, "", columns)
    for table, rows in sorted(expected.items()):
        print(f"{table:40} {len(rows):7} {'yes' if found[table] == rows else 'NO'}")
    return 0 if found == expected else 1


if __name__ == "__main__":
    os.environ.setdefault("DO_NOT_TRACK", "1")
    sys.exit(main(*sys.argv[1:]))
