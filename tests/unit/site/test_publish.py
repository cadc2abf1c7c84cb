"""A publication is whole or not there, however it ends; two at once both appear."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from include.messages import NodeResult, Problem, PublishRequest, file_name, to_json
from include.object_store import DocumentsInFolder
from include.settings import Settings, UserError
from include.site import pages, run_artifacts, runs
from include.site import publish as module
from include.site.run_artifacts import Result
from tests.support.publications import (
    MODELS,
    PROJECT,
    TEST,
    killed_at_each_step,
    listed_runs,
    manifest,
    publish,
    result,
    run_results,
    write_run,
)

STG, FCT = (f"model.{PROJECT}.{name}" for name in MODELS)
OLD_DAYS = 400


@pytest.fixture
def documents(tmp_path: Path) -> DocumentsInFolder:
    return DocumentsInFolder(tmp_path / "docs")


def published(documents: DocumentsInFolder, run_id: str) -> dict[str, Any]:
    """The `run.json` of a run."""
    content: dict[str, Any] = json.loads(documents.read(f"runs/{run_id}/run.json") or b"")
    return content


def site_of(documents: DocumentsInFolder, run_id: str) -> Path:
    """The folder of the run's publication."""
    folder: str = published(documents, run_id)["publication"]
    return documents.path / "runs" / run_id / folder


def make_old(documents: DocumentsInFolder, run_id: str, days: int = OLD_DAYS) -> None:
    """Publish a run as if some days ago."""
    run = published(documents, run_id)
    then = datetime.now(UTC) - timedelta(days=days)
    run["published_at"] = then.isoformat()
    documents.write(f"runs/{run_id}/run.json", json.dumps(run).encode())
    for path in (documents.path / "runs" / run_id).rglob("*"):
        os.utime(path, (then.timestamp(), then.timestamp()))


def headings(page: str) -> list[str]:
    """Titles of the lists of results on the page of a run."""
    return re.findall(r"<h2>(.*uccessful.*)</h2>", page)


def test_a_run_shows_the_last_result_of_each_node_and_test(documents: DocumentsInFolder) -> None:
    write_run(documents, "r", result(STG), result(FCT, "error", message="no <b>room</b>"))
    later = run_results(
        result(FCT, adapter_response={"rows_affected": 1234}, compiled_code="select of_try_2"),
        result(TEST, "pass"),
        at="2026-11-30T05:00:00Z",
    )
    hook = f"operation.{PROJECT}.{PROJECT}-on-run-end-0"
    documents.write("runs/r/x/try_1-a/run_results.json", run_results(result(hook)))
    # Its name sorts before the first one's: the time counts, not the name.
    documents.write("runs/r/dbt_build/try_0-b/run_results.json", later)
    answer = publish(str(documents.path), "r")
    assert (answer.outcome, answer.pages, answer.notes) == ("success", ("dbt/index.html",), ())
    site = site_of(documents, "r")
    results = json.loads((site / "run_results.json").read_text())["results"]
    found = {one["unique_id"]: one["status"] for one in results}
    assert found == dict.fromkeys((STG, FCT, TEST, hook), "success")
    assert (site / "compiled/fct_bets.sql").read_text() == "select of_try_2"
    nodes = json.loads((site / "manifest.json").read_text())["nodes"]
    assert nodes[STG]["compiled_code"] == "select compiled from stg_bets"
    page = (site / "index.html").read_text()
    assert "1,234" in page
    assert "room" not in page
    assert "on-run-end" not in page
    assert headings(page) == ["Successful nodes: 2", "Successful tests: 1"]
    run = published(documents, "r")
    assert (run["nodes"], run["tests"]) == ({"success": 2}, {"success": 1})
    assert listed_runs(documents) == ["r"]


def test_a_run_that_is_published_days_later_took_no_longer(documents: DocumentsInFolder) -> None:
    timing = {
        "started_at": "2026-11-28T04:30:00+00:00",
        "completed_at": "2026-11-28T04:31:05+00:00",
    }
    write_run(documents, "r", result(STG, timing=[timing]))
    publish(str(documents.path), "r")
    assert published(documents, "r")["seconds"] == 65.0


