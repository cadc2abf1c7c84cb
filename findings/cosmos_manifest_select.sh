#!/usr/bin/env bash
# astronomer-cosmos 1.15.1: with LoadMode.DBT_MANIFEST, selectors that dbt accepts select nothing, without an error.
#
# Expected: Cosmos documents select and exclude as dbt's node selection, and its page on parsing methods adds only that
# its own logic "may not be as robust". A selector that Cosmos does not support should raise, as `group:` does.
# What happens: `source:raw+`, `fqn:fct_events`, `marts.*`, `stg_*`, and a file's name all select no node. The DAG is
# rendered without the tasks, imports without an error, and its runs are green.
# Why it matters: a selector that was tried with `dbt ls` removes the whole project from the DAG. In `exclude` it is the
# other way round: what should not run does run.
# This product lets dbt itself resolve what a user selects and passes only `resource_type:exposure` to Cosmos.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    astronomer-cosmos==1.15.1 apache-airflow-core==3.3.1 dbt-core==1.11.16 dbt-duckdb==1.11.1

export DBT_SEND_ANONYMOUS_USAGE_STATS=false AIRFLOW__COSMOS__ENABLE_TELEMETRY=False AIRFLOW_HOME="$folder/airflow"
export AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR AIRFLOW__COSMOS__CACHE_DIR="$folder/cosmos"

mkdir -p shop/models/staging shop/models/marts
printf 'name: shop\nprofile: shop\n' >shop/dbt_project.yml
echo 'shop: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb}}}' >shop/profiles.yml
echo 'sources: [{name: raw, schema: main, tables: [{name: events}]}]' >shop/models/sources.yml
echo "select * from {{ source('raw', 'events') }}" >shop/models/staging/stg_events.sql
echo "select * from {{ ref('stg_events') }}" >shop/models/marts/fct_events.sql

venv/bin/python - <<'PYTHON' 2>cosmos.log || { cat cosmos.log >&2; exit 1; }
import contextlib
import importlib.metadata
import io
import sys
from pathlib import Path

from cosmos import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, LoadMode
from cosmos.dbt.graph import DbtGraph
from dbt.cli.main import dbtRunner

shop = Path("shop").resolve()
arguments = ["--project-dir", str(shop), "--profiles-dir", str(shop)]
dbtRunner().invoke(["--quiet", "parse", *arguments])


def selected_by_dbt(selector):
    command = ["--quiet", "ls", "--resource-type", "model", "--output", "name", "--select", selector, *arguments]
    with contextlib.redirect_stdout(io.StringIO()):
        return sorted(dbtRunner().invoke(command).result)


def selected_by_cosmos(selector):
    graph = DbtGraph(
        project=ProjectConfig(shop, manifest_path=shop / "target/manifest.json"),
        profile_config=ProfileConfig("shop", "dev", profiles_yml_filepath=shop / "profiles.yml"),
        render_config=RenderConfig(select=[selector], load_method=LoadMode.DBT_MANIFEST),
        execution_config=ExecutionConfig(dbt_project_path=shop),
    )
    graph.load(method=LoadMode.DBT_MANIFEST, execution_mode=ExecutionMode.LOCAL)
    return sorted(node.name for node in graph.filtered_nodes.values() if node.unique_id.startswith("model."))


selectors = ["path:models/marts", "source:raw+", "fqn:fct_events", "marts.*", "stg_*", "fct_events.sql"]
print(f"astronomer-cosmos {importlib.metadata.version('astronomer-cosmos')}, with LoadMode.DBT_MANIFEST")
print("Selectors, the models that dbt selects, and the models that Cosmos selects without an error:")
found = {selector: (selected_by_dbt(selector), selected_by_cosmos(selector)) for selector in selectors}
for selector, (by_dbt, by_cosmos) in found.items():
    print(f"    {selector:18} dbt: {by_dbt}  Cosmos: {by_cosmos}")

first, *others = found.values()
if first != (["fct_events"], ["fct_events"]) or any(not by_dbt or by_cosmos for by_dbt, by_cosmos in others):
    sys.exit("The behaviour has changed: expected Cosmos to find models for path: alone, and dbt for each selector.")
PYTHON
