"""What a browser does with the pages: only a page's own scripts run, and dbt's page is isolated."""

from __future__ import annotations

import base64
import hashlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import game_analytics_ui as ui
import uvicorn

PUBLICATION = "runs/r1/site/20261130T043000000000-0123abcd"
OWN = "document.body.dataset.own = 'ran'"
ATTACK = "document.body.dataset.hostile = 'ran'"
HOSTILE = f'<script>{ATTACK}</script><img src=x onerror="{ATTACK}"><svg onload="{ATTACK}"></svg>'
META = '<meta http-equiv="Content-Security-Policy" content="img-src \'sha256-{}\'">'
PROBE = """
const found = [];
for (const [name, probe] of [
  ["cookie", () => document.cookie],
  ["storage", () => localStorage.length],
]) try { probe(); found.push(name) } catch {}
document.body.dataset.ran = "yes";
document.body.dataset.found = found.join(" ") || "nothing";
fetch("/site/index.html").then(() => { document.body.dataset.network = "reached" }, () => {
  document.body.dataset.network = "blocked" });
"""


@pytest.fixture(scope="module")
def chromium() -> str:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    return program


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with the pages, whose user may see everything."""
    docs = tmp_path / "docs"
    (docs / PUBLICATION / "dbt").mkdir(parents=True)
    (docs / "index.html").write_text("the index")
    own = base64.b64encode(hashlib.sha256(OWN.encode()).digest()).decode()
    (docs / PUBLICATION / "report.html").write_text(
        f"<!doctype html>{META.format(own)}<body>{HOSTILE}<script>{OWN}</script>"
    )
    (docs / PUBLICATION / "dbt" / "index.html").write_text(
        f"<!doctype html><body><script>{PROBE}</script>"
    )
    monkeypatch.setenv("GAME_ANALYTICS_DOCS", str(docs))
    for guard in (*ui.app.router.dependencies, ui.READS_LOGS):
        ui.app.dependency_overrides[guard.dependency] = lambda: None
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(ui.app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started and time.monotonic() < until:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)
    ui.app.dependency_overrides.clear()


def body_of(chromium: str, address: str, profile: Path) -> str:
    """The start tag of the body after the scripts have run."""
    options = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={profile}", "--virtual-time-budget=5000", "--dump-dom"),
    )
    done = subprocess.run(
        [chromium, *options, address], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.partition("<body")[2].partition(">")[0]


def test_only_the_scripts_that_a_page_names_run(
    chromium: str, address: str, tmp_path: Path
) -> None:
    body = body_of(chromium, f"{address}/site/{PUBLICATION}/report.html", tmp_path / "profile")
    assert 'data-own="ran"' in body
    assert "hostile" not in body


def test_the_dbt_docs_reach_neither_airflow_nor_a_network(
    chromium: str, address: str, tmp_path: Path
) -> None:
    page = f"{address}/site/{PUBLICATION}/dbt/index.html"
    body = body_of(chromium, page, tmp_path / "profile")
    assert 'data-ran="yes"' in body
    assert 'data-found="nothing"' in body
    assert 'data-network="blocked"' in body
