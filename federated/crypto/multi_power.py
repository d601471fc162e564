"""Products of many powers at once: Straus, "Addition chains of vectors", 1964, and for hundreds of
bases the bucket method (Bernstein, Doumen, Lange and Oosterwijk, INDOCRYPT 2012, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gmpy2

_WINDOW = 4
# Bases whose squarings are shared; a table of 16 powers each bounds the memory.
_GROUP = 64
# From here on filling buckets takes fewer multiplications than tables do.
_BUCKETS_FROM = 256


def multi_power(bases: Sequence[int], exponents: Sequence[int], modulus: int) -> int:
    """The product of bases[i]**exponents[i] modulo ``modulus``; exponents are not negative.

    All powers share their squarings, so that an exponentiation of 128 bits costs about 45
    multiplications instead of 160, and about 15 with a thousand bases. Not in constant time: for
    public exponents only.
    """
    n = gmpy2.mpz(modulus)
    if len(bases) >= _BUCKETS_FROM:
        return int(_by_buckets(bases, exponents, n))
    product = gmpy2.mpz(1)
    for at in range(0, len(bases), _GROUP):
        part = _group(bases[at : at + _GROUP], exponents[at : at + _GROUP], n)
        product = product * part % n
    return int(product)


def _by_buckets(bases: Sequence[int], exponents: Sequence[int], n: Any) -> Any:
    """Window by window, bases with the same digit are multiplied before they are raised to it."""
    width = max(4, len(bases).bit_length() - 3)
    elements = [gmpy2.mpz(base) for base in bases]
    longest = max(exponent.bit_length() for exponent in exponents)
    mask = (1 << width) - 1
    product = gmpy2.mpz(1)
    for window in reversed(range(-(-longest // width))):
        buckets: list[Any] = [None] * (mask + 1)
        shift = width * window
        for element, exponent in zip(elements, exponents, strict=True):
            digit = (exponent >> shift) & mask
            if digit:
                held = buckets[digit]
                buckets[digit] = element if held is None else held * element % n
        product = gmpy2.powmod(product, mask + 1, n) * _weigh(buckets, n) % n
    return product


def _weigh(buckets: Sequence[Any], n: Any) -> Any:
    """prod(buckets[d]**d): running products from the highest digit down."""
    running = total = gmpy2.mpz(1)
    for held in reversed(buckets[1:]):
        if held is not None:
            running = running * held % n
        total = total * running % n
    return total


def _group(bases: Sequence[int], exponents: Sequence[int], n: Any) -> Any:
    tables = [_table(gmpy2.mpz(base), n) for base in bases]
    longest = max((exponent.bit_length() for exponent in exponents), default=0)
    product = gmpy2.mpz(1)
    for window in reversed(range(-(-longest // _WINDOW))):
        for _ in range(_WINDOW):
            product = product * product % n
        for table, exponent in zip(tables, exponents, strict=True):
            digit = (exponent >> (_WINDOW * window)) & ((1 << _WINDOW) - 1)
            if digit:
                product = product * table[digit] % n
    return product


def _table(base: Any, modulus: Any) -> list[Any]:
    powers = [gmpy2.mpz(1)]
    for _ in range((1 << _WINDOW) - 1):
        powers.append(powers[-1] * base % modulus)
    return powers
