"""Executions of the state machine: which failures it retries, and the alerts that it sends.

The outcomes of ECS tasks are scripted (`tests/support/emulator.py`). Step Functions, S3, SNS and
SQS are the emulator's own. The state machine is the one that the template creates.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("yamllint", reason="runs in Airflow's environment, once")

from include.settings import ROOT
from tests.support import stacks
from tests.support.ministack import MiniStack

RESULT = "/game-analytics-docs-000000000000-us-east-1/site/runs/{run}/build/result.json"
FAILED = {
    "run_id": "…",
    "status": "failed",
    "message": "2 of 40 nodes failed",
    "failed": [
        {"node": "model.game_analytics.fct_bets", "status": "error", "message": "column gone"},
        {"node": "test.game_analytics.not_null_x", "status": "fail", "message": 'Got "3" rows'},
    ],
    "exit_code": 1,
}
REFUSED = {
    "status": "error",
    "message": "password authentication failed",
    "failed": [],
    "exit_code": 77,
}
LOCKED = {"status": "error", "message": "another build has the lock", "failed": [], "exit_code": 75}
GOOD = {"exit": 0}
NOT_STARTED = {"stop": "TaskFailedToStart"}
NAMED = ["- model.game_analytics.fct_bets: error, column gone", "- test.game_analytics.not_null_x"]


@dataclass(frozen=True)
class Row:
    """The scripted outcomes of a run's tasks, and the expected tries and alert."""

    name: str
    outcomes: list[dict[str, Any]]
    tries: int
    alert: list[str] = field(default_factory=list)
    """Texts that the alert must have. Without any, no alert and a success are expected."""
    silent: list[str] = field(default_factory=list)
    """Texts that the alert must not have."""


TABLE = [
    Row("success", [GOOD], 1),
    Row(
        "models-failed",
        [{"exit": 1, "result": FAILED}],
        1,
        ["failed: 2 of 40 nodes failed", *NAMED],
    ),
    Row(
        "wrong-command", [{"exit": 2}], 1, ["exit code 2 and without a result", "no node is known"]
    ),
    Row("rotated-then-good", [{"exit": 77, "result": REFUSED}, GOOD], 2),
    Row("wrong-password", [{"exit": 77, "result": REFUSED}], 3, ["authentication", "(tries: 3)"]),
    Row("locked-then-good", [{"exit": 75, "result": LOCKED}] * 2 + [GOOD], 3),
    Row("locked-for-ever", [{"exit": 75, "result": LOCKED}], 12, ["has the lock", "(tries: 12)"]),
    Row(
        "locked-then-failed",
        [{"exit": 75, "result": LOCKED}, {"exit": 1, "result": FAILED}],
        2,
        NAMED,
    ),
    Row(
        "locked-then-dead",
        [{"exit": 75, "result": LOCKED}, {"exit": 1}],
        2,
        ["exit code 1 and without a result"],
        ["another build"],
    ),
    Row("no-room-then-good", [{"failures": ["RESOURCE:CPU"]}] * 3 + [GOOD], 4),
    Row(
        "no-room", [{"failures": ["RESOURCE:MEMORY"]}], 6, ["AmazonECS.Unknown", "RESOURCE:MEMORY"]
    ),
    Row("api-throttled", [{"error": "ThrottlingException"}, {"error": "ServerException"}, GOOD], 3),
    Row("no-cluster", [{"error": "ClusterNotFoundException"}], 1, ["ClusterNotFoundException"]),
    Row(
        "processors-used-up",
        [
            {"error": "ClientException", "message": "You've reached the limit on the number of…"},
            GOOD,
        ],
        2,
    ),
    Row(
        "image-not-there",
        [{**NOT_STARTED, "why": "CannotPullContainerError: … sha256:00: not found"}],
        1,
        ["the container did not start: CannotPullContainerError"],
    ),
    Row(
        "image-not-pulled",
        [{**NOT_STARTED, "why": "CannotPullContainerError: i/o timeout"}, GOOD],
        2,
    ),
    Row(
        "secret-not-read",
        [{**NOT_STARTED, "why": "ResourceInitializationError: AccessDeniedException: not you"}],
        1,
        ["did not start: ResourceInitializationError: AccessDeniedException"],
    ),
    Row(
        "no-network",
        [{**NOT_STARTED, "why": "Timeout waiting for network interface provisioning"}],
        3,
        ["did not start: Timeout waiting for network"],
    ),
    Row("retired", [{"exit": 143, "stop": "TerminationNotice", "why": "retirement"}, GOOD], 2),
    Row("killed", [{"exit": 137}], 3, ["exit code 137 and without a result"]),
    Row("host-gone", [{"why": "Host gone"}, GOOD], 2),
    Row(
        "out-of-memory",
        [{"exit": 137, "reason": "OutOfMemoryError: Container killed due to memory usage"}],
        1,
        ["out of memory: raise the parameter TaskMemory of build.yaml", "OutOfMemoryError"],
    ),
    Row(
        "stopped-by-hand",
        [{"exit": 143, "stop": "UserInitiated", "why": "Task stopped by user"}],
        1,
        ["exit code 143", "Task stopped by user"],
    ),
    Row("hangs", [{"hangs": True, "exit": 143}], 1, ["longer than two hours and was stopped"]),
    Row(
        "huge-result",
        [{"exit": 1, "result": {**FAILED, "failed": FAILED["failed"], "more": "x" * 300_000}}],
        1,
        ["exit code 1 and without a result"],
    ),
    Row(
        "long-messages",
        [
            {
                "exit": 1,
                "result": {
                    **FAILED,
                    "failed": [
                        {"node": f"model.x.m{n}", "status": "error", "message": '"\\é' * 130}
                        for n in range(20)
                    ],
                },
            }
        ],
        1,
        [f"- model.x.m{n}: error, " for n in (0, 19)],
    ),
    Row(
        "no-json", [{"exit": 1, "result": "not an object"}], 1, ["exit code 1 and without a result"]
    ),
]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scripts")


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory, scripts: Path) -> Iterator[MiniStack]:
    """An account with both stacks. Waits take a thousandth of their time."""
    with MiniStack.start(
        tmp_path_factory.mktemp("ministack"), SFN_WAIT_SCALE="0.001", ECS_SCRIPTS=str(scripts)
    ) as running:
        stacks.deploy(running, "storage", {"Cluster": "analytics"})
        stacks.deploy(running, "build", stacks.BUILD)
        yield running


