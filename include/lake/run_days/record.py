"""The last step of a build: it records that the run's days are built."""

from __future__ import annotations

from include.lake.compaction.moves import check_ended, merge_count
from include.lake.run_days.checksums import logic_checksums
from include.lake.run_days.expiry import has_changed_keys
from include.lake.run_days.tables import (
    PARTITION_COLUMNS,
    changed_keys,
    changed_keys_table,
    create_tables,
    is_covered,
    operations_schema,
)
from include.lake.sources import sources
from include.lake.storage import open_lake
from include.manifest import Manifest
from include.settings import Settings, UserError
from include.warehouse import build_lock
from include.warehouse.database import Database


def record_build(
    database: Database,
    settings: Settings,
    manifest: Manifest,
    *,
    full_refresh: bool = False,
    run_id: str = "",
) -> int:
    """Record that the run's days are built. Call it only if every node succeeded.

    Returns how many partitions were recorded. What is recorded is the listing of the run's first
    step: files that arrived during the build differ from it, so the next run finds them. Raises
    LockLostError if another run has replaced the run's days, because the other run's days may be
    more than this run has built. Raises UserError if a compaction merged files during the build.
    """
    keys = changed_keys(manifest)
    create_tables(database, settings, keys)
    schema = operations_schema(settings)
    is_whole = build_lock.keep(database, settings, run_id)
    _refuse_merged_files(database, settings, manifest)
    recorded = {node for (node,) in database.rows(f"select node from {schema}.built_logic")}
    current = logic_checksums(manifest, settings)
    # A changed model keeps its old checksum, and so its warning, until a full refresh builds all
    # its rows. A changed seed keeps it until a run of all touched days. Of a changed model that is
    # built by changed keys, this run has compared all rows.
    new = {
        node: checksum
        for node, checksum in current.items()
        if full_refresh
        or node not in recorded
        or (is_whole and node.startswith("seed."))
        or has_changed_keys(manifest.nodes[node])
    }
    outdated = sorted({*new, *(recorded - set(current))})
    with database.transaction():
        database.execute(f"delete from {schema}.built_partitions where {is_covered(schema)}")
        columns = ", ".join(PARTITION_COLUMNS)
        database.execute(
            f"insert into {schema}.built_partitions ({columns}) select {columns} "
            f"from {schema}.listed_partitions where {is_covered(schema)}"
        )
        _adopt_fingerprints(database, schema)
        # Every run builds the sources without partitions as a whole.
        database.execute(f"delete from {schema}.built_sources")
        database.execute(
            f"insert into {schema}.built_sources (source, key_count) "
            f"select source, key_count from {schema}.listed_sources"
        )
        # The days of `begun_days` that a run of all touched days leaves out have expired.
        database.execute(
            f"delete from {schema}.begun_days{'' if is_whole else f' where {is_covered(schema)}'}"
        )
        if is_whole:
            newest = database.rows(f"select max(changed_at) from {schema}.listed_partitions")
            if newest[0][0] is not None:
                database.execute(f"delete from {schema}.built_until")
                database.insert(f"{schema}.built_until", newest)
        for node in outdated:
            database.execute(f"delete from {schema}.built_logic where node = ?", [node])
        database.insert(f"{schema}.built_logic", list(new.items()))
        # The tests of this run have read the rows of these keys.
        for model in keys:
            database.execute(f"delete from {changed_keys_table(settings, model)} where is_built")
    ((count,),) = database.rows(
        f"select count(*) from {schema}.built_partitions where {is_covered(schema)}"
    )
    return int(count)


def _refuse_merged_files(database: Database, settings: Settings, manifest: Manifest) -> None:
    """Raise UserError if a row may have been in the lake twice, or nowhere, during the build."""
    lake, declared = open_lake(settings), sources(manifest)
    ((before,),) = database.rows(f"select merge_count from {operations_schema(settings)}.run")
    # A run that an earlier version of the package began has no number.
    if before is not None and merge_count(lake, declared) != before:
        raise UserError(
            "`make compact` merged files during this build, which may have read their rows twice, "
            "so no day is recorded: start a new run, which builds the same days again."
        )
    check_ended(lake, declared)


def _adopt_fingerprints(database: Database, schema: str) -> None:
    """Add the fingerprint to the partitions of an earlier version that count as unchanged.

    From the next run on, every change of their files is then seen.
    """
    same = " and ".join(
        f"built_partitions.{name} = listed_partitions.{name}"
        for name in PARTITION_COLUMNS
        if name != "fingerprint"
    )
    database.execute(
        f"update {schema}.built_partitions set fingerprint = listed_partitions.fingerprint "
        f"from {schema}.listed_partitions where built_partitions.fingerprint is null and {same}"
    )
