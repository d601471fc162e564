"""Intervals from noisy counts hold what exact counts would give, as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from federated.training.estimates import Estimate, auc, cleaned, count, ratio

RUNS = 400
# 95% of 400 runs within 4 standard deviations of a binomial.
LEAST = 0.95 - 4 * (0.95 * 0.05 / RUNS) ** 0.5


def table(records: int, positive: float, apart: float, seed: int = 5) -> np.ndarray:
    """Exact counts [class, bin] of scores of two normal classes."""
    rng = np.random.default_rng(seed)
    ones = round(records * positive)
    counts = []
    for number, centre in ((records - ones, -apart / 2), (ones, apart / 2)):
        scores = 1 / (1 + np.exp(-rng.normal(centre, 1, number)))
        counts.append(np.bincount(np.minimum((8 * scores).astype(int), 7), minlength=8))
    return np.array(counts, dtype=np.float64)


def coverage(exact: float, draw) -> float:
    rng = np.random.default_rng(11)
    found: list[Estimate] = [draw(rng) for _ in range(RUNS)]
    return sum(e.low <= exact <= e.high for e in found) / RUNS


def test_without_noise_the_area_is_that_of_the_binned_scores() -> None:
    exact = table(300, 0.4, 1.5)
    scores = np.repeat(np.tile(np.arange(8), 2), exact.reshape(-1).astype(int))
    target = np.repeat([0, 1], exact.sum(axis=1).astype(int))
    found = auc(exact[0], exact[1], 0.0)
    assert found.value == pytest.approx(roc_auc_score(target, scores))
    assert found.low <= found.value <= found.high <= found.low + 0.0021


@pytest.mark.parametrize(
    ("records", "positive", "apart", "sigma"),
    [(276, 0.55, 1.7, 2.0), (276, 0.55, 1.7, 11.0), (276, 0.9, 1.7, 5.5), (2000, 0.3, 3.0, 5.5)],
)
def test_the_interval_of_an_area_covers_it(
    records: int, positive: float, apart: float, sigma: float
) -> None:
    exact = table(records, positive, apart)
    true = auc(exact[0], exact[1], 0.0).value
    assert true is not None

    def draw(rng: np.random.Generator) -> Estimate:
        return auc(*(exact + rng.normal(0, sigma, exact.shape)), sigma)

    assert coverage(true, draw) >= LEAST


def test_an_interval_that_ignores_the_noise_would_not_cover() -> None:
    # What the coverage test can see: half the noise is claimed.
    exact = table(276, 0.55, 1.7)
    true = auc(exact[0], exact[1], 0.0).value
    assert true is not None

    def draw(rng: np.random.Generator) -> Estimate:
        return auc(*(exact + rng.normal(0, 5.5, exact.shape)), 5.5 / 2)

    assert coverage(true, draw) < LEAST


@pytest.mark.parametrize("sigma", [2.0, 15.0])
def test_the_interval_of_a_share_covers_it(sigma: float) -> None:
    exact = table(276, 0.55, 1.7)
    right = np.zeros_like(exact)
    right[0, :4] = right[1, 4:] = 1.0
    everything = np.ones_like(exact)
    true = float((right * exact).sum() / exact.sum())

    def draw(rng: np.random.Generator) -> Estimate:
        noisy = exact + rng.normal(0, sigma, exact.shape)
        return ratio(right, everything, noisy, sigma, most=1.0)

    assert coverage(true, draw) >= LEAST
    assert coverage(float(exact.sum()), lambda rng: count(
        exact + rng.normal(0, sigma, exact.shape), sigma
    )) >= LEAST  # fmt: skip


def test_the_estimate_of_an_area_is_not_biased_toward_one_half() -> None:
    exact = table(276, 0.55, 1.7)
    true = auc(exact[0], exact[1], 0.0).value
    rng = np.random.default_rng(2)
    noisy = [exact + rng.normal(0, 5.5, exact.shape) for _ in range(RUNS)]
    values = [auc(*cells, 5.5).value for cells in noisy]
    first_cleaned = [auc(*(cleaned(row) for row in cells), 5.5).value for cells in noisy]
    assert abs(np.mean(values) - true) < 0.01 < abs(np.mean(first_cleaned) - true)


def test_noise_that_leaves_every_value_possible_leaves_none() -> None:
    cells = np.array([[2.0, -9.0], [4.0, 7.0]])
    assert auc(*cells, 20.0) == Estimate(None, 0.0, 1.0)
    assert ratio(np.eye(2), np.ones((2, 2)), cells, 20.0, most=1.0) == Estimate(None, 0.0, 1.0)


def test_one_class_leaves_the_area_undefined() -> None:
    found = auc(np.array([-3.0, 1.0]), np.array([20.0, 30.0]), 2.0)
    assert found == Estimate(None, 0.0, 1.0)


def test_shown_counts_are_not_negative_and_keep_the_sum() -> None:
    noisy = np.array([[10.0, -4.0], [3.0, 0.5]])
    shown = cleaned(noisy)
    assert shown.min() == 0 and shown.sum() == pytest.approx(noisy.sum())
    assert shown[0, 0] > shown[1, 0]
    assert not cleaned(np.array([-2.0, 1.0])).any()
