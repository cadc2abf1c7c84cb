"""The task that follows an execution: which one, by what name, and what it makes of its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from airflow.sdk.exceptions import AirflowFailException, TaskDeferralError, TaskDeferred

from include.alerts import ToldElsewhereError
from include.settings import Settings
from include.step_functions import BuildExecutionOperator, execution_name

MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:game-analytics-build"
RUN = "scheduled__2026-11-28T04:30:00+00:00"


class Machine:
    """Step Functions, as far as one machine goes."""

    class ExecutionDoesNotExist(Exception):  # noqa: N818 - boto3's name
        """There is none."""

    exceptions = SimpleNamespace(ExecutionDoesNotExist=ExecutionDoesNotExist)

    def __init__(self, *states: str) -> None:
        self.states = {
            execution_name("game_analytics_step_functions", RUN, number): state
            for number, state in enumerate(states, 1)
        }

    def describe_execution(self, executionArn: str) -> dict[str, str]:  # noqa: N803
        name = executionArn.rpartition(":")[2]
        assert executionArn == f"{MACHINE.replace('stateMachine', 'execution')}:{name}"
        if name not in self.states:
            raise self.ExecutionDoesNotExist
        return {"status": self.states[name], "cause": "rpt_ltv went wrong, of 38 nodes"}

    def start_execution(self, **asked: Any) -> dict[str, str]:
        assert asked["name"] not in self.states
        self.states[asked["name"]] = "RUNNING"
        arn = f"{MACHINE.replace('stateMachine', 'execution')}:{asked['name']}"
        return {"executionArn": arn}


@pytest.fixture
def context() -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id="game_analytics_step_functions",
        task_id="state_machine",
        run_id=RUN,
        xcom_push=lambda **_: None,
    )
    return {"ti": ti, "task_instance": ti, "run_id": RUN}


def operator(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> BuildExecutionOperator:
    from airflow.providers.amazon.aws.hooks.step_function import StepFunctionHook

    monkeypatch.setattr(StepFunctionHook, "conn", machine)
    monkeypatch.setattr(StepFunctionHook, "conn_region_name", "eu-west-1")
    monkeypatch.setattr(StepFunctionHook, "conn_partition", "aws")
    settings = Settings(state_machine_arn=MACHINE)
    return BuildExecutionOperator(task_id="state_machine", settings=settings)


def followed(task: BuildExecutionOperator, context: Any) -> str:
    """The number of the execution that the task waits for."""
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    arn = str(deferred.value.trigger.serialize()[1]["execution_arn"])
    return arn.rpartition("-")[2]


@pytest.mark.parametrize(
    ("states", "number"),
    [
        ((), "1"),
        (("RUNNING",), "1"),
        (("FAILED",), "2"),
        (("FAILED", "RUNNING"), "2"),
        (("SUCCEEDED",), "2"),
        (("TIMED_OUT", "PENDING_REDRIVE"), "2"),
    ],
)
def test_one_that_runs_is_followed_and_else_a_new_one_started(
    monkeypatch: pytest.MonkeyPatch, context: Any, states: tuple[str, ...], number: str
) -> None:
    machine = Machine(*states)
    assert followed(operator(monkeypatch, machine), context) == number
    running = [
        state for state in machine.states.values() if state in {"RUNNING", "PENDING_REDRIVE"}
    ]
    assert len(running) == 1


def test_names_are_the_run_s_own_and_short_enough() -> None:
    name = execution_name("game_analytics_step_functions", RUN, 12)
    assert name == execution_name("game_analytics_step_functions", RUN, 12)
    assert name != execution_name("another", RUN, 12)
    assert len(execution_name("game_analytics_step_functions", "x" * 250, 999)) <= 80
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_an_execution_that_failed_is_told_without_an_alert_or_a_retry(
    monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    task = operator(monkeypatch, Machine("FAILED", "FAILED"))
    with pytest.raises(ToldElsewhereError, match=r"-2 FAILED: rpt_ltv went wrong") as raised:
        task.resume_execution("__fail__", {"error": "Trigger failure"}, context)
    assert isinstance(raised.value, AirflowFailException)


def test_a_trigger_that_failed_beside_a_running_execution_is_an_error_to_retry(
    monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    task = operator(monkeypatch, Machine("RUNNING"))
    with pytest.raises(TaskDeferralError):
        task.resume_execution("__fail__", {"error": "Trigger failure"}, context)


def test_without_an_arn_it_says_which_setting_is_empty(context: Any) -> None:
    task = BuildExecutionOperator(task_id="state_machine", settings=Settings())
    with pytest.raises(AirflowFailException, match="GAME_ANALYTICS_STATE_MACHINE_ARN is empty"):
        task.execute(context)
