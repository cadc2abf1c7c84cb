"""How a task reaches Redshift: one profile, filled from one secret when the task starts dbt."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import yaml
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException
from cosmos.constants import InvocationMode

from include.manifest import PROJECT, Manifest
from include.orchestration import connection, transform
from include.orchestration.operators import artifacts, nodes
from include.orchestration.operators.nodes import DbtNodeOperator
from include.settings import ROOT, Settings

SETTINGS = Settings(target="redshift", lake="s3://bucket/lake", schema_prefix="ann_")
BY_IAM = Settings(target="redshift", lake="s3://bucket/lake", connection_id="")
CONNECTION = {
    "conn_type": "redshift",
    "host": "cluster.abc.eu-west-1.redshift.amazonaws.com",
    "port": 5444,
    "login": "dbt",
    "password": "pass'word\\ with {{ braces }} and %",
    "schema": "analytics",
    "extra": {"region": "eu-west-1"},
}
MODEL = "model.game_analytics.a"
READ_PROFILE = """
import json, os, sys
from argparse import Namespace
from dbt.config.runtime import load_profile
from dbt.flags import set_from_args
from dbt_common.context import set_invocation_context
project, profiles = sys.argv[1:]
set_from_args(Namespace(project_dir=project, profiles_dir=profiles), None)
set_invocation_context(os.environ)
profile = load_profile(project, {}, None, "redshift")
print(json.dumps({**profile.credentials.to_dict(), "threads": profile.threads}))
"""
"""A program for dbt's environment that prints the profile as dbt has read it."""


@pytest.fixture
def redshift_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(CONNECTION))


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was read")

    monkeypatch.setattr(BaseHook, "get_connection", refuse)


def node_task(settings: Settings, **arguments: Any) -> DbtNodeOperator:
    return DbtNodeOperator(
        task_id="a",
        project_dir=str(PROJECT),
        profile_config=connection.profile(settings),
        env=connection.environment(settings),
        sources={MODEL: frozenset()},
        files={},
        model_file="",
        **arguments,
    )


@pytest.mark.usefixtures("redshift_connection")
def test_dbt_reads_the_connection_s_login_and_everything_else_from_profiles_yml() -> None:
    with connection.profile(SETTINGS).ensure_profile() as (profiles, variables):
        assert profiles == connection.PROFILES
        read = subprocess.run(
            [
                str(ROOT / ".venv/dbt/bin/python"),
                *("-c", READ_PROFILE, str(PROJECT), str(profiles.parent)),
            ],
            env={**os.environ, **connection.environment(SETTINGS), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
    assert read.returncode == 0, read.stderr
    written = yaml.safe_load(profiles.read_text())["game_analytics"]["outputs"]["redshift"]
    expected = {
        **{name: value for name, value in written.items() if "{{" not in str(value)},
        **{name: CONNECTION[name] for name in ("host", "port", "password")},
        **{"user": "dbt", "database": "analytics", "schema": "ann_marts"},
        **{"method": "database", "region": "eu-west-1", "sslmode": "prefer"},
    }
    del expected["type"]
    found = json.loads(read.stdout.splitlines()[-1])
    assert found.items() >= expected.items()
    assert expected.keys() >= {"threads", "tcp_keepalive_idle", "tcp_keepalive_count"}


@pytest.mark.usefixtures("redshift_connection")
def test_a_node_s_own_dbt_has_the_login_and_the_task_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dbt = tmp_path / "dbt"
    dbt.write_text(f'#!/bin/sh\nenv > {tmp_path}/env\necho "$@" > {tmp_path}/arguments\nexit 3\n')
    dbt.chmod(0o755)
    monkeypatch.setattr(artifacts, "ARTIFACTS", tmp_path / "artifacts")
    monkeypatch.setattr(nodes, "keep_lock", lambda *_: None)
    monkeypatch.setattr(nodes, "form_of", lambda _: type("Form", (), {"full_refresh": False}))
    monkeypatch.setattr(DbtNodeOperator, "chosen", lambda *_: [MODEL])
    task = node_task(
        SETTINGS,
        dbt_executable_path=str(dbt),
        invocation_mode=InvocationMode.SUBPROCESS,
        install_deps=False,
        emit_datasets=False,
    )
    monkeypatch.setenv("GAME_ANALYTICS_DOCS", str(tmp_path / "docs"))
    instance = type("Instance", (), {"task_id": "a", "try_number": 1, "run_id": "r", "id": "0"})
    with (
        # Cosmos copies the environment of dbt into the task's own process.
        patch.dict(os.environ),
        caplog.at_level(logging.DEBUG),
        pytest.raises(AirflowException, match="exit code 3") as raised,
    ):
        task.execute({"run_id": "r", "ti": instance})
    given = dict(
        line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line
    )
    assert given["REDSHIFT_PASSWORD"] == CONNECTION["password"]
    assert given["REDSHIFT_HOST"] == CONNECTION["host"]
    arguments = (tmp_path / "arguments").read_text()
    assert f"--profiles-dir {PROJECT} --profile game_analytics --target redshift" in arguments
    password = str(CONNECTION["password"])
    rendered = {name: getattr(task, name, None) for name in task.template_fields}
    for text in (arguments, caplog.text, str(raised.value), repr(rendered), repr(vars(task))):
        assert password not in text
        assert repr(password)[1:-1] not in text


@pytest.mark.usefixtures("unreachable")
def test_no_connection_is_read_before_a_task_starts_dbt() -> None:
    manifest = Manifest({"nodes": {}})
    transform.cross_model_tests(SETTINGS, manifest)
    node_task(SETTINGS)
    with connection.profile(SETTINGS).ensure_profile(use_mock_values=True) as (_, variables):
        assert variables == {}


@pytest.mark.usefixtures("unreachable")
@pytest.mark.parametrize("settings", [Settings(), BY_IAM], ids=["local", "iam"])
def test_without_a_connection_the_profile_reads_the_worker_s_own_variables(
    settings: Settings,
) -> None:
    assert connection.login(settings) == {}
    with connection.profile(settings).ensure_profile() as (profiles, variables):
        assert (profiles, variables) == (connection.PROFILES, {})
    outputs = yaml.safe_load(connection.PROFILES.read_text())["game_analytics"]["outputs"]
    assert "REDSHIFT_METHOD" in outputs["redshift"]["method"]


def test_the_environment_of_every_dbt_process_has_no_password() -> None:
    assert "password" not in json.dumps(connection.environment(SETTINGS)).lower()


def test_the_key_of_an_openlineage_backend_comes_with_the_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(CONNECTION))
    assert "OPENLINEAGE_API_KEY" not in connection.login(SETTINGS)
    with_key = CONNECTION | {"extra": {"openlineage_api_key": "a-key"}}
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(with_key))
    assert connection.login(SETTINGS)["OPENLINEAGE_API_KEY"] == "a-key"
    # The environment without secrets is shown in the UI.
    assert "a-key" not in json.dumps(connection.environment(SETTINGS))


def test_the_error_for_a_missing_connection_has_the_remedy() -> None:
    with pytest.raises(AirflowException, match=r"There is no connection redshift_default: create"):
        connection.login(SETTINGS)


def test_the_error_for_a_secret_without_a_database_has_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without = {name: value for name, value in CONNECTION.items() if name != "schema"}
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(without))
    with pytest.raises(AirflowException, match=r"has no REDSHIFT_DBNAME.*extra_conn_words"):
        connection.login(SETTINGS)
