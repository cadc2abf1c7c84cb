"""The grant on schema `marts` for setting READERS; dbt itself grants `select` on each mart."""

from __future__ import annotations

from include.settings import Settings
from include.warehouse.database import Database


def grant_usage_to_readers(database: Database, settings: Settings) -> None:
    """Grant the readers of the settings `usage` on schema `marts`, on Redshift only.

    One step of the run does this, and not dbt, because several threads of dbt would change the same
    schema at once. A schema that belongs to another user is left as it is.
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
        keyword = "" if kind == "user" else f"{kind} "
        # The check of the setting refuses a name with a quote in it.
        database.execute(f'grant usage on schema {schema} to {keyword}"{name}"')
