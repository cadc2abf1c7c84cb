"""What runs have published, in Airflow's UI: runs, KPI report, catalog, lineage, dbt docs, nodes.

All routes read the files below DOCS, a folder or an S3 prefix, so that the API server shares no
disk with the workers. Each route asks Airflow whether the user may read the tasks of the DAG
`game_analytics`: 401 without a login, 403 without the right. Artifacts and node pages also need the
right to read its logs.

| route, below `/game-analytics` | serves |
|---|---|
| `/site/<name>` | a file of the site: the index of runs, or a file of a publication |
| `/artifacts/<name>` | a file that a process of a run has written |
| `/latest/<page>` | leads to the page of the run that was published last |
| `/runs/<run>/<page>` | leads to the page of this run |
| `/dags/<dag>`, `/dags/<dag>/runs/<run>` | lead to the index of runs and to the page of the run |
| `/game_analytics/<run>/<task>` | the page of a node, the link *Model and SQL* of its task |
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from game_analytics_docs import DocsError, docs
from game_analytics_node_docs import (
    DAG,
    INDEX,
    PUBLICATION,
    NotFoundError,
    latest_publication,
    node_page,
    publication,
)
from game_analytics_triggers import PAGES
from starlette.responses import StreamingResponse

VIEWS = {
    "runs": ("Runs", "site/index.html"),
    "report": ("KPI report", "latest/report.html"),
    "catalog": ("Catalog", "latest/catalog.html"),
    "lineage": ("Lineage", "latest/lineage.html"),
    "dbt_docs": ("dbt docs", "latest/dbt/index.html"),
}
"""The entries of the navigation: title and route by the last part of the address in the UI."""

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    **dict.fromkeys(("sql", "log", "txt", "jsonl"), "text/plain; charset=utf-8"),
}
"""The content types by the ending of the file's name. Any other file is a download."""
ACTIVE = frozenset({"html", "js", "css", "svg"})
"""The endings of files that a browser runs or draws. Of these, artifacts are shown as text."""
DBT_DOCS = re.compile(PUBLICATION.pattern + "dbt/index.html")
NO_CONTENT = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
"""The policy of a response that is no page."""
PAGE_POLICY = (
    f"{NO_CONTENT}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "script-src 'self'"
)
"""The policy of a page; the hashes of its own scripts are added."""
DBT_POLICY = (
    f"{NO_CONTENT}; sandbox allow-scripts allow-popups; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data:; font-src data:"
)
"""The policy of the dbt docs. dbt's page needs `eval` and shows descriptions as HTML, so the
browser isolates it: it has an origin of its own, and neither cookies nor a network."""
META = re.compile(rb"""<meta http-equiv="Content-Security-Policy" content="([^"]*)">""")
HASH = re.compile(r"'sha(?:256|384|512)-[A-Za-z0-9+/=_-]+'")
HEAD_LENGTH = 4096
"""The length of the start of a page in which its own policy is searched."""

READS_LOGS = Depends(requires_access_dag("GET", DagAccessEntity.TASK_LOGS, DAG))
"""The right to read the logs of the DAG's tasks. The messages of the warehouse can quote values of
the data, in the artifacts as in the logs."""
app = FastAPI(
    title="Game analytics",
    # The documentation of the routes would be routes without a guard.
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE, DAG))],
)