@pytest.fixture(scope="module")
def inbox(emulator: MiniStack) -> str:
    """The URL of a queue that gets the alerts."""
    queue: str = emulator.client("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    arn = emulator.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    emulator.client("sns").subscribe(
        TopicArn=stacks.outputs(emulator, "storage")["AlertTopicArn"],
        Protocol="sqs",
        Endpoint=arn["Attributes"]["QueueArn"],
    )
    return queue


def execute(emulator: MiniStack, run: str, given: str = "{}") -> dict[str, Any]:
    """Run the state machine to its end; returns the description of the execution."""
    client = emulator.client("stepfunctions")
    machine = stacks.outputs(emulator, "build")["StateMachineArn"]
    arn = client.start_execution(stateMachineArn=machine, name=run, input=given)["executionArn"]
    found: dict[str, Any] = wait_for(lambda: done(client.describe_execution(executionArn=arn)))
    return found


def done(execution: dict[str, Any]) -> dict[str, Any] | None:
    """The execution if it has ended, else None."""
    return None if execution["status"] == "RUNNING" else execution


def wait_for(look: Callable[[], Any]) -> Any:
    """The first true value that `look` returns; fails the test after half a minute."""
    for _ in range(300):
        if found := look():
            return found
        time.sleep(0.1)
    pytest.fail("the expected value did not come within half a minute")


def alerts(emulator: MiniStack, queue: str) -> list[dict[str, str]]:
    """The alerts in the queue, which is empty afterwards."""
    client = emulator.client("sqs")
    found = []
    while got := client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in got:
            found.append(json.loads(message["Body"]))
            client.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return found


def written(row: Row) -> str:
    """The script of a row, with the S3 path for its results."""
    return json.dumps(
        [
            outcome | ({"result_at": RESULT.format(run=row.name)} if "result" in outcome else {})
            for outcome in row.outcomes
        ]
    )


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_an_execution_retries_and_alerts_as_expected(
    emulator: MiniStack, inbox: str, scripts: Path, row: Row
) -> None:
    (scripts / f"{row.name}.json").write_text(written(row))
    good = row.outcomes[-1] == GOOD
    ended = execute(emulator, row.name)
    requests = (scripts / f"{row.name}.asked").read_text().splitlines()
    assert len(requests) == row.tries
    assert ended["status"] == ("SUCCEEDED" if good else "FAILED"), ended
    sent = alerts(emulator, inbox)
    if good:
        assert sent == []
        assert json.loads(ended["output"]) == {
            "run_id": row.name,
            "artifacts": f"s3:/{RESULT.format(run=row.name).removesuffix('result.json')}",
        }
        return
    (alert,) = sent
    assert alert["Subject"] == f"Build failed: {row.name}"
    text = alert["Message"]
    assert (scripts / f"{row.name}.stopped").exists() == bool(row.outcomes[-1].get("hangs"))
    assert [words for words in row.alert if words not in text] == []
    assert [words for words in row.silent if words in text] == []
    assert ended["error"] == "BuildFailed"
    assert ended["cause"] in text
    for line in (
        f"Run: {row.name} (tries: ",
        f"Artifacts: s3:/{RESULT.format(run=row.name).removesuffix('result.json')}",
        "Log: group /ecs/game-analytics",
        f"Execution: {ended['executionArn']}",
        "What to do: README.md, section When a run fails",
    ):
        assert line in text
    assert len(text.encode()) < 20_000


