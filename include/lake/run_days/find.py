"""The first step of a build: it finds the run's days and writes them to the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from include.lake.compaction.moves import check_ended, merge_count
from include.lake.files import small_files
from include.lake.ledger_rows.refresh import refresh_rows
from include.lake.listing import Listing, Partition, list_lake
from include.lake.run_days.checked_days import CheckedDay, Day, check_days
from include.lake.run_days.checksums import logic_checksums, sources_of_changed_seeds
from include.lake.run_days.expiry import days_to_keep, has_changed_keys
from include.lake.run_days.lost_rows import (
    LostRows,
    RowCheck,
    built_keys,
    refuse,
    sources_without_days,
    sources_without_files,
)
from include.lake.run_days.tables import (
    built_partitions,
    changed_keys,
    changed_keys_table,
    create_tables,
    operations_schema,
)
from include.lake.sources import Source, sources
from include.lake.storage import open_lake
from include.lake.storage.lake import Lake
from include.manifest import Manifest, task_id_of
from include.settings import Settings
from include.warehouse import build_lock
from include.warehouse.database import Database
from include.warehouse.grants import grant_usage_to_readers
from include.warehouse.masking import prepare_masking

Dates = tuple[date, date]
"""The first and the last requested day."""


@dataclass(frozen=True)
class RunDays:
    """What `find_run_days` found: the run's days by source, lines on what it did, and warnings."""

    days: Mapping[str, list[str]]
    done: list[str]
    warnings: list[str]

    def __str__(self) -> str:
        lines = [f"{source}: {_span(days)}" for source, days in self.days.items()]
        return "\n".join(
            [*self.done, *lines, *(f"warning: {warning}" for warning in self.warnings)]
        )


@dataclass(frozen=True)
class _Partitions:
    """The lake's partitions as they are listed now, and as the last successful build had them.

    The listing has no days before `since`. `begun` are the days by source that a run began to build
    and that no run has recorded since. Their rows may be those of files that are gone or changed.
    """

    lake: Lake
    declared: list[Source]
    since: date | None
    listing: Listing
    built: list[Partition]
    begun: Mapping[str, set[str]]


def find_run_days(
    database: Database,
    settings: Settings,
    manifest: Manifest,
    dates: Dates | None = None,
    run_id: str = "",
    lease: int = build_lock.LEASE_MINUTES,
    *,
    full_refresh: bool = False,
    allow_lost_rows: bool = False,
) -> RunDays:
    """List the lake, parse new ledger and cost files, create the external tables, and write the
    run's days to the warehouse.

    The run's days are the touched days, or those of the requested `dates`. A `full_refresh` lists
    the whole lake. On Redshift the run takes the build lock for `lease` minutes. Raises UserError
    for a lake that cannot be read, and LockedError while another run builds. Also raises UserError
    for a source that lost its rows, unless this argument or the setting allows it.
    """
    allow_lost_rows = allow_lost_rows or settings.allow_lost_rows == "1"
    declared = sources(manifest)
    lake = open_lake(settings)
    merges = merge_count(lake, declared)
    check_ended(lake, declared)
    create_tables(database, settings, changed_keys(manifest))
    with build_lock.taken(database, settings, run_id, lease):
        grant_usage_to_readers(database, settings)
        prepare_masking(database, settings, manifest)
        changed, new = _changed_nodes(database, settings, manifest)
        affected = sources_of_changed_seeds(manifest, changed)
        bound = _late_bound(database, settings)
        begun = _begun_days(database, operations_schema(settings))
        # Requested dates, the days of a changed seed and begun days may be before the bound.
        is_bounded = bound and all(day >= str(bound) for days in begun.values() for day in days)
        since = bound if is_bounded and not (dates or affected or full_refresh) else None
        partitions = _Partitions(
            lake,
            declared,
            since,
            list_lake(lake, declared, since),
            built_partitions(database, operations_schema(settings)),
            begun,
        )
        touched = _touched_days(partitions, dates, affected)
        kept = _kept_days(partitions, manifest, bound)
        days = {source: sorted(found - kept[source]) for source, found in touched.items()}
        before = built_keys(database, settings)
        if not allow_lost_rows:
            refuse(_lost_files(partitions, touched, kept, before))
        checked = _checked_days(database, settings, partitions, days)
        check = RowCheck(
            lake,
            settings,
            declared,
            partitions.built,
            _changed_sources(partitions),
            before,
            allow_lost_rows,
        )
        done = refresh_rows(
            lake, declared, partitions.listing, since, settings.schema_prefix, check
        ) + _create_external_tables(database, settings, partitions, checked)
        # A compaction may have begun since the first check.
        check_ended(lake, declared)
        _write(
            database,
            settings,
            partitions,
            [
                (source.name, day, _row_count(source, checked.get((source.name, day))))
                for source in declared
                for day in days.get(source.name, ())
            ],
            check.keys,
            (run_id, dates is None, merges),
        )
        by_keys = {node for node in changed | new if has_changed_keys(manifest.nodes[node])}
        for node in by_keys:
            _mark_all_keys(database, settings, manifest.nodes[node])
        return RunDays(
            days,
            [*done, *small_files(declared, partitions.listing)],
            [
                *check.warnings,
                *_warnings_of_kept_days(
                    {source: sorted(found & kept[source]) for source, found in touched.items()}
                ),
                *_warnings_of_changed_models(changed - by_keys),
            ],
        )


