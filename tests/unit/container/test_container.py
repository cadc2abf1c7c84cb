"""The image's command line without an image: what a result says, exit codes, reports that fail."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from include import build_lock, preflight
from include.build_lock import LockLostError
from include.container import __main__ as module
from include.container import commands
from include.container.__main__ import Stop, run
from include.container.reports import Report, Result
from include.documents import DocumentsInFolder
from include.settings import Settings, UserError
from include.watcher.build import News

LOST = UserError("the warehouse cannot be reached (connection refused): see that it is up.")
REDSHIFT = {
    "GAME_ANALYTICS_TARGET": "redshift",
    "GAME_ANALYTICS_LAKE": "s3://studio-lake/lake",
}


class Documents(DocumentsInFolder):
    """A folder that refuses what it is told to refuse, and remembers the order of names."""

    def __init__(self, path: Path, refuses: Callable[[str], bool] = lambda _: False) -> None:
        super().__init__(path)
        self.refuses = refuses
        self.written: list[str] = []

    def write(self, name: str, content: bytes) -> None:
        if self.refuses(name):
            raise UserError(f"{name} is refused.")
        super().write(name, content)
        self.written.append(name)


def news(name: str, status: str = "success", *messages: str | None) -> News:
    results = [{"unique_id": name, "status": status, "message": message} for message in messages]
    return News(f"model.p.{name}", status, 0.1, None, [], results)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    given = {"GAME_ANALYTICS_DOCS": str(tmp_path / "docs")}
    return Settings.from_env(REDSHIFT | given)


def result_of(tmp_path: Path, run_id: str = "r") -> dict[str, Any]:
    file = tmp_path / "docs" / "runs" / run_id / "build" / "result.json"
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def built(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, behave: Callable[[Report], Result]
) -> int:
    """The exit code of a `build` that does this."""
    monkeypatch.setattr(commands, "build_all", lambda _, __, report: behave(report))
    return run(["build", "--run-id", "r"], settings, Stop())


def raising(error: BaseException) -> Callable[[Report], Result]:
    def behave(_: Report) -> Result:
        raise error

    return behave


@pytest.fixture
def on_redshift(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[News]], None]:
    """A build on Redshift up to dbt, which then has these news; giving the lock back fails."""

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
    monkeypatch.setattr(commands, "open_database", opened)
    monkeypatch.setattr(commands, "find_run_days", lambda *_, **__: "days")
    monkeypatch.setattr(commands, "stale_sources", lambda *_: [])
    monkeypatch.setattr(commands, "record_build", lambda *_, **__: None)
    monkeypatch.setattr(build_lock, "renewed", renewed)
    monkeypatch.setattr(build_lock, "free", refuse)

    def tell(told: list[News]) -> None:
        def run_dbt(_: object, __: Settings, publish: Callable[[News], None]) -> None:
            for each in told:
                publish(each)

        monkeypatch.setattr(commands, "run_dbt", run_dbt)

    return tell


def test_a_lock_that_cannot_be_given_back_hides_no_outcome(
    on_redshift: Callable[[list[News]], None],
    settings: Settings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    on_redshift([news("a")])
    assert run(["build", "--run-id", "r"], settings, Stop()) == 0
    assert result_of(tmp_path)["status"] == "success"
    assert "expires in 5 minutes: the warehouse cannot be reached" in capsys.readouterr().out


def test_what_a_stop_broke_is_told_as_a_stop(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    stop = Stop()

    def behave(*_: object) -> Result:
        # dbt's parse takes the interrupt, and has failed then.
        stop.signal = signal.SIGTERM
        raise UserError("dbt cannot parse the project: .")

    monkeypatch.setattr(commands, "build_all", behave)
    assert run(["build", "--run-id", "r"], settings, stop) == 143
    assert result_of(tmp_path)["status"] == "stopped"
    assert result_of(tmp_path)["exit_code"] == 143


def test_who_lost_the_lock_is_told_so_and_not_of_a_stop(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    stop = Stop()

    def behave(*_: object) -> Result:
        stop.signal = signal.SIGINT
        raise LockLostError("the days of this run were replaced by those of other: start anew.")

    monkeypatch.setattr(commands, "build_all", behave)
    assert run(["build", "--run-id", "r"], settings, stop) == 1
    assert result_of(tmp_path)["status"] == "error"
    assert result_of(tmp_path)["message"].startswith("the days of this run were replaced")


def test_a_stop_while_it_reports_does_not_cost_the_report(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    stop = Stop()
    monkeypatch.setattr(stop, "insist", lambda: None)

    def write(self: DocumentsInFolder, name: str, content: bytes) -> None:
        if name == "manifest.json":
            stop.hear(signal.SIGTERM, None)
        real(self, name, content)

    real = DocumentsInFolder.write
    monkeypatch.setattr(DocumentsInFolder, "write", write)
    good = Result("r", "success", "1 nodes built", 0)
    monkeypatch.setattr(commands, "build_all", lambda *_: good)
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
    stop.insist()
    assert codes == [143]
    assert time.monotonic() - began < 10
    held.set()
