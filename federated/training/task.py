"""What a model's outputs mean for a target: loss, predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federated.training.network import Floats, predict_outputs
from federated.training.pointwise import exp_of_negative, sigmoid
from federated.training.products import row_sum
from federated.wire.data import BinaryTarget, MulticlassTarget, RegressionTarget, Target
from federated.wire.model import ModelSpec


def loss_error(target: Target, outputs: Floats, values: NDArray[np.floating]) -> Floats:
    """The gradient of each record's loss by its outputs, float64 [n, k].

    ``outputs`` is [n, k]; ``values`` [n] are a Dataset's targets. Losses: binary cross-entropy with
    logits; softmax cross-entropy; half the squared error, or Huber's, of the scaled target.
    """
    if isinstance(target, MulticlassTarget):
        error = softmax(outputs)
        error[np.arange(len(error)), values.astype(np.int64)] -= 1
        return error
    if isinstance(target, BinaryTarget):
        return sigmoid(outputs) - values[:, None]
    residual = outputs - values[:, None]
    if target.huber_delta is None:
        return residual
    return np.clip(residual, -target.huber_delta, target.huber_delta)


def predictions(target: Target, outputs: Floats) -> Floats:
    """What is told of outputs [n, k].

    Binary: the positive class's probability [n]. Multiclass: each class's, [n, classes].
    Regression: the target in its own unit [n], within its bounds.
    """
    if isinstance(target, MulticlassTarget):
        return softmax(outputs)
    if isinstance(target, RegressionTarget):
        return unscaled(target, outputs[:, 0])
    return sigmoid(outputs[:, 0])


def predict(
    model: ModelSpec,
    target: Target,
    parameters: NDArray[np.floating],
    features: NDArray[np.floating],
) -> Floats:
    """``predictions`` of encoded features [n, inputs]."""
    return predictions(target, predict_outputs(model, parameters, features))


def unscaled(target: RegressionTarget, values: NDArray[np.floating]) -> Floats:
    """Scaled targets [n] in the target's own unit, clamped to its bounds."""
    share = (np.clip(np.asarray(values, dtype=np.float64), -1, 1) + 1) / 2
    return np.asarray(target.lower + share * (target.upper - target.lower))


def softmax(outputs: Floats) -> Floats:
    """Of each row, without overflow; NaN for a row of which an output is not finite."""
    with np.errstate(invalid="ignore"):
        small = exp_of_negative(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(small / row_sum(small)[:, None])
