"""From noisy sums of votes to statistics with 95% intervals; post-processing, which costs nothing.

The target is the statistic of the cohort's own measurements after clamping, not of a population.
Every interval holds what the noise adds and what rounding to the grid can have moved, so it covers
in at least 95% of releases:

mean        sum / n, noise at 95%, then half a grid step (linear) or half a step's ratio (log)
std         sqrt(E[x^2] - E[x]^2) of both intervals at 97.5% (Bonferroni), then the same rounding
quantiles   every bin that a two-sided test at 95% does not reject is in the interval

The histogram is corrected so that its noisy counts add up to n, which is public: noise of the
cumulative counts then vanishes at both ends. The point estimate of a quantile reads the nearest
monotone cumulative counts (isotonic regression), linear inside a bin, logarithmic on a log grid.
Everything is clipped to the metric's bounds. Sums and comparisons only, in a fixed order, so that
every machine gets the same within a few units in the last place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from federated.aggregation.votes import UNIT, Slot, VoteLayout, edges
from federated.privacy import discrete_laplace
from federated.wire.campaign import QUANTILES, Estimate, Metric, Statistic, grid_points

PERCENTILES_FROM = 50
"""Organizations below which p10..p90 are not given and a release is marked illustrative."""
_TWO_SIDED_95 = 1.959963984540054
_TWO_SIDED_975 = 2.241402727604947


@dataclass(frozen=True)
class _Noise:
    """One slot's noise: standard deviation and excess kurtosis of the sum of all shares."""

    sd: float
    kurtosis: float

    def half_width(self, z: float) -> float:
        """The central interval's half width; Cornish-Fisher's fourth-order term, which is on the
        safe side for sums of Laplaces (2.17 sd for one at 95%, where 2.12 would do)."""
        return self.sd * (z + (z**3 - 3 * z) / 24 * self.kurtosis)


def _noise(slot: Slot, shares: int) -> _Noise:
    if isinstance(slot.scale, Fraction):
        variance = discrete_laplace.variance(float(slot.scale))
        # A discrete Laplace has excess kurtosis 3 + 1 / variance.
        return _Noise(math.sqrt(shares * variance), (3 + 1 / variance) / shares)
    return _Noise(slot.scale * math.sqrt(shares), 0.0)


def statistics_of(
    layout: VoteLayout, sums: Sequence[int], *, count: int, shares: int
) -> dict[Statistic, Estimate]:
    """The metric's statistics from its noisy ``sums`` (VoteLayout.unpack) of ``count`` votes.

    ``shares`` noise shares are in them. p10, p25, p75 and p90 are left out below 50 votes.
    """
    metric = layout.metric
    kinds = [slot.kind for slot in layout.slots]
    out: dict[Statistic, Estimate] = {}
    moments = _Moments(layout, sums, count, shares) if "values" in kinds else None
    histogram = _Histogram(layout, sums, count, shares) if "histogram" in kinds else None
    for name in metric.statistics:
        if name == "mean" and moments is not None:
            out[name] = moments.mean()
        elif name == "std" and moments is not None:
            out[name] = moments.std()
        elif histogram is not None and (name == "median" or count >= PERCENTILES_FROM):
            out[name] = histogram.quantile(QUANTILES[name])
    return out


def _clipped(value: float, lower: float, upper: float, bounds: tuple[float, float]) -> Estimate:
    low, high = (min(max(end, bounds[0]), bounds[1]) for end in (lower, upper))
    # Twelve digits: the same text wherever a last bit may differ.
    numbers = (min(max(value, low), high), low, high)
    return Estimate(**dict(zip(("value", "lower", "upper"), map(_short, numbers), strict=True)))


def _short(value: float) -> float:
    return float(f"{value:.12g}")


