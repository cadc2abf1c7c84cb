"""The alerts: their text, and that no error while sending one has other consequences."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
)

from include.messages import StaleSources
from include.orchestration import alerts
from include.orchestration.alerts import ExplainedProblem
from include.orchestration.operators.selection import result_of
from include.settings import Settings

TOPIC = "arn:aws:sns:eu-central-1:123456789012:on-call"
LOG = "http://airflow/dags/game_analytics/runs/r/tasks/fct_bets?try_number=1"
ANSWER = b"""<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>
<MessageId>1</MessageId></PublishResult></PublishResponse>"""


class Sns:
    """The part of SNS's query interface that publishing needs, on loopback."""

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
                """Print nothing on the terminal."""

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
        "ti": SimpleNamespace(try_number=1, log_url=LOG),
        "exception": ValueError("first line\nsecond line"),
    }


def test_the_alert_of_a_failed_test_is_complete(
    sns: Sns, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sql = tmp_path / "unique_bet.sql"
    sql.write_text("select 1")
    problem = ExplainedProblem(
        what="test unique_bet failed",
        message="Got 1 result, configured to fail if != 0",
        file="dbt/models/fct_bets.yml",
        sql=str(sql),
        rows=({"unique_field": "***", "n_records": "2"},),
    )
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
        "test unique_bet failed: Got 1 result, configured to fail if != 0\n"
        "  file: dbt/models/fct_bets.yml\n"
        f"  SQL:  {sql}\n"
        "  rows: 1 are in the log, with unique_field, n_records\n\n"
        f"log:      {LOG}\n"
        "runbook:  http://airflow/dags/game_analytics, Dag Docs, `a node`\n\n"
        "SQL of test unique_bet failed:\nselect 1"
    )
    (line, *_) = caplog.messages[0].splitlines()
    assert line == (
        "ALERT dag=game_analytics run=scheduled__2026-09-01 task=fct_bets "
        "model=dbt/models/fct_bets.sql owner=Betting error=test unique_bet failed: "
        "Got 1 result, configured to fail if != 0"
    )


def test_without_a_topic_the_alert_is_only_logged(
    sns: Sns, caplog: pytest.LogCaptureFixture
) -> None:
    alerts.report_failure("", context())
    assert sns.messages == []
    assert "error=ValueError: first line" in caplog.messages[0].splitlines()[0]


