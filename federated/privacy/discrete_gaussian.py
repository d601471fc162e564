"""Samples of the discrete Gaussian, vectorised, exact to the last decision.

P(X = x) is proportional to exp(-x^2 / (2 sigma^2)) on the integers (Canonne, Kamath and Steinke,
arXiv 2004.00010). Floating point never shapes the distribution: tables are 128-bit integers made
in decimal arithmetic, and a float only decides comparisons that it cannot get wrong.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.privacy.accountant import LARGEST_SIGMA

Source = Callable[[int], bytes]

_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_CHUNK = 1 << 16
_UNSURE = 2.0**-40
"""A 64-bit uniform this near to a probability is compared in decimals: float errors are < 2^-48."""


def sample(sigma: float, size: int, *, source: Source = os.urandom) -> NDArray[np.int64]:
    """``size`` independent draws with parameter ``sigma``, int64; 1 <= sigma <= 2^30.

    x = 2^e k + r, where k is half-Gaussian of parameter sigma / 2^e (in [8, 16) for large sigma)
    from a cumulative table and r is uniform on [0, 2^e); kept with probability
    exp(-r (r + 2^(e+1) k) / (2 sigma^2)), then a sign (Ducas, Durmus, Lepoint and Lyubashevsky,
    Lattice Signatures and Bimodal Gaussians, 2013, section 6). A draw's distance in total
    variation from the true law is below 2^-100 (128-bit tables and comparisons, a tail of 2^-128
    cut off), so that n draws add at most (1 + e^epsilon) n 2^-100 to delta.

    ``source`` returns that many uniform bytes; anything but the system's is for tests.
    """
    if not math.isfinite(sigma) or not 1 <= sigma <= LARGEST_SIGMA:
        raise InvalidInput(f"sigma: {sigma!r} is not of 1 to {LARGEST_SIGMA:.0f} grid units")
    if size < 0:
        raise InvalidInput(f"size: {size} is below 0")
    exponent = max(0, math.floor(math.log2(sigma)) - 3)
    out = np.empty(size, dtype=np.int64)
    filled = 0
    while filled < size:
        # About one in eight is rejected at worst (the sign of a zero at sigma 3).
        draws = _attempt(sigma, exponent, min(_CHUNK, (size - filled) * 5 // 4 + 16), source)
        draws = draws[: size - filled]
        out[filled : filled + len(draws)] = draws
        filled += len(draws)
    return out


def _attempt(sigma: float, exponent: int, count: int, source: Source) -> NDArray[np.int64]:
    k = _table_draw(*_table(sigma, exponent), _words(count, source), source)
    bits = _words(count, source)
    negative = (bits >> np.uint64(63)).astype(bool)
    r = (bits & np.uint64((1 << exponent) - 1)).astype(np.int64)
    magnitude = (k << exponent) + r
    keep = ~(negative & (magnitude == 0))  # zero has one sign only
    if exponent:
        # At most 2^(2e) (1 + 2 * 220) <= 2^63 at the largest sigma.
        keep &= _bernoulli_exp(r * (r + (k << (exponent + 1))), sigma, source)
    return np.asarray(np.where(negative, -magnitude, magnitude)[keep], dtype=np.int64)


def _words(count: int, source: Source) -> NDArray[np.uint64]:
    return np.frombuffer(source(8 * count), dtype="<u8")


@lru_cache(maxsize=16)
def _table(sigma: float, exponent: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """High and low words of round(2^128 P(K <= k)), K half-Gaussian; the last is cut off."""
    with localcontext(_EXACT):
        narrow = Decimal(sigma) / (1 << exponent)
        cut = math.ceil(float(narrow) * 13.5)  # exp(-13.5^2 / 2) < 2^-128
        weights = [(-(Decimal(k) ** 2) / (2 * narrow**2)).exp() for k in range(cut + 1)]
        total, running, entries = sum(weights), Decimal(0), []
        for weight in weights[:-1]:
            running += weight
            entries.append(min(int((running / total * 2**128).to_integral_value()), 2**128 - 1))
    high = np.array([entry >> 64 for entry in entries], dtype=np.uint64)
    low = np.array([entry & (2**64 - 1) for entry in entries], dtype=np.uint64)
    return high, low


def _table_draw(
    high: NDArray[np.uint64], low: NDArray[np.uint64], words: NDArray[np.uint64], source: Source
) -> NDArray[np.int64]:
    """How many table entries are at or below each uniform; ties take 64 further bits."""
    found = np.searchsorted(high, words, side="right").astype(np.int64)
    tied = np.flatnonzero((found > 0) & (high[np.maximum(found, 1) - 1] == words))
    for at, rest in zip(tied, _words(len(tied), source), strict=True):
        while found[at] and high[found[at] - 1] == words[at] and low[found[at] - 1] > rest:
            found[at] -= 1
    return found


def _bernoulli_exp(
    numerator: NDArray[np.int64], sigma: float, source: Source, *, unsure: float = _UNSURE
) -> NDArray[np.bool_]:
    """True with probability exp(-numerator / (2 sigma^2)), to 128 bits."""
    words = _words(len(numerator), source)
    uniform = words.astype(np.float64) * 2.0**-64
    probability = np.exp(-numerator.astype(np.float64) / (2 * sigma * sigma))
    accept: NDArray[np.bool_] = uniform < probability
    doubtful = np.flatnonzero(np.abs(uniform - probability) < unsure)
    for at, rest in zip(doubtful, _words(len(doubtful), source), strict=True):
        with localcontext(_EXACT):
            exact = (-Decimal(int(numerator[at])) / (2 * Decimal(sigma) ** 2)).exp()
            accept[at] = Decimal((int(words[at]) << 64) + int(rest)) < exact * 2**128
    return accept
