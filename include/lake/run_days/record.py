"""The last step of a build: it records what was built."""

from __future__ import annotations

from include.lake.run_days.checksums import logic_checksums
from include.lake.run_days.tables import covered, create_tables
from include.manifest import Manifest
from include.settings import Settings
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
    """Record that the run's days are built; call it only if every node succeeded.

    Returns how many partitions were recorded. What arrived during the build differs from the
    listing and is found by the next run. Raises UserError if another run has found its days since:
    those may be more than this run has built.
    """
    schema = create_tables(database, settings)
    is_whole = build_lock.keep(database, settings, run_id)
    known = {node for (node,) in database.rows(f"select node from {schema}.built_logic")}
    logic = logic_checksums(manifest, settings)
    # A model that changed keeps its old checksum, and so its warning, until it is rebuilt whole; a
    # seed until all its days are.
    new = {
        node: checksum
        for node, checksum in logic.items()
        if full_refresh or node not in known or (is_whole and node.startswith("seed."))
    }
    old = sorted({*new, *(known - set(logic))})
    with database.transaction():
        database.execute(f"delete from {schema}.built_partitions where {covered(schema)}")
        database.execute(
            f"insert into {schema}.built_partitions select * from {schema}.listed_partitions "
            f"where {covered(schema)}"
        )
        if is_whole:
            newest = database.rows(f"select max(changed_at) from {schema}.listed_partitions")
            if newest[0][0] is not None:
                database.execute(f"delete from {schema}.built_until")
                database.insert(f"{schema}.built_until", newest)
        for node in old:
            database.execute(f"delete from {schema}.built_logic where node = ?", [node])
        database.insert(f"{schema}.built_logic", list(new.items()))
    ((count,),) = database.rows(
        f"select count(*) from {schema}.built_partitions where {covered(schema)}"
    )
    return int(count)
