"""Lineage of this project that a person has written down from the SQL of its models.

Names are without the project: `raw_events.event_data [user_id]` is a path inside of a JSON text.
"""

from __future__ import annotations

from collections.abc import Mapping

LEDGER_FILES = ("games", "game_providers", "game_categories", "players")

VALUES: Mapping[str, set[str]] = {
    # A JSON path, also where it is read of a list of texts that an earlier CTE made.
    "stg_game_events.player_id": {
        "raw_events.event_data [user_id]",
        "raw_events.event_data [player_id]",
    },
    "stg_game_events.session_id": {"raw_events.event_data [session_id]"},
    "stg_game_events.device_id": {"raw_events.event_data [device_id]"},
    "stg_game_events.platform": {"raw_events.event_data [platform]"},
    "stg_game_events.country_id": {"raw_events.event_data [country_id]"},
    "stg_game_events.acquisition_channel": {"raw_events.event_data [acquisition_channel]"},
    "stg_game_events.campaign_id": {"raw_events.event_data [campaign_id]"},
    "stg_game_events.amount": {
        "raw_events.event_data [currency_amount]",
        "raw_events.event_data [amount]",
    },
    "stg_game_events.arrival_timestamp": {"raw_events.metadata [processing_timestamp]"},
    "stg_game_events.transaction_id": {"raw_events.event_data [transaction_id]"},
    "stg_game_events.item_id": {"raw_events.event_data [item_id]"},
    "stg_game_events.currency_type": {"raw_events.event_data [currency_type]"},
    "int_money_events.item_id": {"int_events.item_id"},
    "int_money_events.transaction_id": {"int_events.transaction_id", "int_events.event_id"},
    "int_money_events.currency": {"int_events.currency_type", "currency_aliases.currency"},
    # The JSON text as a whole.
    "stg_game_events.event_data": {"raw_events.event_data"},
    "stg_game_events.payload": {"raw_events.event_data"},
    # Names, casts and functions.
    "stg_game_events.event_id": {"raw_events.event_id"},
    "stg_game_events.event_date": {"raw_events.event_timestamp"},
    "stg_game_events.partition_date": {"raw_events.year", "raw_events.month", "raw_events.day"},
    "stg_game_events__rejected_lines.rejected_at": {"rejected_events.rejected_at"},
    "stg_ledger__players.player_id": {"players.playerid"},
    "stg_ledger__players.birth_date": {"players.birthdate"},
    "stg_ledger__transactions.cash_amount": {"game_transactions.realamount"},
    "stg_ledger__transactions.sign": {"transaction_types.sign"},
    "stg_ledger__game_categories.game_category": {"game_categories.game_category"},
    "int_events.is_known_type": {"event_types.event_type"},
    "int_events.counts_as_activity": {"event_types.counts_as_activity"},
    "int_events.arrived_at": {"stg_game_events.arrival_timestamp"},
    "fct_quarantined_events.payload": {"stg_game_events.payload"},
    # The personal columns are only tested for null; the others are written into the text.
    "stg_ledger__transactions.payload": {
        f"game_transactions.{name}"
        for name in (
            "raw_row",
            "realamount",
            "bonusamount",
            "txcurrency",
            "gameid",
            "txtype",
            "betid",
        )
    },
    # Values of several tables.
    "stg_ledger__transactions.currency": {
        "game_transactions.txcurrency",
        "currency_aliases.currency",
    },
    "int_events.player_id": {"stg_game_events.player_id"},
    "int_purchases.revenue": {"int_money_events.amount", "int_exchange_rates.rate"},
    "int_refunds.player_id": {"int_purchases.player_id", "int_money_events.player_id"},
    "int_refunds.currency": {
        "int_money_events.named_currency",
        "int_money_events.currency",
        "int_purchases.original_currency",
    },
    "int_campaign_spend.amount": {"stg_marketing__spend.amount", "int_exchange_rates.rate"},
    "int_marketing_spend.amount": {"int_campaign_spend.amount"},
    "rpt_ltv_by_segment.spend": {"int_marketing_spend.amount", "int_campaign_spend.amount"},
    "rpt_ltv_by_segment.segment_value": {
        *("dim_players.first_platform", "dim_players.first_country_id"),
        *("dim_players.acquisition_channel", "dim_players.campaign_id"),
    },
    "rpt_ads.placement": {"int_money_events.placement"},
    "int_exchange_rates.rate": {"stg_ledger__exchange_rates.euro_rate"},
    "int_exchange_rates.currency": {"stg_ledger__exchange_rates.currency"},
    "fct_purchases.refund_date": {"int_refunds.refunded_at"},
    "fct_purchases.refunded_revenue": {"int_refunds.refunded_revenue"},
    "fct_player_days.iap_revenue": {"fct_purchases.revenue"},
    "fct_player_days.ad_revenue": {"int_money_events.amount", "int_exchange_rates.rate"},
    "fct_player_days.revenue": {
        *("fct_purchases.revenue", "int_money_events.amount", "int_exchange_rates.rate"),
        "int_refunds.refunded_revenue",
    },
    "fct_sessions.duration_seconds": {"int_events.event_timestamp"},
    "dim_players.first_platform": {"int_player_days.platform", "int_player_days.activity_date"},
    "dim_players.lifetime_revenue": {"fct_player_days.revenue"},
    "rpt_betting.rtp": {"fct_bets.winnings", "fct_bets.turnover"},
    "rpt_data_health.volume_against_a_week_before": {"int_lake_days.landed_count"},
    "int_application_days.activity_date": {"int_event_days.event_date"},
    "int_player_lifetimes.cohort_date": {"dim_players.first_seen_date"},
    "int_player_lifetimes.revenue_7": {"fct_player_days.revenue"},
    "int_segment_days.revenue": {"fct_player_days.revenue"},
    "int_kpis_by_segment.arpdau": {"int_segment_days.revenue", "int_segment_days.dau"},
    "rpt_daily_kpis.dau": {"int_kpis_by_segment.dau"},
    "rpt_retention.cohort_date": {"int_player_lifetimes.cohort_date"},
    "rpt_ltv.ltv": {
        f"int_player_lifetimes.revenue_{age}" for age in (0, 1, 3, 7, 14, 30, 60, 90, 180)
    },
    "rpt_ltv.spend": {"int_marketing_spend.amount"},
    # Unions, by position.
    "stg_ledger__rows_without_id.source_file": {f"{name}.file_name" for name in LEDGER_FILES},
    "dim_games.game_id": {"stg_ledger__games.game_id", "fct_bets.game_id"},
    "fct_bets.bet_date": {"int_bets.bet_date", "int_bet_reversals.reversed_date"},
    "fct_bets.game_id": {"int_bets.game_id", "int_bet_reversals.game_id"},
    "fct_bets.turnover": {
        *("int_bets.cash_amount", "int_bets.bonus_amount", "int_exchange_rates.rate"),
        *("int_bet_reversals.cash_amount", "int_bet_reversals.bonus_amount"),
    },
    "fct_player_days.activity_date": {"int_player_days.activity_date", "int_refunds.refund_date"},
    "fct_sessions.session_id": {
        *("int_events.session_id", "int_events.event_timestamp", "int_events.event_date"),
    },
    "fct_quarantined_rows.reason": {
        f"{name}.mismatch_reason"
        for name in (
            *("int_quarantined_transactions", "int_bet_reversals", "stg_ledger__exchange_rates"),
            *("stg_ledger__rows_without_id", "stg_marketing__spend"),
        )
    },
    "int_kpis_by_segment.segment_value": {
        *("int_segment_values.segment_value", "int_segment_days.segment_value"),
    },
    "int_segment_days.segment_value": {
        *("int_player_days.platform", "dim_players.first_platform"),
        *("int_player_days.country_id", "dim_players.first_country_id"),
        *("int_player_days.app_version", "dim_players.first_app_version"),
        "dim_players.acquisition_channel",
    },
    # A snapshot.
    "snap_ledger_players.country": {"stg_ledger__players.country"},
    "snap_ledger_players.dbt_scd_id": {"snap_ledger_players.player_id"},
    "snap_ledger_players.dbt_valid_from": set(),
    "dim_ledger_players.country": {"snap_ledger_players.country"},
    # Literals, count(*) and conditions are no values.
    "stg_game_events.mismatch_reason": set(),
    "stg_ledger__rows_without_id.source_name": set(),
    "int_segment_days.segment_name": set(),
    "int_lake_days.landed_count": set(),
    "fct_sessions.event_count": set(),
    "fct_sessions.is_explicit": set(),
    "fct_player_days.is_payer": set(),
    "fct_bets.bet_count": set(),
    "rpt_betting.players": set(),
    "dim_ledger_players.age_band": set(),
}
"""All columns that the values of a column are made of. A set is complete."""

