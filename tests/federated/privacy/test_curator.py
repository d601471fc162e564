"""The curator's statistics: sensitivities by exhaustive search, distributions, an outside oracle.

Random tests draw from a seed. Neighbours differ in one number, replaced by any other.
"""

from __future__ import annotations

import inspect
import math
import random
import secrets
from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.privacy import curator, discrete_laplace
from federated.privacy.bounds import STEPS, Bounds, PointGrid, linear_points, log_points
from tests.federated.privacy.test_bounds import ANY, public_bounds
from tests.untimed import UNTIMED

UNIT = Bounds(0.0, 1.0)


def neighbours(length, size):
    """All pairs of lists of whole numbers below ``size`` that differ in one place."""
    for values in product(range(size), repeat=length):
        for place in range(length):
            for other in range(size):
                yield values, (*values[:place], other, *values[place + 1 :])


# Sensitivities.


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_sensitivities_are_the_largest_change_on_a_small_grid(monkeypatch, length):
    monkeypatch.setattr(curator, "STEPS", 4)
    pairs = list(neighbours(length, 5))
    moved = max(abs(curator.total(a) - curator.total(b)) for a, b in pairs)
    assert moved == curator.total_sensitivity() == 4
    moved = max(abs(curator.spread(a) - curator.spread(b)) for a, b in pairs)
    assert moved == curator.spread_sensitivity(length) == (length - 1) * 16


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_a_points_utility_has_sensitivity_one(length):
    moved = max(
        abs(one - other)
        for a, b in neighbours(length, 4)
        for one, other in zip(curator.losses(a, 4), curator.losses(b, 4), strict=True)
    )
    assert moved == min(length, 2)  # twice the utility


@settings(UNTIMED, max_examples=50)
@given(public_bounds(), st.lists(ANY, min_size=1, max_size=30), ANY, st.data())
def test_neighbours_are_never_farther_apart_than_what_is_paid_for(bounds, values, other, data):
    place = data.draw(st.integers(0, len(values) - 1))
    changed = [*values[:place], other, *values[place + 1 :]]
    one, two = ([bounds.steps(value) for value in row] for row in (values, changed))
    assert abs(curator.total(one) - curator.total(two)) <= STEPS
    limit = curator.spread_sensitivity(len(values))
    assert abs(curator.spread(one) - curator.spread(two)) <= limit
    for grid in [linear_points(bounds)] + ([log_points(bounds)] if bounds.lower >= 0 else []):
        lost = [
            curator.losses([grid.index(value) for value in row], len(grid.points))
            for row in (values, changed)
        ]
        assert max(abs(a - b) for a, b in zip(*lost, strict=True)) <= 2
        assert min(lost[0]) == min(lost[1]) == 0


@UNTIMED
@given(st.lists(st.integers(0, STEPS), min_size=1, max_size=20))
def test_spread_is_the_variance_in_whole_steps(steps):
    n, middle = len(steps), Fraction(sum(steps), len(steps))
    assert curator.spread(steps) == n * sum((step - middle) ** 2 for step in steps)


def test_equal_measurements_far_from_zero_have_no_variance():
    """Sums of floats: the variance of 64 values at 2^50 moved by 8 times the sensitivity."""
    bounds = Bounds(2.0**50, 2.0**50 + 2.0**23)
    steps = [bounds.steps(2.0**50 + 4096) for _ in range(64)]
    assert curator.spread(steps) == 0


@pytest.mark.parametrize("steps", [[-1], [STEPS + 1], [0.5], [np.int64(1)]])
def test_steps_out_of_range_are_refused(steps):
    for statistic in (curator.total, curator.spread):
        with pytest.raises(InvalidInput, match="steps"):
            statistic(steps)
    with pytest.raises(InvalidInput, match="places"):
        curator.losses([3], 3)


# Releases.


def draws(release, values, *others, size, seed):
    rng = random.Random(seed)
    return [release(values, *others, below=rng.randrange) for _ in range(size)]


def test_the_systems_randomness_is_the_default():
    for release in (curator.mean, curator.std, curator.median):
        assert inspect.signature(release).parameters["below"].default is secrets.randbelow


def test_the_noise_of_a_mean_is_the_librarys_geometric_mechanism():
    mechanisms = pytest.importorskip("diffprivlib.mechanisms")
    values, epsilon, size = [0.5] * 4, Fraction(5), 4000
    oracle = mechanisms.Geometric(epsilon=5.0, sensitivity=STEPS, random_state=1)
    scale = 1 / (len(values) * STEPS)
    theirs = sorted((oracle.randomise(2 * STEPS)) * scale for _ in range(size))
    ours = sorted(draws(curator.mean, values, UNIT, epsilon, size=size, seed=2))
    sd = math.sqrt(discrete_laplace.variance(STEPS / 5)) * scale
    assert sd == pytest.approx(math.sqrt(2) / 20, rel=1e-6)
    for probability in (0.1, 0.25, 0.5, 0.75, 0.9):
        at = int(probability * size)
        assert ours[at] == pytest.approx(theirs[at], abs=0.15 * sd)
    assert np.std(ours) == pytest.approx(sd, rel=0.1)


