"""The geometry of the charts: what the template draws as SVG, and the same data as a table.

All lengths are in units of the chart's own coordinates. Each day or age has a strip over the full
height with all of its values as text, which the browser shows on hover.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from include.site.report import formats
from include.site.report.metrics import Number
from include.site.report.scales import Scale, ticks

WIDTH, HEIGHT = 480, 232
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 28
FEW_POINTS = 14
"""Up to so many points each is drawn as a dot."""
BAR_SHARE = 0.72
"""The part of a day's width that its column takes."""


@dataclass(frozen=True)
class Series:
    """A line, or one part of the columns. `style` is the class in the style sheet."""

    label: str
    style: str
    values: Sequence[Number | None]


@dataclass(frozen=True)
class Tick:
    """A mark of an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """A line with its dots, which also show a value that has no neighbours."""

    style: str
    path: str
    dots: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Bar:
    """A rectangle of a column."""

    style: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Strip:
    """The area of one point of the x axis, with its values as text."""

    x: float
    width: float
    text: str


@dataclass(frozen=True)
class Table:
    """The data of a chart, with all digits."""

    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class Chart:
    """A chart, ready to be drawn. `form` is the form of its values."""

    title: str
    summary: str
    y_ticks: Sequence[Tick]
    x_ticks: Sequence[Tick]
    zero: float
    lines: Sequence[Line]
    bars: Sequence[Bar]
    strips: Sequence[Strip]
    legend: Sequence[tuple[str, str, str]]
    table: Table
    is_zero: bool
    note: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is no value to draw."""
        return not self.lines and not self.bars


def chart(
    title: str,
    labels: Sequence[str],
    form: str,
    *,
    lines: Sequence[Series] = (),
    columns: Sequence[Series] = (),
    ticks_at: Mapping[int, str],
    point: str = "Day",
    unit: str = "",
    note: str = "",
) -> Chart:
    """A chart of lines over stacked columns. `ticks_at` are the points that the x axis labels.

    Parts of a column below zero are stacked downwards, so that refunds do not hide revenue. Points
    without a value interrupt a line. `unit` is the currency of the values, if they have one.
    """
    everything = [*columns, *lines]
    stacks = [_stack([series.values[place] for series in columns]) for place in range(len(labels))]
    values = [float(value) for series in lines for value in series.values if value is not None]
    values += [edge for stack in stacks for part in stack if part for edge in part]
    whole = form in {"count", "average"}
    y_values = ticks(min(values, default=0), max(values, default=0), whole=whole)
    y = Scale(y_values, HEIGHT - BOTTOM, TOP)
    width = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    centres = [LEFT + width * (place + 0.5) for place in range(len(labels))]
    text = partial(formats.full, form=form)
    return Chart(
        title=title,
        summary=_summary(title, labels, everything, text),
        y_ticks=[Tick(_round(y(value)), formats.axis(value, form)) for value in y_values],
        x_ticks=[Tick(_round(centres[place]), name) for place, name in ticks_at.items()],
        zero=_round(y(0)),
        lines=[line for series in lines if (line := _line(series, centres, y)).dots],
        bars=_bars(columns, stacks, centres, width * BAR_SHARE, y),
        strips=[
            Strip(
                _round(centre - width / 2),
                _round(width),
                "\n".join([label, *(f"{s.label}: {text(s.values[place])}" for s in everything)]),
            )
            for place, (label, centre) in enumerate(zip(labels, centres, strict=True))
        ],
        legend=[(s.style, s.label, "column" if s in columns else "line") for s in everything],
        table=Table(
            [point, *(f"{s.label}{f' ({unit})' if unit else ''}" for s in everything)],
            [
                (label, [text(series.values[place]) for series in everything])
                for place, label in enumerate(labels)
            ],
        ),
        is_zero=bool(values) and not any(values),
        note=note,
    )


def _stack(values: Sequence[Number | None]) -> list[tuple[float, float] | None]:
    """The two edges of each part of a column: above zero upwards, below zero downwards."""
    up = down = 0.0
    edges: list[tuple[float, float] | None] = []
    for value in values:
        if value is None:
            edges.append(None)
        elif value >= 0:
            edges.append((up, up + float(value)))
            up += float(value)
        else:
            edges.append((down, down + float(value)))
            down += float(value)
    return edges


def _bars(
    columns: Sequence[Series],
    stacks: Sequence[Sequence[tuple[float, float] | None]],
    centres: Sequence[float],
    width: float,
    y: Scale,
) -> list[Bar]:
    bars = []
    for centre, stack in zip(centres, stacks, strict=True):
        for series, part in zip(columns, stack, strict=True):
            if part is None or part[0] == part[1]:
                continue
            top, bottom = sorted((y(part[0]), y(part[1])))
            bars.append(
                Bar(
                    series.style,
                    _round(centre - width / 2),
                    _round(top),
                    _round(width),
                    # A small value is still a visible line.
                    max(_round(bottom - top), 0.5),
                )
            )
    return bars


def _line(series: Series, centres: Sequence[float], y: Scale) -> Line:
    path, isolated = [], []
    points = [
        None if value is None else (_round(x), _round(y(float(value))))
        for x, value in zip(centres, series.values, strict=True)
    ]
    for place, found in enumerate(points):
        if found is None:
            continue
        before = points[place - 1] if place else None
        after = points[place + 1] if place + 1 < len(points) else None
        path.append(f"{'L' if before else 'M'}{found[0]:g} {found[1]:g}")
        if not before and not after:
            isolated.append(found)
    drawn = [found for found in points if found]
    dots = drawn if len(points) <= FEW_POINTS else [*isolated, *drawn[-1:]]
    return Line(series.style, "".join(path), dots)


def _summary(
    title: str,
    labels: Sequence[str],
    everything: Sequence[Series],
    text: Callable[[Number | None], str],
) -> str:
    """What the chart shows, for people who cannot see it."""
    if not labels:
        return f"{title}: no data."
    parts = []
    for series in everything:
        known = [
            (label, value)
            for label, value in zip(labels, series.values, strict=True)
            if value is not None
        ]
        if known:
            first, last = known[0], known[-1]
            parts.append(
                f"{series.label} from {text(first[1])} ({first[0]}) to {text(last[1])} ({last[0]})"
            )
        else:
            parts.append(f"{series.label} without data")
    return f"{title}. {'; '.join(parts)}. The table below has all values."


def _round(value: float) -> float:
    """To a tenth of a unit, which is less than a pixel."""
    return round(value, 1)
