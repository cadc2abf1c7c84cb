"""The report on experiments, from exact sums of fractions."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from statistics import NormalDist
from typing import NamedTuple

from include.settings import ROOT
from tests.pipeline.oracle.distributions import chi_square_p_value, t_p_value, t_quantile
from tests.pipeline.oracle.events import DAY, Event, Table
from tests.pipeline.oracle.players import Player, PlayerDay
from tests.pipeline.oracle.reports import Span

LEAST_PLAYERS = 30
DAYS_BEFORE = 14
RHO = 0.001587230920347513
NORMAL = NormalDist().inv_cdf(0.975)
MOST = Decimal("99999999999")


class Variant(NamedTuple):
    """A line of the seed `experiment_variants`."""

    is_control: bool
    weight: int


class Exposed(NamedTuple):
    """A player of an experiment, with the player's days by their age."""

    variant: str
    day: date
    ages: Mapping[int, PlayerDay]

    def sum(self, value: Callable[[PlayerDay], int | Decimal], first: int, last: int) -> Fraction:
        """The sum of a value over ages."""
        return sum(
            (Fraction(value(day)) for age, day in self.ages.items() if first <= age <= last),
            Fraction(0),
        )


class Values(NamedTuple):
    """What one player adds to a metric."""

    numerator: Fraction
    denominator: Fraction
    covariate: Fraction


def _active(day: PlayerDay) -> int:
    return int(day.is_active)


def _is_active_on(age: int) -> Callable[[Exposed, Decimal], Values]:
    return lambda player, _: Values(
        player.sum(_active, age, age), Fraction(1), player.sum(_active, -DAYS_BEFORE, -1)
    )


def _pays(player: Exposed) -> Fraction:
    return Fraction(any(day.is_payer for age, day in player.ages.items() if 0 <= age <= 7))


def _limited(value: Fraction) -> Fraction:
    return max(min(value, Fraction(MOST)), -Fraction(MOST))


def _revenue(player: Exposed) -> Fraction:
    return _limited(player.sum(lambda day: day.revenue, 0, 7))


def _revenue_before(player: Exposed) -> Fraction:
    return _limited(player.sum(lambda day: day.revenue, -DAYS_BEFORE, -1))


METRICS: Mapping[str, tuple[str, int, Callable[[Exposed, Decimal], Values]]] = {
    "retention_1": ("rate", 1, _is_active_on(1)),
    "retention_7": ("rate", 7, _is_active_on(7)),
    "conversion": (
        "rate",
        7,
        lambda one, _: Values(_pays(one), Fraction(1), _revenue_before(one)),
    ),
    "revenue_per_player": (
        "mean",
        7,
        lambda one, cap: Values(
            min(_revenue(one), Fraction(cap)),
            Fraction(1),
            _revenue_before(one),
        ),
    ),
    "revenue_per_payer": (
        "ratio",
        7,
        lambda one, cap: Values(
            min(_revenue(one), Fraction(cap)) if _pays(one) else Fraction(0),
            _pays(one),
            Fraction(0),
        ),
    ),
    "sessions_per_active_day": (
        "ratio",
        7,
        lambda one, _: Values(
            one.sum(lambda day: day.session_count, 0, 7), one.sum(_active, 0, 7), Fraction(0)
        ),
    ),
}


@dataclass
class Estimate:
    """A metric of one variant; a variance is None if there are too few players."""

    kind: str
    values: list[Values]

    def __post_init__(self) -> None:
        self.n = len(self.values)
        self.numerator, self.denominator, self.covariate = (
            sum(part, Fraction(0))
            for part in (zip(*self.values, strict=True) if self.n else ((),) * 3)
        )
        self.mean = self.numerator / self.denominator if self.denominator else None
        self.variance = self._variance()
        self.error = None if self.variance is None or not self.n else self.variance / self.n

    def covariance(self, one: int, other: int) -> Fraction:
        """The sample covariance of two of the three values."""
        ones, others = [v[one] for v in self.values], [v[other] for v in self.values]
        product = sum(a * b for a, b in zip(ones, others, strict=True))
        return (product - sum(ones) * sum(others) / Fraction(self.n)) / (self.n - 1)

    def _variance(self) -> Fraction | None:
        if self.mean is None:
            return None
        if self.kind == "rate":
            return self.mean * (1 - self.mean)
        if self.n < LEAST_PLAYERS:
            return None
        if self.kind == "mean":
            return self.covariance(0, 0)
        mean_denominator = self.denominator / self.n
        residual = (
            self.covariance(0, 0)
            - 2 * self.mean * self.covariance(0, 1)
            + self.mean**2 * self.covariance(1, 1)
        )
        return residual / mean_denominator**2


def _welch_df(one: Fraction, n: int, other: Fraction, other_n: int) -> float:
    return float((one + other) ** 2 / (one**2 / (n - 1) + other**2 / (other_n - 1)))


