"""Renders the page of a run and the index page of all runs."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from include.artifacts import RUNS
from include.manifest import BUILT_TYPES, described
from include.site.run_artifacts import Result, compiled_file
from include.site.runs import Run, moment

HERE = Path(__file__).parent
TITLES = {
    "report.html": "KPI report",
    "catalog.html": "Catalog",
    "lineage.html": "Lineage",
    "dbt/index.html": "dbt docs",
}
"""The names of the pages that readers see, by file. A page without a name is shown by its file."""
ORDER = ("error", "fail", "skipped", "warn", "success")
"""The statuses in the order in which a page lists them."""

ENVIRONMENT = Environment(
    autoescape=True,
    loader=FileSystemLoader(HERE / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def duration(seconds: float) -> str:
    """Return a number of seconds for readers, such as `3 min 20 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def prose(text: str) -> Markup:
    """Return text for readers, in which what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def byte_size(count: int | None) -> str:
    """Return a number of bytes for readers, such as `1.2 MB`; empty for None."""
    if count is None:
        return ""
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:,.0f} B" if unit == "B" else f"{size:,.1f} {unit}"


def time_of(text: str) -> str:
    """Return a time in UTC for readers."""
    return f"{moment(text):%Y-%m-%d %H:%M} UTC"


def in_order(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return counts by status, the worst status first."""
    known = [(status, counts[status]) for status in ORDER if counts.get(status)]
    return [*known, *sorted(item for item in counts.items() if item[0] not in ORDER)]


def titles(run: Run) -> list[tuple[str, str]]:
    """Return the pages of a run as pairs of title and file."""
    listed = sorted(run.pages, key=lambda page: (*TITLES, page).index(page))
    return [(TITLES.get(page, page), page) for page in listed]


ENVIRONMENT.filters.update(
    byte_count=byte_size,
    duration=duration,
    in_order=in_order,
    prose=prose,
    time=time_of,
    titles=titles,
)


def index_page(runs: Sequence[Run]) -> str:
    """Return the page that lists the runs, of which the first is the latest.

    Its `meta` element `latest` names the folder of the latest publication for programs.
    """
    return render("runs.html", runs=runs, root=RUNS)


def run_page(
    run: Run, results: Sequence[Result], manifest: Mapping[str, Any], states: Mapping[str, str]
) -> str:
    """Return the page of a run: its outcome, and the last result of each node and test.

    Results without success stand on top. The others are two lists that a click opens.
    """
    nodes = manifest.get("nodes", {})
    rows = [
        _row(result, nodes.get(result["unique_id"], {}))
        for result in results
        # A hook of the project or an exposure is shown only if it is the reason for something.
        if result["status"] != "success" or _is_counted(result["unique_id"])
    ]
    rows.sort(key=lambda row: (_place(row["status"]), row["kind"] == "test", -row["seconds"]))
    bad_tasks = sorted(
        (task, state) for task, state in states.items() if state in {"failed", "upstream_failed"}
    )
    good = [row for row in rows if row["status"] == "success"]
    return render(
        "run.html",
        run=run,
        unsuccessful=[row for row in rows if row["status"] != "success"],
        successful={
            "Successful nodes": [row for row in good if row["kind"] != "test"],
            "Successful tests": [row for row in good if row["kind"] == "test"],
        },
        bad_tasks=bad_tasks,
    )


def _is_counted(unique_id: str) -> bool:
    kind = unique_id.partition(".")[0]
    return kind in BUILT_TYPES or kind == "test"


def _row(result: Result, node: Mapping[str, Any]) -> dict[str, Any]:
    kind, name = described(result["unique_id"])
    rows = dict(result.get("adapter_response") or {}).get("rows_affected")
    message = str(result.get("message") or "")
    return {
        "kind": kind,
        "name": name,
        "status": result["status"],
        "seconds": float(result.get("execution_time") or 0),
        "rows": int(rows) if rows is not None and int(rows) >= 0 else None,
        # dbt's message of a success is the answer of the warehouse, such as OK or INSERT 0 12.
        "message": "" if result["status"] == "success" else message,
        "sql": compiled_file(result["unique_id"]) if node.get("compiled_code") else "",
    }


def _place(status: str) -> int:
    return ORDER.index(status) if status in ORDER else 0


def render(template: str, script: str = "", **values: Any) -> str:
    """Return a page. The only script that browsers run in it is `script`.

    The style is that of all pages and that of this template, if it has one.
    """
    own = (HERE / "templates" / template).with_suffix(".css")
    styles = [
        HERE / "style.css",
        HERE / "templates" / "pages.css",
        *([own] if own.is_file() else []),
    ]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return ENVIRONMENT.get_template(template).render(
        style=Markup("".join(path.read_text() for path in styles)),  # noqa: S704 - own files
        script=Markup(script),  # noqa: S704 - a file of this package
        script_source=Markup(f"'sha256-{digest}'" if script else "'none'"),  # noqa: S704 - base64
        **values,
    )
