import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.privacy import accountant
from federated.privacy.accountant import (
    epsilon_to_rho,
    pure_epsilon_to_rho,
    rho_to_epsilon,
    round_rho,
    solve_noise_sigma,
)

VECTORS = json.loads(Path("tests/vectors/accountant.json").read_text())
DEMO = {"sensitivity": 256.0, "dimension": 25}


@pytest.mark.parametrize("case", VECTORS["round_rho"])
def test_round_rho_matches_golden_numbers(case):
    arguments = {name: value for name, value in case.items() if name != "rho"}
    assert round_rho(**arguments) == pytest.approx(case["rho"], rel=1e-12)


@pytest.mark.parametrize("case", VECTORS["rho_to_epsilon"])
def test_rho_to_epsilon_matches_golden_numbers(case):
    assert rho_to_epsilon(case["rho"], case["delta"]) == pytest.approx(case["epsilon"], rel=1e-10)


def test_many_fine_shares_account_like_one_central_gaussian():
    dp = pytest.importorskip("dp_accounting")
    multiplier, rounds = 12.8, 10
    ours = rounds * round_rho(
        noise_sigma=multiplier * 1000 / math.sqrt(50), sensitivity=1000.0, honest=50, dimension=25
    )
    assert ours == pytest.approx(rounds / (2 * multiplier**2), rel=1e-12)
    peer = dp.rdp.RdpAccountant(orders=[1 + x / 100 for x in range(1, 20_000)])
    peer.compose(dp.GaussianDpEvent(multiplier), rounds)
    assert rho_to_epsilon(ours, 1e-5) == pytest.approx(peer.get_epsilon(1e-5), rel=1e-5)


def test_the_distribution_of_the_noise_costs_privacy_where_it_is_coarse():
    fine = round_rho(noise_sigma=3, sensitivity=1, honest=2, dimension=100)
    coarse = round_rho(noise_sigma=0.5, sensitivity=1 / 6, honest=2, dimension=100)
    assert coarse > 2 * fine


@given(
    epsilon=st.floats(0.01, 10),
    delta=st.sampled_from([1e-9, 1e-5, 1e-2]),
)
def test_epsilon_to_rho_is_a_tight_inverse_from_below(epsilon, delta):
    rho = epsilon_to_rho(epsilon, delta)
    assert rho_to_epsilon(rho, delta) <= epsilon
    assert rho_to_epsilon(rho * (1 + 1e-9), delta) > epsilon


@given(
    epsilon=st.floats(0.05, 10),
    rounds=st.integers(1, 1000),
    units=st.sampled_from([1, 16, 256, 2**12]),
    honest=st.integers(2, 50),
    dimension=st.sampled_from([1, 25, 10**6]),
)
def test_solved_noise_meets_the_target_and_is_the_least(epsilon, rounds, units, honest, dimension):
    common = {"sensitivity": float(units), "honest": honest, "dimension": dimension}
    sigma = solve_noise_sigma(epsilon=epsilon, delta=1e-5, rounds=rounds, **common)
    assert rho_to_epsilon(rounds * round_rho(noise_sigma=sigma, **common), 1e-5) <= epsilon
    assert sigma >= 3
    assert len(repr(sigma).replace(".", "").strip("0")) <= 5
    if sigma > 3:
        less = round_rho(noise_sigma=sigma * (1 - 3e-4), **common)
        assert rho_to_epsilon(rounds * less, 1e-5) > epsilon


def test_every_colluder_weakens_the_guarantee():
    sigma = solve_noise_sigma(epsilon=1, delta=1e-5, rounds=10, honest=3, **DEMO)
    epsilons = [
        rho_to_epsilon(10 * round_rho(noise_sigma=sigma, honest=4 - colluders, **DEMO), 1e-5)
        for colluders in range(4)
    ]
    assert epsilons == sorted(epsilons)
    assert 0.999 < epsilons[1] <= 1
    assert epsilons[3] == pytest.approx(1.8245, abs=1e-4)


def test_pure_epsilon_charges_half_its_square():
    assert pure_epsilon_to_rho(0.5) == 0.125


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: rho_to_epsilon(-1, 1e-5), "rho"),
        (lambda: rho_to_epsilon(1, 0), "delta"),
        (lambda: epsilon_to_rho(0, 1e-5), "epsilon"),
        (lambda: pure_epsilon_to_rho(-1), "epsilon"),
        (lambda: round_rho(noise_sigma=0, honest=2, **DEMO), "noise_sigma"),
        (lambda: round_rho(noise_sigma=9, honest=0, **DEMO), "honest"),
        (lambda: round_rho(noise_sigma=9, honest=2, sensitivity=0, dimension=1), "sensitivity"),
        (lambda: round_rho(noise_sigma=9, honest=2, sensitivity=1, dimension=0), "dimension"),
        (
            lambda: solve_noise_sigma(epsilon=1, delta=1e-5, rounds=0, honest=2, **DEMO),
            "rounds",
        ),
        (
            lambda: solve_noise_sigma(
                epsilon=1e-6, delta=1e-5, rounds=9999, honest=2, sensitivity=2**20, dimension=1
            ),
            "more epsilon",
        ),
    ],
)
def test_meaningless_questions_are_refused_by_name(call, names):
    with pytest.raises(InvalidInput, match=names):
        call()


def test_pure_charges_add_up_where_that_is_better():
    pure = accountant.Spent(accountant.pure_epsilon_to_rho(2.0), 2.0, 2.0)
    assert pure.epsilon(1e-4) == 2.0
    assert accountant.rho_to_epsilon(2.0, 1e-4) > 9
    # Many small ones compose better in zCDP than by adding.
    small = accountant.Spent(400 * 0.1**2 / 2, 400 * 0.1**2 / 2, 40.0)
    assert small.epsilon(1e-4) == accountant.rho_to_epsilon(2.0, 1e-4) < 40
    # Beside a Gaussian charge the pure one adds its epsilon, no more.
    gaussian = accountant.Spent(0.1)
    both = gaussian + pure
    assert both.epsilon(1e-4) == pytest.approx(accountant.rho_to_epsilon(0.1, 1e-4) + 2.0)
    assert accountant.Spent().epsilon(1e-4) == 0.0
