"""The pages in Airflow's UI read an S3 prefix, as on MWAA, where no disk is shared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import game_analytics_docs
import game_analytics_ui as ui
from fastapi.testclient import TestClient
from game_analytics_docs import DocsError, DocsInS3

from tests.support.ministack import MiniStack

BUCKET = "docs"
PAGE = "runs/r1/site/20261130T043000000000-0123abcd/report.html"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack.start(tmp_path_factory.mktemp("ministack")) as emulator:
        yield emulator


@pytest.fixture
def client(s3: MiniStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of the pages, for a bucket with one page and a file beside the site."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW__GAME_ANALYTICS__DOCS", f"s3://{BUCKET}/site/")
    game_analytics_docs._s3_client.cache_clear()
    store: Any = s3.client("s3")
    store.create_bucket(Bucket=BUCKET)
    files = {f"site/{PAGE}": "x" * 200_000, "secret": "secret", "sites/a": "secret"}
    files["site/index.html"] = f'<meta name="latest" content="{PAGE.rpartition("/")[0]}">'
    for name, content in files.items():
        store.put_object(Bucket=BUCKET, Key=name, Body=content.encode())
    for guard in (*ui.app.router.dependencies, ui.READS_LOGS):
        ui.app.dependency_overrides[guard.dependency] = lambda: None
    yield TestClient(ui.app)
    ui.app.dependency_overrides.clear()
    game_analytics_docs._s3_client.cache_clear()
    for name in files:
        store.delete_object(Bucket=BUCKET, Key=name)
    store.delete_bucket(Bucket=BUCKET)


def test_pages_are_streamed_and_sent_again_only_if_they_changed(client: TestClient) -> None:
    answer = client.get("/latest/report.html")
    assert answer.text == "x" * 200_000
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    tag = answer.headers["ETag"]
    again = client.get(f"/site/{PAGE}", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name",
    ["../secret", "..%2Fsecret", "%2e%2e/secret", "/secret", "../sites/a", "none", "a" * 2000],
)
def test_no_object_outside_the_prefix_is_served(client: TestClient, name: str) -> None:
    for route in ("site", "artifacts", "latest", "runs/r1"):
        answer = client.get(f"/{route}/{name}")
        assert answer.status_code in {400, 404}
        assert "secret" not in answer.text


def test_the_files_of_a_folder_are_named(client: TestClient) -> None:
    assert client
    docs = DocsInS3(f"s3://{BUCKET}/site", "")
    assert docs.names("runs/r1/") == [PAGE]
    assert docs.names("../") == []


def test_a_bucket_that_cannot_be_read_is_named(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__GAME_ANALYTICS__DOCS", "s3://no-such-bucket/site")
    answer = client.get("/site/index.html")
    assert answer.status_code == 503
    assert "s3://no-such-bucket/site cannot be read" in answer.json()["detail"]
    with pytest.raises(DocsError, match="NoSuchBucket"):
        DocsInS3("s3://no-such-bucket/site", "").names("runs/")
