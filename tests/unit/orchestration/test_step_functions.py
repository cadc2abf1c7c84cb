"""The task that follows an execution: which one, by what name, and what it makes of its end."""

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
        return {"status": self.states[name], "cause": "of 38 nodes these failed: rpt_ltv"}

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


ENDS = pytest.mark.parametrize("end", ["trigger", "gave up", "timed out"])


def ended(task: BuildExecutionOperator, context: Any, end: str) -> Any:
    """Resume the task as Airflow does: with the trigger's event, or without one."""
    if end == "trigger":
        event = {"event": {"status": "error", "message": "Step function failed"}}
        return task.resume_execution("execute_complete", event, context)
    why = "Trigger failure" if end == "gave up" else "Trigger timeout"
    return task.resume_execution("__fail__", {"error": why}, context)


@ENDS
def test_one_that_failed_is_told_without_an_alert_or_a_retry(
    monkeypatch: pytest.MonkeyPatch, context: Any, end: str
) -> None:
    task = operator(monkeypatch, Machine("FAILED", "FAILED"))
    with pytest.raises(ReportedElsewhereError, match=r"-2 FAILED: of 38 nodes these failed"):
        ended(task, context, end)


@ENDS
@pytest.mark.parametrize("state", ["TIMED_OUT", "ABORTED"])
def test_one_that_was_ended_from_above_has_sent_no_alert_so_airflow_does(
    monkeypatch: pytest.MonkeyPatch, context: Any, end: str, state: str
) -> None:
    with pytest.raises(AirflowFailException, match=rf"-1 {state}") as raised:
        ended(operator(monkeypatch, Machine(state)), context, end)
    assert not isinstance(raised.value, ReportedElsewhereError)


@ENDS
def test_one_that_went_well_is_good_whatever_the_triggerer_says(
    monkeypatch: pytest.MonkeyPatch, context: Any, end: str
) -> None:
    assert ended(operator(monkeypatch, Machine("FAILED", "SUCCEEDED")), context, end).endswith("-2")


@ENDS
def test_one_that_still_runs_is_followed_by_the_next_try(
    monkeypatch: pytest.MonkeyPatch, context: Any, end: str
) -> None:
    with pytest.raises(AirflowException, match="has not ended") as raised:
        ended(operator(monkeypatch, Machine("RUNNING")), context, end)
    assert not isinstance(raised.value, AirflowFailException)


def test_a_later_try_takes_one_that_went_well_for_its_own(
    monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    context["ti"].try_number = 2
    machine = Machine("SUCCEEDED")
    assert operator(monkeypatch, machine).execute(context).endswith("-1")
    assert len(machine.states) == 1


def test_a_task_that_is_cleared_builds_anew(monkeypatch: pytest.MonkeyPatch, context: Any) -> None:
    # As Airflow counts: the second try, and two more if that one fails.
    context["ti"].try_number, context["ti"].max_tries = 2, 1 + RETRIES
    machine = Machine("SUCCEEDED")
    task = operator(monkeypatch, machine)
    assert followed(task, context) == "2"
    machine.states = dict.fromkeys(machine.states, "SUCCEEDED")
    # Its retry is one.
    context["ti"].try_number = 3
    assert task.execute(context).endswith("-2")
    assert len(machine.states) == 2


def test_without_an_arn_it_says_which_setting_is_empty(context: Any) -> None:
    task = BuildExecutionOperator(task_id="state_machine", settings=Settings())
    with pytest.raises(AirflowFailException, match="GAME_ANALYTICS_STATE_MACHINE_ARN is empty"):
        task.execute(context)
