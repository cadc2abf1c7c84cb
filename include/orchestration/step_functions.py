"""The whole build as one execution of the state machine, followed from Airflow."""

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
from game_analytics_triggers import file_name

from include.orchestration.alerts import ReportedElsewhereError
from include.settings import Settings

POLL_SECONDS = 10
FOLLOWED = timedelta(hours=6, minutes=15)
"""Longer than the state machine's own time-out, of which the provider's waiter knows nothing."""
RUNNING = frozenset({"RUNNING", "PENDING_REDRIVE"})
NAME_LENGTH = 56
"""Of a run's id in an execution's name, which has 80 characters at most."""


class BuildExecutionOperator(StepFunctionStartExecutionOperator):
    """Starts an execution for this run, or follows the one that an earlier try has started.

    A worker is needed only to start it and to tell its end. An execution that failed has sent its
    own alert: then none comes from here, and no retry, for the state machine has retried already.
    A retry takes an execution that went well for its own (a worker was lost before it could say
    so); a task that is cleared builds anew, also when it was green.
    """

    def __init__(self, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(
            state_machine_arn=settings.state_machine_arn,
            aws_conn_id=None,
            deferrable=True,
            waiter_delay=POLL_SECONDS,
            waiter_max_attempts=int(FOLLOWED.total_seconds()) // POLL_SECONDS,
            **kwargs,
        )

    def execute(self, context: Any) -> Any:
        """Start or find the execution, and wait for its end in the triggerer."""
        if not self.state_machine_arn:
            raise AirflowFailException(
                "GAME_ANALYTICS_STATE_MACHINE_ARN is empty: set it to the output StateMachineArn "
                "of include/aws/build.yaml."
            )
        number, status = self.last(context)
        if status == "SUCCEEDED" and self.is_retry(context):
            self.log.info("The execution of an earlier try went well: %s.", self.arn)
            return self.arn
        if status in RUNNING:
            self.log.info("Following %s, which an earlier try has started.", self.arn)
            trigger = StepFunctionsExecutionCompleteTrigger(
                execution_arn=self.arn,
                waiter_delay=self.waiter_delay,
                waiter_max_attempts=self.waiter_max_attempts,
                aws_conn_id=None,
                region_name=self.region_name,
            )
            self.defer(trigger=trigger, method_name="execute_complete", timeout=FOLLOWED)
        self.name = self.name_of(context, number + 1)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:  # noqa: ARG002
        """Tell how the execution ended; the trigger's word for it is not needed."""
        return self.told(context)

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any
    ) -> Any:
        """The same if the triggerer gave up waiting."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except (TaskDeferralError, TaskDeferralTimeout):
            return self.told(context)

    def told(self, context: Any) -> str:
        """The ARN of an execution that went well.

        Raises ReportedElsewhereError if it failed, AirflowFailException if it was ended from above,
        in which case it has sent no alert, and AirflowException, for a retry, if it still runs.
        """
        _, status = self.last(context)
        if status == "SUCCEEDED":
            return self.arn
        if status is None or status in RUNNING:
            raise AirflowException(f"{self.arn} has not ended: the next try follows it.")
        described = self.hook.conn.describe_execution(executionArn=self.arn)
        cause = described.get("cause") or described.get("error") or "no cause"
        if status == "FAILED":
            raise ReportedElsewhereError(
                f"{self.arn} {status}: {cause}\nIts alert names the failing models. Mend them, "
                "then clear this task: it starts a new execution."
            )
        raise AirflowFailException(f"{self.arn} {status}: {cause}. Clear this task to start anew.")

    def is_retry(self, context: Any) -> bool:
        """Whether this is a retry; the first try, and the first one after a clear, are none.

        A clear gives a task as many tries more as it has retries.
        """
        first_try = context["ti"].max_tries - self.retries + 1
        return bool(context["ti"].try_number > first_try)

    def last(self, context: Any) -> tuple[int, str | None]:
        """The number of this run's last execution, and its status; 0 and None if it has none."""
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
        """The execution's ARN, by its name."""
        start, _, machine = self.state_machine_arn.partition(":stateMachine:")
        return f"{start}:execution:{machine}:{self.name}"

    @staticmethod
    def name_of(context: Any, number: int) -> str:
        """The name of an execution of this run."""
        return execution_name(context["ti"].dag_id, context["run_id"], number)


def execution_name(dag_id: str, run_id: str, number: int) -> str:
    """The name of the execution of a run, and of its further ones after a clear.

    The same run has the same name, so that no try starts a second build beside the first.
    """
    digest = hashlib.sha256(f"{dag_id} {run_id}".encode()).hexdigest()[:8]
    readable = file_name(run_id).replace(".", "_")[:NAME_LENGTH]
    return f"{readable}-{digest}-{number}"
