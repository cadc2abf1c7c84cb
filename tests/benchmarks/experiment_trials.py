"""Whether the statistics of `rpt_experiments` keep their promises, over many samples.

`python -m tests.benchmarks.experiment_trials [SEEDS]` runs in dbt's environment and prints a table.

- Experiment `shop_2` has an effect. Its true size is that of a population of 50,000 players, which
  no trial reads. The intervals of 95 % must contain it in at least 90 of 100 trials.
- Experiment `menu_2` has none (A/A). At most 10 of 100 trials may have a p value below 0.05. If one
  looks on every day and stops at the first such value, the always valid p value may be below 0.05
  in at most 5 of 100.

A trial draws the players of the sample, but only the events that the report counts, and it runs the
SQL of the models `int_experiment_metrics` and `rpt_experiments` as dbt compiles it.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from include.lake.sample import events
from include.lake.sample.events import DAY, EventStory
from tests.support.warehouse import WITHOUT_TESTS, Warehouse

PLAYERS = 1_500
POPULATION = 50_000
DAYS = 42
FIRST_LOOK = 10
METRICS = (
    *("retention_1", "retention_7", "conversion"),
    *("revenue_per_player", "revenue_per_payer", "sessions_per_active_day"),
)
FIRST_DAY = date(2026, 1, 1)
EPOCH = date(1970, 1, 1)


@dataclass
class PlayerDay:
    """What a player did on a day. Money is in ten-thousandths of a US dollar."""

    is_active: bool = False
    is_payer: bool = False
    session_count: int = 0
    revenue: int = 0


@dataclass
class Trial(EventStory):
    """The players of a sample with their days and exposures, without any lines of events."""

    player_days: dict[str, dict[int, PlayerDay]] = field(default_factory=dict)
    exposures: dict[tuple[str, str], list[tuple[int, str]]] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)

    def _step(self, session: events._Session, event_type: str, data: events.Data) -> str:
        session.clock += self._random.randint(2, 45)
        player, day = session.player, session.clock // DAY
        if event_type == "experiment_exposure":
            key = (data["experiment_id"], player.user_id)
            self.exposures.setdefault(key, []).append((day, data["variant"]))
            return ""
        days = self.player_days.setdefault(player.user_id, defaultdict(PlayerDay))
        if event_type == "iap_refund":
            days[day].revenue -= self.paid.get(data["transaction_id"], 0)
            return ""
        days[day].is_active = True
        if event_type in {"login", "user_login"}:
            days[day].session_count += 1
        if event_type == "iap_transaction":
            return self._pay(player, days[day], data)
        return ""

    def _pay(self, player: events._Player, day: PlayerDay, data: events.Data) -> str:
        transaction: str = data.get("transaction_id") or self._id()
        if transaction not in self.paid:
            amount = round(float(data["currency_amount"]) / player.store[2] * 10_000)
            self.paid[transaction] = amount
            day.revenue += amount
            day.is_payer |= amount > 0
        return transaction

    # The report on experiments counts nothing of the following.

    def _level(self, session: events._Session) -> None: ...

    def _match(self, session: events._Session) -> None: ...

    def _sundries(self, session: events._Session) -> None: ...

    def _bot(self) -> None: ...

    def _faults(self, day: int) -> None: ...

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of `int_experiment_players`, without the application."""
        for (experiment, player), seen in self.exposures.items():
            first, variant = min(seen)
            others = [day for day, other in seen if other != variant]
            days = self.player_days[player]
            window = [days[day] for day in range(first, first + 8) if day in days]
            before = [days[day] for day in range(first - 14, first) if day in days]
            yield {
                "experiment_id": experiment,
                "player_id": player,
                "variant": variant,
                "exposure_date": EPOCH + timedelta(days=first),
                "second_variant_date": EPOCH + timedelta(days=min(others)) if others else None,
                "is_active_on_1": first + 1 in days and days[first + 1].is_active,
                "is_active_on_7": first + 7 in days and days[first + 7].is_active,
                "is_payer": any(day.is_payer for day in window),
                "revenue": sum(day.revenue for day in window),
                "session_count": sum(day.session_count for day in window),
                "active_days": sum(day.is_active for day in window),
                "revenue_before": sum(day.revenue for day in before),
                "active_days_before": sum(day.is_active for day in before),
            }


