"""Training: gradients or updates with the sites' own noise; an abandoned attempt is retried."""

from __future__ import annotations

from collections.abc import Mapping

from federated.protocol.agreement import AnyAgreement, JobAgreement
from federated.protocol.contribute import contribution_check
from federated.protocol.kinds.base import Kind
from federated.protocol.share import product_of
from federated.wire.base import Signed
from federated.wire.job import Evaluation
from federated.wire.round import Cohort, Contribution, RoundContext, Transcript


class Training(Kind):
    """A round of a job. The server's step follows from its release, then the next round."""

    name = "training"
    contribution = "contribution"
    attempts_most = 4

    def takes(self, agreement: AnyAgreement) -> bool:
        return isinstance(agreement, JobAgreement) and not isinstance(
            agreement.spec.strategy, Evaluation
        )

    def contribution_check(
        self, signed: Signed[Contribution], *, agreement: JobAgreement, context: RoundContext
    ) -> None:
        contribution_check(signed, agreement=agreement, context=context)

    def cohort(self, *, context: str, members: Mapping[str, str]) -> Cohort:
        return Cohort(context=context, members=dict(members))

    def product(self, transcript: Transcript, *, agreement: JobAgreement) -> list[int]:
        return product_of(transcript, agreement=agreement)


TRAINING = Training()
