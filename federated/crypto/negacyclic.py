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
        values = coefficients.astype(np.float64)
        self._norm = float(np.sqrt(np.dot(values, values)))
        self._spectrum = _forward(values[np.newaxis]) / _HALF
        typical = 2.0 ** (_FEW[0] - 1) * (DEGREE / 3) ** 0.5
        self._limbs = _FEW if typical * self._norm * _ERROR < _PROVABLE * 0.9 else _MORE

    def times(self, large: Words) -> Words:
        """The products with each row of ``large`` (shape (blocks, 4096)), modulo 2^64."""
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
        product = np.zeros_like(large)
        exact = np.ones(len(large), dtype=bool)
        shift = 0
        for limb in _split(large, self._limbs):
            norms = np.sqrt(np.einsum("bj,bj->b", limb, limb))
            exact &= norms * (self._norm * _ERROR) < _PROVABLE
            values = _forward(limb)
            values *= self._spectrum
            _backward(values, out=limb)
            rounded = np.rint(limb)
            np.subtract(limb, rounded, out=limb)
            exact &= np.maximum(limb.max(axis=1), -limb.min(axis=1)) < _GUARD
            # Out of int64's range only where the bound has failed already: those are redone.
            with np.errstate(invalid="ignore"):
                integers = rounded.astype(np.int64).view(np.uint64)
            product += integers << np.uint64(shift) if shift else integers
            shift += self._limbs[0] if shift == 0 else self._limbs[1]
        return product, exact


def _split(large: Words, widths: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Signed limbs, low to high, that add up to ``large`` modulo 2^64."""
    limbs: list[NDArray[np.float64]] = []
    rest = large.view(np.int64)
    for width in widths[:-1]:
        up = np.int64(64 - width)
        low = (rest << up) >> up
        limbs.append(low.astype(np.float64))
        # Arithmetic modulo 2^64: a borrow at the top is dropped, as it may be.
        rest = (rest - low) >> np.int64(width)
    limbs.append(rest.astype(np.float64))
    return limbs


@cache
def _twist() -> NDArray[np.complex128]:
    angles = np.pi / DEGREE * np.arange(_HALF)
    return np.asarray(np.cos(angles) + 1j * np.sin(angles))


@cache
def _untwist() -> NDArray[np.complex128]:
    return np.conj(_twist())


def _forward(rows: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Evaluations at exp(i pi (4k + 1) / n), shape (rows, n/2)."""
    folded = np.empty((len(rows), _HALF), dtype=np.complex128)
    folded.real = rows[:, :_HALF]
    folded.imag = rows[:, _HALF:]
    folded *= _twist()
    return np.fft.ifft(folded, axis=-1, norm="forward", out=folded)


def _backward(values: NDArray[np.complex128], *, out: NDArray[np.float64]) -> None:
    """The inverse of _forward, times n/2; ``values`` is overwritten."""
    np.fft.fft(values, axis=-1, out=values)
    values *= _untwist()
    out[:, :_HALF] = values.real
    out[:, _HALF:] = values.imag


def _kronecker(words: Words) -> gmpy2.mpz:
    slots = np.zeros((DEGREE, 2), dtype="<u8")
    slots[:, 0] = words
    return gmpy2.mpz(int.from_bytes(slots.tobytes(), "little"))


def _low_words(product: gmpy2.mpz) -> Words:
    """Each slot modulo 2^64, with X^4096 = -1."""
    data = int(product).to_bytes(2 * DEGREE * 16, "little")
    words = np.frombuffer(data, dtype="<u8").reshape(2 * DEGREE, 2)[:, 0]
    return np.asarray(words[:DEGREE] - words[DEGREE:], dtype=np.uint64)
