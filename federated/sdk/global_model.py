"""The model that a job made, as its participants get it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from federated.wire.job import JobSpec, ModelSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class GlobalModel:
    """A released model.

    ``parameters`` is float64 of shape (d,); ``round`` the last round it holds; ``metrics`` what is
    public about it (epsilon, delta, rounds, cohort sizes; ``joint``, its last joint evaluation)
    and, if this site holds rows out, its own score, which nobody else sees; ``verified`` that every
    release was recomputed here.
    """

    spec: JobSpec
    parameters: NDArray[np.float64]
    round: int
    metrics: dict[str, Any]
    verified: bool

    @property
    def model(self) -> ModelSpec:
        return self.spec.model

    @property
    def job_id(self) -> str:
        return self.spec.job_id

    def module(self) -> nn.Sequential:
        """As a torch module (float32, eval mode) whose outputs are logits, or a scaled number."""
        from federated.training.model import module_from

        return module_from(self.model, self.parameters)

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Predictions of encoded features (n, inputs).

        Binary: the positive class's probabilities, shape (n,). Multiclass: each class's,
        (n, classes). Regression: the target in its own unit, (n,).
        """
        from federated.training.task import predict

        return predict(self.model, self.spec.data.target, self.parameters, features)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write safetensors with the architecture in its metadata; the path that was written."""
        from federated.training.model import save_model

        return save_model(Path(path), self.model, self.parameters)
