"""Cohorts whose statistics are released under noise again and again, by a seed."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np

from federated.aggregation.vote_statistics import statistics_of
from federated.aggregation.votes import VoteLayout, nearest_point
from federated.privacy import discrete_laplace
from federated.wire.campaign import QUANTILES, Metric

from .test_votes import layout_of, metric

ALL = ("mean", "std", "median", "p10", "p25", "p75", "p90")


def measured(kind: str, count: int, rng: random.Random) -> list[float]:
    """Measurements within 1 to 1000: skewed like latencies, or in two groups."""
    if kind == "log":
        return [min(max(rng.lognormvariate(4.0, 0.9), 1.0), 1000.0) for _ in range(count)]
    middle = (300.0, 800.0)
    return [min(max(rng.gauss(rng.choice(middle), 60), 1.0), 1000.0) for _ in range(count)]


def case(kind: str, epsilon: float, count: int) -> VoteLayout:
    part = epsilon / 3
    one = metric(
        grid={"kind": kind, "points": 64, "bins": 16},
        statistics=list(ALL),
        split={"values": part, "squares": part, "histogram": part},
    )
    return layout_of(one, contributors=count)


def exact(values: list[float]) -> dict[str, float]:
    """What is estimated: the statistics of the measurements themselves."""
    quantiles = {name: float(np.quantile(values, p)) for name, p in QUANTILES.items()}
    return {"mean": float(np.mean(values)), "std": float(np.std(values)), **quantiles}


def release(layout: VoteLayout, values: list[float], shares: int, rng: random.Random):
    """The estimates of one release with ``shares`` Laplace shares, as trustees would draw them."""
    one: Metric = layout.metric
    vectors = [layout.points[nearest_point(one, value)] for value in values]
    sums = [sum(column) for column in zip(*vectors, strict=True)]
    for at, slot in enumerate(layout.slots):
        assert isinstance(slot.scale, Fraction)
        for _ in range(shares):
            sums[at] += discrete_laplace.sample(slot.scale, below=rng.randrange)
    return statistics_of(layout, sums, count=len(values), shares=shares)
