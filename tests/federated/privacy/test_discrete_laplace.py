"""The discrete Laplace sampler against its formula; the system's randomness by default."""

from __future__ import annotations

import inspect
import math
import random
import secrets
from collections import Counter
from fractions import Fraction

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.privacy.discrete_laplace import bernoulli_exp, sample, tail, variance
from tests.untimed import UNTIMED


def draws(scale, size, seed=1):
    rng = random.Random(seed)
    return [sample(Fraction(scale), below=rng.randrange) for _ in range(size)]


@pytest.mark.parametrize("scale", [Fraction(1, 3), Fraction(1), Fraction(7, 2)])
def test_frequencies_are_those_of_the_formula(scale):
    size = 4000
    found = Counter(draws(scale, size))
    p = math.exp(-1 / scale)
    statistic, seen, expected_seen = 0.0, 0, 0.0
    for x in range(-9, 10):
        expected = size * (1 - p) / (1 + p) * p ** abs(x)
        if expected >= 8:
            statistic += (found[x] - expected) ** 2 / expected
            seen += found[x]
            expected_seen += expected
    rest = size - expected_seen
    if rest >= 8:
        statistic += (size - seen - rest) ** 2 / rest
    assert statistic < 45  # chi-squared of at most 19 degrees: 45 is beyond 0.999


def test_mean_and_variance_of_a_wide_one():
    values = draws(Fraction(30_000), 4000)
    sd = math.sqrt(variance(30_000.0))
    assert abs(sum(values)) / 4000 < 4 * sd / math.sqrt(4000)
    assert sum(v * v for v in values) / 4000 == pytest.approx(sd**2, rel=0.15)
    assert sd == pytest.approx(math.sqrt(2) * 30_000, rel=1e-6)


def test_a_float_epsilon_is_taken_exactly():
    scale = 1 / Fraction(0.1)
    assert scale != 10
    assert all(isinstance(value, int) for value in (sample(scale) for _ in range(20)))


def test_the_systems_randomness_is_the_default():
    assert inspect.signature(sample).parameters["below"].default is secrets.randbelow


@pytest.mark.parametrize("scale", [Fraction(0), Fraction(-1)])
def test_a_scale_above_zero(scale):
    with pytest.raises(InvalidInput, match="scale"):
        sample(scale)


@pytest.mark.parametrize("gamma", [Fraction(0), Fraction(1, 3), Fraction(1), Fraction(5, 2)])
def test_an_exponential_probability_is_met(gamma):
    rng, size = random.Random(7), 20_000
    found = sum(bernoulli_exp(gamma, below=rng.randrange) for _ in range(size))
    p = math.exp(-gamma)
    assert abs(found - size * p) <= 4 * math.sqrt(size * p * (1 - p))


def test_a_tiny_probability_takes_few_draws():
    taken = []

    def below(limit):
        taken.append(limit)
        return secrets.randbelow(limit)

    # Each of 10^9 factors exp(-1) fails with 0.63: 60 in a row do not, once in 10^26 runs.
    assert not bernoulli_exp(Fraction(10**9), below=below)
    assert len(taken) < 2000
    with pytest.raises(InvalidInput, match="gamma"):
        bernoulli_exp(Fraction(-1))


@UNTIMED
@given(st.floats(2e-3, 1e100))
def test_the_variance_is_exact_to_float_precision(scale):
    with mpmath.workdps(150):
        p = mpmath.exp(-1 / mpmath.mpf(scale))
        exact = 2 * p / (1 - p) ** 2
        assert abs(mpmath.mpf(variance(scale)) - exact) <= exact * 1e-12


def test_the_variance_at_large_and_small_scales():
    assert variance(1e12) == pytest.approx(2e24, rel=1e-15)
    assert variance(1e-6) == 0.0
    assert variance(5e-324) == 0.0
    for scale in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InvalidInput, match="scale"):
            variance(scale)


@pytest.mark.parametrize("scale", [0.05, 0.7, 1.0, 33.0, 2.0**21, 2.0**24])
def test_the_variance_is_the_librarys(scale):
    geometric = pytest.importorskip("diffprivlib.mechanisms").Geometric
    oracle = geometric(epsilon=1 / scale, sensitivity=1).variance(0)
    # The library's own formula cancels at large scales.
    assert variance(scale) == pytest.approx(oracle, rel=1e-12 + 1e-15 * scale)


@UNTIMED
@given(st.fractions(Fraction(1, 50), 10**12), st.floats(1e-12, 0.5))
def test_a_tail_holds_all_but_its_probability(scale, probability):
    m = tail(scale, probability)
    with mpmath.workdps(60):
        p = mpmath.exp(-mpmath.mpf(scale.denominator) / scale.numerator)

        def beyond(limit):
            return 2 * p ** (limit + 1) / (1 + p)

        assert beyond(m) <= probability
        # What floats round off may cost a trillionth of the tail and one more.
        assert m == 0 or beyond(m - 2 - m // 10**11) > probability


@pytest.mark.parametrize(("scale", "p"), [(Fraction(0), 0.1), (Fraction(1), 0.0), (Fraction(1), 1)])
def test_a_tail_of_nothing_is_refused(scale, p):
    with pytest.raises(InvalidInput, match="scale, probability"):
        tail(scale, p)
