"""exp, tanh and the sigmoid from additions, products and quotients, each rounded once.

numpy's own take another code path, with other last bits, by processor and by a value's place in
memory. IEEE 754 rounds the operations used here in one way, so that a value's result depends on
the value alone, on every machine.
"""

from __future__ import annotations

from decimal import Decimal
from math import factorial

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LN2 = Decimal(2).ln()
_LN2_HIGH = float(int(_LN2 * 2**41)) / 2**41
"""41 bits of ln 2: its product with an integer of 11 bits is exact."""
_LN2_LOW = float(_LN2 - Decimal(_LN2_HIGH))
_PER_LN2 = float(1 / _LN2)
_SERIES = tuple(1 / factorial(power) for power in range(13, 0, -1))
"""Taylor's coefficients of exp(r) - 1: what is left out is below 1e-17 of r for |r| <= 0.35."""
_SMALLEST = -708.0
"""exp of it is the least that is no subnormal number; below it the result is exp(-708), 3e-308."""


def exp_of_negative(values: Floats) -> Floats:
    """exp(x) for x <= 0 within 2 units in the last place, at least exp(-708). NaN stays NaN."""
    rest, power = _reduced(values)
    rest *= power
    rest += power
    return rest


def tanh(values: Floats) -> Floats:
    """The hyperbolic tangent; NaN stays NaN."""
    rest, power = _reduced(-2 * np.minimum(np.abs(values), 1e3))
    # expm1(-2|x|), which keeps its digits near 0.
    rest *= power
    rest += power - 1
    return np.asarray(np.copysign(-rest / (2 + rest), values))


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow; NaN stays NaN."""
    small = exp_of_negative(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1.0, small) / (1 + small))


def _reduced(values: Floats) -> tuple[Floats, Floats]:
    """exp(x) = power * (1 + rest): a power of two, and |rest| below 0.42, NaN where x is."""
    x = np.where(values > _SMALLEST, values, _SMALLEST)
    turns = np.rint(x * _PER_LN2)
    x -= turns * _LN2_HIGH
    x -= turns * _LN2_LOW
    rest = np.full_like(x, _SERIES[0])
    for coefficient in _SERIES[1:]:
        rest *= x
        rest += coefficient
    rest *= x
    np.copyto(rest, np.nan, where=np.isnan(values))
    power = ((turns.astype(np.int64) + 1023) << 52).view(np.float64)
    return rest, power
