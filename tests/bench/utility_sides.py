"""The two sides of ``make bench-utility``: a job's own computation, and Opacus on pooled rows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.privacy.accountant import solve_noise_sigma
from federated.privacy.config import PrivacyConfig
from federated.privacy.discrete_gaussian import sample
from federated.protocol.cost import share_sigma
from federated.protocol.propose import default_minimum_cohort, learning_rate_chosen
from federated.protocol.strategy import strategy_make
from federated.training.data import Dataset
from federated.training.local import bounded_update
from federated.training.metrics import auc, predict
from federated.training.server import ServerState, released_parameters, server_step
from federated.wire.job import JobSpec
from portal.demo.experiment import logistic_scores
from tests.bench.auc import job_over
from tests.bench.peers import opacus
from tests.bench.utility_data import Table

EPSILONS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
DELTA = 1e-5
CLAIM = 0.01
STEPS = (10, 40, 100)
LEARNING_RATES = (0.1, 0.3, 1.0)
CLIPS = (0.3, 1.0)
MOMENTUM = 0.9
COLLUDING = 1
RUNGS = (
    "central, Opacus's accountant",
    "central, this accountant",
    "sites",
    "sites, sized for a dropout",
)
"""From the central mechanism to the federated one; see ``Sites.ladder``."""

Areas = list[float]
Noise = Callable[[float, int], NDArray[np.int64]]


@dataclass(frozen=True)
class Recipe:
    """What a person may choose; ``sampling`` is the part of the rows that a step takes."""

    steps: int
    learning_rate: float
    clipping_norm: float
    sampling: float = 1.0

    def __str__(self) -> str:
        batches = "mini-batches" if self.sampling < 1 else "steps"
        return f"{self.steps} {batches}, rate {self.learning_rate:g}, clip {self.clipping_norm:g}"


class Sites:
    """The federated side over one table; splits are encoded once."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._splits: dict[int, list[tuple[Dataset, Dataset]]] = {}
        self._specs: dict[tuple[Recipe, float | None], JobSpec] = {}

    @property
    def parameters(self) -> int:
        return self.table.dictionary.width + 1

    def split(self, seed: int) -> list[tuple[Dataset, Dataset]]:
        if seed not in self._splits:
            self._splits[seed] = self.table.split(seed)
        return self._splits[seed]

    def pooled(self, seed: int) -> tuple[Dataset, Dataset]:
        """All sites' training rows together, and all their test rows."""
        split = self.split(seed)
        return together(rows for rows, _ in split), together(rows for _, rows in split)

    def spec(self, recipe: Recipe, epsilon: float | None) -> JobSpec:
        """The job of a recipe with the noise of a target; with epsilon None without noise."""
        key = (recipe, epsilon)
        if key not in self._specs:
            privacy = PrivacyConfig(
                epsilon=epsilon or 1.0, delta=DELTA, clipping_norm=recipe.clipping_norm
            )
            strategy = strategy_make(epochs=recipe.steps, learning_rate=recipe.learning_rate)
            self._specs[key] = job_over(
                self.table.dictionary, len(self.table.sites), privacy, strategy=strategy
            )
        return self._specs[key]

    def default(self, epsilon: float, rounds: int) -> Recipe:
        """The recipe of a job whose proposer gives epsilon and rounds alone."""
        given = Recipe(steps=rounds, learning_rate=1.0, clipping_norm=1.0)
        chosen = learning_rate_chosen(self.spec(given, epsilon))
        return Recipe(
            steps=rounds,
            learning_rate=chosen.training.server_optimizer.learning_rate,
            clipping_norm=1.0,
        )

    def areas(self, recipe: Recipe, epsilon: float | None, seeds: Iterable[int]) -> Areas:
        """Test AUC of every seed's split."""
        spec = self.spec(recipe, epsilon)
        return self._areas(spec, seeds, None if epsilon is None else sample)

    def ladder(
        self, recipe: Recipe, epsilon: float, seeds: Iterable[int], noises: Mapping[str, float]
    ) -> dict[str, Areas]:
        """The same training with less noise, step by step up to the federated one's.

        A central mechanism adds the noise multiplier z once: by Opacus's PRV accountant
        (``noises``, where it is known), then by this project's zCDP. With shares, h honest sites
        have to reach z, and all N add one: z sqrt(N / h), h = N - colluding in an attempt that asks
        for everybody, and the smallest cohort less the colluding in one that does not.
        """
        seeds, spec, count = list(seeds), self.spec(recipe, epsilon), len(self.table.sites)
        units = spec.privacy.units
        z = solve_noise_sigma(
            epsilon=epsilon, delta=DELTA, rounds=recipe.steps, sensitivity=float(units),
            honest=1, dimension=self.parameters,
        )  # fmt: skip
        totals = {
            RUNGS[1]: z,
            RUNGS[2]: z * math.sqrt(count / (count - COLLUDING)),
            RUNGS[3]: z * math.sqrt(count / (default_minimum_cohort(count, COLLUDING) - COLLUDING)),
        }
        if noise_name(recipe, epsilon) in noises:
            totals = {RUNGS[0]: noises[noise_name(recipe, epsilon)] * units} | totals
        return {
            rung: self._areas(spec, seeds, lambda _, d, s=total: sample(s / math.sqrt(count), d))
            for rung, total in totals.items()
        }

    def without_privacy(self, seeds: Iterable[int]) -> Areas:
        """scikit-learn's logistic regression on the pooled rows."""
        found = []
        for seed in seeds:
            rows, test = self.pooled(seed)
            found.append(area(test, logistic_scores(rows)(test)))
        return found

    def _areas(self, spec: JobSpec, seeds: Iterable[int], noise: Noise | None) -> Areas:
        found = []
        for seed in seeds:
            parameters = train(spec, [rows for rows, _ in self.split(seed)], noise)
            _, test = self.pooled(seed)
            scores = predict(spec.model, spec.data.target, parameters, test.features)
            found.append(area(test, scores))
        return found


