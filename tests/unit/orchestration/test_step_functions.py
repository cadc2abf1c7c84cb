"""The task `state_machine`: which execution it waits for, and its own state at the end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from include.orchestration.alerts import ReportedElsewhereError
from include.orchestration.step_functions import BuildExecutionOperator, execution_name
from include.settings import Settings

MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:game-analytics-build"
RETRIES = 2
RUN = "scheduled__2026-11-28T04:30:00+00:00"


class Machine:
    """A stand-in for Step Functions with one state machine."""

    class ExecutionDoesNotExist(Exception):  # noqa: N818 - boto3's name
        """No execution has this name."""

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
        return {"status": self.states[name], "cause": "of 38 nodes these failed: rpt_ltv"}

    def start_execution(self, **request: Any) -> dict[str, str]:
        assert request["name"] not in self.states
        self.states[request["name"]] = "RUNNING"
        arn = f"{MACHINE.replace('stateMachine', 'execution')}:{request['name']}"
        return {"executionArn": arn}


@pytest.fixture
def context() -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id="game_analytics_step_functions",
        task_id="state_machine",
        run_id=RUN,
        try_number=1,
        max_tries=RETRIES,
        xcom_push=lambda **_: None,
    )
    return {"ti": ti, "task_instance": ti, "run_id": RUN}


def operator(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> BuildExecutionOperator:
    from airflow.providers.amazon.aws.hooks.step_function import StepFunctionHook

    monkeypatch.setattr(StepFunctionHook, "conn", machine)
    monkeypatch.setattr(StepFunctionHook, "conn_region_name", "eu-west-1")
    monkeypatch.setattr(StepFunctionHook, "conn_partition", "aws")
    settings = Settings(state_machine_arn=MACHINE)
    return BuildExecutionOperator(task_id="state_machine", settings=settings, retries=RETRIES)


def number_waited_for(task: BuildExecutionOperator, context: Any) -> str:
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
def test_the_task_waits_for_a_running_execution_or_starts_a_new_one(
    monkeypatch: pytest.MonkeyPatch, context: Any, states: tuple[str, ...], number: str
) -> None:
    machine = Machine(*states)
    assert number_waited_for(operator(monkeypatch, machine), context) == number
    running = [
        state for state in machine.states.values() if state in {"RUNNING", "PENDING_REDRIVE"}
    ]
    assert len(running) == 1


def test_an_execution_s_name_is_unique_to_the_run_and_short_enough() -> None:
    name = execution_name("game_analytics_step_functions", RUN, 12)
    assert name == execution_name("game_analytics_step_functions", RUN, 12)
    assert name != execution_name("another", RUN, 12)
    assert len(execution_name("game_analytics_step_functions", "x" * 250, 999)) <= 80
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


ENDS = pytest.mark.parametrize("end", ["trigger", "trigger failed", "timed out"])


def ended(task: BuildExecutionOperator, context: Any, end: str) -> Any:
    """Resume the task as Airflow does: with the trigger's event, or without one."""
    if end == "trigger":
        event = {"event": {"status": "error", "message": "Step function failed"}}
        return task.resume_execution("execute_complete", event, context)
    error = "Trigger failure" if end == "trigger failed" else "Trigger timeout"
    return task.resume_execution("__fail__", {"error": error}, context)


@ENDS
def test_a_failed_execution_causes_neither_an_alert_nor_a_retry(
    monkeypatch: pytest.MonkeyPatch, context: Any, end: str
) -> None:
    task = operator(monkeypatch, Machine("FAILED", "FAILED"))
    with pytest.raises(ReportedElsewhereError, match=r"-2 FAILED: of 38 nodes these failed"):
        ended(task, context, end)


@ENDS
@pytest.mark.parametrize("state", ["TIMED_OUT", "ABORTED"])
def test_an_execution_that_timed_out_or_was_aborted_causes_an_alert_of_airflow(
    monkeypatch: pytest.MonkeyPatch, context: Any, end: str, state: str
) -> None:
    with pytest.raises(AirflowFailException, match=rf"-1 {state}") as raised:
        ended(operator(monkeypatch, Machine(state)), context, end)
    assert not isinstance(raised.value, ReportedElsewhereError)


@ENDS
def test_a_succeeded_execution_is_a_success_even_if_the_trigger_failed(
    monkeypatch: pytest.MonkeyPatch, context: Any, end: str
) -> None:
    assert ended(operator(monkeypatch, Machine("FAILED", "SUCCEEDED")), context, end).endswith("-2")


@ENDS
def test_an_execution_that_still_runs_is_left_to_the_next_try(
    monkeypatch: pytest.MonkeyPatch, context: Any, end: str
) -> None:
    with pytest.raises(AirflowException, match="has not ended") as raised:
        ended(operator(monkeypatch, Machine("RUNNING")), context, end)
    assert not isinstance(raised.value, AirflowFailException)


def test_a_retry_succeeds_with_the_succeeded_execution_of_an_earlier_try(
    monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    context["ti"].try_number = 2
    machine = Machine("SUCCEEDED")
    assert operator(monkeypatch, machine).execute(context).endswith("-1")
    assert len(machine.states) == 1


def test_a_cleared_task_starts_a_new_execution(
    monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    # Airflow counts the try after a clear as the second, and allows two retries more.
    context["ti"].try_number, context["ti"].max_tries = 2, 1 + RETRIES
    machine = Machine("SUCCEEDED")
    task = operator(monkeypatch, machine)
    assert number_waited_for(task, context) == "2"
    machine.states = dict.fromkeys(machine.states, "SUCCEEDED")
    # The retry of that try starts no execution.
    context["ti"].try_number = 3
    assert task.execute(context).endswith("-2")
    assert len(machine.states) == 2


def test_without_an_arn_the_error_names_the_empty_setting(context: Any) -> None:
    task = BuildExecutionOperator(task_id="state_machine", settings=Settings())
    with pytest.raises(AirflowFailException, match="GAME_ANALYTICS_STATE_MACHINE_ARN is empty"):
        task.execute(context)
