#!/usr/bin/env bash
# sqlglot 30.30.0: LISTAGG(DISTINCT ...) of Redshift is translated to DuckDB SQL that returns other text.
#
# Expected: sqlglot's README says that unsupported translations are reported with a warning, and that
# unsupported_level=RAISE turns the warning into an error. LISTAGG(DISTINCT game, ',') is documented Redshift syntax.
# What happens: the translation takes the argument and the separator as a list of two distinct values. It produces a
# tuple of both, and DuckDB returns (go, ',') instead of go. There is no warning and no error, even with
# unsupported_level=RAISE, and the statement runs. LISTAGG without DISTINCT is translated correctly. With WITHIN GROUP
# (ORDER BY game) the statement is an error in DuckDB instead.
# Why it matters: tests of a Redshift project on DuckDB, and tools that compare the two engines, often translate with
# sqlglot. The result is a text column, so a check of types or of row counts passes.
# This product translates nothing: one dbt macro per difference writes the SQL of each engine.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check sqlglot==30.30.0 duckdb==1.5.6

venv/bin/python - <<'PYTHON'
import sys

import duckdb
import sqlglot

redshift = "select listagg({}game, ',') as games from played"
duckdb.sql("create table played as select unnest(['go', 'go']) as game")


def translated(distinct):
    sql = sqlglot.transpile(
        redshift.format(distinct), read="redshift", write="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE
    )[0]
    return sql, duckdb.sql(sql).fetchone()[0]


plain, distinct = translated(""), translated("distinct ")

print(f"sqlglot {sqlglot.__version__}, run on duckdb {duckdb.__version__}")
print("LISTAGG(DISTINCT game, ',') of Redshift becomes an aggregate over tuples in DuckDB, without a warning:")
for sql, games in (plain, distinct):
    print(f"    {sql}\n        {games}")

if plain[1] != "go,go":
    sys.exit("The behaviour has changed: LISTAGG without DISTINCT should return go,go.")
if distinct[1] != "(go, ',')":
    sys.exit("The behaviour has changed: LISTAGG with DISTINCT should return (go, ',').")
PYTHON