class Peer:
    """Opacus on the pooled rows of the same splits."""

    def __init__(self, sites: Sites) -> None:
        self.sites = sites
        self.noises: dict[str, float] = {}
        """By ``noise_name``, the noise multiplier of its PRV accountant."""

    def areas(
        self, cases: list[tuple[Recipe, float | None]], seeds: Iterable[int]
    ) -> dict[tuple[Recipe, float | None], Areas]:
        """Test AUC of every seed for each recipe and epsilon (None: no noise).

        Raises NotMeasured.
        """
        seeds, arrays = list(seeds), {}
        for seed in seeds:
            rows, test = self.sites.pooled(seed)
            arrays |= {f"features_{seed}": rows.features, f"target_{seed}": rows.target}
            arrays[f"test_{seed}"] = test.features
        runs = [
            {
                "noise": noise_name(recipe, epsilon), "epsilon": epsilon, "steps": recipe.steps,
                "rate": recipe.sampling, "learning_rate": recipe.learning_rate,
                "clipping_norm": recipe.clipping_norm,
            }
            for recipe, epsilon in cases
        ]  # fmt: skip
        told = opacus.train(
            arrays, {"runs": runs, "delta": DELTA, "seeds": seeds, "momentum": MOMENTUM}
        )
        self.noises |= told["noise_multipliers"]
        return {
            case: [
                area(self.sites.pooled(seed)[1], told["scores"][f"{number}/{seed}"])
                for seed in seeds
            ]
            for number, case in enumerate(cases)
        }


def noise_name(recipe: Recipe, epsilon: float | None) -> str:
    """What the noise multiplier of a central mechanism depends on, beside delta."""
    return f"{recipe.steps} steps of {recipe.sampling:g}, epsilon {epsilon}"


def train(spec: JobSpec, parts: list[Dataset], noise: Noise | None) -> NDArray[np.float64]:
    """The released parameters of the job's rounds over the sites' training rows, all present."""
    parameters = spec.model.parameters
    sigma = share_sigma(spec, minimum_cohort=len(spec.participants))
    state = ServerState.initial(np.zeros(parameters))
    for _ in range(spec.strategy.rounds):
        total = np.zeros(parameters, dtype=np.int64)
        for rows in parts:
            total += bounded_update(spec, state.parameters, rows, order=str(state.step))
            if noise is not None:
                total += noise(sigma, parameters)
        state = server_step(
            state,
            total.tolist(),
            strategy=spec.training,
            privacy=spec.privacy,
            denominator=spec.denominator,
        )
    return released_parameters(state, spec.training)


def together(parts: Iterable[Dataset]) -> Dataset:
    found = list(parts)
    return Dataset(
        features=np.concatenate([part.features for part in found]),
        target=np.concatenate([part.target for part in found]),
    )


def area(test: Dataset, scores: NDArray[np.float64]) -> float:
    value = auc(test.target, np.asarray(scores, dtype=np.float64))
    if value is None:
        raise ValueError("all test rows hold one class: the split is broken")
    return value


def best(by_recipe: Mapping[Recipe, Areas]) -> Recipe:
    """The recipe with the largest mean."""
    return max(by_recipe, key=lambda one: statistics.fmean(by_recipe[one]))


def difference(ours: Areas, pooled: Areas) -> dict[str, Any]:
    """Ours less pooled, the mean over the splits with a 95% interval."""
    each = [mine - theirs for mine, theirs in zip(ours, pooled, strict=True)]
    mean = statistics.fmean(each)
    half = 1.96 * statistics.stdev(each) / math.sqrt(len(each)) if len(each) > 1 else None
    return {"mean": mean, "half": half, "within": mean >= -CLAIM}
