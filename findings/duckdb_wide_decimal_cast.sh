#!/usr/bin/env bash
# duckdb 1.5.6: a cast that shortens a wide decimal takes six times as long as the way by a double.
#
# Expected: a cast from decimal(32, 20) to decimal(13, 12) is arithmetic on integers. It should cost about as much as
# other operations on decimals, and less than a cast to a double and back.
# What happens: decimals of more than 18 digits are integers of 128 bits. The cast divides such an integer by a power of
# ten, which takes about 2 µs a row. A cast to a double, and from there to decimal(13, 12), takes a sixth of that time.
# It gives the same digits as long as a value has at most 15 of them.
# Why it matters: exchange rates and prices are often kept in a wide decimal. One cast in a conversion of currencies was
# most of the time of a model that sums bets.
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
import time

import duckdb

connection = duckdb.connect(config={"threads": 1})
connection.execute(
    "create table rates as"
    " select cast(0.912345678901 + (range % 1000) / 1000.0 as decimal(32, 20)) as rate from range(300000)"
)


def seconds(expression):
    measured = []
    for _ in range(5):
        began = time.process_time()
        connection.execute(f"select sum({expression}) from rates").fetchall()
        measured.append(time.process_time() - began)
    return min(measured)


by_cast = "cast(rate as decimal(13, 12))"
by_double = "cast(cast(rate as double) as decimal(13, 12))"
different = connection.execute(f"select count(*) from rates where {by_cast} <> {by_double}").fetchone()[0]
times = {each: seconds(each) for each in ("rate", by_cast, by_double)}
print(f"duckdb {duckdb.__version__}, 300,000 rows, one thread:")
for expression, measured in times.items():
    print(f"    {measured * 1000:7.1f} ms  sum({expression})")
print(f"    {different} rows differ")

ratio = times[by_cast] / times[by_double]
if different or ratio < 2:
    sys.exit(f"The behaviour has changed: expected equal digits and a cast that is twice as slow, not {ratio:.1f} times.")
PYTHON
