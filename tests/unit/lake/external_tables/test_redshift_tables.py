"""The statements that create and update external tables, and the tables that are refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redshift_connector", reason="runs in dbt's environment")
pytest.importorskip("duckdb", reason="runs in dbt's environment")

from include.lake.external_tables.redshift import create_external_tables
from include.lake.listing import list_lake
from include.lake.sources import ROW_COLUMNS, Source
from include.lake.storage.folder import FolderLake
from include.settings import Settings, UserError

EVENTS = Source(
    "source.p.e.raw_events",
    "raw_events",
    ("year", "month", "day"),
    {"event_id": "varchar(1024)", "event_timestamp": "bigint", "line": "varbyte(1024000)"}
    | dict.fromkeys(("year", "month", "day"), "varchar(16)"),
)
DATE = {"date": "varchar(16)"}
SETTINGS = Settings(target="redshift", lake="s3://b/lake", schema_prefix="ann_")
ROLE = "arn:aws:iam::123456789012:role/spectrum"


class Catalog:
    """A database that answers from a Glue catalog, and keeps the statements that change it."""

    def __init__(self, tables: Sequence[tuple[Any, ...]] = (), columns: Any = ()) -> None:
        self.tables = list(tables)
        self.columns = list(columns)
        self.partitions: list[tuple[str, str]] = []
        self.schemas: list[tuple[int]] = [(1,)]
        self.executed: list[str] = []

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        assert list(values) == ["ann_spectrum"]
        for view, rows in {
            "svv_external_schemas": self.schemas,
            "svv_external_tables": self.tables,
            "svv_external_columns": sorted(self.columns, key=lambda column: column[3]),
            "svv_external_partitions": self.partitions,
        }.items():
            if view in sql:
                return list(rows)
        raise AssertionError(sql)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        assert not values
        self.executed.append(sql)

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        raise AssertionError(f"{table} is no external table: {rows}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        raise AssertionError("external DDL cannot run inside a transaction")
        yield


def exists(source: Source, location: str = "", kind: str = "parquet", **types: str) -> Catalog:
    """A catalog in which the source's table exists."""
    columns = {name: kind.lower() for name, kind in source.columns.items()} | types
    return Catalog(
        [(source.name, location or f"s3://b/lake/{source.rows_folder('ann_')}/", kind, None)],
        [
            (source.name, name, declared, source.partition_columns.index(name) + 1)
            if name in source.partition_columns
            else (source.name, name, declared, 0)
            for name, declared in columns.items()
        ],
    )


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for day in ("01", "02"):
        write(tmp_path / f"raw_events/year=2026/month=09/day={day}/a.parquet")
    return tmp_path


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")


def create(catalog: Catalog, lake: Path, *sources: Source, **options: Any) -> list[str]:
    listing = list_lake(FolderLake(lake), sources, options.get("since"))
    settings = options.pop("settings", SETTINGS)
    return create_external_tables(catalog, settings, FolderLake(lake), sources, listing, **options)


def test_schema_table_and_partitions_are_created(lake: Path) -> None:
    catalog = Catalog()
    catalog.schemas = []
    done = create(catalog, lake, EVENTS)
    schema, table, partitions = catalog.executed
    assert "from data catalog database 'ann_game_analytics' iam_role default" in schema
    assert schema.endswith("create external database if not exists")
    assert 'create external table ann_spectrum.raw_events ("event_id" varchar(1024), ' in table
    assert '"line" varbyte(1024000)) partitioned by ("year" varchar(16), ' in table
    assert "stored as parquet location 's3://b/lake/raw_events/'" in table
    assert "'surplus_char_handling'='TRUNCATE'" in table
    assert partitions.startswith(
        "alter table ann_spectrum.raw_events add if not exists "
        "partition (year='2026', month='09', day='01') "
        "location 's3://b/lake/raw_events/year=2026/month=09/day=01/' partition ("
    )
    assert done[-1] == (
        "registered 2 partitions (2026-09-01 to 2026-09-02) of ann_spectrum.raw_events"
    )


def test_the_role_of_the_settings_is_used(lake: Path) -> None:
    catalog = Catalog()
    catalog.schemas = []
    settings = Settings(
        target="redshift", lake="s3://b/lake", schema_prefix="ann_", spectrum_role=ROLE
    )
    create(catalog, lake, EVENTS, settings=settings)
    assert f"iam_role '{ROLE}'" in catalog.executed[0]


def test_an_unchanged_lake_changes_nothing(lake: Path) -> None:
    catalog = exists(EVENTS, line="binary")
    catalog.partitions = [
        ("raw_events", '["2026","09","01"]'),
        ("raw_events", '["2026","09","02"]'),
        ("raw_events", '["whatever"]'),
    ]
    assert create(catalog, lake, EVENTS) == []
    assert catalog.executed == []


def test_partitions_are_registered_in_batches_of_a_hundred(tmp_path: Path) -> None:
    first = date(2026, 1, 1).toordinal()
    for day in map(date.fromordinal, range(first, first + 250)):
        write(tmp_path / f"raw_events/year={day:%Y}/month={day:%m}/day={day:%d}/a.parquet")
    catalog = exists(EVENTS, line="binary")
    create(catalog, tmp_path, EVENTS)
    assert [sql.count("partition (") for sql in catalog.executed] == [100, 100, 50]


