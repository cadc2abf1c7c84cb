#!/usr/bin/env bash
# DuckDB 1.5.6: the product of two decimals fits fewer digits than the factors and fails for ordinary amounts.
#
# Expected: the type of a product has room for all products of its operands, or as much as the largest decimal allows.
# In Amazon Redshift's table of numeric computations decimal(18, 8) times decimal(18, 8) is decimal(37, 16).
# What happens: DuckDB keeps the width of 18 and adds only the scales, so the result is decimal(18, 16), which ends
# below 100. A price of 12.5 times an exchange rate of 8 is an error. One more digit in one operand, decimal(19, 8),
# changes the type of the product to decimal(37, 16), and the same product works.
# Why it matters: the types of the models are copied from the warehouse, all tests with small numbers pass, and the
# first larger amount ends the build. It depends on the data, so it fails on one day and not on the day before.
# This product multiplies money by a rate only in one macro, whose operands are decimal(21, 8) and decimal(16, 8).
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


def product(width, amount):
    query = f"select cast({amount} as decimal({width}, 8)) * cast(8 as decimal(18, 8))"
    try:
        result = duckdb.sql(query)
        return str(result.types[0]), str(result.fetchone()[0])
    except duckdb.OutOfRangeException as error:
        return "error", str(error).split(".")[0]


small, large, wide = product(18, 12), product(18, 12.5), product(19, 12.5)

print(f"duckdb {duckdb.__version__}")
print("A product of two decimal(18, 8) must stay below 100, because its type is decimal(18, 16):")
print(f"    decimal(18, 8) 12   * decimal(18, 8) 8: {small}")
print(f"    decimal(18, 8) 12.5 * decimal(18, 8) 8: {large}")
print(f"    decimal(19, 8) 12.5 * decimal(18, 8) 8: {wide}")

if small != ("DECIMAL(18,16)", "96.0000000000000000") or large[0] != "error":
    sys.exit("The behaviour has changed: the product of two decimal(18, 8) no longer overflows at 100.")
if wide != ("DECIMAL(37,16)", "100.0000000000000000"):
    sys.exit("The behaviour has changed: decimal(19, 8) no longer makes the product decimal(37, 16).")
PYTHON
