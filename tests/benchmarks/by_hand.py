"""Runs the hand-written script `by_hand.sql`, and compares its marts with those of dbt.

The script makes the marts of `MARTS`, and none of those that came later.
The benchmarks divide the seconds of `dbt build` by those of the script. The comparison shows that
both make the same rows. tests/pipeline/test_oracle_numbers.py runs it once, on a small sample.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb

from include.settings import ROOT

SCRIPT = Path(__file__).with_suffix(".sql")
SEEDS = ROOT / "dbt" / "seeds"
MARTS = (
    *("dim_games", "dim_ledger_players", "dim_players"),
    *("fct_bets", "fct_player_days", "fct_purchases", "fct_quarantined_events", "fct_sessions"),
    *("rpt_betting", "rpt_daily_kpis", "rpt_daily_kpis_by_segment", "rpt_data_health"),
    *("rpt_ltv", "rpt_ltv_overall", "rpt_retention", "rpt_retention_overall"),
)


def build(by_dbt: Path, by_hand: Path, currency: str = "USD") -> None:
    """Make the script's marts in a new DuckDB file.

    The script reads the lake through the views of schema `spectrum`, which are copied from the
    warehouse `by_dbt`.
    """
    with duckdb.connect(str(by_dbt), read_only=True) as connection:
        views = connection.execute(
            "select sql from duckdb_views() where schema_name = 'spectrum'"
        ).fetchall()
    with duckdb.connect(str(by_hand)) as connection:
        connection.execute("create schema spectrum")
        for (view,) in views:
            connection.execute(view)
        connection.execute("set preserve_insertion_order = false")
        connection.execute("set variable seeds = $1", [str(SEEDS)])
        connection.execute("set variable reporting_currency = $1", [currency])
        connection.execute(SCRIPT.read_text())


def differences(
    by_dbt: Path, by_hand: Path, tables: Sequence[str] = MARTS, examples: int = 3
) -> list[str]:
    """Return a line per mart whose rows differ between the files, and a few of the rows.

    Columns are matched by name. Both files must have the same columns with the same types. Doubles
    are compared to twelve significant digits, because a sum may be added in any order.
    """
    lines: list[str] = []
    with duckdb.connect() as connection:
        connection.execute(f"attach '{by_dbt}' as dbt (read_only)")
        connection.execute(f"attach '{by_hand}' as hand (read_only)")
        for table in tables:
            dbt_columns = _columns(connection, f"dbt.marts.{table}")
            hand_columns = _columns(connection, f"hand.marts.{table}")
            if dbt_columns != hand_columns:
                odd = dict(dbt_columns.items() ^ hand_columns.items())
                lines.append(f"{table}: the columns {', '.join(sorted(odd))} differ")
                continue
            columns = ", ".join(
                f"cast(printf('%.12e', {name}) as double) as {name}" if kind == "DOUBLE" else name
                for name, kind in sorted(dbt_columns.items())
            )
            for one, other in (("dbt", "hand"), ("hand", "dbt")):
                rows = (
                    f"select {columns} from {one}.marts.{table} "
                    f"except all select {columns} from {other}.marts.{table}"
                )
                found = connection.execute(f"select count(*) from ({rows})").fetchone()
                if not found or not found[0]:
                    continue
                lines.append(f"{table}: {found[0]:,} rows are in {one}'s alone")
                cursor = connection.execute(f"{rows} order by all limit {examples}")
                names = [column[0] for column in cursor.description or ()]
                lines.extend(f"  {dict(zip(names, row, strict=True))}" for row in cursor.fetchall())
    return lines


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(f"describe {table}").fetchall()}


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
