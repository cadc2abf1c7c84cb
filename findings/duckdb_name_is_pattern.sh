#!/usr/bin/env bash
# DuckDB 1.5.6: an exact file name in the list of read_parquet is a pattern if another file matches it.
#
# Expected: a list of file names reads exactly these files, each once. Patterns are documented for `*`, `?` and `[…]`,
# and a name such as day[1].parquet that exists is a name.
# What happens: day[1].parquet is read under its own name as long as no file day1.parquet exists. When that file is
# added, the same list returns the rows of day1.parquet twice and those of day[1].parquet never. There is no error.
# Why it matters: file names with brackets are usual for a second download or copy of an export. The result depends on
# which other files lie in the folder, so it changes on a day when nobody changed the query. Writing `[[]1]` for `[1]`
# reads the right file.
# This product escapes `*`, `?` and `[` in every file name that it gives to DuckDB.
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


def amounts(*names):
    return sorted(row[0] for row in duckdb.sql(f"select amount from read_parquet({list(names)})").fetchall())


duckdb.sql("copy (select 10 as amount) to 'day[1].parquet' (format parquet)")
alone = amounts("day[1].parquet")
duckdb.sql("copy (select 20 as amount) to 'day1.parquet' (format parquet)")
both = amounts("day[1].parquet", "day1.parquet")
escaped = amounts("day[[]1].parquet", "day1.parquet")

print(f"duckdb {duckdb.__version__}")
print("day[1].parquet holds the amount 10, day1.parquet the amount 20:")
print(f"    the list of day[1].parquet, alone in the folder: {alone}")
print(f"    the list of both files: {both}")
print(f"    the list of both files, with the bracket escaped: {escaped}")
if (alone, both) != ([10], [20, 20]):
    sys.exit("The behaviour has changed: the list of both files no longer reads one of them twice.")
if escaped != [10, 20]:
    sys.exit("The behaviour has changed: [[] no longer stands for a bracket in a file name.")
PYTHON
