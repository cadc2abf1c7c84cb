"""A plugin of dbt-duckdb that gives macros `modules.time.sleep`.

DuckDB cannot sleep, and a loop of queries would take processor time from the tests that run at the
same time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.context import base


class Plugin(BasePlugin):
    """dbt-duckdb makes one object of the class with this name, before dbt renders a node."""

    def initialize(self, plugin_config: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Add `time` to the modules of dbt's Jinja context."""
        modules = base.get_context_modules
        base.get_context_modules = lambda: {**modules(), "time": {"sleep": time.sleep}}
