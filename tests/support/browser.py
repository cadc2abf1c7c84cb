"""Debian's Chromium for the tests of pages, driven by Playwright.

Playwright's own browsers are not used, because they are downloads without a package.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.debian import install

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
WIDTHS = {"desktop": 1280, "phone": 390}
HEIGHT = 900


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium with a profile of its own; raises Unavailable if it cannot be installed."""
    install({CHROMIUM: "chromium"}, "the tests of pages")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=list(FLAGS)
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Opened:
    """A page, and what the browser reported: console messages, script errors, requests, dialogs."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def opened(
    browser: Browser, path: Path, *, scheme: str = "light", width: int = 1280, scripts: bool = True
) -> Iterator[Opened]:
    """Open a file in a new profile, in the colour scheme `light` or `dark`."""
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=scripts,
        reduced_motion="reduce",
    )
    try:
        page = context.new_page()
        found = Opened(page)
        page.on("console", lambda message: found.errors.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: found.errors.append(f"script: {error}"))
        page.on("request", lambda request: found.requests.append(request.url))

        def dismiss(dialog: object) -> None:
            found.errors.append(f"dialog: {dialog}")

        page.on("dialog", dismiss)
        page.goto(path.as_uri())
        yield found
    finally:
        context.close()


def axe_findings(page: Page) -> list[str]:
    """What axe-core finds: each rule with the elements."""
    response = Axe().run(page).response
    return [
        f"{violation['id']}: {violation['help']}: "
        + "; ".join(
            f"{node['html'][:160]} {node.get('failureSummary')}" for node in violation["nodes"][:3]
        )
        for violation in response["violations"]
    ]
