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
        if not _bernoulli_exp(Fraction(u, t), below):
            continue
        v = 0
        while _bernoulli_exp(Fraction(1), below):
            v += 1
        magnitude = (u + t * v) // s
        negative = below(2) == 1
        if not (negative and magnitude == 0):  # zero has one sign only
            return -magnitude if negative else magnitude


def variance(scale: float) -> float:
    """2 p / (1 - p)^2 with p = exp(-1 / scale): about 2 scale^2."""
    p = math.exp(-1 / scale)
    return 2 * p / (1 - p) ** 2


def _bernoulli_exp(gamma: Fraction, below: Below) -> bool:
    """True with probability exp(-gamma), 0 <= gamma <= 1 (algorithm 1)."""
    numerator, denominator = gamma.numerator, gamma.denominator
    k = 1
    while below(k * denominator) < numerator:
        k += 1
    return k % 2 == 1