@app.middleware("http")
async def add_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Add the headers that every response has, errors too."""
    response = await call_next(request)
    response.headers.setdefault("Content-Security-Policy", NO_CONTENT)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    # A browser asks again for each use, because a right can be withdrawn.
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@app.exception_handler(DocsError)
def docs_error(_: Request, error: DocsError) -> JSONResponse:
    """Answer that DOCS cannot be read."""
    return JSONResponse({"detail": str(error)}, 503)


@app.get("/")
def home(request: Request) -> Response:
    """Lead to the index of runs."""
    return _redirect(request, INDEX)


@app.get("/site/{name:path}")
def site(request: Request, name: str) -> Response:
    """Serve a file of the site: the index of runs, or a file of a publication."""
    if name != INDEX and not PUBLICATION.match(name):
        raise HTTPException(404, "There is no such file in the site.")
    return _file(request, name, is_page=True)


@app.get("/artifacts/{name:path}", dependencies=[READS_LOGS])
def artifact(request: Request, name: str) -> Response:
    """Serve what a process that ran dbt has written. No such file is a page."""
    return _file(request, name, is_page=False)


@app.get("/latest/{page:path}")
def latest(request: Request, page: str) -> Response:
    """Lead to a page of the run that was published last."""
    folder = latest_publication(docs())
    if not folder:
        raise HTTPException(404, "No run has been published yet.")
    return _redirect(request, f"{folder}/{page or INDEX}")


@app.get("/runs/{run_id}/{page:path}")
def run(request: Request, run_id: str, page: str) -> Response:
    """Lead to a page of a run."""
    folder = publication(docs(), run_id)
    if not folder:
        raise HTTPException(404, "This run has not been published yet.")
    return _redirect(request, f"{folder}/{page or INDEX}")


@app.get("/dags/{dag_id}")
def dag(request: Request, dag_id: str) -> Response:
    """Lead to the index of runs. Airflow shows the view on the pages of all DAGs."""
    _check_dag(dag_id)
    return _redirect(request, INDEX)


@app.get("/dags/{dag_id}/runs/{run_id}")
def dag_run(request: Request, dag_id: str, run_id: str) -> Response:
    """Lead to the page of a run. Airflow shows the view on the runs of all DAGs."""
    _check_dag(dag_id)
    return run(request, run_id, INDEX)


@app.get(f"/{DAG}/{{run_id}}/{{task_id}}", dependencies=[READS_LOGS])
def node(request: Request, run_id: str, task_id: str) -> Response:
    """Show a node in a run, also before the run is published."""
    try:
        page = node_page(docs(), run_id, task_id, f"{request.scope.get('root_path', '')}/site")
    except NotFoundError as error:
        raise HTTPException(404, str(error)) from None
    return HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY})


def _file(request: Request, name: str, *, is_page: bool) -> Response:
    """Serve a file below DOCS; if it `is_page`, a browser may show HTML as a page."""
    found = docs().open(name)
    if found is None:
        raise HTTPException(404, "There is no such file below DOCS.")
    headers = {"ETag": found.etag}
    if _matches(request.headers.get("If-None-Match", ""), found.etag):
        found.stream.close()
        return Response(status_code=304, headers=headers)
    kind = name.rpartition(".")[2].lower() if "." in name.rpartition("/")[2] else ""
    if not is_page and kind in ACTIVE:
        kind = "txt"
    if kind not in TYPES:
        headers["Content-Disposition"] = "attachment"
    headers["Content-Length"] = str(found.size)
    chunks = found.chunks()
    if kind == "html":
        first = next(chunks, b"")
        headers["Content-Security-Policy"] = (
            DBT_POLICY if DBT_DOCS.fullmatch(name) else page_policy(first)
        )
        chunks = _with_first(first, chunks)
    media_type = TYPES.get(kind, "application/octet-stream")
    return StreamingResponse(chunks, headers=headers, media_type=media_type)


def page_policy(start: bytes) -> str:
    """Return the policy of a page that starts with these bytes.

    A page lists the hashes of its own scripts in its own policy. Nothing else of it is taken over.
    """
    meta = META.search(start[:HEAD_LENGTH])
    hashes = HASH.findall(meta[1].decode(errors="replace")) if meta else []
    return " ".join([PAGE_POLICY, *hashes])


def _check_dag(dag_id: str) -> None:
    if dag_id != DAG:
        raise HTTPException(404, f"Only the DAG {DAG} publishes pages here.")


def _redirect(request: Request, name: str) -> Response:
    """Lead to a file below DOCS."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/site/{quote(name)}", 307)


def _matches(header: str, etag: str) -> bool:
    """Return whether `If-None-Match` names this entity tag."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in tags or tags == ["*"]


def _with_first(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def view(name: str, destination: str, route: str, title: str) -> dict[str, Any]:
    """Return an external view: a page of this app within Airflow's UI.

    Airflow drops the whole plugin if one view has a destination that it does not know.
    """
    return {
        "name": title,
        "href": f"{PAGES}/{route}",
        "destination": destination,
        "url_route": f"{DAG}_{name}",
        **({"category": "Game analytics"} if destination == "nav" else {}),
    }


class GameAnalyticsPlugin(AirflowPlugin):
    """Registers the pages in Airflow's API server, and the entries that lead to them in the UI."""

    name = "game_analytics_ui"
    fastapi_apps = [{"app": app, "url_prefix": PAGES, "name": "Game analytics"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        *(view(name, "nav", route, title) for name, (title, route) in VIEWS.items()),
        view("dag", "dag", "dags/{DAG_ID}", "Game analytics"),
        view("dag_run", "dag_run", "dags/{DAG_ID}/runs/{RUN_ID}", "Game analytics"),
    ]
