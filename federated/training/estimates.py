"""What noisy counts say: ratios of them, each with an interval that covers the noise.

All of it is post-processing of released counts: it costs no privacy. Metrics come from the counts
as they are, negative ones too, because cleaning them first biases every ratio (an AUC toward 0.5);
only counts that are shown are cleaned.

An interval holds every value of a ratio r = a/b that the noise does not contradict: those for which
the statistic a - r b, whose mean is 0 at the true r, is within 1.96 of its standard deviations
(Fieller, J. R. Stat. Soc. B 16, 1954). It stays honest where a denominator is mostly noise: there
it becomes the whole range. It covers what exact counts of the same records would give; how the
records represent others (sampling) is not in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NORMAL_95 = 1.959963984540054
"""Two-sided 95% quantile of the normal distribution."""
_STEPS = 2000


@dataclass(frozen=True)
class Estimate:
    """A value and its 95% interval; None where the noise leaves every value possible."""

    value: float | None
    low: float
    high: float


def count(cells: Floats, sigma: float) -> Estimate:
    """How many records a group of cells holds; noise of standard deviation ``sigma`` in each."""
    total, spread = float(cells.sum()), NORMAL_95 * sigma * math.sqrt(cells.size)
    return Estimate(max(total, 0.0), max(total - spread, 0.0), max(total + spread, 0.0))


def ratio(top: Floats, bottom: Floats, cells: Floats, sigma: float, *, most: float) -> Estimate:
    """sum(top * cells) / sum(bottom * cells), known to lie in [0, most]; shapes are equal."""
    grid = np.linspace(0.0, most, _STEPS + 1)
    above, below = float((top * cells).sum()), float((bottom * cells).sum())
    weights = top.reshape(-1)[None] - grid[:, None] * bottom.reshape(-1)[None]
    variance = sigma**2 * (weights**2).sum(axis=1)
    return _fieller(above, below, above - grid * below, variance, grid)


def auc(negatives: Floats, positives: Floats, sigma: float) -> Estimate:
    """Area under the ROC curve of binned scores, [bins] each; ties within a bin count one half.

    The area is p' L n / (sum(p) sum(n)) with L_ij = 1 for j < i and 1/2 for j = i (Hanley and
    McNeil, Radiology 143, 1982). For r, M = L - r: the statistic p' M n of noisy counts has
    variance sigma^2 (|M' p|^2 + |M n|^2) + sigma^4 |M|^2 of the exact ones; the squares are
    estimated without bias from the noisy ones.
    """
    bins = len(negatives)
    wins = np.tril(np.ones((bins, bins)), -1) + 0.5 * np.eye(bins)
    grid = np.linspace(0.0, 1.0, _STEPS + 1)
    above = float(positives @ wins @ negatives)
    below = float(positives.sum() * negatives.sum())
    by_positives = (wins.T @ positives)[None] - grid[:, None] * positives.sum()
    by_negatives = (wins @ negatives)[None] - grid[:, None] * negatives.sum()
    frobenius = ((wins[None] - grid[:, None, None]) ** 2).sum(axis=(1, 2))
    linear = (by_positives**2).sum(axis=1) + (by_negatives**2).sum(axis=1)
    both = sigma**4 * frobenius
    variance = np.maximum(sigma**2 * linear - both, both)
    if min(positives.sum(), negatives.sum()) <= 0:
        return Estimate(None, 0.0, 1.0)
    return _fieller(above, below, above - grid * below, variance, grid)


def _fieller(
    above: float, below: float, statistic: Floats, variance: Floats, grid: Floats
) -> Estimate:
    """The values of the grid that the noise does not contradict, one step wider on each side."""
    most, step = float(grid[-1]), float(grid[1])
    if below <= 0:
        return Estimate(None, 0.0, most)
    value = min(max(above / below, 0.0), most)
    fits = grid[statistic**2 <= NORMAL_95**2 * variance]
    low, high = (value, value) if not len(fits) else (float(fits[0]), float(fits[-1]))
    if low <= 0 and high >= most:
        return Estimate(None, 0.0, most)
    return Estimate(value, max(min(low, value) - step, 0.0), min(max(high, value) + step, most))


def cleaned(cells: Floats) -> Floats:
    """The counts that are shown: the nearest that are not negative and keep the sum.

    Euclidean projection; Norm-Sub of Wang et al., "Locally Differentially Private Frequency
    Estimation with Consistency", NDSS 2020. All zero where the sum is not positive.
    """
    flat = cells.reshape(-1)
    total = float(flat.sum())
    if total <= 0:
        return np.zeros_like(cells)
    ordered = np.sort(flat)[::-1]
    excess = (np.cumsum(ordered) - total) / np.arange(1, flat.size + 1)
    last = int(np.flatnonzero(ordered > excess)[-1])
    shown: Floats = np.maximum(flat - excess[last], 0.0).reshape(cells.shape)
    return shown
