"""Writes what a process that runs dbt leaves behind into DOCS, in the same way in every mode.

`<DOCS>/runs/<run>/<task>/…` holds dbt's files of one try of a task, or of one container. The task
`publish` makes the pages of the run of these files, on whichever host it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from include.messages import file_name
from include.object_store import Documents
from include.settings import UserError

RUNS = "runs"
"""The folder below DOCS with a folder for each run."""
UPLOADS = 16
"""The number of files that are written at the same time."""
ARTIFACTS = (
    "manifest.json",
    "run_results.json",
    "sources.json",
    "catalog.json",
    "dbt.log",
    "compiled/**/*.sql",
)
"""The files of dbt's target folder that are kept."""


def run_folder(run_id: str) -> str:
    """Return the name of a run's folder below DOCS, without a slash at its end."""
    return f"{RUNS}/{file_name(run_id)}"


def try_folder(run_id: str, task_id: str, try_number: int, try_id: object) -> str:
    """Return the name of the folder of one try of a task below DOCS; no two tries share one."""
    place = f"try_{try_number}-{try_id}"
    return "/".join([run_folder(run_id), file_name(task_id), file_name(place)])


def artifacts_in(target: Path) -> dict[str, Path]:
    """Return the files of dbt's target folder that are kept, by their name in the report."""
    return {
        path.relative_to(target).as_posix(): path
        for pattern in ARTIFACTS
        for path in sorted(target.glob(pattern))
        if path.is_file()
    }


def write_files(documents: Documents, files: Mapping[str, Path]) -> str:
    """Write files; returns the first error, or an empty text.

    The artifacts are for readers. A file that cannot be written must not fail a task that built a
    node, so the caller prints the error as a warning. After an error no further file is begun,
    because each of them would wait as long for a store that does not answer.
    """
    errors: list[str] = []

    def write(name: str) -> None:
        if errors:
            return
        try:
            documents.write(name, files[name].read_bytes())
        except (UserError, OSError) as error:
            errors.append(str(error))

    with ThreadPoolExecutor(UPLOADS) as pool:
        list(pool.map(write, files))
    return errors[0] if errors else ""
