"""The operator that runs the whole build as one execution of the state machine."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from itertools import count
from typing import Any

from airflow.providers.amazon.aws.operators.step_function import StepFunctionStartExecutionOperator
from airflow.providers.amazon.aws.triggers.step_function import (
    StepFunctionsExecutionCompleteTrigger,
)
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    TaskDeferralError,
    TaskDeferralTimeout,
)

from include.messages import file_name
from include.orchestration.alerts import ReportedElsewhereError
from include.settings import Settings

POLL_SECONDS = 10
TIMEOUT = timedelta(hours=6, minutes=15)
"""How long the task waits: longer than the state machine's timeout, which ends every execution."""
RUNNING = frozenset({"RUNNING", "PENDING_REDRIVE"})
NAME_LENGTH = 56
"""Characters of the run id in an execution's name, which has at most 80 characters."""


class BuildExecutionOperator(StepFunctionStartExecutionOperator):
    """Starts an execution for this run, or waits for the one that an earlier try has started.

    The task occupies a worker only to start the execution and to report how it ended. A failed
    execution has already retried and has sent its own alert, so the task then neither retries nor
    sends an alert. If an earlier try's execution succeeded, a retry succeeds too without a new one
    (the earlier worker was lost before it could report the result). A cleared task starts a new
    execution, also when the task was green.
    """

    def __init__(self, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(
            state_machine_arn=settings.state_machine_arn,
            aws_conn_id=None,
            deferrable=True,
            waiter_delay=POLL_SECONDS,
            waiter_max_attempts=int(TIMEOUT.total_seconds()) // POLL_SECONDS,
            **kwargs,
        )

    def execute(self, context: Any) -> Any:
        """Start or find the execution, and defer to the triggerer until it ends."""
        if not self.state_machine_arn:
            raise AirflowFailException(
                "GAME_ANALYTICS_STATE_MACHINE_ARN is empty: set it to the output StateMachineArn "
                "of include/aws/build.yaml."
            )
        number, status = self.last(context)
        if status == "SUCCEEDED" and self.is_retry(context):
            self.log.info("The execution of an earlier try succeeded: %s.", self.arn)
            return self.arn
        if status in RUNNING:
            self.log.info("Waiting for %s, which an earlier try has started.", self.arn)
            trigger = StepFunctionsExecutionCompleteTrigger(
                execution_arn=self.arn,
                waiter_delay=self.waiter_delay,
                waiter_max_attempts=self.waiter_max_attempts,
                aws_conn_id=None,
                region_name=self.region_name,
            )
            self.defer(trigger=trigger, method_name="execute_complete", timeout=TIMEOUT)
        self.name = self.name_of(context, number + 1)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:  # noqa: ARG002
        """Return or raise the execution's result, which is read again; the event is not used."""
        return self.result(context)

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any
    ) -> Any:
        """Return or raise the execution's result, also if the trigger failed or timed out."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except (TaskDeferralError, TaskDeferralTimeout):
            return self.result(context)

    def result(self, context: Any) -> str:
        """Return the execution's ARN if it succeeded.

        Raises ReportedElsewhereError if it failed. Raises AirflowFailException if it timed out or
        was aborted, because then it has sent no alert. Raises AirflowException, so that the task is
        retried, if it is still running.
        """
        _, status = self.last(context)
        if status == "SUCCEEDED":
            return self.arn
        if status is None or status in RUNNING:
            raise AirflowException(f"{self.arn} has not ended: the next try waits for it.")
        described = self.hook.conn.describe_execution(executionArn=self.arn)
        cause = described.get("cause") or described.get("error") or "no cause"
        if status == "FAILED":
            raise ReportedElsewhereError(
                f"{self.arn} {status}: {cause}\nIts alert names the failing models. Repair them, "
                "then clear this task: it starts a new execution."
            )
        raise AirflowFailException(
            f"{self.arn} {status}: {cause}. Clear this task to start a new execution."
        )

    def is_retry(self, context: Any) -> bool:
        """Whether this try is a retry: not the task's first try, and not the first after a clear.

        Airflow raises `max_tries` at each clear so that all retries are available again.
        """
        first_try = context["ti"].max_tries - self.retries + 1
        return bool(context["ti"].try_number > first_try)

    def last(self, context: Any) -> tuple[int, str | None]:
        """The number and status of this run's last execution; 0 and None if it has none."""
        found: tuple[int, str | None] = (0, None)
        client = self.hook.conn
        for number in count(1):
            self.name = self.name_of(context, number)
            try:
                found = (number, client.describe_execution(executionArn=self.arn)["status"])
            except client.exceptions.ExecutionDoesNotExist:
                break
        self.name = self.name_of(context, max(found[0], 1))
        return found

    @property
    def arn(self) -> str:
        """The ARN of the execution named `self.name`."""
        start, _, machine = self.state_machine_arn.partition(":stateMachine:")
        return f"{start}:execution:{machine}:{self.name}"

    @staticmethod
    def name_of(context: Any, number: int) -> str:
        """The name of this run's execution with this number."""
        return execution_name(context["ti"].dag_id, context["run_id"], number)


def execution_name(dag_id: str, run_id: str, number: int) -> str:
    """The name of a run's execution. A clear of the task leads to the next `number`.

    The name depends only on the arguments. A try that repeats a start therefore uses the same name,
    and Step Functions does not start a second execution.
    """
    digest = hashlib.sha256(f"{dag_id} {run_id}".encode()).hexdigest()[:8]
    readable = file_name(run_id).replace(".", "_")[:NAME_LENGTH]
    return f"{readable}-{digest}-{number}"
