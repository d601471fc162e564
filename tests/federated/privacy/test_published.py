"""The accountant against numbers and bounds that others have published.

Sources: the tests of dp-accounting 0.6.0 (Google), named beside each number; diffprivlib 0.6.6
(IBM); and the papers named. The moments accountant's well known example (Abadi et al. 2016: q 0.01,
sigma 4, 10,000 steps, epsilon 1.26 at delta 1e-5) is one of subsampling, which nothing here has; it
is used to show that full batches are not charged as if they were subsampled.
"""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from federated.privacy.accountant import (
    epsilon_to_rho,
    pure_epsilon_to_rho,
    rho_to_epsilon,
    round_rho,
)
from federated.privacy.composition import (
    GaussianCharge,
    PureCharge,
    _gaussian_delta,
    _renyi,
    advanced_epsilon,
    compare,
    gaussian_epsilon,
    pld_epsilon,
)


def gaussian(sigma: float, sensitivity: float = 1.0) -> float:
    """rho of the Gaussian mechanism (arXiv 1605.02065, proposition 1.6)."""
    return sensitivity**2 / (2 * sigma**2)


@pytest.mark.parametrize(
    ("sigma", "sensitivity", "epsilon", "delta"),
    [
        (1.0, 1.0, 1.0, 0.12693674),
        (1.0, 3.0, 1.0, 0.78760074),
        (2.0, 6.0, 1.0, 0.78760074),
        (1.0, 1.0, 2.0, 0.02092364),
        (5.0, 5.0, 2.0, 0.02092364),
        (1.0, 1.0, 0.0, 0.38292492),
        (1.0, 1.0, -1.0, 0.67881797),
        (1.0, 1.0, -2.0, 0.86749642),
    ],
)
def test_delta_of_the_gaussian(sigma, sensitivity, epsilon, delta) -> None:
    """pld/privacy_loss_mechanism_test.py: test_gaussian_get_delta_for_epsilon, and _vectorized."""
    assert _gaussian_delta(sensitivity / sigma, epsilon) == pytest.approx(delta, abs=1e-8)
    if epsilon > 0:
        found = gaussian_epsilon(gaussian(sigma, sensitivity), delta)
        assert found == pytest.approx(epsilon, abs=1e-6)


@pytest.mark.parametrize(
    ("sigma", "epsilon", "delta"), [(0.344, 16.0, 1e-5), (1.0, 2.0, 0.020923636)]
)
def test_sigma_of_the_gaussian(sigma, epsilon, delta) -> None:
    """pld/privacy_loss_mechanism_test.py: test_gaussian_from_privacy_parameters (3 digits)."""
    assert gaussian_epsilon(gaussian(sigma), delta) == pytest.approx(epsilon, rel=2e-3)


def test_25_gaussian_queries() -> None:
    """pld/accountant_test.py: sensitivity 6 and sigma 10 are (1, 0.78760074) 25 times."""
    charge = GaussianCharge(gaussian(10.0, 6.0), 25)
    assert pld_epsilon([charge], 0.78760074) == pytest.approx(1.0, abs=1e-6)


def test_the_noise_multiplier_of_epsilon_1_by_renyi_divergence() -> None:
    """rdp/rdp_privacy_accountant_test.py: 4.530877117 gives exactly (1, 1e-6) by corollary 13."""
    assert rho_to_epsilon(gaussian(4.530877117), 1e-6) == pytest.approx(1.0, abs=1e-7)
    assert math.sqrt(1 / (2 * epsilon_to_rho(1.0, 1e-6))) == pytest.approx(4.530877117, abs=1e-7)


@pytest.mark.parametrize(("total_delta", "epsilon"), [(0.06, 22), (0.1, 20)])
def test_30_queries_by_the_optimal_composition(total_delta, epsilon) -> None:
    """pld/accountant_test.py: test_advanced_composition, 30 queries of (1, 0.001).

    Its theorem (arXiv 1311.0776, 3.3) knows whole steps of 2 epsilon; ours the ones between.
    """
    rest = 1 - (1 - total_delta) / (1 - 0.001) ** 30
    assert epsilon - 2 < pld_epsilon([PureCharge(1.0, 30)], rest) <= epsilon


@pytest.mark.parametrize("rho", [1e-4, 0.01, 0.1, 1.0, 2.56])
@pytest.mark.parametrize("delta", [1e-10, 1e-5, 1e-2])
def test_between_the_tight_gaussian_and_the_classic_conversion(rho, delta) -> None:
    """arXiv 1605.02065, proposition 1.3: rho + 2 sqrt(rho log(1/delta)) is enough, and more."""
    found = rho_to_epsilon(rho, delta)
    assert gaussian_epsilon(rho, delta) <= found < rho + 2 * math.sqrt(rho * math.log(1 / delta))


