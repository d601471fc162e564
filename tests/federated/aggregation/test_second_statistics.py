"""Statistics written twice, once from the page alone, are the same."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from federated.aggregation.vote_statistics import statistics_of
from federated.aggregation.votes import GAUSSIAN_WEIGHT
from federated.wire.campaign import grid_points
from tests.second_verifier_statistics import statistics

from .vote_cases import ALL, case, measured


def sums_of(layout, count: int, rng: random.Random) -> list[int]:
    """Votes and noise of any size; a few sums are far out, as noise may make them."""
    values = measured("log", count, rng)
    bins = layout.metric.grid.bins
    out = []
    for at, slot in enumerate(layout.slots):
        truth = sum(v % bins == at for v in map(int, values)) * layout.weight
        far = rng.choice((0.1, 1, 1, 30))
        out.append(truth + round(rng.gauss(0, float(slot.scale) * 2 * far)))
    return out


@pytest.mark.parametrize("kind", ["linear", "log"])
@pytest.mark.parametrize("noise", ["laplace", "gaussian"])
@pytest.mark.parametrize("count", [4, 49, 50, 200])
def test_both_give_the_same_three_numbers(kind, noise, count):
    rng = random.Random(f"{kind}/{noise}/{count}")
    layout = case(kind, rng.choice((0.5, 2.0, 8.0)), count)
    if noise == "gaussian":
        slots = tuple(replace(s, scale=float(s.scale)) for s in layout.slots)
        layout = replace(layout, slots=slots, weight=GAUSSIAN_WEIGHT)
    xs = list(grid_points(layout.metric))
    for _ in range(40):
        sums, shares = sums_of(layout, count, rng), rng.choice((2, 3, 5))
        ours = statistics_of(layout, sums, count=count, shares=shares)
        slots = [(s.kind, s.sensitivity, float(s.scale)) for s in layout.slots]
        theirs = statistics(layout.metric.dump(), xs, slots, sums, count, shares, layout.weight)
        assert set(theirs) == set(ours) == set(ALL if count >= 50 else ("mean", "std", "median"))
        for name, three in theirs.items():
            assert three == pytest.approx(ours[name].dump(), rel=1e-9, abs=1e-12), name
