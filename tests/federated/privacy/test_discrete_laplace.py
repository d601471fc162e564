"""The discrete Laplace sampler against its formula; the system's randomness by default."""

from __future__ import annotations

import inspect
import math
import random
import secrets
from collections import Counter
from fractions import Fraction

import pytest

from federated.errors import InvalidInput
from federated.privacy.discrete_laplace import sample, variance


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
