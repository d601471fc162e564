"""What the same charges come to by other rules of composition, beside the ledger's zCDP.

The ledger adds up zCDP rho, because that stays valid when each release is chosen after seeing the
ones before. The rules here are for comparison on a page; nothing is granted by them. They need no
further package: the privacy loss distribution of Gaussian and pure charges has a closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from federated.errors import InvalidInput
from federated.privacy.accountant import pure_epsilon_to_rho, rho_to_epsilon

MOST_ATOMS = 2048
"""Losses of pure charges kept apart; above it they are rounded up to a grid (never down)."""
_ORDERS = tuple(1 + math.exp(step / 16) for step in range(-128, 161))


@dataclass(frozen=True, slots=True)
class GaussianCharge:
    """``count`` releases of a Gaussian mechanism of zCDP ``rho`` each (noise 1/sqrt(2 rho))."""

    rho: float
    count: int = 1


@dataclass(frozen=True, slots=True)
class PureCharge:
    """``count`` releases that are ``epsilon``-private with delta 0, like Laplace noise."""

    epsilon: float
    count: int = 1


PrivacyCharge = GaussianCharge | PureCharge


def compare(charges: Sequence[PrivacyCharge], delta: float) -> dict[str, float]:
    """Epsilon at ``delta`` of all charges: ``zcdp``, ``rdp``, ``pld``, ``basic``, ``advanced``.

    Raises InvalidInput for a delta that is no probability, or a charge below 0.
    """
    if not 0 < delta < 1:
        raise InvalidInput(f"delta: {delta:g} is not a probability between 0 and 1")
    for charge in charges:
        value = charge.rho if isinstance(charge, GaussianCharge) else charge.epsilon
        if not value >= 0 or math.isinf(value) or charge.count < 0:
            raise InvalidInput(f"charge: {charge} is not a finite cost of 0 or more")
    made = [charge for charge in charges if charge.count and _cost(charge) > 0]
    if not made:
        return dict.fromkeys(("zcdp", "rdp", "pld", "basic", "advanced"), 0.0)
    return {
        "zcdp": zcdp_epsilon(made, delta),
        "rdp": rdp_epsilon(made, delta),
        "pld": pld_epsilon(made, delta),
        "basic": basic_epsilon(made, delta),
        "advanced": advanced_epsilon(made, delta),
    }


def zcdp_epsilon(charges: Sequence[PrivacyCharge], delta: float) -> float:
    """The ledger's own: the sum of rho, a pure charge as epsilon^2 / 2 (arXiv 1605.02065)."""
    return rho_to_epsilon(math.fsum(charge.count * _cost(charge) for charge in charges), delta)


def rdp_epsilon(charges: Sequence[PrivacyCharge], delta: float) -> float:
    """Renyi divergences added order by order, the best order taken (arXiv 1702.07476).

    Converted as in arXiv 2004.00010, proposition 12, which holds at every order.
    """

    def bound(order: float) -> float:
        total = math.fsum(charge.count * _renyi(charge, order) for charge in charges)
        less = math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)
        return total + less

    return max(0.0, min(bound(order) for order in _ORDERS))


def pld_epsilon(charges: Sequence[PrivacyCharge], delta: float) -> float:
    """The least epsilon of the composed privacy loss distribution, for charges fixed in advance.

    Gaussian charges compose to one of mu = sqrt(2 sum rho) (arXiv 1905.02383, corollary 3.3). A
    pure charge is dominated by randomized response, whose loss is +-epsilon (arXiv 1311.0776,
    lemma 4.1). delta(epsilon) = E[delta_mu(epsilon - l)] over the sum l of those losses. Tight for
    the central Gaussian; a sum of discrete shares of 3 grid units or more is one within ``tau``.
    """
    gaussian = math.fsum(c.count * c.rho for c in charges if isinstance(c, GaussianCharge))
    mu = math.sqrt(2 * gaussian)
    losses = _pure_losses([c for c in charges if isinstance(c, PureCharge)])

    def above(epsilon: float) -> float:
        return math.fsum(w * _gaussian_delta(mu, epsilon - loss) for loss, w in losses.items())

    return _least(above, delta)


def basic_epsilon(charges: Sequence[PrivacyCharge], delta: float) -> float:
    """The sum of the charges' epsilons, delta in equal parts to the Gaussian ones.

    Dwork and Roth, Algorithmic Foundations of Differential Privacy, theorem 3.16.
    """
    return math.fsum(count * epsilon for epsilon, count in _each(charges, delta))


