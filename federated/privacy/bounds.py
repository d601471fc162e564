"""Public bounds of a measured quantity, and the integers that values within them become.

A sensitivity that is proven for real numbers does not hold for sums of floats: Mironov, On
Significance of the Least Significant Bits for Differential Privacy, CCS 2012; Casacuberta et al.,
Widespread Underestimation of Sensitivity in Differentially Private Libraries, CCS 2022 (arXiv
2207.10635). So every value becomes an integer before anything is added. The map is a function of
one value and of public numbers, computed in rationals or by comparisons, which are exact.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import pairwise

from federated.errors import InvalidInput

STEPS = 1 << 24
"""Steps from the lower to the upper bound. Rounding moves a value by at most half of one."""
POINTS = 1024
"""The most points of a grid that medians are chosen from."""
LARGEST_BOUND = 2.0**100
SMALLEST_WIDTH = 2.0**-100


@dataclass(frozen=True)
class Bounds:
    """Public bounds, in the unit of the values; ``name`` stands in errors.

    Raises InvalidInput where ``lower`` is not below ``upper``, a bound is beyond +-2^100, the two
    are closer than 2^-100, or lie so far from 0 that a step would be finer than the spacing of
    floats there: the width is at least 2^24 spacings at the bound farther from 0.
    """

    lower: float
    upper: float
    name: str = field(default="bounds", compare=False)

    def __post_init__(self) -> None:
        lower, upper = self.lower, self.upper
        if not lower < upper:
            raise InvalidInput(f"{self.name}: lower {lower:g} is not below upper {upper:g}")
        farthest = max(abs(lower), abs(upper))
        if farthest > LARGEST_BOUND:
            raise InvalidInput(
                f"{self.name}: {lower:g} to {upper:g} is out of range; bounds of at most "
                f"{LARGEST_BOUND:.3g} in magnitude are allowed"
            )
        if self.width < Fraction(SMALLEST_WIDTH):
            raise InvalidInput(
                f"{self.name}: {lower:g} and {upper:g} are too close; bounds at least "
                f"{SMALLEST_WIDTH:.3g} apart are allowed"
            )
        spacing = math.ulp(farthest)
        if self.width < STEPS * Fraction(spacing):
            raise InvalidInput(
                f"{self.name}: floats near {farthest:g} are {spacing:g} apart, too coarse for "
                f"bounds {float(self.width):g} apart; allowed are bounds at least 2^24 spacings "
                "apart: measure from a public origin that is nearer"
            )

    @cached_property
    def width(self) -> Fraction:
        """Upper minus lower, exactly."""
        return Fraction(self.upper) - Fraction(self.lower)

    def clamp(self, value: float) -> float:
        """The value, or the bound that it is beyond."""
        return min(max(value, self.lower), self.upper)

    def steps(self, value: float) -> int:
        """The step nearest to a finite value, 0 to STEPS: clamped, then a tie goes up."""
        a, b = self.clamp(value).as_integer_ratio()
        c, d = self.lower.as_integer_ratio()
        steps = (a * d - c * b) * STEPS * self.width.denominator
        unit = b * d * self.width.numerator
        return (2 * steps + unit) // (2 * unit)

    def value(self, steps: Fraction) -> float:
        """The float nearest to a (fraction of a) step's value, clamped to the bounds."""
        exact = Fraction(self.lower) + min(max(steps, Fraction(0)), Fraction(STEPS)) * (
            self.width / STEPS
        )
        return float(exact)


@dataclass(frozen=True)
class PointGrid:
    """Public points in ascending order, at least 2 and at most POINTS.

    Only comparisons of a value with public numbers decide its point.
    """

    points: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.points) <= POINTS:
            raise InvalidInput(f"points: {len(self.points)} is not of 2 to {POINTS}")
        if any(not a < b for a, b in pairwise(self.points)):
            raise InvalidInput("points: they do not ascend")

    @cached_property
    def _edges(self) -> tuple[float, ...]:
        return tuple(a + (b - a) / 2 for a, b in pairwise(self.points))

    def index(self, value: float) -> int:
        """The place of the nearest point, 0 to len(points) - 1; of a tie the lower one."""
        return bisect_left(self._edges, value)


@lru_cache(maxsize=64)
def linear_points(bounds: Bounds) -> PointGrid:
    """POINTS equally spaced points, both bounds included."""
    last = POINTS - 1
    return PointGrid(tuple(bounds.value(Fraction(STEPS * at, last)) for at in range(POINTS)))


@lru_cache(maxsize=64)
def log_points(bounds: Bounds) -> PointGrid:
    """Points equally spaced in log(1 + x), both bounds included, of bounds from 0 up.

    Where bounds span orders of magnitude, a linear grid has no points among small values. The
    points are public, so that floats may make them. Raises InvalidInput for a lower bound below 0.
    """
    if bounds.lower < 0:
        raise InvalidInput(f"{bounds.name}: a logarithmic grid needs a lower bound of 0 or above")
    low, high = math.log1p(bounds.lower), math.log1p(bounds.upper)
    last = POINTS - 1
    inner = [math.expm1(low + (high - low) * at / last) for at in range(1, last)]
    points = {bounds.lower, *map(bounds.clamp, inner), bounds.upper}
    return PointGrid(tuple(sorted(points)))
