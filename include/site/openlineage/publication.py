"""Sends the events of a run that was published, if the setting OPENLINEAGE_URL names a backend."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.messages import DAG_ID_VARIABLE
from include.settings import Settings
from include.site.assets import read_assets
from include.site.catalog.project_lineage import LINEAGE_FILE
from include.site.lineage.compiled import DIALECTS
from include.site.lineage.personal_data import personal_data
from include.site.lineage.project import kept_lineage
from include.site.openlineage.names import names
from include.site.runs import Run

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from include.site.openlineage.events import Place, WholeRun

SECONDS = 4.5
"""How long a publication waits for a backend that does not answer, the client's import included."""
LEAST_SECONDS = 1.0
"""How long it waits even if the import takes very long on a busy machine."""
API_KEY_VARIABLE = "OPENLINEAGE_API_KEY"
"""The client's own variable for the key of the backend."""
JOB = "game_analytics"
"""The name of the job of a run that has no DAG."""


def send_lineage(
    settings: Settings,
    folder: Path,
    run: Run,
    *,
    is_dag: bool,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Send the events of a run; `folder` has the files of its publication.

    `is_dag` is true if Airflow has started the run. The run is published by then, so whatever fails
    here is only a warning.
    """
    if not settings.openlineage_url:
        return
    try:
        error = _send(settings, folder, run, is_dag, environ)
    except Exception as defect:  # noqa: BLE001
        # A defect of the client, or an artifact that it refuses, must not fail the publication.
        error = f"{type(defect).__name__}: {defect}"
    if error:
        print(
            "warning: not all lineage of this run was sent to the backend of "
            f"GAME_ANALYTICS_OPENLINEAGE_URL ({settings.openlineage_url}): {error}. The run is "
            "published. Repair the backend or the setting and clear the task publish to send it "
            "again, or leave the setting empty.",
            flush=True,
        )


def _send(
    settings: Settings, folder: Path, run: Run, is_dag: bool, environ: Mapping[str, str]
) -> str:
    """Send the events; returns why the backend has not accepted all of them, or an empty text."""
    began = time.monotonic()
    # These modules import the client, which costs time and memory.
    from include.site.openlineage.events import Place, WholeRun
    from include.site.openlineage.sender import Sender

    place = Place(settings.openlineage_namespace, environ.get(DAG_ID_VARIABLE) or JOB, is_dag)
    whole = WholeRun(place, run)
    left = max(SECONDS - (time.monotonic() - began), LEAST_SECONDS)
    sender = Sender(settings.openlineage_url, environ.get(API_KEY_VARIABLE, ""), left)
    # The first event shows whether the backend answers, before the work for all others is done.
    error = sender.send([[whole.start()]])
    if not error:
        error = sender.send(_events_of_nodes(settings, folder, whole, place, run, environ))
    if not error:
        error = sender.send([[whole.end()]])
    if error:
        return f"{error}; {sender.accepted} events were accepted"
    print(f"sent {sender.accepted} events to {settings.openlineage_url}", flush=True)
    return ""


def _events_of_nodes(
    settings: Settings,
    folder: Path,
    whole: WholeRun,
    place: Place,
    run: Run,
    environ: Mapping[str, str],
) -> Iterator[Sequence[RunEvent]]:
    """The events of the nodes and tests of a run, from the files of its publication."""
    from include.site.openlineage.columns import Columns
    from include.site.openlineage.events import NodesOfRun

    manifest = _content(folder / "manifest.json")
    nodes = NodesOfRun(
        whole,
        place,
        names(settings, environ),
        manifest,
        _content(folder / "run_results.json")["results"],
        read_assets(manifest, _content(folder / "catalog.json")),
        run,
        DIALECTS[settings.target],
    )
    lineage = kept_lineage(manifest, folder / LINEAGE_FILE)
    masking = personal_data(manifest, lineage).ended
    columns = Columns(lineage, nodes.name_of, nodes.ephemeral, masking, DIALECTS[settings.target])
    return nodes.events(columns)


def _content(file: Path) -> dict[str, Any]:
    """The content of a JSON file, empty if the publication lacks it."""
    content: dict[str, Any] = json.loads(file.read_bytes()) if file.is_file() else {}
    return content
