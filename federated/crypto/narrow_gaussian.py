"""The discrete Gaussian of lattice masks: sigma 6.4, cut at 64, by table, two random bytes a draw.

P(X = x) is proportional to exp(-x^2 / (2 sigma^2)) on [-64, 64], which is what rejecting |x| > 64
gives; the cut, ten standard deviations out, removes 2^-75 of the law. A draw inverts the
cumulative table, held to 128 bits: its first 16 uniform bits decide all but about one draw in a
thousand, and only those read 112 more. This noise hides mask keys. It is not privacy noise and
is never counted as such; that is federated.privacy.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray

SIGMA = Decimal("6.4")
CUT = 64

Source = Callable[[int], bytes]

_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_UNDECIDED = 127
_REST_BYTES = 14


def sample(size: int, *, source: Source = os.urandom) -> NDArray[np.int8]:
    """``size`` independent draws, int8 in [-64, 64], each within 2^-100 of the law.

    A lookup's address depends on the draw: like the rest of the package, this is no match for a
    program that measures the same processor. ``source`` is for tests.
    """
    words = np.frombuffer(source(2 * size), dtype="<u2")
    draws: NDArray[np.int8] = _lookup()[words]
    undecided = np.flatnonzero(draws == _UNDECIDED)
    rest = source(_REST_BYTES * len(undecided))
    for order, at in enumerate(undecided):
        low = int.from_bytes(rest[_REST_BYTES * order : _REST_BYTES * (order + 1)], "little")
        draws[at] = _invert((int(words[at]) << 112) + low)
    return draws


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
def _lookup() -> NDArray[np.int8]:
    """The value of every 16-bit prefix that has one value only, else _UNDECIDED."""
    edges = [entry >> 112 for entry in _cumulative()]
    first = np.searchsorted(edges, np.arange(65_536), side="left")
    last = np.searchsorted(edges, np.arange(65_536), side="right")
    return np.where(first == last, first - CUT, _UNDECIDED).astype(np.int8)
