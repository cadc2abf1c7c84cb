"""The calculations of the benchmarks. No test depends on what the benchmarks measure."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.manifest import Manifest
from tests.benchmarks.many_models import models, write
from tests.benchmarks.memory import proportional
from tests.benchmarks.run_times import (
    RunTimes,
    Task,
    blocked_seconds,
    layers,
    parents_by_name,
)
from tests.benchmarks.wide_project import tables
from tests.benchmarks.wide_project import write as write_wide


def test_the_generated_project_has_200_models_in_eight_layers(tmp_path: Path) -> None:
    parents: dict[str, frozenset[str]] = {}
    for model in models():
        # Each model comes after the models that it reads.
        assert set(model.parents) <= set(parents)
        assert len(set(model.parents)) == len(model.parents)
        parents[model.name] = frozenset(model.parents)
    assert len(parents) == 200
    assert layers(parents) == 8
    read = frozenset().union(*parents.values())
    assert {name for name in parents if name not in read} == {f"fct_7_{n:02}" for n in range(20)}

    write(tmp_path)
    assert {path.stem for path in tmp_path.rglob("models/**/*.sql")} == set(parents)


def test_the_wide_project_has_20_000_columns_that_all_resolve(tmp_path: Path) -> None:
    pytest.importorskip("sqlglot", reason="runs in the dbt environment")
    from include.site.lineage import column_lineage

    parents = {table.unique_id: table.parents for table in tables()}
    for place, unique_id in enumerate(parents):
        # Each table comes after those that it reads.
        assert set(parents[unique_id]) <= set(list(parents)[:place])
    assert sum(bool(table.sql) for table in tables()) == 1_000
    write_wide(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    # One model of each form, with all that it reads.
    kept = {"model.wide.rpt_000", "model.wide.rpt_001"}
    for unique_id in reversed(list(parents)):
        if unique_id in kept:
            kept |= set(parents[unique_id])
    nodes = {name: node for name, node in manifest["nodes"].items() if name in kept}
    manifest["nodes"] = nodes
    found = column_lineage(manifest, "duckdb")
    assert found.unresolved == []
    assert {len(found.columns[unique_id]) for unique_id in nodes} == {20}


def test_the_project_of_dbt_docs_has_the_sql_of_the_wide_project(tmp_path: Path) -> None:
    pytest.importorskip("sqlglot", reason="runs in the dbt environment")
    from tests.benchmarks.docs_of_dbt import write_project

    write_project(tmp_path)
    for table in tables():
        if table.sql:
            text = (tmp_path / "models" / f"{table.name}.sql").read_text()
            assert '"wide"' not in text
            rendered = re.sub(r"\{\{ (?:ref\(|source\('lake', )'(\w+)'\) \}\}", _relation, text)
            assert rendered == table.sql


def _relation(found: re.Match[str]) -> str:
    return f'"wide"."main"."{found[1]}"'


def test_a_node_waits_for_what_is_built_above_an_ephemeral_model() -> None:
    def node(name: str, *above: str, materialized: str = "table") -> dict[str, object]:
        return {
            "name": name,
            "resource_type": "model",
            "config": {"materialized": materialized},
            "depends_on": {"nodes": list(above)},
        }

    manifest = Manifest(
        {
            "nodes": {
                "model.p.a": node("a", "source.s"),
                "model.p.e": node("e", "model.p.a", materialized="ephemeral"),
                "model.p.b": node("b", "model.p.e"),
            }
        }
    )
    parents = parents_by_name(manifest, "tests")
    assert parents == {"a": frozenset(), "b": {"a"}, "tests": {"a", "b"}}
    assert layers(parents) == 3
    assert layers({}) == 0


def test_where_the_seconds_of_a_run_go() -> None:
    tasks = {
        "preflight": Task("success", 0, 4),
        "freshness": Task("success", 5, 9),
        "dbt_build": Task("success", 11, 21),
        # This node task waits for its node result.
        "a": Task("success", 10, 18, reported=16, seen=16.5),
        # The node result was published before this node task was deferred.
        "b": Task("success", 18.5, 21.5, reported=17, seen=20),
        "tests": Task("success", 22, 25, reported=21, seen=24),
        "done": Task("success", 26, 28),
    }
    times = RunTimes(tasks, workers=4)
    assert (times.whole, times.graph, times.before, times.after) == (28, 15, 10, 3)
    parents = {"a": frozenset(), "b": frozenset({"a"}), "tests": frozenset({"a", "b"})}
    assert list(times.where_it_goes(parents).values()) == pytest.approx(
        # Before, start, producer, tail, after; scheduler, pick-up, waiting, delivery; share.
        [10, 11, 10, 4, 3, 0.5, 1.75, 0.5, (1.5 + 1.5 + 1) / 3, 2 / 3]
    )


def test_the_seconds_for_which_the_triggerer_was_blocked() -> None:
    lines = [
        "[info] Triggerer's async thread was blocked for 0.31 seconds, exceeding the configured"
        " warning threshold of 0.20 seconds.",
        "[info] trigger r/a starting",
        "[info] Triggerer's async thread was blocked for 1.50 seconds, exceeding the configured",
    ]
    assert blocked_seconds("\n".join(lines)) == pytest.approx(1.81)
    assert blocked_seconds("") == 0


def test_the_last_run_is_read_from_the_database(tmp_path: Path) -> None:
    database = tmp_path / "airflow.db"
    with sqlite3.connect(database) as connection:
        connection.executescript(
            """
            create table dag_run (id, run_id, queued_at);
            create table task_instance (run_id, task_id, state, start_date, end_date);
            create table xcom (run_id, task_id, key, timestamp);
            create table log (run_id, event);
            insert into dag_run values
                (1, 'old', '2026-11-24 10:00:00.0'), (2, 'new', '2026-11-24 11:00:00.0');
            insert into task_instance values
                ('old', 'a', 'failed', '2026-11-24 10:00:00.5', '2026-11-24 10:00:01'),
                ('new', 'a', 'success', '2026-11-24 11:00:00.5', '2026-11-24 11:00:02'),
                ('new', 'b', 'upstream_failed', null, '2026-11-24 11:00:02');
            insert into xcom values ('new', 'a', 'dbt', '2026-11-24 11:00:01');
            insert into log values ('old', 'running'), ('new', 'running'), ('new', 'success');
            """
        )
    connection.close()
    assert not RunTimes.read(database, datetime(2026, 11, 24, 12, tzinfo=UTC)).tasks
    times = RunTimes.read(database, datetime(2026, 11, 24, 9, tzinfo=UTC))
    assert times.workers == 1
    assert set(times.tasks) == {"a"}
    assert times.whole == 1.5
    task = times.tasks["a"]
    assert task.reported == task.ended - 1
    assert task.seen is None


def test_the_shared_size_of_a_process() -> None:
    assert proportional("Rss:  900 kB\nPss:            412 kB\nPss_Anon:  10 kB\n") == 412
    assert proportional("") == 0
