"""Zero-concentrated privacy (zCDP) of summed discrete Gaussian shares.

rho is additive over rounds and stays so under adaptive choice (Bun and Steinke, arXiv
1605.02065, lemma 1.7). Neighbouring datasets differ in one record, present or blanked out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from federated.errors import InvalidInput

SMALLEST_SIGMA = 3.0
"""Grid units. Below it a sum of discrete Gaussians is too far from one for the bound to be tiny."""
LARGEST_SIGMA = 2.0**30
"""Grid units. What the sampler holds in 64-bit integers."""


def round_rho(*, noise_sigma: float, sensitivity: float, honest: int, dimension: int) -> float:
    """The zCDP rho of one release of a sum that ``honest`` discrete Gaussian shares cover.

    ``noise_sigma`` is one share's standard deviation parameter and ``sensitivity`` the L2 norm of
    one record's integer vector, both in grid units; ``dimension`` is the vector's length.

    rho = (s + tau sqrt(d))^2 / 2 with s = sensitivity / (sigma sqrt(h)) and
    tau = 10 sum_{k=1}^{h-1} exp(-2 pi^2 sigma^2 k / (k+1)): Kairouz, Liu and Steinke, arXiv
    2102.06387, proposition 14. The case h = 1 is the plain discrete Gaussian, arXiv 2004.00010,
    theorem 4.

    Raises InvalidInput for noise below half a grid unit, or no honest share.
    """
    if not math.isfinite(noise_sigma) or noise_sigma < 0.5:
        raise InvalidInput(f"noise_sigma: {noise_sigma:g} is below half a grid unit")
    if not sensitivity > 0 or not math.isfinite(sensitivity):
        raise InvalidInput(f"sensitivity: {sensitivity:g} is not above 0")
    if honest < 1:
        raise InvalidInput("honest: no honest share is left, there is no privacy to account")
    if dimension < 1:
        raise InvalidInput(f"dimension: {dimension} is below 1")
    scaled = sensitivity / (noise_sigma * math.sqrt(honest))
    tau = 10 * math.fsum(
        math.exp(-2 * math.pi**2 * noise_sigma**2 * k / (k + 1)) for k in range(1, honest)
    )
    return (scaled + tau * math.sqrt(dimension)) ** 2 / 2


@dataclass(frozen=True, slots=True)
class Spent:
    """What charges add up to: all of them in zCDP, and the pure-epsilon ones apart.

    ``rho`` holds a pure charge as epsilon^2 / 2, which is loose for a large one; ``pure_rho`` is
    that part of it, ``pure_epsilon`` the sum of the pure charges' epsilons.
    """

    rho: float = 0.0
    pure_rho: float = 0.0
    pure_epsilon: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.rho + other.rho,
            self.pure_rho + other.pure_rho,
            self.pure_epsilon + other.pure_epsilon,
        )

    def epsilon(self, delta: float) -> float:
        """Epsilon at ``delta``, by the better of two rules that both hold.

        All charges in zCDP; or those that are not pure in zCDP, and the pure ones' epsilons added
        (a pure charge moves the privacy loss by at most its epsilon, whatever came before).
        """
        apart = rho_to_epsilon(max(self.rho - self.pure_rho, 0.0), delta) + self.pure_epsilon
        return min(rho_to_epsilon(self.rho, delta), apart)


def rho_to_epsilon(rho: float, delta: float) -> float:
    """The epsilon that rho-zCDP gives at ``delta``.

    min over alpha > 1 of alpha rho + log(1 - 1/alpha) + (log(1/delta) - log alpha) / (alpha - 1):
    Canonne, Kamath and Steinke, arXiv 2004.00010, corollary 13. Every alpha gives a valid bound,
    so the numeric search never claims too little.
    """
    _check_delta(delta)
    if rho < 0 or math.isnan(rho):
        raise InvalidInput(f"rho: {rho:g} is below 0")
    if rho == 0:
        return 0.0
    if math.isinf(rho):
        return math.inf

    def bound(log_order: float) -> float:
        beta = math.exp(log_order)  # alpha - 1
        return (
            (beta + 1) * rho
            + math.log(beta / (beta + 1))
            + (-math.log(delta) - math.log1p(beta)) / beta
        )

    # The classic optimum alpha - 1 = sqrt(log(1/delta) / rho) is near; the bound is unimodal there.
    middle = 0.5 * math.log(-math.log(delta) / rho)
    return max(0.0, _minimum(bound, middle - 6, middle + 6))


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """The least value found by golden-section search of a unimodal function."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(80):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return min(at_left, at_right)


def epsilon_to_rho(epsilon: float, delta: float) -> float:
    """The largest rho (to 12 digits, from below) whose epsilon at ``delta`` is at most this."""
    _check_delta(delta)
    if not epsilon > 0 or not math.isfinite(epsilon):
        raise InvalidInput(f"epsilon: {epsilon:g} is not above 0")
    low, high = 0.0, epsilon + 1
    while rho_to_epsilon(high, delta) <= epsilon:
        low, high = high, high * 2
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if rho_to_epsilon(middle, delta) <= epsilon:
            low = middle
        else:
            high = middle
    return low


def pure_epsilon_to_rho(epsilon: float) -> float:
    """The rho of a pure epsilon guarantee: epsilon^2 / 2 (arXiv 1605.02065, proposition 1.4)."""
    if epsilon < 0 or math.isnan(epsilon):
        raise InvalidInput(f"epsilon: {epsilon:g} is below 0")
    return epsilon**2 / 2


def solve_noise_sigma(
    *,
    epsilon: float,
    delta: float,
    rounds: int,
    sensitivity: float,
    honest: int,
    dimension: int,
) -> float:
    """The least share (standard deviation in grid units) that meets epsilon over all rounds.

    Rounded up to five significant digits, so that JSON carries it exactly; at least 3. Raises
    InvalidInput where the target asks for more noise than the sampler holds.
    """
    if rounds < 1:
        raise InvalidInput(f"rounds: {rounds} is below 1")

    def enough(sigma: float) -> bool:
        rho = round_rho(
            noise_sigma=sigma, sensitivity=sensitivity, honest=honest, dimension=dimension
        )
        return rho_to_epsilon(rounds * rho, delta) <= epsilon

    budget = epsilon_to_rho(epsilon, delta) / rounds
    sigma = max(SMALLEST_SIGMA, sensitivity / math.sqrt(2 * honest * budget))
    if sigma > LARGEST_SIGMA:
        raise InvalidInput(
            f"epsilon: {epsilon:g} over {rounds} rounds needs noise of {sigma:.3g} grid units, "
            f"at most {LARGEST_SIGMA:.3g} are allowed; take more epsilon, fewer rounds or units"
        )
    digits = 4 - math.floor(math.log10(sigma))
    step = 0
    while True:
        candidate = _round_up(sigma, digits, step)
        if enough(candidate):
            return candidate
        step = 2 * step + 1


def _round_up(value: float, digits: int, steps: int) -> float:
    """The decimal with ``digits`` decimals at or above value, and ``steps`` steps more."""
    scaled = math.ceil(value * 10**digits) if digits >= 0 else math.ceil(value / 10**-digits)
    whole = scaled + steps
    return whole / 10**digits if digits >= 0 else float(whole * 10**-digits)


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise InvalidInput(f"delta: {delta:g} is not a probability between 0 and 1")
