#!/usr/bin/env bash
# MWAA's startup script. It installs dbt's environment on the workers. `make package` inserts the lock
# and the location of the wheels, and writes dist/mwaa/startup.sh. Do not upload this file itself.
#
# MWAA sources the script on every component before it installs requirements.txt. After 295 s MWAA
# kills the script, and then the component does not start. The script therefore uses neither `set -e`
# nor `exit`, works in functions and sub-shells, and stops before that time.
# The DAG folder may not exist yet, so the script needs no other file.

game_analytics_home="${AIRFLOW_HOME:-/usr/local/airflow}"
game_analytics_environment="$game_analytics_home/game_analytics_dbt"
# MWAA passes the exported variables to Airflow, which passes them to every task.
export GAME_ANALYTICS_DBT_EXECUTABLE="$game_analytics_environment/bin/dbt"
export AIRFLOW__COSMOS__ENABLE_TELEMETRY=False
export DBT_SEND_ANONYMOUS_USAGE_STATS=false
export DO_NOT_TRACK=1

# The location of the wheels, s3://bucket/prefix, for networks without a package index. Otherwise empty.
game_analytics_wheels="@WHEELS@"
# The script stops after 270 of the 295 s. The rest is for MWAA's own steps.
game_analytics_until=$((SECONDS + 270))

game_analytics_log() {
    echo "game-analytics: $*"
}

# Print the remaining seconds, for `timeout`.
game_analytics_left() {
    local left=$((game_analytics_until - SECONDS))
    echo "$((left > 1 ? left : 1))"
}

# Only workers run dbt.
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
    sys.exit(f"there are no wheels at {sys.argv[1]}")
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

# Build the environment. If a step fails, the last line on stderr is the reason.
game_analytics_build() {
    local lock="$game_analytics_environment/lock.txt" index=()
    if [[ -n "$game_analytics_wheels" ]]; then
        game_analytics_download dbt || return 1
        index=(--no-index --find-links "$game_analytics_home/game_analytics_wheels/dbt")
    fi
    rm -rf "$game_analytics_environment" || return 1
    # The image's own pip is used, because ensurepip would take ten more seconds.
    python3 -m venv --without-pip "$game_analytics_environment" || return 1
    game_analytics_lock > "$lock" || return 1
    # The lock is complete, so the image's pip settings for Airflow's packages are switched off.
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
    # The lock gets its final name last, as the mark of a complete environment.
    ((code == 0)) && mv "$lock" "$game_analytics_environment/dbt.txt"
}

game_analytics_start() {
    local failed="$game_analytics_environment.failed" errors reason began=$SECONDS
    errors="$(mktemp)"
    rm -f "$failed"
    if [[ -n "$game_analytics_wheels" ]]; then
        # Every component needs the wheels for requirements.txt.
        if ! game_analytics_download airflow 2> "$errors"; then
            cat "$errors" >&2
            game_analytics_log "ERROR: the wheels for requirements.txt cannot be downloaded:" \
                "$(tail -n 1 "$errors"). Let the execution role read" \
                "$game_analytics_wheels, and run \`make deploy\` with the wheels again."
        fi
    fi
    if ! game_analytics_is_worker; then
        game_analytics_log "${MWAA_AIRFLOW_COMPONENT:-this component} runs no dbt"
    elif cmp --silent <(game_analytics_lock) "$game_analytics_environment/dbt.txt" &&
        [[ -x "$GAME_ANALYTICS_DBT_EXECUTABLE" ]]; then
        game_analytics_log "dbt's environment exists already"
    elif (game_analytics_build) 2> "$errors"; then
        game_analytics_log "dbt's environment built in $((SECONDS - began)) s"
    else
        cat "$errors" >&2
        # An incomplete environment would fail later, with a less clear message.
        rm -rf "$game_analytics_environment"
        reason="$(tail -n 1 "$errors")"
        reason="${reason#ERROR: }"
        echo "$reason" > "$failed"
        game_analytics_log "ERROR: dbt's environment was not built: $reason." \
            "Tasks will fail with this reason. In a network without a package index run" \
            "\`make package WHEELS=1 BUCKET=…\` and \`make deploy\`; otherwise see pip's messages above."
    fi
    rm -f "$errors"
}

# The sub-shell keeps variables and errors away from the shell that sources this file.
(game_analytics_start)
