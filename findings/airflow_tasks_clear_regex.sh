#!/usr/bin/env bash
# apache-airflow-core 3.3.1: `airflow tasks clear --task-regex` compares text and does not take a regular expression.
#
# Expected: `airflow tasks clear --help` describes --task-regex as the regular expression to filter task ids, so
# '^orders$' should clear the task orders alone, and 'fct_.*' the tasks that begin with fct_.
# What happens: the option is a search for the literal text within the task id. '^orders$' matches nothing, prints
# nothing and exits with 0. The text orders clears fct_orders as well, and there is no way to name orders alone.
# Why it matters: the command is what an on-call engineer runs at night. With -y it clears more tasks than meant, which
# rebuilds marts, or nothing at all, which looks like success. A comma-separated or anchored list does not work either.
# This product's runbook clears tasks in the web interface, where a task is named exactly.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    apache-airflow-core==3.3.1 apache-airflow-providers-standard==1.17.0

export AIRFLOW_HOME="$folder/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR
export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="sqlite:///$folder/airflow.db"

mkdir -p airflow/dags
cat >airflow/dags/shop.py <<'PYTHON'
import datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("shop", schedule=None, start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)):
    EmptyOperator(task_id="orders") >> EmptyOperator(task_id="fct_orders")
PYTHON

# One process runs all commands, because each start of Airflow takes seconds.
cat >commands.py <<'PYTHON'
import importlib.metadata
import sqlite3
import sys

from airflow.cli.cli_parser import get_parser


def airflow(*arguments):
    parsed = get_parser().parse_args(arguments)
    parsed.func(parsed)


def cleared(regex):
    """Run the DAG, clear by the regular expression, and return the ids of the cleared tasks."""
    airflow("dags", "test", "shop", "2026-01-02")
    airflow("tasks", "clear", "shop", "--task-regex", regex, "--yes")
    with sqlite3.connect("airflow.db") as database:
        rows = database.execute("select task_id from task_instance where state is null or state <> 'success'")
        return sorted(task for (task,) in rows)


airflow("db", "migrate")
airflow("dags", "reserialize")
found = {regex: cleared(regex) for regex in ("^orders$", "fct_.*", "orders")}
print(f"apache-airflow-core {importlib.metadata.version('apache-airflow-core')}", file=sys.stderr)
print("A DAG has the tasks orders and fct_orders. `airflow tasks clear --task-regex` clears:", file=sys.stderr)
for regex, tasks in found.items():
    print(f"    {regex:10} {tasks}", file=sys.stderr)
if list(found.values()) != [[], [], ["fct_orders", "orders"]]:
    sys.exit("The behaviour has changed: expected no task, no task, and both tasks.")
PYTHON
# Airflow's own messages go to the log, the findings to the standard output.
venv/bin/python commands.py 2>findings.log >commands.log || { cat commands.log findings.log >&2; exit 1; }
grep --after-context=4 '^apache-airflow-core ' findings.log
