#!/usr/bin/env bash
# dbt-core 1.11.16, dbt-adapters 1.24.5: `dbt build --empty` closes every row of a snapshot that tracks deletions.
#
# Expected: dbt's page on the empty flag describes a dry run of the schema: the SQL runs against the warehouse, but the
# expensive reads of input data are left out. The history of a snapshot, which no later run can rebuild, should stay.
# What happens: --empty limits the input of the snapshot to zero rows. With hard_deletes: invalidate the snapshot takes
# all rows as deleted and sets dbt_valid_to in each of them. The next normal build inserts all rows again as new
# versions, so that the history has an invented end and an invented start. dbt-labs/dbt-adapters issue 1329 is open.
# Why it matters: `dbt build --empty` is the usual check of a pull request, and the commands `build` and `snapshot` take
# the flag. One such check against production damages data that exists nowhere else.
# This product refuses --empty, --sample and DBT_EMPTY in each way to build (include/partial_builds.py).
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    dbt-core==1.11.16 dbt-adapters==1.24.5 dbt-duckdb==1.11.1 duckdb==1.5.6

export DBT_SEND_ANONYMOUS_USAGE_STATS=false

cat >dbt_project.yml <<'YAML'
name: shop
profile: shop
YAML
cat >profiles.yml <<'YAML'
shop: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb}}}
YAML
mkdir models snapshots
echo "select 1 as player_id, 'eu' as region union all select 2, 'us'" >models/players.sql
cat >snapshots/players_history.yml <<'YAML'
snapshots:
  - name: players_history
    relation: ref('players')
    config: {unique_key: player_id, strategy: check, check_cols: all, hard_deletes: invalidate}
YAML

open_rows() {
    venv/bin/python -c "
import duckdb
rows = duckdb.connect('dev.duckdb').sql('select dbt_valid_to is null from players_history').fetchall()
print(sum(is_open for (is_open,) in rows), 'of', len(rows))"
}

venv/bin/dbt --quiet build
before=$(open_rows)
venv/bin/dbt --quiet build --empty
empty=$(open_rows)
venv/bin/dbt --quiet build
after=$(open_rows)

venv/bin/pip list --disable-pip-version-check 2>/dev/null | awk '/^dbt-(core|adapters|duckdb) / {print $1, $2}'
echo "A build with --empty closes all rows of a snapshot with hard_deletes: invalidate. Rows that are open:"
echo "    after dbt build:                 $before"
echo "    after dbt build --empty:         $empty"
echo "    after the next normal dbt build: $after"

if [[ "$before, $empty, $after" != "2 of 2, 0 of 2, 2 of 4" ]]; then
    echo "The behaviour has changed: expected 2 of 2, then 0 of 2, then 2 of 4 open rows." >&2
    exit 1
fi
