"""The rows that a run inserts into and deletes from its tables, by table.

On DuckDB the statements of dbt return these numbers, so dbt must run in this process. On the
stand-in PostgreSQL's statistics have them.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper

from include.lake.run_days.tables import TABLES
from tests.redshift_standin import Cluster

OF_PLAYERS = frozenset(
    {"dim_ledger_players", "dim_players", "int_player_lifetimes", "snap_ledger_players"}
)
"""The tables of one row per player, whose rows change with the players and not with the days."""
OF_PARTITIONS = frozenset(TABLES)
"""The tables in which the first and the last step list partitions. dbt does not write them, so only
the stand-in counts them.
"""
SETTLED = 2.0
"""Seconds after which PostgreSQL has written the statistics of connections that have ended."""

WRITE = re.compile(
    r"""(?: \s | /\*.*?\*/ | --[^\n]*\n )*
        (?: insert\s+into | delete\s+from | update | create\s+(?:or\s+replace\s+)?table
            (?:\s+if\s+not\s+exists)? )
        \s+ (?P<relation> (?: "[^"]+" | \w+ ) (?: \. (?: "[^"]+" | \w+ ) )+ )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
"""A statement that writes to a table whose schema it names, which a temporary table has not."""


def table_written(statement: str) -> str | None:
    """The table to which a statement writes, without its schema; None for other statements.

    dbt makes a table under a name with the ending `__dbt_tmp`, which is left out here.
    """
    found = WRITE.match(statement)
    if not found:
        return None
    name = found["relation"].rsplit(".", 1)[-1].strip('"')
    return name.removesuffix("__dbt_tmp")


@contextmanager
def counted_on_duckdb() -> Iterator[Counter[str]]:
    """Count the rows that dbt writes in this process while the block runs."""
    rows: Counter[str] = Counter()

    def execute(self: Any, sql: str, bindings: Any = None) -> Any:
        """Run each statement by itself, because a script returns the last one's result alone."""
        for statement in self._cursor.extract_statements(sql):
            self._cursor.execute(statement, bindings)
            table = table_written(statement.query)
            if table and (result := self._cursor.fetchone()):
                rows[table] += int(result[0])
        return self._cursor

    with patch.object(DuckDBCursorWrapper, "execute", execute):
        yield rows


def counts_on_standin(cluster: Cluster, schema_prefix: str) -> dict[tuple[int, str], int]:
    """The rows written so far by PostgreSQL's number and name of each table that exists."""
    time.sleep(SETTLED)
    connection = cluster.superuser()
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "select relid, relname, n_tup_ins + n_tup_upd + n_tup_del "
                "from pg_stat_user_tables where starts_with(schemaname, %s)",
                [schema_prefix],
            )
            return {(number, name): rows for number, name, rows in cursor.fetchall()}
    finally:
        connection.close()


def written_between(
    before: Mapping[tuple[int, str], int], after: Mapping[tuple[int, str], int]
) -> Counter[str]:
    """The rows written between two counts by table. A table that was made anew counts whole."""
    rows: Counter[str] = Counter()
    for (number, name), count in after.items():
        rows[name] += count - before.get((number, name), 0)
    return rows


def of_models(rows: Mapping[str, int]) -> int:
    """The sum of rows, without the tables of one row per player and the lists of partitions."""
    left_out = OF_PLAYERS | OF_PARTITIONS
    return sum(count for table, count in rows.items() if table not in left_out)


def of_partitions(rows: Mapping[str, int]) -> int:
    """The sum of rows of the lists of partitions."""
    return sum(rows.get(table, 0) for table in OF_PARTITIONS)