def advanced_epsilon(charges: Sequence[PrivacyCharge], delta: float) -> float:
    """Advanced composition: half of delta to the Gaussian charges, half to the slack.

    Kairouz, Oh and Viswanath, arXiv 1311.0776, theorem 3.5 (different epsilons); basic
    composition where that is less.
    """
    pure = all(isinstance(charge, PureCharge) for charge in charges)
    slack = delta if pure else delta / 2
    each = _each(charges, delta - slack)
    drift = math.fsum(count * epsilon * math.tanh(epsilon / 2) for epsilon, count in each)
    squares = math.fsum(count * epsilon**2 for epsilon, count in each)
    spread = min(math.log(math.e + math.sqrt(squares) / slack), -math.log(slack))
    return min(basic_epsilon(charges, delta), drift + math.sqrt(2 * squares * spread))


def gaussian_epsilon(rho: float, delta: float) -> float:
    """The least epsilon of one Gaussian mechanism of zCDP ``rho`` (arXiv 1805.06530, theorem 8)."""
    mu = math.sqrt(2 * rho)
    return _least(lambda epsilon: _gaussian_delta(mu, epsilon), delta)


def _cost(charge: PrivacyCharge) -> float:
    """The zCDP of one release."""
    if isinstance(charge, GaussianCharge):
        return charge.rho
    return pure_epsilon_to_rho(charge.epsilon)


def _renyi(charge: PrivacyCharge, order: float) -> float:
    """The Renyi divergence of one release; randomized response dominates a pure one."""
    if isinstance(charge, GaussianCharge):
        return order * charge.rho
    epsilon = charge.epsilon
    # log of (e^(a eps) + e^((1 - a) eps)) / (1 + e^eps), with the largest exponent taken out.
    log_sum = order * epsilon + math.log1p(math.exp((1 - 2 * order) * epsilon))
    return (log_sum - epsilon - math.log1p(math.exp(-epsilon))) / (order - 1)


def _each(charges: Sequence[PrivacyCharge], delta: float) -> list[tuple[float, int]]:
    """``(epsilon, count)`` of every charge, ``delta`` divided among the Gaussian releases."""
    releases = sum(c.count for c in charges if isinstance(c, GaussianCharge))
    return [
        (
            c.epsilon if isinstance(c, PureCharge) else gaussian_epsilon(c.rho, delta / releases),
            c.count,
        )
        for c in charges
    ]


def _pure_losses(charges: Sequence[PureCharge]) -> dict[float, float]:
    """``{loss: probability}`` of the composed randomized responses; {0: 1} for none."""
    counts: dict[float, int] = {}
    for charge in charges:
        counts[charge.epsilon] = counts.get(charge.epsilon, 0) + charge.count
    losses = {0.0: 1.0}
    for epsilon, count in counts.items():
        up, down = -math.log1p(math.exp(-epsilon)), -math.log1p(math.exp(epsilon))
        ways = [
            (
                (2 * ups - count) * epsilon,
                math.exp(_log_choose(count, ups) + ups * up + (count - ups) * down),
            )
            for ups in range(count + 1)
        ]
        composed: dict[float, float] = {}
        for loss, weight in losses.items():
            for more, part in ways:
                composed[loss + more] = composed.get(loss + more, 0.0) + weight * part
        losses = _rounded_up(composed)
    return losses


def _rounded_up(losses: dict[float, float]) -> dict[float, float]:
    if len(losses) <= MOST_ATOMS:
        return losses
    lowest = min(losses)
    step = (max(losses) - lowest) / MOST_ATOMS
    merged: dict[float, float] = {}
    for loss, weight in losses.items():
        grid = lowest + math.ceil((loss - lowest) / step) * step
        merged[grid] = merged.get(grid, 0.0) + weight
    return merged


def _log_choose(whole: int, part: int) -> float:
    return math.lgamma(whole + 1) - math.lgamma(part + 1) - math.lgamma(whole - part + 1)


def _gaussian_delta(mu: float, epsilon: float) -> float:
    """delta of one Gaussian at any real epsilon; arXiv 1805.06530, equation 6."""
    if mu == 0:
        return max(0.0, -math.expm1(epsilon)) if epsilon < 0 else 0.0
    lower = -epsilon / mu - mu / 2
    tail = math.erfc(-lower / math.sqrt(2)) / 2
    second = math.exp(epsilon + math.log(tail)) if tail > 0 else 0.0
    return max(0.0, math.erfc((epsilon / mu - mu / 2) / math.sqrt(2)) / 2 - second)


def _least(above: Callable[[float], float], delta: float) -> float:
    """The least epsilon, from above to 12 digits, at which a decreasing delta is small enough."""
    low, high = 0.0, 1.0
    if above(low) <= delta:
        return 0.0
    while above(high) > delta:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if above(middle) <= delta:
            high = middle
        else:
            low = middle
    return high
