"""Joint evaluation: counts of held-out records by class and score bin, released once."""

from __future__ import annotations

from federated.protocol.agreement import AnyAgreement, JobAgreement
from federated.protocol.kinds.training import Training
from federated.wire.job import Evaluation


class JointEvaluation(Training):
    """A job of one round whose vectors are counts: the model stays as it is."""

    name = "evaluation"

    def takes(self, agreement: AnyAgreement) -> bool:
        return isinstance(agreement, JobAgreement) and isinstance(
            agreement.spec.strategy, Evaluation
        )


EVALUATION = JointEvaluation()
