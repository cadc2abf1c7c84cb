"""What arrived since the last successful build, and the record of it in the warehouse.

Schema `operations` holds five tables:

- `listed_partitions`: the lake as this run's first step found it;
- `built_partitions`: the lake as of the last successful build;
- `run_days`: the days of this run by source, which the models' macros read into literals;
- `run`: whose days these are, and whether nothing was left out of them;
- `built_logic`: a checksum of every seed and of every incremental model's SQL, as last built.

`find_run_days` writes all but the built ones before a build, `record_build` writes those after it,
and only for what the run covered: after a crash in between the next run finds the same days.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet

from include.lake.external_tables import create_views
from include.lake.listing import Partition, Source, data_files, list_lake, sources
from include.manifest import Manifest
from include.settings import Settings, UserError

PARTITIONS = (
    "(source varchar, day varchar, object_count bigint, byte_count bigint, changed_at timestamp)"
)
TABLES = {
    "listed_partitions": PARTITIONS,
    "built_partitions": PARTITIONS,
    "run_days": "(source varchar, day varchar)",
    "run": "(run_id varchar, is_whole boolean)",
    "built_logic": "(node varchar, checksum varchar)",
}


@dataclass(frozen=True)
class RunDays:
    """The outcome of `find_run_days`: touched days by source, and warnings for the log."""

    days: Mapping[str, list[str]]
    warnings: list[str]

    def __str__(self) -> str:
        lines = [
            f"{source}: {len(days)} day{'s' if len(days) != 1 else ''}"
            + (f" from {days[0]} to {days[-1]}" if days else "")
            for source, days in self.days.items()
        ]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def find_run_days(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    manifest: Manifest,
    asked: tuple[date, date] | None = None,
    run_id: str = "",
) -> RunDays:
    """List the lake, create the external tables, and write the run's days to the warehouse.

    The days are those whose files changed since the last successful build, or the days `asked` for
    (first and last). Raises UserError for a lake that cannot be read.
    """
    declared = sources(manifest)
    lake = Path(settings.lake)
    schema = _create_tables(connection, settings)
    logic = logic_checksums(manifest, settings)
    recorded: dict[str, str] = dict(
        connection.execute(f"select node, checksum from {schema}.built_logic").fetchall()
    )
    changed = {node for node, checksum in logic.items() if recorded.get(node, checksum) != checksum}
    affected = _sources_of_changed_seeds(manifest, changed)
    # Days that are asked for, and all days of a changed seed, may lie before the bound.
    since = None if asked or affected else _since(settings)
    listed = list_lake(lake, declared, since)
    built = _read(connection, f"{schema}.built_partitions")
    partitioned = [source for source in declared if source.partition_columns]

    days: dict[str, list[str]] = {}
    for source in partitioned:
        now = {p.day: p for p in listed if p.source == source.name}
        then = {
            p.day: p
            for p in built
            if p.source == source.name and not (since and date.fromisoformat(p.day) < since)
        }
        if asked:
            touched = {day for day in now | then if asked[0] <= date.fromisoformat(day) <= asked[1]}
        elif source.name in affected:
            touched = set(now) | set(then)
        else:
            touched = {day for day in now | then if now.get(day) != then.get(day)}
        days[source.name] = sorted(touched)
        _check_files(lake / source.name, source, touched & set(now))

    create_views(connection, lake, f"{settings.schema_prefix}spectrum", declared)
    connection.begin()
    for table in ("listed_partitions", "run_days", "run"):
        connection.execute(f"delete from {schema}.{table}")
    _insert(connection, f"{schema}.run", [(run_id, asked is None)])
    _insert(connection, f"{schema}.listed_partitions", [astuple(partition) for partition in listed])
    _insert(
        connection,
        f"{schema}.run_days",
        [(source, day) for source, touched in days.items() for day in touched],
    )
    connection.commit()
    models = sorted(node for node in changed if node.startswith("model."))
    return RunDays(
        days,
        [
            f"the SQL of {model.rsplit('.', 1)[-1]} changed since its rows were built; days that "
            'are not touched keep the old result until `make build ARGS="--full-refresh"`.'
            for model in models
        ],
    )


def record_build(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    manifest: Manifest,
    *,
    full_refresh: bool = False,
    run_id: str = "",
) -> int:
    """Record that the run's days are built; call it only if every node succeeded.

    Returns how many partitions were recorded. What arrived during the build differs from the
    listing and is found by the next run. Raises UserError if another run has found its days since:
    those may be more than this run has built.
    """
    schema = _create_tables(connection, settings)
    run = connection.execute(f"select run_id, is_whole from {schema}.run").fetchone()
    if run is None or run[0] != run_id:
        other = (run[0] if run else "") or "a build without Airflow"
        raise UserError(
            f"the days of this run were replaced by those of {other}: "
            "clear the task partitions with everything downstream, or start a new run."
        )
    is_whole = bool(run[1])
    covered = "(day = '' or (source, day) in (select (source, day) from {schema}.run_days))"
    covered = covered.format(schema=schema)
    connection.begin()
    connection.execute(f"delete from {schema}.built_partitions where {covered}")
    connection.execute(
        f"insert into {schema}.built_partitions "
        f"select * from {schema}.listed_partitions where {covered}"
    )
    known = {
        node for (node,) in connection.execute(f"select node from {schema}.built_logic").fetchall()
    }
    logic = logic_checksums(manifest, settings)
    # A model that changed keeps its old checksum, and so its warning, until it is rebuilt whole; a
    # seed until all its days are.
    new = {
        node: checksum
        for node, checksum in logic.items()
        if full_refresh or node not in known or (is_whole and node.startswith("seed."))
    }
    _delete(connection, f"{schema}.built_logic", [*new, *(known - set(logic))])
    _insert(connection, f"{schema}.built_logic", list(new.items()))
    count = connection.execute(f"select count(*) from {schema}.built_partitions where {covered}")
    recorded = count.fetchone()
    connection.commit()
    return int(recorded[0]) if recorded else 0


def logic_checksums(manifest: Manifest, settings: Settings) -> dict[str, str]:
    """A checksum per seed (its rows) and incremental model (its SQL, with views and macros)."""
    macros = manifest.content["macros"]
    checksums: dict[str, str] = {}
    for unique_id, node in manifest.nodes.items():
        if node["resource_type"] == "seed":
            checksums[unique_id] = node["checksum"]["checksum"]
        elif _is_incremental(node):
            # A row without a currency has the reporting currency, as it was when it was built.
            digest = hashlib.sha256(settings.reporting_currency.encode())
            views = [
                ancestor
                for ancestor in manifest.ancestors(unique_id)
                if ancestor in manifest.nodes
                and manifest.nodes[ancestor]["config"]["materialized"] in {"view", "ephemeral"}
            ]
            used: set[str] = set()
            for member in sorted([unique_id, *views]):
                digest.update(manifest.nodes[member]["checksum"]["checksum"].encode())
                used |= set(manifest.nodes[member]["depends_on"]["macros"])
            waiting = list(used)
            while waiting:
                new = set(macros[waiting.pop()]["depends_on"]["macros"]) - used
                used |= new
                waiting.extend(new)
            for macro in sorted(used):
                if macros[macro]["package_name"] == node["package_name"]:
                    digest.update(macros[macro]["macro_sql"].encode())
            checksums[unique_id] = digest.hexdigest()
    return checksums


def _is_incremental(node: Mapping[str, object]) -> bool:
    config = node["config"]
    return isinstance(config, Mapping) and config.get("materialized") == "incremental"


def _sources_of_changed_seeds(manifest: Manifest, changed: Iterable[str]) -> set[str]:
    """The partitioned sources whose days an incremental model must replace, as its seed changed."""
    seeds = {node for node in changed if node.startswith("seed.")}
    return {
        source
        for unique_id, node in manifest.nodes.items()
        if _is_incremental(node) and seeds & set(manifest.ancestors(unique_id))
        for source in node["config"]["meta"]["replaced_days"]["sources"]
    }


def _since(settings: Settings) -> date | None:
    if not settings.late_days:
        return None
    return datetime.now(UTC).date() - timedelta(days=int(settings.late_days))


def _check_files(folder: Path, source: Source, days: Iterable[str]) -> None:
    """Read the footers of the touched Parquet files: damage is named here, not inside a model."""
    for day in sorted(days):
        parts = day.split("-") if len(source.partition_columns) > 1 else [day]
        names = zip(source.partition_columns, parts, strict=True)
        below = folder.joinpath(*(f"{column}={part}" for column, part in names))
        for entry in data_files(below, {".parquet": "parquet"}):
            try:
                pyarrow.parquet.read_metadata(entry.path)
            except (pyarrow.ArrowException, OSError) as error:
                raise UserError(
                    f"{entry.path} is no readable Parquet file ({str(error).splitlines()[0]}): "
                    "replace it or move it out of the lake, then run again."
                ) from None


def _create_tables(connection: duckdb.DuckDBPyConnection, settings: Settings) -> str:
    schema = f"{settings.schema_prefix}operations"
    connection.execute(f"create schema if not exists {schema}")
    for table, columns in TABLES.items():
        connection.execute(f"create table if not exists {schema}.{table} {columns}")
    return schema


def _read(connection: duckdb.DuckDBPyConnection, table: str) -> list[Partition]:
    return [
        Partition(*row)
        for row in connection.execute(
            f"select source, day, object_count, byte_count, changed_at from {table}"
        ).fetchall()
    ]


def _insert(
    connection: duckdb.DuckDBPyConnection, table: str, rows: list[tuple[object, ...]]
) -> None:
    if rows:
        # One statement: a row at a time takes a second per thousand.
        columns = [list(column) for column in zip(*rows, strict=True)]
        places = ", ".join("unnest(?)" for _ in columns)
        connection.execute(f"insert into {table} select {places}", columns)


def _delete(connection: duckdb.DuckDBPyConnection, table: str, nodes: list[str]) -> None:
    connection.execute(f"delete from {table} where node in (select unnest(?))", [nodes])
