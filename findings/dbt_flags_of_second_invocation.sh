#!/usr/bin/env bash
# dbt-core 1.11.16: a second invocation in the same process takes --full-refresh away from a build that is running.
#
# Expected: dbtRunner keeps the arguments of each invocation, so a build that was started with --full-refresh rebuilds
# every incremental model, whatever a callback does. dbt's page on programmatic invocations warns, in a paragraph far
# below the callbacks, that several invocations in one process are not safe in parallel; it names no effect.
# What happens: the flags are one global object. `dbtRunner().invoke(["parse"])` inside a callback, or any helper that
# calls `set_from_args` to get a connection, replaces them. The models that follow are built incrementally: they append
# to the old rows. Both invocations report success.
# Why it matters: tools that watch a build (a heartbeat, a lineage exporter, a lock that opens a connection with dbt's
# profile) often run in dbt's process. Half of a full refresh is then not refreshed, and nothing is logged.
# This product opens its own connections without setting the flags if dbt already runs in the process.
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
models: {+materialized: incremental}
YAML
cat >profiles.yml <<'YAML'
shop: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb}}}
YAML
mkdir models
echo "select 1 as id, '{{ 'appended' if is_incremental() else 'rebuilt' }}' as built" >models/first.sql
cat >models/second.sql <<'SQL'
select id, '{{ 'appended' if is_incremental() else 'rebuilt' }}' as built
from {{ ref('first') }}
SQL

venv/bin/python - <<'PYTHON'
import importlib.metadata
import sys

import duckdb
from dbt.cli.main import dbtRunner

inner = []


def parse_project(event):
    if event.info.name == "LogModelResult" and not inner:
        inner.append(None)
        inner[0] = dbtRunner().invoke(["--quiet", "parse"]).success


dbtRunner().invoke(["--quiet", "run"])
outer = dbtRunner(callbacks=[parse_project]).invoke(["--quiet", "run", "--full-refresh"]).success
with duckdb.connect("dev.duckdb") as database:
    first, second = (database.sql(f"from {name} select built").fetchall() for name in ("first", "second"))

print(f"dbt-core {importlib.metadata.version('dbt-core')}")
print("A callback parses the project after the first result of `run --full-refresh`. The second model is not rebuilt:")
print(f"    success of the run and of the parse: {outer}, {inner[0]}")
print(f"    rows of the first model:  {first}")
print(f"    rows of the second model: {second}")

if (outer, inner) != (True, [True]) or first != [("rebuilt",)] or second != [("rebuilt",), ("appended",)]:
    sys.exit("The behaviour has changed: expected the second model to be appended to, not rebuilt.")
PYTHON
