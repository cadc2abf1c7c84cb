"""The graph that the lineage page holds: every asset, column and edge, each once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from include.site.assets import Asset, read_assets
from include.site.lineage import ColumnLineage, Unresolved, column_lineage
from include.site.lineage.edges import Column
from include.site.lineage.page import graph, lineage_page

RUN = {"run_id": "r"}
HOSTILE = "</script><b onmouseover=alert(1)>\"'`{{ 7 * 7 }}"


def project(name: str = "report") -> dict[str, Any]:
    """A source, two models and an exposure; the second model has a name of its own."""
    models = {
        "bets": "select id, amount * 2 as turnover from s.raw where amount > 0",
        name: "select turnover from m.bets",
    }
    nodes: dict[str, Any] = {}
    for model, sql in models.items():
        nodes[f"model.p.{model}"] = {
            **{"unique_id": f"model.p.{model}", "name": model, "alias": model, "schema": "m"},
            **{"resource_type": "model", "database": "db", "columns": {}},
            **{"config": {"materialized": "table"}, "compiled_code": sql},
            "original_file_path": f"models/{model}.sql",
            "depends_on": {"nodes": [*nodes] or ["source.p.s.raw"]},
        }
    columns = {column: {"name": column} for column in ("id", "amount")}
    return {
        "nodes": nodes,
        "sources": {
            "source.p.s.raw": {
                **{"unique_id": "source.p.s.raw", "name": "raw", "identifier": "raw"},
                **{"resource_type": "source", "database": "db", "schema": "s", "config": {}},
                **{"columns": columns, "original_file_path": "models/s.yml"},
            }
        },
        "exposures": {
            "exposure.p.board": {
                **{"unique_id": "exposure.p.board", "name": "board", "label": "Board"},
                **{"resource_type": "exposure", "owner": {"name": "A"}, "config": {}},
                "original_file_path": "models/e.yml",
                "depends_on": {"nodes": [f"model.p.{name}"]},
            }
        },
    }


def made(manifest: Mapping[str, Any]) -> tuple[dict[str, Asset], ColumnLineage]:
    return read_assets(manifest), column_lineage(manifest, "duckdb")


def steps(data: Mapping[str, Any]) -> set[tuple[str, str, str, str]]:
    """The edges of a graph, with the names of nodes and columns."""
    names = [f"{node['name']}.{column}" for node in data["nodes"] for column in node["columns"]]
    return {
        (names[origin], names[target], data["kinds"][kind], data["texts"][expression])
        for origin, target, kind, _, expression in data["edges"]
    }


def test_the_graph_reaches_from_the_folder_to_the_exposure() -> None:
    data = graph(*made(project()))
    ranks = {node["name"]: (node["kind"], node["rank"]) for node in data["nodes"]}
    assert ranks == {
        "raw/": ("folder", 0),
        "s.raw": ("external table", 1),
        "bets": ("model", 2),
        "report": ("model", 3),
        "Board": ("exposure", 4),
    }
    names = [node["name"] for node in data["nodes"]]
    assert {(names[start], names[end]) for start, end in data["links"]} == {
        ("raw/", "s.raw"),
        ("s.raw", "bets"),
        ("bets", "report"),
        ("report", "Board"),
    }


def test_each_edge_has_its_kind_and_expression() -> None:
    found = steps(graph(*made(project())))
    assert {edge[:3] for edge in found} == {
        ("s.raw.id", "bets.id", "value"),
        ("s.raw.amount", "bets.turnover", "value"),
        ("s.raw.amount", "bets.*", "filter"),
        ("bets.turnover", "report.turnover", "value"),
    }
    (expression,) = {edge[3] for edge in found if edge[1] == "bets.turnover"}
    assert re.fullmatch(r'"?\w*"?\.?"?amount"? \* 2', expression), expression


def test_the_page_holds_hostile_names_as_text() -> None:
    """Neither the block of JSON nor an element ends early, and no template is evaluated."""
    assets, lineage = made(project())
    hostile = {"model.p.report": assets["model.p.report"]}
    asset = hostile["model.p.report"]
    assets["model.p.report"] = type(asset)(**{**vars(asset), "name": HOSTILE})
    unresolved = [Unresolved(Column("model.p.report", HOSTILE), HOSTILE)]
    page = lineage_page(RUN, assets, ColumnLineage(lineage.columns, lineage.edges, unresolved))
    assert HOSTILE not in page
    assert "<b onmouseover" not in page
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert block
    assert HOSTILE in [node["name"] for node in json.loads(block[1])["nodes"]]
    assert "Columns whose origin is not known: 1" in page
    assert "{{ 7 * 7 }}" in page


def test_a_project_without_lineage_still_has_its_data_sets() -> None:
    assets, _ = made(project())
    data = graph(assets, ColumnLineage({}, (), ()))
    assert [node["columns"] for node in data["nodes"] if node["name"] == "s.raw"] == [
        ["id", "amount"]
    ]
    assert data["edges"] == []