def test_the_noise_of_a_deviation_is_that_of_its_sensitivity():
    values, epsilon, size = [0.0] * 2 + [1.0] * 2, Fraction(20), 3000
    found = np.array(draws(curator.std, values, UNIT, epsilon, size=size, seed=3)) ** 2
    scale = 3 / 4**2 / 20
    inside = np.abs(found - 0.25) < 0.25  # all but clamping at half the width
    assert inside.all()
    below = found[found < 0.25]
    assert np.mean(0.25 - below) == pytest.approx(scale, rel=0.1)


def test_the_median_is_the_exponential_mechanism():
    mechanisms = pytest.importorskip("diffprivlib.mechanisms")
    grid, epsilon, size = PointGrid((0.0, 1.0, 2.0, 3.0, 4.0)), 0.75, 20_000
    values = [0.0, 1.0, 1.0, 1.0, 3.0, 4.0]
    utility = [-lost / 2 for lost in curator.losses([grid.index(v) for v in values], 5)]
    assert utility == [-2.0, 0.0, -1.0, -1.0, -2.0]
    oracle = mechanisms.Exponential(epsilon=epsilon, sensitivity=1, utility=utility)
    expected = np.diff(oracle._probabilities, prepend=0.0)
    exact = np.exp(epsilon * np.array(utility) / 2)
    assert expected == pytest.approx(exact / exact.sum())
    found = Counter(draws(curator.median, values, grid, Fraction(epsilon), size=size, seed=4))
    statistic = sum(
        (found[point] - size * p) ** 2 / (size * p)
        for point, p in zip(grid.points, expected, strict=True)
    )
    assert statistic < 18.5  # chi-squared of 4 degrees: beyond 0.999


@pytest.mark.parametrize("count", [1, 2, 100, 5000])
@pytest.mark.parametrize("epsilon", [Fraction(1, 10**9), Fraction(1), Fraction(10)])
def test_a_median_takes_about_as_many_draws_as_there_are_points_at_most(count, epsilon):
    grid = linear_points(Bounds(0.0, 1000.0))
    rng, taken = random.Random(5), []

    def below(limit):
        taken.append(limit)
        return rng.randrange(limit)

    runs = 10
    for _ in range(runs):
        curator.median([42.0] * count, grid, epsilon, below=below)
    points = sum(limit == len(grid.points) for limit in taken)
    assert points < 4 * len(grid.points) * runs  # e^-28 of a worst case, and a seed
    assert len(taken) < 6 * points + 100


@pytest.mark.parametrize("epsilon", [Fraction(1, 10**9), Fraction(10**6)])
def test_answers_stay_within_the_bounds(epsilon):
    bounds = Bounds(5.0, 5.0 + 1e-6)
    values = [5.0, 5.0 + 1e-6, -3.0, 1e300]
    for _ in range(50):
        assert 5.0 <= curator.mean(values, bounds, epsilon) <= bounds.upper
        assert 5.0 <= curator.median(values, linear_points(bounds), epsilon) <= bounds.upper
        assert 0.0 <= curator.std(values, bounds, epsilon) <= (bounds.upper - 5.0) / 2 * 1.001


def test_much_epsilon_gives_the_statistics_of_the_clamped_values():
    bounds, epsilon = Bounds(-8.0, 8.0), Fraction(10**12)
    values = [-20.0, -3.25, 0.0, 1.5, 2.0, 7.0, 1e9]
    clamped = np.clip(values, -8, 8)
    step = 16 / STEPS
    assert curator.mean(values, bounds, epsilon) == pytest.approx(clamped.mean(), abs=step)
    assert curator.std(values, bounds, epsilon) == pytest.approx(clamped.std(), abs=step)
    middle = curator.median(values, linear_points(bounds), epsilon)
    assert middle == pytest.approx(np.median(clamped), abs=16 / 1023)


def test_one_number_has_no_deviation_and_takes_no_noise():
    assert {curator.std([0.3], UNIT, Fraction(1, 100)) for _ in range(20)} == {0.0}


def test_the_margin_is_the_95_percent_quantile_of_noise_and_rounding():
    epsilon, size = Fraction(1, 2), 4000
    margin = curator.mean_margin(5, UNIT, epsilon * 20)
    assert margin == pytest.approx(math.log(20) / 50, rel=1e-4)
    found = draws(curator.mean, [0.5] * 5, UNIT, epsilon * 20, size=size, seed=6)
    missed = sum(abs(mean - 0.5) > margin for mean in found)
    assert 150 < missed < 250  # 200 expected
    assert curator.mean_margin(1, UNIT, Fraction(1, 10**9)) == 1.0
    assert curator.mean_margin(10, UNIT, Fraction(10**12)) >= 0.5 / STEPS


@pytest.mark.parametrize("release", [curator.mean, curator.std])
def test_a_release_of_nothing_or_for_nothing_is_refused(release):
    with pytest.raises(InvalidInput, match="values"):
        release([], UNIT, Fraction(1))
    for epsilon in (Fraction(0), Fraction(-1), 1.0):
        with pytest.raises(InvalidInput, match="epsilon"):
            release([0.5], UNIT, epsilon)
        with pytest.raises(InvalidInput, match="epsilon"):
            curator.median([0.5], linear_points(UNIT), epsilon)