def test_what_did_not_succeed_stands_on_top_of_a_run(documents: DocumentsInFolder) -> None:
    exposure = f"exposure.{PROJECT}.review"
    results = (result(STG), result(FCT, "error"), result(TEST, "skipped"), result(exposure))
    write_run(documents, "r", *results)
    publish(str(documents.path), "r")
    page = (site_of(documents, "r") / "index.html").read_text()
    assert headings(page) == ["Not successful", "Successful nodes: 1"]
    unsuccessful, successful = page.split("Successful nodes")
    assert "fct_bets" in unsuccessful
    assert "unique_fct_bets" in unsuccessful
    assert "stg_bets" in successful
    assert "review" not in page


@pytest.mark.parametrize(
    ("built_at", "is_used"), [("2026-11-28T05:00:00.5Z", True), ("2026-11-28T05:00:02.5Z", False)]
)
def test_a_catalog_counts_if_no_dbt_has_built_after_it(
    documents: DocumentsInFolder, built_at: str, is_used: bool
) -> None:
    def artifact(at: str, **content: object) -> bytes:
        return json.dumps({"metadata": {"generated_at": at}, **content}).encode()

    documents.write("runs/r/dbt_build/try_1-a/catalog.json", artifact("2026-11-28T04:00:00.5Z"))
    last = artifact("2026-11-28T05:00:01.5Z", nodes={STG: {}})
    documents.write("runs/r/dbt_build/try_2-b/catalog.json", last)
    node = artifact(built_at, results=[])
    documents.write("runs/r/stg_bets/try_2-c/run_results.json", node)
    catalog = run_artifacts.read_run(documents, "r").catalog
    assert catalog.get("nodes") == ({STG: {}} if is_used else None)


def test_a_killed_dbt_still_has_the_results_that_it_wrote_as_events(
    documents: DocumentsInFolder,
) -> None:
    bad = Problem(TEST, "fail", "Got 1 result", "select failing")
    events = [
        NodeResult(STG, "success", 2.5, 7, (), ()),
        NodeResult(FCT, "fail", 1.0, None, (), (bad,)),
    ]
    lines = "".join(f"{to_json(event)}\n" for event in events).encode()
    documents.write("runs/r/dbt_build/try_1-a/events/000001.jsonl", lines + b'{"cut')
    found = run_artifacts.read_run(documents, "r")
    statuses = {one["unique_id"]: one["status"] for one in found.results}
    assert statuses == {STG: "success", FCT: "success", TEST: "fail"}
    assert len(found.problems) == 1
    publish(str(documents.path), "r")
    run = published(documents, "r")
    assert run["outcome"] == "failed"
    assert any("damaged" in note for note in run["notes"])


@pytest.mark.parametrize(
    ("request_", "outcome"),
    [
        (PublishRequest(states={"fct_bets": "success", "done2": "success"}), "success"),
        (PublishRequest(states={"fct_bets": "failed"}), "failed"),
        (PublishRequest(states={"preflight": "failed", "fct_bets": "upstream_failed"}), "failed"),
        # Another run holds the build lock.
        (PublishRequest(states={"partitions": "failed", "fct_bets": "upstream_failed"}), "failed"),
        (PublishRequest(states={"fct_bets": "skipped"}), "partial"),
        (PublishRequest(states={"fct_bets": "skipped"}, stale=("source.p.s.t",)), "failed"),
        (PublishRequest(status="error", message="no login"), "failed"),
        (PublishRequest(status="success"), "success"),
    ],
)
def test_the_outcome_is_that_of_the_tasks(
    documents: DocumentsInFolder, request_: PublishRequest, outcome: str
) -> None:
    write_run(documents, "r")
    assert publish(str(documents.path), "r", request_).outcome == outcome
    assert f'class="status {outcome}"' in (documents.path / runs.INDEX).read_text()


def test_a_run_without_any_artifact_is_published(documents: DocumentsInFolder) -> None:
    answer = publish(str(documents.path), "r", PublishRequest(states={"preflight": "failed"}))
    assert answer.outcome == "failed"
    assert listed_runs(documents) == ["r"]


