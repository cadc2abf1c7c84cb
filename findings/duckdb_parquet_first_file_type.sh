#!/usr/bin/env bash
# DuckDB 1.5.6: without union_by_name the first Parquet file decides the types, and later files are rounded silently.
#
# Expected: Parquet files carry exact types, so a second file with a wider type should widen the column or be an error.
# DuckDB's page on combining schemas says that the union by position takes the types of the first file and casts the
# others to them. It does not say that the cast drops digits.
# What happens: an amount of 0.0049 in a decimal(18, 4) column becomes 0.00 because an older file, read first, has
# decimal(18, 2). The order of the file names decides: with the files the other way round all digits are kept.
# Why it matters: a producer that adds digits (a new currency, an exchange rate) changes the schema on one day, and all
# later money is rounded to the precision of the oldest file that the query happens to list.
# This product reads Parquet with union_by_name = true, which yields the wider type.
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

duckdb.sql("copy (select cast(10.50 as decimal(18, 2)) as amount) to '2026-01-01.parquet'")
duckdb.sql("copy (select cast(0.0049 as decimal(18, 4)) as amount) to '2026-01-02.parquet'")


def read(files, options=""):
    result = duckdb.sql(f"select * from read_parquet({files}{options})")
    return str(result.types[0]), sorted(str(amount) for (amount,) in result.fetchall())


oldest_first = read(["2026-01-01.parquet", "2026-01-02.parquet"])
newest_first = read(["2026-01-02.parquet", "2026-01-01.parquet"])
by_name = read(["2026-01-01.parquet", "2026-01-02.parquet"], ", union_by_name = true")

print(f"duckdb {duckdb.__version__}")
print("Two Parquet files hold 10.50 and 0.0049; the second value depends on which file comes first:")
print(f"    oldest first:  {oldest_first}")
print(f"    newest first:  {newest_first}")
print(f"    union_by_name: {by_name}")

if oldest_first != ("DECIMAL(18,2)", ["0.00", "10.50"]):
    sys.exit("The behaviour has changed: the value of the second file is no longer rounded to 0.00.")
if newest_first != ("DECIMAL(18,4)", ["0.0049", "10.5000"]) or by_name[1] != ["0.0049", "10.5000"]:
    sys.exit("The behaviour has changed: the other order or union_by_name no longer keeps all digits.")
PYTHON
