#!/usr/bin/env bash
# openlineage-dbt 1.52.0: an ephemeral model is reported as an input table that does not exist.
#
# Expected: OpenLineage defines a dataset as data that a job reads or writes, and dbt's documentation says that an
# ephemeral model is not built in the database. The model that uses it reads the tables below it.
# What happens: the event of that model names the ephemeral model as its only input, with database and schema, and no
# event ever names it as an output. The column lineage in the same event names the real table, so that the event
# contradicts itself.
# Why it matters: in a lineage tool the graph ends at every ephemeral model. A question such as "which marts does this
# source reach" has a wrong answer as soon as one ephemeral model lies between them.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    openlineage-dbt==1.52.0 openlineage-python==1.52.0 dbt-core==1.11.16 dbt-duckdb==1.11.1 duckdb==1.5.6

export DBT_SEND_ANONYMOUS_USAGE_STATS=false

cat >dbt_project.yml <<'YAML'
name: shop
profile: shop
models: {+materialized: table}
YAML
echo 'shop: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb}}}' >profiles.yml
echo "transport: {type: file, log_file_path: events.json, append: true}" >openlineage.yml
mkdir models
echo "select 1 as player_id, 'eu' as region" >models/players.sql
echo "{{ config(materialized='ephemeral') }} select upper(region) as region from {{ ref('players') }}" >models/clean.sql
echo "select region, count(*) as player_count from {{ ref('clean') }} group by 1" >models/regions.sql

PATH="$folder/venv/bin:$PATH" OPENLINEAGE_CONFIG=openlineage.yml venv/bin/dbt-ol run >run.log 2>&1
venv/bin/python - <<'PYTHON'
import importlib.metadata
import json
import pathlib
import sys

import duckdb

events = [json.loads(line) for line in pathlib.Path("events.json").read_text().splitlines()]
complete = [event for event in events if event["eventType"] == "COMPLETE" and event["outputs"]]
outputs = sorted(output["name"] for event in complete for output in event["outputs"])
(regions,) = [event for event in complete if event["outputs"][0]["name"] == "dev.main.regions"]
inputs = [dataset["name"] for dataset in regions["inputs"]]
fields = regions["outputs"][0]["facets"]["columnLineage"]["fields"]
by_column = [field["name"] for field in fields["region"]["inputFields"]]
with duckdb.connect("dev.duckdb") as database:
    tables = sorted(name for (name,) in database.sql("show tables").fetchall())

print(f"openlineage-dbt {importlib.metadata.version('openlineage-dbt')}")
print("players is a table, clean an ephemeral model over it, and regions a table over clean:")
print(f"    tables in the database: {tables}")
print(f"    outputs in the events:  {outputs}")
print(f"    inputs of regions:      {inputs}; in its column lineage: {by_column}")

if tables != ["players", "regions"] or outputs != ["dev.main.players", "dev.main.regions"]:
    sys.exit("The behaviour has changed: expected the tables and outputs players and regions.")
if inputs != ["dev.main.clean"] or by_column != ["dev.main.players"]:
    sys.exit("The behaviour has changed: expected the input dev.main.clean and the column's input dev.main.players.")
PYTHON
