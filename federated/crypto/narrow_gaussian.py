"""The discrete Gaussian of lattice masks: sigma 6.4, cut at 64, by table, two random bytes a draw.

P(X = x) is proportional to exp(-x^2 / (2 sigma^2)) on [-64, 64], which is what rejecting |x| > 64
gives; the cut, ten standard deviations out, removes 2^-75 of the law. A draw inverts the
cumulative table, held to 128 bits: its first 16 uniform bits decide all but about one draw in a
thousand, and only those read 112 more. This noise hides mask keys. It is not privacy noise and
is never counted as such; that is federated.privacy.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray

from federated.keystream import random_bytes

SIGMA = Decimal("6.4")
CUT = 64

Source = Callable[[int], bytes]

_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_UNDECIDED = 127
_REST_BYTES = 14


def sample(size: int, *, source: Source = random_bytes) -> NDArray[np.int8]:
    """``size`` independent draws, int8 in [-64, 64], each within 2^-100 of the law.

    A lookup's address depends on the draw: like the rest of the package, this is no match for a
    program that measures the same processor. ``source`` is for tests.
    """
    words = np.frombuffer(source(2 * size), dtype="<u2")
    draws: NDArray[np.int8] = _lookup().take(words)
    undecided = np.flatnonzero(draws == _UNDECIDED)
    rest = source(_REST_BYTES * len(undecided))
    if len(undecided):
        draws[undecided] = _decided(words[undecided], rest)
    return draws


def _decided(words: NDArray[np.uint16], rest: bytes) -> NDArray[np.int64]:
    """The values of 16-bit prefixes with 112 further bits each, little-endian in ``rest``."""
    # The 48 bits that follow a prefix are the last of its 14 bytes, and decide but for 2^-56.
    further = np.frombuffer(rest, dtype=np.uint8).reshape(-1, _REST_BYTES)
    next_48 = np.zeros((len(words), 8), dtype=np.uint8)
    next_48[:, :6] = further[:, -6:]
    first_64 = (words.astype(np.uint64) << np.uint64(48)) | next_48.view("<u8")[:, 0]
    found = np.searchsorted(_high_words(), first_64, side="left")
    values = found - CUT
    for at in np.flatnonzero(_high_words()[np.minimum(found, 2 * CUT - 1)] == first_64):
        values[at] = _invert(
            (int(words[at]) << 112) + int.from_bytes(further[at].tobytes(), "little")
        )
    return np.asarray(values, dtype=np.int64)


def _invert(uniform: int) -> int:
    """The value whose interval of the 128-bit cumulative table holds ``uniform``."""
    return bisect.bisect_right(_cumulative(), uniform) - CUT


@cache
def _cumulative() -> tuple[int, ...]:
    """round(2^128 P(X <= x)) for x = -64..63; P(X <= 64) is 1."""
    with localcontext(_EXACT):
        weights = [(-(Decimal(x) ** 2) / (2 * SIGMA**2)).exp() for x in range(-CUT, CUT + 1)]
        total, running, entries = sum(weights), Decimal(0), []
        for weight in weights[:-1]:
            running += weight
            entries.append(int((running / total * 2**128).to_integral_value()))
    return tuple(entries)


@cache
def _high_words() -> NDArray[np.uint64]:
    """The high 64 bits of the cumulative table."""
    return np.array([entry >> 64 for entry in _cumulative()], dtype=np.uint64)


@cache
def _lookup() -> NDArray[np.int8]:
    """The value of every 16-bit prefix that has one value only, else _UNDECIDED."""
    edges = [entry >> 112 for entry in _cumulative()]
    first = np.searchsorted(edges, np.arange(65_536), side="left")
    last = np.searchsorted(edges, np.arange(65_536), side="right")
    return np.where(first == last, first - CUT, _UNDECIDED).astype(np.int8)