@dataclass
class Report:
    """The models' SQL in a warehouse. Each day of looking is an application of its own.

    Experiment `shop_2` is looked at on the last day only.
    """

    connection: duckdb.DuckDBPyConnection
    metrics_sql: str
    report_sql: str

    @classmethod
    def compiled(cls, folder: Path) -> Report:
        """Build the models over an empty lake."""
        (folder / "lake").mkdir()
        warehouse = Warehouse(folder / "lake", folder)
        warehouse.build("--select", "+rpt_experiments", *WITHOUT_TESTS)
        return cls(
            duckdb.connect(str(warehouse.settings.duckdb_path)),
            warehouse.compiled["intermediate.int_experiment_metrics"],
            warehouse.compiled["marts.rpt_experiments"],
        )

    def rows(self, trial: Trial, first_look: int) -> list[dict[str, Any]]:
        """The report's rows of each as-of day from a day on. The application is the day."""
        self._fill(trial, first_look)
        result = self.connection.execute(
            "create or replace table intermediate.int_experiment_metrics as "
            f"{self.metrics_sql}; {self.report_sql}"
        )
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def _fill(self, trial: Trial, first_look: int) -> None:
        drawn = pa.Table.from_pylist(list(trial.rows()))
        self.connection.register("drawn", drawn)
        self.connection.execute(
            f"""
            create or replace temporary table looks as
            select range as look, date '{FIRST_DAY}' + cast(range as integer) as as_of_date
            from range({first_look}, {trial.days});
            create or replace table intermediate.int_application_days as
            select cast(look as varchar) as application_id, as_of_date as activity_date from looks;
            create or replace table intermediate.int_experiment_players as
            select
                cast(looks.look as varchar) as application_id,
                drawn.* replace (
                    cast(revenue / 10000 as decimal(18, 4)) as revenue,
                    cast(revenue_before / 10000 as decimal(18, 4)) as revenue_before
                )
            from drawn
            inner join looks
                on drawn.experiment_id = 'menu_2' or looks.look = {trial.days - 1}
            """
        )

    def truth(self) -> dict[str, float]:
        """The differences in the population that was read last, without a cap of the revenue."""
        self._fill(Trial((FIRST_DAY - EPOCH).days, DAYS, POPULATION, seed=-1), DAYS - 1)
        last = FIRST_DAY + timedelta(days=DAYS - 1)
        means = {
            "retention_1": "avg(cast(is_active_on_1 as integer))",
            "retention_7": "avg(cast(is_active_on_7 as integer))",
            "conversion": "avg(cast(is_payer as integer))",
            "revenue_per_player": "avg(cast(revenue as double))",
            "revenue_per_payer": "sum(revenue) filter (where is_payer)"
            " / sum(cast(is_payer as integer))",
            "sessions_per_active_day": "sum(session_count) / sum(active_days)",
        }
        columns = ", ".join(means.values())
        control, other = (
            self.connection.execute(
                f"select {columns} from intermediate.int_experiment_players "
                "where experiment_id = 'shop_2' and second_variant_date is null "
                f"and variant = '{variant}' and exposure_date + 7 <= date '{last}'"
            ).fetchall()[0]
            for variant in ("control", "new_shop")
        )
        return {
            name: float(new) - float(old)
            for name, old, new in zip(means, control, other, strict=True)
        }


@dataclass
class Counts:
    """The trials in which something happened, by metric."""

    covered: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    flagged_cuped: Counter[str] = field(default_factory=Counter)
    ever: Counter[str] = field(default_factory=Counter)
    ever_sequential: Counter[str] = field(default_factory=Counter)
    mismatches: Counter[str] = field(default_factory=Counter)
    widths: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, rows: list[dict[str, Any]], truth: dict[str, float]) -> None:
        """Count one trial."""
        looked: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            metric, is_last = row["metric"], row["application_id"] == str(DAYS - 1)
            if row["is_control"]:
                continue
            if row["experiment_id"] == "menu_2":
                looked[metric].append(row)
            elif is_last:
                is_inside = row["difference_low"] <= truth[metric] <= row["difference_high"]
                self.covered[metric] += is_inside
                self.found[metric] += row["p_value"] < 0.05
            if is_last:
                self.mismatches[row["experiment_id"]] += row["has_sample_ratio_mismatch"]
        for metric, own in looked.items():
            (last,) = (row for row in own if row["application_id"] == str(DAYS - 1))
            self.flagged[metric] += _is_low(last["p_value"])
            self.flagged_cuped[metric] += _is_low(last["cuped_p_value"])
            self.ever[metric] += any(_is_low(row["p_value"]) for row in own)
            self.ever_sequential[metric] += any(_is_low(row["sequential_p_value"]) for row in own)
            if last["cuped_p_value"] is not None:
                width = last["difference_high"] - last["difference_low"]
                adjusted = last["cuped_difference_high"] - last["cuped_difference_low"]
                self.widths[metric].append((adjusted / width) ** 2)


def _is_low(p_value: float | None) -> bool:
    return p_value is not None and p_value < 0.05


def main() -> None:
    """Run the trials and print a line per metric."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    counts = Counts()
    with tempfile.TemporaryDirectory() as folder:
        report = Report.compiled(Path(folder))
        truth = report.truth()
        for seed in range(seeds):
            trial = Trial((FIRST_DAY - EPOCH).days, DAYS, PLAYERS, seed)
            counts.add(report.rows(trial, FIRST_LOOK), truth)
            print(f"trial {seed + 1} of {seeds}", file=sys.stderr, flush=True)
    print(f"{seeds} trials of {PLAYERS} players, {DAYS} days, looks from day {FIRST_LOOK} on")
    print(
        "| metric | true effect | covered | found | A/A | A/A, CUPED | variance, CUPED"
        " | A/A, daily | A/A, daily, always valid |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for metric in METRICS:
        widths = counts.widths[metric]
        share = f"{sum(widths) / len(widths):.2f}x" if widths else ""
        print(
            f"| {metric} | {truth[metric]:.4f} | {counts.covered[metric]} | {counts.found[metric]}"
            f" | {counts.flagged[metric]} | {counts.flagged_cuped[metric]} | {share}"
            f" | {counts.ever[metric]} | {counts.ever_sequential[metric]} |"
        )
    print(f"Sample-ratio mismatches: {dict(counts.mismatches)}")


if __name__ == "__main__":
    main()
