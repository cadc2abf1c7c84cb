"""Column lineage of the whole project on both engines, and of small projects with odd nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("dbt.adapters.duckdb", reason="runs in the dbt environment")

from include.manifest import BUILT_TYPES
from include.site.lineage import ROWS, Column, Kind, column_lineage
from tests.support.compiled_project import DIALECTS, compiled_manifest
from tests.support.hand_checked_lineage import OTHERS, VALUES


class Lineage:
    """The lineage of the project on one engine, with names as a person writes them."""

    def __init__(self, target: str, folder: Path) -> None:
        self.manifest = compiled_manifest(target, folder)
        self.found = column_lineage(self.manifest, DIALECTS[target])
        self.edges = {
            (str(edge.kind), named(edge.origin, edge.path), named(edge.target))
            for edge in self.found.edges
        }


def named(column: Column, path: str = "") -> str:
    name = f"{column.unique_id.rsplit('.', 1)[-1]}.{column.name}"
    return f"{name} [{path}]" if path else name


@pytest.fixture(scope="module", params=DIALECTS)
def lineage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    return Lineage(request.param, tmp_path_factory.mktemp(request.param))


def test_every_column_resolves(lineage: Lineage) -> None:
    assert lineage.found.unresolved == []
    for unique_id, node in lineage.manifest["nodes"].items():
        if node["resource_type"] in BUILT_TYPES:
            columns = lineage.found.columns[unique_id]
            assert set(columns) == set(node["columns"]), unique_id
            assert len(columns) == len(set(columns)), unique_id


def test_every_edge_is_between_columns_that_exist(lineage: Lineage) -> None:
    columns = lineage.found.columns
    for edge in lineage.found.edges:
        assert edge.origin.name in columns[edge.origin.unique_id], edge
        assert edge.target.name in {*columns[edge.target.unique_id], ROWS}, edge


def test_a_figure_is_followed_to_the_sources(lineage: Lineage) -> None:
    column = Column("model.game_analytics.rpt_daily_kpis", "revenue")
    sources = {
        named(origin)
        for origin in lineage.found.upstream(column)
        if origin.unique_id.startswith(("source.", "seed."))
    }
    assert sources == {"raw_events.event_data", "currency_exchange.baserateeuro"}


def test_the_values_are_those_that_a_person_has_read_from_the_sql(lineage: Lineage) -> None:
    found = {
        target: {
            origin for kind, origin, into in lineage.edges if (kind, into) == ("value", target)
        }
        for target in VALUES
    }
    assert found == VALUES


def test_other_uses_are_those_that_a_person_has_read_from_the_sql(lineage: Lineage) -> None:
    assert sum(map(len, VALUES.values())) + len(OTHERS) > 100
    assert [use for use in OTHERS if use not in lineage.edges] == []


def test_an_expression_shows_each_step_that_is_more_than_a_name(lineage: Lineage) -> None:
    (edge,) = (
        edge
        for edge in lineage.found.into[Column("model.game_analytics.rpt_betting", "ggr")]
        if edge.kind is Kind.VALUE
    )
    sums, cast = edge.expressions
    assert "SUM(CASE WHEN TRUE THEN bets.gross_result END)" in sums
    assert cast == "CAST(summed.ggr AS DECIMAL(18, 4))"
    (edge,) = lineage.found.into[Column("model.game_analytics.rpt_daily_kpis", "dau")]
    assert edge.expression == ""
