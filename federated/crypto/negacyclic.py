"""Products in Z[X] / (2^64, X^4096 + 1) with a factor of small coefficients, always exact.

The fast way is one complex float64 transform of half the length per limb of the large factor:
Z[X]/(X^n + 1) maps to n/2 complex evaluations by z_j = (p_j + i p_(j + n/2)) w^j, w = exp(i pi/n).
It is taken only where its error is provably below 3/4, by the bound of Brent, Percival and
Zimmermann ("Error bounds on complex floating-point multiplication", Math. Comp. 76, 2007, theorem
5.1) with the norms at hand; then every coefficient within 1/4 of an integer has been rounded
right, and a block where one is not, or whose factors are too large, is multiplied in integers.
"""

from __future__ import annotations

from functools import cache

import gmpy2
import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput

DEGREE = 4096
LARGEST = 1 << 31
"""Coefficients of the small factor stay below this in absolute value."""

Words = NDArray[np.uint64]

_HALF = DEGREE // 2
# Relative error of the product by the theorem: three transforms of log2(_HALF) = 11 levels,
# 34 complex products, and three multiplications by w^j; roots of unity are correct to 2^-53.
_ERROR = 2.0**-53 * (33 + 37 * 5**0.5 + 36)
_PROVABLE = 0.75
_GUARD = 0.25
# Bits of the large factor's limbs: two do for fresh keys, three for sums of a thousand.
_FEW = (32, 32)
_MORE = (22, 21, 21)
# A float64 below 2^51 plus this is rounded to an integer, which its bits less _ROUNDER_BITS are.
_ROUNDER = 1.5 * 2.0**52
_ROUNDER_BITS = int(np.float64(_ROUNDER).view(np.uint64))


class SmallFactor:
    """A polynomial, int64 of shape (4096,), ready to multiply many others.

    InvalidInput for another shape or coefficients of 2^31 and more.
    """

    def __init__(self, coefficients: NDArray[np.int64]) -> None:
        if coefficients.shape != (DEGREE,) or coefficients.dtype != np.int64:
            raise InvalidInput(f"a ring element has {DEGREE} int64 coefficients")
        if np.any(coefficients >= LARGEST) or np.any(coefficients <= -LARGEST):
            raise InvalidInput("a small ring element has coefficients below 2^31")
        self.coefficients = coefficients
        spectrum = np.empty((1, 1, _HALF), dtype=np.complex128)
        _fold(coefficients[np.newaxis], spectrum[0])
        self._norm = float(np.sqrt(_squares(spectrum)).item())
        _forward(spectrum)
        self._spectrum = spectrum / _HALF
        typical = 2.0 ** (_FEW[0] - 1) * (DEGREE / 3) ** 0.5
        self._limbs = _FEW if typical * self._norm * _ERROR < _PROVABLE * 0.9 else _MORE
        # Memory that is written again costs half of memory that is new: the blocks' limbs, twice.
        self._values = np.empty((len(self._limbs), 0, _HALF), dtype=np.complex128)
        self._rounded = np.empty((len(self._limbs), 0, DEGREE))

    def times(self, large: Words) -> Words:
        """The products with each row of ``large`` (shape (blocks, 4096)), modulo 2^64.

        Not for two threads at once: calls share their working memory.
        """
        product, exact = self._times_float(large)
        for block in np.flatnonzero(~exact):
            product[block] = self.times_integer(large[block])
        return product

    def times_integer(self, large: Words) -> Words:
        """The product with one polynomial, by Kronecker substitution in slots of 128 bits.

        A slot holds 4096 * 2^64 * 2^31 < 2^128, so that none carries into the next.
        """
        positive, negative = (
            _low_words(_kronecker(large) * _kronecker(part.astype(np.uint64)))
            for part in (np.maximum(self.coefficients, 0), np.maximum(-self.coefficients, 0))
        )
        return np.asarray(positive - negative, dtype=np.uint64)

    def _times_float(self, large: Words) -> tuple[Words, NDArray[np.bool_]]:
        """The products, and for which blocks they are exact."""
        values, rounded = self._working_memory(len(large))
        _split(large, self._limbs, out=values)
        exact = np.sqrt(_squares(values)) * (self._norm * _ERROR) < _PROVABLE
        _forward(values)
        values *= self._spectrum
        _backward(values)
        # Below 2^46 where the bound holds; what is rounded wrong where it fails is redone.
        products = values.view(np.float64)
        np.add(products, _ROUNDER, out=rounded)
        total = _recombine(rounded.view(np.uint64), self._limbs)
        rounded -= _ROUNDER
        products -= rounded
        exact &= np.maximum(products.max(axis=-1), -products.min(axis=-1)) < _GUARD
        return _unfold(total), np.asarray(exact.all(axis=0))

    def _working_memory(self, blocks: int) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        limbs, held, _ = self._values.shape
        if held < blocks:
            self._values = np.empty((limbs, blocks, _HALF), dtype=np.complex128)
            self._rounded = np.empty((limbs, blocks, DEGREE))
        return self._values[:, :blocks], self._rounded[:, :blocks]


