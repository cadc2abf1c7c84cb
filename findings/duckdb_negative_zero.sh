#!/usr/bin/env bash
# duckdb 1.5.6: a checkpoint changes stored doubles from 0.0 to -0.0, or from -0.0 to 0.0.
#
# Expected: a checkpoint moves rows from the log into the data file and changes no value. 0.0 and -0.0 are equal numbers
# but different values: they print as `0.0` and `-0.0`, and 1 divided by them is infinity or minus infinity.
# What happens: a column of a row group that has no other values than 0.0 and -0.0 counts as constant, because its
# smallest and largest values are equal. The checkpoint stores one value for all rows, and the sign of the others is lost.
# Which sign stays depends on the first row.
# Why it matters: the same query prints other text before and after a checkpoint, a comparison of exported rows with
# those of another warehouse finds differences, and a hash over the text of a row changes although no row was written.
# A ratio whose numerator is 0 and whose denominator is negative is such a -0.0. Adding 0 to it makes it 0.0.
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

ROWS = 3000


def negative_zeros(connection):
    return connection.execute("select count(*) from zeros where cast(zero as varchar) = '-0.0'").fetchone()[0]


found = {}
for first in ("0.0", "-0.0"):
    with duckdb.connect(f"first{first}.duckdb") as connection:
        connection.execute(
            "create table zeros as select cast(case when range % 2 = 0 then '" + first + "' else '"
            + ("-0.0" if first == "0.0" else "0.0")
            + f"' end as double) as zero from range({ROWS})"
        )
        before = negative_zeros(connection)
        connection.execute("checkpoint")
        found[first] = before, negative_zeros(connection)
print(f"duckdb {duckdb.__version__}: {ROWS} rows, every second one the other zero:")
for first, (before, after) in found.items():
    print(f"    first row {first:>4}: {before} rows are -0.0 before the checkpoint, {after} after it")

if found != {"0.0": (1500, 0), "-0.0": (1500, ROWS)}:
    sys.exit("The behaviour has changed: expected 1500 and 0 rows, and 1500 and 3000 rows.")
PYTHON
