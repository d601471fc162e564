"""Bounds of a set of numbers, found privately.

Wilson et al., Differentially Private SQL with Bounded User Contribution, PoPETs 2020(2), section
5.1.1 (arXiv 1909.01917).

A histogram over powers of two takes noise; the bounds are the outer ends of the outermost bins that
exceed a threshold which no empty bin exceeds but with a small chance. One number a person: changing
it moves two bins by one, so discrete Laplace noise of parameter 2 / epsilon gives pure epsilon.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from fractions import Fraction

from federated.errors import InvalidInput
from federated.privacy import discrete_laplace
from federated.privacy.discrete_laplace import Below

_SMALLEST, _LARGEST = -40, 53
# Magnitudes 2^-40 and below, up to 2^53, of either sign; the smallest bin of each begins at 0.
_MAGNITUDES = _LARGEST - _SMALLEST + 1
_BINS = 2 * _MAGNITUDES
_SENSITIVITY = 2
_FALSE_BIN = 1e-6
"""The chance that any empty bin exceeds the threshold."""


def threshold(epsilon: Fraction | float) -> int:
    """The noisy count above which a bin is taken to hold somebody. Raises InvalidInput."""
    each = -math.expm1(math.log1p(-_FALSE_BIN) / (_BINS - 1))
    return discrete_laplace.tail(_scale(epsilon), 2 * each)  # its upper half alone is a false bin


def numbers_needed(epsilon: Fraction | float) -> int:
    """From how many numbers on bounds are worth looking for: four times the threshold."""
    return 4 * threshold(epsilon)


def find(
    values: Iterable[float],
    epsilon: Fraction | float,
    *,
    below: Below = secrets.randbelow,
) -> tuple[float, float] | None:
    """Lower and upper bound of most of ``values``, pure ``epsilon``; None where no bin stands out.

    The ends are 0 or powers of two of either sign. Numbers beyond them are to be clamped. Counts,
    noise and threshold are integers, and a number's bin is read from its exponent. Another call on
    the same numbers costs another epsilon. Raises InvalidInput for an epsilon not above 0.
    """
    counts = histogram(values)
    scale, limit = _scale(epsilon), threshold(epsilon)
    noisy = [count + discrete_laplace.sample(scale, below=below) for count in counts]
    found = [at for at, count in enumerate(noisy) if count > limit]
    if not found:
        return None
    return _ends(found[0])[0], _ends(found[-1])[1]


def histogram(values: Iterable[float]) -> list[int]:
    """How many of the values lie in each bin; a replaced value moves it by 2 in L1 norm."""
    counts = [0] * _BINS
    for value in values:
        counts[_bin(value)] += 1
    return counts


def _scale(epsilon: Fraction | float) -> Fraction:
    if not 0 < epsilon < math.inf:
        raise InvalidInput(f"epsilon: {float(epsilon):g} is not above 0 and finite")
    return _SENSITIVITY / Fraction(epsilon)


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
