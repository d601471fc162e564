from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.crypto.multi_power import multi_power

MODULUS = (2**127 - 1) * (2**89 - 1)
PAIRS = st.lists(st.tuples(st.integers(0, MODULUS), st.integers(0, 2**130)), max_size=70)


@given(PAIRS)
@settings(max_examples=40, deadline=None)
def test_the_product_of_the_powers(pairs):
    bases, exponents = [b for b, _ in pairs], [e for _, e in pairs]
    expected = prod((pow(b, e, MODULUS) for b, e in pairs), start=1) % MODULUS
    assert multi_power(bases, exponents, MODULUS) == expected


def test_lists_of_different_lengths_are_a_mistake():
    with pytest.raises(ValueError, match="zip"):
        multi_power([2, 3], [1], MODULUS)
