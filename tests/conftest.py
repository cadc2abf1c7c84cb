"""What all tests share: an environment without the user's settings, and the order of the files."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.debian import Unavailable
from tests.support.engine import Engine
from tests.support.reference_data import REFERENCE_DATA

# Only dbt's environment has PostgreSQL's driver.
collect_ignore = [] if importlib.util.find_spec("psycopg2") else ["redshift_standin"]

ROOT = Path(__file__).parents[1]

HOME = tempfile.mkdtemp(prefix="airflow-home-")
# Airflow's own exit handlers still write into the folder. They run before this one.
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

# Airflow reads these variables when it is imported, which is before any fixture.
for name in [name for name in os.environ if "GAME_ANALYTICS_" in name or "AIRFLOW__" in name]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": HOME,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
    "AIRFLOW__COSMOS__CACHE_DIR": f"{HOME}/cosmos",
}

LONGEST_FIRST = (
    # In Airflow's environment. The first two run side by side, and the second one mostly waits.
    "deployment/test_deployment.py",
    "pipeline/test_faults.py",
    "redshift/test_redshift_dag.py",
    "pipeline/test_run.py",
    "mwaa/test_mwaa_image.py",
    "pipeline/test_real_run.py",
    "pipeline/test_started_on_workers.py",
    # In dbt's environment.
    "redshift/test_parity.py",
    "pipeline/test_incremental_truth.py",
    "pipeline/test_changes_elsewhere.py",
    "redshift/test_redshift_faults.py",
    "pipeline/test_oracle_numbers.py",
    "redshift/test_redshift_scans.py",
    "pipeline/test_churn_features.py",
    "pipeline/test_experiments.py",
    "pipeline/test_betting_fees.py",
    "pipeline/test_broken_ledgers.py",
    "containers/test_compose.py",
    "ui/test_report.py",
    # In both: the linters.
    "unit/test_style.py",
)
"""The files that take longest. They start first, so that no long file is left over at the end."""

SLOW_FOLDERS = ("containers", "deployment", "mwaa")
"""Here any test may be the one that builds an image or an environment."""
SLOW_SECONDS = 900
"""The limit of a test in these files and folders; all others have the one of pyproject.toml."""

SLOWEST_FILES = 15


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, each in its own order, and allow the slow tests more time."""
    places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST_FIRST)}
    if missing := [str(path) for path in places if not path.exists()]:
        raise pytest.UsageError(f"LONGEST_FIRST in tests/conftest.py names {', '.join(missing)}")
    items.sort(key=lambda item: places.get(item.path, len(places)))
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        is_slow = item.path in places or folder in SLOW_FOLDERS
        if is_slow and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))
        # pytest prints one line per file for this marker, and one per test for a skip in a fixture.
        if "reference_data" in getattr(item, "fixturenames", ()) and not REFERENCE_DATA.is_dir():
            reason = (
                f"{REFERENCE_DATA} is missing: REFERENCE_DATA names the reference files' folder"
            )
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the files that took longest: xdist gives each file to one process as a whole."""
    seconds: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.location[0]] += report.duration
    terminalreporter.section(f"slowest {SLOWEST_FILES} files")
    for file, spent in sorted(seconds.items(), key=lambda entry: -entry[1])[:SLOWEST_FILES]:
        terminalreporter.line(f"{spent:7.1f}s {file}")


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Podman with the project's images (`tests/support/engine.py`)."""
    try:
        with Engine.start() as started:
            yield started
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The folder of the reference files. A test with this fixture is skipped without the folder."""
    return REFERENCE_DATA
