#!/usr/bin/env bash
# DuckDB 1.5.6: the sum of a BIGINT column becomes a DOUBLE column in a Parquet file and loses its last digits.
#
# Expected: a sum of integers is an integer in the file. In Amazon Redshift the sum of a BIGINT is NUMERIC(38, 0), and
# UNLOAD writes it to Parquet as a decimal with all its digits.
# What happens: sum(bigint) is HUGEINT in DuckDB, Parquet has no integer of 128 bits, and COPY writes it as DOUBLE.
# Values above 2^53 (9,007,199,254,740,992) change. There is no warning. DuckDB's page on Parquet does not mention it.
# Why it matters: sums of money in micro-units or of hashed keys exceed 2^53, and every consumer of the file (Redshift
# Spectrum, pandas, Athena) sees a floating-point column where the table had an integer. A check by count or by schema
# names does not find it.
# In this product the enforced contracts of the marts declare bigint or decimal for each sum, so no mart has a HUGEINT.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check duckdb==1.5.6 pyarrow==26.0.1

venv/bin/python - <<'PYTHON'
import sys

import duckdb
import pyarrow.parquet

query = "select sum(amount) as total from (values (cast(9007199254740992 as bigint)), (1)) as t(amount)"
in_duckdb = duckdb.sql(query)
in_duckdb = (str(in_duckdb.types[0]), in_duckdb.fetchone()[0])
duckdb.sql(f"copy ({query}) to 'plain.parquet'")
duckdb.sql(f"copy (select cast(total as decimal(38, 0)) as total from ({query})) to 'cast.parquet'")


def read(file):
    column = pyarrow.parquet.read_table(file).column("total")
    return str(column.type), int(column[0].as_py())


plain, cast = read("plain.parquet"), read("cast.parquet")

print(f"duckdb {duckdb.__version__}, read by pyarrow {pyarrow.__version__}")
print("The sum of two integers is exact in DuckDB and one less in the Parquet file that DuckDB writes:")
print(f"    in DuckDB:                     {in_duckdb}")
print(f"    in the file:                   {plain}")
print(f"    in the file, cast to decimal:  {cast}")

if in_duckdb != ("HUGEINT", 9007199254740993) or plain != ("double", 9007199254740992):
    sys.exit("The behaviour has changed: the sum is no longer written as a DOUBLE that loses its last digit.")
if cast != ("decimal128(38, 0)", 9007199254740993):
    sys.exit("The behaviour has changed: a cast to decimal no longer keeps the sum exact.")
PYTHON
