#!/usr/bin/env bash
# sqlglot 30.30.0: qualify does not know the columns that DuckDB's json_each returns, if it stands in a subquery.
#
# Expected: DuckDB documents that json_each returns the columns key, value, type and more. A tool for column lineage
# that runs sqlglot's qualify should find the table of `value`, or leave the column as it is.
# What happens: qualify raises an error for `select value from json_each(…)` as a subquery of FROM behind LATERAL, with
# a schema of the tables, without one, and with allow_partial_qualification. DuckDB runs the same query.
# Why it matters: one model with such a subquery ends the whole lineage of a tool that does not catch the error.
# This product catches the error, and lists the columns of such a model as unresolved, with the reason.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check duckdb==1.5.6 sqlglot==30.30.0

venv/bin/python - <<'PYTHON'
import sys

import duckdb
import sqlglot
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.qualify import qualify

QUERY = "select items.value from events, lateral (select value from json_each(events.data)) as items"
SCHEMA = {"events": {"data": "varchar"}}

duckdb.sql("create table events as select '[10, 20]' as data")
rows = duckdb.sql(f"{QUERY} order by 1").fetchall()


def qualified(**options):
    try:
        return qualify(sqlglot.parse_one(QUERY, dialect="duckdb"), dialect="duckdb", **options).sql("duckdb")
    except OptimizeError as error:
        return f"error: {str(error).split('.')[0]}"


without, known = qualified(), qualified(schema=SCHEMA)
partial = qualified(schema=SCHEMA, allow_partial_qualification=True)
print(f"sqlglot {sqlglot.__version__}, duckdb {duckdb.__version__}")
print("A subquery of FROM that reads the column value of json_each:")
print(f"    DuckDB: {rows}")
print(f"    qualify without a schema: {without}")
print(f"    qualify with the schema of the table: {known}")
print(f"    the same with allow_partial_qualification: {partial}")
if [row[0] for row in rows] != ["10", "20"] or not without.startswith("error") or not known.startswith("error"):
    sys.exit("The behaviour has changed: qualify no longer fails for the columns of json_each in a subquery.")
if not partial.startswith("error"):
    sys.exit("The behaviour has changed: allow_partial_qualification now leaves the column as it is.")
PYTHON
