#!/usr/bin/env bash
# dbt-core 1.11.16: `perf_info.json` has the seconds of an earlier parse if dbt has skipped the parsing.
#
# Expected: `target/perf_info.json` is about the last command, like `run_results.json` and `manifest.json` beside it.
# What happens: if no file has changed, dbt loads the parsed project and skips the parsing, and does not write the file.
# So its `load_all_elapsed` is from an earlier command, and the file has no time or id that shows it.
# Why it matters: a benchmark that subtracts the seconds of parsing from those of a command gets a wrong and even a
# negative rest.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dbt-core==1.11.16 dbt-duckdb==1.11.1

mkdir models
cat > dbt_project.yml <<'YAML'
name: shop
profile: shop
flags: {send_anonymous_usage_stats: false}
YAML
cat > profiles.yml <<'YAML'
shop: {target: dev, outputs: {dev: {type: duckdb, path: shop.duckdb}}}
YAML
echo 'select 1 as id' > models/orders.sql

venv/bin/dbt --quiet parse
first=$(sha256sum < target/perf_info.json)
sleep 1
venv/bin/dbt --quiet run
second=$(sha256sum < target/perf_info.json)

venv/bin/dbt --version | sed -n 's/.*installed: *\([0-9.]*\)/dbt-core \1/p'
if [[ "$first" == "$second" ]] && [[ target/run_results.json -nt target/perf_info.json ]]; then
    echo "perf_info.json after \`dbt run\` is the file of \`dbt parse\` before it; run_results.json is of \`dbt run\`."
else
    echo "The behaviour has changed: expected that \`dbt run\` leaves perf_info.json as it was." >&2
    exit 1
fi
