#!/usr/bin/env bash
# DuckDB 1.5.6: one row with fewer fields makes the CSV reader return a file as a single column.
#
# Expected: DuckDB's page on faulty CSV files says that a row with missing or additional columns is an error unless an
# option (ignore_errors, null_padding, strict_mode) allows it. With header=true, the header of this file names three
# columns, so a row of two fields should be that error.
# What happens: the sniffer rejects the comma as delimiter and returns one VARCHAR column, named after the whole header
# line. A query over several files with union_by_name=true then adds the rows of the file with null in every declared
# column. There is no error and no warning.
# Why it matters: one summary line at the end of an export turns all of its rows into nulls, and the sums of the
# report become too small. Only an explicit delim=',' makes the same query fail.
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
import pathlib
import sys

import duckdb

row = "player_id,amount,currency\n"
pathlib.Path("monday.csv").write_text(row + "1,1.50,EUR\n2,2.50,EUR\n")
# An export whose last line is a total.
pathlib.Path("tuesday.csv").write_text(row + "3,3.50,EUR\n4,4.50,EUR\nTOTAL,8.00\n")

columns = duckdb.sql("from read_csv('tuesday.csv', header = true)").columns
rows = duckdb.sql(
    "select player_id, amount from read_csv(['monday.csv', 'tuesday.csv'], header = true, union_by_name = true)"
).fetchall()
try:
    duckdb.sql("from read_csv('tuesday.csv', header = true, delim = ',')").fetchall()
    with_delimiter = "no error"
except duckdb.InvalidInputException as error:
    with_delimiter = str(error).splitlines()[0]

print(f"duckdb {duckdb.__version__}")
print("A file with three columns and one row of two fields is read as one column, without an error:")
print(f"    columns of tuesday.csv: {columns}")
print(f"    monday.csv and tuesday.csv by name: {rows}")
print(f"    tuesday.csv with delim = ',': {with_delimiter}")

lost = [(None, None)] * 3
if columns != ["player_id,amount,currency"] or rows != [(1, 1.5), (2, 2.5), *lost]:
    sys.exit("The behaviour has changed: the rows of tuesday.csv are no longer read as one column without an error.")
if "Error when sniffing file" not in with_delimiter:
    sys.exit("The behaviour has changed: an explicit delimiter no longer makes the query fail.")
PYTHON
