"""`make retry`: one task of the last run, and all that follows it, once more."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

from include.command import command
from include.laptop import lock, up
from include.laptop.airflow import Client
from include.settings import UserError


def retry(task_id: str) -> str:
    """Clear the task in the last run of the DAG; returns what was cleared, in one sentence."""
    holder = lock.holder()
    if holder is None or holder.command != "make up" or not up.READY.exists():
        raise UserError("Airflow is not running: `make up` starts it, then try again.")
    client = Client(up.READY.read_text())
    if not client.answers():
        raise UserError("Airflow does not answer: `make down`, then `make up`, then try again.")
    run_id = client.last_run()
    if run_id is None:
        raise UserError("there is no run yet whose task could be run again: `make run` makes one.")
    check(task_id, [task["task_id"] for task in client.tasks(run_id)])
    cleared = client.clear(run_id, task_id)
    return f"Cleared in run {run_id}, and running again: {', '.join(cleared)}."


def check(task_id: str, known: Iterable[str]) -> None:
    """Raise UserError if a run has no such task, with those of a similar name."""
    known = sorted(known)
    if task_id not in known:
        # Half a name is a likely guess, too.
        close = difflib.get_close_matches(task_id, known, cutoff=0.5)
        close += [name for name in known if task_id and task_id in name and name not in close]
        meant = (
            f"did you mean {' or '.join(close[:5])}?" if close else f"there are {', '.join(known)}."
        )
        raise UserError(f"there is no task {task_id or 'without a name (TASK=)'}: {meant}")


@command
def main() -> int:
    """Clear the task."""
    print(retry(*sys.argv[1:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
