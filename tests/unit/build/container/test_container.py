"""The image's command line without an image: results, exit codes, and reports that fail."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from include.build import preflight
from include.build.container import __main__ as module
from include.build.container import commands
from include.build.container.__main__ import Stop, run
from include.build.reports import FAILURES, MESSAGE_LENGTH, Report
from include.engine_text import without_values
from include.manifest import Manifest
from include.messages import (
    CROSS_MODEL_TESTS,
    BuildRequest,
    NodeResult,
    Problem,
    RunResult,
    Status,
    from_json,
)
from include.object_store import DocumentsInFolder
from include.settings import Settings, UserError
from include.warehouse import build_lock
from include.warehouse.build_lock import LockedError, LockLostError

PUBLISH = commands.publish
"""The real function, which the fixture `publications` replaces."""
LOST = UserError("the warehouse cannot be reached (connection refused): see that it is up.")
REDSHIFT = {
    "GAME_ANALYTICS_TARGET": "redshift",
    "GAME_ANALYTICS_LAKE": "s3://studio-lake/lake",
}


class Documents(DocumentsInFolder):
    """A folder that refuses some names, and records the names in the order of their writing."""

    def __init__(self, path: Path, refuses: Callable[[str], bool] = lambda _: False) -> None:
        super().__init__(path)
        self.refuses = refuses
        self.written: list[str] = []

    def write(self, name: str, content: bytes) -> None:
        if self.refuses(name):
            raise UserError(f"{name} is refused.")
        super().write(name, content)
        self.written.append(name)


def node(name: str, status: Status = "success", *messages: str | None) -> NodeResult:
    problems = tuple(Problem(name, status, message) for message in messages)
    return NodeResult(f"model.p.{name}", status, 0.1, None, (), problems)


def complete() -> list[NodeResult]:
    """The results of a build of all nodes and cross-model tests."""
    return [
        NodeResult(name, "success", 0.1, None, (), ())
        for name in (*Manifest.read().built, CROSS_MODEL_TESTS)
    ]


@pytest.fixture(autouse=True)
def publications(monkeypatch: pytest.MonkeyPatch) -> list[RunResult]:
    """The results of the builds that were published; nothing is really published."""
    found: list[RunResult] = []

    def publish(_: Settings, __: Report, result: RunResult) -> RunResult:
        found.append(result)
        return result

    monkeypatch.setattr(commands, "publish", publish)
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    given = {"GAME_ANALYTICS_DOCS": str(tmp_path / "docs")}
    return Settings.from_env(REDSHIFT | given)


def result_of(tmp_path: Path, run_id: str = "r") -> dict[str, Any]:
    file = tmp_path / "docs" / "runs" / run_id / "build" / "result.json"
    # The state machine reads the file by the names in its JSON.
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def built(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, behave: Callable[[Report], RunResult]
) -> int:
    """Run a `build` that behaves like this; returns its exit code."""
    monkeypatch.setattr(commands, "build_all", lambda _, __, report, **___: behave(report))
    return run(["build", "--run-id", "r"], settings, Stop())


def raising(error: BaseException) -> Callable[[Report], RunResult]:
    def behave(_: Report) -> RunResult:
        raise error

    return behave


@pytest.fixture
def on_redshift(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[NodeResult]], None]:
    """A build on Redshift whose dbt publishes the given results, and cannot give its lock back."""

    @contextmanager
    def opened(_: Settings) -> Iterator[object]:
        yield object()

    @contextmanager
    def renewed(*_: object) -> Iterator[None]:
        yield

    def refuse(*_: object) -> None:
        raise LOST

    for name in ("check_dbt", "check_lake", "check_warehouse"):
        monkeypatch.setattr(preflight, name, lambda _: "good")
    monkeypatch.setattr(preflight, "check_manifest", lambda: "good")
    # A build sets these variables; monkeypatch removes them after the test.
    for name in ("AIRFLOW_CTX_DAG_ID", "AIRFLOW_CTX_DAG_RUN_ID"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(commands, "open_database", opened)
    monkeypatch.setattr(build_lock, "open_database", opened)
    monkeypatch.setattr(commands, "find_run_days", lambda *_, **__: "days")
    monkeypatch.setattr(commands, "stale_sources", lambda *_: [])
    monkeypatch.setattr(commands, "record_build", lambda *_, **__: None)
    monkeypatch.setattr(build_lock, "renewed", renewed)
    monkeypatch.setattr(build_lock, "free", refuse)

    def publishes(results: list[NodeResult]) -> None:
        def run_dbt(_: object, __: Settings, publish: Callable[[NodeResult], None]) -> None:
            for result in results:
                publish(result)

        monkeypatch.setattr(commands, "run_dbt", run_dbt)

    return publishes


def test_a_lock_that_cannot_be_given_back_hides_no_outcome(
    on_redshift: Callable[[list[NodeResult]], None],
    settings: Settings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    on_redshift(complete())
    assert run(["build", "--run-id", "r"], settings, Stop()) == 0
    assert result_of(tmp_path)["status"] == "success"
    assert "expires in 15 minutes: the warehouse cannot be reached" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["--full-refresh"]])
def test_a_full_refresh_reaches_every_step(
    on_redshift: Callable[[list[NodeResult]], None],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    words: list[str],
) -> None:
    on_redshift([])
    given: list[bool] = []
    for step in ("find_run_days", "record_build"):
        monkeypatch.setattr(
            commands, step, lambda *_, full_refresh, **__: given.append(full_refresh)
        )

    def run_dbt(request: BuildRequest, _: object, publish: Callable[[NodeResult], None]) -> None:
        given.append(request.full_refresh)
        for result in complete():
            publish(result)

    monkeypatch.setattr(commands, "run_dbt", run_dbt)
    assert run(["build", "--run-id", "r", *words], settings, Stop()) == 0
    assert given == [bool(words)] * 3


@pytest.mark.parametrize("words", [[], ["--allow-lost-rows"]])
def test_the_permission_to_lose_rows_reaches_the_first_step(
    on_redshift: Callable[[list[NodeResult]], None],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    words: list[str],
) -> None:
    on_redshift(complete())
    given: list[bool] = []
    monkeypatch.setattr(
        commands, "find_run_days", lambda *_, allow_lost_rows, **__: given.append(allow_lost_rows)
    )
    assert run(["build", "--run-id", "r", *words], settings, Stop()) == 0
    assert given == [bool(words)]


def test_no_command_reads_a_part_of_its_inputs_only(
    on_redshift: Callable[[list[NodeResult]], None],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    tmp_path: Path,
) -> None:
    on_redshift(complete())
    monkeypatch.setattr(commands, "dbt", lambda *_: pytest.fail("dbt was started"))
    monkeypatch.setenv("CONTAINER_ARTIFACTS", str(tmp_path / "report"))
    assert run(["dbt", "build", "--empty"], settings, Stop()) == 1
    monkeypatch.setenv("DBT_SAMPLE", "1 day")
    assert run(["dbt", "build"], settings, Stop()) == 1
    assert run(["build", "--run-id", "r"], settings, Stop()) == 1
    assert "the variable DBT_SAMPLE is set" in result_of(tmp_path)["message"]


@pytest.mark.parametrize("left_out", ["model.game_analytics.fct_bets", CROSS_MODEL_TESTS])
def test_a_node_without_a_result_is_not_recorded_as_built(
    on_redshift: Callable[[list[NodeResult]], None],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    tmp_path: Path,
    left_out: str,
) -> None:
    on_redshift([result for result in complete() if result.unique_id != left_out])
    monkeypatch.setattr(commands, "record_build", lambda *_, **__: pytest.fail("recorded"))
    assert run(["build", "--run-id", "r"], settings, Stop()) == 1
    assert f"dbt has not built and tested {left_out}" in result_of(tmp_path)["message"]


def test_an_error_that_a_stop_caused_is_reported_as_a_stop(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    stop = Stop()

    def behave(*_: object, **__: object) -> RunResult:
        # The interrupt lets dbt's parse fail.
        stop.signal = signal.SIGTERM
        raise UserError("dbt cannot parse the project: .")

    monkeypatch.setattr(commands, "build_all", behave)
    assert run(["build", "--run-id", "r"], settings, stop) == 143
    assert result_of(tmp_path)["status"] == "stopped"
    assert result_of(tmp_path)["exit_code"] == 143


def test_a_lost_lock_is_reported_as_an_error_and_not_as_a_stop(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    stop = Stop()

    def behave(*_: object, **__: object) -> RunResult:
        stop.signal = signal.SIGINT
        raise LockLostError("the days of this run were replaced by those of b: start a new run.")

    monkeypatch.setattr(commands, "build_all", behave)
    assert run(["build", "--run-id", "r"], settings, stop) == 1
    assert result_of(tmp_path)["status"] == "error"
    assert result_of(tmp_path)["message"].startswith("the days of this run were replaced")


def test_a_stop_while_it_reports_does_not_cost_the_report(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    stop = Stop()
    monkeypatch.setattr(stop, "end_process", lambda: None)

    def write(self: DocumentsInFolder, name: str, content: bytes) -> None:
        if name == "manifest.json":
            stop.on_signal(signal.SIGTERM, None)
        real(self, name, content)

    real = DocumentsInFolder.write
    monkeypatch.setattr(DocumentsInFolder, "write", write)
    good = RunResult("r", "success", "1 nodes built", 0)
    monkeypatch.setattr(commands, "build_all", lambda *_, **__: good)
    assert run(["build", "--run-id", "r"], settings, stop) == 0
    assert stop.signal == signal.SIGTERM
    assert result_of(tmp_path)["status"] == "success"


def test_a_report_that_hangs_does_not_hold_up_a_stop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stop = Stop()
    stop.signal = signal.SIGTERM
    held = threading.Event()
    documents = Documents(tmp_path, refuses=lambda _: not held.wait(30))
    stop.report = Report(documents, tmp_path)
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(module, "STOP_SECONDS", 0.0)
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.1)
    began = time.monotonic()
    stop.end_process()
    assert codes == [143]
    assert time.monotonic() - began < 10
    held.set()


def test_the_line_of_a_result_is_one_and_short(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    error = UserError("dbt could not finish:\n\n  Compilation Error\n" + "x" * 5_000)
    assert built(monkeypatch, settings, raising(error)) == 1
    message = result_of(tmp_path)["message"]
    assert message.startswith("dbt could not finish: Compilation Error xxx")
    assert len(message) == MESSAGE_LENGTH


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LockedError("other builds in this warehouse: wait for its end."), 75),
        (UserError("the warehouse cannot be reached (connection refused): see its cluster."), 75),
        (UserError("dbt failed: serializable isolation violation on table 7"), 75),
        (UserError("the lake s3://a/b cannot be read (AccessDenied): give this role access."), 1),
        (
            LockLostError("the days of this run were replaced by those of b: start a new run."),
            1,
        ),
        # An unexpected error: the state machine reads the code, a person the result.
        (RuntimeError("server closed the connection unexpectedly"), 75),
        (UserError("dbt failed: password authentication failed for user dbt"), 77),
        (KeyError("unique_id"), 1),
    ],
)
def test_the_exit_code_is_that_of_the_result(
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    tmp_path: Path,
    error: Exception,
    code: int,
) -> None:
    assert built(monkeypatch, settings, raising(error)) == code
    result = result_of(tmp_path)
    assert (result["status"], result["exit_code"]) == ("error", code)
    is_sentence = isinstance(error, UserError)
    text = str(error) if is_sentence else without_values(str(error))
    assert text in result["message"]


def test_a_result_holds_no_value_of_the_data(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    """The state machine sends the result's messages in an alert."""
    quoted = "Could not convert string 'O'Hara\nerror: (Zoltan) 4000123456' to INT32"
    report = Report(Documents(tmp_path / "other"), tmp_path)
    report.add(node("model.game_analytics.m", "error", f"Conversion Error: {quoted}"))
    (failed,) = report.failed()
    assert failed.message.startswith("Conversion Error: Could not convert string '***")
    assert not re.search("Hara|Zoltan|4000123456", failed.message)
    # The exit code depends on the whole message, which only this process has.
    assert quoted in report.errors()[0]
    built(monkeypatch, settings, raising(RuntimeError(quoted)))
    text = (tmp_path / "docs" / "runs" / "r" / "build" / "result.json").read_text()
    assert "Could not convert string" in text
    assert not re.search("Hara|Zoltan|4000123456", text)


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([node("a", "error", "1023")], 75),
        ([node("a", "error", "connection reset by peer"), node("b", "skipped")], 75),
        ([node("a", "error", "1023"), node("b", "error", "password authentication failed")], 77),
        ([node("a", "error", "1023"), node("b", "fail", "Got 1 result")], 1),
        ([node("a", "error", "1023"), node("b", "error", "column x does not exist")], 1),
        # A failed test is final, even if its message contains the words of a lost connection.
        ([node("a", "fail", "connection refused")], 1),
    ],
)
def test_failed_nodes_are_tried_again_if_all_may_succeed(
    on_redshift: Callable[[list[NodeResult]], None],
    settings: Settings,
    tmp_path: Path,
    results: list[NodeResult],
    code: int,
) -> None:
    on_redshift(results)
    assert run(["build", "--run-id", "r"], settings, Stop()) == code
    result = result_of(tmp_path)
    assert (result["status"], result["exit_code"]) == ("failed", code)
    wrong = [n.unique_id.split(".")[-1] for n in results if n.status in {"fail", "error"}]
    assert [entry["node"] for entry in result["failed"]] == wrong


