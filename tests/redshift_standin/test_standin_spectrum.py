"""External tables read files on S3: partitions, pruning, new files, types, and refusals."""

from __future__ import annotations

import gzip
import json
import time
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest

from tests.redshift_standin import Fault
from tests.redshift_standin.conftest import Connect, Lake

DAYS = "partitioned by (year varchar(16), month varchar(16), day varchar(16))"
CSV = "row format serde 'org.apache.hadoop.hive.serde2.OpenCSVSerde' stored as textfile"
JSON = "row format serde 'org.openx.data.jsonserde.JsonSerDe' stored as textfile"


def put_day(lake: Lake, day: str, *ids: str, file: str = "a") -> None:
    year, month, number = day.split("-")
    lake.put_parquet(
        f"events/year={year}/month={month}/day={number}/{file}.parquet",
        id=pa.array(ids, pa.string()),
        at=pa.array(range(len(ids)), pa.int64()),
    )


@pytest.fixture
def events(lake: Lake) -> str:
    name = lake.create("events", "id varchar(64), at bigint", DAYS)
    for day in ("2026-10-31", "2026-11-01", "2026-11-02"):
        put_day(lake, day, f"{day} x", f"{day} y")
        lake.add_days("events", day)
    return name


@pytest.mark.parametrize(
    ("condition", "days"),
    [
        ("year = '2026' and month = '11' and day = '01'", ["11/day=01"]),
        ("year = '2026' and month = '11' and day in ('01', '02')", ["11/day=01", "11/day=02"]),
        (
            "((year = '2026' and month = '10' and day in ('31')) "
            "or (year = '2026' and month = '11' and day in ('01')))",
            ["10/day=31", "11/day=01"],
        ),
        ("year between '0000' and '9999'", ["10/day=31", "11/day=01", "11/day=02"]),
        ("year = 'no touched day'", []),
    ],
)
def test_only_matching_partitions_are_read(
    lake: Lake, events: str, condition: str, days: list[str]
) -> None:
    rows, scan = lake.scan(f"select count(*) from {events} where {condition}")
    assert rows == [[2 * len(days)]]
    assert scan.partitions == [f"year=2026/month={day}" for day in days]
    assert len(scan.files) == len(days)
    assert scan.total_partitions == 3
    assert scan.table == events


def test_partitions_are_pruned_through_a_late_binding_view(
    lake: Lake, events: str, schema: str
) -> None:
    lake.sql(
        f"create view {schema}.v as with e as (select id, json_extract_path_text(id, 'x', "
        f"true) as x, "
        f"year, month, day from {events}) select *, upper(id) as shout from e with no "
        f"schema binding"
    )
    rows, scan = lake.scan(
        f"select shout from {schema}.v where year = '2026' and month = '11' and day = '02' "
        f"order by 1"
    )
    assert rows == [["2026-11-02 X"], ["2026-11-02 Y"]]
    assert scan.partitions == ["year=2026/month=11/day=02"]
    lake.sql(
        f"create table {schema}.made as select * from {schema}.v where year = '2026' and "
        f"month = '10'"
    )
    assert lake.sql.value(f"select count(*) from {schema}.made") == 2


def test_the_log_views_list_the_scan(lake: Lake, events: str) -> None:
    lake.sql("set query_group to 'scan log'")
    lake.sql(f"select count(*) from {events} where year = '2026' and month = '10'")
    assert lake.sql(
        "select d.table_name, d.total_partitions, d.qualified_partitions, d.scanned_files, "
        "d.returned_rows "
        "from sys_external_query_detail d join sys_query_history h on h.query_id = d.query_id "
        "where h.query_label = 'scan log'"
    ) == [[events, 3, 1, 1, 2]]
    lake.sql("reset query_group")


