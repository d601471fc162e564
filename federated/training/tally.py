"""What a site counts for a joint evaluation: each held-out record in exactly one cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.training.data import Dataset
from federated.training.network import Floats
from federated.training.task import predict, unscaled
from federated.training.usable import usable
from federated.wire.data import BinaryTarget, MulticlassTarget, RegressionTarget, Target
from federated.wire.evaluation import Evaluation
from federated.wire.job import JobSpec


@np.errstate(all="ignore")
def bounded_counts(
    spec: JobSpec, parameters: NDArray[np.floating], rows: Dataset
) -> NDArray[np.int64]:
    """The table [classes, bins] of a joint evaluation, flat, int64 [d] in grid units.

    A record adds ``units`` to the one cell of its class and bin, and nothing elsewhere: blanking or
    removing it moves the table by an integer vector of L2 norm ``units``, exactly, because its
    score depends on no other record. One that cannot be used (``usable``) adds nothing. No noise is
    added here. Raises InvalidInput where the job is no evaluation or the columns do not fit.
    """
    evaluation = spec.strategy
    if not isinstance(evaluation, Evaluation):
        raise InvalidInput(f"job {spec.job_id} trains; it is no joint evaluation")
    target = spec.data.target
    table = np.zeros((evaluation.classes(target), evaluation.bins), dtype=np.int64)
    rows = usable(rows, target)
    if len(rows):
        predicted = predict(spec.model, target, parameters, rows.features)
        classes, bins = cells_of(target, predicted, rows.target, bins=evaluation.bins)
        np.add.at(table, (classes, bins), spec.privacy.units)
    return table.reshape(-1)


def cells_of(
    target: Target, predicted: Floats, values: NDArray[np.floating], *, bins: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row and the column of each record's cell, [n] each.

    ``predicted`` is what ``predictions`` gives, ``values`` are a Dataset's targets. A prediction
    that is not a number counts as the smallest score, or the largest error.
    """
    if isinstance(target, RegressionTarget):
        error = np.abs(predicted - unscaled(target, values)) / (target.upper - target.lower)
        edges = error_edges(bins)[1:-1]
        columns = np.searchsorted(edges, np.nan_to_num(error, nan=1.0), side="right")
        return np.zeros(len(values), dtype=np.int64), columns.astype(np.int64)
    classes = np.asarray(values, dtype=np.int64)
    if isinstance(target, MulticlassTarget):
        return classes, np.asarray(np.nan_to_num(predicted).argmax(axis=1), dtype=np.int64)
    assert isinstance(target, BinaryTarget)
    scores = np.nan_to_num(predicted, nan=0.0)
    return classes, np.minimum((scores * bins).astype(np.int64), bins - 1)


def score_edges(bins: int) -> Floats:
    """Ends of the score bins, [bins + 1]: equal parts of [0, 1], the upper end not in the bin."""
    return np.arange(bins + 1) / bins


def error_edges(bins: int) -> Floats:
    """Ends of the error bins as shares of the target's range, [bins + 1]: doubling up to 1."""
    return np.array([0.0, *(2.0 ** -(bins - 1 - k) for k in range(bins))])
