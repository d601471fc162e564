"""Which records can be used, each by its own values alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federated.training.data import Dataset
from federated.wire.data import BinaryTarget, MulticlassTarget, Target


def usable(dataset: Dataset, target: Target) -> Dataset:
    """The records whose features are finite and whose target is one of the kind's values.

    The others are taken out by selection and contribute nothing. To raise for them instead would
    tell the coordinator, by a contribution that does not come, what one record holds; and a product
    with zero would not blank a NaN. What ``encode`` makes is usable throughout.
    """
    there = np.isfinite(dataset.features).all(axis=1) & _labelled(dataset.target, target)
    if there.all():
        return dataset
    return Dataset(features=dataset.features[there], target=dataset.target[there])


def _labelled(values: NDArray[np.floating], target: Target) -> NDArray[np.bool_]:
    if isinstance(target, BinaryTarget):
        return np.asarray((values == 0) | (values == 1))
    if isinstance(target, MulticlassTarget):
        return np.asarray(np.isin(values, np.arange(len(target.classes))))
    return np.asarray(np.abs(values) <= 1)
