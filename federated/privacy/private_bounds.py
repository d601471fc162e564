"""Bounds of a set of numbers, found privately.

Wilson et al., Differentially Private SQL with Bounded User Contribution, PoPETs 2020(2), section
5.1.1 (arXiv 1909.01917).

A histogram over powers of two takes noise; the bounds are the outer ends of the outermost bins that
exceed a threshold which no empty bin exceeds but with a small chance. One number a person: changing
it moves two bins by one, so discrete Laplace noise of parameter 2 / epsilon gives pure epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from federated.privacy import discrete_laplace

_SMALLEST, _LARGEST = -40, 53
# Magnitudes 2^-40 and below, up to 2^53, of either sign; the smallest bin of each begins at 0.
_MAGNITUDES = _LARGEST - _SMALLEST + 1
_BINS = 2 * _MAGNITUDES
_FALSE_BIN = 1e-6
"""The chance that any empty bin exceeds the threshold."""


def threshold(epsilon: float) -> float:
    """The noisy count above which a bin is taken to hold somebody."""
    return -2 / epsilon * math.log(2 - 2 * (1 - _FALSE_BIN) ** (1 / (_BINS - 1)))


def numbers_needed(epsilon: float) -> int:
    """From how many numbers on bounds are worth looking for: four times the threshold."""
    return math.ceil(4 * threshold(epsilon))


def find(values: Iterable[float], epsilon: float) -> tuple[float, float] | None:
    """Lower and upper bound of most of ``values``, pure ``epsilon``; None where no bin stands out.

    The ends are 0 or powers of two of either sign. Numbers beyond them are to be clamped.
    """
    counts = [0] * _BINS
    for value in values:
        counts[_bin(value)] += 1
    scale = 2 / Fraction(epsilon)
    limit = threshold(epsilon)
    found = [
        at for at, count in enumerate(counts) if count + discrete_laplace.sample(scale) > limit
    ]
    if not found:
        return None
    return _ends(found[0])[0], _ends(found[-1])[1]


def _bin(value: float) -> int:
    """0.._MAGNITUDES - 1 below zero, largest magnitude first; then 0 and above."""
    if value == 0:
        magnitude = 0
    else:
        mantissa, exponent = math.frexp(abs(value))
        exponent -= mantissa == 0.5  # a power of two is the upper end of its bin
        magnitude = min(max(exponent - _SMALLEST, 0), _MAGNITUDES - 1)
    return _MAGNITUDES - 1 - magnitude if value < 0 else _MAGNITUDES + magnitude


def _ends(position: int) -> tuple[float, float]:
    negative = position < _MAGNITUDES
    magnitude = _MAGNITUDES - 1 - position if negative else position - _MAGNITUDES
    far = math.ldexp(1.0, magnitude + _SMALLEST)
    near = 0.0 if magnitude == 0 else far / 2
    return (-far, -near) if negative else (near, far)