def test_a_query_reads_new_changed_and_deleted_files(lake: Lake, events: str) -> None:
    count = f"select count(*) from {events} where year = '2026' and month = '11' and day = '01'"
    assert lake.sql.value(count) == 2
    put_day(lake, "2026-11-01", "new", file="b")
    assert lake.sql.value(count) == 3
    put_day(lake, "2026-11-01", "changed", "changed", "changed")
    assert lake.sql.value(count) == 4
    lake.delete("events/year=2026/month=11/day=01/a.parquet")
    assert lake.sql.value(count) == 1
    # A query does not read the files of a partition that is not registered.
    put_day(lake, "2026-11-09", "unregistered")
    assert lake.sql.value(f"select count(*) from {events} where day = '09'") == 0
    lake.add_days("events", "2026-11-09")
    assert lake.sql.value(f"select count(*) from {events} where day = '09'") == 1


def test_a_transaction_reads_new_files(lake: Lake, events: str) -> None:
    lake.sql("begin")
    lake.sql(f"select count(*) from {events} where year = '2026'")
    put_day(lake, "2026-11-01", "new", file="b")
    assert lake.sql.value(f"select count(*) from {events} where day = '01'") == 3
    lake.sql("commit")


def test_hidden_files_empty_files_and_other_folders_are_not_read(lake: Lake, events: str) -> None:
    prefix = "events/year=2026/month=11/day=01"
    for name in ("_SUCCESS", ".hidden", "#x", "x~", "_temporary/part.parquet"):
        lake.put(f"{prefix}/{name}", b"not a Parquet file")
    lake.put(f"{prefix}/empty.parquet", b"")
    assert lake.sql.value(f"select count(*) from {events} where day = '01'") == 2
    # Subfolders are read. A location with a doubled slash is another folder. A partition whose
    # folder does not exist is empty.
    put_day(lake, "2026-11-01", "below", file="sub/b")
    assert lake.sql.value(f"select count(*) from {events} where day = '01'") == 3
    lake.sql(
        f"alter table {events} add partition (year='2026', month='12', day='01') "
        f"location 's3://{lake.bucket}/events//year=2026/month=11/day=01/' "
        f"partition (year='2026', month='12', day='02') location 's3://{lake.bucket}/nothing/here'"
    )
    assert lake.sql.value(f"select count(*) from {events} where month = '12'") == 0
    lake.sql(
        f"alter table {events} partition (year='2026', month='12', day='02') "
        f"set location 's3://{lake.bucket}/events/year=2026/month=10/day=31'"
    )
    assert lake.sql(f"select distinct month from {events} where month = '12'") == [["12"]]


def test_pseudo_columns_give_path_and_size(lake: Lake, events: str) -> None:
    rows = lake.sql(f'select distinct "$path", "$size" > 0 from {events} where day = \'31\'')
    assert rows == [[f"s3://{lake.bucket}/events/year=2026/month=10/day=31/a.parquet", True]]
    assert len(lake.sql(f"select * from {events} limit 1")[0]) == 5


def test_partitions_are_added_and_dropped(lake: Lake, events: str) -> None:
    one = "partition (year='2026', month='11', day='01')"
    location = f"location 's3://{lake.bucket}/events/year=2026/month=11/day=01/'"
    assert (
        lake.sql.error(f"alter table {events} add {one} {location}")
        == "42710 Partition already exists."
    )
    lake.sql(f"alter table {events} drop {one}")
    assert lake.sql.value(f"select count(*) from {events} where year = '2026'") == 4
    assert lake.sql.error(f"alter table {events} drop {one}") == "42704 Partition does not exist."
    assert lake.sql.error(f"alter table {events} drop if exists {one}").startswith("42601")
    assert lake.sql.error(f"alter table {events} drop {one}, {one}").startswith("42601")
    many = " ".join(
        f"partition (year='2027', month='01', day='{n}') location 's3://{lake.bucket}/x/'"
        for n in range(101)
    )
    assert "100 partitions" in lake.sql.error(f"alter table {events} add {many}")
    assert lake.sql(
        f"select \"values\" from svv_external_partitions where schemaname = '{lake.schema}' "
        f"order by 1"
    ) == [['["2026","10","31"]'], ['["2026","11","02"]']]


