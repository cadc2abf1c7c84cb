"""The check of Parquet files tells schemas apart and names the first wrong file."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="runs in dbt's environment")

import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.files import check_files
from include.lake.sources import Source
from include.lake.storage.folder import FolderLake
from include.settings import UserError

EVENTS = Source(
    "source.p.e.raw_events",
    "raw_events",
    ("year", "month", "day"),
    {"event_id": "varchar(64)", "number": "bigint"}
    | dict.fromkeys(("year", "month", "day"), "varchar(16)"),
)
FOLDER = "raw_events/year=2026/month=09/day=01"


def schemas(lake: Path, *tables: pa.Table, strict: bool = False) -> list[str]:
    """The names of the schemas of files with these tables."""
    for number, table in enumerate(tables):
        path = lake / FOLDER / f"{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
    opened = FolderLake(lake)
    found = check_files(opened, EVENTS, opened.files(EVENTS), strict=strict)
    assert [file.row_count for file in found.values()] == [table.num_rows for table in tables]
    return [file.schema for file in found.values()]


def struct(name: str) -> pa.Table:
    """A table with a column of the given name, which has one field `x`."""
    return pa.table({name: pa.array([{"x": 1}])})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(pa.table({"event_id": ["a"]}), pa.table({"number": ["a"]}), id="names"),
        pytest.param(pa.table({"number": [1]}), pa.table({"number": ["a"]}), id="types"),
        pytest.param(
            pa.table({"event_id": ["a"], "number": [1]}),
            pa.table({"number": [1], "event_id": ["a"]}),
            id="order",
        ),
        # The leaves of both files have the same name and type.
        pytest.param(struct("event_id"), struct("number"), id="groups"),
    ],
)
def test_files_of_different_schemas_have_different_names(
    tmp_path: Path, one: pa.Table, other: pa.Table
) -> None:
    first, second, third = schemas(tmp_path, one, other, one)
    assert first == third
    assert first != second


def test_the_name_of_a_schema_is_the_same_in_every_process(tmp_path: Path) -> None:
    table = pa.table({"event_id": ["a"]})
    assert schemas(tmp_path / "one", table) == schemas(tmp_path / "two", table)


def test_the_first_file_of_a_wrong_type_is_named(tmp_path: Path) -> None:
    good, wrong = pa.table({"number": [1]}), pa.table({"number": ["a"]})
    with pytest.raises(UserError, match=r"1\.parquet: column number is string, .* bigint"):
        schemas(tmp_path, good, wrong, wrong, good, strict=True)
