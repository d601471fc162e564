"""The geometry of the pages' charts: plain numbers in, coordinates out.

The templates turn them into inline SVG without a style attribute or a script, as the content
security policy demands; colours come from the style sheet's classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

#: ``(label, value, colour)`` of one part of a stacked bar.
Part = tuple[str, float, int]
WIDTH = 1000.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stacked bar; ``x`` and ``width`` are in thousandths of the whole bar."""

    label: str
    value: float
    colour: int
    x: float
    width: float


def stack(parts: Sequence[tuple[str, float, int]], whole: float) -> list[Segment]:
    """``(label, value, colour)`` parts side by side on a bar that stands for ``whole``.

    Parts that together exceed ``whole`` are cut at its end; negative values count as 0.
    """
    segments: list[Segment] = []
    x = 0.0
    for label, value, colour in parts:
        wanted = WIDTH * max(value, 0.0) / whole if whole > 0 else 0.0
        width = min(wanted, WIDTH - x)
        if width > 0:
            segments.append(Segment(label, value, colour, round(x, 2), round(width, 2)))
        x += width
    return segments


@dataclass(frozen=True, slots=True)
class Tick:
    position: float
    label: str


@dataclass(frozen=True, slots=True)
class Series:
    label: str
    colour: int
    path: str
    last: float


@dataclass(frozen=True, slots=True)
class StepChart:
    """Values after each round as steps over a grid, with a dashed line at ``target``."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    series: list[Series]
    target: float | None
    description: str


class _Axes:
    """A grid from 0 to the round number at or above the highest value."""

    def __init__(
        self, values: Iterable[float], *, target: float | None, width: float, height: float
    ) -> None:
        self.width, self.height, self.target = width, height, target
        self.left, self.right, self.top, self.bottom = 34.0, width - 6.0, 10.0, height - 26.0
        highest = max([*values, target or 0.0])
        self.step = nice_step(highest)
        self.lines = max(math.ceil(highest / self.step - 1e-6), 1)

    def x(self, part: float) -> float:
        """``part`` of the width, from 0 to 1."""
        return round(self.left + (self.right - self.left) * part, 1)

    def y(self, value: float) -> float:
        return round(self.bottom - (self.bottom - self.top) * value / (self.step * self.lines), 1)

    def chart(self, series: list[Series], x_ticks: list[Tick]) -> StepChart:
        return StepChart(
            width=self.width,
            height=self.height,
            left=self.left,
            right=self.right,
            top=self.top,
            bottom=self.bottom,
            x_ticks=x_ticks,
            y_ticks=[
                Tick(self.y(self.step * n), f"{self.step * n:g}") for n in range(self.lines + 1)
            ],
            series=series,
            target=None if self.target is None else self.y(self.target),
            description="; ".join(f"{line.label}: {line.last:.3g}" for line in series),
        )


def step_chart(
    series: Sequence[tuple[str, Sequence[float], int]],
    *,
    rounds: int,
    target: float | None = None,
    width: float = 520.0,
    height: float = 190.0,
) -> StepChart | None:
    """A chart of cumulative values, one value a finished round; None when no round is finished.

    ``series`` holds ``(label, values after rounds 1.., colour)``; ``rounds`` is the planned number.
    """
    if rounds < 1 or not any(values for _, values, _ in series):
        return None
    every_value = [value for _, values, _ in series for value in values]
    axes = _Axes(every_value, target=target, width=width, height=height)
    lines = []
    for label, values, colour in series:
        if values:
            drawn = [f"M{axes.x(0)} {axes.y(0)}"]
            for done, value in enumerate(values, start=1):
                drawn.append(f"V{axes.y(value)}H{axes.x(done / rounds)}")
            lines.append(Series(label, colour, "".join(drawn), values[-1]))
    every = max(1, math.ceil(rounds / 10))
    ticks = [Tick(axes.x(n / rounds), str(n)) for n in range(0, rounds + 1, every)]
    return axes.chart(lines, ticks)


def time_chart(
    series: Sequence[tuple[str, Sequence[tuple[datetime, float]], int]],
    *,
    start: datetime,
    end: datetime,
    now: datetime,
    target: float | None = None,
    width: float = 1040.0,
    height: float = 220.0,
) -> StepChart | None:
    """Cumulative values over time, a step at each ``(moment, value)``; None without a value.

    Lines end at ``now``; moments before ``start`` stand at its edge.
    """
    if end <= start or not any(points for _, points, _ in series):
        return None
    every_value = [value for _, points, _ in series for _, value in points]
    axes = _Axes(every_value, target=target, width=width, height=height)

    def place(moment: datetime) -> float:
        return axes.x((min(max(moment, start), end) - start) / (end - start))

    lines = []
    for label, points, colour in series:
        if points:
            drawn = [f"M{place(start)} {axes.y(0)}"]
            drawn += [f"H{place(moment)}V{axes.y(value)}" for moment, value in points]
            drawn.append(f"H{place(now)}")
            lines.append(Series(label, colour, "".join(drawn), points[-1][1]))
    ticks = [start + (end - start) * part / 4 for part in range(4)]
    return axes.chart(lines, [Tick(place(tick), _tick_label(tick, end - start)) for tick in ticks])


def _tick_label(moment: datetime, span: timedelta) -> str:
    if span >= timedelta(days=4):
        return moment.strftime("%b %-d")
    return moment.strftime("%b %-d, %H:%M" if span >= timedelta(hours=1) else "%H:%M:%S")


def nice_step(highest: float, ticks: int = 4) -> float:
    """A round distance (1, 2 or 5 times a power of ten) that gives about ``ticks`` grid lines."""
    if highest <= 0:
        return 1.0
    rough = highest / ticks
    power = 10.0 ** math.floor(math.log10(rough))
    return power * next((m for m in (1, 2, 5) if m * power >= rough * 0.999), 10)
