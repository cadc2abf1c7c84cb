"""Publishing below an S3 prefix, on the emulator: whole or not at all, old runs are deleted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from include.object_store import DocumentsInS3, open_documents
from include.settings import UserError
from include.site import pages, runs
from include.site import publish as module
from tests.support.ministack import MiniStack
from tests.support.publications import listed_runs, publish, write_run

BUCKET = "docs"
URI = f"s3://{BUCKET}/site"


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
def documents(client: Any) -> DocumentsInS3:
    assert client
    found = open_documents(URI)
    assert isinstance(found, DocumentsInS3)
    return found


def keys(client: Any) -> list[str]:
    """All keys of the bucket."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


class Killed(BaseException):
    """The end of a process, which no code catches."""


class Failing(DocumentsInS3):
    """A prefix whose n-th write fails, and each write after it."""

    def __init__(self, number: int, error: BaseException) -> None:
        super().__init__(URI)
        self.left = number
        self.error = error

    def write(self, name: str, content: bytes) -> None:
        self.left -= 1
        if self.left <= 0:
            raise self.error
        super().write(name, content)


@pytest.mark.parametrize("error", [UserError("S3 refuses it."), Killed()], ids=["error", "kill"])
def test_a_publication_that_ends_at_any_request_leaves_the_old_site_or_the_new_one(
    documents: DocumentsInS3, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    write_run(documents, "old")
    publish(URI, "old")
    write_run(documents, "new")
    for number in range(1, 100):
        failing = Failing(number, error)
        monkeypatch.setattr(module, "open_documents", lambda *_, it=failing: it)
        try:
            publish(URI, "new")
            break
        except (UserError, Killed) as caught:
            if isinstance(caught, UserError):
                assert "the site is as before: S3 refuses it." in str(caught)
        assert listed_runs(documents) == ["old"]
    assert number > 5
    assert listed_runs(documents) == ["new", "old"]


def test_two_publishers_at_once_are_both_listed(
    documents: DocumentsInS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(documents, "a")
    write_run(documents, "b")

    class Interrupted(DocumentsInS3):
        def write(self, name: str, content: bytes) -> None:
            if name == runs.INDEX:
                monkeypatch.setattr(module, "open_documents", lambda *_: documents)
                if not documents.read("runs/b/run.json"):
                    publish(URI, "b")
            super().write(name, content)

    monkeypatch.setattr(module, "open_documents", lambda *_: Interrupted(URI))
    publish(URI, "a")
    assert set(listed_runs(documents)) == {"a", "b"}


def test_old_runs_are_deleted_and_nothing_else(client: Any, documents: DocumentsInS3) -> None:
    for run_id in ("ancient", "recent", "now"):
        write_run(documents, run_id)
    write_run(documents, "ancient_2")
    client.put_object(Bucket=BUCKET, Key="other/runs/ancient/a", Body=b"")
    publish(URI, "ancient")
    publish(URI, "recent")
    publish(URI, "now")
    later = datetime.now(UTC) + timedelta(days=92)
    listed = [run for run in runs.published_runs(documents) if run.run_id != "ancient"]
    deleted = runs.clean(documents, listed, later, 90)
    # The publications of the other runs are those that their `run.json` names, however old.
    assert deleted == ["runs/ancient/", "runs/ancient_2/"]
    assert documents.folders("runs/") == ["now", "recent"]
    assert "other/runs/ancient/a" in keys(client)
    runs.write_index(documents, pages.index_page, datetime.now(UTC), 90)
    assert listed_runs(documents) == ["now", "recent"]


def test_more_files_are_deleted_than_s3_lists_at_once(
    documents: DocumentsInS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.object_store.DELETED_AT_ONCE", 3)
    for number in range(8):
        documents.write(f"runs/r/{number}", b"")
    documents.write("runs/r2/a", b"")
    documents.delete("runs/r/")
    assert documents.names("runs/") == ["runs/r2/a"]
    changed = documents.changed_at("runs/r2/")
    assert changed
    assert abs((datetime.now(UTC) - changed).total_seconds()) < 60
    assert documents.changed_at("runs/r/") is None


def test_a_refused_deletion_is_an_error_that_names_the_right(
    documents: DocumentsInS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents.write("runs/r/a", b"")
    refused = {"Errors": [{"Key": "site/runs/r/a", "Code": "AccessDenied"}]}
    monkeypatch.setattr(documents.client, "delete_objects", lambda **_: refused)
    with pytest.raises(UserError, match=r"r/a: AccessDenied\): let this role delete below runs/"):
        documents.delete("runs/r/")
