"""Statistics of noisy votes: right without noise, and intervals that cover."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.aggregation.vote_statistics import PERCENTILES_FROM, _isotonic, statistics_of
from federated.aggregation.votes import nearest_point

from .test_votes import layout_of, metric
from .vote_cases import ALL, case, exact, measured, release

RUNS = 60


@pytest.mark.parametrize("kind", ["log", "linear"])
@pytest.mark.parametrize(("count", "epsilon"), [(6, 1.0), (60, 1.0), (200, 3.0)])
def test_intervals_cover(kind, count, epsilon):
    """make bench-privacy does it with 1,000 runs a case."""
    layout, covered, given_ = case(kind, epsilon, count), Counter(), Counter()
    for run in range(RUNS):
        rng = random.Random(run)
        values = measured(kind, count, rng)
        truth = exact(values)
        for name, estimate in release(layout, values, 3, rng).items():
            given_[name] += 1
            covered[name] += estimate.lower <= truth[name] <= estimate.upper
            assert estimate.lower <= estimate.value <= estimate.upper
    assert set(given_) == set(ALL if count >= PERCENTILES_FROM else ("mean", "std", "median"))
    for name in given_:
        assert covered[name] >= 0.93 * RUNS, name


@pytest.mark.parametrize("kind", ["log", "linear"])
def test_with_much_privacy_to_spend_the_statistics_are_right(kind):
    layout = case(kind, 300.0, 200)
    rng = random.Random(3)
    values = measured(kind, 200, rng)
    truth = exact(values)
    found = release(layout, values, 3, rng)
    assert found["mean"].value == pytest.approx(truth["mean"], rel=0.03)
    assert found["std"].value == pytest.approx(truth["std"], rel=0.06)
    for name in ("p10", "p25", "median", "p75", "p90"):
        # Within the bins that the votes fall into: 1/16 of the range, or a ratio of 1.54.
        slack = 65 if kind == "linear" else 0.54 * truth[name]
        assert abs(found[name].value - truth[name]) <= slack, name


def test_more_privacy_to_spend_makes_narrower_intervals():
    rng = random.Random(4)
    values = measured("linear", 100, rng)
    widths = []
    for epsilon in (0.5, 2.0, 8.0):
        found = release(case("linear", epsilon, 100), values, 3, random.Random(1))
        widths.append({name: e.upper - e.lower for name, e in found.items()})
    for name in ALL:
        assert widths[0][name] >= widths[1][name] >= widths[2][name]
    assert widths[0]["mean"] > 3 * widths[2]["mean"]


@given(
    sums=st.lists(st.integers(-(10**9), 10**9), min_size=6, max_size=6),
    count=st.integers(3, 1000),
)
@settings(max_examples=100, deadline=None)
def test_any_noise_gives_statistics_within_the_bounds(sums, count):
    one = metric()
    layout = layout_of(one, contributors=1000)
    found = statistics_of(layout, sums, count=count, shares=3)
    for name, estimate in found.items():
        low, high = (0.0, 499.5) if name == "std" else (one.lower, one.upper)
        assert low <= estimate.lower <= estimate.value <= estimate.upper <= high


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=12))
def test_isotonic_regression_rises_within_its_ends(values):
    flat = _isotonic([0.0, *values, 20.0], 20.0)
    assert len(flat) == len(values) + 2
    assert flat[0] == 0.0 and flat[-1] == 20.0
    assert flat == sorted(flat)


def test_isotonic_regression_keeps_what_rises_already():
    assert _isotonic([0.0, 1.0, 4.0, 7.0], 7.0) == [0.0, 1.0, 4.0, 7.0]
    assert _isotonic([0.0, 5.0, 3.0, 9.0], 9.0) == [0.0, 4.0, 4.0, 9.0]


def test_one_statistic_needs_its_own_sum_only():
    only = metric(statistics=["mean"], split={"values": 1.0})
    layout = layout_of(only)
    assert [slot.kind for slot in layout.slots] == ["values"]
    votes = [nearest_point(only, value) for value in (10.0, 100.0, 500.0)]
    sums = [sum(layout.points[vote][0] for vote in votes)]
    assert set(statistics_of(layout, sums, count=3, shares=3)) == {"mean"}
