#!/usr/bin/env bash
# dbt-core 1.11.16: a source whose freshness query fails is missing from sources.json.
#
# Expected: the published schema of sources.json has a result with the status "runtime error" and an error text for a
# source whose freshness cannot be computed, so such a result should be written for each of them.
# What happens: the failed source is not in the file at all. The file looks like one of a run that selected fewer
# sources. The exit code is 1, which is also the exit code for a source that is only stale.
# Why it matters: a monitor that reads sources.json and takes everything without "error" as fresh reports a renamed
# column or a dropped table as healthy. Only the comparison with the list of selected sources finds it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dbt-core==1.11.16 dbt-duckdb==1.11.1 duckdb==1.5.6

export DBT_SEND_ANONYMOUS_USAGE_STATS=false

cat >dbt_project.yml <<'YAML'
name: shop
profile: shop
YAML
cat >profiles.yml <<'YAML'
shop: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb}}}
YAML
mkdir models
cat >models/sources.yml <<'YAML'
sources:
  - name: raw
    schema: main
    config: {loaded_at_field: loaded_at, freshness: {error_after: {count: 1, period: day}}}
    tables: [{name: fresh}, {name: stale}, {name: renamed}]
YAML
venv/bin/python - <<'PYTHON'
import duckdb

with duckdb.connect("dev.duckdb") as database:
    database.sql("create table fresh as select now() as loaded_at")
    database.sql("create table stale as select now() - interval 9 day as loaded_at")
    database.sql("create table renamed as select now() as arrived_at")
PYTHON

exit_code=0
venv/bin/dbt --quiet source freshness >freshness.log || exit_code=$?
EXIT_CODE=$exit_code venv/bin/python - <<'PYTHON'
import importlib.metadata
import json
import os
import pathlib
import sys

results = json.loads(pathlib.Path("target/sources.json").read_text())["results"]
statuses = {result["unique_id"]: result["status"] for result in results}
logged = "Runtime Error in source renamed" in pathlib.Path("freshness.log").read_text()

print(f"dbt-core {importlib.metadata.version('dbt-core')}")
print("Three sources have a freshness rule. The one whose query fails is in the log, but not in sources.json:")
print(f"    exit code: {os.environ['EXIT_CODE']}")
print(f"    the log has 'Runtime Error in source renamed': {logged}")
print(f"    sources.json: {statuses}")

if statuses != {"source.shop.raw.fresh": "pass", "source.shop.raw.stale": "error"} or not logged:
    sys.exit("The behaviour has changed: expected two results, and none for the source raw.renamed.")
PYTHON
