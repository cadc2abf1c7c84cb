"""The lake and the warehouse of a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.lake.run_days.builds import Build


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """A lake and a warehouse without data."""
    # The module needs DuckDB, which is in dbt's environment alone.
    from tests.unit.lake.run_days.builds import Build

    build = Build(tmp_path)
    yield build
    build.connection.close()
