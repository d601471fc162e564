"""What a site computes of its records: a bounded integer sum of their gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.training.data import Dataset
from federated.training.network import Floats, record_gradients, unflatten
from federated.wire.job import ModelSpec, PrivacySpec

_CHUNK_BYTES = 4 << 20


def bounded_gradient_sum(
    model: ModelSpec,
    parameters: NDArray[np.floating],
    dataset: Dataset,
    privacy: PrivacySpec,
) -> NDArray[np.int64]:
    """The sum over records of the clipped, rounded gradient, int64 [d] in grid units.

    A grid unit is ``clipping_norm / units``. Each record is clipped and rounded **by itself**, so
    blanking one out moves the sum by an integer vector of L2 norm at most ``units``; rounding the
    sum would cost sqrt(d) of sensitivity. No noise is added here. Deterministic.

    Raises InvalidInput where the model, its parameters or the data do not fit or are not finite.
    """
    tensors = unflatten(model, parameters)
    if dataset.features.ndim != 2 or dataset.features.shape[1] != model.inputs:
        raise InvalidInput(
            f"features: shape {list(dataset.features.shape)}, "
            f"the model takes [records, {model.inputs}]"
        )
    if not (np.isfinite(dataset.features).all() and np.isfinite(dataset.target).all()):
        raise InvalidInput("the data hold a value that is not finite; encode the table first")
    total = np.zeros(model.parameters, dtype=np.int64)
    step = max(1, _CHUNK_BYTES // (8 * model.parameters))
    for start in range(0, len(dataset), step):
        features = dataset.features[start : start + step].astype(np.float64)
        target = dataset.target[start : start + step].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            gradients = record_gradients(model, tensors, features, target)
        total += bound_records(gradients, privacy).sum(axis=0, dtype=np.int64)
    return total


def bound_records(gradients: Floats, privacy: PrivacySpec) -> NDArray[np.int64]:
    """Clip and round each row of [n, d] to the grid; integer L2 norms are at most ``units``.

    A row is scaled to norm ``clipping_norm`` where it is longer, then rounded to the nearest
    grid point; where that is too long it is truncated toward zero instead. A row that overflowed
    becomes zero: to refuse it would tell the coordinator about one record.
    """
    units = privacy.units
    rows = np.where(np.isfinite(gradients).all(axis=1, keepdims=True), gradients, 0.0)
    # Divided by its largest entry first: the squares of a huge row would overflow.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    shape = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    spread = np.sqrt((shape**2).sum(axis=1, keepdims=True))  # of 1 to sqrt(d), or 0
    with np.errstate(over="ignore"):
        length = np.minimum(spread * (largest * (units / privacy.clipping_norm)), units)
    scaled = shape * np.divide(length, spread, out=np.zeros_like(length), where=spread > 0)
    bounded: NDArray[np.int64] = np.rint(scaled).astype(np.int64)
    over = _squared_norms(bounded) > units**2
    bounded[over] = np.trunc(scaled[over]).astype(np.int64)
    if (_squared_norms(bounded) > units**2).any():
        # Unreachable: truncation shortens, and units^2 <= 2^40 is far above float error.
        raise ArithmeticError("a record's integer norm exceeds the bound that its noise covers")
    return bounded


def _squared_norms(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray((rows * rows).sum(axis=1, dtype=np.int64))
