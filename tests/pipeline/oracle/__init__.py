"""The oracle: the rows that the marts must hold, computed from the lake's files in plain Python.

It follows the definitions of the marts and shares neither SQL nor code with the models, so that the
two can be compared. It is simple rather than fast, and holds all data in memory.

The oracle has no tests of its own. dbt's unit tests give the models figures that were computed by
hand, and tests/pipeline/test_oracle_numbers.py compares the oracle with the models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import localcontext
from pathlib import Path

from include.manifest import PROJECT
from tests.pipeline.oracle import (
    betting,
    betting_reports,
    economy,
    events,
    experiments,
    gameplay,
    lifecycles,
    money,
    players,
    reports,
    revenue,
    segments,
)
from tests.pipeline.oracle.events import Event, Refused, Table
from tests.pipeline.oracle.lake import Row, partitions, problems, table
from tests.pipeline.oracle.values import EXACT

__all__ = ["compute"]


def compute(
    lake: Path,
    reporting_currency: str = "USD",
    today: date | None = None,
    as_of: date | None = None,
) -> dict[str, Table]:
    """The rows of every mart, by its name, in no particular order.

    Money is Decimal with four decimals, rates are float or None, times are UTC without a zone.
    `today` (now, if not given) is the UTC day that has not ended; `as_of` overrides the as-of day.
    """
    today = today or datetime.now(UTC).date()
    with localcontext(EXACT):
        rates = money.Rates(table(lake, "currency_exchange"), reporting_currency)
        marts = _games(lake, rates, today, as_of)
        ledger = _ledger(lake, rates)
        ledger |= _betting_reports(lake, ledger["fct_bets"], today, as_of)
        health = marts.pop("rpt_data_health") + ledger.pop("rpt_data_health")
        return {**marts, **ledger, "rpt_data_health": health}


def _games(lake: Path, rates: money.Rates, today: date, as_of: date | None) -> dict[str, Table]:
    staged = [events.staged(placed) for placed in partitions(lake, "raw_events")]
    refused = [row for row in staged if isinstance(row, Refused)]
    valid = [row for row in staged if isinstance(row, Event)]
    landed = [row.day for row in refused] + [event.event_date for event in valid]
    unique = events.deduplicated(valid)
    kept = events.with_players(unique)
    known = lifecycles.known_at_day_end(unique)
    sessions = events.sessions(kept)
    purchases = money.purchases(kept, rates)
    refunds = money.refunds(kept, purchases, rates)
    ads = money.ad_revenue(kept, rates)
    refunded = money.refunds_by_day(refunds)
    days = players.player_days(kept, sessions, purchases, refunded, ads)
    totals = players.totals(days)
    reported = reports.spans(kept, today, as_of)
    costs = list(table(lake, "marketing_spend"))
    spend = money.marketing_spend(costs, rates)
    retention, retention_overall = reports.retention(days, reported, totals)
    ltv, ltv_overall = reports.lifetime_value(days, reported, totals, spend)
    flows = economy.flows(kept)
    rejected = [placed.day for placed in partitions(lake, "rejected_events")]
    return {
        "int_events": events.int_events(kept),
        "fct_sessions": events.fct_sessions(sessions),
        "fct_player_days": players.fct_player_days(days),
        "fct_purchases": money.fct_purchases(purchases, refunds),
        "dim_players": players.dim_players(totals),
        "rpt_daily_kpis": reports.rpt_daily_kpis(days, reported, totals),
        "rpt_daily_kpis_by_segment": reports.rpt_daily_kpis_by_segment(days, reported, totals),
        "rpt_retention": retention,
        "rpt_retention_overall": retention_overall,
        "rpt_ltv": ltv,
        "rpt_ltv_overall": ltv_overall,
        "rpt_player_lifecycle": lifecycles.rpt_player_lifecycle(days, reported),
        "rpt_session_lengths": lifecycles.rpt_session_lengths(sessions, reported),
        "rpt_monthly_kpis": lifecycles.rpt_monthly_kpis(days, reported, totals),
        "rpt_player_segments": lifecycles.rpt_player_segments(days, reported),
        "rpt_churn_features": lifecycles.rpt_churn_features(
            known, money.purchases(known, rates), days, reported, totals
        ),
        "rpt_economy": economy.rpt_economy(flows),
        "rpt_economy_by_reason": economy.rpt_economy_by_reason(flows),
        "rpt_sentiment_and_reports": economy.rpt_sentiment_and_reports(kept),
        "rpt_latency": economy.rpt_latency(kept, days, totals),
        **_revenue_and_segments(kept, purchases, (days, reported, totals), costs, rates),
        "rpt_experiments": experiments.rpt_experiments(kept, days, reported),
        "rpt_data_health": events.event_health(
            landed, rejected, refused, valid, kept, money.refund_health(refunds)
        ),
        "fct_quarantined_events": events.fct_quarantined_events(refused),
        **gameplay.marts(kept),
    }


def _betting_reports(lake: Path, bets: Table, today: date, as_of: date | None) -> dict[str, Table]:
    fees = betting_reports.read_fees(PROJECT / "seeds" / "betting_fees.csv")
    results = betting_reports.results(lake, bets, fees)
    return {
        "rpt_betting_by_segment": betting_reports.by_segment(results),
        "rpt_betting_cohorts": betting_reports.cohorts(results, today, as_of),
    }


def _revenue_and_segments(
    kept: list[Event],
    purchases: list[money.Purchase],
    known: tuple[
        list[players.PlayerDay],
        Mapping[str, reports.Span],
        Mapping[players.Player, players.PlayerTotals],
    ],
    costs: list[Row],
    rates: money.Rates,
) -> dict[str, Table]:
    days, reported, totals = known
    spend = {
        "acquisition_channel": money.marketing_spend(costs, rates),
        "campaign_id": segments.campaign_spend(costs, rates),
    }
    return {
        "rpt_retention_by_segment": segments.rpt_retention_by_segment(days, reported, totals),
        "rpt_ltv_by_segment": segments.rpt_ltv_by_segment(days, reported, totals, spend),
        "rpt_purchases": revenue.rpt_purchases(purchases, reported, totals),
        "rpt_purchases_by_item": revenue.rpt_purchases_by_item(purchases, reported),
        "rpt_ads": revenue.rpt_ads(kept, rates, days, reported),
    }


def _ledger(lake: Path, rates: money.Rates) -> dict[str, Table]:
    landed: Counter[date] = Counter()
    transactions = []
    left_out: list[tuple[date, str]] = []
    for placed in partitions(lake, "game_transactions"):
        landed[placed.day] += 1
        transaction = betting.transaction(placed, rates.reporting)
        if transaction is None:
            left_out.append((placed.day, betting.reason(placed) or ""))
        else:
            transactions.append(transaction)
    ledger = betting.settled(transactions)
    left_out += [(entry.bet_date, reason) for reason, entry in ledger.without_effect]
    bets = betting.fct_bets(ledger, rates)
    quarantined: Counter[tuple[str, date | None, str]] = Counter(
        ("game_transactions", day, reason) for day, reason in left_out
    )
    quarantined.update(
        (source, None, reason)
        for source, reason_of in money.FAULTS.items()
        for reason in map(reason_of, table(lake, source))
        if reason
    )
    quarantined.update(
        (source, None, problem) for source in money.FAULTS for problem in problems(lake, source)
    )
    return {
        "fct_quarantined_rows": [
            {"source_name": source, "partition_day": day, "reason": reason, "row_count": count}
            for (source, day, reason), count in quarantined.items()
        ],
        "fct_bets": bets,
        "rpt_betting": betting.rpt_betting(bets, ledger),
        "rpt_data_health": betting.ledger_health(landed, left_out),
    }
