"""Products of many powers at once (Straus, "Addition chains of vectors", 1964)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gmpy2

_WINDOW = 4
# Bases whose squarings are shared; a table of 16 powers each bounds the memory.
_GROUP = 64


def multi_power(bases: Sequence[int], exponents: Sequence[int], modulus: int) -> int:
    """The product of bases[i]**exponents[i] modulo ``modulus``; exponents are not negative.

    All powers share their squarings, so that an exponentiation of 128 bits costs about 45
    multiplications instead of 160. Not in constant time: for public exponents only.
    """
    n = gmpy2.mpz(modulus)
    product = gmpy2.mpz(1)
    for at in range(0, len(bases), _GROUP):
        part = _group(bases[at : at + _GROUP], exponents[at : at + _GROUP], n)
        product = product * part % n
    return int(product)


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
