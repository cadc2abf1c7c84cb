"""Compares a warehouse with the oracle, mart by mart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date

from tests.pipeline.oracle import compute
from tests.support.compare import difference
from tests.support.warehouse import Row, Warehouse

KEYS = {
    "int_events": ("application_id", "event_id", "event_date"),
    "fct_sessions": ("application_id", "player_id", "session_id", "session_date"),
    "fct_player_days": ("application_id", "player_id", "activity_date"),
    "fct_purchases": ("application_id", "transaction_id"),
    "dim_players": ("application_id", "player_id"),
    "rpt_daily_kpis": ("application_id", "kpi_date"),
    "rpt_daily_kpis_by_segment": ("application_id", "segment_name", "segment_value", "kpi_date"),
    "rpt_retention": ("application_id", "cohort_date", "day_n"),
    "rpt_retention_overall": ("application_id", "day_n"),
    "rpt_ltv": ("application_id", "cohort_date", "acquisition_channel", "age_days"),
    "rpt_ltv_overall": ("application_id", "age_days"),
    "rpt_player_lifecycle": ("application_id", "kpi_date"),
    "rpt_session_lengths": ("application_id", "session_date", "bucket_order"),
    "rpt_monthly_kpis": ("application_id", "kpi_month"),
    "rpt_player_segments": ("application_id", "player_id"),
    "rpt_churn_features": ("application_id", "player_id", "as_of_date"),
    "rpt_economy": ("application_id", "game_currency", "event_date"),
    "rpt_economy_by_reason": ("application_id", "game_currency", "reason", "event_date"),
    "rpt_sentiment_and_reports": ("application_id", "event_date", "feedback_type", "reason"),
    "rpt_latency": ("application_id", "platform", "country", "event_date"),
    "rpt_experiments": ("application_id", "experiment_id", "variant", "metric"),
    "fct_bets": ("bet_date", "player_id", "game_id"),
    "rpt_betting": ("bet_date", "game_id"),
    "rpt_betting_by_segment": ("bet_date", "segment_name", "segment_value"),
    "rpt_betting_cohorts": ("first_bet_month", "months_since"),
    "rpt_retention_by_segment": (
        *("application_id", "cohort_date", "segment_name", "segment_value"),
        "day_n",
    ),
    "rpt_ltv_by_segment": (
        *("application_id", "cohort_date", "segment_name", "segment_value"),
        "age_days",
    ),
    "rpt_purchases": ("application_id", "purchase_date"),
    "rpt_purchases_by_item": (
        *("application_id", "purchase_date", "item_id"),
        *("original_amount", "original_currency"),
    ),
    "rpt_ads": ("application_id", "placement", "impression_date"),
    "rpt_data_health": ("source_name", "health_date"),
    "fct_quarantined_events": ("partition_date", "reason"),
    "fct_quarantined_rows": ("source_name", "partition_day", "reason"),
    "rpt_level_difficulty": ("application_id", "level_id", "level_version"),
    "rpt_progression_funnel": ("application_id", "funnel_name", "step"),
    "rpt_matchmaking": ("application_id", "segment_name", "segment_value", "matchmaking_date"),
    "rpt_matchmaking_failures": (
        *("application_id", "segment_name", "segment_value", "matchmaking_date"),
        "failure_reason",
    ),
    "rpt_stability": ("application_id", "app_version", "session_date"),
}
"""The key of each table that the oracle computes."""

RATE_TOLERANCE = 1e-12
"""How much two divisions of the same doubles may differ. All else is compared exactly."""
RELATIVE_TOLERANCES = {"rpt_experiments": 1e-6}
"""How much the values of approximated distributions may differ, relative to their size."""


def differences(warehouse: Warehouse, today: date | None = None) -> Mapping[str, list[str]]:
    """The lines of each table that differs from the oracle, by table."""
    settings = warehouse.settings
    expected = compute(warehouse.lake, settings.reporting_currency, today=today)
    assert set(expected) == set(KEYS), "the oracle computes tables that have no key here"
    found = {}
    for table, key in KEYS.items():
        lines = difference(
            _actual(warehouse, table),
            expected[table],
            key,
            RATE_TOLERANCE,
            RELATIVE_TOLERANCES.get(table, 0.0),
        )
        if lines:
            found[table] = lines
    return found


def shown(found: Mapping[str, list[str]], most: int = 8) -> str:
    """Format the first few differences of each table as text."""
    return "\n".join(
        f"{table}: {len(lines)} differences\n  " + "\n  ".join(lines[:most])
        for table, lines in found.items()
    )


def _actual(warehouse: Warehouse, table: str) -> list[Row]:
    if table.startswith("fct_quarantined_"):
        key = KEYS[table]
        counts = Counter(
            tuple(row[column] for column in key) for row in warehouse.rows(f"marts.{table}")
        )
        return [
            dict(zip(key, values, strict=True)) | {"row_count": count}
            for values, count in counts.items()
        ]
    return warehouse.rows(f"{'intermediate' if table.startswith('int_') else 'marts'}.{table}")
