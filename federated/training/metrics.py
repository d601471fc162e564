"""How good a model is on records that its owner holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federated.extras import needs
from federated.training.data import Dataset
from federated.training.task import predict, unscaled
from federated.wire.data import BinaryTarget, MulticlassTarget, Target
from federated.wire.model import ModelSpec

__all__ = ["auc", "predict", "score"]

Metrics = dict[str, float | None]


def score(
    model: ModelSpec, target: Target, parameters: NDArray[np.floating], rows: Dataset
) -> Metrics:
    """The task's metrics on these rows; None where one is undefined on them.

    Binary: ``auc``. Multiclass: ``accuracy``, and ``macro_auc``, the mean over the classes that
    are there of each one's AUC against the rest. Regression, in the target's unit and its square:
    ``rmse``, ``r2`` (1 - squared error / squared deviation from the rows' own mean).
    """
    predicted = predict(model, target, parameters, rows.features)
    return score_predictions(target, predicted, rows.target)


def score_predictions(
    target: Target, predicted: NDArray[np.float64], values: NDArray[np.floating]
) -> Metrics:
    """The metrics of ``score`` for what ``predictions`` told of rows with these targets [n].

    A prediction that is not a number counts as the smallest score or the largest error, as in a
    joint evaluation: a model that overflows on a row must not end the round there.
    """
    if isinstance(target, BinaryTarget):
        return {"auc": auc(values, np.nan_to_num(predicted))}
    if isinstance(target, MulticlassTarget):
        predicted = np.nan_to_num(predicted)
        right = predicted.argmax(axis=1) == values
        return {
            "accuracy": float(right.mean()) if len(right) else None,
            "macro_auc": _macro_auc(values, predicted),
        }
    actual = unscaled(target, values)
    error = np.nan_to_num(predicted - actual, nan=target.upper - target.lower)
    squared = float((error**2).sum())
    spread = float(((actual - actual.mean()) ** 2).sum()) if len(actual) else 0.0
    return {
        "rmse": (squared / len(actual)) ** 0.5 if len(actual) else None,
        "r2": 1 - squared / spread if spread > 0 else None,
    }


def auc(target: NDArray[np.floating], scores: NDArray[np.floating]) -> float | None:
    """Area under the ROC curve; None where only one class is there and it is undefined."""
    with needs("train"):
        from sklearn.metrics import roc_auc_score

    if len(np.unique(target)) < 2:
        return None
    return float(roc_auc_score(target, scores))


def _macro_auc(target: NDArray[np.floating], scores: NDArray[np.floating]) -> float | None:
    found = [auc(target == place, scores[:, place]) for place in range(scores.shape[1])]
    defined = [value for value in found if value is not None]
    return float(np.mean(defined)) if defined else None