def test_a_result_names_what_failed_and_stays_small(tmp_path: Path) -> None:
    report = Report(Documents(tmp_path / "docs"), tmp_path)
    for number in range(100):
        report.add(node(f"m{number}", "error", "y" * 50_000, None, "z"))
    report.add(node("good"))
    report.add(node("late", "warn", "Got 1 result"))
    report.add(node("below", "skipped"))
    report.add(NodeResult(CROSS_MODEL_TESTS, "success", 0.1, None, (), ()))
    failed = report.failed()
    names = [f"m{n}" for n in range(FAILURES)]
    assert [entry.node for entry in failed] == names
    report.close(RunResult("r", "failed", report.summary(), 1, failed))
    content = (tmp_path / "docs" / "result.json").read_bytes()
    # A state of Step Functions holds at most 256 kB.
    assert len(content) < 100_000
    assert report.summary() == f"of 103 nodes these failed: {', '.join(names)}"


def test_events_come_while_it_runs_and_the_result_comes_last(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "compiled" / "p").mkdir(parents=True)
    (target / "compiled" / "p" / "a.sql").write_text("select 1")
    (target / "run_results.json").write_text("{}")
    (target / "partial_parse.msgpack").write_text("not to be kept")
    documents = Documents(tmp_path / "docs")
    report = Report(documents, target)
    report.add(node("a"))
    until = time.monotonic() + 10
    while not documents.written and time.monotonic() < until:
        time.sleep(0.02)
    assert documents.written == ["events/000001.jsonl"]
    report.add(node("b"))
    report.close(RunResult("r", "success", "2 nodes built", 0))
    assert documents.written[-1] == "result.json"
    assert set(documents.written[1:-1]) - {"manifest.json"} == {
        "events/000002.jsonl",
        "compiled/p/a.sql",
        "run_results.json",
    }
    (line,) = (tmp_path / "docs" / "events" / "000002.jsonl").read_text().splitlines()
    assert from_json(line, NodeResult) == node("b")


