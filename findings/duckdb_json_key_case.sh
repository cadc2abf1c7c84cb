#!/usr/bin/env bash
# DuckDB 1.5.6: read_json matches the names of declared columns to JSON keys by letter case, without an error.
#
# Expected: DuckDB's documentation says that identifiers are case-insensitive, so the column playerid should hold what
# the query `select playerid` returns when the columns are detected: the value of the key playerId. Amazon Redshift
# Spectrum compares the keys of JSON files case-insensitively by default, too.
# What happens: with read_json(columns = {...}) a key that differs only in letter case is not read. The column is null
# in every row. Automatic detection finds the key, so the two ways to read one file disagree.
# Why it matters: table definitions of a warehouse are usually lower case and events of games usually camel case.
# A declared schema, which is meant to be the safe way, then loses the column in silence.
# This product lands the lines of its event files as text and extracts each key as the event format spells it.
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

pathlib.Path("events.json").write_text('{"playerId": 1, "score": 10}\n{"playerId": 2, "score": 20}\n')

detected = duckdb.sql("select playerid, score from read_json('events.json')").fetchall()
declared = duckdb.sql(
    "select playerid, score from read_json('events.json', columns = {'playerid': 'bigint', 'score': 'bigint'})"
).fetchall()

print(f"duckdb {duckdb.__version__}")
print("The column playerid of keys playerId has values if it is detected, and nulls if it is declared:")
print(f"    detected: {detected}")
print(f"    declared: {declared}")

if detected != [(1, 10), (2, 20)] or declared != [(None, 10), (None, 20)]:
    sys.exit("The behaviour has changed: declared and detected columns no longer differ in this way.")
PYTHON
