"""What every test shares: no test sees the user's settings or writes into a home of Airflow's."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.support.engine import Engine, Unavailable

# PostgreSQL's driver is in dbt's environment alone.
collect_ignore = [] if importlib.util.find_spec("psycopg2") else ["redshift_standin"]

HOME = tempfile.mkdtemp(prefix="airflow-home-")
# When the process ends: Airflow's own exit handlers still write here, and come before.
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

# Airflow reads these when it is imported, which is before any fixture.
for name in [name for name in os.environ if "GAME_ANALYTICS_" in name or "AIRFLOW__" in name]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": HOME,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
    "AIRFLOW__COSMOS__CACHE_DIR": f"{HOME}/cosmos",
}


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Podman with the project's images (`tests/support/engine.py`)."""
    try:
        with Engine.start() as started:
            yield started
    except Unavailable as reason:
        pytest.skip(str(reason))