def test_the_request_to_ecs_has_the_network_and_the_command(
    emulator: MiniStack, scripts: Path
) -> None:
    (scripts / "one-request.json").write_text(json.dumps([GOOD]))
    execute(emulator, "one-request")
    (request,) = map(json.loads, (scripts / "one-request.asked").read_text().splitlines())
    assert request["cluster"].endswith(":cluster/game-analytics")
    assert request["taskDefinition"].endswith(":task-definition/game-analytics-dbt:1")
    assert request["launchType"] == "FARGATE"
    assert request["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": stacks.SUBNETS.split(","),
        "securityGroups": [stacks.SECURITY_GROUPS],
        "assignPublicIp": "DISABLED",
    }
    assert request["overrides"]["containerOverrides"] == [
        {"name": "dbt", "command": ["build", "--run-id", "one-request"]}
    ]


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("true", {"full_refresh": True}, ["--full-refresh"]),
        ("text", {"full_refresh": "true"}, ["--full-refresh"]),
        ("false", {"full_refresh": False}, []),
        ("of-a-schedule", {"time": "2026-11-28T04:30:00Z"}, []),
        ("no-object", ["full_refresh"], []),
        ("lost", {"allow_lost_rows": True}, ["--allow-lost-rows"]),
        (
            "both",
            {"allow_lost_rows": "true", "full_refresh": True},
            ["--full-refresh", "--allow-lost-rows"],
        ),
    ],
)
def test_the_input_becomes_options_of_the_build(
    emulator: MiniStack, scripts: Path, name: str, given: Any, words: list[str]
) -> None:
    # The second try must have the command of the first one.
    script = [{"exit": 75, "result": LOCKED, "result_at": RESULT.format(run=name)}, GOOD]
    (scripts / f"{name}.json").write_text(json.dumps(script))
    assert execute(emulator, name, json.dumps(given))["status"] == "SUCCEEDED"
    lines = (scripts / f"{name}.asked").read_text().splitlines()
    command = {"name": "dbt", "command": ["build", "--run-id", name, *words]}
    for line in lines:
        assert json.loads(line)["overrides"]["containerOverrides"] == [command]
    assert len(lines) == 2


def test_a_task_that_a_person_stopped_is_not_retried(emulator: MiniStack, inbox: str) -> None:
    # Without a script the emulator's own ECS runs the task until it is stopped.
    machines, ecs = emulator.client("stepfunctions"), emulator.client("ecs")
    machine = stacks.outputs(emulator, "build")["StateMachineArn"]
    arn = machines.start_execution(stateMachineArn=machine, name="by-ecs")["executionArn"]
    tasks = wait_for(lambda: ecs.list_tasks(cluster="game-analytics")["taskArns"])
    ecs.stop_task(cluster="game-analytics", task=tasks[0], reason="by hand")
    ended = wait_for(lambda: done(machines.describe_execution(executionArn=arn)))
    assert ended["status"] == "FAILED"
    (alert,) = alerts(emulator, inbox)
    assert "by hand" in alert["Message"]
    assert f"stream dbt/dbt/{tasks[0].rsplit('/', 1)[1]}" in alert["Message"]


def test_an_execution_fails_even_if_the_alert_topic_does_not_exist(
    emulator: MiniStack, inbox: str, scripts: Path
) -> None:
    (scripts / "no-topic.json").write_text(json.dumps([{"exit": 2}]))
    topic = stacks.outputs(emulator, "storage")["AlertTopicArn"]
    client = emulator.client("sns")
    subscription = client.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"][0]
    alerts(emulator, inbox)
    client.delete_topic(TopicArn=topic)
    try:
        ended = execute(emulator, "no-topic")
    finally:
        client.create_topic(Name=topic.rsplit(":", 1)[-1])
        client.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=subscription["Endpoint"])
    # The new topic has the same ARN, but the alert was sent before it existed.
    assert (ended["status"], ended["error"]) == ("FAILED", "BuildFailed")
    assert alerts(emulator, inbox) == []


def test_the_runbook_is_a_section_of_the_readme() -> None:
    template = (stacks.FOLDER / "build.yaml").read_text()
    section = template.partition("RunbookSection: ")[2].partition("\n")[0]
    assert f"\n## {section}\n" in (ROOT / "README.md").read_text()
