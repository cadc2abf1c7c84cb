"""How each asset and test ended, in this run and in the runs before.

Each publication has a file `outcomes.json` with the outcomes of its run alone. The history of an
asset is read from the files of the last runs, so two publishers at once lose nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from include.artifacts import RUNS, UPLOADS
from include.object_store import Documents
from include.site.pages import ORDER
from include.site.runs import Run

OUTCOMES_FILE = "outcomes.json"
SHOWN_RUNS = 30
"""The number of runs in the history of an asset."""


@dataclass(frozen=True)
class Outcome:
    """How a node or test ended in a run. `rows` and `message` are those of dbt."""

    status: str
    seconds: float = 0.0
    rows: int | None = None
    message: str = ""


@dataclass(frozen=True)
class PastRun:
    """A run, with the status and the seconds of each asset that it built or tested."""

    run_id: str
    outcomes: Mapping[str, tuple[str, float]]


def read_outcomes(run_results: Mapping[str, Any]) -> dict[str, Outcome]:
    """The outcomes of nodes and tests by id, from the merged `run_results.json` of a run."""
    return {result["unique_id"]: _outcome(result) for result in run_results["results"]}


def read_freshness(sources: Mapping[str, Any]) -> dict[str, str]:
    """dbt's status of each source by id, from the merged `sources.json` of a run."""
    return {source["unique_id"]: str(source.get("status", "")) for source in sources["results"]}


def worst(statuses: Sequence[str]) -> str:
    """The worst of some statuses, empty if there is none."""
    known = [status for status in ORDER if status in statuses]
    return known[0] if known else ""


def to_file(by_asset: Mapping[str, tuple[str, float]]) -> str:
    """The content of `outcomes.json`."""
    return json.dumps(by_asset, separators=(",", ":"))


def past_runs(documents: Documents, runs: Sequence[Run]) -> list[PastRun]:
    """The last runs, the latest last. A run whose file is missing or damaged has no outcomes."""

    def read(run: Run) -> PastRun:
        folder = f"{RUNS}/{run.folder}/{run.publication}"
        try:
            content = json.loads(documents.read(f"{folder}/{OUTCOMES_FILE}") or b"{}")
            outcomes = {asset: (str(status), float(s)) for asset, (status, s) in content.items()}
        except (AttributeError, TypeError, ValueError):
            outcomes = {}
        return PastRun(run.run_id, outcomes)

    with ThreadPoolExecutor(UPLOADS) as pool:
        return list(pool.map(read, reversed(runs[:SHOWN_RUNS])))


def _outcome(result: Mapping[str, Any]) -> Outcome:
    rows = (result.get("adapter_response") or {}).get("rows_affected")
    return Outcome(
        status=str(result["status"]),
        seconds=float(result.get("execution_time") or 0),
        rows=int(rows) if rows is not None and int(rows) >= 0 else None,
        message=str(result.get("message") or "") if result["status"] != "success" else "",
    )
