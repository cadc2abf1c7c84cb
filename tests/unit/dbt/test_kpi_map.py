"""The seed `kpi_map` names columns that exist, and its cells are sentences that fit."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache

import pytest

from include.manifest import Manifest
from include.settings import ROOT

MAP = ROOT / "dbt" / "seeds" / "kpi_map.csv"
COLUMNS = (
    *("vendor", "kpi_list", "kpi_name", "mart", "column_name"),
    *("rows_to_read", "definition", "difference", "availability"),
)
PLACE = ("mart", "column_name", "rows_to_read")
TEXTS = ("rows_to_read", "definition", "difference")
LEAST = {
    "GameAnalytics": 90,
    "Unity Analytics": 60,
    "PlayFab": 80,
    "devtodev": 90,
    "AWS Guidance": 11,
}
"""How many rows each vendor has at least."""


@cache
def rows() -> list[Mapping[str, str]]:
    """The rows of the seed. A row with a surplus cell has the key None."""
    with MAP.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def named(row: Mapping[str, str]) -> str:
    """Vendor, list and KPI of a row, for a message."""
    return f"{row['vendor']}, {row['kpi_list']}: {row['kpi_name']}"


@cache
def columns_by_mart() -> dict[str, set[str]]:
    """The columns of each mart, from dbt's manifest."""
    manifest = Manifest.read()
    return {
        node["name"]: set(node["columns"])
        for node in manifest.nodes.values()
        if node["resource_type"] == "model" and node["fqn"][1] == "marts"
    }


def test_every_kpi_names_a_column_of_a_mart() -> None:
    assert len(columns_by_mart()) > 10
    missing = [
        f"{named(row)}: {row['mart']}.{row['column_name']}"
        for row in rows()
        if row["mart"] and row["column_name"] not in columns_by_mart().get(row["mart"], set())
    ]
    assert missing == []


def test_no_mart_but_those_of_the_manifest_is_mentioned() -> None:
    words = {
        word
        for row in rows()
        for text in TEXTS
        for word in re.findall(r"\b(?:rpt|fct|dim)_\w+", row[text])
    }
    assert words - set(columns_by_mart()) == set()


def test_every_row_has_all_cells() -> None:
    assert list(rows()[0]) == list(COLUMNS)
    assert [named(row) for row in rows() if None in row or None in row.values()] == []
    cells = [(named(row), cell) for row in rows() for cell in row.values()]
    assert [cell for cell in cells if cell[1] != " ".join(cell[1].split())] == []


def test_only_what_is_available_has_a_place() -> None:
    for row in rows():
        filled = [bool(row[column]) for column in PLACE]
        assert row["availability"] in {"available", "derived", "not_available"}, named(row)
        assert filled == [row["availability"] != "not_available"] * len(PLACE), named(row)
        assert not (row["availability"] == "not_available" and row["difference"]), named(row)
        assert row["definition"], named(row)


@pytest.mark.parametrize("column", TEXTS)
def test_texts_are_sentences_that_fit(column: str) -> None:
    texts = {row[column] for row in rows() if row[column]}
    assert [text for text in texts if not re.fullmatch(r"[A-Za-z0-9].*\.", text)] == []
    assert [text for text in texts if len(text.encode()) > 512] == []


def test_no_kpi_is_there_twice() -> None:
    written = Counter(named(row) for row in rows())
    assert [name for name, count in written.items() if count > 1] == []


def test_the_lists_of_all_vendors_are_there() -> None:
    counts = Counter(row["vendor"] for row in rows())
    assert set(counts) == set(LEAST)
    assert {vendor: counts[vendor] for vendor in LEAST if counts[vendor] < LEAST[vendor]} == {}
