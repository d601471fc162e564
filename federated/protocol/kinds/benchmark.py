"""Benchmarks: one vote per metric, noise by the trustees, one attempt per run."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from federated.protocol.agreement import AnyAgreement, CampaignAgreement
from federated.protocol.campaign_release import campaign_product
from federated.protocol.campaign_submit import submission_check
from federated.protocol.kinds.base import Kind
from federated.wire.base import Signed
from federated.wire.campaign import (
    CampaignContext,
    CampaignTranscript,
    Submission,
    SubmissionCohort,
)


class Benchmark(Kind):
    """A run of a campaign. An abandoned run is not repeated: the next one is due by schedule."""

    name = "benchmark"
    contribution = "submission"
    noising = True
    replaceable = True
    must_release = False

    def takes(self, agreement: AnyAgreement) -> bool:
        return isinstance(agreement, CampaignAgreement)

    def judges(self, *, approved: Collection[str], members: Collection[str]) -> Collection[str]:
        """The cohort's members: nothing that the others do starts from a run's release."""
        return members

    def contribution_check(
        self,
        signed: Signed[Submission],
        *,
        agreement: CampaignAgreement,
        context: CampaignContext,
    ) -> None:
        submission_check(signed, agreement=agreement, context=context)

    def cohort(self, *, context: str, members: Mapping[str, str]) -> SubmissionCohort:
        return SubmissionCohort(context=context, members=dict(members))

    def product(self, transcript: CampaignTranscript, *, agreement: CampaignAgreement) -> list[int]:
        return campaign_product(transcript, agreement=agreement)


BENCHMARK = Benchmark()