OTHERS = (
    ("condition", "raw_events.event_type", "stg_game_events.amount"),
    ("condition", "raw_events.metadata [processing_result.status]", "stg_game_events.is_valid"),
    ("condition", "raw_events.event_data [device_id]", "stg_game_events.mismatch_reason"),
    ("condition", "game_transactions.playerid", "stg_ledger__transactions.payload"),
    ("condition", "int_money_events.event_type", "int_refunds.amount"),
    ("condition", "int_refunds.transaction_id", "fct_purchases.refunded_revenue"),
    ("condition", "fct_purchases.original_amount", "fct_player_days.is_payer"),
    ("condition", "int_player_days.is_active", "dim_players.first_seen_date"),
    ("condition", "snap_ledger_players.birth_date", "dim_ledger_players.age_band"),
    ("condition", "fct_bets.bet_count", "rpt_betting.players"),
    ("condition", "int_bets.side", "rpt_betting.unsettled_wager_count"),
    ("window", "int_events.player_id", "fct_sessions.session_id"),
    ("window", "int_money_events.event_timestamp", "int_refunds.refunded_revenue"),
    ("join", "event_types.event_type", "int_events.*"),
    ("join", "stg_game_events.session_id", "int_events.*"),
    ("join", "currency_aliases.alias", "int_money_events.*"),
    ("join", "int_events.currency_type", "int_money_events.*"),
    ("join", "game_transactions.txtype", "stg_ledger__transactions.*"),
    ("join", "transaction_types.transaction_type", "stg_ledger__transactions.*"),
    ("join", "int_exchange_rates.rate_date", "int_purchases.*"),
    ("join", "fct_player_days.player_id", "int_player_lifetimes.*"),
    ("join", "int_application_days.application_id", "rpt_retention.*"),
    ("join", "int_lake_days.lake_date", "rpt_data_health.*"),
    ("filter", "stg_game_events.is_valid", "int_events.*"),
    ("filter", "raw_events.year", "stg_game_events.*"),
    ("filter", "stg_game_events.is_valid", "fct_quarantined_events.*"),
    ("filter", "int_money_events.amount", "int_purchases.*"),
    ("filter", "int_money_events.event_timestamp", "int_purchases.*"),
    ("filter", "players.problem", "stg_ledger__players.*"),
    ("filter", "players.latestupdate", "stg_ledger__players.*"),
    ("filter", "snap_ledger_players.dbt_valid_to", "dim_ledger_players.*"),
    ("filter", "int_refunds.player_id", "fct_player_days.*"),
    ("filter", "int_bet_reversals.reversed_date", "fct_bets.*"),
    ("filter", "int_kpis_by_segment.segment_name", "rpt_daily_kpis.*"),
    ("filter", "int_money_events.player_id", "rpt_data_health.*"),
    ("group", "stg_game_events.event_id", "int_events.*"),
    ("group", "game_categories.game_id", "stg_ledger__game_categories.*"),
    ("group", "fct_purchases.purchase_date", "fct_player_days.*"),
)
"""Uses that are no values: kind, origin and target. `*` stands for the rows of a model."""
