"""What the tests of the built warehouse share."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.settings import ROOT

SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The reference files that lie beside a checkout of this project, not in it."""
    if not SHARED.is_dir():
        pytest.skip(f"the reference files are not there: {SHARED}")
    return SHARED
