"""The pages in Airflow's UI: who may see them, what they show, and what they never serve."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import game_analytics_docs
import game_analytics_node_docs
import game_analytics_ui as ui
from airflow.api_fastapi.core_api import security
from airflow.api_fastapi.core_api.datamodels.plugins import ExternalViewResponse
from airflow.models.dag import DagModel
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from game_analytics_triggers import PAGES

from include.site import run_artifacts
from include.site.assets import read_assets
from tests.support.hostile_names import OUTSIDE

NODE = {
    "name": "fct_bets",
    "unique_id": "model.game_analytics.fct_bets",
    "resource_type": "model",
    "package_name": "game_analytics",
    "original_file_path": "models/fct_bets.sql",
    "schema": "marts",
    "alias": "fct_bets",
    "description": "Bets <script>alert(1)</script>",
    "config": {"materialized": "table", "group": "betting"},
    "columns": {"bet_id": {"name": "bet_id", "data_type": "bigint", "description": "Id."}},
    "depends_on": {"nodes": ["model.game_analytics.stg_bets"]},
    "raw_code": "select as_written",
}
TEST = {
    "name": "unique_fct_bets",
    "unique_id": "test.game_analytics.unique_fct_bets.0123456789",
    "resource_type": "test",
    "original_file_path": "models/fct_bets.yml",
    "depends_on": {"nodes": [NODE["unique_id"]]},
}
MANIFEST = {
    "nodes": {node["unique_id"]: node for node in (NODE, TEST)},
    "groups": {"g": {"name": "betting", "owner": {"name": "Betting", "email": "b@x"}}},
}
PUBLICATION = "runs/r1/site/20261130T043000000000-0123abcd"
SCRIPT = "alert('own')"
OWN = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
PAGE = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta http-equiv="Content-Security-Policy" content="default-src *; '
    f"script-src 'unsafe-inline' https://evil.example 'sha256-{OWN}'\">"
)


class Site:
    """A folder DOCS."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, content: str | dict[str, Any]) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    def publish(self, *results: dict[str, Any]) -> None:
        self.write("index.html", f'<meta name="latest" content="{PUBLICATION}"> the index')
        pages = ["report.html", "catalog.html", "lineage.html", "dbt/index.html"]
        run = {"publication": PUBLICATION.removeprefix("runs/r1/"), "pages": pages}
        self.write("runs/r1/run.json", run)
        self.write(f"{PUBLICATION}/manifest.json", MANIFEST)
        self.write(f"{PUBLICATION}/run_results.json", {"results": results})
        entry = f"catalog/{read_assets(MANIFEST)[str(NODE['unique_id'])].page}.html"
        for page in ("index.html", entry, *pages):
            self.write(f"{PUBLICATION}/{page}", PAGE)


def result(node: dict[str, Any], status: str = "success", at: str = "1", **values: Any) -> Any:
    timing = [{"name": "execute", "completed_at": at}]
    return {"unique_id": node["unique_id"], "status": status, "timing": timing, **values}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("GAME_ANALYTICS_DOCS", str(tmp_path / "docs"))
    (tmp_path / "secret").write_text("secret")
    return Site(tmp_path / "docs")


@pytest.fixture
def client(site: Site) -> Iterator[TestClient]:
    """A client whose user may see everything."""
    assert site
    for guard in (*ui.app.router.dependencies, ui.READS_LOGS):
        ui.app.dependency_overrides[guard.dependency] = lambda: None
    yield TestClient(ui.app, follow_redirects=False)
    ui.app.dependency_overrides.clear()


def addresses() -> list[tuple[str, str]]:
    """Method and address of all routes that the application itself lists."""
    found = []
    for route in ui.app.routes:
        assert isinstance(route, APIRoute), f"{route} has no guard"
        path = route.path.replace("{name:path}", "index.html").replace("{page:path}", "index.html")
        path = path.replace("{run_id}", "r1").replace("{task_id}", "fct_bets")
        path = path.replace("{dag_id}", "game_analytics")
        assert "{" not in path
        found += [(method, path) for method in route.methods]
    return found


