"""How good a model is on records that its owner holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federated.training.network import predict, predict_logits

__all__ = ["auc", "predict", "predict_logits"]


def auc(target: NDArray[np.floating], scores: NDArray[np.floating]) -> float | None:
    """Area under the ROC curve; None where only one class is there and it is undefined."""
    from sklearn.metrics import roc_auc_score

    if len(np.unique(target)) < 2:
        return None
    return float(roc_auc_score(target, scores))
