"""Samples of the discrete Laplace, exact: integers and the system's randomness only.

P(X = x) is proportional to exp(-|x| / b) on the integers: Canonne, Kamath and Steinke, The Discrete
Gaussian for Differential Privacy, arXiv 2004.00010, algorithms 1 and 2. A sum that moves by at most
D when one organization's part is blanked out is released with pure epsilon at b = D / epsilon.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from fractions import Fraction

from federated.errors import InvalidInput

Below = Callable[[int], int]
"""A uniform integer below its argument; anything but the system's is for tests and simulation."""


def sample(scale: Fraction, *, below: Below = secrets.randbelow) -> int:
    """One draw of parameter b = ``scale`` > 0 (a rational, so that no float shapes it)."""
    if scale <= 0:
        raise InvalidInput(f"scale: {scale} is not above 0")
    t, s = scale.numerator, scale.denominator
    while True:
        u = below(t)
        if not bernoulli_exp(Fraction(u, t), below=below):
            continue
        v = 0
        while bernoulli_exp(Fraction(1), below=below):
            v += 1
        magnitude = (u + t * v) // s
        negative = below(2) == 1
        if not (negative and magnitude == 0):  # zero has one sign only
            return -magnitude if negative else magnitude


def bernoulli_exp(gamma: Fraction, *, below: Below = secrets.randbelow) -> bool:
    """True with probability exp(-gamma), for a rational gamma of 0 or above (algorithm 1).

    Takes a bounded number of draws on average, whatever gamma: the first failure ends it.
    """
    if gamma < 0:
        raise InvalidInput(f"gamma: {gamma} is below 0")
    whole = gamma.numerator // gamma.denominator
    for _ in range(whole):
        if not _at_most_one(1, 1, below):
            return False
    return _at_most_one(gamma.numerator - whole * gamma.denominator, gamma.denominator, below)


def _at_most_one(numerator: int, denominator: int, below: Below) -> bool:
    """The same for a gamma of 0 to 1."""
    k = 1
    while below(k * denominator) < numerator:
        k += 1
    return k % 2 == 1


def variance(scale: float) -> float:
    """2 p / (1 - p)^2 with p = exp(-1 / scale), to float precision; about 2 scale^2.

    It is 1 / (2 sinh(1 / (2 scale))^2), which has no difference that cancels.
    """
    if not 0 < scale < math.inf:
        raise InvalidInput(f"scale: {scale:g} is not above 0 and finite")
    half = 0.5 / scale
    if half > 300:  # sinh(half) is exp(half) / 2 to the last bit, and overflows soon
        return 2 * math.exp(-2 * half)
    root = 1 / math.sinh(half)
    return root * root / 2


def tail(scale: Fraction, probability: float) -> int:
    """The least m, or one more, with P(|X| > m) at most ``probability``, which is below 1.

    P(|X| > m) = 2 p^(m + 1) / (1 + p) with p = exp(-1 / scale).
    """
    if scale <= 0 or not 0 < probability < 1:
        raise InvalidInput(f"scale, probability: {scale}, {probability:g} are out of range")
    width = float(scale)
    # The logarithm of 2 / ((1 + p) probability); the last factor covers what floats round off.
    logarithm = -math.log(probability) - math.log1p(math.expm1(-1 / width) / 2)
    return max(0, math.ceil(width * logarithm * (1 + 1e-12)) - 1)
