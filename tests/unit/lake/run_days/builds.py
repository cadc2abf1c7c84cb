"""A small dbt project, and a lake and a warehouse on which a run's first and last step work."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from include.lake.run_days.find import find_run_days
from include.lake.run_days.record import record_build
from include.manifest import Manifest
from include.settings import Settings
from include.warehouse.duckdb_file import DuckDB

TEXT = {"data_type": "varchar(64)"}


def source(name: str, *partition_columns: str) -> dict[str, Any]:
    columns = ["value", *partition_columns]
    return {
        "name": name,
        "config": {
            "meta": {
                "partition_columns": list(partition_columns),
                "key": [] if partition_columns else ["value"],
            }
        },
        "columns": dict.fromkeys(columns, TEXT),
    }


def node(kind: str, checksum: str, *parents: str, **config: Any) -> dict[str, Any]:
    return {
        "resource_type": kind,
        "package_name": "p",
        "checksum": {"checksum": checksum},
        "depends_on": {"nodes": list(parents), "macros": ["macro.p.rule"]},
        "config": {"materialized": "view", **config},
    }


def manifest(seed: str = "s1", view: str = "v1", model: str = "m1", macro: str = "1") -> Manifest:
    """A manifest with an incremental model that reads events by a view, and a seed."""
    replaced = {"column": "day", "sources": ["raw_events"], "before": 0, "after": 0}
    return Manifest(
        {
            "sources": {
                "source.p.e.raw_events": source("raw_events", "year", "month", "day"),
                "source.p.l.game_transactions": source("game_transactions", "date"),
                "source.p.l.games": source("games"),
            },
            "macros": {
                "macro.p.rule": {
                    "package_name": "p",
                    "macro_sql": macro,
                    "depends_on": {"macros": []},
                }
            },
            "nodes": {
                "seed.p.types": node("seed", seed, materialized="seed"),
                "model.p.stg": node("model", view, "source.p.e.raw_events"),
                "model.p.int_events": node(
                    "model",
                    model,
                    "model.p.stg",
                    "seed.p.types",
                    materialized="incremental",
                    meta={"replaced_days": replaced},
                ),
            },
        }
    )


def with_neighbours(project: Manifest) -> Manifest:
    """Make a touched day replace the day before it and the day after it as well."""
    project.nodes["model.p.int_events"]["config"]["meta"]["replaced_days"].update(before=1, after=1)
    return project


def event_folder(lake: Path, day: str) -> Path:
    year, month, of_month = day.split("-")
    return lake / f"raw_events/year={year}/month={month}/day={of_month}"


def event_file(lake: Path, day: str, name: str = "a", rows: int = 1) -> Path:
    path = event_folder(lake, day) / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"copy (select 'x' as value from range({rows})) to '{path}' (format parquet)")
    return path


class Build:
    """A lake and a warehouse, with the first and the last step of a run."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.lake = folder / "lake"
        self.settings = Settings(lake=str(self.lake), **settings)
        self.connection = duckdb.connect()

    def touched(
        self,
        project: Manifest | None = None,
        dates: tuple[date, date] | None = None,
        run_id: str = "",
        *,
        full_refresh: bool = False,
    ) -> list[str]:
        found = find_run_days(
            DuckDB(self.connection),
            self.settings,
            project or manifest(),
            dates,
            run_id,
            full_refresh=full_refresh,
        )
        self.warnings = found.warnings
        written = self.connection.execute(
            "select day from operations.run_days where source = 'raw_events' order by 1"
        ).fetchall()
        assert [day for (day,) in written] == found.days["raw_events"]
        return found.days["raw_events"]

    def record(
        self, project: Manifest | None = None, *, full_refresh: bool = False, run_id: str = ""
    ) -> int:
        return record_build(
            DuckDB(self.connection),
            self.settings,
            project or manifest(),
            full_refresh=full_refresh,
            run_id=run_id,
        )


class Years(Build):
    """A lake whose thirty days were built. Then the first ten expired, and half of the eleventh."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, late_days="3")
        first = datetime.now(UTC).date() - timedelta(days=30)
        self.days = [str(first + timedelta(days=number)) for number in range(30)]
        for day in self.days:
            early = event_file(self.lake, day, "early")
            os.utime(early, (1_700_000_000, 1_700_000_000))
            event_file(self.lake, day, "late")
        assert self.touched() == self.days
        self.record()
        for day in self.days[:10]:
            shutil.rmtree(event_folder(self.lake, day))
        (event_folder(self.lake, self.days[10]) / "early.parquet").unlink()
