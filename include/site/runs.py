"""The published runs: the `run.json` of each, the index page, and the deletion of old runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from include.artifacts import RUNS, UPLOADS
from include.messages import from_json
from include.object_store import Documents
from include.settings import UserError

RUN_FILE = "run.json"
"""Describes the last publication of a run, in the run's folder."""
INDEX = "index.html"
"""The page below DOCS that lists the runs. Writing it switches all readers to a new publication."""
UNPUBLISHED_HOURS = 24
"""How long the folder of a publication stays that `run.json` does not name.

It belongs to a publisher that is still at work or was killed, or to the publication before, of
which somebody may have a page open.
"""
MAX_INDEX_WRITES = 10
"""How often one publisher writes the index, when other runs are published at the same time."""


@dataclass(frozen=True)
class Run:
    """A published run, as `run.json` describes it.

    `outcome` is `success`, `failed` or `partial` (nothing failed, but not every node was built).
    `publication` is the folder of the pages, relative to the run's folder. Times are ISO 8601 text
    in UTC. `seconds` are those from the run's start to the end of its last node or test. `nodes`
    and `tests` count results by status. `pages` are files of the publication. `missing` has the
    tasks that succeeded and whose results are not there. `notes` are sentences about everything
    else that the pages lack.
    """

    run_id: str
    outcome: str
    publication: str
    started_at: str
    published_at: str
    seconds: float
    folder: str = ""
    message: str = ""
    nodes: dict[str, int] = field(default_factory=dict)
    tests: dict[str, int] = field(default_factory=dict)
    pages: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[str, str]:
        """The key of the order of runs: the one that was published last is the latest."""
        return self.published_at, self.run_id


def published_runs(documents: Documents) -> list[Run]:
    """Return the published runs, the latest first; raises UserError if DOCS cannot be read."""
    folders = documents.folders(f"{RUNS}/")

    def read(folder: str) -> Run | None:
        content = documents.read(f"{RUNS}/{folder}/{RUN_FILE}")
        try:
            return from_json(content, Run) if content else None
        except ValueError:
            print(f"{RUNS}/{folder}/{RUN_FILE} is damaged: the run is not listed.", flush=True)
            return None

    with ThreadPoolExecutor(UPLOADS) as pool:
        runs = [run for run in pool.map(read, folders) if run]
    return sorted(runs, key=lambda run: run.order, reverse=True)


def latest_publication(documents: Documents) -> str:
    """Return the folder of the latest publication below DOCS; empty if there is none."""
    page = (documents.read(INDEX) or b"").decode(errors="replace")
    found = re.search(r'<meta name="latest" content="([^"]+)">', page)
    return found[1] if found else ""


def kept(runs: Sequence[Run], now: datetime, days: int) -> list[Run]:
    """Return the runs that are not older than a number of days, and always the latest one."""
    oldest = now - timedelta(days=days)
    return [run for at, run in enumerate(runs) if at == 0 or moment(run.published_at) >= oldest]


def write_index(
    documents: Documents, render: Callable[[Sequence[Run]], str], now: datetime, days: int
) -> list[Run]:
    """Write the index page of the runs that are kept, as `render` makes it; returns these runs.

    Two publishers can do this at the same time, without a lock. Each one writes its own `run.json`
    before the index, and reads all of them again after the index. The publisher that writes the
    index last therefore writes each run whose `run.json` is there.
    """
    written = None
    for _ in range(MAX_INDEX_WRITES):
        runs = kept(published_runs(documents), now, days)
        if runs == written:
            return runs
        documents.write(INDEX, render(runs).encode())
        written = runs
    raise UserError(
        f"{documents.root}/{INDEX} changes all the time, because many runs are published at once: "
        "clear this task when they have ended."
    )


def clean(documents: Documents, runs: Iterable[Run], now: datetime, days: int) -> list[str]:
    """Delete old runs, and old publications of the run that is published now; returns the folders.

    `runs` are those that the index lists, so no page links to what is deleted. The run that is
    published now has `now` as its `published_at`. Only its publications are listed, because every
    listing is a request to S3; those of other runs are deleted with their runs. A run that was
    never published is deleted when its last file is older than the number of days. All deletions
    are one day late: a publisher that works at the same time may still list a run that has become
    too old.
    """
    listed = {run.folder: run for run in runs}
    oldest = now - timedelta(days=days, hours=UNPUBLISHED_HOURS)
    deleted = []
    for folder in documents.folders(f"{RUNS}/"):
        place = f"{RUNS}/{folder}/"
        if folder in listed:
            if moment(listed[folder].published_at) == now:
                deleted += _clean_run(documents, place, listed[folder], now)
            continue
        changed = documents.changed_at(place)
        # Not only `run.json` counts: its tasks may have been cleared and run again just now.
        if changed is None or changed < oldest:
            documents.delete(place)
            deleted.append(place)
    return deleted


def _clean_run(documents: Documents, place: str, run: Run, now: datetime) -> list[str]:
    """Delete the publications of a run that are old and not the one that `run.json` names."""
    parent, _, current = run.publication.rpartition("/")
    deleted = []
    for publication in documents.folders(f"{place}{parent}/"):
        began = began_at(publication)
        is_old = began is None or began < now - timedelta(hours=UNPUBLISHED_HOURS)
        if publication != current and is_old:
            name = f"{place}{parent}/{publication}/"
            documents.delete(name)
            deleted.append(name)
    return deleted


def began_at(publication: str) -> datetime | None:
    """Return when a publication began, by the name of its folder; None for another name."""
    found = re.match(r"\d{8}T\d{12}", publication)
    return datetime.strptime(found[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC) if found else None


def moment(text: str) -> datetime:
    """Return the time of an ISO 8601 text; the earliest time for a text that is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
