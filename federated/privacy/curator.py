"""A trusted curator's statistics of numbers within public bounds: pure epsilon, in integers.

The curator sees the numbers in clear; what it releases is differentially private. Neighbours are
two lists of the same public length n that differ in one number, replaced by any other. Each
statistic is an integer function of integers (``federated.privacy.bounds``), whose sensitivity is
proven beside it in integers; its noise is a discrete Laplace of a rational scale, or a choice by
exact acceptance; only what has been released is scaled, in rationals, and rounded to a float last.
No float arithmetic touches a private number before the noise.

Not proven, and not so: that the time a release takes tells nothing. Samplers reject, the median's
as often as the numbers make it, and Python's integers take longer where they are larger.
"""

from __future__ import annotations

import math
import secrets
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction

from federated.errors import InvalidInput
from federated.privacy import discrete_laplace
from federated.privacy.bounds import STEPS, Bounds, PointGrid
from federated.privacy.discrete_laplace import Below

MARGIN_MISSES = 0.05
"""How often the noise of a mean exceeds its margin, at most."""


# Integer statistics, and what one replaced number changes them by at most.


def total(steps: Sequence[int]) -> int:
    """The sum of x_1..x_n, each of 0 to STEPS."""
    return sum(_checked(steps))


def total_sensitivity() -> int:
    """STEPS: replacing x by y moves the sum by y - x, both of 0 to STEPS."""
    return STEPS


def spread(steps: Sequence[int]) -> int:
    """n sum(x^2) - (sum x)^2: n^2 times the variance of x_1..x_n, each of 0 to STEPS."""
    values = _checked(steps)
    return len(values) * sum(x * x for x in values) - sum(values) ** 2


def spread_sensitivity(count: int) -> int:
    """(n - 1) STEPS^2, which equal numbers at one bound reach when one moves to the other.

    The statistic is the sum of (x_i - x_j)^2 over all pairs i < j. Replacing one number changes its
    n - 1 pairs; each is of 0 to STEPS^2 before and after.
    """
    return (count - 1) * STEPS * STEPS


def losses(places: Sequence[int], points: int) -> list[int]:
    """For each of ``points`` candidates c, max(0, 2 #{x < c} - n, 2 #{x > c} - n).

    It is -2 times the utility -max(0, #{x < c} - n/2, #{x > c} - n/2). A median loses 0; equal
    numbers lie on one candidate, so that it alone has their weight. Replacing one number changes
    each count by at most 1, so this by at most 2 and the utility by at most 1.
    """
    if any(not 0 <= place < points for place in places):
        raise InvalidInput(f"places: one is not of 0 to {points - 1}")
    ordered, n = sorted(places), len(places)
    return [
        max(0, 2 * bisect_left(ordered, c) - n, 2 * (n - bisect_right(ordered, c)) - n)
        for c in range(points)
    ]


# Releases.


def mean(
    values: Sequence[float],
    bounds: Bounds,
    epsilon: Fraction,
    *,
    below: Below = secrets.randbelow,
) -> float:
    """The mean of finite ``values``, clamped to the bounds, pure ``epsilon``; within the bounds.

    Raises InvalidInput for no values or an epsilon that is not above 0.
    """
    steps = _steps(values, bounds, epsilon)
    noisy = total(steps) + discrete_laplace.sample(total_sensitivity() / epsilon, below=below)
    return bounds.value(Fraction(noisy, len(steps)))


def mean_margin(count: int, bounds: Bounds, epsilon: Fraction) -> float:
    """With probability 0.95 at least ``mean`` is no farther from the mean of the clamped values.

    It counts the noise and half a step of rounding; in the unit of the values, at most the width.
    """
    noise = discrete_laplace.tail(total_sensitivity() / epsilon, MARGIN_MISSES)
    steps = min(Fraction(noise, count) + Fraction(1, 2), Fraction(STEPS))
    return float(steps * bounds.width / STEPS)


def std(
    values: Sequence[float],
    bounds: Bounds,
    epsilon: Fraction,
    *,
    below: Below = secrets.randbelow,
) -> float:
    """The standard deviation (of the n values, not of a sample), pure ``epsilon``.

    From 0, where noise takes the variance below it, to half the bounds' width. One number alone
    has none, whatever it is: 0 without noise. Raises InvalidInput as ``mean`` does.

    Noise on ``spread`` is (1 - 1/n) width^2 / (n epsilon) of the variance, wherever the values
    lie. Two sums, of x and x^2 about the bounds' middle with half of epsilon each, take about half
    of that where the mean is in the middle and twice of it where it is near a bound, as it is for
    most measurements within wide public bounds.
    """
    steps = _steps(values, bounds, epsilon)
    n, sensitivity = len(steps), spread_sensitivity(len(steps))
    if sensitivity == 0:
        return 0.0
    noisy = spread(steps) + discrete_laplace.sample(sensitivity / epsilon, below=below)
    variance = max(Fraction(noisy, (n * STEPS) ** 2), Fraction(0)) * bounds.width**2
    return min(math.sqrt(variance), float(bounds.width) / 2)


def median(
    values: Sequence[float],
    grid: PointGrid,
    epsilon: Fraction,
    *,
    below: Below = secrets.randbelow,
) -> float:
    """A point of the grid that splits ``values`` nearly in half, pure ``epsilon``.

    The exponential mechanism (McSherry and Talwar, FOCS 2007) over the grid's points: a point is
    drawn uniformly and accepted with probability exp(-epsilon (u_max - u) / 2), u its utility of
    sensitivity 1 (``losses``), else another is drawn. A point of the largest utility is always
    accepted, so that the number of draws is at most the number of points on average.

    Raises InvalidInput as ``mean`` does.
    """
    _check(len(values), epsilon)
    points = len(grid.points)
    lost = losses([grid.index(value) for value in values], points)
    least = min(lost)
    while True:
        at = below(points)
        if discrete_laplace.bernoulli_exp(epsilon * (lost[at] - least) / 4, below=below):
            return grid.points[at]


def _steps(values: Sequence[float], bounds: Bounds, epsilon: Fraction) -> list[int]:
    _check(len(values), epsilon)
    return [bounds.steps(value) for value in values]


def _check(count: int, epsilon: Fraction) -> None:
    if count < 1:
        raise InvalidInput("values: there are none")
    if not isinstance(epsilon, Fraction) or epsilon <= 0:
        raise InvalidInput(f"epsilon: {epsilon!r} is not a fraction above 0")


def _checked(steps: Sequence[int]) -> Sequence[int]:
    if any(not isinstance(step, int) or not 0 <= step <= STEPS for step in steps):
        raise InvalidInput(f"steps: one is not a whole number of 0 to {STEPS}")
    return steps
