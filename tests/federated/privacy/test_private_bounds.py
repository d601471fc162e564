"""Private bounds: bins of powers of two, and a threshold that empty bins do not exceed."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.privacy import discrete_laplace, private_bounds
from federated.privacy.private_bounds import _bin, _ends, find, numbers_needed, threshold

SAMPLE = discrete_laplace.sample


@pytest.fixture(autouse=True)
def seeded_noise(monkeypatch):
    """An empty bin stands out once in a million runs, so the noise is the same in every run."""
    monkeypatch.setattr(discrete_laplace, "sample", partial(SAMPLE, below=Random(1).randrange))


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
    assert find(values, 1.0) == expected


def test_nothing_stands_out():
    assert find([], 1.0) is None
    assert find([math.ldexp(1.0, n) for n in range(-30, 50)], 0.5) is None


def test_less_epsilon_needs_more_numbers():
    assert threshold(0.5) == pytest.approx(2 * threshold(1.0))
    assert numbers_needed(0.1) > 9 * numbers_needed(1.0)
