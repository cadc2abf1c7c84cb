"""The browser that the tests of pages share. Only dbt's environment has its driver."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.debian import Unavailable

if TYPE_CHECKING:
    from playwright.sync_api import Browser

collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium. The tests are skipped if it cannot be installed."""
    from tests.support.browser import chromium

    try:
        with chromium() as started:
            yield started
    except Unavailable as reason:
        pytest.skip(str(reason))
