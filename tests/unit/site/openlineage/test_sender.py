"""What a backend costs that does not answer, refuses, redirects or is slow."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("openlineage.client", reason="runs in dbt's environment")
pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

from pathlib import Path

from openlineage.client.event_v2 import RunEvent

from include.settings import Settings
from include.site.openlineage import publication
from include.site.openlineage.events import Place, WholeRun
from include.site.openlineage.publication import API_KEY_VARIABLE, send_lineage
from include.site.openlineage.sender import Sender
from include.site.runs import Run
from tests.support.openlineage_backend import backend

RUN = Run("r", "success", "site/1", "2026-11-30T04:30:00+00:00", "2026-11-30T04:40:00+00:00", 600)
KEY = "key-of-the-backend"
LIMIT = 5.0


def events(number: int) -> list[list[RunEvent]]:
    """The same run several times, which is enough for a sender."""
    whole = WholeRun(Place("n", "j", is_dag=True), RUN)
    return [[whole.start(), whole.end()] for _ in range(number)]


@contextmanager
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def closed() -> Iterator[str]:
    """An address on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@contextmanager
def full() -> Iterator[str]:
    """An address whose server accepts no further connection, as a firewall drops packets."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(server.getsockname())
            waiting.append(one)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for one in waiting:
            one.close()


@contextmanager
def answering(status: int) -> Iterator[str]:
    with backend(status) as server:
        yield server.url


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (closed, "cannot be reached (Connection refused)"),
        (silent, "did not answer"),
        (full, "did not answer"),
        (lambda: answering(500), "500 Server Error"),
        (lambda: answering(503), "503"),
        (lambda: answering(401), "401 Client Error: Unauthorized"),
        (lambda: answering(301), "redirects to another address"),
        (lambda: answering(0), "did not answer"),
    ],
    ids=["closed", "silent", "full", "500", "503", "401", "301", "never"],
)
def test_a_backend_that_does_not_work_costs_a_warning_and_at_most_5_seconds(
    address: object, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(address)
    with address() as url:
        began = time.monotonic()
        send_lineage(
            Settings(openlineage_url=url),
            tmp_path,
            RUN,
            is_dag=True,
            environ={API_KEY_VARIABLE: KEY},
        )
        assert time.monotonic() - began < LIMIT
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("warning: ")
    assert f"GAME_ANALYTICS_OPENLINEAGE_URL ({url})" in line
    assert text in line
    assert "0 events were accepted" in line
    assert KEY not in line


def test_a_name_that_does_not_exist_costs_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    send_lineage(
        Settings(openlineage_url="https://no-such-host.invalid"), tmp_path, RUN, is_dag=True
    )
    assert time.monotonic() - began < LIMIT
    assert capsys.readouterr().out.startswith("warning: ")


def test_a_backend_that_stops_in_the_middle_costs_no_more_than_one_that_never_answers() -> None:
    with backend(0, accepted=50) as server:
        sender = Sender(server.url, "", 2.0)
        began = time.monotonic()
        assert sender.send(events(100)) == "it answers too slowly"
        assert 2.0 < time.monotonic() - began < 2.0 + 50 * 0.02 + 1.0
        assert sender.accepted == 50


def test_a_slow_backend_is_given_up_although_each_answer_comes() -> None:
    with backend(seconds=0.5) as server:
        sender = Sender(server.url, "", 2.0)
        began = time.monotonic()
        # The time of all calls counts together.
        assert sender.send(events(1)) == ""
        assert sender.send(events(500)) == "it answers too slowly"
        assert time.monotonic() - began < 4.0
        assert 2 < sender.accepted < 100


def test_many_events_arrive_once_each_and_in_the_order_of_their_run() -> None:
    with backend() as server:
        sender = Sender(server.url, KEY, 4.0)
        assert sender.send(events(500)) == ""
        assert sender.accepted == len(server.events) == 1000
        assert len(server.connections) <= 8
        kinds = [event["eventType"] for event in server.events]
        assert kinds.count("START") == kinds.count("COMPLETE") == 500
        assert kinds[0] == "START"


def test_a_defect_costs_a_warning_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        raise KeyError("schema")

    monkeypatch.setattr(publication, "read_assets", broken)
    for name in ("manifest.json", "run_results.json"):
        (tmp_path / name).write_text('{"nodes": {}, "results": []}')
    with backend() as server:
        send_lineage(Settings(openlineage_url=server.url), tmp_path, RUN, is_dag=True)
        # The end of the run is not sent, because its nodes are not.
        assert [event["eventType"] for event in server.events] == ["START"]
    assert "KeyError: 'schema'. The run is published." in capsys.readouterr().out