def test_what_a_task_could_not_write_is_named(
    documents: DocumentsInFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(documents, "r", result(STG))
    states = {"stg_bets": "success", "fct_bets": "success"}
    answer = publish(str(documents.path), "r", PublishRequest(states=states))
    assert answer.outcome == "success"
    assert "warning: 1 tasks have written no results: fct_bets." in capsys.readouterr().out
    assert published(documents, "r")["missing"] == ["fct_bets"]
    assert "no results: fct_bets" in (site_of(documents, "r") / "index.html").read_text()


def test_sql_of_an_unchanged_node_is_taken_from_the_run_before(
    documents: DocumentsInFolder,
) -> None:
    write_run(documents, "first")
    publish(str(documents.path), "first")
    write_run(documents, "second", result(FCT))
    publish(str(documents.path), "second")
    nodes = json.loads((site_of(documents, "second") / "manifest.json").read_text())["nodes"]
    assert nodes[STG]["compiled_code"] == "select compiled from stg_bets"
    changed = manifest()
    changed["nodes"][STG]["raw_code"] = "select another"
    write_run(documents, "third", result(FCT))
    documents.write("runs/third/freshness/manifest.json", json.dumps(changed).encode())
    publish(str(documents.path), "third")
    nodes = json.loads((site_of(documents, "third") / "manifest.json").read_text())["nodes"]
    assert "compiled_code" not in nodes[STG]


def test_sql_of_an_earlier_run_is_not_shown_when_something_below_it_has_changed(
    documents: DocumentsInFolder,
) -> None:
    ephemeral, source = f"model.{PROJECT}.between", f"source.{PROJECT}.lake.raw"

    def written(outer: str = "a", inner: str = "b", middle: str = "c", table: str = "d") -> bytes:
        content = manifest()
        content["nodes"][STG]["depends_on"] = {"nodes": [ephemeral], "macros": ["macro.p.outer"]}
        content["nodes"][ephemeral] = {
            **content["nodes"][STG],
            **{"unique_id": ephemeral, "name": "between", "raw_code": middle},
            "config": {"materialized": "ephemeral"},
            "depends_on": {"nodes": [source], "macros": []},
        }
        content["macros"] = {
            "macro.p.outer": {"macro_sql": outer, "depends_on": {"macros": ["macro.p.inner"]}},
            # Macros can call each other.
            "macro.p.inner": {"macro_sql": inner, "depends_on": {"macros": ["macro.p.outer"]}},
        }
        content["sources"][source] = {
            **{"unique_id": source, "name": "raw", "source_name": "lake", "columns": {}},
            **{"resource_type": "source", "schema": "spectrum", "relation_name": table},
            "original_file_path": "models/lake.yml",
        }
        return json.dumps(content).encode()

    def shown(run_id: str, content: bytes, *results: Result) -> str | None:
        write_run(documents, run_id, *results)
        documents.write(f"runs/{run_id}/freshness/manifest.json", content)
        publish(str(documents.path), run_id)
        nodes = json.loads((site_of(documents, run_id) / "manifest.json").read_text())["nodes"]
        sql: str | None = nodes[STG].get("compiled_code")
        return sql

    compiled = "select compiled from stg_bets"
    assert shown("built", written(), result(STG)) == compiled
    assert shown("same", written(), result(FCT)) == compiled
    for part in ("outer", "inner", "middle", "table"):
        assert shown(f"built-before-{part}", written(), result(STG)) == compiled
        assert shown(f"changed-{part}", written(**{part: "changed"}), result(FCT)) is None


def test_messages_on_the_site_quote_no_value_of_the_data(documents: DocumentsInFolder) -> None:
    message = "Conversion Error: Could not convert string 'Zoltan Kovacs' to INT32"
    write_run(documents, "r", result(FCT, "error", message=message))
    publish(str(documents.path), "r")
    for path in (*site_of(documents, "r").rglob("*"), documents.path / runs.INDEX):
        assert path.is_dir() or b"Zoltan" not in path.read_bytes(), path
    page = (site_of(documents, "r") / "index.html").read_text()
    assert "Could not convert string" in page


def test_hostile_names_and_messages_stay_text(documents: DocumentsInFolder) -> None:
    run_id = "<img src=x onerror=alert(1)>\"'../../x"
    folder = file_name(run_id)
    message = "Compilation Error in model </td><script>alert(1)</script>"
    write_run(documents, folder, result(FCT, "error", message=message))
    publish(str(documents.path), run_id, PublishRequest(message="<script>alert(2)</script>"))
    pages = [documents.path / runs.INDEX, site_of(documents, folder) / "index.html"]
    for page in pages:
        text = page.read_text()
        assert "<script" not in text
        assert "<img" not in text
    assert "&lt;script&gt;alert(1)" in pages[1].read_text()
    assert [path.name for path in documents.path.iterdir() if path.is_dir()] == ["runs"]


def test_a_kill_at_any_step_leaves_the_old_site_or_the_new_one(
    documents: DocumentsInFolder, tmp_path: Path
) -> None:
    for run_id in ("ancient", "old", "new"):
        write_run(documents, run_id)
    publish(str(documents.path), "ancient")
    publish(str(documents.path), "old")
    publish(str(documents.path), "new")
    shutil.rmtree(documents.path / "runs" / "new" / "site")
    (documents.path / "runs" / "new" / "run.json").unlink()
    runs.write_index(documents, pages.index_page, datetime.now(UTC), 90)
    make_old(documents, "ancient")
    seen = set()
    copies = killed_at_each_step(documents.path, tmp_path / "copies")
    for copy in copies:
        site = DocumentsInFolder(copy)
        found = tuple(listed_runs(site))
        seen.add(found)
        assert found in {("old", "ancient"), ("new", "old")}, copy
        # The next publication repairs everything.
        publish(str(copy), "new")
        assert listed_runs(site) == ["new", "old"]
        assert not (copy / "runs" / "ancient").exists()
    assert len(seen) == 2
    assert len(copies) > 20


class Failing(DocumentsInFolder):
    """A folder whose n-th write fails."""

    def __init__(self, path: Path, number: int, error: Callable[[], BaseException]) -> None:
        super().__init__(path)
        self.left = number
        self.error = error

    def write(self, name: str, content: bytes) -> None:
        self.left -= 1
        if self.left == 0:
            with self._folder_errors():
                raise self.error()
        super().write(name, content)


@pytest.mark.parametrize(
    "error",
    [lambda: UserError("S3 refuses it."), lambda: OSError(errno.ENOSPC, "No space left")],
    ids=["refused", "full"],
)
def test_after_a_failed_write_the_old_site_stays_and_the_run_says_so(
    documents: DocumentsInFolder,
    monkeypatch: pytest.MonkeyPatch,
    error: Callable[[], BaseException],
) -> None:
    write_run(documents, "old")
    publish(str(documents.path), "old")
    write_run(documents, "new")
    before = (documents.path / runs.INDEX).read_bytes()
    for number in range(1, 100):
        failing = Failing(documents.path, number, error)
        monkeypatch.setattr(module, "open_documents", lambda *_, it=failing: it)
        try:
            publish(str(documents.path), "new")
            break
        except UserError as caught:
            assert "S3 refuses it" in str(caught) or "No space left" in str(caught)
        assert (documents.path / runs.INDEX).read_bytes() == before
        assert listed_runs(documents) == ["old"]
    assert number > 5
    assert listed_runs(documents) == ["new", "old"]


def test_a_full_disk_leaves_no_part_of_a_file(
    documents: DocumentsInFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents.write("index.html", b"old")

    def fill(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(UserError, match="No space left"):
        documents.write("index.html", b"new")
    assert [path.name for path in documents.path.iterdir()] == ["index.html"]
    assert documents.read("index.html") == b"old"


def test_publishers_at_once_are_all_listed(documents: DocumentsInFolder) -> None:
    names = [f"r{number}" for number in range(6)]
    for name in names:
        write_run(documents, name)
    fork = multiprocessing.get_context("fork")
    processes = [
        fork.Process(target=publish, args=(str(documents.path), name)) for name in (*names, "r0")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert set(listed_runs(documents)) == set(names)
    assert not [path for path in documents.path.rglob(".*") if path.is_file()]


def test_a_run_that_is_published_between_two_steps_of_another_is_not_lost(
    documents: DocumentsInFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(documents, "a")
    write_run(documents, "b")

    class Interrupted(DocumentsInFolder):
        def write(self, name: str, content: bytes) -> None:
            if name == runs.INDEX:
                # The other publisher reads and writes everything in between.
                monkeypatch.setattr(module, "open_documents", lambda *_: documents)
                if not documents.read("runs/b/run.json"):
                    publish(str(documents.path), "b")
            super().write(name, content)

    monkeypatch.setattr(module, "open_documents", lambda *_: Interrupted(documents.path))
    publish(str(documents.path), "a")
    assert set(listed_runs(documents)) == {"a", "b"}


def test_old_runs_are_deleted_but_never_the_latest(documents: DocumentsInFolder) -> None:
    for run_id in ("ancient", "recent"):
        write_run(documents, run_id)
        publish(str(documents.path), run_id)
    write_run(documents, "never_published")
    write_run(documents, "at_work")
    make_old(documents, "ancient", 92)
    make_old(documents, "recent", 89)
    then = (datetime.now(UTC) - timedelta(days=92)).timestamp()
    for path in (documents.path / "runs" / "never_published").rglob("*"):
        os.utime(path, (then, then))
    write_run(documents, "now")
    publish(str(documents.path), "now")
    assert listed_runs(documents) == ["now", "recent"]
    assert documents.folders("runs/") == ["at_work", "now", "recent"]

    # If nothing was published for a long time, the latest run is all that there is.
    make_old(documents, "now", 200)
    make_old(documents, "recent", 300)
    listed = runs.write_index(documents, pages.index_page, datetime.now(UTC), 90)
    runs.clean(documents, listed, datetime.now(UTC), 90)
    assert listed_runs(documents) == ["now"]


def test_a_publication_before_stays_for_a_day(documents: DocumentsInFolder) -> None:
    write_run(documents, "r")
    publish(str(documents.path), "r")
    before = site_of(documents, "r")
    publish(str(documents.path), "r")
    assert before.is_dir()
    before.rename(before.with_name("20200101T000000000000-0123abcd"))
    publish(str(documents.path), "r")
    assert "20200101T000000000000-0123abcd" not in documents.folders("runs/r/site/")
    assert len(documents.folders("runs/r/site/")) == 2


def test_only_the_publications_of_this_run_are_listed(
    documents: DocumentsInFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each listing is a request to S3, and the index lists the runs of 90 days."""
    names = [f"r{number}" for number in range(5)]
    for name in names:
        write_run(documents, name)
        publish(str(documents.path), name)
    listed: list[str] = []

    class Counting(DocumentsInFolder):
        def folders(self, prefix: str) -> list[str]:
            listed.append(prefix)
            return super().folders(prefix)

    monkeypatch.setattr(module, "open_documents", lambda *_: Counting(documents.path))
    publish(str(documents.path), "r2")
    assert set(listed) == {"runs/", "runs/r2/site/"}
    assert listed.count("runs/r2/site/") == 1


def test_a_failed_clean_up_is_only_a_warning(
    documents: DocumentsInFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_run(documents, "ancient")
    publish(str(documents.path), "ancient")
    make_old(documents, "ancient")

    def refuse(*_: object) -> None:
        raise UserError("may not delete.")

    monkeypatch.setattr(DocumentsInFolder, "delete", refuse)
    write_run(documents, "r")
    publish(str(documents.path), "r")
    assert "warning: old runs are not deleted: may not delete." in capsys.readouterr().out
    assert listed_runs(documents) == ["r"]


def test_pages_of_other_writers_are_published_and_get_the_artifacts(
    documents: DocumentsInFolder,
) -> None:
    def write_report(settings: Settings, folder: Path) -> list[str]:
        assert settings.docs == str(documents.path)
        names = {path.name for path in folder.iterdir()}
        assert {"manifest.json", "run_results.json", "sources.json", "run.json"} <= names
        assert json.loads((folder / "run.json").read_text())["run_id"] == "r"
        page, data = folder / "report.html", folder / "report.json"
        page.write_text("<title>r</title>")
        data.write_text("{}")
        return ["a note of the page"]

    write_run(documents, "r")
    answer = publish(str(documents.path), "r", page_writers=[write_report])
    assert answer.pages == ("report.html", "dbt/index.html")
    assert answer.notes == ("a note of the page",)
    assert (site_of(documents, "r") / "report.json").is_file()
    index = (documents.path / runs.INDEX).read_text()
    assert index.index("KPI report") < index.index("dbt docs")
