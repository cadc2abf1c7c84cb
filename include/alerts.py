"""One alert, one shape: what failed, of whom, and where to look."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)


def report_failure(context: Any) -> None:
    """Log one line for a task that failed for good; Airflow calls it after the last retry."""
    task = context["task"]
    logger.error(
        "ALERT dag=%s run=%s task=%s model=%s owner=%s error=%s",
        context["dag"].dag_id,
        context["run_id"],
        task.task_id,
        getattr(task, "model_file", "") or "-",
        task.owner,
        str(context.get("exception") or "unknown").splitlines()[0],
    )
