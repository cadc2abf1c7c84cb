#!/usr/bin/env bash
# DuckDB 1.5.6: in a SELECT list, each IN with five or more constants becomes a join.
#
# Expected: an IN list of a few constants is one comparison of each row with these constants, wherever it is written.
# What happens: with four constants it is. From the fifth on, an IN in the SELECT list is planned as a MARK join with
# a table of the constants. Each expression makes a join of its own, so 20 columns that are cleaned in one SELECT make
# 20 joins, one on top of the other. In a WHERE clause the same list makes no join.
# Why it matters: five words are a usual list of the texts that stand for null (empty, \N, null, none, nan), and a
# macro writes it for every column. Nothing shows the cost but the plan. The staging models of this product needed 9.0
# s and 459 MB for 39,432 rows with five words in the list, and 0.8 s and 54 MB with four and one comparison beside
# it.
# This product's macro known_text compares the fifth word outside the list.
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

COLUMNS = [f"c{number}" for number in range(20)]
WORDS = ["''", "'null'", "'none'", "'nan'", "'na'"]
FOUR, FIVE = (f"lower({{0}}) not in ({', '.join(WORDS[:number])})" for number in (4, 5))
CONDITIONS = {"four": FOUR, "five": FIVE, "four, and one beside it": f"{FOUR} and lower({{0}}) <> {WORDS[4]}"}
duckdb.sql(f"create table rows as select {', '.join(f'range::varchar as {c}' for c in COLUMNS)} from range(1000)")


def joins(condition):
    cleaned = ", ".join(f"case when {condition.format(column)} then {column} end" for column in COLUMNS)
    return duckdb.sql(f"explain select {cleaned} from rows").fetchone()[1].count("MARK")


found = {name: joins(condition) for name, condition in CONDITIONS.items()}
where = duckdb.sql(f"explain select c0 from rows where {FIVE.format('c0')}").fetchone()[1].count("MARK")
print(f"duckdb {duckdb.__version__}")
print("Joins in the plan of a SELECT that cleans 20 columns with an IN list:")
for name, number in found.items():
    print(f"    {name}: {number}")
print(f"    five, in a WHERE clause over one column: {where}")
if list(found.values()) != [0, 20, 0] or where != 0:
    sys.exit("The behaviour has changed: five words in a list no longer make one join per column.")
PYTHON