def test_external_ddl_is_refused_in_a_transaction(lake: Lake, events: str) -> None:
    for statement, what in (
        (
            (f"create external table {lake.schema}.t (a int) stored as parquet location 's3://x/'"),
            "CREATE EXTERNAL TABLE",
        ),
        (
            (f"alter table {events} drop partition (year='2026', month='11', day='01')"),
            "ALTER EXTERNAL TABLE",
        ),
        (f"alter table {events} add column c int", "ALTER EXTERNAL TABLE"),
        (f"drop table {events}", "DROP EXTERNAL TABLE"),
    ):
        lake.sql("begin")
        assert lake.sql.error(statement) == f"25001 {what} cannot run inside a transaction block"
        lake.sql("rollback")


def test_columns_are_added_and_dropped(lake: Lake, events: str) -> None:
    assert lake.sql.value(f"select count(*) from {events} where day = '01'") == 2
    lake.sql(f"alter table {events} add column extra varchar(10)")
    lake.put_parquet("events/year=2026/month=11/day=01/b.parquet", ID=["z"], extra=["more"])
    assert lake.sql(f"select id, at, extra from {events} where day = '01' order by id") == [
        ["2026-11-01 x", 0, None],
        ["2026-11-01 y", 1, None],
        ["z", None, "more"],
    ]
    lake.sql(f"alter table {events} drop column at")
    assert lake.sql.error(f"select at from {events}").startswith("42703")
    assert len(lake.sql(f"select * from {events} where day = '01'")) == 3
    assert lake.sql.error(f"alter table {events} drop column day").startswith("0A000")


@pytest.mark.parametrize(
    ("declared", "written", "schema_of_file"),
    [
        ("bigint", pa.array([1], pa.int32()), "optional int32 x [i:0 d:1 r:0]"),
        ("integer", pa.array([1], pa.int64()), "optional int64 x [i:0 d:1 r:0]"),
        ("varchar(20)", pa.array([1], pa.int64()), "optional int64 x [i:0 d:1 r:0]"),
        ("bigint", pa.array(["1"]), "optional byte_array x [i:0 d:1 r:0]"),
        ("double precision", pa.array([1.0], pa.float32()), "optional float x [i:0 d:1 r:0]"),
        ("decimal(18,4)", pa.array([1.0]), "optional double x [i:0 d:1 r:0]"),
        ("date", pa.array(["2026-01-01"]), "optional byte_array x [i:0 d:1 r:0]"),
    ],
)
def test_a_wrong_parquet_type_is_refused(
    lake: Lake, declared: str, written: pa.Array[Any], schema_of_file: str
) -> None:
    name = lake.create("t", f"x {declared}")
    lake.put_parquet("t/f.parquet", x=written)
    error = lake.sql.error(f"select * from {name}")
    assert error.startswith("XX000 Spectrum Scan Error")
    assert (
        f"has an incompatible Parquet schema for column 's3://{lake.bucket}/t/f.parquet.x'. "
        f"Column type: {declared.upper()}, Parquet schema:\n{schema_of_file}"
    ) in error


def test_parquet_types_that_fit_are_read(lake: Lake) -> None:
    name = lake.create(
        "t",
        "s smallint, i int, b bigint, d decimal(18,4), f double precision, r real, o boolean, "
        "v varchar(20), y varbyte(20), a date, t timestamp",
    )
    lake.put_parquet(
        "t/f.parquet",
        s=pa.array([1, None], pa.int16()),
        i=pa.array([2, None], pa.int32()),
        b=pa.array([3, None], pa.int64()),
        d=pa.array([4, None], pa.decimal128(18, 4)),
        f=[0.5, None],
        r=pa.array([0.25, None], pa.float32()),
        o=[True, None],
        v=['"ä\n,', ""],
        y=[b"\x00\xff", None],
        a=[date(2026, 1, 2), None],
        t=pa.array([0, None], pa.timestamp("us")),
    )
    first, second = lake.sql(
        f"select s, i, b, d, f, r, o, v, a, octet_length(y) from {name} order by s"
    )
    assert first[:3] + first[4:] == [1, 2, 3, 0.5, 0.25, True, '"ä\n,', date(2026, 1, 2), 2]
    assert second == [None] * 7 + [""] + [None] * 2


