"""The plugin of dbt-duckdb that limits the memory of dbt's connections; see dbt/profiles.yml."""

from __future__ import annotations

import os

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin

from include.settings import Settings
from include.warehouse.duckdb_file import limit_memory


class Plugin(BasePlugin):
    """dbt-duckdb looks for a class of this name in the module."""

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Limit memory and threads when dbt has opened the warehouse file."""
        limit_memory(conn, Settings.from_env(os.environ))
