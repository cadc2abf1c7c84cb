#!/usr/bin/env bash
# pandas 3.1.1: a key that is the index is missing from the Parquet file if its values happen to be consecutive.
#
# Expected: pandas documents that to_parquet with index=None saves the index, except that a RangeIndex is stored as
# metadata only. set_index("player_id") makes an index from a column of data, so it should be saved like any column.
# What happens: pandas 3 turns a column of evenly spaced integers into a RangeIndex in set_index. The file then has no
# column player_id. With the ids 1, 2, 4 the column is there; with 1, 2, 3 it is not. pandas itself restores the key
# from the metadata, so a test that reads the file back with pandas passes.
# Why it matters: DuckDB, Redshift Spectrum and every other reader see a table without its key, and only on the days
# whose ids have no gap: an export of a new game, a test with few rows, one partition among many.
# This product writes Parquet with DuckDB. Whoever lands files written by pandas should use reset_index() first.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pandas==3.1.1 pyarrow==26.0.1 duckdb==1.5.6

venv/bin/python - <<'PYTHON'
import sys

import duckdb
import pandas


def written(player_ids):
    """Return the columns that DuckDB and pandas see in the file, and the type of the index that was written."""
    table = pandas.DataFrame({"player_id": player_ids, "score": [10, 20, 30]}).set_index("player_id")
    table.to_parquet("scores.parquet")
    again = pandas.read_parquet("scores.parquet").reset_index()
    return duckdb.sql("from 'scores.parquet'").columns, list(again.columns), type(table.index).__name__


gap, consecutive = written([1, 2, 4]), written([1, 2, 3])

print(f"pandas {pandas.__version__}, read by duckdb {duckdb.__version__}")
print("The index player_id is a column of the file only if the ids have a gap:")
for ids, (by_duckdb, by_pandas, index) in (("1, 2, 4", gap), ("1, 2, 3", consecutive)):
    print(f"    ids {ids}: DuckDB reads {by_duckdb}, pandas reads {by_pandas}, the index is a {index}")

both = ["player_id", "score"]
if sorted(gap[0]) != both or sorted(gap[1]) != both:
    sys.exit("The behaviour has changed: with the ids 1, 2, 4 the file should have the column player_id.")
if consecutive != (["score"], both, "RangeIndex"):
    sys.exit("The behaviour has changed: with the ids 1, 2, 3 the file should lack the column player_id.")
PYTHON