@pytest.mark.parametrize("rho", [1e-4, 0.05, 2.56, 40.0])
@pytest.mark.parametrize("delta", [1e-10, 1e-5, 1e-2])
def test_the_conversion_is_the_minimum_over_all_orders(rho, delta) -> None:
    """arXiv 2004.00010, corollary 13, minimized by scipy."""

    def bound(log_order: float) -> float:
        a = 1 + math.exp(log_order)
        return a * rho + math.log(1 - 1 / a) + (math.log(1 / delta) - math.log(a)) / (a - 1)

    starts = np.linspace(-8, 12, 400)
    best = min(starts, key=bound)
    refined = minimize_scalar(bound, bracket=(best - 0.1, best, best + 0.1)).fun
    assert rho_to_epsilon(rho, delta) == pytest.approx(max(refined, 0), rel=1e-9)


@pytest.mark.parametrize(
    ("sigma", "shares", "sensitivity"), [(3.0, 1, 4), (3.0, 3, 7), (5.0, 2, 1)]
)
@pytest.mark.parametrize("delta", [1e-3, 1e-6])
def test_the_exact_loss_of_summed_shares_is_within_the_bound(
    sigma, shares, sensitivity, delta
) -> None:
    """arXiv 2102.06387, proposition 14 (one dimension); arXiv 2004.00010, theorem 4 for one share.

    The sum's distribution is convolved whole; its hockey-stick divergence is then a finite sum.
    """
    reach = np.arange(-60 * int(sigma), 60 * int(sigma) + 1)
    one = np.exp(-(reach**2) / (2 * sigma**2))
    one /= one.sum()
    whole = one
    for _ in range(shares - 1):
        whole = np.convolve(whole, one)
    rho = round_rho(noise_sigma=sigma, sensitivity=sensitivity, honest=shares, dimension=1)
    epsilon = rho_to_epsilon(rho, delta)
    moved = np.roll(whole, sensitivity)
    exact = np.maximum(whole - math.exp(epsilon) * moved, 0).sum()
    assert exact <= delta
    # And the bound is not idle: at a third of its epsilon the shares do not keep delta.
    assert np.maximum(whole - math.exp(epsilon / 3) * moved, 0).sum() > delta


@pytest.mark.parametrize(("sigma", "shares"), [(0.5, 10), (1.0, 100), (3.0, 1000)])
def test_tau_stays_under_its_published_estimate(sigma, shares) -> None:
    """arXiv 2102.06387, theorem 1: tau <= 10 (n - 1) exp(-pi^2 sigma^2)."""
    rho = round_rho(noise_sigma=sigma, sensitivity=1.0, honest=shares, dimension=1)
    tau = math.sqrt(2 * rho) - 1 / (sigma * math.sqrt(shares))
    assert tau <= 10 * (shares - 1) * math.exp(-(math.pi**2) * sigma**2) + 1e-12


@pytest.mark.parametrize("order", [1.5, 2.0, 10.0, 50.0])
def test_renyi_divergences_of_mironov(order) -> None:
    """arXiv 1702.07476, propositions 5 (randomized response) and 7 (Gaussian)."""
    p = math.exp(0.7) / (1 + math.exp(0.7))
    both = p**order * (1 - p) ** (1 - order) + (1 - p) ** order * p ** (1 - order)
    assert _renyi(PureCharge(0.7), order) == pytest.approx(math.log(both) / (order - 1))
    assert _renyi(GaussianCharge(gaussian(3.0)), order) == pytest.approx(order / (2 * 3.0**2))
    # A pure charge's divergence stays under what the ledger charges (arXiv 1605.02065, 1.4).
    assert _renyi(PureCharge(0.7), order) <= order * pure_epsilon_to_rho(0.7) * (1 + 1e-12)


def test_full_batches_are_not_charged_as_if_they_were_subsampled() -> None:
    """Abadi et al. (CCS 2016, section 5.1): 1.26 with q = 0.01. Without sampling it is far more."""
    assert min(compare([GaussianCharge(gaussian(4.0), 10_000)], 1e-5).values()) > 300


@pytest.mark.parametrize("slack", [1e-6, 1e-3])
@pytest.mark.parametrize("spent", [[(0.1, 30)], [(0.01, 500), (0.2, 3)], [(1.0, 4)]])
def test_advanced_composition_is_diffprivlibs(spent, slack) -> None:
    accountant = pytest.importorskip("diffprivlib.accountant").BudgetAccountant
    peer = accountant(epsilon=math.inf, delta=1.0, slack=slack)
    for epsilon, count in spent:
        for _ in range(count):
            peer.spend(epsilon, 0)
    ours = advanced_epsilon([PureCharge(epsilon, count) for epsilon, count in spent], slack)
    assert ours == pytest.approx(peer.total()[0], rel=1e-9)
