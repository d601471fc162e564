"""Products of integers in floats, sums in a fixed order, exp and tanh from elementary steps."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from federated.training.pointwise import exp_of_negative, sigmoid, tanh
from federated.training.products import product, row_sum

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 5))
quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def same(one, other):
    """Equal bits, but for the sign of zero and the payload of NaN."""
    return np.array_equal(one, other, equal_nan=True)


@quick
@given(data=st.data(), shape=SHAPES)
def test_an_entry_follows_from_its_row_and_column_alone(data, shape):
    rows, inner, columns = shape
    any_float = st.floats(allow_nan=True, allow_infinity=True)
    left = data.draw(hnp.arrays(np.float64, (rows, inner), elements=any_float))
    right = data.draw(hnp.arrays(np.float64, (inner, columns), elements=any_float))
    whole = product(left, right)
    for row in range(rows):
        for column in range(columns):
            alone = product(left[row : row + 1], right[:, column : column + 1])
            assert same(alone[0, 0], whole[row, column])
    stacked = product(np.stack([left[::-1], left]), np.stack([right, right]))
    assert same(stacked[1], whole) and same(stacked[0][::-1], whole)
    assert same(product(np.asfortranarray(left), np.ascontiguousarray(right.T).T), whole)


@pytest.mark.parametrize("inner", [1, 2, 3, 24, 65, 1024, 65_536])
@pytest.mark.parametrize("spread", [0, 30])
def test_a_product_is_within_its_stated_error(inner, spread):
    generator = np.random.default_rng(inner)
    left, right = (
        generator.normal(size=(inner,)) * 2.0 ** generator.uniform(-spread, 0, inner)
        for _ in range(2)
    )
    found = product(left[None], right[:, None])[0, 0]
    exact = sum(Fraction(a) * Fraction(b) for a, b in zip(left, right, strict=True))
    bits = math.floor((53 - math.log2(inner)) / 2)
    allowed = 1.25 * inner * 2.0 ** (-2 * bits) * np.abs(left).max() * np.abs(right).max()
    assert abs(Fraction(found) - exact) <= allowed + 2.0**-52 * abs(float(exact))


def test_the_largest_integers_of_the_largest_layer_are_added_exactly():
    # All entries just below a power of two: whole parts of 2^18 - 1 or 2^18, 65,536 of them.
    ones = np.full((1, 65_536), np.nextafter(1.0, 0))
    assert product(ones, ones.T)[0, 0] == 65_536.0


def test_no_column_and_no_row_give_zeros():
    assert product(np.zeros((2, 0)), np.zeros((0, 3))).tolist() == [[0] * 3] * 2
    assert product(np.zeros((0, 4)), np.ones((4, 3))).shape == (0, 3)
    assert row_sum(np.zeros((2, 0))).tolist() == [0, 0]


@quick
@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 40)), elements=st.floats())
)
def test_a_rows_sum_follows_from_that_row_alone(rows):
    with np.errstate(all="ignore"):
        whole = row_sum(rows)
        for place, row in enumerate(rows):
            assert same(row_sum(row[None])[0], whole[place])
        assert same(row_sum(np.asfortranarray(rows)), whole)


VALUES = np.concatenate(
    [
        np.linspace(-745, 745, 4001),
        np.linspace(-1.5, 1.5, 4001),
        *(sign * np.logspace(-300, 2.8, 500) for sign in (1, -1)),
    ]
)


def test_exp_and_tanh_are_accurate():
    for value, found in zip(VALUES, tanh(VALUES), strict=True):
        assert found == pytest.approx(math.tanh(value), rel=1e-15, abs=0)
    negative = -np.abs(VALUES)
    for value, found in zip(negative, exp_of_negative(negative), strict=True):
        assert found == pytest.approx(math.exp(max(value, -708.0)), rel=1e-15, abs=0)


def test_the_ends_of_the_range_and_nan_have_their_values():
    ends = np.array([np.inf, -np.inf, np.nan, 1e308, -1e308, 0.0])
    assert same(tanh(ends), [1, -1, np.nan, 1, -1, 0])
    assert same(sigmoid(ends).round(300), [1, 0, np.nan, 1, 0, 0.5])


@pytest.mark.parametrize("function", [tanh, sigmoid, lambda x: exp_of_negative(-np.abs(x))])
def test_a_value_gives_the_same_bits_in_every_place(function):
    whole = function(VALUES)
    for start, step in [(1, 1), (3, 1), (0, 2), (1, 3), (5, 7)]:
        assert same(function(VALUES[start::step]), whole[start::step])
    some = range(0, len(VALUES), 97)
    assert same([function(VALUES[place : place + 1])[0] for place in some], whole[some])
    grid = np.asfortranarray(VALUES[:9000].reshape(90, 100))
    assert same(function(grid), whole[:9000].reshape(90, 100))
