"""Samples of the discrete Gaussian, vectorised, exact to the last decision.

P(X = x) is proportional to exp(-x^2 / (2 sigma^2)) on the integers (Canonne, Kamath and Steinke,
arXiv 2004.00010). Floating point never shapes the distribution: tables are 128-bit integers made
in decimal arithmetic, and a float only decides comparisons that it cannot get wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.keystream import random_bytes
from federated.privacy.accountant import LARGEST_SIGMA

Source = Callable[[int], bytes]

_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_CHUNK = 1 << 14
_UNDECIDED = 255
_UNSURE = 2.0**-31
"""32 bits of a uniform this near to a probability, which a float holds to 2^-48, decide nothing:
96 more are compared in decimals."""


class _Table(NamedTuple):
    """round(2^128 P(K <= k)) of a half-Gaussian K; the last is cut off.

    ``high`` and ``low``: words of 64 bits. ``lookup``: K for every 16-bit prefix of a uniform that
    has one value only, else _UNDECIDED; a K is at most 216.
    """

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    lookup: NDArray[np.uint8]


def sample(sigma: float, size: int, *, source: Source = random_bytes) -> NDArray[np.int64]:
    """``size`` independent draws with parameter ``sigma``, int64; 1 <= sigma <= 2^30.

    x = 2^e k + r, where k is half-Gaussian of parameter sigma / 2^e (in [8, 16) for large sigma)
    from a cumulative table and r is uniform on [0, 2^e); kept with probability
    exp(-r (r + 2^(e+1) k) / (2 sigma^2)), then a sign (Ducas, Durmus, Lepoint and Lyubashevsky,
    Lattice Signatures and Bimodal Gaussians, 2013, section 6). A draw's distance in total
    variation from the true law is below 2^-100 (128-bit tables and comparisons, a tail of 2^-128
    cut off), so that n draws add at most (1 + e^epsilon) n 2^-100 to delta.

    A lookup's address depends on the draw, and a rejection's moment on the generator: neither is
    a match for a program that measures the same processor. ``source`` returns that many uniform
    bytes; anything but the default is for tests.
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
    k = _table_draw(_table(sigma, exponent), np.frombuffer(source(2 * count), "<u2"), source)
    bits = np.frombuffer(source(4 * count), dtype="<i4")  # a sign, and r below it: e <= 27
    signs = bits >> np.int32(31)  # 0 or -1
    draws = k.astype(np.int64)
    # Zero has one sign only.
    keep = (k != 0) | (signs == 0)
    if exponent:
        r = bits & np.int32((1 << exponent) - 1)
        draws <<= exponent
        draws += r
        keep |= r != 0
        steps = k.astype(np.float64)
        steps *= 1 << (exponent + 1)
        steps += r
        keep &= _bernoulli_exp(r, steps, sigma, source)
    draws ^= signs
    draws -= signs
    return np.asarray(draws[keep], dtype=np.int64)


@lru_cache(maxsize=16)
def _table(sigma: float, exponent: int) -> _Table:
    with localcontext(_EXACT):
        narrow = Decimal(sigma) / (1 << exponent)
        cut = math.ceil(float(narrow) * 13.5)  # exp(-13.5^2 / 2) < 2^-128
        weights = [(-(Decimal(k) ** 2) / (2 * narrow**2)).exp() for k in range(cut + 1)]
        total, running, entries = sum(weights), Decimal(0), []
        for weight in weights[:-1]:
            running += weight
            entries.append(min(int((running / total * 2**128).to_integral_value()), 2**128 - 1))
    edges = np.array([entry >> 112 for entry in entries])
    lookup = np.searchsorted(edges, np.arange(1 << 16), side="left").astype(np.uint8)
    lookup[edges] = _UNDECIDED
    return _Table(
        high=np.array([entry >> 64 for entry in entries], dtype=np.uint64),
        low=np.array([entry & (2**64 - 1) for entry in entries], dtype=np.uint64),
        lookup=lookup,
    )


def _table_draw(table: _Table, prefixes: NDArray[np.uint16], source: Source) -> NDArray[np.uint8]:
    """How many table entries are at or below each uniform, of which ``prefixes`` are 16 bits.

    One in three hundred reads 48 bits more, and 64 more only if it still ties with an entry.
    """
    found = table.lookup.take(prefixes)
    undecided = np.flatnonzero(found == _UNDECIDED)
    if len(undecided):
        words = prefixes[undecided].astype(np.uint64) << np.uint64(48)
        words |= np.frombuffer(source(8 * len(undecided)), dtype="<u8") >> np.uint64(16)
        found[undecided] = _search(table, words, source)
    return found


def _search(table: _Table, words: NDArray[np.uint64], source: Source) -> NDArray[np.intp]:
    """The same for the first 64 bits of uniforms."""
    high, low = table.high, table.low
    found = np.searchsorted(high, words, side="right")
    tied = np.flatnonzero((found > 0) & (high[np.maximum(found, 1) - 1] == words))
    for at, rest in zip(tied, np.frombuffer(source(8 * len(tied)), dtype="<u8"), strict=True):
        while found[at] and high[found[at] - 1] == words[at] and low[found[at] - 1] > rest:
            found[at] -= 1
    return found


def _bernoulli_exp(
    r: NDArray[np.int32],
    steps: NDArray[np.float64],
    sigma: float,
    source: Source,
    *,
    unsure: float = _UNSURE,
) -> NDArray[np.bool_]:
    """True with probability exp(-r steps / (2 sigma^2)), to 128 bits; ``steps`` are whole."""
    words = np.frombuffer(source(4 * len(r)), dtype="<u4")
    # The exponent is at most 4 and rounded four times by 2^-53 of it: p is off by less than 2^-48.
    gap = steps * r
    gap *= -0.5 / (sigma * sigma)
    np.exp(gap, out=gap)
    gap -= words * 2.0**-32
    accept: NDArray[np.bool_] = gap > 0
    for at in np.flatnonzero(np.abs(gap) < unsure):
        uniform = (int(words[at]) << 96) + int.from_bytes(source(12), "little")
        with localcontext(_EXACT):
            exact = (-Decimal(int(r[at]) * int(steps[at])) / (2 * Decimal(sigma) ** 2)).exp()
            accept[at] = Decimal(uniform) < exact * 2**128
    return accept
