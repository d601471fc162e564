"""Comparisons made outside the federation, by an experimenter who holds the public data.

No site sees these, and the federation cannot make them: training without noise is
epsilon = infinity on the same rows, and pooling is what the hospitals may not do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from federated.protocol.cost import share_sigma
from federated.training.data import Dataset
from federated.training.local import bounded_update
from federated.training.metrics import auc, predict
from federated.training.server import ServerState, released_parameters, server_step
from federated.wire.job import JobSpec
from portal.demo.hospitals import Hospital, encoded

Scores = Callable[[Dataset], NDArray[np.float64]]
ALL = "all"


def auc_by_hospital(hospitals: Sequence[Hospital], scores: Scores) -> dict[str, float | None]:
    """Test AUC at each hospital and over all test rows; None where one class is absent."""
    targets, predictions = [], []
    found: dict[str, float | None] = {}
    for hospital in hospitals:
        test = encoded(hospital.test)
        predicted = scores(test)
        found[hospital.slug] = auc(test.target, predicted)
        targets.append(test.target)
        predictions.append(predicted)
    found[ALL] = auc(np.concatenate(targets), np.concatenate(predictions))
    return found


def logistic_scores(training: Dataset) -> Scores:
    """A logistic regression of scikit-learn on these rows, without privacy."""
    model = LogisticRegression(max_iter=1000).fit(training.features, training.target)
    return lambda data: np.asarray(model.predict_proba(data.features)[:, 1])


def model_scores(spec: JobSpec, parameters: NDArray[np.float64]) -> Scores:
    """The scores of a released model."""
    return lambda data: predict(spec.model, spec.data.target, parameters, data.features)


def alone(hospitals: Sequence[Hospital]) -> dict[str, float | None]:
    """Each hospital's own model on its own test rows (nothing over all rows)."""
    found: dict[str, float | None] = {}
    for hospital in hospitals:
        scores = logistic_scores(encoded(hospital.train))
        found[hospital.slug] = auc_by_hospital([hospital], scores)[hospital.slug]
    found[ALL] = None
    return found


def pooled(hospitals: Sequence[Hospital]) -> dict[str, float | None]:
    """One model on all training rows together."""
    parts = [encoded(hospital.train) for hospital in hospitals]
    whole = Dataset(
        features=np.concatenate([part.features for part in parts]),
        target=np.concatenate([part.target for part in parts]),
    )
    return auc_by_hospital(hospitals, logistic_scores(whole))


def federated(
    hospitals: Sequence[Hospital],
    spec: JobSpec,
    initial: ServerState,
    noise: Callable[[float, int], NDArray[np.int64]] | None = None,
) -> dict[str, float | None]:
    """The job's own training with ``noise(sigma, d)`` at each site, all present, or with none."""
    sigma = share_sigma(spec, minimum_cohort=len(spec.participants))
    parts = [encoded(hospital.train) for hospital in hospitals]
    state = initial
    for _ in range(spec.strategy.rounds):
        total = sum(
            (
                bounded_update(spec, state.parameters, part, order=str(state.step))
                + (noise(sigma, spec.model.parameters) if noise else 0)
                for part in parts
            ),
            start=np.zeros(spec.model.parameters, dtype=np.int64),
        )
        state = server_step(
            state,
            total.tolist(),
            strategy=spec.training,
            privacy=spec.privacy,
            denominator=spec.denominator,
        )
    scores = model_scores(spec, released_parameters(state, spec.training))
    return auc_by_hospital(hospitals, scores)
