#!/usr/bin/env bash
# dbt-core 1.11.16: `dbt retry --target dev` ignores the target and writes into the target of the failed run.
#
# Expected: `dbt retry --help` lists --target with "Which target to load for the given profile", as every command does,
# so the retried models should be built there. dbt's page on retry says only that selectors are reused.
# What happens: retry restores all arguments of the previous invocation from run_results.json, the target included, and
# the option on the command line has no effect. The log names no target, and the exit code is 0.
# Why it matters: the results of a failed production run are a usual thing to download and debug. A retry "against dev"
# then builds the repaired model, tested nowhere, in production.
# This product never calls `dbt retry`: a task that is tried again starts a new `dbt build`.
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
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: dev.duckdb}
    prod: {type: duckdb, path: prod.duckdb}
YAML
mkdir models
echo "select * from {{ target.schema }}.orders" >models/revenue.sql

# The first run fails, because the table orders is missing in prod.
venv/bin/dbt --quiet run --target prod >run.log && exit 1
echo "select 100 as amount" >models/revenue.sql
venv/bin/dbt retry --target dev >retry.log

tables() {
    venv/bin/python -c "
import duckdb, os, sys
path = sys.argv[1]
names = duckdb.connect(path).sql('show tables').fetchall() if os.path.exists(path) else 'no such file'
print(names)" "$1"
}

version=$(venv/bin/pip list --disable-pip-version-check 2>/dev/null | awk '$1 == "dbt-core" {print $2}')
in_prod=$(tables prod.duckdb)
in_dev=$(tables dev.duckdb)
echo "dbt-core $version"
echo "After a failed \`dbt run --target prod\`, \`dbt retry --target dev\` builds the model in prod and nothing in dev:"
echo "    prod.duckdb: $in_prod"
echo "    dev.duckdb:  $in_dev"

if [[ "$in_prod" != "[('revenue',)]" || "$in_dev" != "no such file" ]]; then
    echo "The behaviour has changed: expected the model in prod and no database dev." >&2
    exit 1
fi
