#!/usr/bin/env bash
# MWAA's startup script: dbt's own environment for the workers. `make package` fills in lock and
# wheels and writes dist/mwaa/startup.sh; this file is not to be uploaded as it is.
#
# MWAA sources it on every component before it installs requirements.txt, and kills it after
# 295 s; a component whose startup script was killed does not start. So there is no `set -e` and
# no `exit` here, everything happens in functions and sub-shells, and it gives up in time.
# The DAG folder may not be there yet: what is needed is in this file.

game_analytics_home="${AIRFLOW_HOME:-/usr/local/airflow}"
game_analytics_environment="$game_analytics_home/game_analytics_dbt"
# MWAA hands what is exported here to Airflow, and so to every task.
export GAME_ANALYTICS_DBT_EXECUTABLE="$game_analytics_environment/bin/dbt"
export AIRFLOW__COSMOS__ENABLE_TELEMETRY=False
export DBT_SEND_ANONYMOUS_USAGE_STATS=false
export DO_NOT_TRACK=1

# Where the wheels lie for networks without a package index, s3://bucket/prefix; else empty.
game_analytics_wheels="@WHEELS@"
# Of the 295 s; what remains is for MWAA's own steps.
game_analytics_until=$((SECONDS + 270))

game_analytics_say() {
    echo "game-analytics: $*"
}

# The seconds that are left, for `timeout`.
game_analytics_left() {
    local left=$((game_analytics_until - SECONDS))
    echo "$((left > 1 ? left : 1))"
}

# dbt is run by workers alone.
game_analytics_is_worker() {
    [[ "${MWAA_AIRFLOW_COMPONENT:-}" == worker || "${MWAA_AIRFLOW_COMPONENT:-}" == hybrid ]]
}

# Download s3://bucket/prefix/<folder>/*.whl into a folder beside the environment.
game_analytics_download() {
    timeout "$(game_analytics_left)" python3 - "$game_analytics_wheels/$1/" \
        "$game_analytics_home/game_analytics_wheels/$1" <<'PYTHON'
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3

bucket, _, prefix = sys.argv[1].removeprefix("s3://").partition("/")
folder = Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
s3 = boto3.client("s3")
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
wheels = [key for key in keys if key.endswith(".whl")]
if not wheels:
    sys.exit(f"no wheel lies at {sys.argv[1]}")
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda key: s3.download_file(bucket, key, folder / Path(key).name), wheels))
print(f"game-analytics: {len(wheels)} wheels from {sys.argv[1]}")
PYTHON
}

game_analytics_lock() {
    cat <<'LOCK'
@LOCK@
LOCK
}

# Everything that can fail, step by step; the last line on stderr says why.
game_analytics_build() {
    local lock="$game_analytics_environment/lock.txt" index=()
    if [[ -n "$game_analytics_wheels" ]]; then
        game_analytics_download dbt || return 1
        index=(--no-index --find-links "$game_analytics_home/game_analytics_wheels/dbt")
    fi
    rm -rf "$game_analytics_environment" || return 1
    # pip comes from the image: ensurepip would take another ten seconds.
    python3 -m venv --without-pip "$game_analytics_environment" || return 1
    game_analytics_lock > "$lock" || return 1
    # The lock is whole, and what the image sets for Airflow's own packages must not touch it.
    PIP_USER=0 PIP_CONSTRAINT="" PIP_REQUIRE_VIRTUALENV=0 \
        timeout "$(game_analytics_left)" \
        python3 -m pip --python "$game_analytics_environment/bin/python" install \
        --quiet --no-input --no-cache-dir --disable-pip-version-check --no-deps \
        --require-hashes --only-binary :all: "${index[@]}" \
        --requirement "$lock"
    local code=$?
    if ((code == 124)); then
        echo "pip did not end within the time that MWAA gives startup.sh" >&2
    fi
    # Renamed in the end: it says that the environment is whole.
    ((code == 0)) && mv "$lock" "$game_analytics_environment/dbt.txt"
}

game_analytics_start() {
    local failed="$game_analytics_environment.failed" errors why began=$SECONDS
    errors="$(mktemp)"
    rm -f "$failed"
    if [[ -n "$game_analytics_wheels" ]]; then
        # Those that requirements.txt asks for, on every component.
        if ! game_analytics_download airflow 2> "$errors"; then
            cat "$errors" >&2
            game_analytics_say "ERROR: the wheels for requirements.txt are not there:" \
                "$(tail -n 1 "$errors"). Let the execution role read" \
                "$game_analytics_wheels and run \`make deploy\` with them again."
        fi
    fi
    if ! game_analytics_is_worker; then
        game_analytics_say "${MWAA_AIRFLOW_COMPONENT:-this component} runs no dbt"
    elif cmp --silent <(game_analytics_lock) "$game_analytics_environment/dbt.txt" &&
        [[ -x "$GAME_ANALYTICS_DBT_EXECUTABLE" ]]; then
        game_analytics_say "dbt's environment is there"
    elif (game_analytics_build) 2> "$errors"; then
        game_analytics_say "dbt's environment built in $((SECONDS - began)) s"
    else
        cat "$errors" >&2
        # Half an environment would fail later, and say less.
        rm -rf "$game_analytics_environment"
        why="$(tail -n 1 "$errors")"
        why="${why#ERROR: }"
        echo "$why" > "$failed"
        game_analytics_say "ERROR: dbt's environment was not built: $why." \
            "Tasks will fail and say so. In a network without a package index run" \
            "\`make package WHEELS=1 BUCKET=…\` and \`make deploy\`; else see pip's words above."
    fi
    rm -f "$errors"
}

# In a sub-shell: nothing of it reaches the shell that sources this file but what is exported.
(game_analytics_start)
