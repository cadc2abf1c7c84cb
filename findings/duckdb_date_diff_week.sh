#!/usr/bin/env bash
# DuckDB 1.5.6: date_diff('week', a, b) counts whole spans of seven days, not the weeks that begin between two dates.
#
# Expected: DuckDB's function reference says that date_diff returns the number of partition boundaries between two
# dates, and that date_sub returns the number of complete partitions. From Friday to the next Monday there is one
# boundary of a week, so date_diff should return 1. Amazon Redshift's DATEDIFF counts boundaries for week as well.
# What happens: months, quarters and years count boundaries, but weeks do not: date_diff('week') returns 0 for Friday
# to Monday and equals date_sub('week'). It contradicts date_trunc('week'), which puts the two days in two weeks.
# duckdb/duckdb pull request 13637 changed this on purpose; the reference still describes boundaries.
# Why it matters: retention by week, built with date_diff on DuckDB and with DATEDIFF on Redshift, differs for most
# players, and no test with a Monday as first day finds it.
# This product counts retention in days on both engines.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check duckdb==1.5.6

venv/bin/python - <<'PYTHON'
import sys

import duckdb

friday, monday = "date '2026-11-06'", "date '2026-11-09'"
weeks = {
    "date_diff('week')": f"date_diff('week', {friday}, {monday})",
    "date_sub('week')": f"date_sub('week', {friday}, {monday})",
    "days between the two date_trunc('week')": f"""
        date_diff('day', date_trunc('week', {friday}), date_trunc('week', {monday}))""",
    "date_diff('month'), 31 October to 1 November": "date_diff('month', date '2026-10-31', date '2026-11-01')",
    "date_diff('year'), 31 December to 1 January": "date_diff('year', date '2026-12-31', date '2027-01-01')",
}
found = {name: duckdb.sql(f"select {expression}").fetchone()[0] for name, expression in weeks.items()}

print(f"duckdb {duckdb.__version__}")
print("From Friday 2026-11-06 to Monday 2026-11-09 date_diff counts no week, although a new week has begun:")
for name, value in found.items():
    print(f"    {name}: {value}")

if list(found.values()) != [0, 0, 7, 1, 1]:
    sys.exit("The behaviour has changed: expected 0, 0, 7, 1 and 1.")
PYTHON
