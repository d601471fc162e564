"""The rules of composition agree with closed forms, with each other and with other libraries."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.privacy import composition
from federated.privacy.accountant import epsilon_to_rho
from federated.privacy.composition import (
    GaussianCharge,
    PureCharge,
    advanced_epsilon,
    basic_epsilon,
    compare,
    gaussian_epsilon,
    pld_epsilon,
    rdp_epsilon,
)

DELTA = 1e-5
JOB = GaussianCharge(epsilon_to_rho(1.0, DELTA) / 10, 10)
MIXED = (GaussianCharge(0.01, 20), PureCharge(0.1, 7), PureCharge(0.3, 3))


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1.0, 4.0, 8.0])
def test_one_gaussian_is_the_analytic_one_of_diffprivlib(epsilon: float) -> None:
    peer = pytest.importorskip("diffprivlib.mechanisms")
    sigma = peer.GaussianAnalytic(epsilon=epsilon, delta=DELTA, sensitivity=1)._scale
    assert gaussian_epsilon(1 / (2 * sigma**2), DELTA) == pytest.approx(epsilon, rel=1e-6)


def test_rounds_compose_like_one_gaussian_of_their_total() -> None:
    assert pld_epsilon([JOB], DELTA) == pytest.approx(gaussian_epsilon(10 * JOB.rho, DELTA))


@pytest.mark.parametrize("charges", [(JOB,), (GaussianCharge(0.5),), MIXED])
def test_losses_agree_with_dp_accounting(charges: tuple) -> None:
    dp = pytest.importorskip("dp_accounting")
    made = None
    for charge in charges:
        if isinstance(charge, GaussianCharge):
            one = dp.pld.privacy_loss_distribution.from_gaussian_mechanism(
                1 / math.sqrt(2 * charge.rho)
            )
        else:
            parameters = dp.pld.common.DifferentialPrivacyParameters(charge.epsilon, 0)
            one = dp.pld.privacy_loss_distribution.from_privacy_parameters(parameters)
        one = one.self_compose(charge.count)
        made = one if made is None else made.compose(one)
    peer = made.get_epsilon_for_delta(DELTA)
    # Its estimate is pessimistic on a grid of 1e-4; ours is exact.
    assert pld_epsilon(charges, DELTA) == pytest.approx(peer, rel=2e-4)
    assert pld_epsilon(charges, DELTA) <= peer + 1e-9


@pytest.mark.parametrize("charges", [(JOB,), (GaussianCharge(0.5),), MIXED[1:]])
def test_renyi_agrees_with_dp_accounting(charges: tuple) -> None:
    dp = pytest.importorskip("dp_accounting")
    pure = isinstance(charges[0], PureCharge)
    name = "REPLACE_ONE" if pure else "ADD_OR_REMOVE_ONE"
    peer = dp.rdp.RdpAccountant(composition._ORDERS, dp.NeighboringRelation[name])
    for charge in charges:
        if isinstance(charge, GaussianCharge):
            event = dp.GaussianDpEvent(1 / math.sqrt(2 * charge.rho))
        else:
            # Randomized response between two answers, of this epsilon.
            event = dp.RandomizedResponseDpEvent(2 / (math.exp(charge.epsilon) + 1), 2)
        peer.compose(event, charge.count)
    assert rdp_epsilon(charges, DELTA) == pytest.approx(peer.get_epsilon(DELTA), rel=1e-6)


@pytest.mark.parametrize("i", [0, 1, 3, 5])
def test_pure_charges_reach_the_optimal_composition_as_published(i: int) -> None:
    """arXiv 1311.0776, theorem 3.3: k mechanisms are ((k - 2i) eps, delta_i)-private, tightly."""
    epsilon, k = 0.3, 12
    top = math.fsum(
        math.comb(k, j) * (math.exp((k - j) * epsilon) - math.exp((k - 2 * i + j) * epsilon))
        for j in range(i)
    )
    delta = top / (1 + math.exp(epsilon)) ** k
    found = pld_epsilon([PureCharge(epsilon, k)], max(delta, 1e-300))
    assert found == pytest.approx((k - 2 * i) * epsilon, rel=1e-9)


def test_advanced_composition_as_published() -> None:
    """arXiv 1311.0776, theorem 3.5, in the form of theorem 3.4 for equal epsilons."""
    epsilon, k, delta = 0.01, 10_000, 1e-6
    drift = k * epsilon * math.expm1(epsilon) / (math.exp(epsilon) + 1)
    forms = (1 / delta, math.e + math.sqrt(k) * epsilon / delta)
    spread = min(math.sqrt(2 * k * math.log(form)) * epsilon for form in forms)
    assert advanced_epsilon([PureCharge(epsilon, k)], delta) == pytest.approx(drift + spread)


def test_basic_composition_adds() -> None:
    assert basic_epsilon([PureCharge(0.1, 7), PureCharge(0.3)], DELTA) == pytest.approx(1.0)
    split = 2 * gaussian_epsilon(0.02, DELTA / 2)
    assert basic_epsilon([GaussianCharge(0.02, 2)], DELTA) == pytest.approx(split)


@settings(deadline=None)
@given(
    gaussians=st.lists(st.floats(1e-5, 0.5), max_size=4),
    pures=st.lists(st.floats(0.01, 1.0), max_size=4),
    count=st.integers(1, 30),
)
def test_finer_rules_never_claim_more(gaussians: list, pures: list, count: int) -> None:
    charges = [GaussianCharge(rho, count) for rho in gaussians]
    charges += [PureCharge(epsilon, count) for epsilon in pures]
    found = compare(charges, DELTA)
    assert found["pld"] <= found["rdp"] * 1.001
    assert found["pld"] <= found["advanced"] * 1.001
    assert found["pld"] <= found["zcdp"] * 1.001
    assert found["advanced"] <= found["basic"]
    if not gaussians:
        assert found["pld"] <= math.fsum(pures) * count * 1.001


def test_many_different_charges_are_rounded_up_and_never_down(monkeypatch) -> None:
    charges = [PureCharge(0.05 + 0.013 * n, 5) for n in range(4)]
    exact = pld_epsilon(charges, DELTA)
    monkeypatch.setattr(composition, "MOST_ATOMS", 200)
    assert exact < pld_epsilon(charges, DELTA) < exact * 1.05


def test_no_charge_costs_nothing() -> None:
    assert set(compare([], DELTA).values()) == {0.0}
    assert set(compare([GaussianCharge(0.0), PureCharge(1.0, 0)], DELTA).values()) == {0.0}


@pytest.mark.parametrize(
    ("charges", "delta"),
    [((), 0.0), ((GaussianCharge(-1.0),), 1e-5), ((PureCharge(math.inf),), 1e-5)],
)
def test_meaningless_charges_are_refused(charges: tuple, delta: float) -> None:
    with pytest.raises(InvalidInput, match=r"delta|charge"):
        compare(charges, delta)
