"""The state machine's expressions give the expected values in JSONata's reference implementation.

Step Functions uses this implementation (JSONata 2.0.6). The emulator uses a port of it.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("yamllint", reason="runs in Airflow's environment, once")

from include.settings import ROOT

ENVIRONMENT = ROOT / ".venv" / "aws"
REFERENCE = ENVIRONMENT / "asl" / "node_modules" / "jsonata"
MACHINE = ROOT / "include" / "aws" / "state_machine.asl.json"
TASK = "arn:aws:ecs:eu-west-1:123456789012:task/game-analytics/1dc5c17a422b4dc78b493192bfe944ec"
RETRY, STOP = "WaitBeforeRetry", "ReadResult"


def cause(**container: Any) -> str:
    """The description of a stopped task as Step Functions gives it, with some fields changed."""
    stop = container.pop("stop", "EssentialContainerExited")
    why = container.pop("why", "Essential container in task exited")
    task = {
        "Attachments": [
            {"Details": [{"Name": "subnetId", "Value": "subnet-1"}], "Status": "DELETED"}
        ],
        "ClusterArn": "arn:aws:ecs:eu-west-1:123456789012:cluster/game-analytics",
        "Containers": [
            {
                "ContainerArn": f"{TASK.replace(':task/', ':container/')}/6c0aa8d9",
                "LastStatus": "STOPPED",
                "Name": "dbt",
                "TaskArn": TASK,
                **container,
            }
        ],
        "Overrides": {"ContainerOverrides": [{"Command": ["build", "--run-id", "x"]}]},
        "StopCode": stop,
        "StoppedAt": 1788246655000,
        "StoppedReason": why,
        "TaskArn": TASK,
    }
    return json.dumps(task, separators=(",", ":"))


@dataclass(frozen=True)
class Case:
    """The error and cause that Step Functions gives after a try, and the expected next state."""

    name: str
    cause: str
    next: str
    summary: str
    tries: int = 1
    error: str = "States.TaskFailed"


CASES = [
    Case("failed", cause(ExitCode=1), STOP, "the container ended with exit code 1 and without"),
    Case("busy", cause(ExitCode=75), RETRY, "the container ended with exit code 75"),
    Case("busy-for-long", cause(ExitCode=75), STOP, "the container ended", tries=12),
    # Exit code 175 contains 75 but is not retried.
    Case("not-75", cause(ExitCode=175), STOP, "the container ended with exit code 175"),
    Case(
        "out-of-memory",
        cause(ExitCode=137, Reason="OutOfMemoryError: Container killed due to memory usage"),
        STOP,
        "out of memory: raise the parameter TaskMemory of build.yaml",
    ),
    Case("killed", cause(ExitCode=137), RETRY, "the container ended with exit code 137"),
    Case(
        "no-exit-code", cause(why="Host EC2 (instance i-1) stopped"), RETRY, "States.TaskFailed: H"
    ),
    Case("spot", cause(ExitCode=143, stop="SpotInterruption"), RETRY, "the container ended"),
    Case("by-hand", cause(ExitCode=143, stop="UserInitiated"), STOP, "the container ended"),
    Case(
        "quoted",
        cause(stop="TaskFailedToStart", why='CannotPullContainerError: "x\\y": timeout'),
        RETRY,
        'the container did not start: CannotPullContainerError: \\"x\\\\y\\": timeout',
    ),
    Case(
        "denied",
        cause(stop="TaskFailedToStart", why="ResourceInitializationError: AccessDeniedException"),
        STOP,
        "the container did not start: ResourceInitializationError",
    ),
    Case(
        "no-room",
        '{"Failures":[{"Arn":"a","Reason":"RESOURCE:CPU"}],"Tasks":[]}',
        STOP,
        'AmazonECS.Unknown: {"Failures"',
        error="AmazonECS.Unknown",
    ),
    Case(
        "no-capacity",
        "Capacity is unavailable at this time. Please try again later",
        RETRY,
        "ECS.ClientException: Capacity",
        error="ECS.ClientException",
    ),
    Case("hangs", "", STOP, "it took longer than two hours", error="States.Timeout"),
    Case("cut-off", cause(ExitCode=1)[:300], STOP, "States.TaskFailed: {"),
]


def test_the_machine_retries_or_stops_as_expected() -> None:
    if not REFERENCE.exists():
        pytest.skip("npm's registry could not be reached when .venv/aws was installed")
    result = {"message": "1 failed", "failed": [{"node": "m", "status": "error"}], "exit_code": 1}
    cases = [
        {"name": one.name, "cause": one.cause, "error": one.error, "tries": one.tries, "result": {}}
        for one in CASES
    ]
    cases.append(
        cases[0] | {"name": "with-ré<sult>", "result": result, "input": {"full_refresh": True}}
    )
    ran = subprocess.run(
        [ENVIRONMENT / "bin" / "node", ROOT / "tests/aws/evaluate.js", REFERENCE],
        input=json.dumps({"machine": json.loads(MACHINE.read_text()), "cases": cases}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    *found, named = json.loads(ran.stdout)
    assert [(case.name, one["next"]) for case, one in zip(CASES, found, strict=True)] == [
        (case.name, case.next) for case in CASES
    ]
    for case, one in zip(CASES, found, strict=True):
        assert one["variables"]["summary"].startswith(case.summary), case.name
        assert one["seconds"] == min(900, 60 * 2 ** (case.tries - 1))
    assert found[0]["command"] == ["build", "--run-id", "failed"]
    assert named["command"] == ["build", "--run-id", "with-ré<sult>", "--full-refresh"]
    stream = f"stream dbt/dbt/{TASK.rsplit('/', 1)[1]}"
    assert stream in found[0]["message"]
    assert "stream" not in found[-2]["message"]
    assert named["subject"] == "Build failed: with-r?<sult>"
    assert "failed: 1 failed\n\nFailed nodes:\n- m: error\n\nRun: with-ré<sult>" in named["message"]
