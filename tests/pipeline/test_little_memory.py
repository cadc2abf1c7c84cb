"""A build with little memory writes to disk what does not fit, and makes the same marts."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from threading import Event, Thread

import pytest

pytest.importorskip("dbt.cli.main", reason="runs in dbt's environment")

from include.lake.sample.sample import Sample, write_sample
from include.remedies import remedy
from include.settings import ROOT
from include.warehouse.duckdb_file import temporary_folder
from tests.support.warehouse import WITHOUT_TESTS, Warehouse, environment

END = date(2026, 9, 10)
LITTLE = "128MiB"
"""Less than what DuckDB gets where nothing is free; the data need more than this."""
EVENTS = (*WITHOUT_TESTS, "--select", "+int_events")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of about 200,000 events."""
    folder = tmp_path_factory.mktemp("lake")
    write_sample(folder, Sample(days=20, players=1000, seed=3, end=END))
    return folder


def contents(warehouse: Warehouse) -> dict[str, Counter[str]]:
    """The rows of every table as a multiset."""
    return {table: Counter(map(repr, warehouse.rows(table))) for table in warehouse.tables()}


def built(lake: Path, folder: Path, limit: str) -> Warehouse:
    """A new warehouse, built with this limit."""
    folder.mkdir()
    warehouse = Warehouse(lake, folder, duckdb_memory=limit)
    warehouse.build(*WITHOUT_TESTS)
    return warehouse


@contextmanager
def watched(folder: Path) -> Iterator[set[str]]:
    """Collect the names of the files that appear in the folder during the block."""
    seen: set[str] = set()
    ended = Event()

    def watch() -> None:
        while not ended.wait(0.02):
            with suppress(OSError):
                seen.update(file.name for file in folder.iterdir())

    thread = Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def test_a_build_that_spills_makes_the_same_marts(lake: Path, tmp_path: Path) -> None:
    folder = tmp_path / "little" / "warehouse.duckdb.tmp"
    with watched(folder) as files:
        little = built(lake, tmp_path / "little", LITTLE)
    assert any(name.startswith("duckdb_temp") for name in files)
    assert not folder.exists()
    assert contents(little) == contents(built(lake, tmp_path / "enough", "4GiB"))
    assert contents(little)["marts.rpt_daily_kpis"]


def test_a_limit_below_what_a_model_needs_is_an_error_with_its_remedy(
    lake: Path, tmp_path: Path
) -> None:
    Warehouse(lake, tmp_path).find()
    failed = Warehouse(lake, tmp_path, duckdb_memory="40MiB").dbt(*EVENTS)
    # Which of the two models of all events needs more depends on the columns that they read.
    ((model, message),) = failed.items()
    assert model in {"stg_game_events", "int_events"}
    assert "Out of Memory Error" in message
    assert "raise GAME_ANALYTICS_DUCKDB_MEMORY" in (remedy(message) or "none")
    # With more memory, the next build is the usual one.
    assert not Warehouse(lake, tmp_path).dbt(*EVENTS)


def test_the_next_run_removes_what_a_killed_build_left(lake: Path, tmp_path: Path) -> None:
    warehouse = Warehouse(lake, tmp_path, duckdb_memory="100MiB")
    warehouse.find()
    folder = temporary_folder(warehouse.settings.duckdb_path)
    with environment(warehouse.variables):
        command = [str(Path(sys.executable).with_name("dbt")), "build", *EVENTS]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as dbt:
            while dbt.poll() is None and not any(folder.glob("duckdb_temp*")):
                time.sleep(0.005)
            dbt.kill()
    assert dbt.returncode == -signal.SIGKILL
    assert list(folder.iterdir())
    warehouse.find()
    assert not folder.exists()
