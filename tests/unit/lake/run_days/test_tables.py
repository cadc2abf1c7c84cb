"""The tables of changed keys have the columns that the models' YAML files declare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.run_days.tables import changed_keys, create_tables
from include.manifest import Manifest
from include.settings import Settings, UserError
from include.warehouse.database import open_database


def manifest(**types: str | None) -> Manifest:
    """A manifest with a model that has these columns as changed keys."""
    node: dict[str, Any] = {
        **{"name": "fct_days", "original_file_path": "models/fct_days.sql"},
        "columns": {name: {"data_type": kind} for name, kind in types.items()},
        "config": {
            "materialized": "incremental",
            "meta": {"changed_keys": {"columns": [*types], "inputs": []}},
        },
    }
    return Manifest({"nodes": {"model.p.fct_days": node}})


def test_a_model_with_changed_keys_gets_a_table_with_their_types(tmp_path: Path) -> None:
    settings = Settings(lake=str(tmp_path), duckdb=str(tmp_path / "warehouse.duckdb"))
    with open_database(settings) as database:
        create_tables(database, settings, changed_keys(manifest(day="date")))
        # A later version of the model has one more column in its key.
        create_tables(database, settings, changed_keys(manifest(day="date", game="varchar(9)")))
        assert database.rows(
            "select column_name, data_type from information_schema.columns "
            "where table_schema = 'operations' and table_name = 'changes_of_fct_days' order by 1"
        ) == [("changed_day", "DATE"), ("changed_game", "VARCHAR"), ("is_built", "BOOLEAN")]


def test_a_changed_key_without_a_type_is_refused() -> None:
    with pytest.raises(UserError, match="the model fct_days has the changed keys game without"):
        changed_keys(manifest(day="date", game=None))
