"""An empirical lower bound on a job's epsilon, from many runs on two neighbouring data sets.

A round is simulated with the code that sites run: records' gradients bounded and rounded, each
site's discrete Gaussian share added, all summed. Encryption is left out, because the sum that it
yields is exactly this one. Data sets A and B differ in one record of one site, blanked out in B;
the record is the worst case, a gradient of the whole clipping norm. The adversary is the
coordinator with the colluding sites: it knows every gradient and takes their shares off.

The bound: a test that tells A from B with true positive rate p and false positive rate q, at
delta, proves epsilon >= log((p - delta) / q) (arXiv 1904.10509, theorem 2 is the hypothesis test;
arXiv 2006.07709, section 3, the intervals). p is taken from below and q from above by
Clopper-Pearson, at 95% together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.privacy import discrete_gaussian

Vector = NDArray[np.int64]
Share = Callable[[float, int], Vector]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """The bound, what was claimed, and the counts that it rests on (one threshold, one side)."""

    lower_bound: float
    claimed: float
    runs: int
    true_positives: int
    false_positives: int

    @property
    def holds(self) -> bool:
        return self.lower_bound <= self.claimed


def scores(
    *,
    exact: Vector,
    known: Vector,
    difference: Vector,
    noise_sigma: float,
    honest: int,
    rounds: int,
    runs: int,
    share: Share = discrete_gaussian.sample,
) -> NDArray[np.float64]:
    """The adversary's statistic of each run, float64 [runs]: the log likelihood ratio of A to B.

    All vectors are int64 [d] in grid units and the same in every round: ``exact`` is the sum of
    bounded gradients that the honest shares cover, ``known`` the sum without the record, and
    ``difference`` what the record would add.
    """
    direction = difference.astype(np.float64)
    squared = float(direction @ direction)
    if squared == 0:
        raise InvalidInput("difference: the neighbouring inputs do not differ")
    variance = honest * noise_sigma**2
    found = np.zeros(runs)
    size = len(difference)
    for _ in range(rounds):
        released = np.tile(exact, (runs, 1))
        for _ in range(honest):
            released += share(noise_sigma, runs * size).reshape(runs, size)
        found += ((released - known) @ direction - squared / 2) / variance
    return found


def lower_bound(
    present: NDArray[np.float64],
    absent: NDArray[np.float64],
    *,
    delta: float,
    claimed: float,
    confidence: float = 0.95,
) -> AuditResult:
    """The best bound of a threshold that was chosen on the first half of the runs.

    The second half, which the choice has not seen, gives the counts; so one interval each holds.
    """
    half = len(present) // 2
    if half < 10 or len(absent) != len(present):
        raise InvalidInput("runs: at least 20 of each input are needed, as many of both")
    error = (1 - confidence) / 2

    def count(rows: slice, threshold: float) -> tuple[int, int]:
        return int((present[rows] > threshold).sum()), int((absent[rows] > threshold).sum())

    def promise(threshold: float) -> float:
        """Less than the exact intervals will give; only chooses, and proves nothing.

        With two deviations, as they have, the luckiest of many thresholds wins, which holds few
        runs far in a tail and does badly on the second half; three let it win less often.
        """
        p, q = (number / half for number in count(slice(0, half), threshold))
        low = p - 3 * math.sqrt(p * (1 - p) / half) - delta
        high = q + 3 * math.sqrt(q * (1 - q) / half) + 9 / half
        return math.log(low / high) if low > 0 else -math.inf

    every = np.concatenate([present[:half], absent[:half]])
    best = max(np.quantile(every, 1 - np.geomspace(1e-4, 0.98, 60)), key=promise)
    trues, falses = count(slice(half, None), best)
    runs = len(present) - half
    low = clopper_pearson(trues, runs, error)[0] - delta
    high = clopper_pearson(falses, runs, error)[1]
    return AuditResult(
        lower_bound=max(0.0, math.log(low / high)) if low > 0 else 0.0,
        claimed=claimed,
        runs=len(present),
        true_positives=trues,
        false_positives=falses,
    )


def clopper_pearson(successes: int, trials: int, error: float) -> tuple[float, float]:
    """Bounds of a probability, each wrong with probability ``error`` at most.

    Clopper and Pearson, Biometrika 26 (1934): where the binomial tail equals ``error``.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise InvalidInput(f"successes: {successes} of {trials} trials")

    def bound(least: int, reached: float) -> float:
        return _root(lambda chance: 1 - _below(least, trials, chance), reached)

    low = 0.0 if successes == 0 else bound(successes, error)
    high = 1.0 if successes == trials else bound(successes + 1, 1 - error)
    return low, high


def _below(successes: int, trials: int, probability: float) -> float:
    """P(X < successes) of a binomial."""
    if probability <= 0:
        return 1.0
    if probability >= 1:
        return 0.0
    kept = np.arange(successes, dtype=np.float64)
    # log of C(trials, k) by its recurrence, summed.
    ways = np.cumsum(np.log(np.maximum(trials - kept[:-1], 1)) - np.log(kept[:-1] + 1))
    logs = np.concatenate([[0.0], ways]) + kept * math.log(probability)
    return float(np.exp(logs + (trials - kept) * math.log1p(-probability)).sum())


def _root(rising: Callable[[float], float], value: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if rising(middle) < value:
            low = middle
        else:
            high = middle
    return low