def test_every_route_refuses_a_person_without_a_login(site: Site) -> None:
    site.publish()
    client = TestClient(ui.app, follow_redirects=False)
    assert len(addresses()) >= 8
    for method, path in addresses():
        answer = client.request(method, path)
        assert answer.status_code == 401, path
        assert "index" not in answer.text


def test_every_route_refuses_a_person_without_the_right(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish()
    asked = []

    class Manager:
        """An auth manager that knows the user and allows nothing."""

        def is_authorized_dag(
            self, *, method: str, access_entity: Any, details: Any, user: Any
        ) -> bool:
            asked.append((method, access_entity.value, details.id, user))
            return False

    async def get_user() -> str:
        return "somebody"

    monkeypatch.setattr(security, "get_auth_manager", Manager)
    monkeypatch.setattr(DagModel, "get_team_name", lambda *_: None)
    ui.app.dependency_overrides[security.get_user] = get_user
    try:
        client = TestClient(ui.app, follow_redirects=False)
        for method, path in addresses():
            # Another DAG in the query changes nothing.
            assert client.request(method, f"{path}?dag_id=other").status_code == 403, path
    finally:
        ui.app.dependency_overrides.clear()
    # The first right that is refused ends the request; another test refuses the second one only.
    assert set(asked) == {("GET", "TASK_INSTANCE", "game_analytics", "somebody")}


def test_what_can_quote_the_data_needs_the_right_to_read_logs(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish()
    site.write("runs/r1/dbt_build/try_1-a/run_results.json", {})

    class Manager:
        """An auth manager that allows everything but to read logs."""

        def is_authorized_dag(self, *, access_entity: Any, **_: Any) -> bool:
            return bool(access_entity.value != "TASK_LOGS")

    async def get_user() -> str:
        return "somebody"

    monkeypatch.setattr(security, "get_auth_manager", Manager)
    monkeypatch.setattr(DagModel, "get_team_name", lambda *_: None)
    ui.app.dependency_overrides[security.get_user] = get_user
    try:
        client = TestClient(ui.app)
        artifact = "runs/r1/dbt_build/try_1-a/run_results.json"
        for path in (f"/artifacts/{artifact}", "/game_analytics/r1/fct_bets"):
            assert client.get(path).status_code == 403
        assert client.get(f"/site/{artifact}").status_code == 404
        assert client.get("/site/index.html").status_code == 200
        assert client.get("/latest/report.html").status_code == 200
    finally:
        ui.app.dependency_overrides.clear()


def test_the_documentation_of_the_routes_is_off(client: TestClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"):
        assert client.get(path).status_code == 404


def test_the_index_and_the_pages_of_any_run_are_served(client: TestClient, site: Site) -> None:
    site.publish()
    assert "the index" in client.get("/site/index.html").text
    for start, end in {
        "/": "/site/index.html",
        "/latest/report.html": f"/site/{PUBLICATION}/report.html",
        "/latest/": f"/site/{PUBLICATION}/index.html",
        "/runs/r1/dbt/index.html": f"/site/{PUBLICATION}/dbt/index.html",
        "/dags/game_analytics": "/site/index.html",
        "/dags/game_analytics/runs/r1": f"/site/{PUBLICATION}/index.html",
    }.items():
        answer = client.get(start)
        assert (answer.status_code, answer.headers["Location"]) == (307, end)
        assert client.get(end).status_code == 200
    for path in ("/dags/other", "/dags/other/runs/r1", "/runs/r2/index.html"):
        assert client.get(path).status_code == 404


def test_without_any_run_each_address_says_so(client: TestClient) -> None:
    for path in ("/site/index.html", "/latest/report.html", "/runs/r1/", "/game_analytics/r1/a"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("name", [name for name in OUTSIDE if name])
def test_nothing_but_published_files_is_served(client: TestClient, site: Site, name: str) -> None:
    site.publish()
    for raw in (name, name.replace("/", "%2F"), name.replace(".", "%2e").replace("/", "%2f")):
        for route in ("/site/", "/artifacts/", "/latest/", "/runs/r1/"):
            quoted = raw.encode("utf-8", "surrogateescape").replace(b"\x00", b"%00")
            quoted = quoted.replace(b"\n", b"%0a").replace(b"\x7f", b"%7f")
            try:
                answer = client.get(route + quoted.decode("latin-1"), follow_redirects=True)
            except UnicodeEncodeError:
                continue
            assert "secret" not in answer.text, raw
            assert "root:" not in answer.text, raw
            assert answer.status_code in {200, 400, 404}, raw
            if answer.status_code == 200:
                # The client itself has resolved the dots, and the address became another one.
                assert answer.text.startswith(("<!doctype", "<meta")), raw


@pytest.mark.parametrize("run_id", ["..", "%2e%2e", "..%2f..", "r1%00", "r" * 2000])
def test_a_run_id_leads_to_no_other_folder(client: TestClient, site: Site, run_id: str) -> None:
    site.publish()
    for path in (f"/runs/{run_id}/secret", f"/game_analytics/{run_id}/fct_bets"):
        answer = client.get(path, follow_redirects=True)
        assert "secret" not in answer.text
        assert answer.status_code in {200, 404}
        if answer.status_code == 200:
            # The manifest is that of the latest run; this run has no results.
            assert "No result yet." in answer.text


def test_a_run_file_cannot_lead_out_of_its_run(client: TestClient, site: Site) -> None:
    for folder in ("../../..", "site/..", "/etc", "site/a/../../..", 7, None):
        site.write("runs/r1/run.json", {"publication": folder})
        assert client.get("/runs/r1/secret").status_code == 404
    site.write("index.html", '<meta name="latest" content="../..">')
    assert client.get("/latest/secret").status_code == 404


def test_a_file_is_sent_again_only_if_it_has_changed(client: TestClient, site: Site) -> None:
    site.publish()
    first = client.get("/site/index.html")
    tag = first.headers["ETag"]
    for header in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again = client.get("/site/index.html", headers={"If-None-Match": header})
        assert (again.status_code, again.content) == (304, b""), header
        assert again.headers["ETag"] == tag
    site.write("index.html", "another index")
    changed = client.get("/site/index.html", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.text) == (200, "another index")
    assert changed.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (f"{PUBLICATION}/report.html", "text/html; charset=utf-8"),
        (f"{PUBLICATION}/style.css", "text/css; charset=utf-8"),
        (f"{PUBLICATION}/app.js", "text/javascript; charset=utf-8"),
        (f"{PUBLICATION}/run_results.json", "application/json"),
        (f"{PUBLICATION}/compiled/a.sql", "text/plain; charset=utf-8"),
        ("runs/r1/dbt_build/try_1-a/dbt.log", "text/plain; charset=utf-8"),
        # HTML that is no published page is text.
        ("runs/r1/dbt_build/try_1-a/compiled/x.html", "text/plain; charset=utf-8"),
        ("other.html", "text/plain; charset=utf-8"),
        ("runs/r1/x.svg", "text/plain; charset=utf-8"),
        (f"{PUBLICATION}/x.svg", "image/svg+xml"),
        ("runs/r1/program.exe", "application/octet-stream"),
        ("runs/r1/html", "application/octet-stream"),
    ],
)
def test_types_and_headers(client: TestClient, site: Site, name: str, kind: str) -> None:
    site.publish()
    site.write(name, PAGE)
    is_page = name.startswith(PUBLICATION)
    answer = client.get(f"/{'site' if is_page else 'artifacts'}/{name}")
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert int(answer.headers["Content-Length"]) == len(answer.content) == len(PAGE)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert ("attachment" in answer.headers.get("Content-Disposition", "")) == ("octet" in kind)
    if not kind.startswith("text/html"):
        assert "script-src" not in policy


def test_a_page_runs_only_its_own_scripts(client: TestClient, site: Site) -> None:
    site.publish()
    policy = client.get(f"/site/{PUBLICATION}/report.html").headers["Content-Security-Policy"]
    (scripts,) = [part for part in policy.split("; ") if part.startswith("script-src")]
    assert scripts == f"script-src 'self' 'sha256-{OWN}'"
    # A policy that stands far down may be a part of the data.
    site.write(f"{PUBLICATION}/report.html", "<title>" + "x" * 5000 + PAGE)
    policy = client.get(f"/site/{PUBLICATION}/report.html").headers["Content-Security-Policy"]
    assert policy.endswith("script-src 'self'")


def test_the_dbt_docs_are_isolated_from_airflow(client: TestClient, site: Site) -> None:
    site.publish()
    answer = client.get(f"/site/{PUBLICATION}/dbt/index.html")
    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox allow-scripts" in policy
    assert "allow-same-origin" not in policy
    assert "connect-src" not in policy


def test_an_error_has_the_headers_too(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise game_analytics_docs.DocsError("s3://a/b cannot be read: AccessDenied")

    monkeypatch.setattr(game_analytics_docs.DocsInFolder, "open", refuse)
    for path in ("/site/index.html", "/latest/", "/runs/r1/", "/game_analytics/r1/fct_bets"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["detail"][:8]) == (503, "s3://a/b")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_node_page_shows_the_node_its_owner_and_results(client: TestClient, site: Site) -> None:
    failed = result(TEST, "fail", message="Got 3 <b>results</b>")
    built = result(
        NODE,
        execution_time=12.345,
        adapter_response={"rows_affected": 12345},
        compiled_code="select of_this_run",
    )
    site.publish(built, failed)
    page = client.get("/game_analytics/r1/fct_bets").text
    expected = ("Betting b@x", "dbt/models/fct_bets.sql", "stg_bets", "bigint", "of_this_run")
    for text in (*expected, "12,345 rows", "12.35 s", "unique_fct_bets", "Got 3 &lt;b&gt;"):
        assert text in page, text
    assert "as_written" not in page
    assert "<script" not in page


def test_a_node_page_leads_to_the_nodes_place_in_the_catalog_and_the_lineage(
    client: TestClient, site: Site
) -> None:
    site.publish()
    page = client.get("/game_analytics/r1/fct_bets").text
    links = dict(re.findall(r'<a href="([^"]+)">(Catalog entry|Lineage|This run)</a>', page))
    addresses = {title: address for address, title in links.items()}
    assert list(addresses) == ["Catalog entry", "Lineage", "This run"]
    for address in addresses.values():
        assert client.get(address.removeprefix(PAGES)).status_code == 200, address
    assert addresses["Catalog entry"].endswith("/catalog/model.game_analytics.fct_bets.html")
    assert addresses["Lineage"].endswith("/lineage.html#model.game_analytics.fct_bets")
    # A run that has published no lineage.
    run = {"publication": PUBLICATION.removeprefix("runs/r1/"), "pages": ["catalog.html"]}
    site.write("runs/r1/run.json", run)
    assert "lineage.html" not in client.get("/game_analytics/r1/fct_bets").text


def test_events_are_read_only_for_a_node_without_a_result(
    client: TestClient, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    really_open = game_analytics_docs.DocsInFolder.open

    def count(store: Any, name: str) -> Any:
        opened.append(name)
        return really_open(store, name)

    monkeypatch.setattr(game_analytics_docs.DocsInFolder, "open", count)
    event = {"unique_id": NODE["unique_id"], "seconds": 1, "rows": 7, "problems": []}
    events = "runs/r1/dbt_build/try_1-a/events/000001.jsonl"
    site.write(events, json.dumps(event))
    site.publish()
    assert "7 rows" in client.get("/game_analytics/r1/fct_bets").text
    assert events in opened
    opened.clear()
    site.publish(result(NODE))
    assert client.get("/game_analytics/r1/fct_bets").status_code == 200
    assert opened
    assert events not in opened


def test_a_manifest_stays_parsed_whatever_else_is_read(
    client: TestClient, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        site.write(
            f"runs/r1/dbt_build/try_{number}-a/run_results.json", {"results": [], "n": number}
        )
    site.publish(result(NODE))
    parsed: list[Any] = []
    really_load = json.loads

    def count(content: Any) -> Any:
        value = really_load(content)
        parsed.append(value)
        return value

    monkeypatch.setattr(json, "loads", count)
    client.get("/game_analytics/r1/fct_bets")
    client.get("/game_analytics/r1/fct_bets")
    assert len(parsed) > 20
    assert sum("nodes" in value for value in parsed) <= 1


def test_the_statuses_of_dbt_are_those_of_the_published_pages() -> None:
    assert game_analytics_node_docs.STATUSES == run_artifacts.STATUSES


def test_a_node_page_is_there_before_the_run_is_published(client: TestClient, site: Site) -> None:
    """An on-call engineer opens it from a red task, while the run goes on."""
    site.write("runs/r1/freshness/manifest.json", MANIFEST)
    page = client.get("/game_analytics/r1/fct_bets").text
    assert "No result yet." in page
    assert "as_written" in page
    problem = {"unique_id": TEST["unique_id"], "status": "fail", "message": "Got 1", "sql": "s"}
    event = {"unique_id": NODE["unique_id"], "seconds": 1, "rows": 7, "problems": [problem]}
    site.write("runs/r1/dbt_build/try_1-a/events/000001.jsonl", json.dumps(event) + '\n{"cut')
    page = client.get("/game_analytics/r1/fct_bets").text
    assert "7 rows" in page
    assert "Got 1" in page
    built = result(NODE, at="2", compiled_code="select of_all")
    site.write("runs/r1/dbt_build/try_1-a/run_results.json", {"results": [built]})
    assert "of_all" in client.get("/game_analytics/r1/fct_bets").text
    # Its own task has built the node again since then.
    again = result(NODE, "error", "3", message="no room", compiled_code="select of_its_own_task")
    site.write("runs/r1/fct_bets/try_2-b/run_results.json", {"results": [again]})
    page = client.get("/game_analytics/r1/fct_bets").text
    assert "of_its_own_task" in page
    assert "no room" in page


def test_a_version_of_a_model_has_its_own_page(client: TestClient, site: Site) -> None:
    manifest = json.loads(json.dumps(MANIFEST))
    for number in (1, 2):
        unique_id = f"model.game_analytics.rpt.levels.v{number}"
        version = {"name": "rpt.levels", "unique_id": unique_id, "raw_code": f"version {number}"}
        manifest["nodes"][unique_id] = NODE | version
    site.write("runs/r1/freshness/manifest.json", manifest)
    assert "version 1" in client.get("/game_analytics/r1/rpt_levels_v1").text
    assert "version 2" in client.get("/game_analytics/r1/rpt_levels_v2").text


def test_only_nodes_of_this_dag_have_pages(client: TestClient, site: Site) -> None:
    site.publish()
    assert client.get("/another_dag/r1/fct_bets").status_code == 404
    assert client.get("/game_analytics/r1/nothing").status_code == 404
    assert client.get("/game_analytics/r1/unique_fct_bets").status_code == 404


def test_airflow_accepts_every_entry_of_the_ui() -> None:
    views = ui.GameAnalyticsPlugin.external_views
    names = [ExternalViewResponse.model_validate(view) for view in views]
    assert {view.destination for view in names} == {"nav", "dag", "dag_run"}
    assert len({view["url_route"] for view in views}) == len(views)
    routes = [route for route in ui.app.routes if isinstance(route, APIRoute)]
    for view in views:
        path = view["href"].removeprefix(PAGES)
        path = path.replace("{DAG_ID}", "game_analytics").replace("{RUN_ID}", "r1")
        assert any(route.path_regex.fullmatch(path) for route in routes), path
