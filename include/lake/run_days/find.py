"""The first step of a build: it finds what arrived since the last successful build."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta

from include.lake.compaction import check_ended
from include.lake.files import check_files, small_files
from include.lake.listing import Listing, Partition, list_lake
from include.lake.run_days.checksums import logic_checksums, sources_of_changed_seeds
from include.lake.run_days.expiry import days_to_keep
from include.lake.run_days.tables import covered, create_tables, read_partitions
from include.lake.sources import Source, sources
from include.lake.storage import open_lake
from include.lake.storage.lake import Lake
from include.manifest import Manifest
from include.settings import Settings
from include.warehouse import build_lock
from include.warehouse.database import Database
from include.warehouse.grants import let_readers_in


@dataclass(frozen=True)
class RunDays:
    """The outcome of `find_run_days`: touched days by source, what was done, and warnings."""

    days: Mapping[str, list[str]]
    done: list[str]
    warnings: list[str]

    def __str__(self) -> str:
        lines = [f"{source}: {_span(days)}" for source, days in self.days.items()]
        return "\n".join(
            [*self.done, *lines, *(f"warning: {warning}" for warning in self.warnings)]
        )


def _span(days: list[str]) -> str:
    return f"{len(days)} day{'s' if len(days) != 1 else ''}" + (
        f" from {days[0]} to {days[-1]}" if days else ""
    )


def find_run_days(
    database: Database,
    settings: Settings,
    manifest: Manifest,
    asked: tuple[date, date] | None = None,
    run_id: str = "",
    lease: int = build_lock.LEASE_MINUTES,
    *,
    full_refresh: bool = False,
) -> RunDays:
    """List the lake, create the external tables, and write the run's days to the warehouse.

    The days are those whose files changed since the last successful build, or the days `asked` for
    (first and last); a `full_refresh` looks at the whole lake. On Redshift the run takes the
    build's lock, for so many minutes. Raises UserError for a lake that cannot be read, LockedError
    while another run builds.
    """
    declared = sources(manifest)
    lake = open_lake(settings)
    check_ended(lake, declared)
    create_tables(database, settings)
    with build_lock.taken(database, settings, run_id, lease):
        let_readers_in(database, settings)
        return _find_run_days(
            database, settings, manifest, declared, lake, asked, run_id, full_refresh
        )


def _find_run_days(
    database: Database,
    settings: Settings,
    manifest: Manifest,
    declared: list[Source],
    lake: Lake,
    asked: tuple[date, date] | None,
    run_id: str,
    full_refresh: bool,
) -> RunDays:
    schema = f"{settings.schema_prefix}operations"
    logic = logic_checksums(manifest, settings)
    recorded: dict[str, str] = dict(
        database.rows(f"select node, checksum from {schema}.built_logic")
    )
    changed = {node for node, checksum in logic.items() if recorded.get(node, checksum) != checksum}
    affected = sources_of_changed_seeds(manifest, changed)
    built = read_partitions(database, f"{schema}.built_partitions")
    late = _since(database, settings, schema)
    # Days that are asked for, and all days of a changed seed, may lie before the bound.
    since = None if asked or affected or full_refresh else late
    listing = list_lake(lake, declared, since)
    # What has gone before the bound is only seen by a run that looks there.
    kept = {} if since else days_to_keep(manifest, built, listing.partitions, late)
    partitioned = [source for source in declared if source.partition_columns]

    days: dict[str, list[str]] = {}
    warnings: list[str] = []
    for source in partitioned:
        now = {p.day: p for p in listing.partitions if p.source == source.name}
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
        days[source.name] = sorted(touched - kept.get(source.name, set()))
        if left := sorted(touched & kept.get(source.name, set())):
            warnings.append(
                f"{source.name}: the rows of {_span(left)} stay as they were built, since files of "
                "these days, or of those beside them, are no longer in the lake; to build them "
                "again, put the files back."
            )
    _check_files(lake, settings, declared, listing, days, built)
    done = _create_external_tables(database, settings, lake, declared, listing, since)
    with database.transaction():
        for table in ("listed_partitions", "run_days", "run"):
            database.execute(f"delete from {schema}.{table}")
        database.insert(f"{schema}.run", [(run_id, asked is None)])
        database.insert(f"{schema}.listed_partitions", [astuple(p) for p in listing.partitions])
        database.insert(
            f"{schema}.run_days",
            [(source, day) for source, touched in days.items() for day in touched],
        )
        if asked:
            # Unless it is recorded again, the next run builds and tests what this one replaces.
            database.execute(
                f"delete from {schema}.built_partitions where day <> '' and {covered(schema)}"
            )
    models = sorted(node for node in changed if node.startswith("model."))
    return RunDays(
        days,
        [*done, *small_files(declared, listing)],
        [
            *warnings,
            *(
                f"the SQL of {model.rsplit('.', 1)[-1]} changed since its rows were built; days "
                "that are not touched keep the old result until a full refresh: `full_refresh` in "
                'the form of a run by hand, the input {"full_refresh": true} of an execution of '
                'the state machine, or `make build ARGS="--full-refresh"`.'
                for model in models
            ),
        ],
    )


def _since(database: Database, settings: Settings, schema: str) -> date | None:
    """The first day that is looked at: so many before the newest arrival that was built.

    Not before today, for what arrived in a pause is not late. The whole lake if none was built.
    """
    until = database.rows(f"select changed_at from {schema}.built_until")
    if not settings.late_days or not until:
        return None
    # A clock that runs ahead must not hide a day.
    last: date = min(until[0][0].date(), datetime.now(UTC).date())
    return last - timedelta(days=int(settings.late_days))


def _check_files(
    lake: Lake,
    settings: Settings,
    declared: Iterable[Source],
    listing: Listing,
    days: Mapping[str, list[str]],
    built: Iterable[Partition],
) -> None:
    """Damage in what this run reads for the first time is named here, not inside a model."""
    known = set(built)
    changed = {p.source for p in listing.partitions if not p.day and p not in known}
    for source in declared:
        touched = days.get(source.name, [""] if source.name in changed else [])
        files = [file for day in touched for file in listing.files.get((source.name, day), [])]
        check_files(lake, source, files, strict=settings.target == "redshift")


def _create_external_tables(
    database: Database,
    settings: Settings,
    lake: Lake,
    declared: list[Source],
    listing: Listing,
    since: date | None,
) -> list[str]:
    """The tables of schema `spectrum`, by whichever name the engine has for them."""
    if settings.target == "local":
        from include.lake.external_tables.duckdb import create_views

        create_views(database, lake, f"{settings.schema_prefix}spectrum", declared)
        return []
    from include.lake.external_tables.redshift import create_external_tables

    return create_external_tables(database, settings, lake, declared, listing, since)
