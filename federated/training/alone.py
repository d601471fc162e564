"""The model that a site would have made alone, and how it compares with the joint one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federated.training.data import Dataset
from federated.training.local import bounded_update
from federated.training.metrics import Metrics, score_predictions
from federated.training.server import ServerState, released_parameters, server_step
from federated.training.task import predict
from federated.wire.data import Target
from federated.wire.job import JobSpec

RESAMPLES = 300
_LEAST_DEFINED = 0.5
LOWER_IS_BETTER = frozenset({"rmse"})


@dataclass(frozen=True)
class Difference:
    """One metric on the site's own held-out rows; ``difference`` is federated less alone.

    ``low`` and ``high`` are the 95% interval of the difference; None where it is undefined, because
    the rows (or most resamples of them) hold one class.
    """

    alone: float | None
    federated: float | None
    difference: float | None
    low: float | None
    high: float | None

    def worse(self, name: str) -> bool:
        """Whether the rows show that the federated model is the worse one."""
        if self.low is None or self.high is None:
            return False
        return self.low > 0 if name in LOWER_IS_BETTER else self.high < 0

    def better(self, name: str) -> bool:
        """Whether the rows show that the federated model is the better one."""
        if self.low is None or self.high is None:
            return False
        return self.high < 0 if name in LOWER_IS_BETTER else self.low > 0


def train_alone(spec: JobSpec, initial: ServerState, rows: Dataset) -> NDArray[np.float64]:
    """Parameters float64 [d] after the job's own steps on these rows only, without noise.

    The denominator is what the site has alone: its records, or for unit organization one update.
    Raises InvalidInput where the steps leave the finite numbers.
    """
    state = initial
    denominator = 1 if spec.privacy.unit == "organization" else max(1, len(rows))
    for number in range(1, spec.training.rounds + 1):
        values = bounded_update(spec, state.parameters, rows, order=f"alone/{spec.job_id}/{number}")
        state = server_step(
            state,
            values,
            strategy=spec.training,
            privacy=spec.privacy,
            denominator=denominator,
        )
    return released_parameters(state, spec.training)


def compare(
    spec: JobSpec,
    alone: NDArray[np.floating],
    federated: NDArray[np.floating],
    held_out: Dataset,
) -> dict[str, Difference]:
    """Each metric of both models on the held-out rows, and the interval of its difference.

    The interval is a percentile bootstrap of the rows, the same resamples for both models (Efron
    and Tibshirani 1993, chapter 13), seeded by the job, so that it is the same every time.
    """
    target = spec.data.target
    told = [predict(spec.model, target, p, held_out.features) for p in (alone, federated)]
    seed = int.from_bytes(hashlib.sha256(f"compare/{spec.digest()}".encode()).digest(), "big")
    generator = np.random.default_rng(seed)
    whole = np.arange(len(held_out))
    found = _both(target, told, held_out.target, whole)
    resampled = [
        _both(target, told, held_out.target, generator.integers(0, len(whole), len(whole)))
        for _ in range(RESAMPLES if len(whole) else 0)
    ]
    return {name: _difference(name, found, resampled) for name in found[0]}


def _both(
    target: Target,
    told: list[NDArray[np.float64]],
    values: NDArray[np.float32],
    rows: NDArray[np.int64],
) -> tuple[Metrics, Metrics]:
    alone, federated = (score_predictions(target, one[rows], values[rows]) for one in told)
    return alone, federated


def _difference(
    name: str, whole: tuple[Metrics, Metrics], resampled: list[tuple[Metrics, Metrics]]
) -> Difference:
    def of(both: tuple[Metrics, Metrics]) -> float | None:
        alone, federated = both[0][name], both[1][name]
        return None if alone is None or federated is None else federated - alone

    differences = [value for value in map(of, resampled) if value is not None]
    low = high = None
    if of(whole) is not None and len(differences) >= _LEAST_DEFINED * len(resampled):
        low, high = (float(q) for q in np.quantile(differences, (0.025, 0.975)))
    return Difference(whole[0][name], whole[1][name], of(whole), low, high)
