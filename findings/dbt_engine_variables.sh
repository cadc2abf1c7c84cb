#!/usr/bin/env bash
# dbt-core 1.11.16: the variable DBT_ENGINE_EMPTY wins over DBT_EMPTY, and is in no list of `dbt build --help`.
#
# Expected: `dbt build --help` lists the variables of its options, and a wrapper that sets DBT_EMPTY=false is sure
# that the build reads rows.
# What happens: each variable DBT_<NAME> has a second name DBT_ENGINE_<NAME>. If both are set, the second one counts,
# so the build is empty in spite of DBT_EMPTY=false. dbt exits with 0, and its log names no option.
# Why it matters: --empty builds every table without rows. With a snapshot whose hard deletes are invalidated, it
# closes every row. A guard that looks only at the documented names does not see it.
# This product reads both names before it starts dbt, and refuses a build that would be partial.
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
YAML
mkdir models
echo "select 100 as amount" >models/orders.sql
echo "select * from {{ ref('orders') }}" >models/revenue.sql

rows() {
    venv/bin/python -c "
import duckdb
print(duckdb.connect('dev.duckdb').sql('select count(*) from revenue').fetchone()[0])"
}

DBT_EMPTY=false venv/bin/dbt build >build.log
with_one=$(rows)
DBT_EMPTY=false DBT_ENGINE_EMPTY=true venv/bin/dbt build >build.log
with_both=$(rows)
documented=$(venv/bin/dbt build --help | grep -c DBT_ENGINE_EMPTY || true)
version=$(venv/bin/pip list --disable-pip-version-check 2>/dev/null | awk '$1 == "dbt-core" {print $2}')

echo "dbt-core $version"
echo "Rows of a model after \`dbt build\`, whose only input has one row:"
echo "    DBT_EMPTY=false: $with_one"
echo "    DBT_EMPTY=false DBT_ENGINE_EMPTY=true: $with_both"
echo "    lines of \`dbt build --help\` that name DBT_ENGINE_EMPTY: $documented"

if [[ "$with_one $with_both $documented" != "1 0 0" ]]; then
    echo "The behaviour has changed: expected 1 row, then 0 rows, and no such line." >&2
    exit 1
fi