def _changed_nodes(
    database: Database, settings: Settings, manifest: Manifest
) -> tuple[set[str], set[str]]:
    """The unique ids of the seeds and models that differ from what was last built, and of those
    that were never built, or by an earlier version of the package in another way.
    """
    schema = operations_schema(settings)
    recorded: dict[str, str] = dict(
        database.rows(f"select node, checksum from {schema}.built_logic")
    )
    current = logic_checksums(manifest, settings)
    changed = {node for node, checksum in current.items() if recorded.get(node) != checksum}
    return changed & set(recorded), changed - set(recorded)


def _mark_all_keys(database: Database, settings: Settings, node: Mapping[str, Any]) -> None:
    """Make the run compare all rows of a model that is built by changed keys."""
    # The inputs of such a model are in the warehouse, so that a new SQL needs no full refresh.
    table = changed_keys_table(settings, node["name"])
    column = node["config"]["meta"]["changed_keys"]["columns"][0]
    database.execute(f"insert into {table} (changed_{column}) values (null)")


def _late_bound(database: Database, settings: Settings) -> date | None:
    """The first day that setting LATE_DAYS lets a run list; None if it lists the whole lake.

    The days count back from the newest change that was built, and not from today, because files
    that arrived while no run was made are not late. Before the first build there is no bound.
    """
    schema = operations_schema(settings)
    until = database.rows(f"select changed_at from {schema}.built_until")
    if not settings.late_days or not until:
        return None
    # A file with a time of change in the future must not move the bound past days of today.
    last: date = min(until[0][0].date(), datetime.now(UTC).date())
    return last - timedelta(days=int(settings.late_days))


def _begun_days(database: Database, schema: str) -> dict[str, set[str]]:
    """The days by source that a run began to build and that no run has recorded since."""
    begun: dict[str, set[str]] = {}
    for source, day in database.rows(f"select source, day from {schema}.begun_days"):
        begun.setdefault(source, set()).add(day)
    return begun


def _touched_days(
    partitions: _Partitions, dates: Dates | None, affected: set[str]
) -> dict[str, set[str]]:
    """The touched days, or those of the requested dates, of each partitioned source.

    Every day of the `affected` sources is touched, because a seed has changed. A begun day is
    touched although its files are now as they were built, or are gone and were never recorded.
    """
    touched: dict[str, set[str]] = {}
    for source in partitions.declared:
        if not source.partition_columns:
            continue
        listed = {p.day: p for p in partitions.listing.partitions if p.source == source.name}
        built = {
            p.day: p
            for p in partitions.built
            if p.source == source.name
            and not (partitions.since and date.fromisoformat(p.day) < partitions.since)
        }
        begun = partitions.begun.get(source.name, set())
        known = {*listed, *built, *begun}
        if dates:
            first, last = dates
            days = {day for day in known if first <= date.fromisoformat(day) <= last}
        elif source.name in affected:
            days = known
        else:
            same = {day for day, found in listed.items() if found.has_same_files(built.get(day))}
            days = (known - same) | begun
        touched[source.name] = days
    return touched


def _kept_days(
    partitions: _Partitions, manifest: Manifest, bound: date | None
) -> Mapping[str, set[str]]:
    """The days of each source whose rows must stay, because building them again would lose rows.

    A listing that starts at `since` cannot show that older files were deleted. No day then counts
    as expired.
    """
    kept: dict[str, set[str]] = {source.name: set() for source in partitions.declared}
    if partitions.since is None:
        kept |= days_to_keep(manifest, partitions.built, partitions.listing.partitions, bound)
    return kept


