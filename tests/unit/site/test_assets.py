"""Every asset of the project, as the manifest describes it."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from include.manifest import MANIFEST, Manifest
from include.site.assets import Asset, Owner, grain, read_assets


@pytest.fixture(scope="module")
def found() -> dict[str, Asset]:
    return read_assets(Manifest.read(MANIFEST).content)


def test_each_source_seed_model_snapshot_and_exposure_is_an_asset(found: dict[str, Asset]) -> None:
    content = Manifest.read(MANIFEST).content
    nodes = {key for key, node in content["nodes"].items() if node["resource_type"] != "test"}
    nodes = {key for key in nodes if content["nodes"][key]["resource_type"] != "analysis"}
    folders = {f"folder.{source}" for source in content["sources"]}
    assert set(found) == {*nodes, *content["sources"], *content["exposures"], *folders}
    assert len({asset.page for asset in found.values()}) == len(found)


def test_every_asset_has_an_owner_a_definition_and_neighbours(found: dict[str, Asset]) -> None:
    for asset in found.values():
        assert asset.owner.name, asset.unique_id
        assert "@" in asset.owner.email, asset.unique_id
        assert asset.description, asset.unique_id
        assert asset.upstream or asset.downstream, asset.unique_id
        if asset.kind in {"model", "snapshot", "seed", "external table"}:
            assert asset.grain.startswith("One row per "), asset.unique_id
        for other in asset.upstream:
            assert asset.unique_id in found[other].downstream


def test_a_source_comes_from_its_folder(found: dict[str, Asset]) -> None:
    table = found["source.game_analytics.game_events.raw_events"]
    folder = found[table.upstream[0]]
    assert (folder.kind, folder.location, folder.downstream) == (
        "folder",
        "raw_events/",
        [table.unique_id],
    )
    assert table.freshness == {"warn": "2 days", "error": "4 days"}
    assert table.owner == Owner("Data platform", "data-platform@example.com")
    assert folder.owner == table.owner


def test_a_model_has_its_columns_tests_and_file(found: dict[str, Asset]) -> None:
    purchases = found["model.game_analytics.fct_purchases"]
    assert purchases.location == "marts.fct_purchases"
    assert purchases.materialization == "incremental"
    assert purchases.file == "dbt/models/marts/revenue/fct_purchases.sql"
    columns = {column.name: column for column in purchases.columns}
    assert columns["revenue"].data_type == "decimal(18,4)"
    tests = {test.name: test for test in purchases.tests}
    assert "fct_purchases__never_null" in tests
    assert tests["assert_transactions_have_one_player"].only_warns
    assert not tests["assert_purchases_have_rates"].only_warns


@pytest.mark.parametrize(
    ("description", "sentence"),
    [
        ("Bets. One row per bet.", "One row per bet."),
        ("One row per day, by `a.b`. More.", "One row per day, by `a.b`."),
        ("Bets.", ""),
        ("", ""),
    ],
)
def test_the_grain_is_a_sentence_of_the_description(description: str, sentence: str) -> None:
    assert grain(description) == sentence


def test_a_resource_without_details_is_an_asset() -> None:
    node: dict[str, Any] = {
        **{"unique_id": "model.p.a.v2", "name": "a", "resource_type": "model"},
        **{"original_file_path": "models/a.sql", "schema": "m"},
    }
    manifest = {"nodes": {"model.p.a.v2": node}, "sources": {}, "exposures": {}}
    assert read_assets(manifest) == {
        "model.p.a.v2": Asset(
            unique_id="model.p.a.v2",
            page="model.p.a.v2",
            kind="model",
            name="a.v2",
            location="m.a",
            columns=[],
            tests=[],
            tags=[],
            upstream=[],
            downstream=[],
            file="dbt/models/a.sql",
        )
    }
