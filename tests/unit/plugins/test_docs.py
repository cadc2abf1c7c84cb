"""The plugin reads only files below DOCS, and the same DOCS as the rest of the package."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from game_analytics_docs import DEFAULT, DocsError, DocsInFolder, docs_root, is_allowed

from include.settings import Settings
from tests.support.hostile_names import OUTSIDE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "runs" / "a").mkdir(parents=True)
    (folder / "index.html").write_text("the index")
    (folder / "runs" / "a" / "index.html").write_text("a run")
    (folder / "runs" / ".hidden").write_text("secret")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a").write_text("secret")
    (tmp_path / "secret").write_text("secret")
    return folder


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_is_no_published_file_opens_nothing(folder: Path, name: str) -> None:
    assert DocsInFolder(str(folder)).open(name) is None
    assert DocsInFolder(str(folder)).names(f"{name}/") == []


def test_links_devices_and_folders_are_not_read(folder: Path, tmp_path: Path) -> None:
    (folder / "file").symlink_to(tmp_path / "secret")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "device").symlink_to("/dev/zero")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    docs = DocsInFolder(str(folder))
    for name in ("file", "folder/secret", "device", "loop", "pipe", "runs", "folder"):
        assert docs.open(name) is None, name
    # A link that stays below DOCS is no way out of it; DOCS itself may be a link, too.
    (folder / "inside").symlink_to(folder / "runs" / "a" / "index.html")
    (tmp_path / "link").symlink_to(folder)
    found = DocsInFolder(str(tmp_path / "link")).open("inside")
    assert found
    assert found.read() == b"a run"


def test_a_file_that_may_not_be_read_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DocsError, match=r"index.html cannot be read: Permission denied"):
        DocsInFolder(str(folder)).open("index.html")


def test_a_changed_file_has_another_tag(folder: Path) -> None:
    docs = DocsInFolder(str(folder))
    first, again = docs.open("index.html"), docs.open("index.html")
    assert first
    assert again
    assert (first.etag, first.size, first.read()) == (again.etag, 9, b"the index")
    new = folder / "new"
    new.write_text("An index.")
    new.replace(folder / "index.html")
    changed = docs.open("index.html")
    assert changed
    assert changed.etag != first.etag
    assert changed.etag.startswith('"')


@pytest.mark.parametrize("name", ["DOCS"])
@pytest.mark.parametrize(
    "value",
    [None, "data/site", "/srv/site", "s3://studio-docs/site/", " s3://studio-docs ", "../x"],
)
@pytest.mark.parametrize("prefix", ["GAME_ANALYTICS_", "AIRFLOW__GAME_ANALYTICS__"])
def test_docs_is_the_one_of_the_settings(name: str, value: str | None, prefix: str) -> None:
    environ = {} if value is None else {f"{prefix}{name}": value}
    assert docs_root(environ) == Settings.from_env(environ).docs
    assert Settings().docs == DEFAULT
    both = {"GAME_ANALYTICS_DOCS": "/a", "AIRFLOW__GAME_ANALYTICS__DOCS": "/b"}
    assert docs_root(both) == Settings.from_env(both).docs == "/a"


def test_names_that_a_run_publishes_are_allowed() -> None:
    for name in ("index.html", "runs/r_1/site/20261130T043000-ab/compiled/tests/a.b.sql"):
        assert is_allowed(name)
