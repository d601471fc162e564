"""The geometry of a release's charts: box plots with intervals, and statistics over runs.

Plain numbers in, coordinates out, as in charts.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from apps.console.shared.charts import Tick, nice_step
from federated.training import estimates as joint
from federated.wire.campaign import Estimate

NAMES = {
    "mean": "mean",
    "median": "median",
    "p10": "10th percentile",
    "p25": "25th percentile",
    "p75": "75th percentile",
    "p90": "90th percentile",
    "std": "standard deviation",
}

#: Rows below the box, top to bottom; a standard deviation is no place on the axis.
PLACED = ("mean", "p10", "p25", "median", "p75", "p90")
WIDTH, LEFT, RIGHT = 620.0, 128.0, 604.0
ROW, BOX, TOP = 22.0, 44.0, 8.0


@dataclass(frozen=True, slots=True)
class Box:
    """Whiskers from the 10th to the 90th percentile, box between the quartiles, line at the
    median; ``y`` is its middle."""

    y: float
    low: float
    first: float
    middle: float
    third: float
    high: float

    @property
    def top(self) -> float:
        return self.y - 13

    @property
    def width(self) -> float:
        return round(self.third - self.first, 1)


@dataclass(frozen=True, slots=True)
class Interval:
    """One statistic: its point, and the line of its 95% interval."""

    name: str
    y: float
    low: float
    value: float | None
    high: float


@dataclass(frozen=True, slots=True)
class BoxChart:
    width: float
    height: float
    left: float
    right: float
    bottom: float
    ticks: list[Tick]
    box: Box | None
    rows: list[Interval]
    description: str


def box_chart(
    statistics: Mapping[str, Estimate], *, lower: float, upper: float, log: bool, unit: str
) -> BoxChart | None:
    """A metric's release on an axis cut to where its statistics lie; None without any."""
    shown = [(name, statistics[name]) for name in PLACED if name in statistics]
    if not shown:
        return None
    start, end = _range(
        min(e.lower for _, e in shown), max(e.upper for _, e in shown), lower, upper, log=log
    )
    place = _scale(start, end, log=log)
    whole = all(name in statistics for name in ("p10", "p25", "median", "p75", "p90"))
    box = None
    top = TOP
    if whole:
        value = {name: place(statistics[name].value) for name in PLACED if name in statistics}
        box = Box(
            TOP + BOX / 2,
            value["p10"],
            value["p25"],
            value["median"],
            value["p75"],
            value["p90"],
        )
        top += BOX
    rows = [
        Interval(
            NAMES[name],
            round(top + ROW * (position + 0.5), 1),
            place(estimate.lower),
            place(estimate.value),
            place(estimate.upper),
        )
        for position, (name, estimate) in enumerate(shown)
    ]
    said = (
        f"{NAMES[name]} {e.value:.4g} {unit} ({e.lower:.4g} to {e.upper:.4g})" for name, e in shown
    )
    ticks = _marked(place, _ticks(start, end, log=log))
    return _chart(top, ticks, rows, "; ".join(said), box)


def interval_chart(estimates: Mapping[str, joint.Estimate], *, upper: float) -> BoxChart:
    """Rows of points with their intervals on an axis from 0; a value may be undetermined."""
    place = _scale(0.0, upper, log=False)
    rows = [
        Interval(
            name,
            round(TOP + ROW * (position + 0.5), 1),
            place(one.low),
            None if one.value is None else place(one.value),
            place(one.high),
        )
        for position, (name, one) in enumerate(estimates.items())
    ]
    said = (
        f"{name} {'undetermined' if one.value is None else f'{one.value:.3f}'} "
        f"({one.low:.3f} to {one.high:.3f})"
        for name, one in estimates.items()
    )
    return _chart(TOP, _marked(place, _ticks(0.0, upper, log=False)), rows, "; ".join(said))


def _chart(
    top: float, ticks: list[Tick], rows: list[Interval], description: str, box: Box | None = None
) -> BoxChart:
    bottom = top + ROW * len(rows)
    return BoxChart(WIDTH, bottom + 26, LEFT, RIGHT, bottom, ticks, box, rows, description)


def _marked(place: Callable[[float], float], values: Iterable[float]) -> list[Tick]:
    return [Tick(place(value), f"{value:,.6g}") for value in values]


@dataclass(frozen=True, slots=True)
class HistoryChart:
    """A statistic run by run, each with its 95% interval as a vertical line."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    points: list[tuple[float, float, float, float]]
    """(x, y of the value, y of the upper end, y of the lower end)"""
    path: str
    description: str


def history_chart(
    values: Sequence[tuple[int, Estimate]], *, lower: float, upper: float, log: bool, what: str
) -> HistoryChart | None:
    """``(run, estimate)`` in order; None for fewer than two runs, which are no history."""
    if len(values) < 2:
        return None
    left, right, top, bottom, width, height = 56.0, 612.0, 10.0, 164.0, 620.0, 190.0
    start, end = _range(
        min(e.lower for _, e in values), max(e.upper for _, e in values), lower, upper, log=log
    )
    place = _scale(start, end, log=log, low=bottom, high=top)
    first, last = values[0][0], values[-1][0]

    def place_x(run: int) -> float:
        return round(left + 12 + (right - left - 24) * (run - first) / (last - first), 1)

    points = [(place_x(run), place(e.value), place(e.upper), place(e.lower)) for run, e in values]
    every = max(1, math.ceil((last - first + 1) / 12))
    return HistoryChart(
        width=width,
        height=height,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        x_ticks=[Tick(place_x(run), str(run)) for run in range(first, last + 1, every)],
        y_ticks=_marked(place, _ticks(start, end, log=log)),
        points=points,
        path="M" + "L".join(f"{x} {y}" for x, y, _, _ in points),
        description=f"{what} by run: " + "; ".join(f"{run}: {e.value:.4g}" for run, e in values),
    )


def _range(
    low: float, high: float, lower: float, upper: float, *, log: bool
) -> tuple[float, float]:
    """The part of the bounds that is drawn: what is shown, and a little air on both sides."""
    if log:
        air = max((high / low) ** 0.06, 1.05)
        return max(lower, low / air), min(upper, high * air)
    margin = 0.06 * (high - low) or 0.05 * (upper - lower)
    return max(lower, low - margin), min(upper, high + margin)


def _scale(
    start: float, end: float, *, log: bool, low: float = LEFT, high: float = RIGHT
) -> Callable[[float], float]:
    a, b = (math.log(start), math.log(end)) if log else (start, end)

    def place(value: float) -> float:
        at = math.log(max(value, start)) if log else value
        part = (min(max(at, a), b) - a) / (b - a) if b > a else 0.5
        return round(low + (high - low) * part, 1)

    return place


def _ticks(start: float, end: float, *, log: bool) -> list[float]:
    if log and end / start >= 20:
        powers = range(math.floor(math.log10(start)), math.ceil(math.log10(end)) + 1)
        factors = (1,) if end / start > 1e4 else (1, 3)
        every = [f * 10.0**p for p in powers for f in factors]
        return [value for value in every if start <= value <= end]
    step = nice_step(end - start, 5)
    first = math.ceil(start / step - 1e-9)
    return [step * n for n in range(first, math.floor(end / step + 1e-9) + 1)]
