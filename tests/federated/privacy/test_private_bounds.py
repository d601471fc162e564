"""Private bounds: bins of powers of two, and a threshold that empty bins do not exceed."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from itertools import pairwise

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.privacy import private_bounds
from federated.privacy.private_bounds import (
    _bin,
    _ends,
    find,
    histogram,
    numbers_needed,
    threshold,
)
from tests.untimed import UNTIMED


@UNTIMED
@given(st.floats(-1e15, 1e15, allow_subnormal=False))
def test_a_number_lies_in_its_bin(value):
    low, high = _ends(_bin(value))
    if value < 0:
        assert low <= value < high or value == pytest.approx(low)
    else:
        assert low <= value <= high


def test_bins_are_ordered_and_meet():
    ends = [_ends(at) for at in range(private_bounds._BINS)]
    assert all(a[1] == b[0] for a, b in pairwise(ends))
    assert (ends[0][0], ends[-1][1]) == (-(2.0**53), 2.0**53)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([100.0] * 400, (64.0, 128.0)),
        ([128.0] * 400, (64.0, 128.0)),
        ([-3.0] * 400 + [0.7] * 400, (-4.0, 1.0)),
        ([0.0] * 400, (0.0, 2.0**-40)),
        ([5.0] * 800 + [1e9], (4.0, 8.0)),  # one outlier does not show
    ],
)
def test_the_bounds_hold_what_stands_out(values, expected):
    assert find(values, 1.0, below=random.Random(1).randrange) == expected


def test_nothing_stands_out():
    below = random.Random(2).randrange
    assert find([], 1.0, below=below) is None
    assert find([math.ldexp(1.0, n) for n in range(-30, 50)], 0.5, below=below) is None


def test_less_epsilon_needs_more_numbers():
    assert threshold(0.5) == pytest.approx(2 * threshold(1.0), abs=2)
    assert numbers_needed(0.1) > 9 * numbers_needed(1.0)


@UNTIMED
@given(st.floats(1e-7, 10))
def test_the_threshold_is_what_an_empty_bin_exceeds_that_rarely(epsilon):
    limit = threshold(epsilon)
    assert isinstance(limit, int)
    assert limit == threshold(Fraction(epsilon))
    with mpmath.workdps(60):
        p = mpmath.exp(-mpmath.mpf(epsilon) / 2)
        exceeded = p ** (limit + 1) / (1 + p)
        others = private_bounds._BINS - 1
        assert 1 - (1 - exceeded) ** others <= private_bounds._FALSE_BIN


EXTREME = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.0**53, 2.0**53 + 2, 1e308]),
)


@UNTIMED
@given(st.lists(EXTREME, min_size=1, max_size=20), EXTREME)
def test_a_replaced_number_moves_two_counts_by_one(values, other):
    one, two = histogram(values), histogram([other, *values[1:]])
    assert sum(abs(a - b) for a, b in zip(one, two, strict=True)) in {0, 2}
    assert sum(one) == len(values)


@UNTIMED
@given(st.integers(-39, 53), st.booleans())
def test_bins_are_told_apart_to_the_last_bit(exponent, negative):
    sign = -1.0 if negative else 1.0
    end = math.ldexp(1.0, exponent)
    assert _bin(sign * end) != _bin(sign * math.nextafter(end, math.inf)) or exponent == 53
    assert _bin(sign * end) == _bin(sign * math.nextafter(end, 0.0))


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.inf, math.nan])
def test_an_epsilon_that_is_none_is_refused(epsilon):
    for call in (threshold, numbers_needed, lambda e: find([1.0], e)):
        with pytest.raises(InvalidInput, match="epsilon"):
            call(epsilon)
