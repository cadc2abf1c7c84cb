"""The alerts: their shape, and that nothing that goes wrong with them goes further."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import game_analytics_triggers as triggers

from include import alerts
from include.settings import Settings

TOPIC = "arn:aws:sns:eu-central-1:123456789012:on-call"
ANSWER = b"""<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>
<MessageId>1</MessageId></PublishResult></PublishResponse>"""


class Sns:
    """SNS's query interface on loopback, as far as publishing needs it."""

    def __init__(self, status: int = 200) -> None:
        self.messages: list[dict[str, list[str]]] = []
        sns = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                sns.messages.append(parse_qs(body))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(ANSWER if status == 200 else b"")

            def log_message(self, *_: Any) -> None:
                """Nothing on the terminal."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def sns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sns]:
    sns = Sns()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", sns.url)
    yield sns
    sns.server.shutdown()


def context(**task: Any) -> dict[str, Any]:
    given = {"task_id": "fct_bets", "owner": "Betting", "model_file": "dbt/models/fct_bets.sql"}
    return {
        "dag": SimpleNamespace(dag_id="game_analytics"),
        "run_id": "scheduled__2026-09-01",
        "task": SimpleNamespace(**(given | task)),
        "ti": SimpleNamespace(try_number=1, log_url="http://airflow/log"),
        "exception": ValueError("first line\nsecond line"),
    }


def test_a_failed_test_in_full(sns: Sns, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sql = tmp_path / "unique_bet.sql"
    sql.write_text("select 1")
    problem = {
        "what": "test unique_bet failed: Got 1 result",
        "file": "dbt/models/fct_bets.yml",
        "sql": str(sql),
        "rows": [{"unique_field": "***", "n_records": "2"}],
    }
    with caplog.at_level(logging.ERROR):
        alerts.report_failure(TOPIC, context(problems=[problem]))
    (message,) = sns.messages
    assert message["TargetArn"] == [TOPIC]
    assert message["Subject"] == ["game_analytics: fct_bets failed (Betting)"]
    assert json.loads(message["Message"][0])["default"] == (
        "Task fct_bets of DAG game_analytics has failed.\n\n"
        "run:      scheduled__2026-09-01\n"
        "model:    dbt/models/fct_bets.sql\n"
        "owner:    Betting\n\n"
        "test unique_bet failed: Got 1 result\n"
        "  file: dbt/models/fct_bets.yml\n"
        f"  sql: {sql}\n"
        "  row: unique_field=***, n_records=2\n\n"
        "log:      http://airflow/log\n"
        "runbook:  the DAG's page, row `a node`\n\n"
        "SQL of test unique_bet failed:\nselect 1"
    )
    (line, *_) = caplog.messages[0].splitlines()
    assert line == (
        "ALERT dag=game_analytics run=scheduled__2026-09-01 task=fct_bets "
        "model=dbt/models/fct_bets.sql owner=Betting error=test unique_bet failed: Got 1 result"
    )


def test_without_a_topic_it_is_logged_and_no_more(
    sns: Sns, caplog: pytest.LogCaptureFixture
) -> None:
    alerts.report_failure("", context())
    assert sns.messages == []
    assert "error=first line" in caplog.messages[0].splitlines()[0]
    assert "second line" in caplog.messages[0]


def test_a_task_that_no_worker_ended(caplog: pytest.LogCaptureFixture) -> None:
    """Airflow's DAG processor calls with less in its hands."""
    bare = context()
    bare["exception"] = None
    bare["ti"] = SimpleNamespace(task_id="fct_bets")
    alerts.report_failure("", bare)
    assert "its worker was lost" in caplog.messages[0]


def test_a_subject_is_what_sns_takes(sns: Sns) -> None:
    alerts.report_failure(TOPIC, context(owner="Glücksspiel\n" + "x" * 200))
    (message,) = sns.messages
    assert len(message["Subject"][0]) == 100
    assert message["Subject"][0].isascii()
    assert message["Subject"][0].isprintable()


def test_a_body_is_what_sns_takes(sns: Sns) -> None:
    wide = context()
    wide["exception"] = ValueError("ü" * 300_000)
    alerts.report_failure(TOPIC, wide)
    assert len(sns.messages[0]["Message"][0].encode()) <= 256 * 1024


def test_what_goes_wrong_with_sns_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", Sns(403).url)
    alerts.report_failure(TOPIC, context())
    assert "could not be sent to " + TOPIC in caplog.text
    caplog.clear()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", address)
        alerts.report_failure(TOPIC, context())
    assert "could not be sent to " + TOPIC in caplog.text


def test_a_crash_while_it_is_made_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    alerts.report_failure(TOPIC, {})
    assert "could not be made" in caplog.text


def test_a_late_run(sns: Sns, caplog: pytest.LogCaptureFixture) -> None:
    given = {"dag_run": {"dag_id": "game_analytics", "run_id": "r1"}, "deadline": {}}
    late = triggers.report_late_run(topic=TOPIC, minutes=90, context=given)
    asyncio.run(late)
    assert "ALERT dag=game_analytics run=r1 late=90 min" in caplog.text
    assert sns.messages[0]["Subject"] == ["Late: game_analytics r1"]


def test_the_deadline_is_a_setting() -> None:
    assert alerts.deadline(Settings(deadline_minutes="")) is None
    deadline = alerts.deadline(Settings(deadline_minutes="90", alert_topic_arn=TOPIC))
    assert deadline
    assert str(deadline.interval) == "1:30:00"
    assert deadline.callback.path == "game_analytics_triggers.report_late_run"
    assert deadline.callback.kwargs == {"topic": TOPIC, "minutes": 90}