def _interval(prefix: str, middle: float, half: float) -> dict[str, object]:
    return {f"{prefix}_low": middle - half, f"{prefix}_high": middle + half}


def _compared(own: Estimate, control: Estimate) -> dict[str, object]:
    """The columns that compare a variant with the control; those that are missing are null."""
    if own.mean is None or control.mean is None:
        return {}
    difference = own.mean - control.mean
    found: dict[str, object] = {"difference": float(difference)}
    if control.mean > 0:
        found["lift"] = float(difference / control.mean)
    if own.error is None or control.error is None or not own.error + control.error:
        return found | _pooled(own, control, difference)
    error = own.error + control.error
    df = None
    if own.kind != "rate":
        df = _welch_df(own.error, own.n, control.error, control.n)
    quantile = NORMAL if df is None else t_quantile(df)
    found |= _interval("difference", float(difference), quantile * math.sqrt(error))
    if df is None:
        found |= _pooled(own, control, difference)
    else:
        z = float(difference) / math.sqrt(error)
        found |= {"z": z, "p_value": t_p_value(z, df)}
    if control.mean > 0:
        lift_error = (own.error + (own.mean / control.mean) ** 2 * control.error) / control.mean**2
        if lift_error:
            lift, half = float(difference / control.mean), math.sqrt(lift_error)
            z = lift / half
            found |= _interval("lift", lift, quantile * half)
            found["lift_p_value"] = (
                math.erfc(abs(z) / math.sqrt(2)) if df is None else t_p_value(z, df)
            )
    if min(own.n, control.n) >= LEAST_PLAYERS:
        found |= _sequential(float(difference), float(error), own.n + control.n)
    return found


def _pooled(own: Estimate, control: Estimate, difference: Fraction) -> dict[str, object]:
    if own.kind != "rate":
        return {}
    rate = (own.numerator + control.numerator) / (own.n + control.n)
    error = rate * (1 - rate) * (Fraction(1, own.n) + Fraction(1, control.n))
    if not error:
        return {}
    z = float(difference) / math.sqrt(error)
    return {"z": z, "p_value": math.erfc(abs(z) / math.sqrt(2))}


def _sequential(difference: float, error: float, n: int) -> dict[str, object]:
    spread = n * RHO + 1
    half = math.sqrt(error * 2 * spread / (n * RHO) * math.log(math.sqrt(spread) / 0.05))
    exponent = RHO * difference**2 / error * n / (2 * spread)
    p = min(1.0, math.sqrt(spread) * math.exp(-exponent)) if exponent <= 700 else 0.0
    return _interval("sequential", difference, half) | {"sequential_p_value": p}


def _cuped(own: Estimate, control: Estimate) -> dict[str, object]:
    """The columns of the comparison that is adjusted for the days before the exposure."""
    if own.kind == "ratio" or min(own.n, control.n) < LEAST_PLAYERS:
        return {}
    pair = (own, control)
    spread = sum(one.covariance(2, 2) * (one.n - 1) for one in pair)
    if not spread or own.mean is None or control.mean is None:
        return {}
    slope = sum(one.covariance(0, 2) * (one.n - 1) for one in pair) / Fraction(spread)
    difference = own.mean - control.mean
    difference -= slope * (own.covariate / own.n - control.covariate / control.n)
    found: dict[str, object] = {
        "cuped_difference": float(difference),
        "cuped_mean": float(control.mean + difference),
    }
    errors = [
        (one.covariance(0, 0) - 2 * slope * one.covariance(0, 2) + slope**2 * one.covariance(2, 2))
        / one.n
        for one in pair
    ]
    if not sum(errors):
        return found
    df = _welch_df(errors[0], own.n, errors[1], control.n)
    error = math.sqrt(sum(errors))
    found |= _interval("cuped_difference", float(difference), t_quantile(df) * error)
    return found | {"cuped_p_value": t_p_value(float(difference) / error, df)}


COMPARISONS = (
    *("control_mean", "difference", "difference_low", "difference_high", "z", "p_value"),
    *("lift", "lift_low", "lift_high", "lift_p_value"),
    *("sequential_low", "sequential_high", "sequential_p_value"),
    *("cuped_mean", "cuped_difference", "cuped_difference_low", "cuped_difference_high"),
    "cuped_p_value",
)


def _seed() -> dict[str, dict[str, Variant]]:
    found: dict[str, dict[str, Variant]] = defaultdict(dict)
    with (ROOT / "dbt" / "seeds" / "experiment_variants.csv").open() as file:
        for row in csv.DictReader(file):
            found[row["experiment_id"]][row["variant"]] = Variant(
                row["is_control"] == "true", int(row["intended_weight"])
            )
    return found


