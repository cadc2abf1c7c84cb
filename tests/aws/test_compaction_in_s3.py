"""However a compaction in S3 stops, no row is lost and none is twice; one process has the lock."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="runs in dbt's environment")
pytest.importorskip("duckdb", reason="runs in dbt's environment")

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError

from include.lake.compaction import s3_lock
from include.lake.compaction.compact import compact_source
from include.lake.compaction.journal import lock_path
from include.lake.compaction.moves import check_ended
from include.lake.compaction.store import open_store
from include.lake.sources import sources
from include.lake.storage.s3 import S3Lake
from include.object_store import s3_client
from include.settings import UserError
from tests.support.compaction_requests import disturbed_in_s3, upload
from tests.support.compaction_steps import AGAIN, KILL, NEW, REPLACE, UNDO
from tests.support.compactions import DAYS, EXPECTED, manifest, write_events
from tests.support.ministack import MiniStack

BUCKET = "events"
URI = f"s3://{BUCKET}/lake"
LOCK = lock_path("raw_events")
ROWS = EXPECTED[:3]
"""The rows of the lake, which has one day."""
REPLACED = sorted([*ROWS[1:], *NEW])
"""The rows of the lake after its first file was replaced."""


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
    for key in keys(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    write_events(tmp_path / "template", DAYS[:1])
    return tmp_path / "template"


@pytest.fixture
def lake(client: Any, template: Path) -> S3Lake:
    upload(client, template, BUCKET, "lake")
    return S3Lake(URI)


def keys(client: Any, prefix: str = "") -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def compacted(lake: S3Lake) -> None:
    compact_source(lake, manifest(), "raw_events", None, None)


def rows(client: Any, uri: str = URI) -> list[tuple[object, ...]]:
    found = []
    for key in keys(client, f"{uri.removeprefix(f's3://{BUCKET}/')}/raw_events/"):
        body = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        table = pq.read_table(pa.BufferReader(body), columns=["event_id", "event_timestamp"])
        found += [tuple(row.values()) for row in table.to_pylist()]
    return sorted(found)


def is_refused(lake: S3Lake) -> bool:
    """Whether no run may begin."""
    try:
        check_ended(lake, sources(manifest()))
    except UserError:
        return True
    return False


def test_a_compaction_keeps_the_rows_and_the_merged_files(client: Any, lake: S3Lake) -> None:
    compacted(lake)
    assert rows(client) == ROWS
    found = keys(client)
    # The journal and the lock are removed; the merged files and the number of merges are kept.
    assert len([key for key in found if key.startswith("lake/raw_events/")]) == 1
    assert len([key for key in found if key.startswith("lake/_compacted/")]) == 3
    assert len([key for key in found if key.startswith("lake/_compaction/raw_events/")]) == 1
    assert "lake/_compaction/raw_events.merges" in found
    assert len(found) == 6
    compacted(lake)
    assert keys(client) == found


@pytest.mark.parametrize(("scenario", "fewest"), [(KILL, 12), (UNDO, 16), (AGAIN, 12)])
def test_a_killed_compaction_is_ended_by_the_next_one(
    client: Any, template: Path, scenario: str, fewest: int
) -> None:
    uris = disturbed_in_s3(scenario, template, BUCKET)
    refused = 0
    for uri in uris:
        lake = S3Lake(uri)
        found = rows(client, uri)
        expected = REPLACED if set(NEW) <= set(found) else ROWS
        if is_refused(lake):
            refused += 1
        else:
            assert found == expected, uri
        compacted(lake)
        assert rows(client, uri) == expected, uri
        assert not is_refused(lake), uri
    assert len(uris) >= fewest
    assert refused >= 2


def test_an_object_that_is_replaced_at_any_request_is_not_lost(client: Any, template: Path) -> None:
    *uris, undisturbed = disturbed_in_s3(REPLACE, template, BUCKET)
    assert rows(client, undisturbed) == ROWS
    assert len(uris) >= 25
    old = 0
    for uri in uris:
        found = rows(client, uri)
        # After the end of its merge, an object with the key of a merged one is a new file.
        assert found in (REPLACED, sorted([*ROWS, *NEW])), uri
        old += found != REPLACED
        assert not is_refused(S3Lake(uri)), uri
        compacted(S3Lake(uri))
        assert rows(client, uri) == found, uri
    # On a slow machine the lock is renewed more often, also after the end of the merge.
    assert old < len(uris) / 2


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize("_", range(3))
def test_one_of_two_compactions_at_once_is_refused(client: Any, _: int) -> None:
    errors: list[str] = []
    barrier = threading.Barrier(2)

    def compact() -> None:
        own = S3Lake(URI)
        barrier.wait()
        try:
            compacted(own)
        except UserError as error:
            errors.append(str(error))

    both = [threading.Thread(target=compact) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(errors) <= 1
    assert all("another compaction of raw_events" in error for error in errors)
    assert rows(client) == ROWS


def test_the_lock_of_a_folder_that_was_copied_to_s3_expires(
    client: Any, lake: S3Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put_object(Bucket=BUCKET, Key=f"lake/{LOCK}", Body=b"")
    with pytest.raises(UserError, match="another compaction"):
        compacted(lake)
    monkeypatch.setattr(s3_lock, "LEASE_SECONDS", -1.0)
    compacted(lake)
    assert rows(client) == ROWS


def test_the_owner_of_a_lock_is_named_and_no_run_begins(lake: S3Lake) -> None:
    with open_store(lake).lock(LOCK):
        message = r"raw_events in s3://events/lake is running \(process .*run again in 2[01] min"
        with pytest.raises(UserError, match=message):
            compacted(S3Lake(URI))
        with pytest.raises(UserError, match=r"compaction of raw_events is running \(process"):
            check_ended(lake, sources(manifest()))
    assert not is_refused(lake)


def test_a_lock_is_renewed_and_then_lives_longer_than_its_lease(
    client: Any, lake: S3Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_lock, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(s3_lock, "LEASE_SECONDS", 3.0)
    with open_store(lake).lock(LOCK):
        first = client.head_object(Bucket=BUCKET, Key=f"lake/{LOCK}")["ETag"]
        time.sleep(5.0)
        assert client.head_object(Bucket=BUCKET, Key=f"lake/{LOCK}")["ETag"] != first
        with pytest.raises(UserError, match="another compaction"):
            compacted(S3Lake(URI))
        # The lock of the owner is still good.
        lake.write(f"{URI}/a", b"x")
    assert f"lake/{LOCK}" not in keys(client)


def test_the_owner_of_an_expired_lock_writes_nothing_any_more(
    client: Any, lake: S3Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_lock, "RENEW_SECONDS", 60.0)
    monkeypatch.setattr(s3_lock, "USE_SECONDS", 3.0)
    monkeypatch.setattr(s3_lock, "LEASE_SECONDS", 3.0)
    before = keys(client)
    first = contextlib.ExitStack()
    first.enter_context(open_store(lake).lock(LOCK))
    lake.write(f"{URI}/before", b"x")
    # The process is suspended for as long as a lease lasts.
    time.sleep(5.0)
    other = S3Lake(URI)
    changes: list[Callable[[], object]] = [
        lambda: lake.write(f"{URI}/after", b"x"),
        lambda: lake.remove(f"{URI}/before"),
        lambda: open_store(lake).version("before"),
    ]
    with open_store(other).lock(LOCK):
        other.write(f"{URI}/of-the-next", b"x")
        for change in changes:
            with pytest.raises(UserError, match="was suspended or lost its connection"):
                change()
        # The first owner does not remove the lock of the second one.
        first.close()
        assert keys(client) == sorted([*before, f"lake/{LOCK}", "lake/before", "lake/of-the-next"])
    assert f"lake/{LOCK}" not in keys(client)


def test_only_one_of_two_takes_over_an_expired_lock(
    client: Any, lake: S3Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_lock, "LEASE_SECONDS", -1.0)
    read_lock = s3_lock.read_lock
    with open_store(lake).lock(LOCK):
        pass
    client.put_object(
        Bucket=BUCKET,
        Key=f"lake/{LOCK}",
        Body=b'{"owner": "a killed one", "token": "t", "lease_seconds": -1}',
    )
    reads = 0

    def overtaken(*arguments: Any) -> Any:
        nonlocal reads
        held = read_lock(*arguments)
        reads += 1
        # The first read looks whether the refused write was one of this process after all.
        if reads == 2:
            body = b'{"owner": "the faster one", "token": "f", "lease_seconds": 1200}'
            client.put_object(Bucket=BUCKET, Key=f"lake/{LOCK}", Body=body)
        return held

    monkeypatch.setattr(s3_lock, "read_lock", overtaken)
    with pytest.raises(UserError, match="another compaction"):
        compacted(lake)
    body = client.get_object(Bucket=BUCKET, Key=f"lake/{LOCK}")["Body"].read()
    assert b"the faster one" in body


def test_a_lock_whose_answer_was_lost_is_held(
    client: Any, lake: S3Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore repeats a request without an answer, and S3 refuses the second one."""
    make = s3_client

    def forgetful(owner: str = "") -> Any:
        made = make(owner)
        put = made.put_object

        def twice(**request: Any) -> Any:
            put(**request)
            return put(**request)

        made.put_object = twice
        return made

    monkeypatch.setattr(s3_lock, "s3_client", forgetful)
    with open_store(lake).lock(LOCK):
        assert f"lake/{LOCK}" in keys(client)
    assert f"lake/{LOCK}" not in keys(client)


def test_a_missing_object_counts_as_changed_if_s3_denies_instead(
    client: Any, lake: S3Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that may list only some prefixes gets AccessDenied for an object that is gone."""
    store = open_store(lake)
    path = ROWS[0][0].rsplit("-", 1)[0] + "/a.parquet"
    version = store.version(path)
    assert version

    def denied(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "CopyObject")

    monkeypatch.setattr(lake.client, "copy_object", denied)
    with pytest.raises(UserError, match=r"AccessDenied.*compaction_role\.json"):
        store.move(path, "_compacted/1/a", version)
    client.delete_object(Bucket=BUCKET, Key=f"lake/{path}")
    store.move(path, "_compacted/1/a", version)
    assert not store.is_moved(path, "_compacted/1/a", version)