def test_an_alert_carries_no_value_of_a_file(
    sns: Sns, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The task's log has the values; whatever leaves through SNS or the alert's line has none."""
    sql = tmp_path / "fct_bets.sql"
    sql.write_text("select cast(stake as int) from staging.bets")
    cell = 'O\'Hara, "Zoltan"\nerror: (Frieda) 4000123456'
    message = f"Conversion Error: Could not convert string '{cell}' to INT32 in column stake"
    problem = ExplainedProblem(
        what="model fct_bets had an error",
        message=message,
        sql=str(sql),
        rows=({"unique_field": cell, "n_records": "4000123456"},),
    )
    assert cell in problem.text
    failed = context(problems=[problem]) | {"exception": AirflowException(problem.text)}
    alerts.report_failure(TOPIC, failed)
    alerts.report_failure(TOPIC, context() | {"exception": ValueError(message)})
    alerts.report_failure(TOPIC, context() | {"exception": KeyError(cell)})
    sent = [json.loads(text["Message"][0])["default"] for text in sns.messages]
    for text in (*sent, *caplog.messages, *(message["Subject"][0] for message in sns.messages)):
        assert not re.search("Hara|Zoltan|Frieda|4000123456", text)
    assert "model fct_bets had an error: Conversion Error: Could not convert string '***" in sent[0]
    assert "***' to INT32 in column stake\n" in sent[0]
    assert "rows: 1 are in the log, with unique_field, n_records" in sent[0]
    assert "ValueError: Conversion Error: Could not convert string '***" in sent[1]
    assert "KeyError: '***'" in sent[2]


def test_an_error_of_the_compilation_is_sent_as_it_is() -> None:
    """dbt raises it before it reads any row, and on-call needs its names and its remedy."""
    message = "Compilation Error in model int_bets\n  a full refresh would lose the rows of 3 days"
    problem = ExplainedProblem(what="model int_bets had an error", message=message)
    assert problem.masked_message("s3://b/lake") == message
    problem = ExplainedProblem(what="model int_bets had an error", message="Database Error: Zoltan")
    assert "Zoltan" not in problem.masked_message("s3://b/lake")


def test_only_an_error_that_this_package_raises_is_sent_as_it_is(sns: Sns) -> None:
    """An AirflowException of another package can quote a value as well."""
    with pytest.raises(AirflowFailException) as own:
        result_of({"ti": SimpleNamespace(xcom_pull=lambda **_: {})}, "freshness", StaleSources)
    alerts.report_failure(TOPIC, context() | {"exception": own.value})
    with pytest.raises(AirflowException) as other:
        raise AirflowException("Zoltan was here")
    alerts.report_failure(TOPIC, context() | {"exception": other.value})
    sent = [json.loads(text["Message"][0])["default"] for text in sns.messages]
    assert "\n\nThe run has no result of freshness: clear that task with its downstream." in sent[0]
    assert "AirflowException: *** was ***" in sent[1]


def test_a_task_that_no_worker_ended_has_an_alert(caplog: pytest.LogCaptureFixture) -> None:
    """Airflow's DAG processor calls without an exception and with an incomplete task instance."""
    bare = context()
    bare["exception"] = None
    bare["ti"] = SimpleNamespace(task_id="fct_bets")
    alerts.report_failure("", bare)
    assert "its worker was lost" in caplog.messages[0]


def test_whatever_is_missing_is_a_dash(sns: Sns, caplog: pytest.LogCaptureFixture) -> None:
    alerts.report_failure(TOPIC, {})
    assert caplog.messages[0].startswith("ALERT dag=- run=- task=- model=- owner=- error=")
    assert "runbook:  the page of the DAG, Dag Docs, `-`" in caplog.messages[0]
    assert len(sns.messages) == 1
    caplog.clear()
    problems = [ExplainedProblem(sql="gone.sql"), ExplainedProblem("model x had an error: no")]
    alerts.report_failure(TOPIC, {"task": SimpleNamespace(problems=problems), "exception": None})
    assert caplog.messages[0].splitlines()[0].endswith("error=-")
    assert "model x had an error: no" in caplog.messages[0]
    assert len(sns.messages) == 2


def test_an_exception_without_a_text_is_named_by_its_type(caplog: pytest.LogCaptureFixture) -> None:
    alerts.report_failure("", context() | {"exception": TimeoutError()})
    assert caplog.messages[0].splitlines()[0].endswith("error=TimeoutError")


def test_the_context_of_airflows_dag_processor_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    """`_execute_task_callbacks` of Airflow 3.3.1 passes these objects, without an exception."""
    from airflow.sdk import DAG, BaseOperator
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    with DAG("game_analytics", schedule=None):
        task = BaseOperator(task_id="kpi_summary", owner="Product")
    ti = RuntimeTaskInstance.model_construct(
        task=task,
        task_id="kpi_summary",
        dag_id="game_analytics",
        run_id="manual__1",
        id=uuid4(),
        dag_version_id=uuid4(),
        try_number=3,
        map_index=-1,
    )
    alerts.report_failure("", ti.get_template_context())
    line, *details = caplog.messages[-1].splitlines()
    assert line.startswith(
        "ALERT dag=game_analytics run=manual__1 task=kpi_summary model=- owner=Product error=no exc"
    )
    assert details[0] == "Task kpi_summary of DAG game_analytics has failed, after 3 tries."
    page = "/dags/game_analytics"
    assert f"{page}/runs/manual__1/tasks/kpi_summary?try_number=3" in caplog.messages[-1]
    assert f"{page}, Dag Docs, `kpi_summary`" in caplog.messages[-1]


def test_a_subject_is_what_sns_takes(sns: Sns) -> None:
    alerts.report_failure(TOPIC, context(owner="Glücksspiel\n" + "x" * 200))
    (message,) = sns.messages
    assert len(message["Subject"][0]) == 100
    assert message["Subject"][0].isascii()
    assert message["Subject"][0].isprintable()


def test_a_body_is_what_sns_takes(sns: Sns) -> None:
    wide = context(owner="\U0001f3b2" * 50_000)
    alerts.report_failure(TOPIC, wide)
    assert len(sns.messages[0]["Message"][0].encode()) <= 256 * 1024


def test_the_sql_is_cut_first(sns: Sns, tmp_path: Path) -> None:
    problems = []
    for number in range(9):
        (tmp_path / f"{number}.sql").write_text("x" * 300_000)
        what, message = f"test {number} failed", "value long " * 4500
        problems.append(ExplainedProblem(what, message, sql=str(tmp_path / f"{number}.sql")))
    alerts.report_failure(TOPIC, context(problems=problems))
    text = json.loads(sns.messages[0]["Message"][0])["default"]
    assert text.index("… cut here, the log has the rest") < text.index(LOG)
    assert text.index(LOG) < text.index("runbook:") < text.index("SQL of test 0 failed:")
    assert "x\n… cut here, the file has the rest\n" in text
    assert text.endswith("\n… cut here, the log has the rest")
    assert len(json.dumps(text)) <= 256 * 1024


def test_an_error_of_sns_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", Sns(403).url)
    alerts.report_failure(TOPIC, context())
    assert "could not be sent to " + TOPIC in caplog.text
    caplog.clear()
    with socket.socket() as nobody:
        # A port that is bound but not listening refuses connections.
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", address)
        alerts.report_failure(TOPIC, context())
    assert "could not be sent to " + TOPIC in caplog.text


def test_an_sns_that_hangs_holds_a_worker_for_seconds_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert 2 * 2 * alerts.SNS_SECONDS <= 20
    monkeypatch.setattr(alerts, "SNS_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", address)
        started = time.monotonic()
        alerts.report_failure(TOPIC, context())
        assert time.monotonic() - started < 5
    assert "Read timeout on endpoint URL" in caplog.text
    assert "could not be sent to " + TOPIC in caplog.text


@pytest.mark.parametrize("crash", [ValueError, AirflowTaskTimeout, SystemExit])
def test_a_crash_while_an_alert_is_made_is_logged(
    crash: type[BaseException], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise crash

    monkeypatch.setattr(alerts, "cut", broken)
    alerts.report_failure(TOPIC, context(problems=[ExplainedProblem("x")]))
    assert "could not be made" in caplog.text
    assert crash.__name__ in caplog.text


def test_a_late_run_has_an_alert(sns: Sns, caplog: pytest.LogCaptureFixture) -> None:
    from airflow.api_fastapi.core_api.datamodels.dag_run import DAGRunResponse

    run = {"dag_id": "game_analytics", "dag_run_id": "r1", "state": "running"}
    # Airflow's `Deadline.handle_miss` passes the run to a callback in this form.
    assert run.keys() <= DAGRunResponse.model_fields.keys()
    given = {"dag_run": run, "deadline": {}}
    alerts.report_late_run(topic=TOPIC, minutes=90, context=given)
    assert "ALERT dag=game_analytics run=r1 late=90 min" in caplog.text
    assert sns.messages[0]["Subject"] == ["Late: game_analytics r1"]


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_run_that_has_ended_is_not_late(
    state: str, sns: Sns, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that failed in time keeps its deadline; the failed task has had an alert already."""
    run = {"dag_id": "game_analytics", "dag_run_id": "r1", "state": state}
    alerts.report_late_run(topic=TOPIC, minutes=90, context={"dag_run": run})
    assert "ALERT" not in caplog.text
    assert sns.messages == []


def test_the_deadline_is_a_setting() -> None:
    assert alerts.deadline(Settings(deadline_minutes="")) is None
    deadline = alerts.deadline(Settings(deadline_minutes="90", alert_topic_arn=TOPIC))
    assert deadline
    assert str(deadline.interval) == "1:30:00"
    assert deadline.callback.path == "include.orchestration.alerts.report_late_run"
    assert deadline.callback.kwargs == {"topic": TOPIC, "minutes": 90}