def test_the_first_result_counts(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    report = Report(documents, tmp_path / "target")
    first = RunResult("r", "stopped", "stopped", 143)
    closing = [
        threading.Thread(target=report.close, args=(result,))
        for result in (first, RunResult("r", "success", "1 nodes built", 0))
    ]
    closing[0].start()
    closing[0].join()
    closing[1].start()
    closing[1].join()
    assert documents.written.count("result.json") == 1
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "stopped"


def test_an_upload_that_fails_stops_no_other(tmp_path: Path) -> None:
    documents = Documents(tmp_path, refuses=lambda name: name.startswith("events/"))
    report = Report(documents, tmp_path / "target")
    report.add(node("a"))
    report.close(RunResult("r", "success", "1 nodes built", 0))
    assert report.upload_error == "events/000001.jsonl is refused."
    assert documents.written[-1] == "result.json"


def test_a_build_with_an_incomplete_report_is_no_success(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object, name: str, __: bytes) -> None:
        raise UserError(f"{name} is refused.")

    monkeypatch.setattr(DocumentsInFolder, "write", refuse)
    good = RunResult("r", "success", "1 nodes built", 0)
    assert built(monkeypatch, settings, lambda _: good) == 1
    assert "built, but the report is incomplete: result.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["rebuild"], "invalid choice: 'rebuild'"),
        (["build", "--run-id", "a/b"], "'a/b': use letters, digits and . _ - only."),
        (["build", "--run-id", "x" * 201], "use letters, digits and . _ - only."),
        (["follow"], "the following arguments are required: --request"),
        (["follow", "--request", "s3://a/x.json"], "does not end with /request.json"),
    ],
)
def test_a_wrong_command_line_has_code_2(
    words: list[str], why: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(words, settings, Stop())
    assert ended.value.code == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("status", ["success", "failed", "error"])
def test_a_build_is_published_before_its_result_is_written_also_if_it_failed(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path, status: Any
) -> None:
    ended = RunResult("r", status, "so", int(status != "success"))
    seen: list[tuple[RunResult, bool]] = []

    def publish(_: Settings, __: Report, result: RunResult) -> RunResult:
        seen.append((result, (tmp_path / "docs/runs/r/build/result.json").exists()))
        return result

    monkeypatch.setattr(commands, "publish", publish)
    built(monkeypatch, settings, lambda _: ended)
    assert seen == [(ended, False)]
    assert result_of(tmp_path)["status"] == status


def test_a_stopped_build_is_not_published(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, publications: list[RunResult]
) -> None:
    stop = Stop()

    def behave(*_: object, **__: object) -> RunResult:
        stop.signal = signal.SIGTERM
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "build_all", behave)
    assert run(["build", "--run-id", "r"], settings, stop) == 143
    assert publications == []


