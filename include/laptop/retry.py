"""`make retry`: runs one task of the last run and its downstream again."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

from include.command import command
from include.laptop import lock, up
from include.laptop.airflow import Client
from include.settings import UserError


def retry(task_id: str) -> str:
    """Clear the task in the last run; returns one sentence that lists the cleared tasks."""
    holder = lock.holder()
    if holder is None or holder.command != "make up" or not up.READY.exists():
        raise UserError("Airflow is not running: `make up` starts it, then try again.")
    client = Client(up.READY.read_text())
    if not client.answers():
        raise UserError("Airflow does not answer: `make down`, then `make up`, then try again.")
    run_id = client.last_run()
    if run_id is None:
        raise UserError("there is no run yet whose task could run again: `make run` starts one.")
    check(task_id, [task["task_id"] for task in client.tasks(run_id)])
    cleared = client.clear(run_id, task_id)
    return f"Cleared in run {run_id}, and running again: {', '.join(cleared)}."


def check(task_id: str, known: Iterable[str]) -> None:
    """Raise UserError if a run has no such task; the error lists tasks with similar names."""
    known = sorted(known)
    if task_id not in known:
        # Names that contain the given text are similar, too.
        close = difflib.get_close_matches(task_id, known, cutoff=0.5)
        close += [name for name in known if task_id and task_id in name and name not in close]
        hint = (
            f"did you mean {' or '.join(close[:5])}?" if close else f"there are {', '.join(known)}."
        )
        raise UserError(f"there is no task {task_id or 'without a name (TASK=)'}: {hint}")


@command
def main() -> int:
    """Run the command."""
    print(retry(*sys.argv[1:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
