"""The queries of the KPI report read the same rows from Redshift as from DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import duckdb

from include.site.report.queries import MARTS, read
from include.warehouse import redshift
from include.warehouse.database import Database
from include.warehouse.duckdb_file import DuckDB
from tests.support import report_marts
from tests.support.warehouse import environment

LAST = date(2026, 11, 29)
PREFIX = "report_"
ROWS_PER_INSERT = 500


def test_the_report_reads_the_same_rows(
    tmp_path: Path, login: Callable[[str], dict[str, str]]
) -> None:
    applications = {"it's \\ <b>": 35, "other": 9}
    path = report_marts.make(
        tmp_path / "w.duckdb", applications, LAST, games=["g", "h'"], has_unknown_money=True
    )
    with duckdb.connect(str(path)) as source, environment(login(PREFIX)):
        expected = read(DuckDB(source), "marts", LAST)
        with redshift.connected() as database:
            for mart in MARTS:
                _copy(source, database, mart)
            found = read(database, f"{PREFIX}marts", LAST)
    assert expected.kpis
    assert expected.games
    assert not expected.missing
    assert found == expected
    amounts = [row["revenue"] for rows in found.kpis.values() for row in rows]
    assert all(isinstance(amount, Decimal) for amount in amounts)


def _copy(source: duckdb.DuckDBPyConnection, database: Database, mart: str) -> None:
    """Create a mart with the types of its contract, and insert its rows."""
    columns = source.execute(
        "select column_name, data_type from information_schema.columns"
        " where table_schema = 'marts' and table_name = ? order by ordinal_position",
        [mart],
    ).fetchall()
    types = {"VARCHAR": "varchar(1024)", "DOUBLE": "double precision"}
    declared = ", ".join(f"{name} {types.get(kind, kind)}" for name, kind in columns)
    database.execute(f"create table {PREFIX}marts.{mart} ({declared})")
    rows = source.execute(f"from marts.{mart}").fetchall()
    for first in range(0, len(rows), ROWS_PER_INSERT):
        tuples = ", ".join(
            f"({', '.join(map(_literal, row))})" for row in rows[first : first + ROWS_PER_INSERT]
        )
        database.execute(f"insert into {PREFIX}marts.{mart} values {tuples}")


def _literal(value: Any) -> str:
    if isinstance(value, str | int | None):
        return redshift.literal(value)
    return f"date '{value}'" if isinstance(value, date) else str(value)
