"""A lake in S3 is listed and checked like a lake in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="runs in dbt's environment")
pytest.importorskip("duckdb", reason="runs in dbt's environment")

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError

from include.lake.files import check_files
from include.lake.ledger_rows.refresh import refresh_rows
from include.lake.listing import list_lake
from include.lake.sources import ROW_COLUMNS, Source
from include.lake.storage.folder import FolderLake
from include.lake.storage.lake import DataFile
from include.lake.storage.s3 import S3Lake
from include.settings import UserError
from tests.support.ministack import MiniStack

BUCKET = "a-lake"
FIXED = datetime(2026, 9, 1, tzinfo=UTC).replace(tzinfo=None)
TEXT = "varchar(1024)"
EVENTS = Source(
    "source.p.e.raw_events",
    "raw_events",
    ("year", "month", "day"),
    {"event_id": TEXT, "event_timestamp": "bigint"} | dict.fromkeys(("year", "month", "day"), TEXT),
)
BETS = Source("source.p.l.game_transactions", "game_transactions", ("date",), {"betid": TEXT})
GAMES = Source("source.p.l.games", "games", (), {"id": TEXT} | ROW_COLUMNS)
SOURCES = [EVENTS, BETS, GAMES]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack.start(tmp_path_factory.mktemp("ministack")) as emulator:
        yield emulator


@pytest.fixture
def client(s3: MiniStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client and an empty bucket. The tested code reaches it by environment variables alone."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    client = s3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    while listed := client.list_objects_v2(Bucket=BUCKET).get("Contents"):
        client.delete_objects(
            Bucket=BUCKET, Delete={"Objects": [{"Key": entry["Key"]} for entry in listed]}
        )
    client.delete_bucket(Bucket=BUCKET)


def upload(client: Any, folder: Path, prefix: str = "lake/") -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            key = f"{prefix}{path.relative_to(folder).as_posix()}"
            client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())


def write(path: Path, content: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("since", "count"),
    [(None, 11), (date(2026, 2, 1), 7), (date(2026, 8, 31), 5), (date(2027, 1, 1), 1)],
)
def test_the_listing_equals_that_of_a_folder(
    client: Any, tmp_path: Path, since: date | None, count: int
) -> None:
    for day in ("2025-12-31", "2026-01-31", "2026-08-30", "2026-08-31", "2026-09-01"):
        year, month, number = day.split("-")
        write(tmp_path / f"raw_events/year={year}/month={month}/day={number}/a.parquet", b"123")
        write(tmp_path / f"raw_events/year={year}/month={month}/day={number}/b-b.parquet")
        write(tmp_path / f"game_transactions/date={day}/my-file.csv.gz", b"12")
    write(tmp_path / "games/deep/down/g.jsonl")
    for name in ("_SUCCESS", ".a.parquet", "_tmp/a.parquet"):
        write(tmp_path / "raw_events/year=2026/month=09/day=01" / name)
    upload(client, tmp_path)
    # The AWS console and EMR create such objects for a new folder.
    for key in ("games/", "raw_events/year=2026/month=09/", "raw_events/year=2026_$folder$"):
        client.put_object(Bucket=BUCKET, Key=f"lake/{key}", Body=b"")
    in_s3 = list_lake(S3Lake(f"s3://{BUCKET}/lake"), SOURCES, since)
    in_folder = list_lake(FolderLake(tmp_path), SOURCES, since)
    assert [(p.source, p.day, p.object_count, p.byte_count) for p in in_s3.partitions] == [
        (p.source, p.day, p.object_count, p.byte_count) for p in in_folder.partitions
    ]
    assert len(in_s3.partitions) == count


@pytest.mark.parametrize("change", ["corrected", "renamed"])
def test_a_corrected_or_renamed_object_gives_the_partition_another_fingerprint(
    client: Any, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All objects get one time of change, because that of S3 has whole seconds.
    data_file = S3Lake._data_file

    def at_one_time(*arguments: Any) -> DataFile | None:
        file = data_file(*arguments)
        return file and replace(file, changed_at=FIXED)

    monkeypatch.setattr(S3Lake, "_data_file", at_one_time)

    def fingerprint() -> str | None:
        (games,) = list_lake(S3Lake(f"s3://{BUCKET}/lake"), [GAMES], None).partitions
        return games.fingerprint

    client.put_object(Bucket=BUCKET, Key="lake/games/a.csv", Body=b"id\n1\n")
    before = fingerprint()
    assert fingerprint() == before
    if change == "renamed":
        client.delete_object(Bucket=BUCKET, Key="lake/games/a.csv")
        client.put_object(Bucket=BUCKET, Key="lake/games/b.csv", Body=b"id\n1\n")
    else:
        client.put_object(Bucket=BUCKET, Key="lake/games/a.csv", Body=b"id\n2\n")
    assert fingerprint() != before


def test_more_objects_than_one_page_of_a_listing_are_found(client: Any) -> None:
    for number in range(1100):
        client.put_object(Bucket=BUCKET, Key=f"lake/games/{number}.csv", Body=b"x")
    (games,) = list_lake(S3Lake(f"s3://{BUCKET}/lake"), [GAMES], None).partitions
    assert games.object_count == 1100


def test_a_lake_may_lie_at_the_root_of_a_bucket(client: Any) -> None:
    client.put_object(Bucket=BUCKET, Key="games/a.csv", Body=b"x")
    client.put_object(Bucket=BUCKET, Key="games2/a.csv", Body=b"x")
    lake = S3Lake(f"s3://{BUCKET}")
    lake.check()
    assert [file.path for file in lake.files(GAMES)] == [f"s3://{BUCKET}/games/a.csv"]


@pytest.mark.parametrize(
    "key",
    [
        "raw_events/a.parquet",
        "raw_events/year=2026/a.parquet",
        "raw_events/year=2026/month=02/day=30/a.parquet",
        "raw_events/year=2026//month=02/day=03/a.parquet",
        "game_transactions/a.csv",
        "game_transactions/date=2026-13-01/a-b.csv",
    ],
)
def test_an_object_in_no_partition_is_named(client: Any, key: str) -> None:
    client.put_object(Bucket=BUCKET, Key=f"lake/{key}", Body=b"x")
    with pytest.raises(UserError, match=f"{key} is in no folder"):
        list_lake(S3Lake(f"s3://{BUCKET}/lake"), SOURCES, None)


@pytest.mark.usefixtures("client")
def test_a_missing_bucket_is_named() -> None:
    for ask in (lambda lake: lake.check(), lambda lake: list_lake(lake, SOURCES, None)):
        with pytest.raises(UserError, match=r"lake s3://none/x cannot be read .*make the bucket"):
            ask(S3Lake("s3://none/x"))


def test_an_unreachable_endpoint_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, s3: MiniStack
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot be reached .*a network route to AWS"):
        S3Lake("s3://none/x").check()


@pytest.mark.parametrize("columns", [2, 3000])
def test_a_footer_of_any_length_is_read(client: Any, tmp_path: Path, columns: int) -> None:
    table = pa.table({f"column_{number}": ["x"] for number in range(columns)})
    path = tmp_path / "a.parquet"
    pq.write_table(table.append_column("event_timestamp", pa.array([1], pa.int32())), path)
    day = "lake/raw_events/year=2026/month=09/day=01"
    client.put_object(Bucket=BUCKET, Key=f"{day}/a.parquet", Body=path.read_bytes())
    lake = S3Lake(f"s3://{BUCKET}/lake")
    files = list(lake.files(EVENTS))
    check_files(lake, EVENTS, files, strict=False)
    fault = "column event_timestamp is int32, but source raw_events declares bigint.*make compact"
    with pytest.raises(UserError, match=rf"s3://.*/a.parquet: {fault}"):
        check_files(lake, EVENTS, files, strict=True)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all", b"x" * 100_000])
def test_a_damaged_file_is_named(client: Any, content: bytes) -> None:
    key = "lake/raw_events/year=2026/month=09/day=01/a.parquet"
    client.put_object(Bucket=BUCKET, Key=key, Body=content)
    lake = S3Lake(f"s3://{BUCKET}/lake")
    with pytest.raises(UserError, match=rf"s3://{BUCKET}/{key} is no readable Parquet file"):
        check_files(lake, EVENTS, lake.files(EVENTS), strict=True)


@pytest.mark.parametrize("refused", ["put_object", "delete_object"])
@pytest.mark.usefixtures("client")
def test_a_refused_write_names_the_right_that_is_missing(
    refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = S3Lake(f"s3://{BUCKET}/lake")

    def refuse(**asked: str) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": str(asked)}}, refused)

    monkeypatch.setattr(lake.client, refused, refuse)
    message = r"cannot be written to .*AccessDenied.*policies/compaction_role\.json"
    with pytest.raises(UserError, match=message):
        lake.write(f"{lake.root}/a", b"x")
        lake.remove(f"{lake.root}/a")


@pytest.mark.parametrize(
    ("key", "body", "message"),
    [
        ("games/games.csv.bak", b"x", "is no data file"),
        ("games/20261120_0001_part_00", b"x", "is no data file"),
        ("games/a.csv", b"", "has 0 bytes"),
        ("raw_events/year=2026/month=09/day=01/notes.txt", b"x", "is no data file"),
    ],
)
def test_an_object_of_another_kind_is_refused_by_name(
    client: Any, key: str, body: bytes, message: str
) -> None:
    client.put_object(Bucket=BUCKET, Key=f"lake/{key}", Body=body)
    with pytest.raises(UserError, match=f"{key} {message}"):
        list_lake(S3Lake(f"s3://{BUCKET}/lake"), SOURCES, None)


def refresh(lake: S3Lake) -> list[str]:
    return refresh_rows(lake, [GAMES], list_lake(lake, [GAMES], None), None)


def stored_rows(client: Any) -> list[list[object]]:
    """The ids of each file below `ledger_rows/games/`."""
    found = client.list_objects_v2(Bucket=BUCKET, Prefix="lake/ledger_rows/games/")
    bodies = [
        client.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
        for entry in found.get("Contents", [])
    ]
    return [list(pq.read_table(pa.BufferReader(body))["id"].to_pylist()) for body in bodies]


def test_objects_are_parsed_once_and_again_when_their_etag_changes(client: Any) -> None:
    lake = S3Lake(f"s3://{BUCKET}/lake")
    client.put_object(Bucket=BUCKET, Key="lake/games/a.csv", Body=b"id\ng1\n")
    client.put_object(Bucket=BUCKET, Key="lake/games/b.jsonl", Body=b'{"ID": "g2"}\n')
    assert refresh(lake) == ["games: parsed 2 rows of 2 files"]
    assert stored_rows(client) == [["g1", "g2"]]
    # The same content again is no change, although its time is another.
    client.put_object(Bucket=BUCKET, Key="lake/games/a.csv", Body=b"id\ng1\n")
    assert refresh(lake) == []
    client.put_object(Bucket=BUCKET, Key="lake/games/a.csv", Body=b"id\ng3\n")
    assert refresh(lake) == ["games: parsed 2 rows of 2 files"]
    assert stored_rows(client) == [["g3", "g2"]]
    for name in ("a.csv", "b.jsonl"):
        client.delete_object(Bucket=BUCKET, Key=f"lake/games/{name}")
    assert refresh(lake) == []
    assert stored_rows(client) == []


def test_an_object_that_is_replaced_after_the_listing_changes_nothing(client: Any) -> None:
    lake = S3Lake(f"s3://{BUCKET}/lake")
    client.put_object(Bucket=BUCKET, Key="lake/games/a.csv", Body=b"id\ng1\n")
    refresh(lake)
    client.put_object(Bucket=BUCKET, Key="lake/games/a.csv", Body=b"id\ng2\n")
    listing = list_lake(lake, [GAMES], None)
    client.put_object(Bucket=BUCKET, Key="lake/games/a.csv", Body=b"id\ng3\n")
    with pytest.raises(UserError, match=r"^games/a\.csv was replaced while it was read: run again"):
        refresh_rows(lake, [GAMES], listing, None)
    assert stored_rows(client) == [["g1"]]
    refresh(lake)
    assert stored_rows(client) == [["g3"]]


@pytest.mark.parametrize("refused", ["PutObject", "DeleteObject"])
def test_refused_ledger_rows_name_the_policy(
    client: Any, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    lake = S3Lake(f"s3://{BUCKET}/lake")
    client.put_object(Bucket=BUCKET, Key="lake/games/a.csv", Body=b"id\ng1\n")
    refresh(lake)
    client.put_object(Bucket=BUCKET, Key="lake/games/a.csv", Body=b"id\ng2\n")
    send = lake.client._make_api_call

    def refuse(operation: str, asked: dict[str, Any]) -> Any:
        if operation == refused:
            answer = {"Error": {"Code": "AccessDenied", "Message": "no"}}
            raise ClientError(answer, operation)
        return send(operation, asked)

    monkeypatch.setattr(lake.client, "_make_api_call", refuse)
    with pytest.raises(UserError, match=r"below ledger_rows/ .*policies/airflow_role\.json"):
        refresh(lake)
    monkeypatch.undo()
    refresh(lake)
    assert stored_rows(client) == [["g2"]]
