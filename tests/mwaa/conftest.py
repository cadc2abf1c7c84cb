"""The packages that the tests of MWAA share."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.settings import ROOT

BUCKET = "studio-mwaa"


@pytest.fixture(scope="session")
def package() -> Path:
    """A package as `make package` makes it; kept between sessions, since dbt has to parse."""
    pytest.importorskip("airflow", reason="runs in Airflow's environment")
    from include.mwaa.package import package

    dist = ROOT / ".venv" / "cache" / "mwaa" / "package"
    dist.parent.mkdir(parents=True, exist_ok=True)
    package(dist)
    return dist