def _fold(rows: NDArray[np.int64], out: NDArray[np.complex128]) -> None:
    """p_j + i p_(j + n/2), shape (rows, n/2), of rows of n integers."""
    out.real = rows[:, :_HALF]
    out.imag = rows[:, _HALF:]


def _unfold(folded: Words) -> Words:
    """The coefficients in order, of shape (blocks, n), from their folded pairs."""
    pairs = folded.reshape(len(folded), _HALF, 2)
    out = np.empty_like(folded)
    out[:, :_HALF] = pairs[..., 0]
    out[:, _HALF:] = pairs[..., 1]
    return out


def _split(large: Words, widths: tuple[int, ...], *, out: NDArray[np.complex128]) -> None:
    """Signed limbs, low to high and folded, that add up to ``large`` modulo 2^64."""
    rest = large.view(np.int64)
    for width, limb in zip(widths[:-1], out, strict=False):
        up = np.int64(64 - width)
        low = rest << up
        low >>= up
        _fold(low, limb)
        # Half a limb more takes the borrow of a negative one; modulo 2^64 it drops at the top.
        rest = rest + np.int64(1 << (width - 1))
        rest >>= np.int64(width)
    _fold(rest, out[-1])


def _recombine(limbs: Words, widths: tuple[int, ...]) -> Words:
    """The sum, modulo 2^64, of limbs to which _ROUNDER was added."""
    shift, bits = 0, _ROUNDER_BITS
    total = limbs[0].copy()
    for width, limb in zip(widths, limbs[1:], strict=False):
        shift += width
        bits += _ROUNDER_BITS << shift
        total += limb << np.uint64(shift)
    total -= np.uint64(bits % 2**64)
    return np.asarray(total, dtype=np.uint64)


def _squares(values: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Sums of the squares of folded coefficients."""
    parts = values.view(np.float64)
    return np.asarray(np.vecdot(parts, parts), dtype=np.float64)


@cache
def _twist() -> NDArray[np.complex128]:
    angles = np.pi / DEGREE * np.arange(_HALF)
    return np.asarray(np.cos(angles) + 1j * np.sin(angles))


@cache
def _untwist() -> NDArray[np.complex128]:
    return np.conj(_twist())


def _forward(folded: NDArray[np.complex128]) -> None:
    """Evaluations at exp(i pi (4k + 1) / n), in place, of shape (..., n/2)."""
    folded *= _twist()
    np.fft.ifft(folded, axis=-1, norm="forward", out=folded)


def _backward(values: NDArray[np.complex128]) -> None:
    """The inverse of _forward, times n/2, in place."""
    np.fft.fft(values, axis=-1, out=values)
    values *= _untwist()


def _kronecker(words: Words) -> gmpy2.mpz:
    slots = np.zeros((DEGREE, 2), dtype="<u8")
    slots[:, 0] = words
    return gmpy2.mpz(int.from_bytes(slots.tobytes(), "little"))


def _low_words(product: gmpy2.mpz) -> Words:
    """Each slot modulo 2^64, with X^4096 = -1."""
    data = int(product).to_bytes(2 * DEGREE * 16, "little")
    words = np.frombuffer(data, dtype="<u8").reshape(2 * DEGREE, 2)[:, 0]
    return np.asarray(words[:DEGREE] - words[DEGREE:], dtype=np.uint64)
