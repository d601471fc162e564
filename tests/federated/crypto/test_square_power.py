import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.crypto.square_power import square_power
from federated.errors import InvalidInput


@given(st.integers(3, 2**96), st.integers(0, 2**200), st.integers(0, 2**300))
@settings(max_examples=200, deadline=None)
def test_it_is_the_power_modulo_the_square(n, base, exponent):
    assert square_power(base, exponent, n) == pow(base, exponent, n * n)


@pytest.mark.parametrize("exponent", [0, 1, 2, 63, 64, 65, 2**64 - 1, 2**64])
def test_exponents_at_the_ends_of_windows(exponent):
    n = (1 << 61) - 1
    assert square_power(12345678901234567890, exponent, n) == pow(
        12345678901234567890, exponent, n * n
    )


def test_a_negative_exponent_is_refused():
    with pytest.raises(InvalidInput, match="negative"):
        square_power(2, -1, 15)
