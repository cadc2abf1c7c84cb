#!/usr/bin/env bash
# dbt-colibri 0.3.7 with sqlglot 30.30.0: columns of a union have no lineage, and the report counts as complete.
#
# Expected: `pip install dbt-colibri` installs a sqlglot that it works with. A model that is a `union all` of two models
# has the columns of both as origins, as with sqlglot 30.16.0.
# What happens: dbt-colibri 0.3.7 allows each newer sqlglot, and with 30.30.0 the report has no edge between columns
# into such a model. The command prints no warning and exits with 0.
# Why it matters: the missing edges look like columns without an origin. Whoever looks for what a change of a source
# breaks does not see the models behind the first union.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv dbt
dbt/bin/pip install --quiet --disable-pip-version-check dbt-core==1.11.16 dbt-adapters==1.24.5 dbt-duckdb==1.11.1 duckdb==1.5.6
for version in 30.16.0 30.30.0; do
    "$python" -m venv "colibri-$version"
    "colibri-$version/bin/pip" install --quiet --disable-pip-version-check \
        dbt-colibri==0.3.7 "sqlglot==$version" "sqlglotc==$version"
done

mkdir -p shop/models
cat >shop/dbt_project.yml <<'YAML'
{name: shop, version: "1.0", profile: shop, flags: {send_anonymous_usage_stats: false}}
YAML
cat >shop/profiles.yml <<'YAML'
shop: {target: dev, outputs: {dev: {type: duckdb, path: shop.duckdb}}}
YAML
echo "select 1 as order_id, 10 as amount" >shop/models/web_orders.sql
echo "select 2 as order_id, 20 as amount" >shop/models/store_orders.sql
cat >shop/models/orders.sql <<'SQL'
select order_id, amount from {{ ref('web_orders') }}
union all
select order_id, amount from {{ ref('store_orders') }}
SQL
(cd shop && ../dbt/bin/dbt --quiet build && ../dbt/bin/dbt --quiet docs generate)

cat >edges.py <<'PYTHON'
import json
import sys

edges = json.load(open(sys.argv[1]))["lineage"]["edges"]
found = {
    (edge["source"].split(".")[-1], edge["sourceColumn"])
    for edge in edges
    if edge["target"] == "model.shop.orders" and edge["sourceColumn"] in {"order_id", "amount"}
}
print(*sorted(".".join(origin) for origin in found), sep=", ")
PYTHON
for version in 30.16.0 30.30.0; do
    DO_NOT_TRACK=1 "colibri-$version/bin/colibri" generate --disable-telemetry --manifest shop/target/manifest.json \
        --catalog shop/target/catalog.json --output-dir "report-$version" >"$version.log" 2>&1
    "$python" edges.py "report-$version/colibri-manifest.json" >"$version.txt"
done
echo "dbt-colibri 0.3.7, origins of the columns of the union orders:"
for version in 30.16.0 30.30.0; do
    echo "    with sqlglot $version: $(cat "$version.txt")"
done

if [ "$(cat 30.16.0.txt)" != "store_orders.amount, store_orders.order_id, web_orders.amount, web_orders.order_id" ] ||
    [ "$(cat 30.30.0.txt)" != "" ]; then
    echo "The behaviour has changed: expected four origins with 30.16.0 and none with 30.30.0."
    exit 1
fi
