"""Public bounds: which are refused, and that values become the same integers on every machine."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.privacy.bounds import (
    POINTS,
    STEPS,
    Bounds,
    PointGrid,
    linear_points,
    log_points,
)
from tests.untimed import UNTIMED

LIMIT = 2.0**100
ANY = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**308), 10**308).map(float),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.0**53, 2.0**53 + 2, 1e308, -1e308]),
)


@st.composite
def public_bounds(draw) -> Bounds:
    """Any that are allowed: wide ones, ones far from 0, ones at the edge of what floats hold."""
    far = math.ldexp(draw(st.floats(1.0, 2.0)), draw(st.integers(-99, 99)))
    spacings = math.ldexp(draw(st.floats(1.0, 2.0)), draw(st.integers(24, 54)))
    width = min(max(spacings * math.ulp(far), 2.0**-99), 2 * far)
    near = far - width
    return Bounds(near, far) if draw(st.booleans()) else Bounds(-far, -near)


@pytest.mark.parametrize(
    ("lower", "upper", "reason"),
    [
        (3.0, 3.0, "lower 3 is not below upper 3"),
        (2.0**50, 2.0**50 + 1, "floats near 1.1259e.15 are 0.25 apart"),
        (1.7e18, 1.7e18 + 2048, "256 apart, too coarse"),
        (-1e308, 1e308, "at most 1.27e.30"),
        (0.0, 1e308, "at most 1.27e.30"),
        (0.0, 5e-324, "too close"),
        (-5e-324, 5e-324, "too close"),
        (1.0, math.nextafter(1.0, 2.0), "too coarse"),
        (math.nan, 1.0, "not below"),
    ],
)
def test_bounds_that_floats_cannot_resolve_are_refused(lower, upper, reason):
    with pytest.raises(InvalidInput, match=reason):
        Bounds(lower, upper)


def test_the_rule_is_two_to_the_24_spacings():
    spacing = math.ulp(2.0**50)
    Bounds(2.0**50, 2.0**50 + STEPS * spacing)
    with pytest.raises(InvalidInput, match="2\\^24 spacings"):
        Bounds(2.0**50, 2.0**50 + (STEPS - 1) * spacing)
    for lower, upper in ((0.0, 2.0**-100), (-LIMIT, LIMIT), (1.6e9, 1.6e9 + 86_400)):
        Bounds(lower, upper)


@UNTIMED
@given(public_bounds(), ANY)
def test_a_value_becomes_its_nearest_step(bounds, value):
    step = bounds.steps(value)
    assert isinstance(step, int)
    assert 0 <= step <= STEPS
    inside = Fraction(bounds.clamp(value))
    exact = (inside - Fraction(bounds.lower)) / bounds.width * STEPS
    assert abs(exact - step) <= Fraction(1, 2)


@UNTIMED
@given(public_bounds(), ANY, ANY)
def test_steps_keep_the_order(bounds, one, other):
    low, high = min(one, other), max(one, other)
    assert bounds.steps(low) <= bounds.steps(high)


@UNTIMED
@given(public_bounds(), st.fractions())
def test_a_value_of_steps_is_within_the_bounds(bounds, steps):
    assert bounds.lower <= bounds.value(steps) <= bounds.upper
    assert bounds.value(Fraction(0)) == bounds.lower
    assert bounds.value(Fraction(STEPS)) == bounds.upper


@settings(UNTIMED, max_examples=30)
@given(public_bounds())
def test_points_ascend_from_bound_to_bound(bounds):
    grids = [linear_points(bounds)]
    if bounds.lower >= 0:
        grids.append(log_points(bounds))
    for grid in grids:
        assert (grid.points[0], grid.points[-1]) == (bounds.lower, bounds.upper)
        assert all(a < b for a, b in pairwise(grid.points))
        assert 2 <= len(grid.points) <= POINTS
        assert [grid.index(point) for point in grid.points] == list(range(len(grid.points)))


@UNTIMED
@given(st.sampled_from([linear_points, log_points]), st.floats(0, 1000), ANY)
def test_a_value_is_put_at_a_nearest_point(points, inside, anywhere):
    grid = points(Bounds(0.0, 1000.0))
    at = grid.index(inside)
    distance = abs(Fraction(inside) - Fraction(grid.points[at]))
    # The borders between points are floats: a value may lie one rounding beyond the middle.
    slack = Fraction(math.ulp(1000.0))
    beside = grid.points[max(at - 1, 0) : at + 2]
    nearest = min(abs(Fraction(inside) - Fraction(point)) for point in beside)
    assert distance <= nearest + 2 * slack
    assert 0 <= grid.index(anywhere) < len(grid.points)


def test_a_logarithmic_grid_is_fine_among_small_values():
    linear, log = linear_points(Bounds(0.0, 1e5)), log_points(Bounds(0.0, 1e5))
    assert len(log.points) == len(linear.points) == POINTS
    assert sum(point < 10 for point in log.points) > 100 > sum(p < 10 for p in linear.points)
    ratios = [(b + 1) / (a + 1) for a, b in pairwise(log.points)]
    assert max(ratios) == pytest.approx(min(ratios), rel=1e-9)
    with pytest.raises(InvalidInput, match="lower bound of 0"):
        log_points(Bounds(-1.0, 1.0))


@pytest.mark.parametrize("points", [(), (1.0,), (1.0, 1.0), (2.0, 1.0), (0.0,) * (POINTS + 1)])
def test_points_that_are_no_grid_are_refused(points):
    with pytest.raises(InvalidInput, match="points"):
        PointGrid(points)
