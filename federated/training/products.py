"""Matrix products whose every entry depends on its own row and column alone, to the last bit.

A matrix product of floats rounds in the order in which a library adds, and that order follows a
row's place in the batch, the batch's size, the processor and the number of threads. Here each
product is a sum of integers instead. Each row of the left and each column of the right operand is
scaled by a power of two to integers of ``bits`` bits and a remainder of as many, such that no
partial sum exceeds 2^53. Float64 holds every such sum exactly, so that any order, with fused
multiply-adds or without, gives the same bits. This is the error-free splitting of Ozaki, Ogita,
Oishi and Rump (Numerical Algorithms 59, 2012) with two slices, the product of both remainders left
out.

It holds for a library that forms each entry from sums of the entry's own products, as every BLAS
does for float64; it does not cover one that mixes entries (Strassen) or computes in less precision.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEAST_EXPONENT = -900
"""Of a row's largest entry; what is below 2^-900 counts as if the row were that large."""


def product(left: Floats, right: Floats) -> Floats:
    """``left @ right``: [..., n, k] by [k, m], or both stacked alike; entries do not interact.

    The error is at most 1.25 k 2^(-2 bits) of the row's largest entry times the column's, with bits
    = floor((53 - log2 k) / 2): 1e-12 of them for k = 64, 1e-6 for the largest layer, k = 2^16, if
    all errors add up. A row or a column whose entries are all below 2^-900 counts as one of that
    size: beside its partner's 1e300 it is 0. A row or a column with an entry that is not finite
    gives NaN, and leaves all others as they are.
    """
    if right.ndim == 2 and left.ndim > 2:
        flat = product(left.reshape(-1, left.shape[-1]), right)
        return flat.reshape(*left.shape[:-1], right.shape[-1])
    bits = (53 - (left.shape[-1] - 1).bit_length()) // 2
    inner = left.shape[-1]
    a, a_scale = _split(left, bits, slice(inner), slice(inner, None))
    b, b_scale = _split(right.swapaxes(-1, -2), bits, slice(inner, None), slice(inner))
    b = b.swapaxes(-1, -2)
    # Whole by remainder and remainder by whole in one product, then whole by whole.
    out: Floats = a @ b
    out *= 2.0**-bits
    out += a[..., :inner] @ b[..., inner:, :]
    with np.errstate(over="ignore", invalid="ignore"):
        out *= a_scale
        out *= b_scale.swapaxes(-1, -2)
    return out


def row_sum(values: Floats) -> Floats:
    """The sum over the last axis, by halves: the order of additions follows its length alone."""
    while (width := values.shape[-1]) > 1:
        half = width // 2
        added = values[..., :half] + values[..., half : 2 * half]
        if width % 2:
            added[..., 0] += values[..., -1]
        values = added
    return values[..., 0] if values.shape[-1] else np.zeros(values.shape[:-1])


def _split(rows: Floats, bits: int, whole_at: slice, rest_at: slice) -> tuple[Floats, Floats]:
    """Integers [..., n, 2k], a row's whole parts and remainders at these columns, and its scale.

    A row is scale * (whole + remainder / 2^bits); the scale of one that is not finite is NaN.
    """
    inner = rows.shape[-1]
    if not inner:
        return rows, np.ones((*rows.shape[:-1], 1))
    largest = np.maximum(rows.max(axis=-1, keepdims=True), -rows.min(axis=-1, keepdims=True))
    finite = np.isfinite(largest)
    if not finite.all():
        rows, largest = np.where(finite, rows, 0.0), np.where(finite, largest, 0.0)
    exponent = np.maximum(np.frexp(largest)[1], _LEAST_EXPONENT)
    out = np.empty((*rows.shape[:-1], 2 * inner))
    whole, rest = out[..., whole_at], out[..., rest_at]
    np.multiply(rows, np.ldexp(1.0, bits - exponent), out=rest)
    np.rint(rest, out=whole)
    rest -= whole
    rest *= 2.0**bits
    np.rint(rest, out=rest)
    scale = np.ldexp(1.0, exponent - bits)
    return out, np.where(finite, scale, np.nan)
