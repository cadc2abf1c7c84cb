"""`make run` without Airflow: the sample, what is not a success, and what Airflow is told."""

from __future__ import annotations

import configparser
import stat
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.laptop import airflow, run
from include.settings import Settings


@pytest.mark.parametrize(
    ("file", "needed"),
    [
        (None, True),
        ("raw_events/_landing/a.parquet", True),
        ("raw_events/.hidden.parquet", True),
        ("rejected_events/year=2026/a.parquet", True),
        ("raw_events/year=2026/month=09/day=01/a.parquet", False),
    ],
)
def test_the_sample_is_for_a_lake_without_events(
    tmp_path: Path, file: str | None, needed: bool
) -> None:
    if file:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    assert run.needs_sample(tmp_path) is needed


@pytest.mark.parametrize("state", ["failed", "skipped", "upstream_failed", "up_for_retry", None])
def test_only_success_is_success(
    state: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "in_dbt_environment", lambda *_: None)
    tasks: list[dict[str, Any]] = [{"task_id": "a", "state": "success"}]
    assert run.report(Settings(), tasks, 1) == 0
    assert run.report(Settings(), [*tasks, {"task_id": "b", "state": state}], 1) == 1
    assert capsys.readouterr().err.endswith(f"did not succeed:\n  {str(state).lower()}: b\n")


def test_airflow_is_on_loopback_and_its_keys_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow, "HOME", tmp_path)
    written = []
    for port in (1, 2):
        airflow.Airflow(Settings(), port=port)._configure()
        config = configparser.ConfigParser(interpolation=None)
        config.read(tmp_path / "airflow.cfg")
        written.append(config)
    assert stat.S_IMODE((tmp_path / "airflow.cfg").stat().st_mode) == 0o600
    assert written[1]["api"]["host"] == "127.0.0.1"
    assert written[1]["cosmos"]["enable_telemetry"] == "False"
    # Saved connections stay readable; tokens of an earlier start do not stay valid.
    assert written[0]["core"]["fernet_key"] == written[1]["core"]["fernet_key"]
    assert written[0]["api_auth"]["jwt_secret"] != written[1]["api_auth"]["jwt_secret"]