class _Moments:
    """Mean and standard deviation on the integer scale, then in the metric's unit."""

    def __init__(self, layout: VoteLayout, sums: Sequence[int], count: int, shares: int) -> None:
        metric = layout.metric
        self._bounds = (metric.lower, metric.upper)
        self._middle = (metric.lower + metric.upper) / 2
        self._half = (metric.upper - metric.lower) / 2
        self._metric, self._n = metric, count
        at = {slot.kind: (slot, total) for slot, total in zip(layout.slots, sums, strict=True)}
        slot, total = at["values"]
        self._first, self._first_noise = total / count, _noise(slot, shares)
        if "squares" in at:
            slot, total = at["squares"]
            # round(u^2 / UNIT) - UNIT / 2 is summed.
            self._second = (total / count + UNIT / 2) * UNIT
            self._second_noise = _noise(slot, shares)

    def mean(self) -> Estimate:
        half = self._first_noise.half_width(_TWO_SIDED_95) / self._n
        value, low, high = (
            self._middle + self._half * u / UNIT
            for u in (self._first, self._first - half, self._first + half)
        )
        low, high = self._rounded(min(max(low, self._metric.lower), self._metric.upper), high)
        return _clipped(value, low, high, self._bounds)

    def _rounded(self, low: float, high: float) -> tuple[float, float]:
        """The ends after the most that rounding to the grid may have moved a mean."""
        if self._metric.grid.kind == "log":
            ratio = math.sqrt(_step(self._metric))
            return low / ratio - self._half / UNIT, high * ratio + self._half / UNIT
        slack = _step(self._metric) / 2 + self._half / UNIT
        return low - slack, high + slack

    def std(self) -> Estimate:
        first = self._first_noise.half_width(_TWO_SIDED_975) / self._n
        second = self._second_noise.half_width(_TWO_SIDED_975) / self._n * UNIT + UNIT / 2
        ends = (max(self._first - first, -UNIT), min(self._first + first, UNIT))
        largest = max(ends[0] ** 2, ends[1] ** 2)
        smallest = 0.0 if ends[0] <= 0 <= ends[1] else min(ends[0] ** 2, ends[1] ** 2)
        low, value, high = (
            math.sqrt(max(variance, 0.0)) * self._half / UNIT
            for variance in (
                self._second - second - largest,
                self._second - self._first**2,
                min(self._second + second, UNIT**2) - smallest,
            )
        )
        slack = self._std_slack(high)
        return _clipped(value, low - slack, high + slack, (0.0, self._half))

    def _std_slack(self, high: float) -> float:
        """sd(x') differs from sd(x) by at most sd(x' - x), a seminorm: half a step; or, on a log
        grid, (sqrt(ratio) - 1) times the root mean square."""
        if self._metric.grid.kind != "log":
            return _step(self._metric) / 2 + self._half / UNIT
        mean = self.mean().upper
        largest = min(math.sqrt(mean**2 + high**2), self._metric.upper)
        return (math.sqrt(_step(self._metric)) - 1) * largest + self._half / UNIT


def _step(metric: Metric) -> float:
    """Distance of two neighbouring grid points, or their ratio on a log grid."""
    points = grid_points(metric)
    if metric.grid.kind == "log":
        return points[1] / points[0]
    return points[1] - points[0]


class _Histogram:
    """Cumulative counts at the bins' borders, corrected to the public total."""

    def __init__(self, layout: VoteLayout, sums: Sequence[int], count: int, shares: int) -> None:
        metric = layout.metric
        bins, self._n = metric.grid.bins, count
        pairs = zip(layout.slots, sums, strict=True)
        votes = [total / layout.weight for slot, total in pairs if slot.kind == "histogram"]
        excess = (math.fsum(votes) - count) / bins
        self._cumulative = [0.0, *accumulate(vote - excess for vote in votes)]
        self._cumulative[-1] = float(count)
        slot = next(slot for slot in layout.slots if slot.kind == "histogram")
        noise = _noise(slot, shares)
        self._noise = [
            _bridge(noise.sd / layout.weight, noise.kurtosis, border, bins)
            for border in range(bins + 1)
        ]
        size = metric.grid.points // bins
        inner = edges(metric)[size - 1 :: size]
        self._borders = (metric.lower, *inner[: bins - 1], metric.upper)
        self._log = metric.grid.kind == "log"
        self._monotone = _isotonic(self._cumulative, float(count))

    def quantile(self, p: float) -> Estimate:
        """The p-quantile; the interval covers numpy's ``linear`` one of the measurements."""
        bins = len(self._borders) - 1
        # At least this many votes are at or below the quantile, fewer strictly below its bin.
        rank = math.floor((self._n - 1) * p) + 1
        reach = [noise.half_width(_TWO_SIDED_95) for noise in self._noise]
        first = next(b for b in range(1, bins + 1) if self._cumulative[b] + reach[b] >= rank)
        last = next(b for b in range(bins, 0, -1) if self._cumulative[b - 1] - reach[b - 1] <= rank)
        first, last = min(first, last), max(first, last)
        return _clipped(
            self._read(p * self._n),
            self._borders[first - 1],
            self._borders[last],
            (self._borders[0], self._borders[-1]),
        )

    def _read(self, target: float) -> float:
        """Returns where the monotone cumulative counts reach ``target``."""
        counts = self._monotone
        at = next(b for b in range(1, len(counts)) if counts[b] >= target)
        rise = counts[at] - counts[at - 1]
        part = (target - counts[at - 1]) / rise if rise > 0 else 0.5
        low, high = self._borders[at - 1], self._borders[at]
        if self._log:
            return low * math.exp(part * math.log(high / low))
        return low + part * (high - low)


def _bridge(sd: float, kurtosis: float, border: int, bins: int) -> _Noise:
    """Noise of the corrected cumulative count: weights 1 - b/B below the border, -b/B above."""
    below, above = 1 - border / bins, border / bins
    second = border * below**2 + (bins - border) * above**2
    if second == 0:
        return _Noise(0.0, 0.0)
    fourth = border * below**4 + (bins - border) * above**4
    return _Noise(sd * math.sqrt(second), kurtosis * fourth / second**2)


def _isotonic(values: Sequence[float], top: float) -> list[float]:
    """The nearest non-decreasing sequence (pool adjacent violators), within 0 and ``top``."""
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (b, m), (a, k) = pools.pop(), pools.pop()
            pools.append(((a * k + b * m) / (k + m), k + m))
    flat = [min(max(value, 0.0), top) for value, size in pools for _ in range(size)]
    return [0.0, *flat[1:-1], top]