def test_a_build_without_the_build_lock_is_not_published(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, publications: list[RunResult]
) -> None:
    """Its publication would be the latest one, without anything that it has built."""
    assert built(monkeypatch, settings, raising(LockedError("other builds: wait."))) == 75
    assert publications == []
    # Another error that a later try may repair is published.
    assert built(monkeypatch, settings, raising(UserError("connection refused"))) == 75
    assert [result.status for result in publications] == ["error"]


def test_a_stop_while_it_publishes_is_the_result(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    stop = Stop()
    monkeypatch.setattr(stop, "end_process", lambda: None)
    monkeypatch.setattr(commands, "publish", lambda *_: stop.on_signal(signal.SIGTERM, None))
    good = RunResult("r", "success", "1 nodes built", 0)
    monkeypatch.setattr(commands, "build_all", lambda *_, **__: good)
    assert run(["build", "--run-id", "r"], settings, stop) == 143
    assert result_of(tmp_path)["status"] == "stopped"


@pytest.mark.parametrize("status", ["success", "error"])
def test_a_failed_publication_is_part_of_the_result(
    settings: Settings, tmp_path: Path, status: Any
) -> None:
    # A file is where the folder of the runs belongs.
    docs = tmp_path / "another"
    docs.mkdir()
    (docs / "runs").touch()
    report = Report(DocumentsInFolder(tmp_path / "report"), tmp_path / "target")
    ended = PUBLISH(
        replace(settings, docs=str(docs), dbt_executable="/nowhere/dbt"),
        report,
        RunResult("r", status, "so", int(status != "success")),
    )
    assert ended.exit_code == 1
    assert ended.status == ("failed" if status == "success" else status)
    assert ended.message.startswith("so; the run is not published, and the site is as before: ")
    assert f"{docs} cannot be used (" in ended.message
    assert (tmp_path / "report" / "manifest.json").is_file()
