"""The real project through Airflow's real scheduler: the first run is killed, the second one ends.

The marts of the second run are compared with those of a plain `make build` of the same lake. The
tests share one checkout and run in order.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from include.manifest import BUILT_TYPES
from include.settings import ROOT
from tests.support.checkout import STEPS, Checkout, kill_scheduler, states, wait_for

SAMPLE = ("--days", "3", "--players", "10", "--seed", "5", "--end", "2026-09-10")
CONTENTS = """
import collections, duckdb, json, sys
with duckdb.connect(sys.argv[1], read_only=True) as warehouse:
    tables = [name for name, in warehouse.execute(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema in ('intermediate', 'marts') and table_type = 'BASE TABLE'"
    ).fetchall()]
    print(json.dumps({
        name: collections.Counter(
            map(repr, warehouse.execute(f"select * from {name}").fetchall())
        ) for name in tables
    }))
"""
"""A program that prints each table as a multiset of rows; Airflow's environment has no DuckDB."""


def contents(checkout: Checkout, warehouse: Path) -> dict[str, Counter[str]]:
    program = checkout.root / "contents.py"
    program.write_text(CONTENTS)
    printed = checkout.run_dbt("contents", str(warehouse))
    assert printed.returncode == 0, printed.stderr
    return {table: Counter(rows) for table, rows in json.loads(printed.stdout).items()}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    checkout = Checkout.make(tmp_path_factory.mktemp("real"))
    output = shutil.ignore_patterns("target", "logs")
    shutil.copytree(ROOT / "dbt", checkout.root / "dbt", ignore=output)
    return checkout


def test_a_run_whose_scheduler_is_killed_names_the_signal(checkout: Checkout) -> None:
    process = checkout.start("include.laptop.run", *SAMPLE)
    seen = wait_for(process, " fct_sessions ")
    kill_scheduler(process)
    rest, _ = process.communicate(timeout=60)
    print(seen, rest)
    assert process.returncode == 1
    assert "error: Airflow's scheduler ended with signal 9" in rest
    assert checkout.left_running() == []


def test_the_next_run_builds_everything(checkout: Checkout) -> None:
    # Days are UTC days, whatever the time zone of the laptop is.
    ended = checkout.run("include.laptop.run", *SAMPLE, TZ="America/New_York")
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0
    manifest = json.loads((checkout.root / "dbt/target/manifest.json").read_text())
    nodes = {
        node["name"] for node in manifest["nodes"].values() if node["resource_type"] in BUILT_TYPES
    }
    assert states(ended.stdout, nodes | STEPS) == {task: ["success"] for task in nodes | STEPS}
    # The table of the KPIs.
    assert re.search(r"^2026-09-10( +[0-9.,-]+){9}$", ended.stdout, re.MULTILINE)
    (file,) = (checkout.root / "data" / "site" / "runs").glob("*/run.json")
    run = json.loads(file.read_text())
    assert (run["outcome"], run["notes"]) == ("success", [])
    assert sum(run["nodes"].values()) == len(nodes)
    published = file.parent / run["publication"]
    results = json.loads((published / "run_results.json").read_text())["results"]
    assert nodes <= {result["unique_id"].split(".")[2] for result in results}
    assert json.loads((published / "sources.json").read_text())["results"]
    assert str(published / "dbt" / "index.html") in ended.stdout
    assert checkout.left_running() == []


def test_its_marts_are_those_of_a_plain_build(checkout: Checkout) -> None:
    fresh = checkout.root / "data" / "fresh" / "warehouse.duckdb"
    built = checkout.run("include.laptop.build", GAME_ANALYTICS_DUCKDB=str(fresh))
    assert built.returncode == 0, built.stdout + built.stderr
    expected = contents(checkout, fresh)
    assert expected["marts.rpt_daily_kpis"]
    assert contents(checkout, checkout.root / "data" / "warehouse.duckdb") == expected


@pytest.mark.parametrize("zone", ["America/New_York", "UTC"])
def test_after_it_nothing_is_left_to_build(checkout: Checkout, zone: str) -> None:
    found = checkout.run_dbt("include.lake", "partitions", TZ=zone)
    assert found.returncode == 0, found.stderr
    days = re.findall(r"^\w+: (.*)$", found.stdout, re.MULTILINE)
    assert days
    assert set(days) == {"0 days"}, found.stdout