@pytest.mark.parametrize(
    ("handling", "rows"),
    [
        ("", None),
        ("'data_cleansing_enabled'='true', 'surplus_char_handling'='FAIL'", None),
        ("'data_cleansing_enabled'='true'", [[None, 1], ["äb", 2]]),
        (
            "'data_cleansing_enabled'='true', 'surplus_char_handling'='TRUNCATE'",
            [["ä", 1], ["äb", 2]],
        ),
        (
            "'data_cleansing_enabled'='true', 'surplus_char_handling'='DROP_ROW'",
            [["äb", 2], [None, None]],
        ),
    ],
)
def test_a_too_long_text_is_handled(
    lake: Lake, handling: str, rows: list[list[object]] | None
) -> None:
    properties = f"|table properties ({handling})" if handling else ""
    name = lake.create("t", "v varchar(3), n bigint", properties)
    lake.put_parquet("t/f.parquet", v=["ää", "äb"], n=[1, 2])
    if rows is None:
        error = lake.sql.error(f"select * from {name}")
        assert (
            "The length of the data column v is longer than the length defined in the table. "
            "Table: 3, Data: 4"
        ) in error
    else:
        assert lake.sql(f"select v, n from {name} order by n nulls last") == rows


def test_csv_is_read_by_position(lake: Lake) -> None:
    name = lake.create(
        "t",
        "a varchar(20), b varchar(20), c varchar(20)",
        "|table properties ('skip.header.line.count'='1')",
        CSV,
    )
    lake.put("t/one.csv", b'b,a\n1,"x, ""y""\nz"\n,\n')
    lake.put("t/two.csv.gz", gzip.compress("h,h,h\n2,ü,3,4\n".encode()))
    assert lake.sql(f"select a, b, c from {name} order by a") == [
        ["", "", None],
        ["1", 'x, "y"\nz', None],
        ["2", "ü", "3"],
    ]


