"""Powers modulo n^2 from numbers modulo n: Paillier's own modulus is a square.

x = a + b n is kept as (a, b), both below n. With a^2 = q n + r, modulo n^2 the square is
x^2 = r + (q + 2 a b mod n) n: two products and two reductions of half the length, a third cheaper
than those of n^2.
"""

from __future__ import annotations

from typing import Any

import gmpy2

from federated.errors import InvalidInput

_WINDOW = 6

Pair = tuple[Any, Any]


def square_power(base: int, exponent: int, n: int) -> int:
    """``base`` to ``exponent`` modulo n^2, by sliding windows of 6 bits.

    Not in constant time, as gmpy2.powmod is not. InvalidInput for a negative exponent.
    """
    if exponent < 0:
        raise InvalidInput("exponent: a negative one is not allowed")
    modulus = gmpy2.mpz(n)
    high, low = gmpy2.f_divmod(gmpy2.mpz(base), modulus)
    x = (low, high % modulus)
    powers = _odd_powers(x, modulus)
    bits = f"{exponent:b}"
    result: Pair = (gmpy2.mpz(1) % modulus, gmpy2.mpz(0))
    at = 0
    while at < len(bits):
        window = bits[at : at + _WINDOW].rstrip("0") if bits[at] == "1" else "0"
        result = _squared(result, len(window), modulus)
        if window != "0":
            result = _product(result, powers[int(window, 2) >> 1], modulus)
        at += len(window)
    return int(result[0] + result[1] * modulus)


def _odd_powers(x: Pair, n: Any) -> list[Pair]:
    """x, x^3, x^5, ... as far as a window reaches."""
    square, powers = _squared(x, 1, n), [x]
    for _ in range((1 << (_WINDOW - 1)) - 1):
        powers.append(_product(powers[-1], square, n))
    return powers


def _squared(x: Pair, times: int, n: Any) -> Pair:
    a, b = x
    for _ in range(times):
        q, r = gmpy2.f_divmod(a * a, n)
        b = ((a + a) * b + q) % n
        a = r
    return a, b


def _product(x: Pair, y: Pair, n: Any) -> Pair:
    q, r = gmpy2.f_divmod(x[0] * y[0], n)
    return r, (q + x[0] * y[1] + x[1] * y[0]) % n
