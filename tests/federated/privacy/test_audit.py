"""The empirical audit holds for the code as it is and finds halved noise; its intervals are right.

The noise comes from a seeded generator, so that a test's outcome does not depend on luck.
"""

import numpy as np
import pytest
from scipy import stats

from federated.errors import InvalidInput
from federated.privacy import discrete_gaussian
from federated.privacy.audit import clopper_pearson, lower_bound
from tests.bench.audit import audit, neighbours


def seeded(seed: int):
    source = np.random.Generator(np.random.PCG64(seed)).bytes
    return lambda sigma, size: discrete_gaussian.sample(sigma, size, source=source)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_bound_stays_under_the_claim(seed: int) -> None:
    found = audit(runs=100_000, share=seeded(seed))
    assert found.holds
    assert found.lower_bound > 0.3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_half_the_noise_is_found(seed: int) -> None:
    assert not audit(runs=200_000, scale=0.5, share=seeded(seed)).holds


def test_several_rounds_compose_under_the_claim() -> None:
    assert audit(rounds=5, runs=40_000, share=seeded(4)).holds


def test_neighbours_differ_in_one_record() -> None:
    whole, rest = neighbours(3)
    assert len(whole) == len(rest) + 1
    assert (whole.features[:-1] == rest.features).all()


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 50), (1, 50), (17, 50), (50, 50), (900, 1_000), (40, 200_000)]
)
def test_the_interval_is_that_of_scipy(successes: int, trials: int) -> None:
    exact = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    found = clopper_pearson(successes, trials, 0.025)
    assert found == pytest.approx((exact.low, exact.high), rel=1e-6, abs=1e-12)


def test_no_lucky_threshold_is_chosen() -> None:
    """Normal scores half a deviation apart: whatever the draws, most of what can be shown is."""
    rng = np.random.default_rng(1)
    mean = 0.4944**2 / 2
    shown = [
        lower_bound(
            rng.normal(mean, 0.4944, 100_000),
            rng.normal(-mean, 0.4944, 100_000),
            delta=1e-5,
            claimed=1.0,
        ).lower_bound
        for _ in range(40)
    ]
    assert min(shown) > 0.8
    assert np.median(shown) < 1.3


def test_inputs_that_cannot_be_told_apart_prove_nothing() -> None:
    rng = np.random.default_rng(5)
    same = [rng.normal(size=20_000) for _ in range(2)]
    assert lower_bound(*same, delta=1e-5, claimed=1.0).lower_bound < 0.1


@pytest.mark.parametrize(
    "call",
    [
        lambda: clopper_pearson(3, 2, 0.05),
        lambda: lower_bound(np.zeros(4), np.zeros(4), delta=1e-5, claimed=1.0),
    ],
)
def test_meaningless_counts_are_refused(call) -> None:
    with pytest.raises(InvalidInput, match=r"successes|runs"):
        call()