def _srm(counts: Mapping[str, int], listed: Mapping[str, Variant]) -> float | None:
    """The p value of the split into the variants of which a share above 0 is intended."""
    weights = {name: variant.weight for name, variant in listed.items() if variant.weight > 0}
    if not listed:
        weights = {name: 1 for name, count in counts.items() if count}
    total, players = sum(weights.values()), sum(counts.get(name, 0) for name in weights)
    if not 1 < len(weights) <= 31 or not players:
        return None
    statistic = 0.0
    for name, weight in weights.items():
        expected = players * weight / total
        statistic += (counts.get(name, 0) - expected) ** 2 / expected
    return chi_square_p_value(statistic, len(weights) - 1)


def _cap(players: Iterable[Exposed], as_of: date) -> Decimal | None:
    revenues = sorted(
        revenue for one in players if one.day + 7 * DAY <= as_of and (revenue := _revenue(one))
    )
    if not revenues:
        return None
    rank = -(-len(revenues) * 999 // 1000)
    cap = max(revenues[rank - 1], Fraction(0))
    return Decimal(cap.numerator) / Decimal(cap.denominator)


def _exposed(
    exposures: Sequence[Event], days: Mapping[Player, Sequence[PlayerDay]], as_of: date
) -> Exposed | None:
    """A player of an experiment by the as-of day; None if there are several variants by then."""
    ordered = sorted(
        exposures, key=lambda event: (event.event_timestamp, _name(event, "variant") or "")
    )
    first = ordered[0]
    variants = {_name(event, "variant") for event in ordered if event.event_date <= as_of}
    if len(variants) > 1:
        return None
    own = days.get((first.application_id, first.player_id or ""), ())
    ages = {(day.activity_date - first.event_date).days: day for day in own}
    return Exposed(_name(first, "variant") or "", first.event_date, ages)


def _name(event: Event, key: str) -> str | None:
    return (event.value(key) or "").strip(" ") or None


def rpt_experiments(
    events: Iterable[Event], days: Iterable[PlayerDay], reported: Mapping[str, Span]
) -> Table:
    """One row per application, experiment, variant and metric."""
    by_player: dict[Player, list[PlayerDay]] = defaultdict(list)
    for day in days:
        by_player[day.player].append(day)
    exposures: dict[tuple[str, str], dict[str, list[Event]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for event in events:
        experiment = _name(event, "experiment_id")
        is_exposure = event.event_type == "experiment_exposure" and _name(event, "variant")
        if is_exposure and event.player_id and experiment:
            exposures[event.application_id, experiment][event.player_id].append(event)
    rows: Table = []
    for (application, experiment), by_id in exposures.items():
        if application in reported:
            as_of = reported[application].as_of
            about = {"application_id": application, "experiment_id": experiment}
            rows += [about | row for row in _experiment(experiment, by_id, by_player, as_of)]
    return rows


def _experiment(
    experiment: str,
    by_id: Mapping[str, Sequence[Event]],
    days: Mapping[Player, Sequence[PlayerDay]],
    as_of: date,
) -> Iterable[dict[str, object]]:
    seen = [own for own in by_id.values() if min(e.event_date for e in own) <= as_of]
    firsts = [
        min(own, key=lambda e: (e.event_timestamp, _name(e, "variant") or "")) for own in seen
    ]
    names = sorted({_name(first, "variant") or "" for first in firsts})
    if not names:
        return
    kept = [one for own in seen if (one := _exposed(own, days, as_of))]
    listed = _seed().get(experiment, {})
    controls = sorted(name for name, variant in listed.items() if variant.is_control)
    counts = {name: sum(one.variant == name for one in kept) for name in names}
    by_name = [*(name for name in names if counts[name]), names[0]]
    control = [*controls, *(["control"] if "control" in names else by_name)][0]
    srm, cap = _srm(counts, listed), _cap(kept, as_of)
    for metric, (kind, window, values) in METRICS.items():
        mature = [one for one in kept if one.day + window * DAY <= as_of]
        estimates = {
            name: Estimate(
                kind,
                [
                    values(one, MOST if cap is None else cap)
                    for one in mature
                    if one.variant == name
                ],
            )
            for name in names
        }
        for name, own in estimates.items():
            compared: dict[str, object] = dict.fromkeys(COMPARISONS)
            if name != control and control in estimates:
                other = estimates[control]
                compared["control_mean"] = None if other.mean is None else float(other.mean)
                compared |= _compared(own, other) | _cuped(own, other)
            is_capped = metric.startswith("revenue")
            yield compared | {
                "variant": name,
                "metric": metric,
                "is_control": name == control,
                "control_variant": control,
                "players": counts[name],
                "excluded_players": len(seen) - len(kept),
                "n": own.n,
                "value_cap": cap if is_capped else None,
                "mean": None if own.mean is None else float(own.mean),
                "standard_deviation": (None if own.variance is None else math.sqrt(own.variance)),
                "srm_p_value": srm,
                "has_sample_ratio_mismatch": srm is not None and srm < 0.001,
            }