def test_a_partition_without_files_is_dropped_unless_it_was_not_listed(lake: Path) -> None:
    catalog = exists(EVENTS, line="binary")
    catalog.partitions = [
        ("raw_events", f'["2026","0{month}","0{day}"]')
        for month, day in ((8, 1), (9, 1), (9, 2), (9, 3))
    ]
    drop = "alter table ann_spectrum.raw_events drop partition "
    create(catalog, lake, EVENTS)
    assert catalog.executed == [
        f"{drop}(year='2026', month='08', day='01')",
        f"{drop}(year='2026', month='09', day='03')",
    ]
    catalog.executed.clear()
    # Days before the bound are not in the listing, so they stay.
    create(catalog, lake, EVENTS, since=date(2026, 9, 1))
    assert catalog.executed == [f"{drop}(year='2026', month='09', day='03')"]


def test_a_new_column_of_the_source_is_added(lake: Path) -> None:
    catalog = exists(EVENTS)
    catalog.columns = [column for column in catalog.columns if column[1] != "line"]
    done = create(catalog, lake, EVENTS)
    alter = 'alter table ann_spectrum.raw_events add column "line" varbyte(1024000)'
    assert catalog.executed[0] == alter
    assert done[0] == "added column line to external table ann_spectrum.raw_events"


@pytest.mark.parametrize(
    ("catalog", "fault"),
    [
        (exists(EVENTS, event_timestamp="int"), "column event_timestamp is int, not bigint"),
        (exists(EVENTS, kind="org.apache.hadoop.hive.serde2.OpenCSVSerde"), "not read Parquet"),
        (exists(EVENTS, surplus="string"), "no source column surplus"),
        (exists(EVENTS, "s3://b/other/"), "it is at s3://b/other/, not at s3://b/lake/raw_"),
        (
            exists(Source("s", "raw_events", ("day", "year", "month"), EVENTS.columns)),
            r"it is partitioned by \(day, year, month\), not by \(year, month, day\)",
        ),
    ],
)
def test_a_table_that_differs_in_more_is_refused(lake: Path, catalog: Catalog, fault: str) -> None:
    with pytest.raises(UserError, match=f"ann_spectrum.raw_events differs .*{fault}.*drop table"):
        create(catalog, lake, EVENTS)
    assert catalog.executed == []


BETS = Source(
    "s", "game_transactions", ("date",), {"a": "varchar(8)", "b": "varchar(8)"} | ROW_COLUMNS | DATE
)


def test_a_parsed_source_reads_the_folder_of_its_rows(tmp_path: Path) -> None:
    write(tmp_path / "game_transactions/date=2026-09-02/a.csv")
    catalog = Catalog()
    create(catalog, tmp_path, BETS)
    table, partition = catalog.executed
    folder = "s3://b/lake/ledger_rows/prefix=ann_/game_transactions/"
    assert '("a" varchar(8), "b" varchar(8), "file_name" varchar(1024), "line_number" big' in table
    assert f"stored as parquet location '{folder}' table properties" in table
    assert partition.endswith(f"partition (date='2026-09-02') location '{folder}date=2026-09-02/'")
    assert BETS.rows_folder("") == "ledger_rows/game_transactions"


@pytest.mark.parametrize("kind", ["parquet", "org.apache.hadoop.hive.serde2.OpenCSVSerde"])
def test_a_table_that_reads_raw_files_is_created_again(tmp_path: Path, kind: str) -> None:
    """A table of an earlier version has another location, other columns and often a text format.

    The days before the bound are registered too.
    """
    for day in ("2026-07-01", "2026-09-02"):
        write(tmp_path / f"game_transactions/date={day}/a.csv")
    old = Source("s", "game_transactions", ("date",), {"b": "varchar(8)", "c": "int"} | DATE)
    catalog = exists(old, "s3://b/lake/game_transactions/", kind)
    done = create(catalog, tmp_path, BETS, since=date(2026, 9, 1))
    drop, table, partitions = catalog.executed
    assert drop == "drop table ann_spectrum.game_transactions"
    assert "ledger_rows/prefix=ann_/game_transactions/" in table
    assert partitions.count("partition (") == 2
    assert "which read s3://b/lake/game_transactions/" in done[0]


def test_a_new_table_gets_the_days_before_the_bound_too(tmp_path: Path) -> None:
    for day in ("2026-07-01", "2026-09-02"):
        write(tmp_path / f"game_transactions/date={day}/a.csv")
    catalog = Catalog()
    create(catalog, tmp_path, BETS, since=date(2026, 9, 1))
    assert catalog.executed[1].count("partition (") == 2


def test_a_source_without_files_since_the_bound_keeps_its_table(tmp_path: Path) -> None:
    write(tmp_path / "game_transactions/date=2026-07-01/a.csv")
    catalog = exists(BETS)
    catalog.partitions = [("game_transactions", '["2026-07-01"]')]
    assert create(catalog, tmp_path, BETS, since=date(2026, 9, 1)) == []
    assert catalog.executed == []
