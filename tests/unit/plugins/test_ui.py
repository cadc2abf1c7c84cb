"""The page of a node: what it shows, and which users may see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import game_analytics_ui as ui
from fastapi.testclient import TestClient

NODE = {
    "name": "fct_bets",
    "unique_id": "model.game_analytics.fct_bets",
    "resource_type": "model",
    "package_name": "game_analytics",
    "original_file_path": "models/fct_bets.sql",
    "schema": "marts",
    "alias": "fct_bets",
    "description": "Bets <script>alert(1)</script>",
    "config": {"materialized": "table", "group": "betting"},
    "columns": {"bet_id": {"name": "bet_id", "data_type": "bigint", "description": "Id."}},
    "depends_on": {"nodes": ["model.game_analytics.stg_bets"]},
    "raw_code": "select as_written",
}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    manifest: dict[str, Any] = {
        "nodes": {NODE["unique_id"]: NODE},
        "groups": {"g": {"name": "betting", "owner": {"name": "Betting", "email": "b@x"}}},
    }
    (tmp_path / "dbt" / "target").mkdir(parents=True)
    (tmp_path / "dbt" / "target" / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path / "dags"))
    monkeypatch.setattr(ui, "AIRFLOW_HOME", str(tmp_path))
    (route,) = (route for route in ui.app.routes if "{task_id}" in getattr(route, "path", ""))
    (guard,) = route.dependencies  # type: ignore[attr-defined]
    ui.app.dependency_overrides[guard.dependency] = lambda: None
    yield TestClient(ui.app)
    ui.app.dependency_overrides.clear()


def test_a_page_shows_the_node_and_its_owner(client: TestClient) -> None:
    page = client.get("/game_analytics/r1/fct_bets").text
    for text in ("Betting b@x", "dbt/models/fct_bets.sql", "stg_bets", "bigint", "as_written"):
        assert text in page
    assert "<script>alert" not in page


def test_the_sql_is_the_newest_of_the_run(client: TestClient, tmp_path: Path) -> None:
    run = tmp_path / "artifacts" / "r1"
    compiled = run / "dbt_build" / "compiled" / "game_analytics" / "models" / "fct_bets.sql"
    compiled.parent.mkdir(parents=True)
    compiled.write_text("select of_all")
    assert "of_all" in client.get("/game_analytics/r1/fct_bets").text
    (run / "fct_bets").mkdir()
    (run / "fct_bets" / "fct_bets.sql").write_text("select of_its_own_task")
    assert "of_its_own_task" in client.get("/game_analytics/r1/fct_bets").text


def test_a_version_of_a_model_has_its_own_page(client: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "dbt" / "target" / "manifest.json"
    content = json.loads(path.read_text())
    for number in (1, 2):
        unique_id = f"model.game_analytics.rpt.levels.v{number}"
        version = {"name": "rpt.levels", "unique_id": unique_id, "raw_code": f"version {number}"}
        content["nodes"][unique_id] = NODE | version
    path.write_text(json.dumps(content))
    assert "version 1" in client.get("/game_analytics/r1/rpt_levels_v1").text
    own = tmp_path / "artifacts" / "r1" / "rpt_levels_v2" / "rpt_levels_v2.sql"
    own.parent.mkdir(parents=True)
    own.write_text("select of_its_own_task")
    assert "of_its_own_task" in client.get("/game_analytics/r1/rpt_levels_v2").text


def test_only_nodes_of_this_dag_have_pages(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "secret.sql").write_text("secret")
    assert client.get("/another_dag/r1/fct_bets").status_code == 404
    assert client.get("/game_analytics/r1/nothing").status_code == 404
    assert "secret" not in client.get("/game_analytics/..%2F../fct_bets").text


def test_a_user_without_access_to_the_dag_gets_no_page(client: TestClient) -> None:
    ui.app.dependency_overrides.clear()
    assert client.get("/game_analytics/r1/fct_bets").status_code in {401, 403}