def _lost_files(
    partitions: _Partitions,
    touched: Mapping[str, set[str]],
    kept: Mapping[str, set[str]],
    keys: Mapping[str, int],
) -> list[LostRows]:
    """The sources that lost all their files or most of their days; each of them once."""
    declared, listing, built = partitions.declared, partitions.listing, partitions.built
    empty = sources_without_files(
        partitions.lake, declared, listing, built, kept, keys, partitions.since
    )
    others = [source for source in declared if source.name not in {lost.source for lost in empty}]
    return [*empty, *sources_without_days(others, built, touched, kept, listing)]


def _changed_sources(partitions: _Partitions) -> set[str]:
    """The names of the sources without partitions whose files differ from those last built."""
    built = {p.source: p for p in partitions.built if not p.day}
    listed = {p.source: p for p in partitions.listing.partitions if not p.day}
    return {
        name
        for name in {*built, *listed}
        if name not in listed or not listed[name].has_same_files(built.get(name))
    }


def _checked_days(
    database: Database,
    settings: Settings,
    partitions: _Partitions,
    days: Mapping[str, list[str]],
) -> dict[Day, CheckedDay]:
    """Check the event files that this run reads; returns what was found by source and day.

    A damaged file is reported here by its name, and not by the model that reads it. On DuckDB all
    days are checked, because a view of schema `spectrum` reads the files of all days, in groups of
    one schema.
    """
    listing = partitions.listing
    wanted: set[Day] = {(source, day) for source, found in days.items() for day in found}
    if settings.target == "local":
        wanted |= {*listing.files, *listing.older}
    return check_days(
        database,
        settings,
        partitions.lake,
        partitions.declared,
        listing,
        partitions.since,
        wanted,
    )


def _row_count(source: Source, checked: CheckedDay | None) -> int | None:
    """The number of rows in the event files of a day of this run; None for a parsed source."""
    if source.is_parsed:
        return None
    return checked.row_count if checked else 0


def _create_external_tables(
    database: Database,
    settings: Settings,
    partitions: _Partitions,
    checked: Mapping[Day, CheckedDay],
) -> list[str]:
    """Create schema `spectrum`: views on DuckDB, external tables on Redshift."""
    if settings.target == "local":
        from include.lake.external_tables.duckdb import by_schema, create_views

        schemas = {day: found.schema for day, found in checked.items()}
        create_views(
            database,
            partitions.lake,
            settings.schema_prefix,
            partitions.declared,
            by_schema(partitions.listing, schemas),
        )
        return []
    from include.lake.external_tables.redshift import create_external_tables

    return create_external_tables(
        database,
        settings,
        partitions.lake,
        partitions.declared,
        partitions.listing,
        partitions.since,
    )


def _write(
    database: Database,
    settings: Settings,
    partitions: _Partitions,
    run_days: list[tuple[str, str, int | None]],
    keys: Mapping[str, int],
    run: tuple[str, bool, int],
) -> None:
    """Replace the listing and the days of the run before by those of this run."""
    schema = operations_schema(settings)
    listed = [astuple(partition) for partition in partitions.listing.partitions]
    begun = partitions.begun
    with database.transaction():
        for table in ("listed_partitions", "listed_sources", "run_days", "run"):
            database.execute(f"delete from {schema}.{table}")
        database.insert(f"{schema}.run", [run])
        database.insert(f"{schema}.listed_partitions", listed)
        database.insert(f"{schema}.listed_sources", list(keys.items()))
        database.insert(f"{schema}.run_days", run_days)
        database.insert(
            f"{schema}.begun_days",
            [(source, day) for source, day, _ in run_days if day not in begun.get(source, ())],
        )


def _warnings_of_kept_days(kept: Mapping[str, list[str]]) -> list[str]:
    return [
        f"{source}: the rows of {_span(days)} stay as they are, because files of these days, or "
        "of days beside them, are no longer in the lake; to build them again, put the files back."
        for source, days in kept.items()
        if days
    ]


def _warnings_of_changed_models(changed: set[str]) -> list[str]:
    return [
        f"the SQL of {task_id_of(model)} changed since its rows were built; days that are "
        "not touched keep the old result until a full refresh: `full_refresh` in the form of a "
        'manual run, the input {"full_refresh": true} of an execution of the state machine, or '
        '`make build ARGS="--full-refresh"`. It is refused if files of built days have expired: '
        "then a manual run of the DAG with `from` and `to` builds the days that still have files, "
        "and the expired days keep the old result."
        for model in sorted(node for node in changed if node.startswith("model."))
    ]


def _span(days: list[str]) -> str:
    count = f"{len(days)} day{'s' if len(days) != 1 else ''}"
    return f"{count} from {days[0]} to {days[-1]}" if days else count
