"""What the setting READERS needs beyond the grants that dbt makes on each mart."""

from __future__ import annotations

from include.settings import Settings
from include.warehouse.database import Database


def let_readers_in(database: Database, settings: Settings) -> None:
    """Grant the usage of the marts' schema on Redshift: dbt grants `select` on its tables alone.

    Once a run and not by dbt, whose threads would change the same schema at once. A schema of
    another user's is left to its owner.
    """
    if settings.target == "local" or not settings.readers:
        return
    schema = f"{settings.schema_prefix}marts"
    owners = database.rows(
        "select usename = current_user from pg_catalog.pg_namespace "
        "join pg_catalog.pg_user on usesysid = nspowner where nspname = ?",
        [schema],
    )
    if not owners:
        database.execute(f"create schema {schema}")
    elif owners != [(True,)]:
        return
    for reader in settings.readers.split(","):
        kind, _, name = reader.partition(":")
        grantee = name if kind == "user" else f"{kind} {name}"
        database.execute(f"grant usage on schema {schema} to {grantee}")
