"""How tasks reach Redshift: one secret, two profiles that must mean the same."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import yaml
from airflow.sdk.exceptions import AirflowException

from include.orchestration import connection as warehouse
from include.settings import ROOT, Settings

SETTINGS = Settings(target="redshift", lake="s3://bucket/lake", schema_prefix="ann_")
CONNECTION = {
    "conn_type": "redshift",
    "host": "cluster.abc.eu-west-1.redshift.amazonaws.com",
    "port": 5444,
    "login": "dbt",
    "password": "pass'word\\ with {{ braces }} and %",
    "schema": "analytics",
    "extra": {"region": "eu-west-1"},
}
COMPARE = """
import json, os, sys
from argparse import Namespace
from dbt.config.runtime import load_profile
from dbt.flags import set_from_args
from dbt_common.context import set_invocation_context
found = []
for folder, profile in json.loads(sys.argv[1]):
    set_from_args(Namespace(project_dir=sys.argv[2], profiles_dir=folder), None)
    set_invocation_context(os.environ)
    credentials = load_profile(sys.argv[2], {}, profile, "redshift")
    found.append({**credentials.credentials.to_dict(), "threads": credentials.threads})
print(json.dumps(found))
"""
"""Both profiles as dbt itself understands them."""


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(CONNECTION))


@pytest.mark.usefixtures("connection")
def test_workers_and_the_command_line_reach_the_same_warehouse(tmp_path: Path) -> None:
    mapping = warehouse.profile(SETTINGS).profile_mapping
    assert mapping is not None
    profile = mapping.get_profile_file_contents("game_analytics", "redshift")
    (tmp_path / "profiles.yml").write_text(profile)
    ours = str(ROOT / "dbt")
    shown = subprocess.run(
        [
            str(ROOT / ".venv/dbt/bin/python"),
            *("-c", COMPARE, json.dumps([(str(tmp_path), None), (ours, None)]), ours),
        ],
        env={
            **os.environ,
            **SETTINGS.as_environment(),
            **mapping.env_vars,
            **warehouse.login(SETTINGS),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    of_workers, of_command_line = json.loads(shown.stdout.splitlines()[-1])
    assert of_workers == of_command_line
    assert of_workers["password"] == CONNECTION["password"]
    assert of_workers["schema"] == "ann_marts"
    assert of_workers.items() >= warehouse.REDSHIFT.items()


def test_what_is_secret_is_in_no_file_of_a_worker() -> None:
    assert "password" not in json.dumps(warehouse.environment(SETTINGS)).lower()
    assert warehouse.login(Settings()) == {}
    assert warehouse.login(Settings(target="redshift", lake="s3://b/l", connection_id="")) == {}


def test_without_a_connection_id_the_command_line_s_profile_serves() -> None:
    by_role = Settings(target="redshift", lake="s3://b/l", connection_id="")
    assert warehouse.profile(by_role).profiles_yml_filepath == warehouse.PROFILES
    method = yaml.safe_load(warehouse.PROFILES.read_text())["game_analytics"]["outputs"]
    assert "REDSHIFT_METHOD" in method["redshift"]["method"]


def test_no_connection() -> None:
    with pytest.raises(AirflowException, match=r"There is no connection redshift_default: make"):
        warehouse.login(SETTINGS)


def test_a_secret_whose_database_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    without = {name: value for name, value in CONNECTION.items() if name != "schema"}
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(without))
    with pytest.raises(AirflowException, match=r"has no REDSHIFT_DBNAME.*extra_conn_words"):
        warehouse.login(SETTINGS)