def test_json_lines_are_read_by_name(lake: Lake) -> None:
    name = lake.create("t", "a varchar(20), b varchar(50), n bigint", stored=JSON)
    lines = [{"B": {"k": [1, "x"]}, "a": "1"}, {"a": None, "n": 5, "other": 1}, {"a": 1.10}]
    lake.put("t/f.jsonl.gz", gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    assert lake.sql(f"select a, b, n from {name} order by n, a") == [
        [None, None, 5],
        ["1", '{"k":[1,"x"]}', None],
        ["1.1", None, None],
    ]
    lake.put("t/bad.json", b"{not json\n")
    assert "Row is not a valid JSON Object" in lake.sql.error(f"select a from {name}")


def test_a_file_that_vanishes_after_the_listing_is_an_error(lake: Lake, events: str) -> None:
    query = f"select count(*) from {events} where day = '01'"
    lake.cluster.inject(Fault("count", "file_vanishes"))
    assert "NoSuchKey" in lake.sql.error(query)
    assert lake.sql.value(query) == 2


def test_a_missing_bucket_is_an_error(lake: Lake) -> None:
    lake.sql(
        f"create external table {lake.schema}.t (a int) stored as parquet location "
        f"'s3://not-there/t/'"
    )
    assert "NoSuchBucket" in lake.sql.error(f"select * from {lake.schema}.t")


def test_usage_on_the_schema_grants_reading_its_tables(
    lake: Lake, events: str, connect: Connect
) -> None:
    lake.sql("create user scanner password 'Passw0rd'")
    try:
        scanner = connect("scanner", "Passw0rd")
        assert (
            scanner.error(f"select * from {events}")
            == f"42501 permission denied for schema {lake.schema}"
        )
        assert scanner.error(
            f"alter table {events} drop partition (year='2026', month='11', day='01')"
        ).startswith("42501")
        assert scanner("select * from svv_external_tables") == []
        lake.sql(f"grant usage on schema {lake.schema} to scanner")
        assert scanner.value(f"select count(*) from {events} where day = '01'") == 2
        assert (
            len(scanner(f"select * from svv_external_columns where schemaname = '{lake.schema}'"))
            == 5
        )
        lake.sql(f"revoke usage on schema {lake.schema} from scanner")
    finally:
        lake.sql("drop user scanner")


def test_changes_and_bound_views_of_external_tables_are_refused(
    lake: Lake, events: str, schema: str
) -> None:
    assert lake.sql.error(f"insert into {events} values ('a', 1, 'b', 'c', 'd')").startswith(
        "0A000"
    )
    assert lake.sql.error(f"delete from {events}").startswith("0A000")
    assert lake.sql.error(f"create view {schema}.v as select id from {events}").startswith("0A000")
    assert lake.sql.error(
        f"create external table {schema}.t (a int) stored as parquet location 's3://x/'"
    ).startswith("3F000")
    # information_schema does not list external tables.
    assert (
        lake.sql(f"select * from information_schema.tables where table_schema = '{lake.schema}'")
        == []
    )


def test_a_query_on_ten_years_of_days_is_planned_quickly(lake: Lake) -> None:
    name = lake.create("events", "id varchar(64), at bigint", DAYS)
    days = [(date(2017, 1, 1) + timedelta(n)).isoformat() for n in range(3650)]
    started = time.monotonic()
    lake.add_days("events", *days)
    registered = time.monotonic()
    put_day(lake, "2026-01-05", "x")
    rows, scan = lake.scan(
        f"select count(*) from {name} where year = '2026' and month = '01' and day in ('05', '06')"
    )
    one = time.monotonic()
    assert (rows, len(scan.partitions), scan.total_partitions) == ([[1]], 2, 3650)
    rows, scan = lake.scan(f"select count(*) from {name} where year between '0000' and '9999'")
    whole = time.monotonic()
    assert (rows, len(scan.partitions)) == ([[1]], 3650)
    print(
        f"registered {registered - started:.1f} s, one day {one - registered:.2f} s, all "
        f"{whole - one:.2f} s"
    )
    assert one - registered < 2


def test_a_hundred_thousand_rows_load_quickly(lake: Lake) -> None:
    name = lake.create("t", "id varchar(64), payload varchar(65535), at bigint")
    count = 100_000
    lake.put_parquet(
        "t/f.parquet",
        id=[f"event {n}" for n in range(count)],
        payload=[json.dumps({"level": n, "text": 'a "quoted" one'}) for n in range(count)],
        at=pa.array(range(count), pa.int64()),
    )
    started = time.monotonic()
    assert lake.sql.value(f"select count(*) from {name}") == count
    loaded = time.monotonic()
    assert (
        lake.sql.value(
            f"select max(at) from {name} where json_extract_path_text(payload, 'level') = '7'"
        )
        == 7
    )
    print(f"first query {loaded - started:.2f} s, second {time.monotonic() - loaded:.2f} s")
    assert loaded - started < 15


def test_a_materialized_view_reads_external_files_when_it_is_created(
    lake: Lake, events: str, schema: str
) -> None:
    lake.sql(f"create materialized view {schema}.m as select id from {events} where day = '31'")
    assert lake.sql.value(f"select count(*) from {schema}.m") == 2
    assert "Seq Scan" in str(lake.sql(f"explain select id from {events} where day = '31'"))
