"""Joint evaluation: counts of held-out records by class and score bin, released once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.protocol.kinds.training import Training
from federated.training.server import ServerState
from federated.wire.job import Evaluation, JobSpec


class JointEvaluation(Training):
    """A job of one round whose vectors are counts."""

    name = "evaluation"

    def takes(self, spec: Any) -> bool:
        return isinstance(spec, JobSpec) and isinstance(spec.strategy, Evaluation)

    def step(self, state: ServerState, decoded: NDArray[np.int64], spec: JobSpec) -> ServerState:
        """The counts leave the model as it is."""
        return state


EVALUATION = JointEvaluation()
